/* history.h - refusals of the last hour, from counters that only grow.
 *
 * Time is an argument. Memory: none beyond the struct.
 */
#ifndef HR_CLI_HISTORY_H
#define HR_CLI_HISTORY_H

#include "cli/figures.h"

enum { HR_HISTORY_STEPS = 60 }; /* of a minute */

/* Zeroed is empty. */
struct hr_history {
    uint64_t before[HR_HISTORY_STEPS][HR_N_REASONS]; /* ring: the sums at the start of each step */
    hr_time next_step;
    uint32_t n_steps; /* ever begun */
    uint64_t now[HR_N_REASONS];
};

/* Takes the counters of `pool` as they are now. Call at least once a minute. */
void hr_history_sample(struct hr_history *history, struct hr_layer *layer, struct hr_str pool,
                       hr_time now);
/* The same, with the sums given. */
void hr_history_add(struct hr_history *history, const uint64_t sums[HR_N_REASONS], hr_time now);

/* Refusals since the oldest step that is kept, and the most frequent reason. */
uint64_t hr_history_of_hour(const struct hr_history *history, enum hr_reason *most);

#endif /* HR_CLI_HISTORY_H */
