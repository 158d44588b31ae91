/* body.c - see body.h for the contract.
 *
 * Three ways, decided at the head:
 *
 *     length <= 64 KiB         gathered whole, goes inside the message: a slow
 *                              client holds up no worker
 *     the pool wants it whole  the same, the rest in a file
 *     else                     the event goes out with what has come; the rest
 *                              waits for body.open
 *
 * RFC 9110 10.1.1: a client that expects 100 gets it when somebody is going to
 * read: at once for the first two, at body.open for the third.
 *
 * Bounds: 64 KiB in the fifo and 64 KiB kept by the connection, then the
 * socket is not read; max_body in the file (the engine refuses with 413).
 */
#include "server/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "server/http.h"

enum {
    MAX_WINDOW = 1 << 20, /* whatever a holder asks for */
    RETRY_MS = 50,        /* after the layer had no room for a chunk */
    CHUNK_ROOM = 160 + HR_ADDR_TEXT_MAX,
};

static struct hr_upload *upload_of(struct hr_http *http)
{
    return &http->ex.upload;
}

static size_t upload_room(const struct hr_upload *upload)
{
    size_t len = hr_buf_len(&upload->fifo);
    return len < HR_BODY_CHUNK_MAX ? HR_BODY_CHUNK_MAX - len : 0;
}

void hr_upload_fini(struct hr_upload *upload)
{
    hr_buf_fini(&upload->fifo);
    if (upload->has_spool)
        close(upload->spool_fd);
    upload->has_spool = false;
}

/* ---- the spool */

static int spool_open(void)
{
    const char *dir = getenv("TMPDIR");
    if (!dir || dir[0] != '/')
        dir = "/var/tmp"; /* not /tmp, which is often memory */
    return open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* Moves the fifo's bytes behind the first 64 KiB into the file. */
static bool spool_append(struct hr_upload *upload, const struct hr_str *piece)
{
    if (!upload->has_spool) {
        upload->spool_fd = spool_open();
        if (upload->spool_fd < 0)
            return false;
        upload->has_spool = true;
    }
    for (size_t done = 0; done < piece->len;) {
        ssize_t n = write(upload->spool_fd, piece->ptr + done, piece->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    upload->spool_len += piece->len;
    return true;
}

/* Fills the fifo from the file. */
static bool spool_read(struct hr_upload *upload)
{
    uint8_t *room;
    uint64_t left = upload->spool_len - upload->spool_at;
    size_t n = upload_room(upload);
    n = left < n ? (size_t)left : n;
    if (n == 0)
        return true;
    if (hr_buf_reserve(&upload->fifo, n, &room) < 0)
        return false;
    ssize_t got = pread(upload->spool_fd, room, n, (off_t)upload->spool_at);
    if (got <= 0)
        return false;
    hr_buf_commit(&upload->fifo, (size_t)got);
    upload->spool_at += (uint64_t)got;
    return true;
}

/* ---- to the holder */

static bool upload_has_all(const struct hr_upload *upload)
{
    return upload->is_ended && upload->spool_at == upload->spool_len;
}

static int upload_send(struct hr_http *http, size_t len, bool is_last)
{
    struct hr_upload *upload = upload_of(http);
    struct hr_send_options options = {.expires_in = HR_NEVER};
    char address[HR_ADDR_TEXT_MAX];
    struct hr_draft draft;
    int r =
        hr_layer_draft_to(http->server->layer, &upload->holder, len + CHUNK_ROOM, &options, &draft);
    if (r != 0)
        return r;
    struct hr_str reply = hr_source_address(&http->source, address);
    hr_pack_map(&draft.pack, 5);
    hr_pack_type(&draft.pack, HR_MSG_TYPE_HTTP_REQUEST);
    hr_pack_cstr(&draft.pack, "reply_channel");
    hr_pack_str(&draft.pack, reply.ptr, reply.len);
    hr_pack_cstr(&draft.pack, "offset");
    hr_pack_int(&draft.pack, (int64_t)upload->n_handed);
    hr_pack_cstr(&draft.pack, "body");
    hr_pack_bytes(&draft.pack, len ? hr_buf_ptr(&upload->fifo) : NULL, len);
    hr_pack_cstr(&draft.pack, "more_body");
    hr_pack_bool(&draft.pack, !is_last);
    return hr_draft_send(&draft);
}

/* Hands over what the window allows. False when the request has failed. */
static bool upload_push(struct hr_http *http)
{
    struct hr_upload *upload = upload_of(http);
    while (upload->is_open && !upload->is_handed) {
        if (upload->has_spool && !spool_read(upload)) {
            hr_http_fail(http, 503, HR_REASON_LIMIT);
            return false;
        }
        uint64_t open = upload->window - (upload->n_handed - upload->n_credited);
        size_t len = hr_buf_len(&upload->fifo);
        bool is_last = upload_has_all(upload) && len <= open;
        len = open < len ? (size_t)open : len;
        if (len == 0 && !is_last)
            break;
        int r = upload_send(http, len, is_last);
        upload->is_stuck = r != 0;
        if (r != 0) {
            /* GONE: the holder is dying; its lost lease decides what becomes of the request. */
            upload->is_open = r != HR_LAYER_GONE;
            hr_conn_arm(http->conn, hr_server_now(http->server) + RETRY_MS * HR_MS);
            break;
        }
        hr_buf_consume(&upload->fifo, len);
        upload->n_handed += len;
        upload->is_handed = is_last;
    }
    hr_buf_release(&upload->fifo, 0);
    hr_conn_touch(http->conn); /* there may be room for input that is kept */
    return true;
}

/* ---- from the client */

static void upload_continue(struct hr_http *http)
{
    struct hr_upload *upload = upload_of(http);
    upload->heard_at = hr_server_now(http->server);
    hr_conn_arm(http->conn, hr_time_add(upload->heard_at, http->server->config.body_timeout));
    if (!upload->waits_for_100)
        return;
    upload->waits_for_100 = false;
    struct hr_buf *buf = hr_conn_begin(http->conn);
    if (buf && hr_http1_put_continue(buf) == 0)
        hr_conn_commit(http->conn);
    else
        hr_http_fail(http, 503, HR_REASON_LIMIT);
}

bool hr_upload_begin(struct hr_http *http)
{
    const struct hr_http1_request *request = hr_http_request(http);
    struct hr_upload *upload = upload_of(http);
    if (!request->has_body)
        return true;
    bool is_small = !request->is_chunked && request->content_length <= HR_BODY_CHUNK_MAX;
    upload->waits_for_100 = request->expects_continue;
    upload->is_spooling = is_small || http->source.pool->wants_whole;
    if (upload->waits_for_100 && !upload->is_spooling)
        return true;
    hr_http_move(http, HR_HTTP_COLLECT);
    upload_continue(http);
    return false;
}

static bool upload_keep(struct hr_upload *upload, struct hr_str piece)
{
    upload->n_received += piece.len;
    /* The fifo is not read before the event is sent: once it is full, all goes to the file. */
    size_t room = upload_room(upload), n = piece.len < room ? piece.len : room;
    struct hr_str rest = {piece.ptr + n, piece.len - n};
    if (n > 0 && hr_buf_append(&upload->fifo, piece.ptr, n) < 0)
        return false;
    return rest.len == 0 || spool_append(upload, &rest);
}

/* Feeds the engine; returns what it used, -1 when the request has failed. */
static ptrdiff_t upload_feed(struct hr_http *http, const uint8_t *data, size_t len)
{
    struct hr_upload *upload = upload_of(http);
    struct hr_http1_result result;
    size_t used = 0;
    for (;;) {
        int r = hr_http1_feed(&http->engine, data + used, len - used, &result);
        used += result.n_used;
        if (r == HR_HTTP1_MORE)
            return (ptrdiff_t)used;
        if (r == HR_HTTP1_END) {
            upload->is_ended = true;
            return (ptrdiff_t)used;
        }
        if (r != HR_HTTP1_BODY || !upload_keep(upload, result.body)) {
            hr_http_fail(http, r == HR_HTTP1_BAD ? result.status : 503, HR_REASON_LIMIT);
            return -1;
        }
    }
}

size_t hr_upload_take(struct hr_http *http, const uint8_t *data, size_t len)
{
    struct hr_upload *upload = upload_of(http);
    bool may_spool = upload->is_spooling && http->state == HR_HTTP_COLLECT;
    size_t room = may_spool ? HR_BODY_CHUNK_MAX : upload_room(upload);
    if (upload->is_ended || upload->waits_for_100 || room == 0)
        return 0;
    /* Of `room` bytes of input no more than that can be body. */
    size_t offered = len < room ? len : room;
    ptrdiff_t used = upload_feed(http, data, offered);
    if (used < 0)
        return len;
    upload->heard_at = hr_server_now(http->server);
    if (http->source.state == HR_SOURCE_OUT)
        http->source.mark = upload->heard_at;
    if (http->state == HR_HTTP_COLLECT && (upload->is_ended || !upload->is_spooling))
        hr_http_dispatch(http);
    else
        upload_push(http);
    return (size_t)used;
}

/* ---- the holder's messages */

void hr_upload_on_open(struct hr_http *http, const struct hr_msg *msg)
{
    struct hr_upload *upload = upload_of(http);
    int64_t window = hr_msg_int(msg, "window", HR_BODY_WINDOW);
    if (upload->is_open || !hr_addr_parse(hr_msg_str(msg, "to"), &upload->holder)) {
        hr_source_count(&http->source, HR_REASON_APP);
        return;
    }
    if (window < 1 || window > MAX_WINDOW)
        window = window < 1 ? HR_BODY_WINDOW : MAX_WINDOW;
    upload->is_open = true;
    upload->window = (uint64_t)window;
    upload->n_credited = upload->n_handed; /* what came inside the message is consumed */
    if (!upload->is_ended)
        upload_continue(http);
    if (http->state == HR_HTTP_WAIT || http->state == HR_HTTP_STREAM)
        upload_push(http);
}

void hr_upload_on_credit(struct hr_http *http, const struct hr_msg *msg)
{
    struct hr_upload *upload = upload_of(http);
    int64_t total = hr_msg_int(msg, "total", -1);
    if (total < 0 || (uint64_t)total > upload->n_handed) {
        hr_source_count(&http->source, HR_REASON_APP);
        return;
    }
    if ((uint64_t)total > upload->n_credited)
        upload->n_credited = (uint64_t)total;
    upload->heard_at = hr_server_now(http->server);
    upload_push(http);
}

/* ---- time */

bool hr_upload_awaits_client(const struct hr_http *http)
{
    const struct hr_upload *upload = &http->ex.upload;
    if (upload->is_ended || upload->waits_for_100)
        return false;
    return http->state == HR_HTTP_COLLECT || (upload->is_open && upload_room(upload) > 0);
}

bool hr_upload_is_read(const struct hr_http *http)
{
    return http->ex.upload.is_ended;
}

hr_time hr_upload_on_time(struct hr_http *http, hr_time now)
{
    struct hr_upload *upload = upload_of(http);
    if (upload->is_stuck && upload->is_open && !upload_push(http))
        return HR_NEVER;
    hr_time retry = upload->is_stuck && upload->is_open ? now + RETRY_MS * HR_MS : HR_NEVER;
    if (!hr_upload_awaits_client(http))
        return retry;
    hr_time due = hr_time_add(upload->heard_at, http->server->config.body_timeout);
    if (now >= due) {
        hr_http_fail(http, 408, HR_REASON_TIMEOUT);
        return HR_NEVER;
    }
    return due < retry ? due : retry;
}
