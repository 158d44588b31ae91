/* channels.c - groups, and messages to other channels.
 *
 * Group names from any text (hr_group_name): A-Z a-z 0-9 . - stand for
 * themselves, and '_' does unless two upper-case hexadecimal digits follow;
 * every other byte becomes _XX. So two texts never make one name. A name that
 * would be longer than 80 bytes keeps its first 45 and goes on with "_2D" and
 * 32 digits of a hash; '-' is never escaped, so no text makes such a name by
 * itself. The hash is SipHash-1-3 under two fixed keys: the same in every
 * process, for ever.
 */
#include <stdio.h>
#include <string.h>

#include "base/table.h"
#include "message/asgi.h"
#include "worker/outbox.h"
#include "worker/worker_impl.h"

enum {
    GROUP_NAME_MAX = 80,
    GROUP_NAME_KEPT = 45, /* of a name that is hashed: 45 + 3 + 32 */
    GROUP_TEXT_ROOM = 64, /* of a websocket.send's keys */
};

/* ---- group names */

static bool name_is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

static bool name_passes(struct hr_str text, size_t i)
{
    char c = text.ptr[i];
    if (c == '_')
        return i + 2 >= text.len || !name_is_hex(text.ptr[i + 1]) || !name_is_hex(text.ptr[i + 2]);
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
           c == '-';
}

static size_t name_escape(struct hr_str text, char *out, size_t max)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool passes = name_passes(text, i);
        if (n + (passes ? 1 : 3) > max)
            return SIZE_MAX;
        if (passes) {
            out[n++] = text.ptr[i];
            continue;
        }
        out[n++] = '_';
        out[n++] = digits[(unsigned char)text.ptr[i] >> 4];
        out[n++] = digits[(unsigned char)text.ptr[i] & 15];
    }
    return n;
}

size_t hr_group_name_make(struct hr_str text, char out[HR_NAME_MAX + 1])
{
    static const uint8_t keys[2][16] = {"headrace.group.0", "headrace.group.1"};
    size_t n = name_escape(text, out, GROUP_NAME_MAX);
    if (n == SIZE_MAX) {
        uint64_t high = hr_siphash13(keys[0], text.ptr, text.len);
        uint64_t low = hr_siphash13(keys[1], text.ptr, text.len);
        /* `out` holds more than what is kept: only a full one is too long. */
        n = GROUP_NAME_KEPT + (size_t)snprintf(out + GROUP_NAME_KEPT,
                                               HR_NAME_MAX + 1 - GROUP_NAME_KEPT, "_2D%016jX%016jX",
                                               (uintmax_t)high, (uintmax_t)low);
    }
    out[n] = '\0';
    return n;
}

struct hr_str hr_group_name(struct hr_ctx *ctx, const char *format, ...)
{
    char name[HR_NAME_MAX + 1];
    struct hr_str text, out = {0};
    va_list args;
    va_start(args, format);
    int r = hr_stash_vprintf(&ctx->stash, &text, format, args);
    va_end(args);
    if (r == 0)
        r = hr_stash_copy(&ctx->stash, (struct hr_str){name, hr_group_name_make(text, name)}, &out);
    hr_ctx_note(ctx, r);
    return out;
}

/* ---- membership */

static int group_change(struct hr_ctx *ctx, struct hr_str group, bool is_join)
{
    struct hr_layer *layer = ctx->worker->layer;
    if (!hr_addr_is_set(&ctx->reply))
        return hr_raise(HR_ERR_STATE);
    int r = is_join ? hr_layer_group_add_addr(layer, group, &ctx->reply)
                    : hr_layer_group_discard_addr(layer, group, &ctx->reply);
    if (r == HR_LAYER_FULL)
        return hr_raise(HR_ERR_FULL);
    if (r == HR_LAYER_GONE) {
        hr_ctx_set_gone(ctx);
        return hr_raise(HR_ERR_GONE);
    }
    return hr_trace(r);
}

int hr_group_join(struct hr_ctx *ctx, struct hr_str group)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, group_change(ctx, group, true));
}

int hr_group_leave(struct hr_ctx *ctx, struct hr_str group)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, group_change(ctx, group, false));
}

size_t hr_group_count(struct hr_ctx *ctx, struct hr_str group)
{
    return hr_group_name_ok(group) ? hr_layer_group_count(ctx->worker->layer, group, NULL) : 0;
}

/* ---- sending */

/* What the application encoded: in one piece, without errors, a message. */
static int message_of(const struct hr_pack *pack, struct hr_msg *out)
{
    int r = hr_pack_done(pack);
    if (r < 0)
        return hr_trace(r);
    if (pack->n_before > 0)
        return hr_raise(HR_ERR_INVALID);
    return hr_msg_check(pack->base, hr_pack_len(pack), out) == 0 ? 0 : hr_raise(HR_ERR_MESSAGE);
}

int hr_message_send(struct hr_ctx *ctx, struct hr_str channel, const struct hr_pack *pack,
                    const struct hr_send_options *options)
{
    struct hr_msg msg;
    int r = message_of(pack, &msg);
    if (r < 0)
        return hr_trace(r);
    r = hr_layer_send(ctx->worker->layer, channel, msg.data, msg.len, options);
    switch (r) {
    case HR_LAYER_PENDING: /* it will be sent or counted */
        return 0;
    case HR_LAYER_FULL:
        return hr_raise(HR_ERR_FULL);
    case HR_LAYER_GONE:
        return hr_raise(HR_ERR_GONE);
    case HR_LAYER_TOO_BIG:
        return hr_raise(HR_ERR_TOO_BIG);
    default:
        return hr_trace(r);
    }
}

int hr_channel_send(struct hr_ctx *ctx, struct hr_str channel, const struct hr_pack *msg)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, hr_message_send(ctx, channel, msg, NULL));
}

static int group_send_text(struct hr_ctx *ctx, struct hr_str group, struct hr_str text)
{
    if (!hr_utf8_ok(text.ptr, text.len))
        return hr_raise(HR_ERR_MESSAGE);
    size_t room = text.len + GROUP_TEXT_ROOM;
    void *data = hr_stash_alloc(&ctx->stash, room);
    if (!data)
        return hr_raise(HR_ERR_NOMEM);

    struct hr_pack pack;
    hr_pack_init(&pack, data, room);
    hr_pack_map(&pack, 2);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_SEND);
    hr_pack_cstr(&pack, "text");
    hr_pack_str(&pack, text.ptr, text.len);
    int r = hr_pack_done(&pack);
    return hr_trace(r < 0 ? r : hr_outbox_say_group(ctx, group, data, hr_pack_len(&pack)));
}

int hr_group_send(struct hr_ctx *ctx, struct hr_str group, const char *format, ...)
{
    if (ctx->error)
        return ctx->error;
    struct hr_str text;
    va_list args;
    va_start(args, format);
    int r = hr_stash_vprintf(&ctx->stash, &text, format, args);
    va_end(args);
    return hr_ctx_note(ctx, r < 0 ? r : group_send_text(ctx, group, text));
}

int hr_group_send_msg(struct hr_ctx *ctx, struct hr_str group, const struct hr_pack *msg)
{
    struct hr_msg whole;
    if (ctx->error)
        return ctx->error;
    int r = message_of(msg, &whole);
    return hr_ctx_note(ctx, r < 0 ? r : hr_outbox_say_group(ctx, group, whole.data, whole.len));
}
