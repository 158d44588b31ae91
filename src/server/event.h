/* event.h - one event at a time, from a connection to a worker and back.
 *
 * A source is what events come from: an HTTP request, a WebSocket. It owns an
 * address of the layer, to which whoever handles its event answers, and it has
 * at most one event out: queued in its pool's channel, held by a worker, or
 * handed on. The event ends by its `event.done`, by a final answer, by its
 * timeout or by the death of its holder; only then is the next one sent. That
 * keeps the events of a connection in order however many workers there are.
 *
 * Nothing tells us when a worker takes an event. The ticket knows, and it is
 * looked at only when a timeout might be over: queue_timeout runs until the
 * take, timeout and event_timeout from the take.
 *
 * Threads: the loop's.
 * Memory:  a source is part of its owner. hr_source_close() before it goes.
 */
#ifndef HR_SERVER_EVENT_H
#define HR_SERVER_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <headrace/layer.h>

#include "base/timer.h"
#include "message/asgi.h"
#include "server/route.h"

struct hr_broadcast;
struct hr_server;
struct hr_source;

struct hr_source_ops {
    /* An answer, not event.done. The first message of an event may still be its only one. */
    void (*on_message)(struct hr_source *source, enum hr_msg_type type, const struct hr_msg *msg);
    /* The event has ended by event.done. */
    void (*on_done)(struct hr_source *source, const struct hr_msg *done);
    /* Its holder died; `msg` is the event as it was sent. It is not out any more. */
    void (*on_lost)(struct hr_source *source, const struct hr_delivery *lost);
    /* QUEUE_TIMEOUT: nobody took it. TIMEOUT: its holder is too slow. FLUSHED: it has vanished. It
       is not out any more. */
    void (*on_timeout)(struct hr_source *source, enum hr_reason reason);
    /* The channel that was full may have room. */
    void (*on_room)(struct hr_source *source);
    /* A message to a group that the address is in. */
    void (*on_group)(struct hr_source *source, struct hr_broadcast *broadcast);
};

enum hr_source_state {
    HR_SOURCE_IDLE,
    HR_SOURCE_OUT,       /* queued or held; the ticket tells */
    HR_SOURCE_HANDED_ON, /* held by another channel's consumer, until `mark` */
    HR_SOURCE_REFUSED,   /* the channel was full: the owner keeps the event */
};

struct hr_source {
    const struct hr_source_ops *ops;
    struct hr_server *server;
    struct hr_pool *pool;
    struct hr_addr addr;
    struct hr_ticket ticket;
    struct hr_timer timer;
    struct hr_list refused;    /* hr_pool.refused */
    hr_time sent_at, taken_at; /* taken_at 0: not known */
    hr_time mark;              /* HANDED_ON: its end. OUT: the client's last share in it, where its
                                  timeout begins anew */
    uint32_t seq;              /* of the event out, or of the last one */
    uint32_t holder;           /* slot + 1 of who held it; 0: not known */
    uint8_t kind;              /* enum hr_kind of the event out */
    uint8_t state;             /* enum hr_source_state */
    uint8_t attempts;          /* deliveries before this one; the owner sets it before a draft */
    bool is_untimed;           /* the answer has begun: it may take as long as it likes */
    bool is_accepted; /* the handshake has been answered: a connect has time like any event */
    bool is_vanished; /* the ticket was gone when last looked at */
};

static inline bool hr_source_is_out(const struct hr_source *source)
{
    return source->state == HR_SOURCE_OUT || source->state == HR_SOURCE_HANDED_ON;
}

/* Takes an address. Returns 0, or HR_LAYER_FULL when all are in use, or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_source_open(struct hr_source *source, struct hr_server *server,
                                 struct hr_pool *pool, const struct hr_source_ops *ops);
/* Gives the address back: an event out is dropped before anybody takes it, later answers are
 * GONE. Idempotent. */
void hr_source_close(struct hr_source *source);
/* Forgets the pool and the last event: nothing of one request is said of the next. */
void hr_source_forget(struct hr_source *source);
/* Moves a source to another owner's struct. */
void hr_source_move(struct hr_source *to, struct hr_source *from, const struct hr_source_ops *ops);

/* Writing an event straight into the layer: draft, pack, send. Outcomes as
 * for hr_layer_draft(); after 0 from send it is out. */
HR_MUST_CHECK int hr_source_draft(struct hr_source *source, enum hr_kind kind, size_t size,
                                  struct hr_draft *out);
HR_MUST_CHECK int hr_source_send(struct hr_source *source, struct hr_draft *draft);

/* Sends a lost event once more, to the channel it was lost from. A new
 * generation of the address makes late answers to the old attempt GONE.
 * Outcomes as for hr_layer_send(). */
enum hr_resend { HR_RESEND_SAME_ADDRESS, HR_RESEND_NEW_ADDRESS };
HR_MUST_CHECK int hr_source_resend(struct hr_source *source, const struct hr_delivery *lost,
                                   enum hr_resend how);

/* The channel refused: on_room is called at the next completion in its pool, or in 50 ms. */
void hr_source_refused(struct hr_source *source);

/* The event has ended by something else than event.done: a final answer. */
void hr_source_end(struct hr_source *source);

/* A delivery for this source's address, its generation already checked. */
void hr_source_deliver(struct hr_source *source, const struct hr_delivery *delivery);

/* Counts what came to nothing, under the source's pool and the kind of its event. */
void hr_source_count(struct hr_source *source, enum hr_reason reason);

/* The handler's reply address as text. */
static inline struct hr_str hr_source_address(const struct hr_source *source,
                                              char out[HR_ADDR_TEXT_MAX])
{
    return (struct hr_str){out, hr_addr_format(&source->addr, out)};
}

/* Does `hr_layer_send` and its family mean by `r` that trying later is worth while? */
static inline bool hr_is_refusal(int r)
{
    return r == HR_LAYER_FULL || r == HR_ERR_UNAVAILABLE;
}

/* The word for it. */
enum hr_reason hr_reason_of_refusal(int r);

#endif /* HR_SERVER_EVENT_H */
