/* connection.c - see connection.h for the contract.
 *
 * A turn of the loop, as one connection sees it:
 *
 *     poll     readable: read(2) into the server's shared buffer, offered to
 *              the protocol from there; writable: what waits is written on
 *     check    the layer's messages arrive; answers are appended, each such
 *              connection is put on the touched list
 *     prepare  the touched: kept input is offered again (the end of one request
 *              lets the next one begin), then one write
 *
 * So neither a protocol nor an answer ever calls back into reading: a client
 * that pipelines costs turns, never stack.
 *
 * Life: hr_conn_open() .. hr_conn_close() .. conn_on_io_closed(), which frees.
 * Between the last two is_closed stands and the protocol is not called; `in`
 * stays, since the protocol may be in the middle of it.
 */
#include "server/connection.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "server/http.h"
#include "server/private.h"

#define CONN_MAGIC HR_MAGIC('c', 'o', 'n', 'n')

enum {
    MAX_ROUNDS = 32, /* requests of one client in one turn: stops pipelining from starving others */
    LINGER_TIME_S = 2,
    HALF_TIME_S = 1, /* without a byte for it, then who has closed its half is taken for gone */
};

/* ---- the end */

static void conn_on_io_closed(struct hr_io *io)
{
    struct hr_conn *conn = hr_container_of(io, struct hr_conn, io);
    struct hr_server *server = conn->server;
    hr_buf_fini(&conn->in);
    conn->magic = 0;
    hr_free(conn);
    hr_server_unref(server);
}

void hr_conn_close(struct hr_conn *conn)
{
    struct hr_server *server = conn->server;
    if (conn->is_closed)
        return;
    conn->is_closed = true;
    conn->proto->on_close(conn);
    conn->part = NULL;
    hr_loop_stop_timer(server->loop, &conn->timer);
    hr_list_remove(&conn->touched);
    hr_list_remove(&conn->node);
    hr_out_fini(&conn->out, &server->out_pool);
    hr_io_close(&conn->io, conn_on_io_closed);
    close(conn->fd);
    conn->fd = -1;
    hr_server_conn_closed(server, conn);
}

void hr_conn_abort(struct hr_conn *conn)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (!conn->is_closed)
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    hr_conn_close(conn);
}

void hr_conn_end(struct hr_conn *conn, enum hr_conn_end end)
{
    if (conn->end < end)
        conn->end = (uint8_t)end;
    hr_conn_touch(conn);
}

/* Everything is written, and this was to be the end. */
static void conn_finish(struct hr_conn *conn)
{
    if (conn->end == HR_CONN_ENDS) {
        hr_conn_close(conn);
        return;
    }
    /* RFC 9112 9.6: closing with unread input would send a reset, which may destroy the answer. */
    if (!conn->is_shut) {
        conn->is_shut = true;
        shutdown(conn->fd, SHUT_WR);
        hr_buf_fini(&conn->in);
        hr_io_want(&conn->io, HR_IO_READ);
        conn->waits_since = hr_loop_now(conn->server->loop);
        hr_conn_arm(conn, conn->waits_since + LINGER_TIME_S * HR_SECOND);
    }
}

/* ---- time */

static hr_time conn_write_due(const struct hr_conn *conn)
{
    if (conn->is_shut)
        return conn->waits_since + LINGER_TIME_S * HR_SECOND;
    if (conn->is_blocked)
        return hr_time_add(conn->waits_since, conn->server->config.write_timeout);
    return conn->is_half ? conn->waits_since + HALF_TIME_S * HR_SECOND : HR_NEVER;
}

static void conn_on_timer(struct hr_timer *timer)
{
    struct hr_conn *conn = hr_container_of(timer, struct hr_conn, timer);
    hr_time now = hr_loop_now(conn->server->loop);

    hr_time write_due = conn_write_due(conn);
    if (now >= write_due) {
        conn->proto->on_gone(conn);
        return;
    }
    hr_time due = conn->proto->on_time(conn, now);
    if (!conn->is_closed)
        hr_conn_arm(conn, due < write_due ? due : write_due);
}

void hr_conn_arm(struct hr_conn *conn, hr_time due)
{
    /* Early is fine, on_time() looks at the facts: timers hardly ever move. */
    if (due == HR_NEVER || (hr_timer_is_active(&conn->timer) && conn->timer.due <= due))
        return;
    hr_time now = hr_loop_now(conn->server->loop);
    hr_loop_start_timer(conn->server->loop, &conn->timer, due > now ? due - now : 0, conn_on_timer);
}

/* ---- writing */

void hr_conn_touch(struct hr_conn *conn)
{
    if (!conn->is_closed && !hr_list_is_linked(&conn->touched))
        hr_list_push_back(&conn->server->touched, &conn->touched);
}

struct hr_buf *hr_conn_begin(struct hr_conn *conn)
{
    return hr_out_begin(&conn->out, &conn->server->out_pool);
}

void hr_conn_commit(struct hr_conn *conn)
{
    hr_out_commit(&conn->out, &conn->server->out_pool);
    hr_conn_touch(conn);
}

int hr_conn_send_frame(struct hr_conn *conn, struct hr_frame *frame)
{
    hr_conn_touch(conn);
    return hr_trace(hr_out_frame(&conn->out, &conn->server->out_pool, frame));
}

int hr_conn_send_file(struct hr_conn *conn, int fd, off_t offset, uint64_t len)
{
    hr_conn_touch(conn);
    return hr_trace(hr_out_file(&conn->out, &conn->server->out_pool, fd, offset, len));
}

static void conn_blocked(struct hr_conn *conn, bool is_progress)
{
    if (!conn->is_blocked || is_progress)
        conn->waits_since = hr_loop_now(conn->server->loop);
    if (!conn->is_blocked)
        hr_io_want(&conn->io, conn->io.wanted | HR_IO_WRITE);
    conn->is_blocked = true;
    hr_conn_arm(conn, conn_write_due(conn));
}

static void conn_flush(struct hr_conn *conn)
{
    size_t before = conn->out.bytes;
    if (before > 0) {
        int r = hr_out_write(&conn->out, &conn->server->out_pool, conn->fd);
        if (r < 0) {
            conn->proto->on_gone(conn);
            return;
        }
        if (r == HR_OUT_BLOCKED) {
            conn_blocked(conn, conn->out.bytes < before);
        } else if (conn->is_blocked) {
            conn->is_blocked = false;
            hr_io_want(&conn->io, conn->io.wanted & ~(unsigned)HR_IO_WRITE);
        }
        if (r == HR_OUT_MORE)
            hr_conn_touch(conn);
        if (conn->out.bytes < before) {
            conn->waits_since = hr_loop_now(conn->server->loop);
            conn->proto->on_sent(conn);
        }
    }
    if (!conn->is_closed && conn->out.bytes == 0 && conn->end != HR_CONN_STAYS)
        conn_finish(conn);
}

static bool conn_is_over(const struct hr_conn *conn, size_t n)
{
    const struct hr_server *server = conn->server;
    if (conn->out.bytes == 0)
        return false;
    return conn->out.bytes + n > server->config.window ||
           server->out_pool.n_unsent + n > server->config.max_unsent;
}

enum hr_conn_room hr_conn_room(struct hr_conn *conn, size_t n)
{
    if (!conn_is_over(conn, n))
        return HR_CONN_HAS_ROOM;
    /* It may only be that much was appended in this turn. */
    if (!conn->is_blocked)
        conn_flush(conn);
    if (conn->is_closed)
        return HR_CONN_IS_GONE;
    return conn_is_over(conn, n) ? HR_CONN_IS_SLOW : HR_CONN_HAS_ROOM;
}

/* ---- reading */

/* Offers input; returns how much was taken. */
static size_t conn_offer(struct hr_conn *conn, uint8_t *data, size_t len)
{
    size_t used = 0;
    for (int round = 0; used < len && !conn->is_closed; round++) {
        if (conn->end != HR_CONN_STAYS)
            return len; /* nobody reads it any more */
        if (round == MAX_ROUNDS) {
            hr_conn_touch(conn); /* goes on next turn */
            break;
        }
        size_t n = conn->proto->on_data(conn, data + used, len - used);
        hr_assert(n <= len - used);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

static void conn_want_read(struct hr_conn *conn)
{
    bool has_room = hr_buf_len(&conn->in) < HR_CONN_MAX_INPUT && !conn->is_half;
    unsigned wanted = (conn->io.wanted & HR_IO_WRITE) | (has_room ? HR_IO_READ : 0u);
    if (wanted != conn->io.wanted)
        hr_io_want(&conn->io, wanted);
}

/* Kept input, once more. */
static void conn_pump(struct hr_conn *conn)
{
    size_t len = hr_buf_len(&conn->in);
    if (len == 0)
        return;
    size_t used = conn_offer(conn, hr_buf_ptr(&conn->in), len);
    if (conn->is_closed)
        return;
    hr_buf_consume(&conn->in, used);
    hr_buf_release(&conn->in, 0);
    conn_want_read(conn);
}

static void conn_take_input(struct hr_conn *conn, uint8_t *data, size_t len)
{
    if (hr_buf_len(&conn->in) > 0) { /* `data` is behind it, in the same buffer */
        hr_buf_commit(&conn->in, len);
        conn_pump(conn);
        return;
    }
    size_t used = conn_offer(conn, data, len);
    if (conn->is_closed || used == len)
        return;
    if (hr_buf_append(&conn->in, data + used, len - used) < 0) {
        hr_conn_close(conn);
        return;
    }
    conn_want_read(conn);
}

/* TCP does not tell who has left from who only has nothing more to say and still reads, as
 * `nc -N` and socat do. So whatever is under way for this client has a second, and another one
 * after each byte: no longer, since work for who has left is what an overloaded site can spare
 * first (RFC 9112 9.5: a closure is to be noticed and acted on). */
static void conn_on_half(struct hr_conn *conn)
{
    conn->is_half = true;
    conn_want_read(conn);
    if (!conn->is_blocked)
        conn->waits_since = hr_loop_now(conn->server->loop);
    hr_conn_arm(conn, conn_write_due(conn));
}

static void conn_read(struct hr_conn *conn)
{
    size_t kept = hr_buf_len(&conn->in), room = HR_CONN_MAX_INPUT - kept;
    uint8_t *data = conn->server->input;
    if (room == 0)
        return;
    if (kept > 0 && hr_buf_reserve(&conn->in, room, &data) < 0) {
        hr_conn_close(conn);
        return;
    }
    ssize_t n = read(conn->fd, data, room);
    bool is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n > 0 && !conn->is_shut)
        conn_take_input(conn, data, (size_t)n);
    else if (n == 0 && conn->end != HR_CONN_STAYS && conn->out.bytes > 0)
        hr_io_want(&conn->io,
                   conn->io.wanted & ~(unsigned)HR_IO_READ); /* it still reads, perhaps */
    else if (n == 0 && conn->proto->is_awaited && conn->proto->is_awaited(conn))
        conn_on_half(conn);
    else if (is_over)
        conn->proto->on_gone(conn);
}

static void conn_on_io(struct hr_io *io, unsigned events)
{
    struct hr_conn *conn = hr_container_of(io, struct hr_conn, io);
    hr_assert(conn->magic == CONN_MAGIC);
    if (events & HR_IO_WRITE)
        conn_flush(conn);
    if (events & HR_IO_READ && !conn->is_closed)
        conn_read(conn);
}

bool hr_conn_has_sent(const struct hr_conn *conn)
{
    char byte;
    return hr_buf_len(&conn->in) > 0 || recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void hr_conn_run_touched(struct hr_server *server)
{
    if (hr_list_is_empty(&server->touched))
        return;
    /* A list of their own: who is touched meanwhile has its turn after the next poll. */
    struct hr_list batch;
    hr_list_push_back(&server->touched, &batch);
    hr_list_remove(&server->touched);
    hr_list_init(&server->touched);
    while (!hr_list_is_empty(&batch)) {
        struct hr_conn *conn = hr_list_first(&batch, struct hr_conn, touched);
        hr_list_remove(&conn->touched);
        conn_pump(conn);
        if (!conn->is_closed)
            conn_flush(conn);
    }
}

/* ---- the beginning */

int hr_conn_open(struct hr_server *server, const struct hr_listener *listener, int fd,
                 const struct hr_peer *peer)
{
    struct hr_conn *conn = hr_calloc(1, sizeof *conn);
    if (!conn) {
        close(fd);
        return hr_raise(HR_ERR_NOMEM);
    }
    conn->magic = CONN_MAGIC;
    conn->fd = fd;
    conn->server = server;
    conn->listener = listener;
    conn->peer = *peer;
    int r = hr_io_open(server->loop, &conn->io, fd, conn_on_io);
    if (r < 0) {
        close(fd);
        hr_free(conn);
        return hr_trace(r);
    }
    hr_server_ref(server);
    hr_list_push_back(&server->conns, &conn->node);
    hr_server_conn_opened(server, conn);
    hr_io_want(&conn->io, HR_IO_READ);
    r = hr_http_open(conn);
    if (r < 0) {
        hr_conn_close(conn);
        return hr_trace(r);
    }
    return 0;
}
