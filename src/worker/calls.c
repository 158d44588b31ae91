/* calls.c - the context's own calls: errors, memory, keeping, whether its client is there.
 *
 * The rule for all calls on a context, here and in the other files: after the
 * first error the calls that send or change something do nothing and return
 * that error, so that a consumer which looks at no result never sends half of
 * what it meant. A client that has left is no error in this sense.
 */
#include <string.h>

#include "base/log.h"
#include "worker/worker_impl.h"

struct hr_worker *hr_ctx_worker(struct hr_ctx *ctx)
{
    return ctx->worker;
}

void *hr_ctx_arg(struct hr_ctx *ctx)
{
    return ctx->row ? ctx->row->arg : NULL;
}

/* ---- errors */

int hr_ctx_error(const struct hr_ctx *ctx)
{
    return ctx->error;
}

int hr_ctx_fail(struct hr_ctx *ctx, int error)
{
    return hr_ctx_note(ctx, hr_raise(error < 0 ? error : HR_ERR_APP));
}

void hr_ctx_clear_error(struct hr_ctx *ctx)
{
    ctx->error = 0;
    ctx->trace = NULL;
}

/* ---- memory */

void *hr_ctx_alloc(struct hr_ctx *ctx, size_t size)
{
    void *memory = hr_stash_alloc(&ctx->stash, size);
    if (!memory)
        hr_ctx_note(ctx, hr_raise(HR_ERR_NOMEM));
    return memory;
}

struct hr_str hr_ctx_printf(struct hr_ctx *ctx, const char *format, ...)
{
    struct hr_str text = {0};
    va_list args;
    va_start(args, format);
    hr_ctx_note(ctx, hr_stash_vprintf(&ctx->stash, &text, format, args));
    va_end(args);
    return text;
}

void hr_ctx_log(struct hr_ctx *ctx, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0)
        return;
    size_t n = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    hr_ctx_write_log(ctx, HR_EV_OUTPUT, (struct hr_str){text, n});
}

/* ---- its life */

void hr_ctx_keep(struct hr_ctx *ctx)
{
    ctx->n_keeps++;
    hr_ctx_link(ctx);
}

int hr_ctx_done(struct hr_ctx *ctx)
{
    int error = ctx->error;
    hr_ctx_release(ctx);
    return error;
}

/* ---- its client */

struct hr_str hr_ctx_reply_channel(struct hr_ctx *ctx)
{
    char text[HR_ADDR_TEXT_MAX];
    if (ctx->reply_text.len > 0 || !hr_addr_is_set(&ctx->reply))
        return ctx->reply_text;
    struct hr_str whole = {text, hr_addr_format(&ctx->reply, text)};
    hr_ctx_note(ctx, hr_stash_copy(&ctx->stash, whole, &ctx->reply_text));
    return ctx->reply_text;
}

bool hr_ctx_client_gone(struct hr_ctx *ctx)
{
    if (!ctx->is_gone && hr_addr_is_set(&ctx->reply) &&
        !hr_layer_address_alive(ctx->worker->layer, &ctx->reply))
        hr_ctx_set_gone(ctx);
    return ctx->is_gone;
}

void hr_ctx_on_gone(struct hr_ctx *ctx, void (*fn)(struct hr_ctx *ctx, void *arg), void *arg)
{
    ctx->on_gone = fn;
    ctx->on_gone_arg = arg;
}
