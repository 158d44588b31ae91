/* history.c - see history.h for the contract. */
#include "cli/history.h"

#include <string.h>

#define STEP (60 * HR_SECOND)

void hr_history_add(struct hr_history *history, const uint64_t sums[HR_N_REASONS], hr_time now)
{
    if (history->n_steps == 0 || now >= history->next_step) {
        memcpy(history->before[history->n_steps++ % HR_HISTORY_STEPS], sums,
               sizeof history->before[0]);
        history->next_step = now + STEP;
    }
    memcpy(history->now, sums, sizeof history->now);
}

void hr_history_sample(struct hr_history *history, struct hr_layer *layer, struct hr_str pool,
                       hr_time now)
{
    struct hr_pool_figures figures;
    hr_figures_of_pool(layer, pool, &figures);
    hr_history_add(history, figures.n_refused, now);
}

uint64_t hr_history_of_hour(const struct hr_history *history, enum hr_reason *most)
{
    struct hr_pool_figures figures = {0};
    uint32_t oldest = history->n_steps < HR_HISTORY_STEPS ? 0 : history->n_steps % HR_HISTORY_STEPS;
    for (int i = 0; i < HR_N_REASONS; i++)
        figures.n_refused[i] = history->now[i] - history->before[oldest][i];
    return hr_figures_refused(&figures, most);
}
