/* figures.h - sums over what interface servers and the layer count, for people.
 *
 * The servers' words are described in server/metrics_words.h; this reads them
 * of one pool, or of the whole site. Sums only grow. What happened lately is
 * their difference to a base, which the supervisor keeps (history.h) and
 * `status` takes off, so that what it shows is of this moment.
 */
#ifndef HR_CLI_FIGURES_H
#define HR_CLI_FIGURES_H

#include <stdint.h>

#include <headrace/layer.h>

#include "base/time.h"
#include "cli/channels.h"

enum { HR_FIGURES_BUCKETS = 12 };

/* A pool's sums since the layer was made, by number: what a base is made of, too. */
enum {
    HR_SUM_REFUSED = 0, /* requests by reason; HR_REASON_NONE: not refused */
    HR_SUM_REDELIVERED = HR_SUM_REFUSED + HR_N_REASONS,
    HR_SUM_LOST, /* events and messages that went with their worker */
    HR_SUM_WAIT, /* events by the time they waited, and ran; see p99 */
    HR_SUM_RUN = HR_SUM_WAIT + HR_FIGURES_BUCKETS,
    HR_N_SUMS = HR_SUM_RUN + HR_FIGURES_BUCKETS,
};
struct hr_pool_sums {
    uint64_t n[HR_N_SUMS];
};
void hr_figures_of_pool(struct hr_layer *layer, const struct hr_pool_takes *pool,
                        struct hr_pool_sums *out);
/* Takes `base` off, number by number. */
void hr_figures_subtract(struct hr_pool_sums *sums, const struct hr_pool_sums *base);

/* What waits in the pool's channels now. */
struct hr_queue_figures {
    uint64_t n;
    hr_time oldest;
};
void hr_figures_of_queue(struct hr_layer *layer, const struct hr_pool_takes *pool,
                         struct hr_queue_figures *out);

/* Of a pool's plain channels those that its record has room for. */
enum { HR_CREW_SHOWN_CHANNELS = 8 };

/* Open connections of live interface servers. */
struct hr_connection_figures {
    uint64_t n_http, n_websocket;
};
void hr_figures_of_connections(struct hr_layer *layer, struct hr_connection_figures *out);

/* The time that 99 of 100 do not exceed, between the bounds of its bucket; 0 when there is none. */
hr_time hr_figures_p99(const uint64_t buckets[HR_FIGURES_BUCKETS]);

/* All refusals, and the most frequent reason in *most. */
uint64_t hr_figures_refused(const struct hr_pool_sums *sums, enum hr_reason *most);

#endif /* HR_CLI_FIGURES_H */
