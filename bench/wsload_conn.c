/* wsload_conn.c - one connection of the load generator; see wsload.h.
 *
 * States go only forward: CONNECTING until TCP is there, HANDSHAKE until the
 * answer's head is whole, OPEN, CLOSING once we sent a close, ENDING once the
 * server has, GONE. It is the server that ends the TCP connection (RFC 6455
 * 7.1.1), which also leaves TIME_WAIT with it and our ports free.
 *
 * Whatever goes wrong is counted and leads to GONE at once; a function that
 * may have done so returns false, and its caller then leaves the connection
 * alone.
 */
#include "wsload.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

enum { ECHO_STAMP = 16 }; /* characters that tell one echo from another */

static void conn_gone(struct conn *conn)
{
    enum conn_state ended = (enum conn_state)conn->state;

    if (ended == CONN_GONE)
        return;
    conn->state = CONN_GONE;
    hr_loop_stop_timer(conn->load->loop, &conn->timer);
    if (conn->fd >= 0) {
        hr_io_close(&conn->io, NULL);
        close(conn->fd);
        conn->fd = -1;
    }
    hr_buf_fini(&conn->in);
    hr_buf_fini(&conn->out);
    load_on_gone(conn, ended);
}

static bool conn_fail(struct conn *conn, enum load_error error, const char *detail)
{
    load_count_error(conn->load, error, "%s", detail);
    conn_gone(conn);
    return false;
}

static const char *conn_error_text(int error)
{
    return uv_strerror(uv_translate_sys_error(error));
}

static void conn_on_timeout(struct hr_timer *timer)
{
    struct conn *conn = hr_container_of(timer, struct conn, timer);

    conn_fail(conn, LOAD_ERR_TIMEOUT,
              conn->state < CONN_OPEN       ? "no handshake"
              : conn->state == CONN_OPEN    ? "no echo"
              : conn->state == CONN_CLOSING ? "no close"
                                            : "no end of the connection after the close");
}

static void conn_start_timer(struct conn *conn)
{
    hr_loop_start_timer(conn->load->loop, &conn->timer, conn->load->options.timeout * HR_SECOND,
                        conn_on_timeout);
}

/* ---- sending */

static bool conn_flush(struct conn *conn)
{
    while (hr_buf_len(&conn->out) > 0) {
        ssize_t n = send(conn->fd, hr_buf_ptr(&conn->out), hr_buf_len(&conn->out), MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return conn_fail(conn, LOAD_ERR_LOST, conn_error_text(errno));
        hr_buf_consume(&conn->out, (size_t)n);
    }
    hr_buf_release(&conn->out, 0);
    hr_io_want(&conn->io, HR_IO_READ | (hr_buf_len(&conn->out) > 0 ? HR_IO_WRITE : 0u));
    return true;
}

/* Sends now what the socket takes and keeps the rest. */
static bool conn_send(struct conn *conn, const void *data, size_t len)
{
    ssize_t n = 0;

    if (hr_buf_len(&conn->out) == 0)
        n = send(conn->fd, data, len, MSG_NOSIGNAL);
    if (n == (ssize_t)len)
        return true;
    if (n < 0 && errno != EAGAIN)
        return conn_fail(conn, LOAD_ERR_LOST, conn_error_text(errno));
    size_t n_sent = n > 0 ? (size_t)n : 0;
    if (hr_buf_append(&conn->out, (const uint8_t *)data + n_sent, len - n_sent) < 0)
        return conn_fail(conn, LOAD_ERR_MEMORY, "output");
    hr_io_want(&conn->io, HR_IO_READ | HR_IO_WRITE);
    return true;
}

/* splitmix64: masks need to differ, and a load generator has nobody to hide them from. */
static uint64_t conn_random(struct load *load)
{
    uint64_t z = load->random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Sends a frame whose payload of `len` bytes stands at load->frame + HR_WS_MAX_HEADER. */
static bool conn_send_frame(struct conn *conn, enum hr_ws_opcode opcode, size_t len)
{
    uint8_t header[HR_WS_MAX_HEADER], mask[4];
    uint64_t random = conn_random(conn->load);
    uint8_t *payload = conn->load->frame + HR_WS_MAX_HEADER;

    memcpy(mask, &random, sizeof(mask));
    size_t n = hr_ws_put_header(header, opcode, true, len, mask);
    hr_ws_mask(payload, len, mask, 0);
    memcpy(payload - n, header, n);
    return conn_send(conn, payload - n, n + len);
}

/* Byte `at` of an echo message is that of the stamp, then '.'. */
static void conn_echo_stamp(const struct conn *conn, char out[ECHO_STAMP])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = (uint64_t)(conn - conn->load->conns) << 32 | conn->n_sent;

    for (int i = ECHO_STAMP - 1; i >= 0; i--, value >>= 4)
        out[i] = digits[value & 15];
}

void conn_send_echo(struct conn *conn)
{
    uint32_t size = conn->load->options.size;
    uint8_t *payload = conn->load->frame + HR_WS_MAX_HEADER;
    char stamp[ECHO_STAMP];

    conn->n_sent++;
    conn->n_echo = 0;
    conn_echo_stamp(conn, stamp);
    memset(payload, '.', size);
    memcpy(payload, stamp, size < ECHO_STAMP ? size : ECHO_STAMP);
    conn->sent_at = hr_time_now();
    if (conn_send_frame(conn, HR_WS_TEXT, size))
        conn_start_timer(conn);
}

static bool conn_send_close(struct conn *conn, uint16_t code)
{
    size_t n = hr_ws_put_close(conn->load->frame + HR_WS_MAX_HEADER, code, (struct hr_str){0});

    return conn_send_frame(conn, HR_WS_CLOSE, n);
}

void conn_close(struct conn *conn)
{
    if (conn->state == CONN_CONNECTING || conn->state == CONN_HANDSHAKE)
        conn_gone(conn);
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_CLOSING;
    if (conn_send_close(conn, 1000))
        conn_start_timer(conn);
}

/* ---- receiving */

/* Is this piece what was sent at its place? */
static bool conn_echo_is_right(const struct conn *conn, const struct hr_ws_result *got)
{
    char stamp[ECHO_STAMP];

    if (conn->n_sent == 0 || conn->n_echo + got->payload.len > conn->load->options.size)
        return false;
    conn_echo_stamp(conn, stamp);
    const char *at = got->payload.ptr, *end = at + got->payload.len;
    for (uint64_t i = conn->n_echo; i < ECHO_STAMP && at < end; i++)
        if (*at++ != stamp[i])
            return false;
    /* The rest is all dots when the first is one and each equals the next. */
    if (at < end && (*at != '.' || memcmp(at, at + 1, (size_t)(end - at) - 1) != 0))
        return false;
    return !got->is_end || conn->n_echo + got->payload.len == conn->load->options.size;
}

static bool conn_on_data(struct conn *conn, const struct hr_ws_result *got)
{
    if (conn->state != CONN_OPEN)
        return true;
    if (conn->load->phase == LOAD_RUNNING)
        conn->load->n_bytes += got->payload.len;
    if (conn->load->options.mode == LOAD_ECHO) {
        if (!conn_echo_is_right(conn, got))
            return conn_fail(conn, LOAD_ERR_ECHO, "not what was sent");
        conn->n_echo += got->payload.len;
    }
    if (got->is_end)
        load_on_message(conn);
    return conn->state != CONN_GONE;
}

/* RFC 6455 5.5.1: a close is answered with a close. */
static bool conn_on_close(struct conn *conn, const struct hr_ws_result *got)
{
    bool was_wanted = conn->state == CONN_CLOSING;

    conn->state = CONN_ENDING;
    conn_start_timer(conn);
    if (was_wanted)
        return true;
    load_count_error(conn->load, LOAD_ERR_CLOSED, "code %d %.*s", got->code, HR_STR(got->payload));
    return conn_send_close(conn, got->code);
}

static bool conn_on_event(struct conn *conn, int event, const struct hr_ws_result *got)
{
    switch ((enum hr_ws_event)event) {
    case HR_WS_DATA:
        return conn_on_data(conn, got);
    case HR_WS_GOT_PING:
        memcpy(conn->load->frame + HR_WS_MAX_HEADER, got->payload.ptr, got->payload.len);
        return conn_send_frame(conn, HR_WS_PONG, got->payload.len);
    case HR_WS_GOT_CLOSE:
        return conn_on_close(conn, got);
    case HR_WS_BAD:
        return conn_fail(conn, LOAD_ERR_PROTOCOL, got->reason);
    case HR_WS_GOT_PONG:
    case HR_WS_MORE:
        break;
    }
    return true;
}

static bool conn_feed(struct conn *conn, uint8_t *data, size_t len)
{
    int event = 0;

    while (event != HR_WS_MORE) {
        struct hr_ws_result got;
        event = hr_ws_feed(&conn->ws, data, len, &got);
        if (!conn_on_event(conn, event, &got))
            return false;
        data += got.n_used;
        len -= got.n_used;
    }
    return true;
}

/* A key that is the connection's own and need not be kept. */
static void conn_key(const struct conn *conn, char key[25])
{
    uint8_t nonce[16] = {0};
    uint64_t index = (uint64_t)(conn - conn->load->conns);

    memcpy(nonce, &index, sizeof(index));
    memcpy(nonce + 8, &conn->load->started_at, 8);
    hr_ws_make_key(nonce, key);
}

static bool conn_on_answer(struct conn *conn, const uint8_t *data, size_t len)
{
    struct hr_ws_answer answer;
    char key[25], status[16];

    if (hr_buf_append(&conn->in, data, len) < 0)
        return conn_fail(conn, LOAD_ERR_MEMORY, "answer");
    struct hr_str head = {(const char *)hr_buf_ptr(&conn->in), hr_buf_len(&conn->in)};
    conn_key(conn, key);
    int r = hr_ws_check_answer(head, (struct hr_str){0}, key, &answer);
    if (r == HR_WS_ANSWER_MORE)
        return true;
    if (r < 0)
        return conn_fail(conn, LOAD_ERR_MEMORY, "answer");
    if (r == HR_WS_REFUSED) {
        (void)snprintf(status, sizeof(status), "status %d", answer.status);
        return conn_fail(conn, LOAD_ERR_REFUSED, status);
    }
    if (r == HR_WS_ANSWER_BAD)
        return conn_fail(conn, LOAD_ERR_HANDSHAKE, answer.reason);

    /* Frames may have come with the head; they move to a buffer of their own. */
    struct hr_buf rest = conn->in;
    conn->in = (struct hr_buf){0};
    hr_buf_consume(&rest, answer.n_used);
    hr_loop_stop_timer(conn->load->loop, &conn->timer);
    hr_ws_init(&conn->ws, HR_WS_CLIENT, LOAD_MAX_SIZE);
    conn->state = CONN_OPEN;
    load_on_open(conn);
    bool is_there =
        conn->state != CONN_GONE && conn_feed(conn, hr_buf_ptr(&rest), hr_buf_len(&rest));
    hr_buf_fini(&rest);
    return is_there;
}

static void conn_on_end(struct conn *conn, const char *detail)
{
    if (conn->state < CONN_OPEN)
        load_count_error(conn->load, LOAD_ERR_HANDSHAKE, "%s", detail);
    else if (conn->state != CONN_ENDING)
        load_count_error(conn->load, LOAD_ERR_LOST, "%s without a close frame", detail);
    conn_gone(conn);
}

static void conn_read(struct conn *conn)
{
    uint8_t *data = conn->load->read;
    ssize_t n = recv(conn->fd, data, LOAD_READ_BYTES, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        conn_on_end(conn, n == 0 ? "end of stream" : conn_error_text(errno));
        return;
    }
    if (conn->state == CONN_HANDSHAKE)
        (void)conn_on_answer(conn, data, (size_t)n);
    else
        (void)conn_feed(conn, data, (size_t)n);
}

/* ---- opening */

static bool conn_send_request(struct conn *conn)
{
    const struct load_options *options = &conn->load->options;
    const struct hr_ws_request request = {
        .host = hr_str_of(conn->load->host),
        .target = hr_str_of(options->path),
        .headers = {(const char *)hr_buf_ptr(&options->headers), hr_buf_len(&options->headers)},
    };
    int error = 0;
    socklen_t len = sizeof(error);
    char key[25];

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
        return conn_fail(conn, LOAD_ERR_CONNECT, conn_error_text(error));
    conn->state = CONN_HANDSHAKE;
    conn_key(conn, key);
    if (hr_ws_put_request(&conn->out, &request, key) < 0)
        return conn_fail(conn, LOAD_ERR_MEMORY, "request");
    return conn_flush(conn);
}

static void conn_on_io(struct hr_io *io, unsigned events)
{
    struct conn *conn = hr_container_of(io, struct conn, io);

    if (conn->state == CONN_CONNECTING) {
        (void)conn_send_request(conn);
        return;
    }
    if ((events & HR_IO_WRITE) && !conn_flush(conn))
        return;
    if (events & HR_IO_READ)
        conn_read(conn);
}

/* Takes its turn among the source addresses, so that each gives its share of ports. */
static bool conn_bind(struct conn *conn)
{
    const struct load_options *options = &conn->load->options;
    uint32_t turn = (uint32_t)(conn - conn->load->conns) % options->n_from;
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(options->from + turn)};
    int on = 1;

    /* The port is chosen at connect(2), when the whole four-tuple is known. */
    return setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0 &&
           bind(conn->fd, (const struct sockaddr *)&from, sizeof(from)) == 0;
}

void conn_open(struct conn *conn)
{
    struct load *load = conn->load;
    int on = 1;

    conn->state = CONN_CONNECTING;
    conn->sent_at = hr_time_now();
    conn->fd = socket(load->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        conn_fail(conn, LOAD_ERR_SOCKET, conn_error_text(errno));
        return;
    }
    if (hr_io_open(load->loop, &conn->io, conn->fd, conn_on_io) < 0) {
        close(conn->fd);
        conn->fd = -1;
        conn_fail(conn, LOAD_ERR_SOCKET, "not watched by the loop");
        return;
    }
    if (load->options.n_from > 0 && !conn_bind(conn)) {
        conn_fail(conn, LOAD_ERR_SOCKET, conn_error_text(errno));
        return;
    }
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(conn->fd, (const struct sockaddr *)&load->address, load->address_len) < 0 &&
        errno != EINPROGRESS) {
        conn_fail(conn, errno == EADDRNOTAVAIL ? LOAD_ERR_SOCKET : LOAD_ERR_CONNECT,
                  conn_error_text(errno));
        return;
    }
    conn_start_timer(conn);
    hr_io_want(&conn->io, HR_IO_WRITE);
}
