/* body.c - the rest of a request's body, when its first 64 KiB were not all.
 *
 * The holder says body.open with a window; pieces of at most 64 KiB come to
 * its address, at most a window of them ahead of the body.credit that tells
 * how many bytes were read. Offsets and totals count from the body's first
 * byte, those inside the http.request included.
 *
 * For a row with HR_BODY_WHOLE the message is put together anew while the
 * pieces come, so that its consumer cannot tell it from a small one:
 *
 *     map n │ every pair but two │ "more_body" false │ "body" bin32 LEN │ piece piece piece …
 *           └──────────────────────── head_bytes ─────────────────────┘
 *
 * LEN is filled in at the end. For HR_BODY_STREAM each piece goes to the
 * function that hr_http_on_body() named.
 */
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "message/asgi.h"
#include "worker/outbox.h"
#include "worker/worker_impl.h"

enum {
    HR_BODY_WHOLE_DEFAULT = 1 << 20,
    BODY_HEAD_ROOM = 64, /* the two pairs that are written anew */
    MSGPACK_BIN32 = 0xc6,
    CREDIT_STEP = HR_BODY_WINDOW / 4, /* bytes read per body.credit */
};

/* ---- what is said to the server */

struct open_args {
    struct hr_str to;
};

static void open_encode(struct hr_pack *pack, const void *arg)
{
    const struct open_args *open = arg;
    hr_pack_map(pack, 3);
    hr_pack_type(pack, HR_MSG_TYPE_BODY_OPEN);
    hr_pack_cstr(pack, "to");
    hr_pack_str(pack, open->to.ptr, open->to.len);
    hr_pack_cstr(pack, "window");
    hr_pack_int(pack, HR_BODY_WINDOW);
}

static int body_open(struct hr_ctx *ctx)
{
    struct open_args open;
    int r = hr_ctx_open_address(ctx, &open.to);
    if (r < 0)
        return hr_trace(r);
    return hr_trace(hr_outbox_say(ctx, &(struct hr_output){.encode = open_encode,
                                                           .arg = &open,
                                                           .size = 64 + open.to.len,
                                                           .is_control = true}));
}

static void credit_encode(struct hr_pack *pack, const void *arg)
{
    const uint64_t *total = arg;
    hr_pack_map(pack, 2);
    hr_pack_type(pack, HR_MSG_TYPE_BODY_CREDIT);
    hr_pack_cstr(pack, "total");
    hr_pack_int(pack, (int64_t)*total);
}

static int body_credit(struct hr_ctx *ctx)
{
    struct hr_ctx_body *body = &ctx->body;
    if (body->n_read - body->n_credited < CREDIT_STEP)
        return 0;
    body->n_credited = body->n_read;
    return hr_trace(hr_outbox_say(
        ctx, &(struct hr_output){
                 .encode = credit_encode, .arg = &body->n_read, .size = 64, .is_control = true}));
}

/* ---- whole bodies */

static size_t body_limit(const struct hr_ctx *ctx)
{
    size_t limit = ctx->row->max_body > 0 ? ctx->row->max_body : HR_BODY_WHOLE_DEFAULT;
    return limit < UINT32_MAX ? limit : UINT32_MAX; /* of bin32 */
}

static bool body_is_replaced(struct hr_str key)
{
    return hr_str_eq(key, HR_LIT("body")) || hr_str_eq(key, HR_LIT("more_body"));
}

static void whole_pack_head(struct hr_pack *pack, const struct hr_msg *msg)
{
    struct hr_value root = hr_msg_root(msg), value;
    struct hr_walk walk = hr_walk(&root);
    struct hr_str key;
    uint32_t n = 2;
    while (hr_map_next(&walk, &key, &value))
        n += !body_is_replaced(key);

    hr_pack_map(pack, n);
    walk = hr_walk(&root);
    while (hr_map_next(&walk, &key, &value)) {
        if (body_is_replaced(key))
            continue;
        hr_pack_str(pack, key.ptr, key.len);
        hr_pack_value(pack, &value);
    }
    hr_pack_cstr(pack, "more_body");
    hr_pack_bool(pack, false);
    hr_pack_cstr(pack, "body");
    hr_pack_raw(pack, (uint8_t[5]){MSGPACK_BIN32}, 5);
}

static int whole_begin(struct hr_ctx *ctx, struct hr_str first)
{
    struct hr_buf *whole = &ctx->body.whole;
    size_t room = ctx->msg.len + BODY_HEAD_ROOM;
    uint8_t *at;
    int r = hr_buf_reserve(whole, room, &at);
    if (r < 0)
        return hr_trace(r);

    struct hr_pack pack;
    hr_pack_init(&pack, at, room);
    whole_pack_head(&pack, &ctx->msg);
    r = hr_pack_done(&pack);
    if (r < 0)
        return hr_trace(r);
    ctx->body.head_bytes = hr_pack_len(&pack);
    hr_buf_commit(whole, ctx->body.head_bytes);
    return hr_trace(hr_buf_append(whole, first.ptr, first.len));
}

static int whole_finish(struct hr_ctx *ctx)
{
    struct hr_buf *whole = &ctx->body.whole;
    size_t len = hr_buf_len(whole) - ctx->body.head_bytes;
    uint8_t *at = hr_buf_ptr(whole) + ctx->body.head_bytes - 4;
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(len >> (24 - 8 * i));

    struct hr_msg msg;
    if (hr_msg_check(hr_buf_ptr(whole), hr_buf_len(whole), &msg) != 0)
        HR_UNREACHABLE("a message put together from a valid one");
    ctx->msg = msg;
    ctx->path = hr_msg_str(&ctx->msg, "path");
    return 0;
}

/* A body that says its length and is too long need not be read at all. */
static bool body_is_too_long(const struct hr_ctx *ctx, struct hr_str first)
{
    uint64_t length = 0;
    struct hr_str header = hr_http_header(&ctx->msg, "content-length");
    if (!hr_str_u64(header, &length))
        length = 0;
    return length > body_limit(ctx) || first.len > body_limit(ctx);
}

static int body_collect(struct hr_ctx *ctx)
{
    struct hr_str first = hr_http_body(&ctx->msg);
    if (body_is_too_long(ctx, first))
        return hr_trace(hr_answer_refuse(ctx, 413));
    int r = whole_begin(ctx, first);
    if (r == 0)
        r = body_open(ctx);
    if (r < 0)
        return hr_trace(r);
    ctx->body.n_read = ctx->body.n_credited = first.len;
    ctx->body.stage = HR_BODY_COLLECT;
    hr_ctx_keep(ctx);
    return 0;
}

bool hr_body_collects(struct hr_ctx *ctx)
{
    if (ctx->kind != HR_CTX_HTTP || ctx->row->body != HR_BODY_WHOLE)
        return false;
    if (hr_msg_bool(&ctx->msg, "more_body", false)) {
        hr_ctx_note(ctx, body_collect(ctx));
        return true;
    }
    /* What came inside the message is at most a chunk. */
    if (body_limit(ctx) >= HR_BODY_CHUNK_MAX || hr_http_body(&ctx->msg).len <= body_limit(ctx))
        return false;
    hr_ctx_note(ctx, hr_answer_refuse(ctx, 413));
    return true;
}

static int whole_piece(struct hr_ctx *ctx, struct hr_str piece, bool is_last)
{
    if (ctx->body.n_read > body_limit(ctx)) {
        int r = hr_answer_refuse(ctx, 413);
        hr_body_stop(ctx);
        return hr_trace(r);
    }
    int r = hr_buf_append(&ctx->body.whole, piece.ptr, piece.len);
    if (r < 0)
        return hr_trace(r);
    if (!is_last)
        return hr_trace(body_credit(ctx));
    whole_finish(ctx);
    ctx->body.stage = HR_BODY_IDLE;
    hr_event_call(ctx);
    hr_ctx_release(ctx); /* body_collect()'s */
    return 0;
}

/* ---- bodies in pieces */

void hr_http_on_body(struct hr_ctx *ctx,
                     void (*fn)(struct hr_ctx *ctx, void *arg, struct hr_str piece, bool is_last),
                     void *arg)
{
    ctx->body.fn = fn;
    ctx->body.arg = arg;
    if (ctx->body.stage != HR_BODY_IDLE || ctx->kind != HR_CTX_HTTP)
        return;
    ctx->body.stage = HR_BODY_WANTED;
    hr_ctx_keep(ctx);
    if (hr_in_hand != ctx)
        hr_body_start(ctx);
}

static int body_begin(struct hr_ctx *ctx)
{
    struct hr_ctx_body *body = &ctx->body;
    body->n_read = body->n_credited = hr_http_body(&ctx->msg).len;
    body->stage = HR_BODY_COMING;
    if (hr_msg_bool(&ctx->msg, "more_body", false))
        return hr_trace(body_open(ctx));
    body->fn(ctx, body->arg, (struct hr_str){0}, true);
    hr_body_stop(ctx);
    return 0;
}

void hr_body_start(struct hr_ctx *ctx)
{
    if (ctx->body.stage != HR_BODY_WANTED)
        return;
    struct hr_hand hand = hr_hand_take(ctx->worker, ctx);
    int r = ctx->error ? ctx->error : body_begin(ctx);
    if (hr_ctx_note(ctx, r) < 0)
        hr_body_stop(ctx);
    hr_hand_back(&hand);
}

static int stream_piece(struct hr_ctx *ctx, struct hr_str piece, bool is_last)
{
    struct hr_hand hand = hr_hand_take(ctx->worker, ctx);
    int r = 0;
    ctx->body.fn(ctx, ctx->body.arg, piece, is_last);
    if (is_last)
        hr_body_stop(ctx);
    else if (ctx->body.stage == HR_BODY_COMING)
        r = ctx->error ? ctx->error : body_credit(ctx);
    hr_hand_back(&hand);
    return hr_trace(r);
}

void hr_body_piece(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    enum hr_body_stage stage = ctx->body.stage;
    if (stage != HR_BODY_COMING && stage != HR_BODY_COLLECT)
        return; /* it was refused or has ended, but more was on the way */
    struct hr_str piece = hr_msg_bytes(msg, "body");
    int64_t offset = hr_msg_int(msg, "offset", -1);
    bool is_last = !hr_msg_bool(msg, "more_body", false);
    int r;

    ctx->n_keeps++;
    if (offset < 0 || (uint64_t)offset != ctx->body.n_read)
        r = hr_raise(HR_ERR_MESSAGE); /* a hole is worse than an error */
    else {
        ctx->body.n_read += piece.len;
        r = stage == HR_BODY_COLLECT ? whole_piece(ctx, piece, is_last)
                                     : stream_piece(ctx, piece, is_last);
    }
    if (hr_ctx_note(ctx, r) < 0)
        hr_body_stop(ctx);
    hr_ctx_release(ctx);
}

void hr_body_stop(struct hr_ctx *ctx)
{
    enum hr_body_stage stage = ctx->body.stage;
    ctx->body.stage = HR_BODY_OVER;
    if (stage == HR_BODY_WANTED || stage == HR_BODY_COMING || stage == HR_BODY_COLLECT)
        hr_ctx_release(ctx);
}
