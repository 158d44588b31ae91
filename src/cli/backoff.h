/* backoff.h - when to start again what died: at once, then after 0.1 s, doubled each time up to 10
 * s.
 *
 * The first restart is immediate, because most deaths are single ones and
 * clients are waiting. What dies again and again is slowed down, so that a
 * process that crashes at start does not eat the machine. Who has lived for
 * 10 s has earned a new start.
 */
#ifndef HR_CLI_BACKOFF_H
#define HR_CLI_BACKOFF_H

#include <stdint.h>

#include "base/time.h"

#define HR_BACKOFF_LEAST (100 * HR_MS)
#define HR_BACKOFF_MOST (10 * HR_SECOND)
#define HR_BACKOFF_FORGIVEN (10 * HR_SECOND)

/* Zeroed: nothing has died yet. */
struct hr_backoff {
    uint32_t n_short; /* short lives in a row */
};

/* Its holder died after `lived`; how long to wait before the next. */
hr_time hr_backoff_next(struct hr_backoff *backoff, hr_time lived);

#endif /* HR_CLI_BACKOFF_H */
