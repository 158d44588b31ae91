/* harness.c - see harness.h. */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

/* ---- the world */

static bool is_on_ipc;

void worlds_on_ipc(void)
{
    is_on_ipc = true;
}

static void remove_arena(const char *path)
{
    char name[sizeof((struct dirent *)NULL)->d_name + 64];
    DIR *dir = path[0] ? opendir(path) : NULL;
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        unlink(name);
    }
    closedir(dir);
    rmdir(path);
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

/* An abstract name that the kernel chooses. */
static int listen_on_unix(struct sockaddr_un *address, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof *address;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, len), 0);
    return fd;
}

static struct hr_layer *open_layer(struct world *w, enum hr_role role, const char *label)
{
    struct hr_layer_options options = {.role = role, .create = true, .label = label};
    struct hr_layer *layer = NULL;
    assert_int_equal(hr_layer_open(w->url, &options, &layer), 0);
    return layer;
}

static struct world *world_make(const struct hr_server_config *config, bool is_unix)
{
    static int number;
    struct world *w = calloc(1, sizeof *w);
    if (is_on_ipc)
        assert_non_null(mkdtemp(strcpy(w->dir, "/dev/shm/headrace-test-XXXXXX")));
    if (is_on_ipc)
        snprintf(w->url, sizeof w->url, "ipc:%s", w->dir);
    else
        snprintf(w->url, sizeof w->url, "memory:server-test-%d", number++);
    assert_int_equal(hr_loop_new(&w->loop), 0);
    w->layer = open_layer(w, HR_ROLE_SERVER, "server.1");
    if (config)
        w->config = *config;
    int fd = is_unix ? listen_on_unix(&w->path, &w->path_len) : listen_on_loopback(&w->port);
    w->listener = (struct hr_listener_config){.fd = fd, .name = "test"};
    w->admin = (struct hr_listener_config){.fd = listen_on_loopback(&w->admin_port), .name = "adm"};
    w->config.listeners = &w->listener;
    w->config.n_listeners = 1;
    w->config.admin = &w->admin;
    assert_int_equal(hr_server_open(w->loop, w->layer, &w->config, &w->server), 0);
    return w;
}

struct world *world_new_empty(const struct hr_server_config *config)
{
    return world_make(config, false);
}

static struct world *with_worker(struct world *w)
{
    w->worker = worker_new(w, "web.1");
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web"});
    return w;
}

struct world *world_new(const struct hr_server_config *config)
{
    return with_worker(world_make(config, false));
}

struct world *world_new_unix(void)
{
    return with_worker(world_make(NULL, true));
}

void world_free(struct world *w)
{
    for (int i = 0; i < w->n_clients; i++)
        client_close(&w->clients[i]);
    hr_server_close(w->server);
    hr_layer_close(w->layer);
    hr_layer_close(w->worker);
    hr_loop_free(w->loop);
    close(w->listener.fd);
    close(w->admin.fd);
    remove_arena(w->dir);
    free(w);
}

/* Allocations that a test makes fail are not meant for the clients: a second try. */
static uint8_t *room_for(struct hr_buf *buf, size_t n)
{
    uint8_t *room = NULL;
    if (hr_buf_reserve(buf, n, &room) < 0)
        assert_int_equal(hr_buf_reserve(buf, n, &room), 0);
    return room;
}

/* Sends and receives what can be; returns whether anything moved. */
static bool client_io(struct client *c)
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

void world_turn(struct world *w)
{
    struct pollfd events = {.fd = uv_backend_fd(hr_loop_uv(w->loop)), .events = POLLIN};
    if (w->n_idle++ >= 3) /* what a turn has begun the next one or two will end */
        poll(&events, 1, 2);
    hr_loop_turn(w->loop, false);
    for (int i = 0; i < w->n_clients; i++)
        if (client_io(&w->clients[i]))
            w->n_idle = 0;
}

void world_settle(struct world *w)
{
    for (int i = 0; i < 10; i++)
        world_turn(w);
}

/* ---- clients */

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
    client_io(c);
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

/* ---- the worker */

void worker_listen(struct hr_layer *worker, const char *pool)
{
    static const char *const kinds[] = {"http.request", "websocket.connect", "websocket.receive",
                                        "websocket.disconnect"};
    for (int i = 0; i < 4; i++) {
        char name[100];
        int n = snprintf(name, sizeof name, "%s.%s", kinds[i], pool);
        assert_int_equal(hr_layer_listen(worker, (struct hr_str){name, (size_t)n}), 0);
    }
}

struct hr_layer *worker_new(struct world *w, const char *label)
{
    struct hr_layer *worker = open_layer(w, HR_ROLE_WORKER, label);
    worker_listen(worker, "web");
    hr_layer_set_ready(worker, true);
    return worker;
}

static void put_strings(struct hr_pack *pack, const char *key, const char *const *list)
{
    uint32_t n = 0;
    while (n < 4 && list[n])
        n++;
    hr_pack_cstr(pack, key);
    hr_pack_list(pack, n);
    for (uint32_t i = 0; i < n; i++)
        hr_pack_cstr(pack, list[i]);
}

static void put_text(struct hr_pack *pack, const char *key, const char *text)
{
    hr_pack_cstr(pack, key);
    if (text)
        hr_pack_cstr(pack, text);
    else
        hr_pack_null(pack);
}

void worker_put_pool(struct hr_layer *worker, const struct pool_spec *spec)
{
    static const char *const all[4] = {"http.request", "websocket.connect", "websocket.receive",
                                       "websocket.disconnect"};
    uint8_t data[1024];
    struct hr_pack pack;
    char key[64];
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 9);
    put_text(&pack, "name", spec->name);
    put_strings(&pack, "paths", spec->paths);
    put_strings(&pack, "events", spec->events[0] ? spec->events : all);
    hr_pack_cstr(&pack, "queue_timeout");
    hr_pack_int(&pack, spec->queue_timeout);
    hr_pack_cstr(&pack, "timeout");
    hr_pack_int(&pack, spec->timeout);
    hr_pack_cstr(&pack, "event_timeout");
    hr_pack_int(&pack, spec->event_timeout);
    put_text(&pack, "retry", spec->retry);
    put_text(&pack, "on_crash", spec->on_crash);
    put_text(&pack, "body", spec->body);
    assert_int_equal(hr_pack_done(&pack), 0);
    int n = snprintf(key, sizeof key, "pool:%s", spec->name);
    assert_int_equal(
        hr_layer_record_put(worker, (struct hr_str){key, (size_t)n}, data, hr_pack_len(&pack)), 0);
}

bool worker_poll(struct hr_layer *worker, struct event *out)
{
    if (hr_layer_receive(worker, HR_RECEIVE_ALL, &out->d) != 0)
        return false;
    assert_true(out->d.len <= sizeof out->data && out->d.channel.len < sizeof out->channel);
    memcpy(out->data, out->d.data, out->d.len);
    memcpy(out->channel, out->d.channel.ptr ? out->d.channel.ptr : "", out->d.channel.len);
    out->channel[out->d.channel.len] = '\0';
    out->d.channel.ptr = out->channel;
    assert_int_equal(hr_msg_check(out->data, out->d.len, &out->msg), 0);
    return true;
}

void worker_take(struct world *w, struct hr_layer *worker, const char *channel, struct event *out)
{
    UNTIL(w, worker_poll(worker, out));
    assert_string_equal(out->channel, channel);
}

void worker_ack(struct hr_layer *worker, struct event *e)
{
    assert_int_equal(hr_layer_ack(worker, &e->d.lease), 0);
}

int reply_raw(struct hr_layer *worker, const struct event *e, const void *data, size_t len)
{
    struct hr_send_options options = {.is_control = true};
    return hr_layer_send_to(worker, &e->d.reply, data, len, &options);
}

static uint8_t scratch[1 << 18];

static int send_packed(struct hr_layer *worker, const struct event *e, struct hr_pack *pack)
{
    assert_int_equal(hr_pack_done(pack), 0);
    return reply_raw(worker, e, scratch, hr_pack_len(pack));
}

static struct hr_pack begin(uint32_t n, enum hr_msg_type type)
{
    struct hr_pack pack;
    hr_pack_init(&pack, scratch, sizeof scratch);
    hr_pack_map(&pack, n);
    hr_pack_type(&pack, type);
    return pack;
}

int reply_start(struct hr_layer *worker, const struct event *e, int status, const char *to)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_HTTP_RESPONSE_START);
    hr_pack_cstr(&pack, "status");
    hr_pack_int(&pack, status);
    put_text(&pack, "to", to);
    return send_packed(worker, e, &pack);
}

int reply_body(struct hr_layer *worker, const struct event *e, const char *text, size_t len,
               bool more)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_HTTP_RESPONSE_BODY);
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, text, len);
    hr_pack_cstr(&pack, "more_body");
    hr_pack_bool(&pack, more);
    return send_packed(worker, e, &pack);
}

int reply_whole(struct hr_layer *worker, const struct event *e, int status,
                const char *const *headers, const char *text)
{
    uint32_t n = 0;
    while (headers && headers[2 * n])
        n++;
    struct hr_pack pack = begin(6, HR_MSG_TYPE_HTTP_RESPONSE_START);
    hr_pack_cstr(&pack, "taken_at");
    hr_pack_int(&pack, e->d.taken_at);
    hr_pack_cstr(&pack, "slot");
    hr_pack_int(&pack, hr_layer_slot(worker));
    hr_pack_cstr(&pack, "status");
    hr_pack_int(&pack, status);
    hr_pack_cstr(&pack, "headers");
    hr_pack_list(&pack, n);
    for (uint32_t i = 0; i < n; i++) {
        hr_pack_list(&pack, 2);
        hr_pack_bytes(&pack, headers[2 * i], strlen(headers[2 * i]));
        hr_pack_bytes(&pack, headers[2 * i + 1], strlen(headers[2 * i + 1]));
    }
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, text, strlen(text));
    return send_packed(worker, e, &pack);
}

int reply_done(struct hr_layer *worker, const struct event *e, uint32_t seq, const char *state_key,
               const char *state_value)
{
    struct hr_pack pack = begin(state_key ? 3 : 2, HR_MSG_TYPE_EVENT_DONE);
    hr_pack_cstr(&pack, "seq");
    hr_pack_int(&pack, seq);
    if (state_key) {
        hr_pack_cstr(&pack, "state");
        hr_pack_map(&pack, 1);
        put_text(&pack, state_key, state_value);
    }
    return send_packed(worker, e, &pack);
}

int reply_typed(struct hr_layer *worker, const struct event *e, enum hr_msg_type type)
{
    struct hr_pack pack = begin(1, type);
    return send_packed(worker, e, &pack);
}

int reply_text(struct hr_layer *worker, const struct event *e, const char *text)
{
    struct hr_pack pack = begin(2, HR_MSG_TYPE_WEBSOCKET_SEND);
    put_text(&pack, "text", text);
    return send_packed(worker, e, &pack);
}

int reply_close(struct hr_layer *worker, const struct event *e, int code)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_WEBSOCKET_CLOSE);
    hr_pack_cstr(&pack, "code");
    hr_pack_int(&pack, code);
    put_text(&pack, "reason", "bye");
    return send_packed(worker, e, &pack);
}

int reply_open(struct hr_layer *worker, const struct event *e, const char *to, int window)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_BODY_OPEN);
    put_text(&pack, "to", to);
    hr_pack_cstr(&pack, "window");
    hr_pack_int(&pack, window);
    return send_packed(worker, e, &pack);
}

int reply_credit(struct hr_layer *worker, const struct event *e, int64_t total)
{
    struct hr_pack pack = begin(2, HR_MSG_TYPE_BODY_CREDIT);
    hr_pack_cstr(&pack, "total");
    hr_pack_int(&pack, total);
    return send_packed(worker, e, &pack);
}

int reply_hand_on(struct hr_layer *worker, const struct event *e, int timeout_ms)
{
    struct hr_pack pack = begin(4, HR_MSG_TYPE_EVENT_DONE);
    hr_pack_cstr(&pack, "seq");
    hr_pack_int(&pack, e->d.seq);
    hr_pack_cstr(&pack, "handed_on");
    hr_pack_bool(&pack, true);
    hr_pack_cstr(&pack, "timeout");
    hr_pack_int(&pack, timeout_ms);
    return send_packed(worker, e, &pack);
}

struct hr_str msg_str(const struct event *e, const char *key)
{
    return hr_msg_bytes(&e->msg, key);
}

void assert_msg_str(const struct event *e, const char *key, const char *wanted)
{
    struct hr_str got = msg_str(e, key);
    if (got.len != strlen(wanted) || memcmp(got.ptr ? got.ptr : "", wanted, got.len) != 0)
        fail_msg("%s is '%.*s', not '%s'", key, HR_STR(got), wanted);
}

uint64_t drops(struct world *w, const char *channel, enum hr_reason reason)
{
    struct hr_channel_stats stats;
    struct hr_str name = {channel, strlen(channel)};
    return hr_layer_channel_find(w->layer, name, &stats) ? stats.n_dropped[reason] : 0;
}
