/* metrics.h - what interface servers count, and all of it as Prometheus text.
 *
 * Counts stand in the layer itself, in the words of our own slot, so that any
 * server can sum over all, the dead included, and sums only grow. What the
 * layer counts anyway (channels, members, memory) is read from there.
 *
 * A slot's words have no names in them: a row is found by a key made of a hash
 * of the pool's name, and the name is looked up among the pool records when
 * the text is written.
 *
 * Threads: the loop's. The words are written by their slot's owner with
 * relaxed atomics, and read by anyone.
 */
#ifndef HR_SERVER_METRICS_H
#define HR_SERVER_METRICS_H

#include <stdint.h>

#include <headrace/layer.h>

#include "base/buf.h"
#include "base/error.h"

struct hr_http;
struct hr_source;

struct hr_metrics {
    uint64_t *words; /* lent by the layer; NULL: nothing is counted */
};

/* Begins to count in the slot of `layer`. What an earlier owner counted stays. */
void hr_metrics_init(struct hr_metrics *metrics, struct hr_layer *layer);

/* A request was answered; an event has ended. */
void hr_metrics_request(struct hr_metrics *metrics, const struct hr_http *http);
void hr_metrics_event(struct hr_metrics *metrics, const struct hr_source *source);
/* One is given to another worker because its own has died. */
void hr_metrics_redelivered(struct hr_metrics *metrics, struct hr_str pool);

/* Right now. */
void hr_metrics_connections(struct hr_metrics *metrics, uint32_t n_http, uint32_t n_websocket);
void hr_metrics_turn(struct hr_metrics *metrics, hr_time busy); /* of a turn of the loop */

/* Why a worker ended: for supervisors, which count in a slot of role CLIENT. */
enum hr_exit {
    HR_EXIT_ASKED,   /* as asked */
    HR_EXIT_ERROR,   /* with an exit code */
    HR_EXIT_SIGNAL,  /* by a signal */
    HR_EXIT_OOM,     /* by the kernel, for want of memory */
    HR_EXIT_TIMEOUT, /* killed after its timeout */
    HR_EXIT_BOOT,    /* before it was ready */
    HR_N_EXITS
};
const char *hr_exit_name(enum hr_exit why);
void hr_metrics_count_exit(struct hr_layer *layer, struct hr_str pool, enum hr_exit why);

/* Appends everything, text format 0.0.4. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_metrics_write(struct hr_layer *layer, struct hr_buf *out);

#endif /* HR_SERVER_METRICS_H */
