/* http.c - what a consumer answers to a request.
 *
 * An answer of up to 64 KiB is one message, head and body in one, encoded
 * straight into the layer's block; being the last piece it is done at the same
 * time. A longer one is a head and pieces, as is one that is written in
 * pieces: then the head names our own address, to which the server reports
 * what it has written to the client (write.credit).
 *
 *   hr_http_reply      NONE ─────────────► GIVEN
 *   hr_http_start      NONE ──► STARTED
 *   hr_http_write               STARTED
 *   hr_http_end                 STARTED ─► GIVEN
 *   hr_http_hand_on    NONE ─────────────► HANDED_ON
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "message/asgi.h"
#include "worker/outbox.h"
#include "worker/worker_impl.h"

enum {
    HEADERS_MAX = 64,
    HEADER_ROOM = 16, /* what MessagePack adds to one header */
    HEAD_ROOM = 224,  /* of a start's keys and numbers */
    PIECE_ROOM = 64,  /* the same of a piece of body */
    VALUE_MAX = 8 << 10,
};

/* May the answer to this event be an HTTP one? */
static bool http_is_answerable(const struct hr_ctx *ctx)
{
    bool is_http = ctx->kind == HR_CTX_HTTP || ctx->kind == HR_CTX_PLAIN;
    return is_http && hr_addr_is_set(&ctx->reply);
}

/* ---- headers */

/* RFC 9110 5.6.2: a token. */
static bool header_name_ok(struct hr_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && !(c && strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

/* RFC 9110 5.5: a line break would let the value write headers of its own. */
static bool header_value_ok(struct hr_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return value.len <= VALUE_MAX;
}

static int header_add(struct hr_ctx *ctx, struct hr_str name, struct hr_str value)
{
    struct hr_ctx_header *header = hr_stash_alloc(&ctx->stash, sizeof(*header));
    if (!header)
        return hr_raise(HR_ERR_NOMEM);
    *header = (struct hr_ctx_header){0};
    int r = hr_stash_copy(&ctx->stash, name, &header->name);
    if (r < 0)
        return hr_trace(r);
    header->value = value;
    *ctx->headers_end = header;
    ctx->headers_end = &header->next;
    ctx->n_headers++;
    ctx->headers_size += name.len + value.len + HEADER_ROOM;
    return 0;
}

static int header_set(struct hr_ctx *ctx, struct hr_str name, const char *format, va_list args)
    HR_PRINTF(3, 0);

static int header_set(struct hr_ctx *ctx, struct hr_str name, const char *format, va_list args)
{
    if (ctx->answer != HR_ANSWER_NONE)
        return hr_raise(HR_ERR_STATE);
    if (ctx->n_headers == HEADERS_MAX || !header_name_ok(name))
        return hr_raise(HR_ERR_INVALID);
    struct hr_str value;
    int r = hr_stash_vprintf(&ctx->stash, &value, format, args);
    if (r < 0)
        return hr_trace(r);
    if (!header_value_ok(value))
        return hr_raise(HR_ERR_INVALID);
    return hr_trace(header_add(ctx, name, value));
}

int hr_http_set_header(struct hr_ctx *ctx, const char *name, const char *format, ...)
{
    if (ctx->error)
        return ctx->error;
    va_list args;
    va_start(args, format);
    int r = header_set(ctx, hr_str_of(name), format, args);
    va_end(args);
    return hr_ctx_note(ctx, r);
}

/* ---- encoders */

struct start_args {
    const struct hr_ctx *ctx;
    enum hr_msg_type type;
    int status;
    struct hr_str content_type; /* may be empty */
    struct hr_str length;       /* for content-length; may be empty */
    struct hr_str to;           /* our address, for credit; may be empty */
    struct hr_str body;
    bool has_body;
    enum hr_reason reason; /* of a refusal: the server's log and metrics say it */
};

static void start_encode(struct hr_pack *pack, const void *arg)
{
    const struct start_args *start = arg;
    bool has_type = start->content_type.len > 0, has_length = start->length.len > 0;
    bool has_reason = start->reason != HR_REASON_NONE;

    hr_pack_map(pack, 3u + HR_CTX_TAKE_PAIRS + has_reason + start->has_body + (start->to.len > 0));
    hr_pack_type(pack, start->type);
    hr_ctx_pack_take(start->ctx, pack);
    hr_pack_cstr(pack, "status");
    hr_pack_int(pack, start->status);
    hr_pack_cstr(pack, "headers");
    hr_pack_list(pack, start->ctx->n_headers + has_type + has_length);
    if (has_type)
        hr_pack_header(pack, HR_LIT("content-type"), start->content_type);
    if (has_length)
        hr_pack_header(pack, HR_LIT("content-length"), start->length);
    for (const struct hr_ctx_header *at = start->ctx->headers; at; at = at->next)
        hr_pack_header(pack, at->name, at->value);
    if (has_reason) {
        hr_pack_cstr(pack, "reason");
        hr_pack_cstr(pack, hr_reason_name(start->reason));
    }
    if (start->to.len > 0) {
        hr_pack_cstr(pack, "to");
        hr_pack_str(pack, start->to.ptr, start->to.len);
    }
    if (start->has_body) {
        hr_pack_cstr(pack, "body");
        hr_pack_bytes(pack, start->body.ptr, start->body.len);
    }
}

static int http_say_start(struct hr_ctx *ctx, const struct start_args *start)
{
    size_t size = HEAD_ROOM + ctx->headers_size + start->content_type.len + start->length.len +
                  start->to.len + start->body.len;
    return hr_trace(hr_outbox_say(ctx, &(struct hr_output){.encode = start_encode,
                                                           .arg = start,
                                                           .size = size,
                                                           .body_bytes = start->body.len,
                                                           .is_control = start->has_body}));
}

struct piece_args {
    struct hr_str body;
    enum hr_msg_type type;
    bool has_more;
};

static void piece_encode(struct hr_pack *pack, const void *arg)
{
    const struct piece_args *piece = arg;
    hr_pack_map(pack, 3);
    hr_pack_type(pack, piece->type);
    hr_pack_cstr(pack, "body");
    hr_pack_bytes(pack, piece->body.ptr, piece->body.len);
    hr_pack_cstr(pack, "more_body");
    hr_pack_bool(pack, piece->has_more);
}

static int http_say_piece(struct hr_ctx *ctx, const struct piece_args *piece, size_t max_queued)
{
    return hr_trace(hr_outbox_say(ctx, &(struct hr_output){.encode = piece_encode,
                                                           .arg = piece,
                                                           .size = PIECE_ROOM + piece->body.len,
                                                           .body_bytes = piece->body.len,
                                                           .max_queued = max_queued,
                                                           .is_control = !piece->has_more}));
}

/* Cut into pieces that fit a block chain and a window; the last may be the answer's last. */
static int http_say_body(struct hr_ctx *ctx, struct hr_str body, bool has_more, size_t max_queued)
{
    int r = 0;
    do {
        size_t len = body.len < HR_BODY_CHUNK_MAX ? body.len : HR_BODY_CHUNK_MAX;
        struct piece_args piece = {.type = HR_MSG_TYPE_HTTP_RESPONSE_BODY,
                                   .body = {body.ptr, len},
                                   .has_more = has_more || len < body.len};
        r = http_say_piece(ctx, &piece, max_queued);
        body.ptr += len;
        body.len -= len;
    } while (r == 0 && body.len > 0);
    return hr_trace(r);
}

/* ---- answers in one go */

static int http_check(const struct hr_ctx *ctx, int status, struct hr_str content_type)
{
    if (!http_is_answerable(ctx) || ctx->answer != HR_ANSWER_NONE)
        return hr_raise(HR_ERR_STATE);
    bool is_final = status >= 200 && status <= 599; /* RFC 9110 15: 1xx are not answers */
    return is_final && header_value_ok(content_type) ? 0 : hr_raise(HR_ERR_INVALID);
}

static bool http_has_header(const struct hr_ctx *ctx, struct hr_str name)
{
    for (const struct hr_ctx_header *at = ctx->headers; at; at = at->next)
        if (hr_str_eq_nocase(at->name, name))
            return true;
    return false;
}

static int http_reply_long(struct hr_ctx *ctx, struct start_args *start)
{
    char length[24];
    struct hr_str body = start->body;
    if (body.len > HR_OUTBOX_REPLY_MAX - ctx->n_queued)
        return hr_raise(HR_ERR_TOO_BIG);
    int r = hr_ctx_open_address(ctx, &start->to);
    if (r < 0)
        return hr_trace(r);
    if (!http_has_header(ctx, HR_LIT("content-length"))) {
        int n = snprintf(length, sizeof(length), "%zu", body.len);
        start->length = (struct hr_str){length, (size_t)n};
    }
    start->body = (struct hr_str){0};
    start->has_body = false;
    r = http_say_start(ctx, start);
    if (r < 0)
        return hr_trace(r);
    ctx->answer = HR_ANSWER_STARTED;
    /* Its pieces' framing goes on top of what was allowed above. */
    return hr_trace(http_say_body(ctx, body, false, SIZE_MAX));
}

static int http_say_whole(struct hr_ctx *ctx, struct start_args *start)
{
    int r = http_check(ctx, start->status, start->content_type);
    if (r < 0)
        return hr_trace(r);
    r = start->body.len <= HR_BODY_CHUNK_MAX ? http_say_start(ctx, start)
                                             : http_reply_long(ctx, start);
    if (r == 0)
        ctx->answer = HR_ANSWER_GIVEN;
    return hr_trace(r);
}

static int http_reply(struct hr_ctx *ctx, int status, const char *content_type, struct hr_str body)
{
    return hr_trace(
        http_say_whole(ctx, &(struct start_args){.ctx = ctx,
                                                 .type = HR_MSG_TYPE_HTTP_RESPONSE_START,
                                                 .status = status,
                                                 .content_type = hr_str_of(content_type),
                                                 .body = body,
                                                 .has_body = true}));
}

int hr_http_reply_bytes(struct hr_ctx *ctx, int status, const char *content_type, const void *data,
                        size_t len)
{
    if (ctx->error)
        return ctx->error;
    return hr_ctx_note(ctx, http_reply(ctx, status, content_type, (struct hr_str){data, len}));
}

int hr_http_reply(struct hr_ctx *ctx, int status, const char *content_type, const char *format, ...)
{
    if (ctx->error)
        return ctx->error;
    struct hr_str body;
    va_list args;
    va_start(args, format);
    int r = hr_stash_vprintf(&ctx->stash, &body, format, args);
    va_end(args);
    return hr_ctx_note(ctx, r < 0 ? r : http_reply(ctx, status, content_type, body));
}

static struct hr_str status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } phrases[] = {{403, "Forbidden\n"},           {404, "Not Found\n"},
                   {413, "Content Too Large\n"},   {500, "Internal Server Error\n"},
                   {503, "Service Unavailable\n"}, {504, "Gateway Timeout\n"}};
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return hr_str_of(phrases[i].text);
    return (struct hr_str){0};
}

/* What nobody consumes is no refusal, as little as with a path that no pool takes. */
static enum hr_reason reason_of(int status)
{
    if (status == 413)
        return HR_REASON_LIMIT;
    return status == 404 ? HR_REASON_NONE : HR_REASON_APP;
}

/* The runtime's own answer: headers that the application had set are not for it. */
int hr_answer_refuse(struct hr_ctx *ctx, int status)
{
    ctx->headers = NULL;
    ctx->headers_end = &ctx->headers;
    ctx->n_headers = 0;
    return hr_trace(
        http_say_whole(ctx, &(struct start_args){.ctx = ctx,
                                                 .type = HR_MSG_TYPE_HTTP_RESPONSE_START,
                                                 .status = status,
                                                 .content_type = HR_LIT("text/plain"),
                                                 .body = status_text(status),
                                                 .has_body = true,
                                                 .reason = reason_of(status)}));
}

/* A handshake's "no" is an HTTP answer too; it differs in its type. */
int hr_answer_deny(struct hr_ctx *ctx, int status)
{
    struct start_args start = {.ctx = ctx,
                               .type = HR_MSG_TYPE_WEBSOCKET_DENIAL_START,
                               .status = status,
                               .body = status_text(status),
                               .has_body = true,
                               .reason = ctx->error ? reason_of(status) : HR_REASON_NONE};
    if (ctx->kind != HR_CTX_CONNECT || ctx->answer != HR_ANSWER_NONE)
        return hr_raise(HR_ERR_STATE);
    if (status < 400 || status > 599)
        return hr_raise(HR_ERR_INVALID);
    if (!http_has_header(ctx, HR_LIT("content-type")))
        start.content_type = HR_LIT("text/plain");
    int r = http_say_start(ctx, &start);
    if (r == 0)
        ctx->answer = HR_ANSWER_GIVEN;
    return hr_trace(r);
}

/* ---- answers in pieces */

static int http_start(struct hr_ctx *ctx, int status, const char *content_type)
{
    struct start_args start = {.ctx = ctx,
                               .type = HR_MSG_TYPE_HTTP_RESPONSE_START,
                               .status = status,
                               .content_type = hr_str_of(content_type)};
    int r = http_check(ctx, status, start.content_type);
    if (r == 0)
        r = hr_ctx_open_address(ctx, &start.to);
    if (r == 0)
        r = http_say_start(ctx, &start);
    if (r == 0)
        ctx->answer = HR_ANSWER_STARTED;
    return hr_trace(r);
}

int hr_http_start(struct hr_ctx *ctx, int status, const char *content_type)
{
    if (ctx->error)
        return ctx->error;
    return hr_ctx_note(ctx, http_start(ctx, status, content_type));
}

/* All or nothing: half a write would leave the caller to guess which half. */
static int http_write(struct hr_ctx *ctx, struct hr_str data)
{
    if (!http_is_answerable(ctx) || ctx->answer != HR_ANSWER_STARTED)
        return hr_raise(HR_ERR_STATE);
    if (data.len == 0)
        return 0;
    size_t room = hr_http_window(ctx) + HR_OUTBOX_MAX - ctx->n_queued;
    if (ctx->n_queued > HR_OUTBOX_MAX || data.len > room)
        return hr_raise(HR_ERR_FULL);
    int r = http_say_body(ctx, data, true, SIZE_MAX);
    if (hr_http_window(ctx) < HR_BODY_WINDOW / 2)
        ctx->owes_drain = true;
    return hr_trace(r);
}

int hr_http_write(struct hr_ctx *ctx, const void *data, size_t len)
{
    if (ctx->error)
        return ctx->error;
    return hr_ctx_note(ctx, http_write(ctx, (struct hr_str){data, len}));
}

static int http_end(struct hr_ctx *ctx)
{
    if (!http_is_answerable(ctx) || ctx->answer != HR_ANSWER_STARTED)
        return hr_raise(HR_ERR_STATE);
    int r = http_say_body(ctx, (struct hr_str){0}, false, 0);
    if (r == 0)
        ctx->answer = HR_ANSWER_GIVEN;
    return hr_trace(r);
}

int hr_http_end(struct hr_ctx *ctx)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, http_end(ctx));
}

size_t hr_http_window(struct hr_ctx *ctx)
{
    size_t window = hr_outbox_window(ctx);
    return window > ctx->n_queued ? window - ctx->n_queued : 0;
}

void hr_http_on_drain(struct hr_ctx *ctx, void (*fn)(struct hr_ctx *ctx, void *arg), void *arg)
{
    ctx->on_drain = fn;
    ctx->on_drain_arg = arg;
}

/* ---- handing on */

static int http_hand_on(struct hr_ctx *ctx, struct hr_str channel, const struct hr_pack *pack)
{
    if (!http_is_answerable(ctx) || ctx->seq == 0 || ctx->answer != HR_ANSWER_NONE)
        return hr_raise(HR_ERR_STATE);
    /* The hand-on's own timeout ends it; expired unread, nobody would tell the client. */
    struct hr_send_options options = {.reply = ctx->reply, .seq = ctx->seq, .expires_in = HR_NEVER};
    int r = hr_message_send(ctx, channel, pack, &options);
    if (r == 0)
        ctx->answer = HR_ANSWER_HANDED_ON;
    return hr_trace(r);
}

int hr_http_hand_on(struct hr_ctx *ctx, const char *channel, const struct hr_pack *msg,
                    hr_time timeout)
{
    if (ctx->error)
        return ctx->error;
    ctx->hand_on_timeout = timeout > 0 ? timeout : ctx->worker->config.timeout;
    return hr_ctx_note(ctx, http_hand_on(ctx, hr_str_of(channel), msg));
}
