/* figures.h - sums over what interface servers and supervisors count in the layer.
 *
 * The words themselves are described in server/metrics_words.h; this reads
 * them for people: of one pool, or of the whole site.
 */
#ifndef HR_CLI_FIGURES_H
#define HR_CLI_FIGURES_H

#include <stdint.h>

#include <headrace/layer.h>

#include "base/time.h"

enum { HR_FIGURES_BUCKETS = 12 };

/* Since the layer was made, all interface servers together. */
struct hr_pool_figures {
    uint64_t n_requests;
    uint64_t n_refused[HR_N_REASONS];
    uint64_t wait[HR_FIGURES_BUCKETS]; /* events by the time they waited, and ran; see p99 */
    uint64_t run[HR_FIGURES_BUCKETS];
};

/* Adds up the figures of `pool` ("": requests that no pool took). */
void hr_figures_of_pool(struct hr_layer *layer, struct hr_str pool, struct hr_pool_figures *out);

/* Open connections of live interface servers. */
struct hr_connection_figures {
    uint64_t n_http, n_websocket;
};
void hr_figures_of_connections(struct hr_layer *layer, struct hr_connection_figures *out);

/* The time that 99 of 100 do not exceed, between the bounds of its bucket; 0 when there is none. */
hr_time hr_figures_p99(const uint64_t buckets[HR_FIGURES_BUCKETS]);

/* All refusals, and the most frequent reason in *most. */
uint64_t hr_figures_refused(const struct hr_pool_figures *figures, enum hr_reason *most);

#endif /* HR_CLI_FIGURES_H */
