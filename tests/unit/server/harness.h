/* harness.h - a real interface server on a loop, with clients over loopback sockets and a fake
 * worker.
 *
 * All three live in this process and thread: turning the loop lets the server
 * work, the worker is a second handle on the same memory layer which takes
 * events when a test says so, and the clients' sockets are read after every
 * turn. Waiting is always for a condition, and fails after a few seconds.
 */
#ifndef HR_TESTS_UNIT_SERVER_HARNESS_H
#define HR_TESTS_UNIT_SERVER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include <headrace/layer.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/time.h"
#include "message/asgi.h"
#include "server/server.h"
#include "websocket/websocket.h"

enum { MAX_CLIENTS = 16 };

struct client {
    int fd;
    bool is_eof; /* the server closed or reset */
    bool is_reset;
    bool is_deaf;      /* its socket is not read */
    struct hr_buf in;  /* what came and was not looked at */
    struct hr_buf out; /* what the socket did not take yet */
    struct hr_ws ws;
};

struct world {
    struct hr_loop *loop;
    struct hr_layer *layer; /* the server's */
    struct hr_layer *worker;
    struct hr_server *server;
    struct hr_server_config config;
    struct hr_listener_config listener, admin;
    char url[64], dir[32];
    uint16_t port, admin_port; /* port 0: a unix socket */
    struct client clients[MAX_CLIENTS];
    struct sockaddr_un path;
    socklen_t path_len;
    int n_clients;
    int n_idle; /* turns in which nothing moved */
    bool is_drained;
};

/* All worlds from here on have an arena of shared memory instead of the memory layer. */
void worlds_on_ipc(void);

/* `config` may be NULL; listeners are added to it. The worker listens to the
 * four channels of pool "web", whose record takes everything on every path. */
struct world *world_new(const struct hr_server_config *config);
/* As world_new(), on a unix socket. */
struct world *world_new_unix(void);
void world_free(struct world *w);
/* As world_new(), without a worker or a record. */
struct world *world_new_empty(const struct hr_server_config *config);

/* One more handle on the world's layer. */
struct hr_layer *world_attach(struct world *w, enum hr_role role, const char *label);

void world_turn(struct world *w);
/* Turns until `condition` holds. */
#define UNTIL(w, condition)                                                                        \
    do {                                                                                           \
        hr_time until_end = hr_time_now() + 5 * HR_SECOND;                                         \
        while (!(condition)) {                                                                     \
            if (hr_time_now() > until_end)                                                         \
                fail_msg("waited in vain for: %s", #condition);                                    \
            world_turn(w);                                                                         \
        }                                                                                          \
    } while (0)
/* Turns for so long that whatever was going to happen at once has happened. */
void world_settle(struct world *w);

/* ---- clients */
struct client *client_new(struct world *w);
/* Small socket buffers, and deaf. */
struct client *client_new_slow(struct world *w);
struct client *client_new_admin(struct world *w);
void client_send(struct client *c, const char *data, size_t len);
void client_say(struct client *c, const char *text);
void client_close(struct client *c);
/* Sends and receives what can be, as each turn does; returns whether anything moved. */
bool client_move(struct client *c);

struct answer {
    int status;
    char head[4096];
    char body[1 << 16];
    size_t body_len;
};
/* Takes one whole answer; `method` matters for HEAD. */
void client_answer(struct world *w, struct client *c, const char *method, struct answer *out);
/* Has a whole answer come? */
bool client_has_answer(struct client *c, const char *method);
/* The header's value, "" when missing. */
const char *answer_header(const struct answer *a, const char *name, char out[256]);
/* Waits for this text and takes everything up to its end. */
void client_expect(struct world *w, struct client *c, const char *text);

/* ---- WebSocket clients */
void ws_handshake(struct client *c, const char *path, const char *more_headers);
void ws_send(struct client *c, enum hr_ws_opcode opcode, bool is_fin, const void *data, size_t len);
void ws_say(struct client *c, const char *text);
struct frame {
    enum hr_ws_event event;
    enum hr_ws_opcode opcode;
    uint16_t code;
    char data[1 << 16];
    size_t len;
};
/* The next message or control frame. */
void ws_next(struct world *w, struct client *c, struct frame *out);
void ws_expect_text(struct world *w, struct client *c, const char *text);
/* Handshake, accept and done, in one. */
struct event;
void ws_open(struct world *w, struct client *c, struct event *connect);

/* ---- the worker */
struct event {
    struct hr_delivery d;
    struct hr_msg msg;
    char channel[128];
    uint8_t data[1 << 17];
};
struct hr_layer *worker_new(struct world *w, const char *label);
void worker_listen(struct hr_layer *worker, const char *pool);
/* Waits for an event and checks the channel it came by. */
void worker_take(struct world *w, struct hr_layer *worker, const char *channel, struct event *out);
/* One that is there, or false. */
bool worker_poll(struct hr_layer *worker, struct event *out);
void worker_ack(struct hr_layer *worker, struct event *e);

struct pool_spec {
    const char *name;
    const char *paths[4];
    const char *events[4];
    int queue_timeout, timeout, event_timeout;
    const char *retry, *on_crash, *body;
};
void worker_put_pool(struct hr_layer *worker, const struct pool_spec *spec);

/* Sends one message to the event's reply address; returns what the send did. */
int reply_raw(struct hr_layer *worker, const struct event *e, const void *data, size_t len);
int reply_start(struct hr_layer *worker, const struct event *e, int status, const char *to);
int reply_body(struct hr_layer *worker, const struct event *e, const char *text, size_t len,
               bool more);
/* Head and whole body in one. `headers` are pairs, ended by NULL; may be NULL. */
int reply_whole(struct hr_layer *worker, const struct event *e, int status,
                const char *const *headers, const char *text);
/* `state` is one key and value, or NULL. */
int reply_done(struct hr_layer *worker, const struct event *e, uint32_t seq, const char *state_key,
               const char *state_value);
int reply_typed(struct hr_layer *worker, const struct event *e, enum hr_msg_type type);
int reply_text(struct hr_layer *worker, const struct event *e, const char *text);
int reply_close(struct hr_layer *worker, const struct event *e, int code);
int reply_open(struct hr_layer *worker, const struct event *e, const char *to, int window);
int reply_credit(struct hr_layer *worker, const struct event *e, int64_t total);
int reply_hand_on(struct hr_layer *worker, const struct event *e, int timeout_ms);

struct hr_str msg_str(const struct event *e, const char *key);
void assert_msg_str(const struct event *e, const char *key, const char *wanted);
uint64_t drops(struct world *w, const char *channel, enum hr_reason reason);

#endif /* HR_TESTS_UNIT_SERVER_HARNESS_H */
