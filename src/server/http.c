/* http.c - see http.h for the contract.
 *
 *               bytes          head complete
 *     IDLE ────────────► HEAD ──┬──────────────► HOLD     no pool yet
 *      ▲                        │  ┌────────────────┘
 *      │                        ▼  ▼   the body that goes inside
 *      │                      COLLECT ◄─┐ is gathered (or there is none)
 *      │                        │       │
 *      │        lost, retried   ▼       │
 *      │               ┌────► WAIT ─────┘   event out: queued, held, handed on
 *      │               └────────┤ http.response.start
 *      │                        ▼
 *      │                     STREAM
 *      │  keep-alive            │ the last of the body
 *      └──────────────────── ENDED ──► closed
 *
 * and from everywhere to ENDED by an answer of our own (pages.c), a refused
 * handshake, a file (static.c) or the admin pages. A handshake goes the same
 * way up to websocket.accept, which takes the connection over.
 *
 * A client that has closed its half may still wait for the answers to what it
 * has asked, or be gone: conn_on_half() has the rule.
 *
 * One request at a time: input behind a request stays with the connection
 * until its answer is complete, and no further one is begun while more than
 * HR_HTTP_UNSENT_MAX bytes of answers wait, whatever a client pipelines.
 */
#include "server/http.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "server/access.h"
#include "server/admin.h"
#include "server/pages.h"
#include "server/reply.h"
#include "server/request.h"
#include "server/websocket.h"

enum { SPARE_HTTP = 512 }; /* parts kept at rest, about 1 KiB each */

static const struct hr_proto http_proto;

static const uint32_t next_states[HR_N_HTTP_STATES] = {
#define HR_HTTP_IN(state) (1u << HR_HTTP_##state)
#define HR_HTTP_STATE(name, next, meaning) [HR_HTTP_##name] = next,
    HR_HTTP_STATES
#undef HR_HTTP_STATE
#undef HR_HTTP_IN
};

void hr_http_move(struct hr_http *http, enum hr_http_state next)
{
    hr_assert(next_states[http->state] & 1u << next);
    http->state = next;
    http->since = hr_server_now(http->server);
}

/* ---- the part */

int hr_http_open(struct hr_conn *conn)
{
    struct hr_server *server = conn->server;
    struct hr_http *http = server->spare_http;
    conn->proto = &http_proto;
    if (http) {
        server->spare_http = http->next_spare;
        server->n_spare_http--;
        *http = (struct hr_http){0};
    } else {
        http = hr_calloc(1, sizeof *http);
        if (!http)
            return hr_raise(HR_ERR_NOMEM);
    }
    http->conn = conn;
    http->server = server;
    http->since = hr_server_now(server);
    hr_http1_init(&http->engine, &server->limits);
    conn->part = http;
    hr_conn_arm(conn, hr_time_add(http->since, server->config.keep_alive));
    return 0;
}

void hr_http_release(struct hr_http *http)
{
    struct hr_server *server = http->server;
    hr_assert(!hr_addr_is_set(&http->source.addr) && !http->ex.is_counted);
    hr_list_remove(&http->holding);
    hr_upload_fini(&http->ex.upload);
    hr_http1_fini(&http->engine);
    http->conn->part = NULL;
    http->conn = NULL;
    if (server->n_spare_http == SPARE_HTTP) {
        hr_free(http);
        return;
    }
    http->next_spare = server->spare_http;
    server->spare_http = http;
    server->n_spare_http++;
}

void hr_http_free_spares(struct hr_server *server)
{
    while (server->spare_http) {
        struct hr_http *http = server->spare_http;
        server->spare_http = http->next_spare;
        hr_free(http);
    }
    server->n_spare_http = 0;
}

/* ---- the end of a request */

static void tell_gone(struct hr_http *http, const struct hr_addr *holder)
{
    struct hr_send_options options = {.is_control = true, .expires_in = HR_NEVER};
    char address[HR_ADDR_TEXT_MAX];
    struct hr_str reply = hr_source_address(&http->source, address);
    uint8_t data[64 + HR_ADDR_TEXT_MAX];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_type(&pack, HR_MSG_TYPE_HTTP_DISCONNECT);
    hr_pack_cstr(&pack, "reply_channel");
    hr_pack_str(&pack, reply.ptr, reply.len);
    hr_assert(hr_pack_done(&pack) == 0);
    int r = hr_layer_send_to(http->server->layer, holder, data, hr_pack_len(&pack), &options);
    if (r != 0 && r != HR_LAYER_GONE)
        hr_source_count(&http->source, HR_REASON_QUEUE_FULL);
}

void hr_http_tell_gone(struct hr_http *http)
{
    const struct hr_addr *upload = &http->ex.upload.holder, *answer = &http->ex.answer.holder;
    if (!hr_addr_is_set(&http->source.addr))
        return;
    if (hr_addr_is_set(upload))
        tell_gone(http, upload);
    if (hr_addr_is_set(answer) &&
        (answer->slot != upload->slot || answer->conn != upload->conn || !upload->slot_gen))
        tell_gone(http, answer);
}

/* The request is over, however it went: what was its own is given back. */
static void http_settle(struct hr_http *http)
{
    struct hr_server *server = http->server;
    if (!http->ex.is_counted)
        return;
    http->ex.is_counted = false;
    server->n_requests--;
    server->n_answered++;
    hr_list_remove(&http->holding);
    hr_source_end(&http->source);
    hr_metrics_request(&server->metrics, http);
    hr_access_log_request(http);
    hr_source_close(&http->source);
    hr_upload_fini(&http->ex.upload);
}

void hr_http_finish(struct hr_http *http)
{
    struct hr_conn *conn = http->conn;
    /* What was announced holds: it was said only of a request that had been read whole. */
    bool may_come_more = !conn->is_half && (!hr_upload_is_read(http) || hr_buf_len(&conn->in) > 0);
    bool stays = http->ex.answer.keep_alive && !hr_server_is_draining(http->server) &&
                 (!conn->is_half || hr_buf_len(&conn->in) > 0);
    hr_http_move(http, HR_HTTP_ENDED);
    http_settle(http);
    if (!stays) {
        hr_conn_end(conn, may_come_more ? HR_CONN_LINGERS : HR_CONN_ENDS);
        return;
    }
    hr_http1_next(&http->engine);
    hr_http_move(http, HR_HTTP_IDLE);
    hr_conn_arm(conn, hr_time_add(http->since, http->server->config.keep_alive));
    hr_conn_touch(conn); /* the next request may be here already */
}

void hr_http_upgraded(struct hr_http *http)
{
    http->ex.answer.status = 101;
    http_settle(http);
    hr_http_release(http);
}

void hr_http_fail(struct hr_http *http, uint16_t status, enum hr_reason reason)
{
    bool is_answering = http->state == HR_HTTP_STREAM;
    http->ex.reason = reason;
    hr_http_tell_gone(http);
    if (is_answering)
        hr_conn_abort(http->conn);
    else
        hr_page_answer(http, status, reason);
}

/* ---- from the head to the event */

void hr_http_dispatch(struct hr_http *http)
{
    int r = hr_request_send(http);
    if (r == 0)
        hr_http_move(http, HR_HTTP_WAIT);
    else if (r == HR_LAYER_TOO_BIG || r == HR_ERR_TOO_BIG)
        hr_http_fail(http, 413, HR_REASON_LIMIT);
    else
        hr_http_fail(http, 503, hr_reason_of_refusal(r));
}

static void http_start(struct hr_http *http, struct hr_pool *pool)
{
    bool is_handshake = http->ex.kind == HR_KIND_CONNECT;
    int r = hr_source_open(&http->source, http->server, pool, &hr_reply_ops);
    if (r != 0) {
        hr_page_answer(http, 503, HR_REASON_LIMIT);
        return;
    }
    if (is_handshake && !hr_pool_takes(pool, HR_KIND_CONNECT))
        hr_websocket_accept(http, NULL); /* nobody wants to be asked */
    else if (is_handshake || hr_upload_begin(http))
        hr_http_dispatch(http);
}

static void http_seek_pool(struct hr_http *http)
{
    struct hr_server *server = http->server;
    struct hr_pool *pool = NULL;
    struct hr_str path;
    if (!hr_request_path(http, &path)) {
        hr_page_answer(http, 400, HR_REASON_NONE);
        return;
    }
    hr_router_refresh(&server->router, server->layer);
    switch (hr_router_find(&server->router, http->ex.kind, path, &pool)) {
    case 0:
        http_start(http, pool);
        break;
    case HR_ROUTE_NO_MATCH:
        hr_page_answer(http, 404, HR_REASON_NONE);
        break;
    default:
        if (http->state == HR_HTTP_HOLD)
            break;
        hr_http_move(http, HR_HTTP_HOLD);
        hr_list_push_back(&server->holding, &http->holding);
        hr_conn_arm(http->conn, hr_time_add(http->since, server->config.queue_timeout));
        break;
    }
}

void hr_http_release_held(struct hr_server *server)
{
    struct hr_list *held = &server->holding;
    for (size_t n = server->n_requests; n > 0 && !hr_list_is_empty(held); n--) {
        struct hr_http *http = hr_list_first(held, struct hr_http, holding);
        struct hr_conn *conn = http->conn;
        hr_list_remove(&http->holding);
        http_seek_pool(http);
        if (conn->is_closed || conn->part != http)
            continue;
        if (http->state == HR_HTTP_HOLD)
            hr_list_push_back(held, &http->holding);
        else
            hr_conn_touch(conn); /* for its body */
    }
}

static void http_begin(struct hr_http *http)
{
    const struct hr_http1_request *request = hr_http_request(http);
    struct hr_exchange *ex = &http->ex;
    bool is_head = hr_str_eq(request->method, HR_LIT("HEAD"));
    ex->has_head = ex->is_counted = true;
    ex->is_safe = is_head || hr_str_eq(request->method, HR_LIT("GET")) ||
                  hr_str_eq(request->method, HR_LIT("OPTIONS"));
    ex->kind = request->wants_websocket ? HR_KIND_CONNECT : HR_KIND_REQUEST;
    ex->upload.is_ended = !request->has_body;
    http->server->n_requests++;
    ex->via = (struct hr_via){.client = http->conn->peer};
    hr_forwarded_read(request, http->server->config.trusted, http->server->config.n_trusted,
                      &ex->via);
    hr_request_take_id(http);

    if (hr_listener_is_admin(http->conn->listener))
        hr_admin_answer(http);
    else if (request->websocket_refusal)
        hr_page_answer(http, request->websocket_refusal, HR_REASON_NONE);
    else if (request->wants_websocket && !hr_request_origin_ok(http))
        hr_page_answer(http, 403, HR_REASON_LIMIT);
    else if (!hr_static_answer(http))
        http_seek_pool(http);
}

/* What came is no HTTP: answered with why, and closed. */
static void http_refuse(struct hr_http *http, uint16_t status)
{
    http->ex.is_counted = true;
    http->server->n_requests++;
    hr_page_answer(http, status, status == 408 ? HR_REASON_TIMEOUT : HR_REASON_LIMIT);
}

static size_t http_read_head(struct hr_http *http, const uint8_t *data, size_t len)
{
    struct hr_http1_result result;
    if (http->state == HR_HTTP_IDLE) {
        if (http->conn->out.bytes > HR_HTTP_UNSENT_MAX)
            return 0;
        hr_http_move(http, HR_HTTP_HEAD);
        http->ex = (struct hr_exchange){.began_at = http->since};
        hr_source_forget(&http->source);
        hr_conn_arm(http->conn, hr_time_add(http->since, http->server->config.head_timeout));
    }
    int r = hr_http1_feed(&http->engine, data, len, &result);
    size_t used = result.n_used;
    if (r == HR_HTTP1_HEAD) {
        if (!hr_http_request(http)->has_body) {
            r = hr_http1_feed(&http->engine, NULL, 0, &result);
            hr_assert(r == HR_HTTP1_END);
        }
        http_begin(http);
    } else if (r == HR_HTTP1_BAD) {
        http_refuse(http, result.status);
        return len;
    } else if (r < 0) {
        hr_conn_close(http->conn);
    } else if (hr_http1_is_idle(&http->engine)) {
        http->state = HR_HTTP_IDLE; /* empty lines between requests are none */
    }
    return used;
}

/* ---- as the connection's protocol */

static size_t http_on_data(struct hr_conn *conn, uint8_t *data, size_t len)
{
    struct hr_http *http = conn->part;
    switch (http->state) {
    case HR_HTTP_IDLE:
    case HR_HTTP_HEAD:
        return http_read_head(http, data, len);
    case HR_HTTP_COLLECT:
        return hr_upload_take(http, data, len);
    case HR_HTTP_WAIT:
    case HR_HTTP_STREAM:
        /* What follows a handshake are frames: they wait for the accept. */
        return http->ex.kind == HR_KIND_REQUEST ? hr_upload_take(http, data, len) : 0;
    case HR_HTTP_HOLD:
    case HR_HTTP_ENDED:
    case HR_N_HTTP_STATES:
        break;
    }
    return 0;
}

static void http_on_gone(struct hr_conn *conn)
{
    const struct hr_http *http = conn->part;
    /* Whoever closes his half after his last request still gets the answers that are made. */
    if (http->state == HR_HTTP_IDLE && conn->out.bytes > 0 && conn->end == HR_CONN_STAYS)
        hr_conn_end(conn, HR_CONN_ENDS);
    else
        hr_conn_close(conn);
}

static bool http_is_awaited(const struct hr_conn *conn)
{
    const struct hr_http *http = conn->part;
    return http->ex.kind == HR_KIND_REQUEST &&
           (http->state == HR_HTTP_HOLD || http->state == HR_HTTP_WAIT ||
            http->state == HR_HTTP_STREAM);
}

/* 499, nginx's word for it, stands in log and metrics only. */
static void http_on_close(struct hr_conn *conn)
{
    struct hr_http *http = conn->part;
    if (!http)
        return;
    if (http->ex.is_counted) {
        if (http->state == HR_HTTP_STREAM && http->ex.reason == HR_REASON_NONE)
            http->ex.reason = HR_REASON_STALE;
        if (http->ex.answer.status == 0)
            http->ex.answer.status = 499;
        hr_http_tell_gone(http);
        http_settle(http);
    }
    hr_http_release(http);
}

static void http_on_sent(struct hr_conn *conn)
{
    struct hr_http *http = conn->part;
    if (http->state == HR_HTTP_STREAM)
        hr_reply_credit(http);
    if (http->state == HR_HTTP_IDLE && hr_buf_len(&conn->in) > 0)
        hr_conn_touch(conn);
}

static hr_time http_on_time(struct hr_conn *conn, hr_time now)
{
    struct hr_http *http = conn->part;
    const struct hr_server_config *config = &http->server->config;
    hr_time due = HR_NEVER;
    switch (http->state) {
    case HR_HTTP_IDLE:
        due = hr_time_add(http->since, config->keep_alive);
        if (now >= due)
            hr_conn_end(conn, HR_CONN_ENDS);
        break;
    case HR_HTTP_HEAD:
        due = hr_time_add(http->ex.began_at, config->head_timeout);
        if (now >= due)
            http_refuse(http, 408);
        break;
    case HR_HTTP_HOLD:
        due = hr_time_add(http->since, config->queue_timeout);
        if (now >= due)
            hr_http_fail(http, 503, HR_REASON_NO_WORKER);
        break;
    case HR_HTTP_COLLECT:
    case HR_HTTP_WAIT:
    case HR_HTTP_STREAM:
        due = hr_upload_on_time(http, now);
        break;
    case HR_HTTP_ENDED:
    case HR_N_HTTP_STATES:
        break;
    }
    return now >= due ? HR_NEVER : due;
}

static void http_on_drain(struct hr_conn *conn)
{
    const struct hr_http *http = conn->part;
    /* A request that is here and has not been read yet is answered too, not met with a reset. */
    if (http->state == HR_HTTP_IDLE && !hr_conn_has_sent(conn))
        hr_conn_end(conn, HR_CONN_ENDS);
}

static const struct hr_proto http_proto = {
    .on_data = http_on_data,
    .on_gone = http_on_gone,
    .is_awaited = http_is_awaited,
    .on_sent = http_on_sent,
    .on_time = http_on_time,
    .on_drain = http_on_drain,
    .on_close = http_on_close,
};
