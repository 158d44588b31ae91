/* histogram.h - how times are distributed, in a fixed amount of memory.
 *
 * Buckets grow with the values, 32 to each doubling, so that a quantile is
 * at most 3 % above the true one at any size. The largest value is exact.
 *
 * Threads: none. Memory: 15 KiB in the struct; zeroed is empty.
 */
#ifndef HR_BENCH_HISTOGRAM_H
#define HR_BENCH_HISTOGRAM_H

#include <stdint.h>

#include "base/time.h"

enum { HISTOGRAM_BUCKETS = 60 * 32 };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t n;
    hr_time max;
};

void histogram_add(struct histogram *histogram, hr_time value);

/* The value that the share `q` (0 to 1) of all values does not pass; 0 when empty. */
hr_time histogram_quantile(const struct histogram *histogram, double q);

#endif /* HR_BENCH_HISTOGRAM_H */
