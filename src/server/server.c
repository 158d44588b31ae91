/* server.c - see server.h for the contract. Opening, draining, closing, and the limits.
 *
 * What is bounded, what the bound stops, and what happens at it:
 *
 *   max_head, max_headers,    memory per request       414, 431; then the connection closes
 *   max_target
 *   max_body                  memory, disk             413
 *   head_timeout              slow loris               408
 *   body_timeout              the same, in bodies      408
 *   keep_alive                idle sockets             closed
 *   write_timeout             clients that never read  cut
 *   window, slow_timeout      slow readers             streams wait for credit; of WebSockets
 *                                                      websocket.c says
 *   max_unsent                many slow readers        a slow client's stream is cut; as above
 *                                                      for others
 *   HR_CONN_MAX_INPUT         clients that send ahead  not read
 *   MAX_ROUNDS, BATCH,        one busy client          the others have their turn first
 *   HR_OUT_SHARE
 *   max_connections           descriptors, memory      accepting pauses
 *   max_message               memory per socket        1009
 *   max_queued                events no worker takes   the socket is not read
 *   n_departed                departed sockets' last   given up, oldest first, counted: limit
 *                             events
 *   queue_timeout             overload                 503 with Retry-After
 *   timeout, event_timeout    workers that hang        504 / counted; the worker is retired
 *   HR_STATE_MAX              state per socket         the old state stays, counted: app
 *   MAX_HEADERS,              answers' heads           500
 *   MAX_HEADER_BYTES
 *
 * Draining: idle HTTP connections close at once, busy ones after their answer,
 * WebSockets with 1001, oldest first and evenly over the limit, so that their
 * clients do not come back all at once.
 */
#include "server/server.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/random.h"
#include "server/http.h"
#include "server/inbox.h"
#include "server/order.h"
#include "server/private.h"
#include "server/websocket.h"

#define SERVER_MAGIC HR_MAGIC('s', 'e', 'r', 'v')

enum {
    DRAIN_STEP_MS = 50,
    MESSAGE_OVERHEAD = (32 << 10), /* around a WebSocket message: path, state */
    WALL_READ_S = 1,
};

/* ---- settings */

static uint32_t default_max_connections(void)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > UINT32_MAX)
        return 1u << 20;
    return limit.rlim_cur > 16 ? (uint32_t)(limit.rlim_cur / 10 * 9) : 1;
}

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if (!config->field)                                                                        \
            config->field = (value);                                                               \
    } while (0)

static void fill_defaults(struct hr_server_config *config)
{
    DEFAULT(name, "headrace");
    DEFAULT(label, "server");
    DEFAULT(root_path, "");
    DEFAULT(max_head, 32u << 10);
    DEFAULT(max_headers, 100);
    DEFAULT(max_target, 8u << 10);
    DEFAULT(max_body, 100u << 20);
    DEFAULT(head_timeout, 10 * HR_SECOND);
    DEFAULT(body_timeout, 30 * HR_SECOND);
    DEFAULT(keep_alive, 75 * HR_SECOND);
    DEFAULT(write_timeout, 60 * HR_SECOND);
    DEFAULT(window, HR_BODY_WINDOW);
    DEFAULT(max_unsent, UINT64_C(256) << 20);
    DEFAULT(max_connections, default_max_connections());
    DEFAULT(max_message, 1u << 20);
    DEFAULT(handshake_timeout, 5 * HR_SECOND);
    DEFAULT(ping_interval, 20 * HR_SECOND);
    DEFAULT(ping_timeout, 20 * HR_SECOND);
    DEFAULT(close_timeout, 5 * HR_SECOND);
    DEFAULT(max_queued, 64u << 10);
    DEFAULT(slow_timeout, 10 * HR_SECOND);
    DEFAULT(queue_timeout, 10 * HR_SECOND);
    DEFAULT(timeout, 60 * HR_SECOND);
    DEFAULT(event_timeout, 60 * HR_SECOND);
}

static void take_config(struct hr_server *server, const struct hr_server_config *config)
{
    server->config = *config;
    fill_defaults(&server->config);
    /* A message must fit into the layer with what is around it. */
    size_t most = hr_layer_max_message(server->layer);
    most = most > 2 * MESSAGE_OVERHEAD ? most - MESSAGE_OVERHEAD : most / 2;
    if (server->config.max_message > most)
        server->config.max_message = most;
    server->limits = (struct hr_http1_limits){
        .max_head = server->config.max_head,
        .max_headers = server->config.max_headers,
        .max_target = server->config.max_target,
        .max_body = server->config.max_body,
    };
}

/* ---- references: memory stays while the loop has handles in it */

static void server_free(struct hr_server *server)
{
    hr_http_free_spares(server);
    hr_out_pool_fini(&server->out_pool);
    hr_router_fini(&server->router);
    hr_static_close(server);
    hr_listeners_free(server);
    hr_buf_fini(&server->scratch);
    hr_free(server->sources);
    hr_free(server->input);
    server->magic = 0;
    hr_free(server);
}

void hr_server_ref(struct hr_server *server)
{
    server->n_refs++;
}

void hr_server_unref(struct hr_server *server)
{
    hr_assert(server->n_refs > 0);
    if (--server->n_refs == 0)
        server_free(server);
}

/* ---- bookkeeping */

static void publish_connections(struct hr_server *server)
{
    if (!server->is_closed)
        hr_metrics_connections(&server->metrics, server->n_http, server->n_websocket);
}

void hr_server_conn_opened(struct hr_server *server, const struct hr_conn *conn)
{
    (void)conn;
    server->n_http++;
    server->n_accepted++;
    publish_connections(server);
}

void hr_server_conn_upgraded(struct hr_server *server, struct hr_conn *conn)
{
    conn->is_websocket = true;
    server->n_http--;
    server->n_websocket++;
    publish_connections(server);
}

void hr_server_conn_closed(struct hr_server *server, const struct hr_conn *conn)
{
    if (conn->is_websocket)
        server->n_websocket--;
    else
        server->n_http--;
    publish_connections(server);
    hr_listeners_resume(server);
}

hr_time hr_server_wall(struct hr_server *server)
{
    hr_time now = hr_server_now(server);
    if (server->wall_offset == 0 || now - server->wall_read_at >= WALL_READ_S * HR_SECOND) {
        server->wall_offset = hr_time_wall() - now;
        server->wall_read_at = now;
    }
    return now + server->wall_offset;
}

bool hr_server_may_log(struct hr_server *server)
{
    enum { LINES = 10 };
    hr_time now = hr_server_now(server);
    if (now - server->logged_since >= HR_SECOND) {
        server->logged_since = now;
        server->n_logged = 0;
    }
    return server->n_logged++ < LINES;
}

void hr_server_stats(const struct hr_server *server, struct hr_server_stats *out)
{
    *out = (struct hr_server_stats){
        .n_http = server->n_http,
        .n_websocket = server->n_websocket,
        .n_requests = server->n_requests,
        .n_accepted = server->n_accepted,
        .n_answered = server->n_answered,
        .unsent_bytes = server->out_pool.n_unsent,
        .is_paused = server->listeners.is_paused,
    };
}

/* ---- opening */

int hr_server_open(struct hr_loop *loop, struct hr_layer *layer,
                   const struct hr_server_config *config, struct hr_server **out)
{
    *out = NULL;
    struct hr_server *server = hr_calloc(1, sizeof *server);
    if (!server)
        return hr_raise(HR_ERR_NOMEM);
    server->magic = SERVER_MAGIC;
    server->n_refs = 1;
    server->loop = loop;
    server->layer = layer;
    server->listeners.reserve_fd = -1;
    hr_list_init(&server->conns);
    hr_list_init(&server->touched);
    hr_list_init(&server->holding);
    hr_list_init(&server->departed);
    hr_list_init(&server->orders);
    take_config(server, config);
    server->router.config = &server->config;
    hr_random(server->random, sizeof server->random);
    hr_metrics_init(&server->metrics, layer);
    signal(SIGPIPE, SIG_IGN); /* sendfile(2) knows no MSG_NOSIGNAL */

    server->input = hr_alloc(HR_CONN_MAX_INPUT);
    int r = server->input ? hr_static_open(server) : hr_raise(HR_ERR_NOMEM);
    if (r == 0)
        r = hr_inbox_open(server);
    if (r == 0)
        r = hr_listeners_open(server);
    if (r < 0) {
        hr_server_close(server);
        return hr_trace(r);
    }
    *out = server;
    return 0;
}

/* ---- draining */

static void drain_conn(struct hr_server *server, struct hr_conn *conn)
{
    /* To the end of the list: at its head stand those whose turn is still to come. */
    hr_list_remove(&conn->node);
    hr_list_push_back(&server->conns, &conn->node);
    conn->proto->on_drain(conn);
}

static void drain_http(struct hr_server *server)
{
    size_t n = server->n_http + server->n_websocket;
    struct hr_list *node = server->conns.next;
    for (; n > 0; n--) {
        struct hr_conn *conn = hr_container_of(node, struct hr_conn, node);
        node = node->next;
        if (!conn->is_websocket)
            drain_conn(server, conn);
    }
}

/* Closes as many WebSockets as should have gone by now, so that the last one's closing handshake
 * still fits in. */
static void drain_websockets(struct hr_server *server, hr_time now)
{
    struct hr_drain *drain = &server->drain;
    hr_time span = drain->until - drain->since, rest = server->config.close_timeout;
    hr_time spread = span > 2 * rest ? span - rest : span / 2, gone = now - drain->since;
    uint64_t due = drain->n_websocket;
    if (gone < spread)
        due = (uint64_t)((double)due * (double)gone / (double)spread) + 1;
    while (drain->n_closed < due && !hr_list_is_empty(&server->conns)) {
        drain->n_closed++;
        drain_conn(server, hr_list_first(&server->conns, struct hr_conn, node));
    }
}

static void cut_all(struct hr_server *server)
{
    while (!hr_list_is_empty(&server->conns))
        hr_conn_close(hr_list_first(&server->conns, struct hr_conn, node));
    while (!hr_list_is_empty(&server->departed))
        hr_websocket_free(hr_list_first(&server->departed, struct hr_websocket, node));
}

static void drain_on_timer(struct hr_timer *timer)
{
    struct hr_drain *drain = hr_container_of(timer, struct hr_drain, timer);
    struct hr_server *server = hr_container_of(drain, struct hr_server, drain);
    hr_time now = hr_server_now(server);
    if (now >= drain->until)
        cut_all(server);
    else
        drain_websockets(server, now);
    if (!hr_list_is_empty(&server->conns) || !hr_list_is_empty(&server->departed)) {
        hr_loop_start_timer(server->loop, timer, DRAIN_STEP_MS * HR_MS, drain_on_timer);
        return;
    }
    void (*drained)(void *) = drain->drained;
    drain->drained = NULL;
    if (drained)
        drained(drain->arg);
}

void hr_server_drain(struct hr_server *server, hr_time limit, void (*drained)(void *arg), void *arg)
{
    struct hr_drain *drain = &server->drain;
    hr_time now = hr_server_now(server), until = hr_time_add(now, limit);
    bool is_first = !hr_server_is_draining(server);
    drain->drained = drained;
    drain->arg = arg;
    if (is_first) {
        drain->since = now;
        drain->until = until;
        drain->n_websocket = server->n_websocket;
        hr_listeners_close(server);
        drain_http(server);
    } else if (until < drain->until) {
        drain->until = until;
    }
    hr_loop_start_timer(server->loop, &drain->timer, 0, drain_on_timer);
}

void hr_server_close(struct hr_server *server)
{
    if (!server)
        return;
    hr_assert(server->magic == SERVER_MAGIC && !server->is_closed);
    hr_loop_stop_timer(server->loop, &server->drain.timer);
    hr_order_fini(server);
    hr_inbox_close(server);
    hr_listeners_close(server);
    cut_all(server);
    server->is_closed = true;
    hr_server_unref(server);
}
