/* history.c - see history.h for the contract. */
#include "cli/history.h"

#include <string.h>

#define STEP (60 * HR_SECOND)

void hr_history_add(struct hr_history *history, const struct hr_pool_sums *sums, hr_time now)
{
    if (history->n_steps > 0 && now < history->next_step)
        return;
    history->samples[history->n_steps++ % HR_HISTORY_STEPS] = *sums;
    history->next_step = now + STEP;
}

/* The sample that was taken `n` steps before the latest, or the oldest kept. */
static const struct hr_pool_sums *sample_before(const struct hr_history *history, uint32_t n)
{
    uint32_t oldest = history->n_steps > HR_HISTORY_STEPS ? history->n_steps - HR_HISTORY_STEPS : 0;
    uint32_t wanted = history->n_steps > n + 1 ? history->n_steps - 1 - n : 0;
    return &history->samples[(wanted > oldest ? wanted : oldest) % HR_HISTORY_STEPS];
}

void hr_history_base(const struct hr_history *history, struct hr_pool_sums *out)
{
    *out = *sample_before(history, HR_HISTORY_STEPS);
    const struct hr_pool_sums *recent = sample_before(history, HR_HISTORY_RECENT);
    memcpy(&out->n[HR_SUM_WAIT], &recent->n[HR_SUM_WAIT],
           (HR_N_SUMS - HR_SUM_WAIT) * sizeof *out->n);
}
