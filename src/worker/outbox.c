/* outbox.c - see outbox.h for the contract.
 *
 * The outbox of an event that goes well stays empty: its output is encoded
 * into a draft, that is into the memory that will carry it. Only a refusal
 * costs a copy. A context stands in worker->stalled exactly while the layer
 * has refused the first node of its outbox; one whose first node waits for
 * credit does not.
 */
#include "worker/outbox.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "message/asgi.h"
#include "worker/worker_impl.h"

struct outbox_node {
    struct hr_list node;
    size_t group_bytes; /* a group's name at the head of `data`; 0: for the reply address */
    size_t len;         /* of the message, which follows it */
    size_t body_bytes;
    bool is_control;
    uint8_t data[];
};

size_t hr_outbox_window(const struct hr_ctx *ctx)
{
    uint64_t unwritten = ctx->n_body - ctx->n_written;
    return unwritten < HR_BODY_WINDOW ? (size_t)(HR_BODY_WINDOW - unwritten) : 0;
}

static struct outbox_node *outbox_first(struct hr_ctx *ctx)
{
    return hr_list_first(&ctx->outbox, struct outbox_node, node);
}

/* ---- queueing */

/* Control is never refused: it is small, and each event says little of it. */
static int outbox_new(struct hr_ctx *ctx, size_t size, size_t max_queued, struct outbox_node **out)
{
    if (size > max_queued || ctx->n_queued > max_queued - size)
        return hr_raise(HR_ERR_FULL);
    *out = hr_alloc(sizeof(**out) + size);
    if (!*out)
        return hr_raise(HR_ERR_NOMEM);
    **out = (struct outbox_node){0};
    return 0;
}

static void outbox_push(struct hr_ctx *ctx, struct outbox_node *node)
{
    hr_list_push_back(&ctx->outbox, &node->node);
    ctx->n_queued += node->len;
}

static void outbox_remove(struct hr_ctx *ctx, struct outbox_node *node)
{
    ctx->n_queued -= node->len;
    hr_list_remove(&node->node);
    hr_free(node);
}

static int outbox_queue(struct hr_ctx *ctx, const struct hr_output *output)
{
    struct outbox_node *node;
    size_t max_queued = output->is_control   ? SIZE_MAX
                        : output->max_queued ? output->max_queued
                                             : HR_OUTBOX_MAX;
    int r = outbox_new(ctx, output->size, max_queued, &node);
    if (r < 0)
        return hr_trace(r);

    struct hr_pack pack;
    hr_pack_init(&pack, node->data, output->size);
    output->encode(&pack, output->arg);
    r = hr_pack_done(&pack);
    if (r < 0) {
        hr_free(node);
        return hr_trace(r);
    }
    node->len = hr_pack_len(&pack);
    node->body_bytes = output->body_bytes;
    node->is_control = output->is_control;
    outbox_push(ctx, node);
    return 0;
}

static void outbox_on_retry(struct hr_timer *timer)
{
    hr_outbox_retry(hr_container_of(timer, struct hr_worker, retry_timer));
}

static void outbox_stall(struct hr_ctx *ctx)
{
    struct hr_worker *worker = ctx->worker;
    if (hr_list_is_linked(&ctx->stalled))
        return;
    hr_ctx_link(ctx);
    hr_list_push_back(&worker->stalled, &ctx->stalled);
    if (ctx->stalled_since == 0)
        ctx->stalled_since = hr_time_now_coarse();
    if (!hr_timer_is_active(&worker->retry_timer))
        hr_loop_start_timer(worker->loop, &worker->retry_timer, HR_OUTBOX_RETRY, outbox_on_retry);
}

/* ---- sending */

/* What a send to the reply address means here: 0 sent, HR_LAYER_FULL to be queued, or an error. */
static int outbox_outcome(struct hr_ctx *ctx, int r)
{
    switch (r) {
    case 0:
        ctx->has_said = true;
        return 0;
    case HR_LAYER_GONE:
        hr_ctx_set_gone(ctx);
        return hr_raise(HR_ERR_GONE);
    case HR_LAYER_TOO_BIG:
        return hr_raise(HR_ERR_TOO_BIG);
    default:
        return r == HR_LAYER_FULL ? r : hr_trace(r);
    }
}

static int outbox_draft(struct hr_ctx *ctx, const struct hr_output *output)
{
    struct hr_draft draft;
    struct hr_send_options options = {.is_control = output->is_control};
    int r = hr_layer_draft_to(ctx->worker->layer, &ctx->reply, output->size, &options, &draft);
    if (r == 0) {
        output->encode(&draft.pack, output->arg);
        r = hr_draft_send(&draft);
    }
    return outbox_outcome(ctx, r);
}

int hr_outbox_say(struct hr_ctx *ctx, const struct hr_output *output)
{
    if (!hr_addr_is_set(&ctx->reply))
        return hr_raise(HR_ERR_STATE);
    if (ctx->is_gone)
        return hr_raise(HR_ERR_GONE);

    bool must_wait = !hr_list_is_empty(&ctx->outbox) || output->body_bytes > hr_outbox_window(ctx);
    int r = must_wait ? HR_LAYER_FULL : outbox_draft(ctx, output);
    if (r == 0) {
        ctx->n_body += output->body_bytes;
        return 0;
    }
    if (r < 0)
        return hr_trace(r);
    r = outbox_queue(ctx, output);
    if (r == 0 && !must_wait)
        outbox_stall(ctx);
    return hr_trace(r);
}

static int outbox_send_group(struct hr_ctx *ctx, struct hr_str group, const void *data, size_t len)
{
    int r = hr_layer_group_send(ctx->worker->layer, group, data, len, NULL);
    return r == HR_LAYER_TOO_BIG ? hr_raise(HR_ERR_TOO_BIG) : hr_trace(r);
}

int hr_outbox_say_group(struct hr_ctx *ctx, struct hr_str group, const void *data, size_t len)
{
    if (hr_list_is_empty(&ctx->outbox))
        return hr_trace(outbox_send_group(ctx, group, data, len));
    if (!hr_group_name_ok(group))
        return hr_raise(HR_ERR_NAME);

    struct outbox_node *node;
    int r = outbox_new(ctx, group.len + len, HR_OUTBOX_MAX, &node);
    if (r < 0)
        return hr_trace(r);
    memcpy(node->data, group.ptr, group.len);
    memcpy(node->data + group.len, data, len);
    node->group_bytes = group.len;
    node->len = len;
    outbox_push(ctx, node);
    return 0;
}

static int outbox_send_node(struct hr_ctx *ctx, const struct outbox_node *node)
{
    const uint8_t *message = node->data + node->group_bytes;
    if (node->group_bytes > 0) {
        struct hr_str group = {(const char *)node->data, node->group_bytes};
        return hr_trace(outbox_send_group(ctx, group, message, node->len));
    }
    struct hr_send_options options = {.is_control = node->is_control};
    return outbox_outcome(
        ctx, hr_layer_send_to(ctx->worker->layer, &ctx->reply, message, node->len, &options));
}

/* A group's message that fails when its turn has come is an error of the
 * event; the reply address's messages behind it go on. */
static int outbox_send_all(struct hr_ctx *ctx)
{
    while (!hr_list_is_empty(&ctx->outbox)) {
        struct outbox_node *node = outbox_first(ctx);
        if (node->body_bytes > hr_outbox_window(ctx))
            return 0; /* until write.credit */
        int r = outbox_send_node(ctx, node);
        if (r == HR_LAYER_FULL || r == HR_ERR_GONE)
            return r;
        hr_ctx_note(ctx, r);
        ctx->stalled_since = 0; /* what moves on is not stuck */
        ctx->n_body += node->body_bytes;
        outbox_remove(ctx, node);
    }
    return 0;
}

/* The window half empty, or better: enough to be worth a call. */
static void outbox_tell_room(struct hr_ctx *ctx)
{
    bool has_room = hr_list_is_empty(&ctx->outbox) && hr_outbox_window(ctx) >= HR_BODY_WINDOW / 2;
    if (!ctx->owes_drain || !has_room || ctx->is_ending || ctx->is_gone)
        return;
    ctx->owes_drain = false;
    if (!ctx->on_drain)
        return;
    struct hr_hand hand = hr_hand_take(ctx->worker, ctx);
    ctx->on_drain(ctx, ctx->on_drain_arg);
    hr_hand_back(&hand);
}

void hr_outbox_flush(struct hr_ctx *ctx)
{
    if (outbox_send_all(ctx) == HR_LAYER_FULL)
        outbox_stall(ctx);
    else
        hr_list_remove(&ctx->stalled);
    if (ctx->is_ending || ctx->is_gone)
        hr_ctx_settle(ctx);
    else
        outbox_tell_room(ctx);
}

void hr_outbox_drop(struct hr_ctx *ctx)
{
    while (!hr_list_is_empty(&ctx->outbox))
        outbox_remove(ctx, outbox_first(ctx));
    hr_list_remove(&ctx->stalled);
}

/* What is called from here may end any context, which then leaves whatever
 * list it stands in: so each is taken off the head of a list of our own. */
void hr_outbox_retry(struct hr_worker *worker)
{
    struct hr_list todo;
    hr_time now = hr_time_now_coarse();
    hr_list_move(&todo, &worker->stalled);
    while (!hr_list_is_empty(&todo)) {
        struct hr_ctx *ctx = hr_list_first(&todo, struct hr_ctx, stalled);
        hr_list_remove(&ctx->stalled);
        if (now - ctx->stalled_since > worker->patience)
            hr_ctx_give_up(ctx);
        else
            hr_outbox_flush(ctx);
    }
    if (!hr_list_is_empty(&worker->stalled) && !hr_timer_is_active(&worker->retry_timer))
        hr_loop_start_timer(worker->loop, &worker->retry_timer, HR_OUTBOX_RETRY, outbox_on_retry);
}
