/* worker.h - writing applications in C.
 *
 * An application is a shared object with one entry point, `hr_app`, which
 * hands over a table of consumers. The runtime calls a consumer with a
 * context and a message; what the consumer wants done it says through the
 * context. Any worker may take any event of a connection: who and where the
 * client is lives in the connection's *state*, a small map that comes with
 * every event and goes back when the consumer returns.
 *
 *   static int hello(struct hr_ctx *ctx, const struct hr_msg *request)
 *   {
 *       return hr_http_reply(ctx, 200, "text/plain", "Hello %.*s\n",
 *                            HR_STR(hr_http_path(request)));
 *   }
 *
 *   int hr_app(struct hr_worker *worker)
 *   {
 *       static const struct hr_consumer consumers[] = {
 *           {.channel = "http.request", .fn = hello},
 *           {0},
 *       };
 *       return hr_worker_consume(worker, consumers);
 *   }
 *
 * Errors. Calls on a context return 0 or an error, and the context remembers
 * the first one; from then on its calls do nothing and return that error. So
 * a consumer may look at no result and return the last call's: nothing is
 * sent after something failed, and the first error is reported. A consumer
 * that wants to deal with an error itself calls hr_ctx_clear_error(). An error
 * that is left makes a 500 (or what its number says, see errors.def) when
 * nothing was answered, cuts off an answer that was begun, and closes a
 * WebSocket with 1011. HR_ERR_GONE, the client has left, is not remembered:
 * what else the consumer does is done.
 *
 * Order. What a consumer sends goes out in the order of the calls; its
 * changed state and the event's completion follow when it returns. The next
 * event of the same connection comes only then.
 *
 * Waiting. No call waits. What the layer or a slow client cannot take at once
 * is queued in order, up to 1 MiB for each event and then HR_ERR_FULL; the
 * event's completion waits behind it.
 *
 * Later. hr_ctx_keep() holds the event open after the consumer has returned,
 * for timers, the thread pool, child processes and streams; hr_ctx_done()
 * ends it. The pool's timeout counts on.
 *
 * Threads: one event loop, one thread. Only functions given to
 *          hr_worker_queue() run elsewhere; they must not touch a context.
 * Memory:  a message and all text read from it live until the consumer
 *          returns, or until hr_ctx_done() of a kept context. A context lives
 *          until its event is done. Text given to a call is borrowed.
 */
#ifndef HEADRACE_WORKER_H
#define HEADRACE_WORKER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/error.h>
#include <headrace/layer.h>
#include <headrace/message.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hr_worker; /* this process as a worker */
struct hr_ctx;    /* one event being handled */

typedef int (*hr_consumer_fn)(struct hr_ctx *ctx, const struct hr_msg *msg);

enum hr_body_mode {
    HR_BODY_WHOLE =
        0, /* the consumer is called with the whole body, at most max_body bytes (else 413) */
    HR_BODY_STREAM, /* called at once with what is there; the rest comes to hr_http_on_body() */
};

/* One row of the table. `channel` is "http.request", "websocket.connect",
 * "websocket.receive", "websocket.disconnect" (then: of this pool) or any
 * channel name or glob. `path` ends in '*' for a prefix; NULL takes all.
 * The first row that matches is called; the table ends with a zeroed row.
 * A request or handshake that no row takes is answered 404. */
struct hr_consumer {
    const char *channel;
    const char *path;
    hr_consumer_fn fn;
    enum hr_body_mode body; /* http.request */
    size_t max_body;        /* bytes, for HR_BODY_WHOLE; 0: 1 MiB */
    void *arg;              /* hr_ctx_arg() */
};

/* ---- the worker ------------------------------------------------------------------------------ */

/* The application's entry point: called once per process, before any event. */
HR_API int hr_app(struct hr_worker *worker);

/* Registers a table, which must stay; may be called several times, from hr_app(). */
HR_API int hr_worker_consume(struct hr_worker *worker, const struct hr_consumer *consumers);

/* Called after the last event, before the process ends; the last one given is called first. */
HR_API int hr_worker_on_stop(struct hr_worker *worker, void (*fn)(void *arg), void *arg);

/* For programs with a main() of their own: attaches, runs `app` and serves
 * until SIGTERM. Arguments as for `headrace work` (--layer, --pool, ...).
 * Returns the exit code. */
HR_API int hr_worker_main(int argc, char **argv, int (*app)(struct hr_worker *worker));

HR_API const char *hr_worker_pool(const struct hr_worker *worker);
HR_API struct hr_layer *hr_worker_layer(struct hr_worker *worker);

/* A timer: `fn` after `delay`, and every `repeat` when that is not 0. The
 * timer lives until hr_worker_timer_cancel(), which may be called from its own
 * function; a timer that does not repeat ends by itself. NULL when out of memory. */
struct hr_worker_timer;
HR_API struct hr_worker_timer *hr_worker_timer(struct hr_worker *worker, hr_time delay,
                                               hr_time repeat, void (*fn)(void *arg), void *arg);
HR_API void hr_worker_timer_cancel(struct hr_worker_timer *timer);

/* Runs `work` on the thread pool and then `done` (may be NULL) on the loop:
 * "some computation is finished". `ctx`, when not NULL, is kept until `done`
 * has returned. HR_ERR_FULL when 1024 jobs run or wait. */
HR_API int hr_worker_queue(struct hr_worker *worker, struct hr_ctx *ctx, void (*work)(void *arg),
                           void (*done)(struct hr_ctx *ctx, void *arg), void *arg);

/* Starts a child process and calls `exited` when it ends: "a subprocess has
 * ended". `output`, when not NULL, gets what the child writes to stdout, in
 * pieces, all of it before `exited`; else stdout is ours. `ctx`, when not
 * NULL, is kept until `exited` has returned. HR_ERR_FULL when 256 run;
 * HR_ERR_SYS with errno when it cannot be started. */
struct hr_child_spec {
    const char *file; /* searched in PATH when it has no slash */
    const char *const *argv;
    const char *const *env; /* NULL: ours */
    const char *cwd;        /* NULL: ours */
    struct hr_str input;    /* written to its stdin, then closed; borrowed until exited */
    void (*output)(struct hr_ctx *ctx, void *arg, struct hr_str piece);
    void (*exited)(struct hr_ctx *ctx, void *arg, int exit_status, int term_signal);
    void *arg;
};
HR_API int hr_worker_spawn(struct hr_worker *worker, struct hr_ctx *ctx,
                           const struct hr_child_spec *spec);

/* Logs a line with this worker's and the event's names. */
HR_API void hr_ctx_log(struct hr_ctx *ctx, const char *format, ...) HR_PRINTF(2, 3);

/* ---- the context ----------------------------------------------------------------------------- */

HR_API struct hr_worker *hr_ctx_worker(struct hr_ctx *ctx);
HR_API void *hr_ctx_arg(struct hr_ctx *ctx);           /* of the consumer's row */
HR_API int hr_ctx_error(const struct hr_ctx *ctx);     /* the first error, or 0 */
HR_API int hr_ctx_fail(struct hr_ctx *ctx, int error); /* remembers an error of the application's */
HR_API void hr_ctx_clear_error(struct hr_ctx *ctx);    /* it was dealt with: calls work again */
HR_API void *hr_ctx_alloc(struct hr_ctx *ctx,
                          size_t size); /* freed with the context; NULL and the error remembered */
HR_API struct hr_str hr_ctx_printf(struct hr_ctx *ctx, const char *format, ...) HR_PRINTF(2, 3);

/* Holds the event open after the consumer returns; one hr_ctx_done() for each,
 * which returns the first error. After the last one `ctx` is no more. */
HR_API void hr_ctx_keep(struct hr_ctx *ctx);
HR_API int hr_ctx_done(struct hr_ctx *ctx);

/* The address that the event's answer goes to, as text. */
HR_API struct hr_str hr_ctx_reply_channel(struct hr_ctx *ctx);
/* Has the client left, or the event been given up? Cheap; for long work. */
HR_API bool hr_ctx_client_gone(struct hr_ctx *ctx);
/* Called once, from the loop, when the client leaves while the context is kept. */
HR_API void hr_ctx_on_gone(struct hr_ctx *ctx, void (*fn)(struct hr_ctx *ctx, void *arg),
                           void *arg);

/* ---- HTTP ------------------------------------------------------------------------------------ */

HR_API struct hr_str hr_http_method(const struct hr_msg *msg);
HR_API struct hr_str hr_http_path(const struct hr_msg *msg);                     /* decoded */
HR_API struct hr_str hr_http_header(const struct hr_msg *msg, const char *name); /* first; empty */
HR_API struct hr_str hr_http_body(const struct hr_msg *msg);

/* Values of the query string, of a urlencoded form body, of a cookie: decoded,
 * the first of that name, empty when missing. Decoded text belongs to the
 * context the message was delivered with. */
HR_API struct hr_str hr_http_query(const struct hr_msg *msg, const char *name);
HR_API struct hr_str hr_http_form(const struct hr_msg *msg, const char *name);
HR_API struct hr_str hr_http_cookie(const struct hr_msg *msg, const char *name);

/* Answers in one go: printf text, or bytes, at most 16 MiB. `content_type` may be NULL. */
HR_API int hr_http_reply(struct hr_ctx *ctx, int status, const char *content_type,
                         const char *format, ...) HR_PRINTF(4, 5);
HR_API int hr_http_reply_bytes(struct hr_ctx *ctx, int status, const char *content_type,
                               const void *data, size_t len);

/* A header of the answer, of an accepted or of a denied handshake; before it
 * starts, at most 64. HR_ERR_INVALID when the name is no token, or the value
 * holds a control character or is longer than 8 KiB. */
HR_API int hr_http_set_header(struct hr_ctx *ctx, const char *name, const char *format, ...)
    HR_PRINTF(3, 4);

/* An answer in pieces: start, any number of writes, end. hr_http_window()
 * bytes may be written ahead of the client; more is queued, up to 1 MiB, and
 * then HR_ERR_FULL, the write being refused as a whole. hr_http_on_drain():
 * after writes that took more than half of the window, `fn` is called once
 * half of it is free again; keep the context for that. An answer that was
 * begun and not ended outlives its event: whoever knows its reply channel, or
 * sends http.response.body to a group it has joined, goes on with it. */
HR_API int hr_http_start(struct hr_ctx *ctx, int status, const char *content_type);
HR_API int hr_http_write(struct hr_ctx *ctx, const void *data, size_t len);
HR_API int hr_http_end(struct hr_ctx *ctx);
HR_API size_t hr_http_window(struct hr_ctx *ctx);
HR_API void hr_http_on_drain(struct hr_ctx *ctx, void (*fn)(struct hr_ctx *ctx, void *arg),
                             void *arg);

/* The request's body in pieces, for rows with HR_BODY_STREAM: those that follow
 * hr_http_body(). Keeps the context until the last piece (`is_last`, perhaps
 * an empty one; there always is one unless the client leaves first or an
 * error ends the event: see hr_ctx_on_gone()). What is read is credited back
 * to the client when `fn` returns. */
HR_API void hr_http_on_body(struct hr_ctx *ctx,
                            void (*fn)(struct hr_ctx *ctx, void *arg, struct hr_str piece,
                                       bool is_last),
                            void *arg);

/* Sends the right to answer this request along with `msg` to `channel`, whose
 * consumer answers it as if it were its own; this event is then done. No
 * answer within `timeout` (0: the pool's) is a 504. HR_ERR_FULL when the
 * channel is: the event is still this consumer's. */
HR_API int hr_http_hand_on(struct hr_ctx *ctx, const char *channel, const struct hr_pack *msg,
                           hr_time timeout);

/* ---- WebSocket ---------------------------------------------------------------------------------
 */

/* A handshake is accepted, or denied with a status of 400 to 599; a consumer
 * that does neither denies with 403. Text must be UTF-8 (else HR_ERR_MESSAGE). */
HR_API int hr_ws_accept(struct hr_ctx *ctx);
HR_API int hr_ws_accept_protocol(struct hr_ctx *ctx, struct hr_str subprotocol);
HR_API bool hr_ws_offers(const struct hr_msg *connect, const char *subprotocol);
HR_API int hr_ws_deny(struct hr_ctx *ctx, int status);
HR_API int hr_ws_send(struct hr_ctx *ctx, const char *format, ...) HR_PRINTF(2, 3);
HR_API int hr_ws_send_text(struct hr_ctx *ctx, struct hr_str text);
HR_API int hr_ws_send_bytes(struct hr_ctx *ctx, const void *data, size_t len);
HR_API int hr_ws_echo(struct hr_ctx *ctx,
                      const struct hr_msg *received); /* text stays text, bytes stay bytes */
HR_API int hr_ws_close(struct hr_ctx *ctx, int code,
                       const char *reason);                      /* NULL: none; at most 123 bytes */
HR_API struct hr_str hr_ws_text(const struct hr_msg *received);  /* empty when it was bytes */
HR_API struct hr_str hr_ws_bytes(const struct hr_msg *received); /* empty when it was text */

/* ---- state: lives beside the socket, at most 16 KiB -------------------------------------------
 */

/* Of WebSocket events. A change is seen at once by these calls, and by the
 * connection's next event when this one is done without error. HR_ERR_TOO_BIG
 * leaves the state as it was. */
HR_API struct hr_str hr_state_get(struct hr_ctx *ctx, const char *key); /* empty when missing */
HR_API int64_t hr_state_int(struct hr_ctx *ctx, const char *key, int64_t fallback);
HR_API int hr_state_set(struct hr_ctx *ctx, const char *key, struct hr_str value);
HR_API int hr_state_set_int(struct hr_ctx *ctx, const char *key, int64_t value);
HR_API int hr_state_unset(struct hr_ctx *ctx, const char *key);

/* ---- groups and channels ------------------------------------------------------------------------
 */

/* A legal group name from any text. A-Z a-z 0-9 . - and '_' stand for
 * themselves, every other byte becomes _XX, as does a '_' that would look
 * like such an escape; names longer than 80 bytes end in a hash. Different
 * texts give different names, the same text the same name everywhere. */
HR_API struct hr_str hr_group_name(struct hr_ctx *ctx, const char *format, ...) HR_PRINTF(2, 3);
HR_API int hr_group_join(struct hr_ctx *ctx, struct hr_str group); /* this connection */
HR_API int hr_group_leave(struct hr_ctx *ctx, struct hr_str group);
HR_API int hr_group_send(struct hr_ctx *ctx, struct hr_str group, const char *format, ...)
    HR_PRINTF(3, 4); /* as text */
HR_API int hr_group_send_msg(struct hr_ctx *ctx, struct hr_str group, const struct hr_pack *msg);
HR_API size_t hr_group_count(struct hr_ctx *ctx, struct hr_str group);

/* A message to any channel, or to any reply channel. */
HR_API int hr_channel_send(struct hr_ctx *ctx, struct hr_str channel, const struct hr_pack *msg);

/* Consumers of other channels answer their message's reply channel with the
 * HTTP and WebSocket calls above. */

#ifdef __cplusplus
}
#endif

#endif /* HEADRACE_WORKER_H */
