/* websocket.c - see websocket.h for the contract.
 *
 *            accept               our close sent          the peer's close, or
 *     (http) ──────► OPEN ──────────────────► CLOSING ──┐  close_timeout
 *                     │ the peer's close, an error,     ▼
 *                     └ or the end of the socket ──► CLOSED: the queue is all that is left
 *
 * A slow reader is full above `window` unsent bytes, until it is below half of
 * them. What becomes of messages meanwhile is a setting, slow_reader:
 *
 *            | sent to it alone                 | to a group it is in
 *     -------+----------------------------------+---------------------------------
 *     wait   | the sender is told FULL, waits   | passes it over, counted
 *     drop   | passes it over, counted          | passes it over, counted
 *     close  | the sender is told FULL, waits   | is kept: a frame has one copy,
 *            |                                  | whoever waits for it
 *
 * `close` lets nothing be missed in silence: who is full for slow_timeout, or
 * when max_unsent is used up, is closed with 1013 and may come back. What was
 * on its way already when a sender is told FULL is taken in; it is bounded by
 * the layer's memory.
 *
 * Life is asked for by a ping when nothing came for ping_interval. While we
 * do not read, because events wait, nobody is pinged.
 */
#include "server/websocket.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "server/about.h"
#include "server/access.h"
#include "server/group.h"
#include "server/http.h"
#include "server/reply.h"
#include "server/request.h"
#include "server/ws_queue.h"

#define WEBSOCKET_MAGIC HR_MAGIC('w', 's', 'o', 'c')

enum {
    CODE_ABNORMAL = 1006, /* RFC 6455 7.4.1: never on the wire */
    CODE_TRY_LATER = 1013,
};

static const struct hr_proto ws_proto;
static const struct hr_source_ops ws_ops;

static struct hr_websocket *ws_of(struct hr_source *source)
{
    struct hr_websocket *ws = hr_container_of(source, struct hr_websocket, source);
    hr_assert(ws->magic == WEBSOCKET_MAGIC);
    return ws;
}

struct hr_websocket *hr_websocket_of(struct hr_source *source)
{
    return source->ops == &ws_ops ? ws_of(source) : NULL;
}

/* ---- out */

static void ws_log_slow(const struct hr_websocket *ws, const char *what)
{
    if (hr_server_may_log(ws->source.server))
        hr_log(HR_EV_REFUSED, "reason=limit request_id=%.*s path=%s what=%s",
               HR_STR(hr_ws_about_id(ws->about)), HR_LOG_Q(hr_ws_about_path(ws->about)),
               HR_LOG_Q(hr_str_of(what)));
}

/* It does not get a message. */
static void ws_miss(struct hr_websocket *ws)
{
    hr_layer_count_drop(ws->source.server->layer, HR_LIT("websocket.send"), HR_REASON_LIMIT);
    if (!ws->is_missing)
        ws_log_slow(ws, "it reads too slowly: messages pass it over");
    ws->is_missing = true;
}

static void ws_check_full(struct hr_websocket *ws)
{
    const struct hr_server *server = ws->source.server;
    uint32_t window = server->config.window;
    size_t waiting = ws->conn ? ws->conn->out.bytes : 0;
    bool over_budget = waiting > 0 && server->out_pool.n_unsent > server->config.max_unsent;
    bool is_full = ws->is_full ? waiting > window / 2 : waiting > window || over_budget;
    if (waiting <= window / 2 && ws->state == HR_WEBSOCKET_OPEN)
        ws->is_missing = false;
    if (is_full == ws->is_full)
        return;
    ws->is_full = is_full;
    ws->full_since = hr_server_now(server);
    if (server->config.slow_reader != HR_SLOW_MISSES)
        hr_layer_address_set_full(server->layer, &ws->source.addr, is_full);
    if (is_full && server->config.slow_reader == HR_SLOW_CLOSES)
        hr_conn_arm(ws->conn, hr_time_add(ws->full_since, server->config.slow_timeout));
}

static void ws_send(struct hr_websocket *ws, enum hr_ws_opcode opcode, struct hr_str payload)
{
    uint8_t header[HR_WS_MAX_HEADER];
    struct hr_buf *buf = hr_conn_begin(ws->conn);
    size_t n = hr_ws_put_header(header, opcode, true, payload.len, NULL);
    if (!buf || hr_buf_append(buf, header, n) < 0 ||
        hr_buf_append(buf, payload.ptr, payload.len) < 0) {
        hr_conn_abort(ws->conn); /* half a frame cannot be taken back */
        return;
    }
    hr_conn_commit(ws->conn);
    ws_check_full(ws);
}

static void ws_send_close(struct hr_websocket *ws, uint16_t code, struct hr_str reason)
{
    uint8_t payload[HR_WS_MAX_CONTROL];
    size_t n = hr_ws_put_close(payload, code, reason);
    ws_send(ws, HR_WS_CLOSE, (struct hr_str){(char *)payload, n});
}

/* ---- the end */

void hr_websocket_free(struct hr_websocket *ws)
{
    struct hr_server *server = ws->source.server;
    hr_assert(ws->magic == WEBSOCKET_MAGIC && !ws->conn);
    hr_source_close(&ws->source);
    hr_ws_queue_fini(ws);
    if (hr_list_is_linked(&ws->node)) {
        hr_list_remove(&ws->node);
        server->n_departed--;
    }
    hr_free(ws->map);
    hr_free(ws->about);
    ws->magic = 0;
    hr_free(ws);
}

/* Departed sockets wait for a worker to hear of it. When none comes they are given up, the oldest
 * first, at as many as there may be connections. */
static void bound_departed(struct hr_server *server)
{
    while (server->n_departed > server->config.max_connections) {
        struct hr_websocket *oldest = hr_list_first(&server->departed, struct hr_websocket, node);
        hr_source_count(&oldest->source, HR_REASON_LIMIT);
        hr_websocket_free(oldest);
    }
}

/* The socket is over; its connection only writes what waits and closes. Ends the life of `ws` too
 * when no event is left. */
static void ws_depart(struct hr_websocket *ws, uint16_t code, struct hr_str reason)
{
    struct hr_server *server = ws->source.server;
    if (ws->is_full) /* who waits to send need not wait for this one */
        hr_layer_address_set_full(server->layer, &ws->source.addr, false);
    ws->code = code;
    ws->state = HR_WEBSOCKET_CLOSED;
    hr_access_log_closed(ws);
    ws->conn->part = NULL;
    ws->conn = NULL;
    hr_list_push_back(&server->departed, &ws->node);
    server->n_departed++;
    if (hr_ws_queue_disconnect(ws, reason))
        bound_departed(server);
}

/* Says why, and goes: no answer is waited for. */
static void ws_end(struct hr_websocket *ws, uint16_t wire_code, uint16_t code, struct hr_str reason)
{
    struct hr_conn *conn = ws->conn;
    if (ws->state == HR_WEBSOCKET_OPEN)
        ws_send_close(ws, wire_code, reason);
    if (conn->is_closed) /* there was no memory for it, and ws is gone */
        return;
    ws_depart(ws, code, reason);
    hr_conn_end(conn, HR_CONN_LINGERS);
}

void hr_websocket_close(struct hr_websocket *ws, uint16_t code, struct hr_str reason)
{
    struct hr_conn *conn = ws->conn;
    if (ws->state != HR_WEBSOCKET_OPEN)
        return;
    ws_send_close(ws, code, reason);
    if (conn->is_closed)
        return;
    ws->state = HR_WEBSOCKET_CLOSING;
    ws->code = code;
    ws->asked_at = hr_server_now(ws->source.server);
    hr_conn_arm(conn, hr_time_add(ws->asked_at, ws->source.server->config.close_timeout));
}

static void ws_close_slow(struct hr_websocket *ws)
{
    ws_log_slow(ws, "closed with 1013: it reads too slowly");
    ws->is_missing = true;
    hr_layer_count_drop(ws->source.server->layer, HR_LIT("websocket.send"), HR_REASON_LIMIT);
    hr_websocket_close(ws, CODE_TRY_LATER, HR_LIT("messages were not read in time"));
}

/* ---- in */

static void ws_on_ping(struct hr_websocket *ws, struct hr_str payload)
{
    /* RFC 6455 5.5.3: a pong for each ping; not for those of a client that does not read. */
    if (ws->state == HR_WEBSOCKET_OPEN && hr_conn_room(ws->conn, payload.len) == HR_CONN_HAS_ROOM)
        ws_send(ws, HR_WS_PONG, payload);
}

static void ws_on_close_frame(struct hr_websocket *ws, const struct hr_ws_result *result)
{
    /* RFC 6455 5.5.1: the code goes back as it came. The reason is the application's now; it is
       not sent back to who gave it. */
    struct hr_conn *conn = ws->conn;
    bool was_ours = ws->state == HR_WEBSOCKET_CLOSING;
    if (!was_ours)
        ws_send_close(ws, result->code, (struct hr_str){0});
    if (conn->is_closed)
        return;
    ws_depart(ws, was_ours ? ws->code : result->code, result->payload);
    hr_conn_end(conn, HR_CONN_ENDS);
}

/* One event of the engine. False when the socket is over: ws may be gone. */
static bool ws_take(struct hr_websocket *ws, enum hr_ws_event event,
                    const struct hr_ws_result *result)
{
    switch (event) {
    case HR_WS_DATA:
        ws->n_in += result->payload.len;
        if (ws->state == HR_WEBSOCKET_OPEN && hr_ws_queue_piece(ws, result) < 0) {
            ws_end(ws, CODE_TRY_LATER, CODE_ABNORMAL, HR_LIT("out of memory"));
            return false;
        }
        return true;
    case HR_WS_GOT_PING: {
        struct hr_conn *conn = ws->conn;
        ws_on_ping(ws, result->payload);
        return !conn->is_closed;
    }
    case HR_WS_GOT_PONG:
    case HR_WS_MORE:
        return true;
    case HR_WS_GOT_CLOSE:
        ws_on_close_frame(ws, result);
        return false;
    case HR_WS_BAD:
        ws_end(ws, result->code, CODE_ABNORMAL, hr_str_of(result->reason));
        return false;
    }
    HR_UNREACHABLE("an event of the engine");
}

static size_t ws_on_data(struct hr_conn *conn, uint8_t *data, size_t len)
{
    struct hr_websocket *ws = conn->part;
    struct hr_ws_result result;
    size_t used = 0;
    while (ws->state != HR_WEBSOCKET_OPEN || !hr_ws_queue_is_full(ws)) {
        int event = hr_ws_feed(&ws->engine, data + used, len - used, &result);
        used += result.n_used;
        if (!ws_take(ws, (enum hr_ws_event)event, &result))
            return len; /* nothing after a close means anything */
        if (event == HR_WS_MORE)
            break;
    }
    if (used > 0) {
        ws->heard_at = hr_server_now(ws->source.server);
        ws->is_pinged = false;
    }
    return used;
}

/* ---- as the connection's protocol. `part` is NULL once the socket has departed. */

static void ws_on_gone(struct hr_conn *conn)
{
    hr_conn_close(conn);
}

static void ws_on_close(struct hr_conn *conn)
{
    struct hr_websocket *ws = conn->part;
    if (ws)
        ws_depart(ws, ws->state == HR_WEBSOCKET_CLOSING ? ws->code : CODE_ABNORMAL,
                  (struct hr_str){0});
}

static void ws_on_sent(struct hr_conn *conn)
{
    struct hr_websocket *ws = conn->part;
    if (ws && (ws->is_full || ws->is_missing))
        ws_check_full(ws);
}

/* When it will have been full for too long, HR_NEVER if that does not matter. */
static hr_time ws_slow_due(const struct hr_websocket *ws)
{
    const struct hr_server_config *config = &ws->source.server->config;
    return ws->is_full && config->slow_reader == HR_SLOW_CLOSES
               ? hr_time_add(ws->full_since, config->slow_timeout)
               : HR_NEVER;
}

static hr_time ws_open_on_time(struct hr_websocket *ws, hr_time now)
{
    const struct hr_server_config *config = &ws->source.server->config;
    hr_time slow_due = ws_slow_due(ws);
    if (now >= slow_due) {
        ws_close_slow(ws);
        return HR_NEVER;
    }
    if (hr_ws_queue_is_full(ws)) {
        ws->heard_at = now; /* we do not listen: silence says nothing */
        ws->is_pinged = false;
    }
    hr_time due = ws->is_pinged ? hr_time_add(ws->asked_at, config->ping_timeout)
                                : hr_time_add(ws->heard_at, config->ping_interval);
    if (now < due)
        return due < slow_due ? due : slow_due;
    if (ws->is_pinged) {
        ws_end(ws, 1011, CODE_ABNORMAL, HR_LIT("no answer to a ping"));
        return HR_NEVER;
    }
    ws->is_pinged = true;
    ws->asked_at = now;
    ws_send(ws, HR_WS_PING, (struct hr_str){0});
    due = hr_time_add(now, config->ping_timeout);
    return due < slow_due ? due : slow_due;
}

static hr_time ws_on_time(struct hr_conn *conn, hr_time now)
{
    struct hr_websocket *ws = conn->part;
    if (!ws)
        return HR_NEVER;
    if (ws->state == HR_WEBSOCKET_OPEN)
        return ws_open_on_time(ws, now);
    hr_time due = hr_time_add(ws->asked_at, ws->source.server->config.close_timeout);
    if (now < due)
        return due;
    hr_conn_close(conn);
    return HR_NEVER;
}

static void ws_on_drain(struct hr_conn *conn)
{
    struct hr_websocket *ws = conn->part;
    if (ws)
        hr_websocket_close(ws, 1001, HR_LIT("the server is restarting"));
}

static const struct hr_proto ws_proto = {
    .on_data = ws_on_data,
    .on_gone = ws_on_gone,
    .on_sent = ws_on_sent,
    .on_time = ws_on_time,
    .on_drain = ws_on_drain,
    .on_close = ws_on_close,
};

/* ---- as the source of its events */

static void ws_on_send(struct hr_websocket *ws, const struct hr_msg *msg)
{
    struct hr_value value;
    bool is_text = hr_msg_get(msg, "text", &value) && value.type == HR_TYPE_STRING;
    if (!is_text && !(hr_msg_get(msg, "bytes", &value) && value.type == HR_TYPE_BYTES)) {
        hr_source_count(&ws->source, HR_REASON_APP);
        return;
    }
    if (ws->source.server->config.slow_reader == HR_SLOW_MISSES) {
        enum hr_conn_room room = hr_conn_room(ws->conn, value.as.str.len);
        if (room == HR_CONN_IS_SLOW)
            ws_miss(ws);
        if (room != HR_CONN_HAS_ROOM)
            return;
    }
    ws->n_out += value.as.str.len;
    ws_send(ws, is_text ? HR_WS_TEXT : HR_WS_BINARY, value.as.str);
}

static void ws_on_message(struct hr_source *source, enum hr_msg_type type, const struct hr_msg *msg)
{
    struct hr_websocket *ws = ws_of(source);
    if (ws->state != HR_WEBSOCKET_OPEN) {
        hr_source_count(source, HR_REASON_STALE);
    } else if (type == HR_MSG_TYPE_WEBSOCKET_SEND || type == HR_MSG_TYPE_NONE) {
        ws_on_send(ws, msg);
    } else if (type == HR_MSG_TYPE_WEBSOCKET_CLOSE) {
        int64_t code = hr_msg_int(msg, "code", 1000);
        bool is_ok = code > 0 && code <= UINT16_MAX && hr_ws_code_ok((uint16_t)code);
        if (!is_ok)
            hr_source_count(source, HR_REASON_APP);
        hr_websocket_close(ws, is_ok ? (uint16_t)code : 1011, hr_msg_str(msg, "reason"));
    } else {
        hr_source_count(source, HR_REASON_APP);
    }
}

/* A reader has no room for a broadcast of `len` bytes. May it be kept all the same? */
static bool ws_may_lag(struct hr_websocket *ws, size_t len)
{
    const struct hr_server *server = ws->source.server;
    if (server->config.slow_reader != HR_SLOW_CLOSES)
        ws_miss(ws);
    else if (server->out_pool.n_unsent + len <= server->config.max_unsent)
        return true;
    else
        ws_close_slow(ws);
    return false;
}

static void ws_on_group(struct hr_source *source, struct hr_broadcast *broadcast)
{
    struct hr_websocket *ws = ws_of(source);
    if (ws->state != HR_WEBSOCKET_OPEN)
        return; /* it has left, or is leaving: nobody would read it */
    if (broadcast->type == HR_MSG_TYPE_WEBSOCKET_CLOSE) {
        hr_websocket_close(ws, broadcast->code, broadcast->reason);
        return;
    }
    if (broadcast->type != HR_MSG_TYPE_WEBSOCKET_SEND) {
        hr_broadcast_count(broadcast, HR_REASON_APP);
        return;
    }
    struct hr_frame *frame = hr_broadcast_frame(broadcast);
    enum hr_conn_room room = frame ? hr_conn_room(ws->conn, frame->len) : HR_CONN_HAS_ROOM;
    if (room == HR_CONN_IS_GONE) {
        hr_broadcast_count(broadcast, HR_REASON_STALE);
        return;
    }
    if (room == HR_CONN_IS_SLOW && !ws_may_lag(ws, frame->len))
        return;
    if (!frame || hr_conn_send_frame(ws->conn, frame) < 0) {
        ws_miss(ws);
        return;
    }
    ws->n_out += broadcast->payload.len;
    if (room == HR_CONN_IS_SLOW)
        ws_check_full(ws);
}

static const struct hr_source_ops ws_ops = {
    .on_message = ws_on_message,
    .on_done = hr_ws_queue_on_done,
    .on_lost = hr_ws_queue_on_lost,
    .on_timeout = hr_ws_queue_on_timeout,
    .on_room = hr_ws_queue_on_room,
    .on_group = ws_on_group,
};

/* ---- accept */

static struct hr_websocket *ws_new(struct hr_http *http)
{
    struct hr_str path, id = hr_request_id(http);
    if (!hr_request_path(http, &path))
        return NULL;
    struct hr_websocket *ws = hr_calloc(1, sizeof *ws);
    struct hr_ws_about *about = hr_alloc(sizeof *about + path.len + id.len);
    if (!ws || !about) {
        hr_free(ws);
        hr_free(about);
        return NULL;
    }
    *about = (struct hr_ws_about){
        .opened_at = hr_server_now(http->server),
        .path_len = (uint32_t)path.len,
        .id_len = (uint32_t)id.len,
    };
    memcpy(about->text, path.ptr, path.len);
    memcpy(about->text + path.len, id.ptr, id.len);
    ws->magic = WEBSOCKET_MAGIC;
    ws->about = about;
    ws->heard_at = about->opened_at;
    hr_ws_init(&ws->engine, HR_WS_SERVER, http->server->config.max_message);
    return ws;
}

static bool is_handshake_header(struct hr_str name)
{
    return name.len >= 14 &&
           hr_str_eq_nocase((struct hr_str){name.ptr, 14}, HR_LIT("sec-websocket-"));
}

static const char *accept_check(struct hr_http *http, const struct hr_msg *msg,
                                struct hr_reply_headers *headers, struct hr_str *protocol)
{
    struct hr_str name, value;
    *headers = (struct hr_reply_headers){0};
    *protocol = (struct hr_str){0};
    if (http->state == HR_HTTP_STREAM)
        return "an accept after the start of a denial";
    if (!msg)
        return NULL;
    *protocol = hr_msg_str(msg, "subprotocol");
    if (protocol->len > 0 && !hr_request_offers(http, *protocol))
        return "a subprotocol that the client did not offer";
    if (!hr_reply_check_headers(msg, headers))
        return "invalid headers";
    struct hr_walk walk = hr_walk(&headers->list);
    while (hr_header_next(&walk, &name, &value) == 0)
        if (is_handshake_header(name))
            return "headers of the handshake's own";
    return NULL;
}

static int accept_write(struct hr_http *http, const struct hr_reply_headers *headers,
                        struct hr_str protocol)
{
    struct hr_buf *buf = hr_conn_begin(http->conn);
    int r = buf ? hr_ws_put_answer(buf, hr_http_request(http)->websocket_key, protocol)
                : hr_raise(HR_ERR_NOMEM);
    if (r == 0)
        r = hr_reply_put_headers(buf, headers);
    if (r == 0)
        r = hr_http1_put_header(buf, HR_LIT("x-request-id"), hr_request_id(http));
    if (r == 0)
        r = hr_http1_put_end(buf);
    if (r == 0)
        hr_conn_commit(http->conn);
    else if (buf)
        hr_out_rollback(&http->conn->out);
    return hr_trace(r);
}

void hr_websocket_accept(struct hr_http *http, const struct hr_msg *msg)
{
    struct hr_conn *conn = http->conn;
    struct hr_server *server = http->server;
    struct hr_reply_headers headers;
    struct hr_str protocol;
    const char *wrong = accept_check(http, msg, &headers, &protocol);
    if (wrong) {
        hr_reply_fail(http, wrong);
        return;
    }
    struct hr_websocket *ws = ws_new(http);
    if (!ws || accept_write(http, &headers, protocol) < 0) {
        if (ws)
            hr_free(ws->about);
        hr_free(ws);
        hr_http_fail(http, 503, HR_REASON_LIMIT);
        return;
    }
    ws->conn = conn;
    conn->peer = http->ex.via.client;
    hr_source_move(&ws->source, &http->source, &ws_ops);
    ws->source.is_accepted = true;
    hr_http_upgraded(http);
    conn->part = ws;
    conn->proto = &ws_proto;
    hr_server_conn_upgraded(server, conn);
    hr_conn_arm(conn, hr_time_add(ws->heard_at, server->config.ping_interval));
    hr_conn_touch(conn); /* frames may be here already */
    if (hr_server_is_draining(server))
        ws_on_drain(conn);
}
