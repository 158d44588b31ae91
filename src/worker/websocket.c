/* websocket.c - what a consumer says on a WebSocket.
 *
 *   connect:  hr_ws_accept NONE ──► STARTED      hr_ws_deny NONE ──► GIVEN
 *   receive:  starts STARTED
 *   any:      hr_ws_send   STARTED               hr_ws_close ──► GIVEN
 *
 * A consumer of another channel that was given a socket's reply address may
 * send to it and close it; whether it is open only its server knows, which
 * drops and counts what makes no sense.
 */
#include <stdio.h>
#include <string.h>

#include "message/asgi.h"
#include "worker/outbox.h"
#include "worker/worker_impl.h"

enum {
    WS_ROOM = 128,       /* of a message's keys and numbers */
    WS_REASON_MAX = 123, /* RFC 6455 5.5: control frames carry 125 bytes, two of them the code */
};

static bool ws_may_say(const struct hr_ctx *ctx)
{
    if (ctx->kind == HR_CTX_PLAIN)
        return ctx->answer != HR_ANSWER_GIVEN;
    return ctx->kind != HR_CTX_HTTP && ctx->answer == HR_ANSWER_STARTED;
}

/* ---- encoders */

struct accept_args {
    const struct hr_ctx *ctx;
    struct hr_str subprotocol;
};

static void accept_encode(struct hr_pack *pack, const void *arg)
{
    const struct accept_args *accept = arg;
    hr_pack_map(pack, 1u + (accept->subprotocol.len > 0) + (accept->ctx->n_headers > 0));
    hr_pack_type(pack, HR_MSG_TYPE_WEBSOCKET_ACCEPT);
    if (accept->subprotocol.len > 0) {
        hr_pack_cstr(pack, "subprotocol");
        hr_pack_str(pack, accept->subprotocol.ptr, accept->subprotocol.len);
    }
    if (accept->ctx->n_headers == 0)
        return;
    hr_pack_cstr(pack, "headers");
    hr_pack_list(pack, accept->ctx->n_headers);
    for (const struct hr_ctx_header *at = accept->ctx->headers; at; at = at->next)
        hr_pack_header(pack, at->name, at->value);
}

struct send_args {
    struct hr_str payload;
    bool is_text;
};

static void send_encode(struct hr_pack *pack, const void *arg)
{
    const struct send_args *send = arg;
    hr_pack_map(pack, 2);
    hr_pack_type(pack, HR_MSG_TYPE_WEBSOCKET_SEND);
    hr_pack_cstr(pack, send->is_text ? "text" : "bytes");
    if (send->is_text)
        hr_pack_str(pack, send->payload.ptr, send->payload.len);
    else
        hr_pack_bytes(pack, send->payload.ptr, send->payload.len);
}

struct close_args {
    int code;
    struct hr_str reason;
};

static void close_encode(struct hr_pack *pack, const void *arg)
{
    const struct close_args *close = arg;
    hr_pack_map(pack, 3);
    hr_pack_type(pack, HR_MSG_TYPE_WEBSOCKET_CLOSE);
    hr_pack_cstr(pack, "code");
    hr_pack_int(pack, close->code);
    hr_pack_cstr(pack, "reason");
    hr_pack_str(pack, close->reason.ptr, close->reason.len);
}

/* ---- the handshake */

static int ws_accept(struct hr_ctx *ctx, struct hr_str subprotocol)
{
    struct accept_args accept = {.ctx = ctx, .subprotocol = subprotocol};
    if (ctx->kind != HR_CTX_CONNECT || ctx->answer != HR_ANSWER_NONE)
        return hr_raise(HR_ERR_STATE);
    if (!hr_utf8_ok(subprotocol.ptr, subprotocol.len))
        return hr_raise(HR_ERR_MESSAGE);
    int r = hr_outbox_say(ctx,
                          &(struct hr_output){.encode = accept_encode,
                                              .arg = &accept,
                                              .size = WS_ROOM + ctx->headers_size + subprotocol.len,
                                              .is_control = true});
    if (r == 0)
        ctx->answer = HR_ANSWER_STARTED;
    return hr_trace(r);
}

int hr_ws_accept(struct hr_ctx *ctx)
{
    return hr_ws_accept_protocol(ctx, (struct hr_str){0});
}

int hr_ws_accept_protocol(struct hr_ctx *ctx, struct hr_str subprotocol)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, ws_accept(ctx, subprotocol));
}

int hr_ws_deny(struct hr_ctx *ctx, int status)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, hr_answer_deny(ctx, status));
}

bool hr_ws_offers(const struct hr_msg *connect, const char *subprotocol)
{
    struct hr_value list, item;
    struct hr_str wanted = hr_str_of(subprotocol);
    if (!hr_msg_get(connect, "subprotocols", &list) || list.type != HR_TYPE_LIST)
        return false;
    struct hr_walk walk = hr_walk(&list);
    while (hr_list_next(&walk, &item))
        if (item.type == HR_TYPE_STRING && hr_str_eq(item.as.str, wanted))
            return true;
    return false;
}

/* ---- sending */

static int ws_say(struct hr_ctx *ctx, const struct send_args *send)
{
    if (!ws_may_say(ctx))
        return hr_raise(HR_ERR_STATE);
    return hr_trace(hr_outbox_say(ctx, &(struct hr_output){.encode = send_encode,
                                                           .arg = send,
                                                           .size = WS_ROOM + send->payload.len}));
}

static int ws_say_text(struct hr_ctx *ctx, struct hr_str text)
{
    /* RFC 6455 8.1: a text that is not UTF-8 would cost the client its connection. */
    if (!hr_utf8_ok(text.ptr, text.len))
        return hr_raise(HR_ERR_MESSAGE);
    return hr_trace(ws_say(ctx, &(struct send_args){.payload = text, .is_text = true}));
}

int hr_ws_send(struct hr_ctx *ctx, const char *format, ...)
{
    if (ctx->error)
        return ctx->error;
    struct hr_str text;
    va_list args;
    va_start(args, format);
    int r = hr_stash_vprintf(&ctx->stash, &text, format, args);
    va_end(args);
    return hr_ctx_note(ctx, r < 0 ? r : ws_say_text(ctx, text));
}

int hr_ws_send_text(struct hr_ctx *ctx, struct hr_str text)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, ws_say_text(ctx, text));
}

int hr_ws_send_bytes(struct hr_ctx *ctx, const void *data, size_t len)
{
    struct send_args send = {.payload = {data, len}};
    return ctx->error ? ctx->error : hr_ctx_note(ctx, ws_say(ctx, &send));
}

int hr_ws_echo(struct hr_ctx *ctx, const struct hr_msg *received)
{
    struct hr_value value;
    struct send_args send = {0};
    if (ctx->error)
        return ctx->error;
    if (hr_msg_get(received, "text", &value) && value.type == HR_TYPE_STRING)
        send = (struct send_args){.payload = value.as.str, .is_text = true};
    else
        send.payload = hr_ws_bytes(received);
    return hr_ctx_note(ctx, ws_say(ctx, &send));
}

/* ---- closing */

static int ws_close(struct hr_ctx *ctx, int code, struct hr_str reason)
{
    struct close_args close = {.code = code, .reason = reason};
    bool is_handshake = ctx->kind == HR_CTX_CONNECT && ctx->answer == HR_ANSWER_NONE;
    bool is_legal =
        (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
        (code >= 3000 && code <= 4999); /* RFC 6455 7.4 */
    if (!ws_may_say(ctx) && !is_handshake)
        return hr_raise(HR_ERR_STATE);
    if (!is_legal || reason.len > WS_REASON_MAX || !hr_utf8_ok(reason.ptr, reason.len))
        return hr_raise(HR_ERR_INVALID);
    int r = hr_outbox_say(ctx, &(struct hr_output){.encode = close_encode,
                                                   .arg = &close,
                                                   .size = WS_ROOM + reason.len,
                                                   .is_control = true});
    if (r == 0)
        ctx->answer = HR_ANSWER_GIVEN;
    return hr_trace(r);
}

int hr_answer_close(struct hr_ctx *ctx, int code)
{
    return hr_trace(ws_close(ctx, code, (struct hr_str){0}));
}

int hr_ws_close(struct hr_ctx *ctx, int code, const char *reason)
{
    return ctx->error ? ctx->error : hr_ctx_note(ctx, ws_close(ctx, code, hr_str_of(reason)));
}

/* ---- reading */

struct hr_str hr_ws_text(const struct hr_msg *received)
{
    return hr_msg_str(received, "text");
}

struct hr_str hr_ws_bytes(const struct hr_msg *received)
{
    return hr_msg_bytes(received, "bytes");
}
