/* worker_impl.h - a worker's insides, for the files of this folder.
 *
 * worker.c joins the layer to the loop and hands deliveries to events.c;
 * everything that may outlive a turn of the loop hangs on a list here, with a
 * bound, so that stopping and closing can find it.
 *
 * Threads: the loop's.
 */
#ifndef HR_WORKER_WORKER_IMPL_H
#define HR_WORKER_WORKER_IMPL_H

#include "base/list.h"
#include "base/loop.h"
#include "worker/app.h"
#include "worker/context.h"
#include "worker/routes.h"
#include "worker/runtime.h"

enum {
    HR_WORKER_JOBS_MAX = 1024,    /* on the thread pool, running or waiting */
    HR_WORKER_CHILDREN_MAX = 256, /* each is a process */
    HR_WORKER_SPARES = 32,        /* contexts left for the next events */
    HR_WORKER_TURN = 64,          /* deliveries before the loop's other events have their turn */
};
#define HR_WORKER_WATCH                                                                            \
    (100 * HR_MS) /* how often open events are asked whether their client is there */
#define HR_WORKER_BLOCKED (100 * HR_MS) /* a call that takes longer is named in the log */

struct hr_stop_hook {
    struct hr_stop_hook *next;
    void (*fn)(void *arg);
    void *arg;
};

struct hr_worker {
    uint32_t magic;
    struct hr_loop *loop;
    struct hr_layer *layer;         /* owned; NULL once closed */
    uint64_t *busy;                 /* words of its slot, see busy.h; NULL: none */
    struct hr_worker_config config; /* with the defaults filled in */
    char label[32];
    struct hr_app_file file;
    struct hr_routes routes;
    struct hr_list node; /* in this thread's workers */

    struct hr_hook hook;
    struct hr_io io;

    struct hr_list open;     /* contexts that outlived their consumer's call */
    struct hr_list stalled;  /* of them those whose output the layer refused */
    uint32_t n_open;         /* contexts not yet acknowledged */
    struct hr_ctx **by_conn; /* contexts with an address of their own, by its connection; owned */
    uint32_t n_conns;
    struct hr_ctx *spares[HR_WORKER_SPARES]; /* owned */
    uint32_t n_spares;

    hr_time patience; /* with a layer that refuses: HR_OUTBOX_PATIENCE */
    struct hr_timer retry_timer, watch_timer, drain_timer;
    struct hr_list timers, jobs, children; /* the application's */
    uint32_t n_jobs, n_children;
    struct hr_stop_hook *stop_hooks; /* newest first; owned */

    bool is_booting, is_stopping;
    bool is_over;       /* nothing is received any more; ended() was called or will not be */
    bool is_closed;     /* our owner has let go */
    bool has_gone;      /* some open context's client was found gone */
    int outcome;        /* that ended() will be told */
    uint32_t n_handles; /* loop handles and jobs that still point here after a close */
};

#define HR_WORKER_MAGIC HR_MAGIC('W', 'R', 'K', 'R')

/* Moves all of `from` to `to`, which need not be initialised. */
static inline void hr_list_move(struct hr_list *to, struct hr_list *from)
{
    hr_list_init(to);
    if (hr_list_is_empty(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    hr_list_init(from);
}

/* ---- worker.c */
/* One loop handle or job less; frees a closed worker with the last one. */
void hr_worker_let_go(struct hr_worker *worker);
/* The workers of this thread. */
struct hr_list *hr_worker_list(void);
/* There is an open context: from now on its client is asked for now and then. */
void hr_worker_watch(struct hr_worker *worker);

/* ---- events.c */
/* An event from a channel: finds its consumer and calls it. */
void hr_event_deliver(struct hr_worker *worker, const struct hr_delivery *delivery);
/* Calls the consumer of a context whose message is whole. */
void hr_event_call(struct hr_ctx *ctx);
/* A message to one of our own addresses: credit, more of a body, a client that left. */
void hr_event_inbox(struct hr_worker *worker, const struct hr_delivery *delivery);

/* ---- body.c */
/* Does this event wait for the rest of its body before its consumer is called? Then it began to. */
bool hr_body_collects(struct hr_ctx *ctx);
/* The application's function has returned: the pieces that it asked for may come. */
void hr_body_start(struct hr_ctx *ctx);
void hr_body_piece(struct hr_ctx *ctx, const struct hr_msg *msg);
/* No more of it will come. */
void hr_body_stop(struct hr_ctx *ctx);

/* ---- http.c, websocket.c: the runtime's own words */
HR_MUST_CHECK int hr_answer_refuse(struct hr_ctx *ctx, int status);
HR_MUST_CHECK int hr_answer_deny(struct hr_ctx *ctx, int status);
HR_MUST_CHECK int hr_answer_close(struct hr_ctx *ctx, int code);

/* ---- channels.c */
/* What hr_group_name() makes; the length without the NUL. */
size_t hr_group_name_make(struct hr_str text, char out[HR_NAME_MAX + 1]);
HR_MUST_CHECK int hr_message_send(struct hr_ctx *ctx, struct hr_str channel,
                                  const struct hr_pack *pack,
                                  const struct hr_send_options *options);

/* ---- state.c */
bool hr_state_has_changed(const struct hr_ctx *ctx);
/* The state as it is now. Returns 0, HR_ERR_NOMEM, or HR_ERR_TOO_BIG beyond HR_STATE_MAX. */
HR_MUST_CHECK int hr_state_encode(struct hr_ctx *ctx, struct hr_str *out);

/* ---- crash.c: whose code it is, so that a crash can name the function and line */
void hr_crash_set_app(struct hr_worker *worker, int (*entry)(struct hr_worker *worker));
void hr_crash_forget(const struct hr_worker *worker);

/* ---- jobs.c, child.c, clock.c: what the application started, when the worker closes */
void hr_jobs_close(struct hr_worker *worker);
void hr_children_close(struct hr_worker *worker);
void hr_timers_close(struct hr_worker *worker);

#endif /* HR_WORKER_WORKER_IMPL_H */
