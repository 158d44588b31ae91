/* outbox.h - what an event says to its reply address, in order, without ever waiting.
 *
 * Output goes straight into the layer's memory as long as it can. When the
 * layer refuses it, or more of a body was said than the client has room for,
 * it is kept in the outbox, and all that follows queues behind it. Refused
 * output is tried again whenever the loop turns and every 8 ms; output beyond
 * the window when credit comes.
 *
 * Bounds: HR_OUTBOX_MAX bytes and then HR_ERR_FULL (control excepted, which is
 * small and comes last); worker->patience of refusals and then the event is
 * given up (hr_ctx_give_up()), so that one full inbox does not use up a worker.
 */
#ifndef HR_WORKER_OUTBOX_H
#define HR_WORKER_OUTBOX_H

#include "worker/context.h"

enum {
    HR_OUTBOX_MAX = 1 << 20,
    HR_OUTBOX_REPLY_MAX = 16 << 20, /* of an answer given in one go */
};
#define HR_OUTBOX_RETRY (8 * HR_MS)
#define HR_OUTBOX_PATIENCE (10 * HR_SECOND)

/* One message to be: its encoder, since it may be written twice (into a draft
 * that the layer then refuses, and into the outbox). */
struct hr_output {
    void (*encode)(struct hr_pack *pack, const void *arg);
    const void *arg;
    size_t size;       /* at most what `encode` writes */
    size_t body_bytes; /* of an answer's body: counts against the window */
    size_t max_queued; /* 0: HR_OUTBOX_MAX */
    bool is_control;
};

/* Sends or queues. Returns 0, HR_ERR_FULL (the outbox is), HR_ERR_GONE,
 * HR_ERR_TOO_BIG, HR_ERR_STATE (there is nobody to answer), or the layer's errors. */
HR_MUST_CHECK int hr_outbox_say(struct hr_ctx *ctx, const struct hr_output *output);

/* The same for an encoded message to a group: it must not overtake what waits here. */
HR_MUST_CHECK int hr_outbox_say_group(struct hr_ctx *ctx, struct hr_str group, const void *data,
                                      size_t len);

/* Bytes of body that may be said before they would have to wait. */
size_t hr_outbox_window(const struct hr_ctx *ctx);

void hr_outbox_flush(struct hr_ctx *ctx); /* sends what can be; `ctx` may have ended after it */
void hr_outbox_drop(struct hr_ctx *ctx);  /* forgets all that waits */

/* Tries everything that the layer refused once more. */
void hr_outbox_retry(struct hr_worker *worker);

#endif /* HR_WORKER_OUTBOX_H */
