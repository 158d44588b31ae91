/* backoff.c - see backoff.h for the contract. */
#include "cli/backoff.h"

hr_time hr_backoff_next(struct hr_backoff *backoff, hr_time lived)
{
    if (lived >= HR_BACKOFF_FORGIVEN)
        backoff->n_short = 0;
    uint32_t n = backoff->n_short++;
    if (n == 0)
        return 0;
    hr_time delay = HR_BACKOFF_LEAST;
    while (--n > 0 && delay < HR_BACKOFF_MOST)
        delay *= 2;
    return delay < HR_BACKOFF_MOST ? delay : HR_BACKOFF_MOST;
}
