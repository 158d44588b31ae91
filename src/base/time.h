/* time.h - time is nanoseconds in an int64_t, and an argument.
 *
 * Engines, queues and timers get "now" passed in; only the loop and the layer
 * handles read a clock.
 */
#ifndef HR_BASE_TIME_H
#define HR_BASE_TIME_H

#include <stdint.h>

#include <headrace/types.h>

hr_time hr_time_now(void);        /* CLOCK_MONOTONIC */
hr_time hr_time_now_coarse(void); /* CLOCK_MONOTONIC_COARSE: 4 ms steps, a quarter of the cost */
hr_time hr_time_wall(void);       /* CLOCK_REALTIME */

/* a + b without wrapping: HR_NEVER stays HR_NEVER, and what is beyond it is HR_NEVER. */
static inline hr_time hr_time_add(hr_time a, hr_time b)
{
    hr_time sum;
    if (a == HR_NEVER || b == HR_NEVER || __builtin_add_overflow(a, b, &sum))
        return HR_NEVER;
    return sum;
}

#endif /* HR_BASE_TIME_H */
