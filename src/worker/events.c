/* events.c - from a delivery to the consumer's call.
 *
 *   channel message ──► context ──► row of the table ──► (whole body) ──► consumer ──► ending
 *   inbox message   ──► the context whose address it came to
 *
 * What finds no row is answered here: 404 for a request and for a handshake;
 * a receive or disconnect that nobody wants is done at once.
 */
#include "base/assert.h"
#include "base/log.h"
#include "message/asgi.h"
#include "worker/outbox.h"
#include "worker/worker_impl.h"

static void event_not_found(struct hr_ctx *ctx)
{
    int r = 0;
    if (ctx->kind == HR_CTX_HTTP)
        r = hr_answer_refuse(ctx, 404);
    else if (ctx->kind == HR_CTX_CONNECT)
        r = hr_answer_deny(ctx, 404);
    else if (ctx->kind == HR_CTX_PLAIN)
        r = hr_raise(HR_ERR_NOT_FOUND); /* no row takes its path */
    hr_ctx_note(ctx, r);
}

void hr_event_call(struct hr_ctx *ctx)
{
    struct hr_hand hand = hr_hand_take(ctx->worker, ctx);
    int r = ctx->row->fn(ctx, &ctx->msg);
    /* An outcome is nothing that a consumer may pass on. */
    hr_ctx_note(ctx, r > 0 ? hr_raise(HR_ERR_APP) : r);
    hr_hand_back(&hand);
}

static void event_begin(struct hr_ctx *ctx)
{
    if (ctx->error)
        return;
    ctx->row = hr_routes_match(&ctx->worker->routes, ctx->kind, ctx->channel, ctx->path);
    if (!ctx->row)
        event_not_found(ctx);
    else if (!hr_body_collects(ctx))
        hr_event_call(ctx);
}

void hr_event_deliver(struct hr_worker *worker, const struct hr_delivery *delivery)
{
    if (delivery->kind != HR_DELIVERY_MESSAGE) {
        hr_layer_count_drop(worker->layer, delivery->channel, HR_REASON_STALE);
        return;
    }
    struct hr_ctx *ctx = hr_ctx_new(worker, delivery);
    if (ctx) {
        event_begin(ctx);
        hr_ctx_release(ctx);
        return;
    }
    /* Its server decides; without one it is the layer's, or lost. */
    hr_log(HR_EV_ERROR, "pool=%s worker=%s channel=%.*s text=\"no memory for an event\"",
           worker->config.pool, worker->label, HR_STR(delivery->channel));
    if (!hr_lease_is_set(&delivery->lease))
        hr_layer_count_drop(worker->layer, delivery->channel, HR_REASON_LIMIT);
    else if (hr_layer_nack(worker->layer, &delivery->lease, HR_REASON_LIMIT) == HR_LAYER_LOST)
        hr_log(HR_EV_DEBUG, "worker=%s text=\"its lease had ended\"", worker->label);
}

/* ---- our own addresses */

static struct hr_ctx *event_find(struct hr_worker *worker, const struct hr_addr *to)
{
    struct hr_ctx *ctx = to->conn < worker->n_conns ? worker->by_conn[to->conn] : NULL;
    return ctx && ctx->to.conn_gen == to->conn_gen ? ctx : NULL;
}

/* A total that is not between what was written before and what was sent is nonsense. */
static void event_credit(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    int64_t total = hr_msg_int(msg, "total", -1);
    if (total < 0 || (uint64_t)total > ctx->n_body || (uint64_t)total < ctx->n_written)
        return;
    ctx->n_written = (uint64_t)total;
    hr_outbox_flush(ctx);
}

void hr_event_inbox(struct hr_worker *worker, const struct hr_delivery *delivery)
{
    static const struct hr_str inbox = {"reply", 5}; /* as layers count what comes to addresses */
    struct hr_msg msg;
    struct hr_ctx *ctx = event_find(worker, &delivery->to);
    if (!ctx || delivery->kind != HR_DELIVERY_MESSAGE) {
        hr_layer_count_drop(worker->layer, inbox, HR_REASON_STALE);
        return;
    }
    if (hr_msg_check(delivery->data, delivery->len, &msg) != 0) {
        hr_layer_count_drop(worker->layer, inbox, HR_REASON_APP);
        return;
    }
    enum hr_msg_type type = hr_msg_type_of(&msg);
    if (type == HR_MSG_TYPE_WRITE_CREDIT) {
        event_credit(ctx, &msg);
    } else if (type == HR_MSG_TYPE_HTTP_REQUEST) {
        hr_body_piece(ctx, &msg);
    } else if (type == HR_MSG_TYPE_HTTP_DISCONNECT) {
        hr_ctx_set_gone(ctx);
        hr_ctx_settle(ctx);
    } else {
        hr_layer_count_drop(worker->layer, inbox, HR_REASON_APP);
    }
}
