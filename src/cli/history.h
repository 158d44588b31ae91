/* history.h - a pool's sums as they were: an hour ago, five minutes ago.
 *
 * A supervisor takes a sample every minute and keeps an hour of them. From
 * them it makes the base that `status` takes off the sums of now.
 */
#ifndef HR_CLI_HISTORY_H
#define HR_CLI_HISTORY_H

#include "cli/figures.h"

enum {
    HR_HISTORY_STEPS = 60, /* of a minute */
    HR_HISTORY_RECENT = 5, /* steps that p99 looks back */
};

/* Zeroed is empty. */
struct hr_history {
    struct hr_pool_sums
        samples[HR_HISTORY_STEPS]; /* ring: as they were at the start of each step */
    hr_time next_step;
    uint32_t n_steps; /* ever begun */
};

/* Takes the sums of now, once a minute: call it more often than that. */
void hr_history_add(struct hr_history *history, const struct hr_pool_sums *sums, hr_time now);

/* What to take off: counts as they were an hour ago, times (WAIT, RUN) as they
 * were five minutes ago; what is not kept that far, as it was at first. */
void hr_history_base(const struct hr_history *history, struct hr_pool_sums *out);

#endif /* HR_CLI_HISTORY_H */
