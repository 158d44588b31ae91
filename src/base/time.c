/* time.c - see time.h for the contract. */
#include "base/time.h"

#include <time.h>

#include "base/assert.h"

static hr_time time_read(clockid_t clock)
{
    struct timespec now;
    int r = clock_gettime(clock, &now);
    hr_assert(r == 0); /* these clocks exist on every Linux we run on */
    return (hr_time)now.tv_sec * HR_SECOND + now.tv_nsec;
}

hr_time hr_time_now(void)
{
    return time_read(CLOCK_MONOTONIC);
}

hr_time hr_time_now_coarse(void)
{
    return time_read(CLOCK_MONOTONIC_COARSE);
}

hr_time hr_time_wall(void)
{
    return time_read(CLOCK_REALTIME);
}
