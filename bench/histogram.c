/* histogram.c - see histogram.h.
 *
 * Values below 32 have a bucket each. Above, a value's bucket is its power of
 * two and the five bits after the leading one.
 */
#include "histogram.h"

enum { SUB_BITS = 5, SUB_BUCKETS = 1 << SUB_BITS };

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_BUCKETS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - SUB_BITS;

    return (shift + 1) * SUB_BUCKETS + (unsigned)((value >> shift) % SUB_BUCKETS);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < SUB_BUCKETS)
        return bucket;
    unsigned shift = bucket / SUB_BUCKETS - 1;

    return ((uint64_t)(SUB_BUCKETS + bucket % SUB_BUCKETS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, hr_time value)
{
    uint64_t positive = value > 0 ? (uint64_t)value : 0;

    histogram->counts[bucket_of(positive)]++;
    histogram->n++;
    if (value > histogram->max)
        histogram->max = value;
}

hr_time histogram_quantile(const struct histogram *histogram, double q)
{
    uint64_t wanted = (uint64_t)(q * (double)histogram->n), seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > wanted || (seen == histogram->n && seen > 0)) {
            hr_time end = (hr_time)bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return 0;
}
