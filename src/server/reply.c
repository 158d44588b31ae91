/* reply.c - see reply.h for the contract.
 *
 * Framing (RFC 9112 6.3). The application's Content-Length is kept to: a body
 * that is longer or shorter cuts the connection, since the client could not
 * tell where it ends. A start that brings the whole body gets its length from
 * there. Else chunks, or the end of the connection for HTTP/1.0.
 *
 * Credit. The holder may have `window` bytes of body on their way that we have
 * not credited; what it sends beyond is its mistake and cuts the answer, so a
 * client that does not read costs a bounded amount. Written is estimated as
 * all of the body less all that waits, which is exact when nothing waits and
 * errs to our side before. An answer whose holder gave no address has no
 * credit, nor has one whose holder has ended; its senders are told FULL when
 * two windows wait.
 *
 * An answer that has begun outlives its event: after event.done nobody holds
 * it, and whoever knows its address, or sends to a group it is in, goes on
 * writing until a body without more_body.
 */
#include "server/reply.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/time.h"
#include "server/group.h"
#include "server/pages.h"
#include "server/request.h"
#include "server/websocket.h"

enum {
    MAX_HEADERS = 256,            /* lines of an answer */
    MAX_HEADER_BYTES = 128 << 10, /* and their bytes */
};

/* The application's, or the worker's, fault: seen by the operator, not only by a counter. */
static void reply_is_wrong(struct hr_http *http, const char *what)
{
    struct hr_source *source = &http->source;
    hr_source_count(source, HR_REASON_APP);
    if (!hr_server_may_log(http->server))
        return;
    hr_log(HR_EV_APP, "pool=%.*s request_id=%.*s what=%s", HR_STR(source->pool->name),
           HR_STR(hr_request_id(http)), HR_LOG_Q(hr_str_of(what)));
}

void hr_reply_fail(struct hr_http *http, const char *what)
{
    reply_is_wrong(http, what);
    hr_http_fail(http, 500, HR_REASON_APP);
}

/* ---- headers */

/* Hop by hop, or made by us from what we know better (RFC 9110 7.6.1). */
static bool header_is_ours(struct hr_str name)
{
    static const struct hr_str ours[] = {
        {"connection", 10},     {"transfer-encoding", 17},
        {"content-length", 14}, {"date", 4},
        {"keep-alive", 10},     {"upgrade", 7},
        {"x-request-id", 12},   {"trailer", 7},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (hr_str_eq_nocase(name, ours[i]))
            return true;
    return false;
}

static bool header_note(struct hr_reply_headers *out, struct hr_str name, struct hr_str value)
{
    if (hr_str_eq_nocase(name, HR_LIT("connection"))) {
        out->is_close = out->is_close || hr_str_eq_nocase(value, HR_LIT("close"));
    } else if (hr_str_eq_nocase(name, HR_LIT("content-length"))) {
        uint64_t length;
        if (!hr_str_u64(value, &length) || (out->has_length && length != out->length))
            return false;
        out->has_length = true;
        out->length = length;
    }
    return true;
}

bool hr_reply_check_headers(const struct hr_msg *msg, struct hr_reply_headers *out)
{
    struct hr_str name, value;
    size_t n_bytes = 0;
    int r;
    *out = (struct hr_reply_headers){0};
    if (!hr_msg_get(msg, "headers", &out->list) || out->list.type == HR_TYPE_NULL)
        return true;
    if (out->list.type != HR_TYPE_LIST || out->list.n > MAX_HEADERS)
        return false;
    struct hr_walk walk = hr_walk(&out->list);
    while ((r = hr_header_next(&walk, &name, &value)) == 0) {
        n_bytes += name.len + value.len;
        if (!hr_http1_header_ok(name, value) || !header_note(out, name, value))
            return false;
    }
    return r == HR_HEADER_END && n_bytes <= MAX_HEADER_BYTES;
}

int hr_reply_put_headers(struct hr_buf *buf, const struct hr_reply_headers *headers)
{
    struct hr_str name, value;
    struct hr_walk walk = hr_walk(&headers->list);
    while (hr_header_next(&walk, &name, &value) == 0) {
        int r = header_is_ours(name) ? 0 : hr_http1_put_header(buf, name, value);
        if (r < 0)
            return hr_trace(r);
    }
    return 0;
}

/* ---- the head */

static struct hr_http1_answer answer_line(struct hr_http *http)
{
    const struct hr_answer *answer = &http->ex.answer;
    return (struct hr_http1_answer){
        .status = answer->status,
        .framing = (enum hr_http1_framing)answer->framing,
        .content_length = answer->length,
        .has_length = answer->has_length,
        .keep_alive = answer->keep_alive,
        .minor = http->ex.has_head ? hr_http_request(http)->minor : 1,
        .wall = hr_server_wall(http->server),
    };
}

/* Decides framing and keep-alive; length and status are filled in. */
static void answer_decide(struct hr_http *http, bool wants_close)
{
    struct hr_answer *answer = &http->ex.answer;
    if (!http->ex.has_head) {
        answer->framing = HR_FRAMING_LENGTH;
        return;
    }
    const struct hr_http1_request *request = hr_http_request(http);
    answer->framing = (uint8_t)hr_http1_framing_for(request, answer->status, answer->has_length);
    answer->keep_alive = request->keep_alive && !wants_close && hr_upload_is_read(http) &&
                         !hr_server_is_draining(http->server) && http->ex.kind == HR_KIND_REQUEST &&
                         answer->framing != HR_FRAMING_CLOSE;
}

/* Writes the head: our own headers, then the application's, then the request's id. After an error
 * the connection is closed, since half a head cannot be taken back. */
static int answer_write(struct hr_http *http, const struct hr_reply_headers *theirs,
                        const struct hr_header *ours, size_t n_ours)
{
    struct hr_http1_answer line = answer_line(http);
    struct hr_str id = hr_request_id(http);
    struct hr_buf *buf = hr_conn_begin(http->conn);
    int r = buf ? hr_http1_put_start(buf, &line) : hr_raise(HR_ERR_NOMEM);
    for (size_t i = 0; r == 0 && i < n_ours; i++)
        r = hr_http1_put_header(buf, ours[i].name, ours[i].value);
    if (r == 0 && theirs)
        r = hr_reply_put_headers(buf, theirs);
    if (r == 0 && id.len > 0)
        r = hr_http1_put_header(buf, HR_LIT("x-request-id"), id);
    if (r == 0)
        r = hr_http1_put_end(buf);
    if (r == 0)
        hr_conn_commit(http->conn);
    else
        hr_conn_abort(http->conn);
    return hr_trace(r);
}

int hr_reply_own(struct hr_http *http, uint16_t status, uint64_t length,
                 const struct hr_header *headers, size_t n_headers)
{
    struct hr_answer *answer = &http->ex.answer;
    /* RFC 9110 8.6, as in reply_start(). */
    *answer = (struct hr_answer){.status = status, .has_length = status != 304, .length = length};
    answer_decide(http, false);
    int r = answer_write(http, NULL, headers, n_headers);
    if (r < 0)
        return hr_trace(r);
    return answer->framing == HR_FRAMING_NONE ? HR_REPLY_NO_BODY : 0;
}

/* ---- the body */

/* Appends a part. False when the answer had to be cut, or is over: then http is not to be used. */
static bool reply_append(struct hr_http *http, struct hr_str body, bool is_last)
{
    struct hr_answer *answer = &http->ex.answer;
    if (answer->framing == HR_FRAMING_LENGTH) {
        uint64_t left = answer->length - answer->n_body;
        if (body.len > left || (is_last && body.len < left)) {
            hr_reply_fail(http, "the body is not as long as content-length says");
            return false;
        }
    }
    if (answer->framing != HR_FRAMING_NONE) {
        struct hr_buf *buf = hr_conn_begin(http->conn);
        int r = buf ? hr_http1_put_body(buf, (enum hr_http1_framing)answer->framing, body.ptr,
                                        body.len, is_last)
                    : hr_raise(HR_ERR_NOMEM);
        if (r < 0) {
            hr_http_fail(http, 503, HR_REASON_LIMIT);
            return false;
        }
        hr_conn_commit(http->conn);
    }
    answer->n_body += body.len;
    if (is_last)
        hr_http_finish(http);
    else if (answer->framing == HR_FRAMING_NONE)
        hr_reply_credit(http); /* nothing is written, so nothing else would tell */
    return !is_last;
}

/* Whoever began the answer has ended and someone else goes on with it: nobody is left who counts
 * credit. */
static bool reply_has_holder(struct hr_http *http)
{
    struct hr_addr *holder = &http->ex.answer.holder;
    if (hr_addr_is_set(holder) && !hr_layer_address_alive(http->server->layer, holder))
        *holder = (struct hr_addr){0};
    return hr_addr_is_set(holder);
}

/* Is a part of the body too much for what the client has read so far? */
static bool reply_is_over(struct hr_http *http)
{
    const struct hr_server *server = http->server;
    const struct hr_answer *answer = &http->ex.answer;
    bool over_budget = server->out_pool.n_unsent > server->config.max_unsent;
    if (over_budget && http->conn->out.bytes > 0)
        return true;
    return answer->n_body - answer->n_credited > server->config.window && reply_has_holder(http);
}

static void reply_mark_full(struct hr_http *http, bool is_full)
{
    struct hr_answer *answer = &http->ex.answer;
    if (answer->is_full == is_full)
        return;
    answer->is_full = is_full;
    hr_layer_address_set_full(http->server->layer, &http->source.addr, is_full);
}

static void reply_body(struct hr_http *http, const struct hr_msg *msg)
{
    if (http->state != HR_HTTP_STREAM) {
        hr_reply_fail(http, "a body before the start of the answer");
        return;
    }
    if (reply_is_over(http)) {
        hr_source_count(&http->source, HR_REASON_LIMIT);
        hr_http_fail(http, 503, HR_REASON_LIMIT);
        return;
    }
    if (!reply_append(http, hr_msg_bytes(msg, "body"), !hr_msg_bool(msg, "more_body", false)))
        return;
    if (!hr_addr_is_set(&http->ex.answer.holder) &&
        http->conn->out.bytes > 2 * (size_t)http->server->config.window)
        reply_mark_full(http, true);
}

void hr_reply_credit(struct hr_http *http)
{
    struct hr_answer *answer = &http->ex.answer;
    uint64_t waiting = http->conn->out.bytes;
    uint64_t written = answer->n_body > waiting ? answer->n_body - waiting : 0;
    uint32_t window = http->server->config.window;
    if (answer->is_full && waiting < window)
        reply_mark_full(http, false);
    if (written - answer->n_credited < window / 4 || !reply_has_holder(http))
        return;
    struct hr_send_options options = {.is_control = true, .expires_in = HR_NEVER};
    char address[HR_ADDR_TEXT_MAX];
    struct hr_str reply = hr_source_address(&http->source, address);
    uint8_t data[96 + HR_ADDR_TEXT_MAX];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 3);
    hr_pack_type(&pack, HR_MSG_TYPE_WRITE_CREDIT);
    hr_pack_cstr(&pack, "reply_channel");
    hr_pack_str(&pack, reply.ptr, reply.len);
    hr_pack_cstr(&pack, "total");
    hr_pack_int(&pack, (int64_t)written);
    hr_assert(hr_pack_done(&pack) == 0);
    /* Not sent, for want of room: the next progress tries again, the total is cumulative. */
    if (hr_layer_send_to(http->server->layer, &answer->holder, data, hr_pack_len(&pack),
                         &options) == 0)
        answer->n_credited = written;
}

/* ---- messages */

/* What is wrong with a start, or NULL. */
static const char *start_check(const struct hr_http *http, const struct hr_msg *msg,
                               struct hr_reply_headers *headers)
{
    int64_t status = hr_msg_int(msg, "status", 0);
    struct hr_value body;
    if (http->state != HR_HTTP_WAIT)
        return "a second start of the answer";
    if (status < 200 || status > 999)
        return "no valid status";
    if (!hr_reply_check_headers(msg, headers))
        return "invalid headers";
    bool is_whole = hr_msg_get(msg, "body", &body) && !hr_msg_bool(msg, "more_body", false);
    bool has_none =
        hr_http1_framing_for(hr_http_request(http), (uint16_t)status, true) == HR_FRAMING_NONE;
    if (is_whole && !has_none && headers->has_length &&
        headers->length != hr_msg_bytes(msg, "body").len)
        return "the body is not as long as content-length says";
    return NULL;
}

/* The worker's runtime refuses in the application's place. */
static enum hr_reason reason_given(const struct hr_msg *msg)
{
    struct hr_str word = hr_msg_str(msg, "reason");
    for (int reason = HR_REASON_NONE + 1; word.len > 0 && reason < HR_N_REASONS; reason++)
        if (hr_str_eq(word, hr_str_of(hr_reason_name((enum hr_reason)reason))))
            return (enum hr_reason)reason;
    return HR_REASON_NONE;
}

static void reply_start(struct hr_http *http, const struct hr_msg *msg)
{
    struct hr_answer *answer = &http->ex.answer;
    struct hr_header ours[1];
    struct hr_reply_headers headers;
    struct hr_value body;
    const char *wrong = start_check(http, msg, &headers);
    if (wrong) {
        hr_reply_fail(http, wrong);
        return;
    }
    bool has_body = hr_msg_get(msg, "body", &body);
    bool is_last = has_body && !hr_msg_bool(msg, "more_body", false);
    struct hr_str bytes = hr_msg_bytes(msg, "body");
    answer->status = (uint16_t)hr_msg_int(msg, "status", 0);
    /* RFC 9110 8.6: the length of a 304 would be that of the 200, which only the application knows.
     */
    answer->has_length = headers.has_length || (is_last && answer->status != 304);
    answer->length = headers.has_length ? headers.length : bytes.len;
    if (!hr_addr_parse(hr_msg_str(msg, "to"), &answer->holder))
        answer->holder = (struct hr_addr){0};
    http->ex.reason = reason_given(msg);
    answer_decide(http, headers.is_close);
    if (answer_write(http, &headers, ours, hr_page_reason(http, ours)) < 0)
        return;
    http->source.is_untimed = true;
    hr_http_move(http, HR_HTTP_STREAM);
    if (has_body)
        reply_append(http, bytes, is_last);
}

/* Before accept, a close says no (ASGI: 403). */
static void reply_deny(struct hr_http *http, const struct hr_msg *msg)
{
    (void)msg;
    if (http->state == HR_HTTP_WAIT)
        hr_page_answer(http, 403, HR_REASON_NONE);
    else
        hr_reply_fail(http, "a close after the start of a denial");
}

typedef void (*reply_fn)(struct hr_http *http, const struct hr_msg *msg);

static const reply_fn for_request[HR_N_MSG_TYPES] = {
    [HR_MSG_TYPE_HTTP_RESPONSE_START] = reply_start,
    [HR_MSG_TYPE_HTTP_RESPONSE_BODY] = reply_body,
    [HR_MSG_TYPE_BODY_OPEN] = hr_upload_on_open,
    [HR_MSG_TYPE_BODY_CREDIT] = hr_upload_on_credit,
};

static const reply_fn for_handshake[HR_N_MSG_TYPES] = {
    [HR_MSG_TYPE_WEBSOCKET_ACCEPT] = hr_websocket_accept,
    [HR_MSG_TYPE_WEBSOCKET_CLOSE] = reply_deny,
    [HR_MSG_TYPE_WEBSOCKET_DENIAL_START] = reply_start,
    [HR_MSG_TYPE_WEBSOCKET_DENIAL_BODY] = reply_body,
    [HR_MSG_TYPE_HTTP_RESPONSE_START] = reply_start,
    [HR_MSG_TYPE_HTTP_RESPONSE_BODY] = reply_body,
};

static struct hr_http *http_of(struct hr_source *source)
{
    return hr_container_of(source, struct hr_http, source);
}

static void reply_on_message(struct hr_source *source, enum hr_msg_type type,
                             const struct hr_msg *msg)
{
    struct hr_http *http = http_of(source);
    bool is_handshake = http->ex.kind == HR_KIND_CONNECT;
    reply_fn take = is_handshake ? for_handshake[type] : for_request[type];
    if (take)
        take(http, msg);
    else
        reply_is_wrong(http, "a message that means nothing here");
}

static void reply_on_done(struct hr_source *source, const struct hr_msg *done)
{
    struct hr_http *http = http_of(source);
    (void)done;
    if (http->state != HR_HTTP_WAIT)
        return;
    if (http->ex.kind == HR_KIND_CONNECT)
        hr_page_answer(http, 403, HR_REASON_NONE);
    else
        hr_http_fail(http, 500, HR_REASON_APP);
}

/* DESIGN 0: a safe request once more while nothing of it has been answered or handed out. */
static void reply_on_lost(struct hr_source *source, const struct hr_delivery *lost)
{
    struct hr_http *http = http_of(source);
    struct hr_exchange *ex = &http->ex;
    bool is_handshake = ex->kind == HR_KIND_CONNECT;
    bool may_retry = is_handshake
                         ? source->pool->redelivers
                         : source->pool->retries_safe && ex->is_safe && !ex->upload.is_open;
    if (http->state != HR_HTTP_WAIT || !may_retry || lost->attempts > 0) {
        hr_http_fail(http, 502, HR_REASON_WORKER_DIED);
        return;
    }
    int r = hr_source_resend(source, lost,
                             is_handshake ? HR_RESEND_SAME_ADDRESS : HR_RESEND_NEW_ADDRESS);
    if (r != 0)
        hr_http_fail(http, 503, hr_reason_of_refusal(r));
}

static void reply_on_timeout(struct hr_source *source, enum hr_reason reason)
{
    hr_http_fail(http_of(source), reason == HR_REASON_TIMEOUT ? 504 : 503, reason);
}

static void reply_on_room(struct hr_source *source)
{
    (void)source;
    HR_UNREACHABLE("a request that is refused is answered");
}

/* Streams take http.response.body from groups, and count what overtakes their client. */
static void reply_on_group(struct hr_source *source, struct hr_broadcast *broadcast)
{
    struct hr_http *http = http_of(source);
    struct hr_answer *answer = &http->ex.answer;
    bool is_last = !broadcast->more_body;
    bool is_ready = http->state == HR_HTTP_STREAM && answer->framing != HR_FRAMING_NONE;
    if (broadcast->type != HR_MSG_TYPE_HTTP_RESPONSE_BODY || !is_ready) {
        hr_broadcast_count(broadcast, is_ready ? HR_REASON_APP : HR_REASON_STALE);
        return;
    }
    enum hr_conn_room room =
        is_last ? HR_CONN_HAS_ROOM : hr_conn_room(http->conn, broadcast->payload.len);
    if (room != HR_CONN_HAS_ROOM) {
        hr_broadcast_count(broadcast, room == HR_CONN_IS_SLOW ? HR_REASON_LIMIT : HR_REASON_STALE);
        return;
    }
    if (answer->framing == HR_FRAMING_LENGTH || is_last) {
        reply_append(http, broadcast->payload, is_last);
        return;
    }
    struct hr_frame *frame = hr_broadcast_part(broadcast, (enum hr_http1_framing)answer->framing);
    if (!frame || hr_conn_send_frame(http->conn, frame) < 0)
        hr_http_fail(http, 503, HR_REASON_LIMIT);
    else
        answer->n_body += broadcast->payload.len;
}

const struct hr_source_ops hr_reply_ops = {
    .on_message = reply_on_message,
    .on_done = reply_on_done,
    .on_lost = reply_on_lost,
    .on_timeout = reply_on_timeout,
    .on_room = reply_on_room,
    .on_group = reply_on_group,
};
