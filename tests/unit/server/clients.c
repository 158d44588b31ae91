/* clients.c - HTTP and WebSocket clients over real sockets; see harness.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"

/* Allocations that a test makes fail are not meant for the clients: a second try. */
static uint8_t *room_for(struct hr_buf *buf, size_t n)
{
    uint8_t *room = NULL;
    if (hr_buf_reserve(buf, n, &room) < 0)
        assert_int_equal(hr_buf_reserve(buf, n, &room), 0);
    return room;
}

bool client_move(struct client *c)
{
    size_t n_out = hr_buf_len(&c->out);
    bool has_moved = false;
    if (c->fd < 0)
        return false;
    if (n_out > 0) {
        ssize_t n = send(c->fd, hr_buf_ptr(&c->out), n_out, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            hr_buf_consume(&c->out, (size_t)n);
        has_moved = n > 0;
    }
    while (!c->is_deaf && !c->is_eof) {
        uint8_t *room = room_for(&c->in, 65536);
        ssize_t n = recv(c->fd, room, 65536, MSG_DONTWAIT);
        if (n > 0) {
            hr_buf_commit(&c->in, (size_t)n);
            has_moved = true;
            continue;
        }
        c->is_eof = n == 0 || errno != EAGAIN;
        c->is_reset = n < 0 && errno == ECONNRESET;
        break;
    }
    return has_moved;
}

static struct client *client_connect(struct world *w, uint16_t port, int buffers)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int on = 1;
    assert_true(w->n_clients < MAX_CLIENTS);
    struct client *c = &w->clients[w->n_clients++];
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(c->fd >= 0);
    if (buffers > 0) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffers, sizeof buffers);
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &buffers, sizeof buffers);
    }
    assert_int_equal(connect(c->fd, (struct sockaddr *)&in, sizeof in), 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    hr_ws_init(&c->ws, HR_WS_CLIENT, 16 << 20);
    return c;
}

static struct client *client_connect_unix(struct world *w)
{
    assert_true(w->n_clients < MAX_CLIENTS);
    struct client *c = &w->clients[w->n_clients++];
    *c = (struct client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(connect(c->fd, (struct sockaddr *)&w->path, w->path_len), 0);
    return c;
}

struct client *client_new(struct world *w)
{
    return w->port ? client_connect(w, w->port, 0) : client_connect_unix(w);
}

struct client *client_new_slow(struct world *w)
{
    struct client *c = client_connect(w, w->port, 4096);
    c->is_deaf = true;
    return c;
}

struct client *client_new_admin(struct world *w)
{
    return client_connect(w, w->admin_port, 0);
}

void client_send(struct client *c, const char *data, size_t len)
{
    uint8_t *room = room_for(&c->out, len);
    memcpy(room, data, len);
    hr_buf_commit(&c->out, len);
    client_move(c);
}

void client_say(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    hr_buf_fini(&c->in);
    hr_buf_fini(&c->out);
}

/* What is in the buffer, as text; a NUL stands behind it. */
static const char *client_text(struct client *c)
{
    uint8_t *room;
    assert_int_equal(hr_buf_reserve(&c->in, 1, &room), 0);
    *room = '\0';
    return (const char *)hr_buf_ptr(&c->in);
}

static const char *find_header(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

const char *answer_header(const struct answer *a, const char *name, char out[256])
{
    const char *value = find_header(a->head, name);
    size_t n = value ? strcspn(value, "\r") : 0;
    memcpy(out, value ? value : "", n);
    out[n] = '\0';
    return out;
}

/* Reads the body that begins at `at`; false while it is not whole. */
static bool read_body(struct client *c, const struct answer *a, const char *at, bool has_body,
                      struct answer *out, size_t *used)
{
    size_t have = (size_t)((char *)hr_buf_ptr(&c->in) + hr_buf_len(&c->in) - at);
    const char *length = find_header(a->head, "content-length");
    const char *coding = find_header(a->head, "transfer-encoding");
    out->body_len = 0;
    *used = 0;
    if (!has_body || a->status == 204 || a->status == 304)
        return true;
    if (coding) {
        for (const char *p = at;;) {
            char *end;
            if (!memmem(p, have - (size_t)(p - at), "\r\n", 2))
                return false;
            size_t n = strtoul(p, &end, 16);
            p = end + 2;
            if (have < (size_t)(p - at) + n + 2)
                return false;
            assert_true(out->body_len + n <= sizeof out->body);
            memcpy(out->body + out->body_len, p, n);
            out->body_len += n;
            p += n + 2;
            if (n == 0) {
                *used = (size_t)(p - at);
                return true;
            }
        }
    }
    size_t n = length ? strtoul(length, NULL, 10) : have;
    if (length ? have < n : !c->is_eof)
        return false;
    assert_true(n < sizeof out->body);
    memcpy(out->body, at, n);
    out->body_len = n;
    *used = n;
    return true;
}

static bool parse_answer(struct client *c, const char *method, struct answer *out, size_t *used)
{
    const char *text = client_text(c), *end = strstr(text, "\r\n\r\n");
    if (!end)
        return false;
    size_t head = (size_t)(end + 4 - text), body;
    assert_true(head < sizeof out->head);
    memcpy(out->head, text, head);
    out->head[head] = '\0';
    assert_int_equal(sscanf(out->head, "HTTP/1.1 %d ", &out->status), 1);
    if (!read_body(c, out, end + 4, strcmp(method, "HEAD") != 0, out, &body))
        return false;
    out->body[out->body_len] = '\0';
    *used = head + body;
    return true;
}

bool client_has_answer(struct client *c, const char *method)
{
    static struct answer scratch;
    size_t used;
    return parse_answer(c, method, &scratch, &used);
}

void client_answer(struct world *w, struct client *c, const char *method, struct answer *out)
{
    size_t used = 0;
    UNTIL(w, parse_answer(c, method, out, &used));
    hr_buf_consume(&c->in, used);
}

void client_expect(struct world *w, struct client *c, const char *text)
{
    UNTIL(w, strstr(client_text(c), text));
    const char *at = strstr(client_text(c), text);
    hr_buf_consume(&c->in, (size_t)(at - client_text(c)) + strlen(text));
}

/* ---- WebSocket clients */

void ws_handshake(struct client *c, const char *path, const char *more_headers)
{
    char text[1024];
    snprintf(text, sizeof text,
             "GET %s HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
             path, more_headers);
    client_say(c, text);
}

void ws_send(struct client *c, enum hr_ws_opcode opcode, bool is_fin, const void *data, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t header[HR_WS_MAX_HEADER];
    size_t n = hr_ws_put_header(header, opcode, is_fin, len, mask);
    char *masked = malloc(len + 1);
    memcpy(masked, data, len);
    hr_ws_mask(masked, len, mask, 0);
    client_send(c, (char *)header, n);
    client_send(c, masked, len);
    free(masked);
}

void ws_say(struct client *c, const char *text)
{
    ws_send(c, HR_WS_TEXT, true, text, strlen(text));
}

static bool ws_parse(struct client *c, struct frame *out)
{
    struct hr_ws_result result;
    while (hr_buf_len(&c->in) > 0) {
        int event = hr_ws_feed(&c->ws, hr_buf_ptr(&c->in), hr_buf_len(&c->in), &result);
        out->event = (enum hr_ws_event)event;
        out->opcode = result.opcode;
        out->code = result.code;
        if (event == HR_WS_DATA && result.is_start)
            out->len = 0;
        if (event == HR_WS_GOT_CLOSE || event == HR_WS_GOT_PING || event == HR_WS_GOT_PONG)
            out->len = 0;
        assert_true(out->len + result.payload.len < sizeof out->data);
        if (result.payload.len > 0)
            memcpy(out->data + out->len, result.payload.ptr, result.payload.len);
        out->len += result.payload.len;
        out->data[out->len] = '\0';
        hr_buf_consume(&c->in, result.n_used);
        if (event != HR_WS_MORE && (event != HR_WS_DATA || result.is_end))
            return true;
    }
    return false;
}

void ws_next(struct world *w, struct client *c, struct frame *out)
{
    UNTIL(w, ws_parse(c, out));
}

void ws_expect_text(struct world *w, struct client *c, const char *text)
{
    static struct frame frame;
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_DATA);
    assert_string_equal(frame.data, text);
}

void ws_open(struct world *w, struct client *c, struct event *connect)
{
    ws_handshake(c, "/chat", "");
    worker_take(w, w->worker, "websocket.connect.web", connect);
    assert_int_equal(reply_typed(w->worker, connect, HR_MSG_TYPE_WEBSOCKET_ACCEPT), 0);
    assert_int_equal(reply_done(w->worker, connect, connect->d.seq, NULL, NULL), 0);
    worker_ack(w->worker, connect);
    client_expect(w, c, "HTTP/1.1 101 ");
    client_expect(w, c, "\r\n\r\n");
}
