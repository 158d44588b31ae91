/* context.h - one event being handled: what it is, what was said, what is still to come.
 *
 * A context lives from the event's delivery to its acknowledgement:
 *
 *   open      its consumer runs, or somebody keeps it (hr_ctx_keep(), a body
 *             that is still coming, a job, a child)
 *   ending    nobody does any more: the last words are said (an error's
 *             answer, event.done) and wait in the outbox if they must
 *   acked     and its memory is used for another
 *
 * In that order, always: outputs, event.done, the layer's ack. A crash in
 * between makes the event come again or be counted, never both lost and done.
 *
 * Threads: the loop's.
 * Memory:  the event's bytes, and all that is allocated for it, lie in its stash.
 */
#ifndef HR_WORKER_CONTEXT_H
#define HR_WORKER_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <headrace/worker.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/time.h"
#include "worker/stash.h"

enum hr_ctx_kind {
    HR_CTX_HTTP,
    HR_CTX_CONNECT,
    HR_CTX_RECEIVE,
    HR_CTX_DISCONNECT,
    HR_CTX_PLAIN,                       /* any other channel */
    HR_CTX_N_POOL_KINDS = HR_CTX_PLAIN, /* those before it, with a channel for each pool */
};

/* How far the answer has come. */
enum hr_answer {
    HR_ANSWER_NONE,
    HR_ANSWER_STARTED,   /* HTTP: the head is said. WebSocket: accepted. More may follow */
    HR_ANSWER_GIVEN,     /* HTTP: the last piece is said. WebSocket: denied or closed */
    HR_ANSWER_HANDED_ON, /* HTTP: another channel's consumer gives it */
};

/* The rest of a request's body, see body.c. */
enum hr_body_stage {
    HR_BODY_IDLE,    /* none comes, or nobody wants it */
    HR_BODY_WANTED,  /* STREAM: hr_http_on_body() was called, its consumer has not returned yet */
    HR_BODY_COMING,  /* STREAM: pieces go to `fn` */
    HR_BODY_COLLECT, /* WHOLE: pieces go to `whole`, then the consumer is called */
    HR_BODY_OVER,    /* its end has come, or the client is gone, or it was refused */
};

struct hr_ctx_body {
    enum hr_body_stage stage;
    uint64_t n_read;     /* bytes of the body so far */
    uint64_t n_credited; /* of them told to the server */
    struct hr_buf whole; /* the message being put together; owned */
    size_t head_bytes;   /* of `whole`, before the body's first byte */
    void (*fn)(struct hr_ctx *ctx, void *arg, struct hr_str piece, bool is_last);
    void *arg;
};

struct hr_ctx_header {
    struct hr_ctx_header *next;
    struct hr_str name, value;
};

struct hr_state_change; /* state.c */

typedef void (*hr_ctx_fn)(struct hr_ctx *ctx, void *arg);

struct hr_ctx {
    uint32_t magic;
    struct hr_list node; /* worker->open, from keep or wait on; else unlinked */
    struct hr_worker *worker;
    struct hr_stash stash;

    /* The event. */
    struct hr_msg msg; /* what the consumer gets; found again by hr_ctx_of() */
    const struct hr_consumer *row;
    enum hr_ctx_kind kind;
    uint32_t seq;          /* the server's number for it; 0: no server waits for its done */
    struct hr_str channel; /* "http.request" without the pool, or the plain channel's name */
    struct hr_str path;
    struct hr_addr reply;
    struct hr_lease lease;
    uint32_t attempts; /* deliveries before this one */
    hr_time taken_at;
    struct hr_str reply_text; /* of `reply`, made when asked for */

    /* Its life. */
    uint32_t n_keeps;
    uint32_t n_jobs; /* of them those on the thread pool */
    bool is_abandoned;
    bool is_ending;    /* the last words are said */
    bool is_gone;      /* the client has left or the event was given up */
    bool has_given_up; /* its output could not be sent for too long */
    bool has_said;     /* something of the answer is out */
    bool owes_drain;   /* on_drain is to be called when there is room */
    bool is_gone_told; /* on_gone was called */
    int error;         /* the first; 0: none */
    const char *trace; /* of the first error */
    enum hr_answer answer;
    hr_time hand_on_timeout;

    /* Output: see outbox.h. */
    struct hr_addr to;      /* our address for credit, the body and http.disconnect; or not set */
    struct hr_list outbox;  /* of outbox.c's nodes, oldest first */
    struct hr_list stalled; /* in worker->stalled while the layer refuses the first of them */
    hr_time stalled_since;
    size_t n_queued;    /* bytes in `outbox` */
    uint64_t n_body;    /* bytes of the answer's body handed to the layer */
    uint64_t n_written; /* of them written to the client, so the server says */
    struct hr_ctx_header *headers, **headers_end;
    uint32_t n_headers;
    size_t headers_size; /* at most what they take encoded */

    hr_ctx_fn on_gone, on_drain;
    void *on_gone_arg, *on_drain_arg;

    struct hr_ctx_body body;
    struct hr_state_change *state; /* newest first */

    max_align_t first[256]; /* of the stash; not cleared between events */
};

#define HR_CTX_MAGIC HR_MAGIC('C', 'T', 'X', ' ')

/* A context for what was received; the event's bytes are copied and checked.
 * It starts with one keep, its deliverer's. NULL when out of memory. An event
 * that is not a valid message has HR_ERR_MESSAGE as its error. */
struct hr_ctx *hr_ctx_new(struct hr_worker *worker, const struct hr_delivery *delivery);

/* Two pairs for a message to a server: when its event was taken, and by whom.
 * Access log, metrics and status tell waiting from work by them. */
enum { HR_CTX_TAKE_PAIRS = 2 };
void hr_ctx_pack_take(const struct hr_ctx *ctx, struct hr_pack *pack);

/* Gives one keep back; the last one ends the event. */
void hr_ctx_release(struct hr_ctx *ctx);

/* The client is no longer there: nothing more is sent. Its application learns
 * of it from the loop, not from within one of its own calls. */
void hr_ctx_set_gone(struct hr_ctx *ctx);

/* Called by the loop after anything that may have been what a context waited
 * for: finishes it, or tells it that its client is gone. It may have ended then. */
void hr_ctx_settle(struct hr_ctx *ctx);

/* What could not be sent for too long is dropped and counted. It may have ended then. */
void hr_ctx_give_up(struct hr_ctx *ctx);

/* Ends it at once: handed back to the layer as if we had died. Its memory goes
 * when no thread of the pool works for it any more. */
void hr_ctx_abandon(struct hr_ctx *ctx, enum hr_reason reason);
void hr_ctx_leave_job(struct hr_ctx *ctx); /* one such job less, and the keep it had */

/* Remembers the first error and passes `r`. A client that has left is none:
 * what else the consumer does is done. */
int hr_ctx_note(struct hr_ctx *ctx, int r);

/* One log line with the worker's and the event's names. */
void hr_ctx_write_log(const struct hr_ctx *ctx, enum hr_event event, struct hr_str text);

/* Opens the context's own address, once, and gives it as text. Returns 0, HR_ERR_FULL,
 * HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_ctx_open_address(struct hr_ctx *ctx, struct hr_str *out);

/* Puts it on the worker's list of those that outlive their consumer's call. */
void hr_ctx_link(struct hr_ctx *ctx);

/* The context whose message this is, or NULL. */
struct hr_ctx *hr_ctx_of(const struct hr_msg *msg);

/* Memory that contexts of a worker leave for the next ones. */
void hr_ctx_free_spares(struct hr_worker *worker);

/* ---- running the application's functions: what is in hand is known to hr_ctx_of(), to a crash,
 * and to the watch for what blocks the loop. `ctx` may be NULL; it is kept meanwhile. */
struct hr_hand {
    struct hr_worker *worker;
    struct hr_ctx *ctx, *before;
    hr_time since;
};
struct hr_hand hr_hand_take(struct hr_worker *worker, struct hr_ctx *ctx);
void hr_hand_back(const struct hr_hand *hand);

/* The event in hand of this thread; also read by the crash handler. */
extern _Thread_local struct hr_ctx *hr_in_hand __attribute__((tls_model("initial-exec")));

#endif /* HR_WORKER_CONTEXT_H */
