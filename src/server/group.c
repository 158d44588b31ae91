/* group.c - see group.h for the contract.
 *
 * Losses are counted under the group's kind of message ("websocket.send",
 * "http.response.body"), not under its name: groups come and go by the
 * thousand, channels are counted for ever.
 */
#include "server/group.h"

#include <string.h>

#include "base/assert.h"
#include "server/event.h"
#include "server/private.h"
#include "websocket/websocket.h"

struct hr_frame *hr_broadcast_frame(struct hr_broadcast *b)
{
    if (b->frame)
        return b->frame;
    uint8_t header[HR_WS_MAX_HEADER];
    size_t n = hr_ws_put_header(header, b->is_text ? HR_WS_TEXT : HR_WS_BINARY, true,
                                b->payload.len, NULL);
    b->frame = hr_frame_new(n + b->payload.len);
    if (!b->frame)
        return NULL;
    memcpy(b->frame->data, header, n);
    if (b->payload.len > 0)
        memcpy(b->frame->data + n, b->payload.ptr, b->payload.len);
    return b->frame;
}

struct hr_frame *hr_broadcast_part(struct hr_broadcast *b, enum hr_http1_framing framing)
{
    struct hr_frame **part = framing == HR_FRAMING_CHUNKED ? &b->chunk : &b->plain;
    struct hr_buf buf = {0};
    if (*part)
        return *part;
    if (hr_http1_put_body(&buf, framing, b->payload.ptr, b->payload.len, false) == 0)
        *part = hr_frame_new(hr_buf_len(&buf));
    if (*part && (*part)->len > 0)
        memcpy((*part)->data, hr_buf_ptr(&buf), (*part)->len);
    hr_buf_fini(&buf);
    return *part;
}

void hr_broadcast_count(struct hr_broadcast *b, enum hr_reason reason)
{
    struct hr_str name = hr_msg_type_name(b->type);
    hr_layer_count_drop(b->server->layer, name.len ? name : HR_LIT("websocket.send"), reason);
}

static void broadcast_read(struct hr_broadcast *b, const struct hr_msg *msg)
{
    struct hr_value value;
    b->type = hr_msg_type_of(msg);
    if (b->type == HR_MSG_TYPE_HTTP_RESPONSE_BODY) {
        b->payload = hr_msg_bytes(msg, "body");
        b->more_body = hr_msg_bool(msg, "more_body", false);
        return;
    }
    if (b->type == HR_MSG_TYPE_WEBSOCKET_CLOSE) {
        int64_t code = hr_msg_int(msg, "code", 1000);
        bool is_ok = code > 0 && code <= UINT16_MAX && hr_ws_code_ok((uint16_t)code);
        b->code = is_ok ? (uint16_t)code : 1011;
        b->reason = hr_msg_str(msg, "reason");
        return;
    }
    bool is_text = hr_msg_get(msg, "text", &value) && value.type == HR_TYPE_STRING;
    bool is_bytes = !is_text && hr_msg_get(msg, "bytes", &value) && value.type == HR_TYPE_BYTES;
    bool is_send = b->type == HR_MSG_TYPE_WEBSOCKET_SEND || b->type == HR_MSG_TYPE_NONE;
    if (!is_send || (!is_text && !is_bytes)) {
        b->type = HR_MSG_TYPE_OTHER;
        return;
    }
    b->type = HR_MSG_TYPE_WEBSOCKET_SEND;
    b->is_text = is_text;
    b->payload = value.as.str;
}

void hr_group_deliver(struct hr_server *server, const struct hr_delivery *delivery)
{
    struct hr_broadcast b = {.server = server, .group = delivery->group};
    struct hr_member_cursor cursor = {0};
    struct hr_addr addr;
    struct hr_msg msg;
    if (hr_msg_check(delivery->data, delivery->len, &msg) == 0)
        broadcast_read(&b, &msg);
    else
        b.type = HR_MSG_TYPE_OTHER;
    if (b.type == HR_MSG_TYPE_OTHER) {
        hr_broadcast_count(&b, HR_REASON_APP);
        return;
    }
    while (hr_layer_member_next(server->layer, b.group, &cursor, &addr)) {
        struct hr_source *source = hr_server_source(server, &addr);
        if (source)
            source->ops->on_group(source, &b);
    }
    hr_frame_unref(b.frame);
    hr_frame_unref(b.chunk);
    hr_frame_unref(b.plain);
}
