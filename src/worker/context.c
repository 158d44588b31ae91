/* context.c - see context.h for the contract.
 *
 * Memory. A context is one block of about 5 KiB: its fields, which are cleared
 * for each event, and the first piece of its stash, which is not. A worker
 * keeps up to HR_WORKER_SPARES of them, so an event that needs no more than
 * 4 KiB allocates nothing.
 *
 * Who counts. `n_keeps` counts the reasons for which an event is open. When it
 * falls to 0 the last words are said, once; the context then stays only for
 * what its outbox still holds. Whatever calls into the application holds a
 * keep of its own meanwhile (struct hr_hand), so that a context cannot vanish
 * under the function that is using it.
 *
 * What the last words are:
 *
 *   event       | an error                       | no error
 *   ------------+--------------------------------+------------------------------------------
 *   HTTP        | nothing said: the error's      | done. When nothing was said the server
 *               | status. Begun: nack, upon      | makes it a 500; an answer that was begun
 *               | which the server cuts it off   | outlives its event, for whoever goes on
 *   connect     | the same denial, or a close    | done. When nothing was said it is a 403
 *               | once accepted; done            |
 *   receive     | a close with the error's code; | done
 *               | done                           |
 *   disconnect  | done                           | done
 *   other, of a | as HTTP                        | nothing said: 500
 *   server      |                                |
 *   other       | nack, or counted               |
 *
 * done is left out where the last piece of an HTTP answer was said: it implies it.
 */
#include "worker/context.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "message/asgi.h"
#include "worker/outbox.h"
#include "worker/worker_impl.h"

static const uint8_t empty_map[] = {0x80};

/* ---- beginning */

static struct hr_ctx *ctx_alloc(struct hr_worker *worker)
{
    struct hr_ctx *ctx =
        worker->n_spares > 0 ? worker->spares[--worker->n_spares] : hr_alloc(sizeof(*ctx));
    if (!ctx)
        return NULL;

    memset(ctx, 0, offsetof(struct hr_ctx, first));
    ctx->magic = HR_CTX_MAGIC;
    ctx->worker = worker;
    hr_stash_init(&ctx->stash, ctx->first, sizeof(ctx->first));
    hr_list_init(&ctx->outbox);
    ctx->headers_end = &ctx->headers;
    worker->n_open++;
    return ctx;
}

/* Leaves every list and the layer. */
static void ctx_detach(struct hr_ctx *ctx)
{
    struct hr_worker *worker = ctx->worker;
    hr_outbox_drop(ctx);
    hr_list_remove(&ctx->node);
    if (hr_addr_is_set(&ctx->to)) {
        worker->by_conn[ctx->to.conn] = NULL;
        hr_layer_address_close(worker->layer, &ctx->to);
    }
    worker->n_open--;
}

static void ctx_free(struct hr_ctx *ctx)
{
    struct hr_worker *worker = ctx->worker;
    hr_buf_fini(&ctx->body.whole);
    hr_stash_fini(&ctx->stash);
    ctx->magic = 0;
    if (worker->n_spares < HR_WORKER_SPARES)
        worker->spares[worker->n_spares++] = ctx;
    else
        hr_free(ctx);
}

void hr_ctx_free_spares(struct hr_worker *worker)
{
    while (worker->n_spares > 0)
        hr_free(worker->spares[--worker->n_spares]);
}

/* The event's bytes are copied before they are looked at: a kept context needs
 * them after the next receive, and they may lie in memory that others write. */
static int ctx_take_message(struct hr_ctx *ctx, const struct hr_delivery *delivery)
{
    struct hr_str bytes = {(const char *)delivery->data, delivery->len}, copy;
    int r = hr_stash_copy(&ctx->stash, bytes, &copy);
    if (r < 0)
        return hr_trace(r);
    if (hr_msg_check(copy.ptr, copy.len, &ctx->msg) != 0) {
        ctx->msg = (struct hr_msg){empty_map, sizeof(empty_map)};
        hr_ctx_note(ctx, hr_raise(HR_ERR_MESSAGE));
    }
    ctx->path = hr_msg_str(&ctx->msg, "path");
    return 0;
}

struct hr_ctx *hr_ctx_new(struct hr_worker *worker, const struct hr_delivery *delivery)
{
    struct hr_ctx *ctx = ctx_alloc(worker);
    if (!ctx)
        return NULL;

    ctx->n_keeps = 1;
    ctx->kind = hr_routes_kind(&worker->routes, delivery->channel);
    ctx->reply = delivery->reply;
    ctx->seq = hr_addr_is_set(&delivery->reply) ? delivery->seq : 0;
    ctx->lease = delivery->lease;
    ctx->attempts = delivery->attempts;
    ctx->taken_at = delivery->taken_at;
    ctx->answer = ctx->kind == HR_CTX_RECEIVE      ? HR_ANSWER_STARTED
                  : ctx->kind == HR_CTX_DISCONNECT ? HR_ANSWER_GIVEN
                                                   : HR_ANSWER_NONE;
    ctx->channel = hr_ctx_kind_name(ctx->kind);
    int r = 0;
    if (ctx->kind == HR_CTX_PLAIN)
        r = hr_stash_copy(&ctx->stash, delivery->channel, &ctx->channel);
    if (r == 0)
        r = ctx_take_message(ctx, delivery);
    if (r < 0) {
        ctx_detach(ctx);
        ctx_free(ctx);
        return NULL;
    }
    return ctx;
}

/* ---- errors */

int hr_ctx_note(struct hr_ctx *ctx, int r)
{
    if (r >= 0 || r == HR_ERR_GONE || ctx->error < 0)
        return r;
    ctx->error = r;

    char text[512];
    struct hr_str copy;
    hr_error_format(text, sizeof(text), r);
    if (hr_stash_copy(&ctx->stash, hr_str_of(text), &copy) == 0)
        ctx->trace = copy.ptr;
    return r;
}

void hr_ctx_write_log(const struct hr_ctx *ctx, enum hr_event event, struct hr_str text)
{
    struct hr_logline line;
    hr_logline_begin(&line, event);
    hr_logline_str(&line, "pool", hr_str_of(ctx->worker->config.pool));
    hr_logline_str(&line, "worker", hr_str_of(ctx->worker->label));
    hr_logline_str(&line, "channel", ctx->channel);
    if (ctx->path.len > 0)
        hr_logline_str(&line, "path", ctx->path);
    if (hr_addr_is_set(&ctx->reply))
        hr_logline_int(&line, "connection", ctx->reply.conn);
    struct hr_str id = hr_msg_str(&ctx->msg, "request_id");
    if (id.len > 0)
        hr_logline_str(&line, "request_id", id);
    hr_logline_str(&line, "text", text);
    hr_logline_end(&line);
}

/* ---- ending */

struct done_args {
    const struct hr_ctx *ctx;
    struct hr_str state; /* encoded; empty: unchanged */
};

void hr_ctx_pack_take(const struct hr_ctx *ctx, struct hr_pack *pack)
{
    hr_pack_cstr(pack, "taken_at");
    hr_pack_int(pack, ctx->taken_at);
    hr_pack_cstr(pack, "slot");
    hr_pack_int(pack, hr_layer_slot(ctx->worker->layer));
}

static void done_encode(struct hr_pack *pack, const void *arg)
{
    const struct done_args *done = arg;
    bool is_handed_on = done->ctx->answer == HR_ANSWER_HANDED_ON;

    hr_pack_map(pack, 2u + HR_CTX_TAKE_PAIRS + (done->state.len > 0) + (is_handed_on ? 2u : 0u));
    hr_pack_type(pack, HR_MSG_TYPE_EVENT_DONE);
    hr_ctx_pack_take(done->ctx, pack);
    hr_pack_cstr(pack, "seq");
    hr_pack_int(pack, done->ctx->seq);
    if (done->state.len > 0) {
        hr_pack_cstr(pack, "state");
        hr_pack_raw(pack, done->state.ptr, done->state.len);
    }
    if (is_handed_on) {
        hr_pack_cstr(pack, "handed_on");
        hr_pack_bool(pack, true);
        hr_pack_cstr(pack, "timeout");
        hr_pack_int(pack, done->ctx->hand_on_timeout / HR_MS);
    }
}

static int ctx_say_done(struct hr_ctx *ctx)
{
    struct done_args done = {.ctx = ctx};
    /* After an error the connection's state stays as it was. */
    if (!ctx->error && hr_state_has_changed(ctx)) {
        int r = hr_state_encode(ctx, &done.state);
        if (r < 0)
            return hr_trace(r);
    }
    return hr_trace(hr_outbox_say(ctx, &(struct hr_output){.encode = done_encode,
                                                           .arg = &done,
                                                           .size = 128 + done.state.len,
                                                           .is_control = true}));
}

static bool ctx_is_http(const struct hr_ctx *ctx)
{
    return ctx->kind == HR_CTX_HTTP || ctx->kind == HR_CTX_PLAIN;
}

static int ctx_say_error(struct hr_ctx *ctx)
{
    int status = hr_error_http(ctx->error);
    if (ctx->answer == HR_ANSWER_NONE)
        return ctx_is_http(ctx) ? hr_answer_refuse(ctx, status) : hr_answer_deny(ctx, status);
    if (ctx->answer == HR_ANSWER_STARTED && !ctx_is_http(ctx))
        return hr_answer_close(ctx, hr_error_websocket(ctx->error));
    return 0;
}

/* See the table above. */
static int ctx_say_last(struct hr_ctx *ctx)
{
    int r = 0;
    if (ctx->is_gone || ctx->seq == 0)
        return 0;
    if (ctx->error)
        r = ctx_say_error(ctx);
    else if (ctx->kind == HR_CTX_PLAIN && ctx->answer == HR_ANSWER_NONE)
        r = hr_answer_refuse(ctx, 500);
    if (r == 0 && !(ctx_is_http(ctx) && ctx->answer == HR_ANSWER_GIVEN))
        r = ctx_say_done(ctx);
    return r == HR_ERR_GONE ? 0 : hr_trace(r);
}

static void ctx_report(struct hr_ctx *ctx)
{
    bool is_unanswered = ctx->answer == HR_ANSWER_NONE && ctx->seq != 0 && !ctx->is_gone;
    if (ctx->error)
        hr_ctx_write_log(ctx, HR_EV_APP,
                         hr_str_of(ctx->trace ? ctx->trace : hr_error_name(ctx->error)));
    else if (is_unanswered && ctx_is_http(ctx))
        hr_ctx_write_log(ctx, HR_EV_APP, HR_LIT("the consumer returned without an answer"));
}

/* Losses are counted under the channel's whole name. */
static void ctx_count_drop(const struct hr_ctx *ctx, enum hr_reason reason)
{
    const struct hr_worker *worker = ctx->worker;
    hr_layer_count_drop(
        worker->layer,
        ctx->kind == HR_CTX_PLAIN ? ctx->channel : worker->routes.pool_channel[ctx->kind], reason);
}

/* Nobody waits for this event's done: only the layer can be told how it went. */
static void ctx_acknowledge(struct hr_ctx *ctx)
{
    struct hr_layer *layer = ctx->worker->layer;
    bool has_failed = ctx->error < 0 && ctx->seq == 0;
    int r = 0;
    if (!hr_lease_is_set(&ctx->lease)) {
        if (has_failed)
            ctx_count_drop(ctx, HR_REASON_APP);
    } else if (has_failed) {
        r = hr_layer_nack(layer, &ctx->lease, HR_REASON_APP);
    } else {
        r = hr_layer_ack(layer, &ctx->lease);
    }
    if (r == HR_LAYER_LOST)
        hr_ctx_write_log(ctx, HR_EV_DEBUG, HR_LIT("the lease had ended before the event did"));
}

static void ctx_finish(struct hr_ctx *ctx)
{
    ctx_acknowledge(ctx);
    ctx_detach(ctx);
    ctx_free(ctx);
}

/* Half an answer cannot be taken back, only broken off, so that nobody takes it for a whole one. */
static bool ctx_is_cut_off(const struct hr_ctx *ctx)
{
    return ctx->error && ctx->seq != 0 && ctx_is_http(ctx) && ctx->answer == HR_ANSWER_STARTED;
}

/* The server must not wait for words that could not even be queued: it gets
 * its event back and decides. */
static void ctx_conclude(struct hr_ctx *ctx)
{
    if (ctx_is_cut_off(ctx) || ctx_say_last(ctx) < 0)
        hr_ctx_abandon(ctx, HR_REASON_APP);
    else if (hr_list_is_empty(&ctx->outbox))
        ctx_finish(ctx);
    else
        hr_ctx_link(ctx);
}

static void ctx_end(struct hr_ctx *ctx)
{
    ctx->is_ending = true;
    ctx_report(ctx);
    ctx_conclude(ctx);
}

void hr_ctx_link(struct hr_ctx *ctx)
{
    if (hr_list_is_linked(&ctx->node))
        return;
    hr_list_push_back(&ctx->worker->open, &ctx->node);
    hr_worker_watch(ctx->worker);
}

void hr_ctx_release(struct hr_ctx *ctx)
{
    hr_assert(ctx->n_keeps > 0);
    if (--ctx->n_keeps == 0)
        ctx_end(ctx);
}

void hr_ctx_set_gone(struct hr_ctx *ctx)
{
    ctx->is_gone = true;
    ctx->worker->has_gone = true;
    hr_outbox_drop(ctx);
}

static void ctx_tell_gone(struct hr_ctx *ctx)
{
    ctx->is_gone_told = true;
    struct hr_hand hand = hr_hand_take(ctx->worker, ctx);
    if (ctx->on_gone)
        ctx->on_gone(ctx, ctx->on_gone_arg);
    hr_body_stop(ctx);
    hr_hand_back(&hand);
}

void hr_ctx_settle(struct hr_ctx *ctx)
{
    if (ctx->is_ending) {
        if (hr_list_is_empty(&ctx->outbox))
            ctx_finish(ctx);
    } else if (ctx->is_gone && !ctx->is_gone_told) {
        ctx_tell_gone(ctx);
    }
}

/* The first time what waits is replaced by an error, which is control and has
 * room of its own; when not even that can be said, the server gets its event
 * back as a lost lease, for which the layer needs no room at all. */
void hr_ctx_give_up(struct hr_ctx *ctx)
{
    bool is_last = ctx->has_given_up;
    ctx->has_given_up = true;
    ctx->stalled_since = 0;
    hr_outbox_drop(ctx);
    if (is_last) {
        hr_ctx_abandon(ctx, HR_REASON_QUEUE_FULL);
        return;
    }
    hr_ctx_note(ctx, hr_raise(HR_ERR_FULL));
    hr_ctx_write_log(ctx, HR_EV_REFUSED,
                     HR_LIT("the answer could not be delivered: reason=queue_full"));
    ctx_count_drop(ctx, HR_REASON_QUEUE_FULL);
    bool has_answer = ctx->answer == HR_ANSWER_STARTED || ctx->answer == HR_ANSWER_GIVEN;
    if (has_answer && ctx->kind != HR_CTX_DISCONNECT)
        ctx->answer =
            ctx->has_said || ctx->kind == HR_CTX_RECEIVE ? HR_ANSWER_STARTED : HR_ANSWER_NONE;
    if (ctx->is_ending)
        ctx_conclude(ctx);
}

void hr_ctx_abandon(struct hr_ctx *ctx, enum hr_reason reason)
{
    if (hr_lease_is_set(&ctx->lease) &&
        hr_layer_nack(ctx->worker->layer, &ctx->lease, reason) == HR_LAYER_LOST)
        hr_ctx_write_log(ctx, HR_EV_DEBUG, HR_LIT("the lease had ended before the event did"));
    ctx_detach(ctx);
    ctx->is_abandoned = true;
    if (ctx->n_jobs == 0)
        ctx_free(ctx);
}

void hr_ctx_leave_job(struct hr_ctx *ctx)
{
    ctx->n_jobs--;
    if (!ctx->is_abandoned)
        hr_ctx_release(ctx);
    else if (ctx->n_jobs == 0)
        ctx_free(ctx);
}

/* ---- our own address */

static int ctx_enter(struct hr_ctx *ctx)
{
    struct hr_worker *worker = ctx->worker;
    uint32_t conn = ctx->to.conn;
    if (conn >= worker->n_conns) {
        uint32_t n = conn < 64 ? 64 : 2 * conn;
        struct hr_ctx **by_conn = hr_realloc(worker->by_conn, n * sizeof(struct hr_ctx *));
        if (!by_conn)
            return hr_raise(HR_ERR_NOMEM);
        for (uint32_t i = worker->n_conns; i < n; i++)
            by_conn[i] = NULL;
        worker->by_conn = by_conn;
        worker->n_conns = n;
    }
    worker->by_conn[conn] = ctx;
    return 0;
}

int hr_ctx_open_address(struct hr_ctx *ctx, struct hr_str *out)
{
    char text[HR_ADDR_TEXT_MAX];
    if (!hr_addr_is_set(&ctx->to)) {
        int r = hr_layer_address_open(ctx->worker->layer, &ctx->to);
        if (r == HR_LAYER_FULL)
            return hr_raise(HR_ERR_FULL);
        if (r == 0)
            r = ctx_enter(ctx);
        if (r < 0 && hr_addr_is_set(&ctx->to))
            hr_layer_address_close(ctx->worker->layer, &ctx->to);
        if (r < 0)
            return hr_trace(r);
    }
    struct hr_str whole = {text, hr_addr_format(&ctx->to, text)};
    return hr_trace(hr_stash_copy(&ctx->stash, whole, out));
}
