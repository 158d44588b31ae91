/* server.h - an interface server: clients' sockets on one side, the channel layer on the other.
 *
 * It accepts HTTP/1.x and WebSocket connections on the listeners it is given,
 * turns what clients do into messages for the pools' channels, and what comes
 * back to its reply addresses into bytes. A connection lives here for as long
 * as its client wants: workers come and go behind it. Several servers, in
 * processes of their own, may share one layer.
 *
 * Promises: every accepted request gets an answer. A slow reader costs its
 * credit and blocks nobody. Everything is bounded; server.c has the table of
 * what happens at each bound. What a worker sends is validated: nonsense
 * makes a 500 or a close with 1011, never a crash.
 *
 * Threads: one; the loop's.
 * Memory:  the config and all it points to is borrowed until the server is
 *          closed; listening descriptors stay the caller's. The layer handle
 *          is the caller's too, but nobody else receives on it or joins it to
 *          the loop: the server does both.
 */
#ifndef HR_SERVER_SERVER_H
#define HR_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/layer.h>

#include "base/error.h"
#include "base/time.h"

struct hr_loop;
struct hr_network;
struct hr_server;

/* A socket that listens already, non-blocking or not. */
struct hr_listener_config {
    int fd;
    const char *name; /* for people: "http://127.0.0.1:8000", "unix:/run/site/http.sock" */
    bool is_siblings; /* another server's: nothing is accepted before hr_server_adopt() */
};

enum hr_origins {
    HR_ORIGINS_SAME, /* the Origin's host is the Host header's; no Origin (not a browser) is fine */
    HR_ORIGINS_ANY,
    HR_ORIGINS_LIST, /* one of `origin_list` */
};

/* What becomes of messages to a WebSocket that has `window` unsent bytes. */
enum hr_slow_reader {
    HR_SLOW_WAITS,  /* who sends to it alone is told and waits; broadcasts pass it over */
    HR_SLOW_MISSES, /* everything passes it over */
    HR_SLOW_CLOSES, /* nothing does: it has `slow_timeout` to catch up, then 1013 */
};

/* Files below `dir` answer requests whose path begins with `prefix`. */
struct hr_static_route {
    struct hr_str prefix; /* "/static/" */
    const char *dir;
};

/* Zeroed fields take the defaults that stand beside them; a time of HR_NEVER
 * or a size of UINT64_MAX (UINT32_MAX) switches that limit off. */
struct hr_server_config {
    const char *name;  /* of the site: status, metrics; "headrace" */
    const char *label; /* of this server: logs, metrics; "server.1" */

    const struct hr_listener_config *listeners;
    size_t n_listeners;
    const struct hr_listener_config *admin; /* /metrics, /healthz, /readyz; NULL: none */

    /* What one request may cost. */
    uint32_t max_head;    /* 32 KiB of request line and headers */
    uint32_t max_headers; /* 100 */
    uint32_t max_target;  /* 8 KiB */
    uint64_t max_body;    /* 100 MiB */
    hr_time head_timeout; /* 10 s from the first byte of a head to its end */
    hr_time body_timeout; /* 30 s without a byte of a body that we wait for */

    /* What one connection may cost. */
    hr_time keep_alive;       /* 75 s idle between requests */
    hr_time write_timeout;    /* 60 s in which a client takes not one byte of what waits for it */
    uint32_t window;          /* 256 KiB unsent to one client */
    uint64_t max_unsent;      /* 256 MiB unsent to all clients together */
    uint32_t max_connections; /* 90 % of RLIMIT_NOFILE; then accepting pauses */

    /* WebSocket. */
    uint64_t max_message;      /* 1 MiB */
    hr_time handshake_timeout; /* 5 s for a worker to accept or deny, once it has taken it */
    hr_time ping_interval;     /* 20 s */
    hr_time ping_timeout;      /* 20 s for anything to come after a ping; then closed 1011 */
    hr_time close_timeout;     /* 5 s for the peer's half of the closing handshake */
    uint32_t max_queued;       /* 64 KiB of events held for one socket; then reading pauses */
    enum hr_slow_reader slow_reader;
    hr_time slow_timeout; /* 10 s above its window, for HR_SLOW_CLOSES */
    enum hr_origins origins;
    const struct hr_str *origin_list; /* "https://example.org", "*.example.org" */
    size_t n_origins;

    /* Of requests that no pool record says otherwise about. */
    hr_time queue_timeout; /* 10 s */
    hr_time timeout;       /* 60 s */
    hr_time event_timeout; /* 60 s */

    const struct hr_static_route *routes;
    size_t n_routes;
    const struct hr_network *trusted; /* proxies whose word on clients is taken: forwarded.h */
    size_t n_trusted;
    const char *root_path; /* passed on to applications; "" */
    bool access_log;
    bool expose_reason; /* X-Headrace-Reason on refusals */
};

/* Starts serving on `loop`. SIGPIPE is ignored in this process from then on. Gives *out. The layer
 * was opened as HR_ROLE_SERVER. Returns 0, HR_ERR_NOMEM, HR_ERR_SYS, or HR_ERR_CONFIG (a static
 * route's directory cannot be opened; logged). */
HR_MUST_CHECK int hr_server_open(struct hr_loop *loop, struct hr_layer *layer,
                                 const struct hr_server_config *config, struct hr_server **out);

/* Begins or ceases to accept on a sibling's listener, by its number in the
 * config: for as long as that server is not there, nobody else would. */
void hr_server_adopt(struct hr_server *server, size_t listener, bool is_adopted);

/* Stops accepting, lets requests end, closes idle connections at once and
 * WebSockets with 1001, spread evenly over `limit`; what is left at the limit
 * is cut. Calls `drained` once, when no connection is left, from the loop and
 * never before this returns. A second call may shorten the limit; its
 * callback replaces the first. */
void hr_server_drain(struct hr_server *server, hr_time limit, void (*drained)(void *arg),
                     void *arg);

/* Cuts what is left and frees the server, also one that never drained. The
 * loop must run once more (hr_loop_free() does) before its memory is
 * reclaimed; the layer may be closed as soon as this returns. NULL is allowed. */
void hr_server_close(struct hr_server *server);

struct hr_server_stats {
    uint32_t n_http;      /* connections */
    uint32_t n_websocket; /* of them upgraded */
    uint32_t n_requests;  /* in hand: HTTP requests and handshakes without their whole answer */
    uint64_t n_accepted;  /* connections ever */
    uint64_t n_answered;  /* requests ever */
    uint64_t unsent_bytes;
    bool is_paused; /* accepting is, at max_connections or for want of descriptors */
};
void hr_server_stats(const struct hr_server *server, struct hr_server_stats *out);

#endif /* HR_SERVER_SERVER_H */
