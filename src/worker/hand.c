/* hand.c - what is in hand: whose function runs right now, and for how long.
 *
 * Every call into the application goes through hr_hand_take() and
 * hr_hand_back(). That costs four stores and two reads of the coarse clock, and
 * gives four things: a crash can say which event it was, text decoded from a
 * message finds the context whose memory it may use, status sees who is stuck,
 * and a function that blocks the loop is named in the log.
 */
#include "base/log.h"
#include "worker/busy.h"
#include "worker/worker_impl.h"

_Thread_local struct hr_ctx *hr_in_hand;

struct hr_hand hr_hand_take(struct hr_worker *worker, struct hr_ctx *ctx)
{
    struct hr_hand hand = {
        .worker = worker, .ctx = ctx, .before = hr_in_hand, .since = hr_time_now_coarse()};
    if (ctx)
        ctx->n_keeps++;
    hr_in_hand = ctx;
    hr_busy_set(worker->busy, HR_BUSY_SINCE, (uint64_t)hand.since);
    return hand;
}

static void hand_log_slow(const struct hr_hand *hand, hr_time took)
{
    struct hr_logline line;
    hr_logline_begin(&line, HR_EV_SLOW);
    hr_logline_str(&line, "pool", hr_str_of(hand->worker->config.pool));
    hr_logline_str(&line, "worker", hr_str_of(hand->worker->label));
    if (hand->ctx) {
        hr_logline_str(&line, "channel", hand->ctx->channel);
        hr_logline_str(&line, "path", hand->ctx->path);
    }
    hr_logline_ms(&line, "blocked_ms", took);
    hr_logline_str(&line, "text",
                   HR_LIT("the application blocked its event loop; hr_worker_queue() is for that"));
    hr_logline_end(&line);
}

void hr_hand_back(const struct hr_hand *hand)
{
    hr_time took = hr_time_now_coarse() - hand->since;
    hr_in_hand = hand->before;
    if (!hand->before)
        hr_busy_set(hand->worker->busy, HR_BUSY_SINCE, 0);
    if (hand->ctx)
        hr_body_start(hand->ctx);
    if (took > HR_WORKER_BLOCKED)
        hand_log_slow(hand, took);
    if (hand->ctx)
        hr_ctx_release(hand->ctx);
}

struct hr_ctx *hr_ctx_of(const struct hr_msg *msg)
{
    if (hr_in_hand && msg == &hr_in_hand->msg)
        return hr_in_hand;
    hr_list_foreach (each, hr_worker_list()) {
        struct hr_worker *worker = hr_container_of(each, struct hr_worker, node);
        hr_list_foreach (node, &worker->open) {
            struct hr_ctx *ctx = hr_container_of(node, struct hr_ctx, node);
            if (msg == &ctx->msg)
                return ctx;
        }
    }
    return NULL;
}
