/* private.h - the interface server itself, as its parts see it.
 *
 * Who owns what:
 *
 *     hr_server ── listeners ──► hr_conn ── part ──► hr_http ──────┐
 *         │                                └─ or ──► hr_websocket ─┤ each has a
 *         │                                                        ▼
 *         └── sources[connection number] ───────────────────► hr_source
 *
 * A source is where events come from and answers go to: an address in the
 * layer and at most one event out. Connections know their protocol's part,
 * the table of sources finds it again when a message arrives.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_PRIVATE_H
#define HR_SERVER_PRIVATE_H

#include "base/loop.h"
#include "http1/http1.h"
#include "server/listener.h"
#include "server/metrics.h"
#include "server/out.h"
#include "server/route.h"
#include "server/server.h"
#include "server/static.h"

struct hr_conn;
struct hr_http;
struct hr_source;

struct hr_drain {
    struct hr_timer timer;
    hr_time since, until; /* until 0: not draining */
    uint32_t n_websocket; /* there were at the beginning */
    uint32_t n_closed;    /* of them, so far */
    void (*drained)(void *arg);
    void *arg;
};

struct hr_server {
    uint32_t magic;
    uint32_t n_refs; /* the owner's, and one for each handle the loop still has */
    struct hr_loop *loop;
    struct hr_layer *layer;
    struct hr_server_config config; /* defaults filled in */
    struct hr_http1_limits limits;

    struct hr_hook hook;
    struct hr_io bell; /* the layer's descriptor */
    bool has_more;     /* the inbox was left before it was empty */
    bool has_orders;   /* not all that operators asked for is done */
    bool is_layer_lost;
    hr_time woke_at; /* this turn began; 0: it is over */
    bool is_closed;

    struct hr_listeners listeners;
    struct hr_list conns;    /* hr_conn.node */
    struct hr_list touched;  /* hr_conn.touched */
    struct hr_list holding;  /* hr_http.holding: requests before the first pool record */
    struct hr_list orders;   /* order.c: what operators have asked for */
    struct hr_list departed; /* hr_websocket.node: their sockets are gone, an event is left */

    struct hr_source **sources; /* by connection number of the address */
    uint32_t max_sources;
    struct hr_router router;
    struct hr_static_routes statics;
    struct hr_metrics metrics;

    struct hr_out_pool out_pool;
    struct hr_http *spare_http; /* parts at rest, see http.c */
    uint32_t n_spare_http;
    uint8_t *input;        /* HR_CONN_MAX_INPUT bytes, what is being read right now */
    struct hr_buf scratch; /* decoded paths */
    uint64_t random[2];    /* request ids */
    hr_time wall_offset;   /* CLOCK_REALTIME - the loop's time */
    hr_time wall_read_at;
    hr_time logged_since; /* hr_server_may_log() */
    uint32_t n_logged;

    uint32_t n_http, n_websocket, n_departed, n_requests;
    uint64_t n_accepted, n_answered;

    struct hr_drain drain;
};

/* The server's memory stays while the loop has handles in it. */
void hr_server_ref(struct hr_server *server);
void hr_server_unref(struct hr_server *server);

static inline bool hr_server_is_draining(const struct hr_server *server)
{
    return server->drain.until != 0;
}
static inline hr_time hr_server_now(const struct hr_server *server)
{
    return hr_loop_now(server->loop);
}

/* CLOCK_REALTIME of this turn, for Date. */
hr_time hr_server_wall(struct hr_server *server);
/* May one more line be logged about somebody else's mistakes? At most ten a second. */
bool hr_server_may_log(struct hr_server *server);
/* The source that an address of ours names, or NULL when it is no longer its. */
struct hr_source *hr_server_source(const struct hr_server *server, const struct hr_addr *addr);

/* Bookkeeping. */
void hr_server_conn_opened(struct hr_server *server, const struct hr_conn *conn);
void hr_server_conn_closed(struct hr_server *server, const struct hr_conn *conn);
void hr_server_conn_upgraded(struct hr_server *server, struct hr_conn *conn);

#endif /* HR_SERVER_PRIVATE_H */
