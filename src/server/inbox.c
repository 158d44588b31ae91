/* inbox.c - see inbox.h for the contract.
 *
 *     poll      sockets are read, events go into the layer
 *     check     dispatch(), then the inbox is emptied: answers are appended
 *     prepare   one write for each connection that was touched, then prepare()
 *               says whether to sleep
 */
#include "server/inbox.h"

#include "base/assert.h"
#include "base/log.h"
#include "server/connection.h"
#include "server/event.h"
#include "server/group.h"
#include "server/http.h"
#include "server/order.h"
#include "server/private.h"

enum {
    /* Deliveries in one turn; then what they made is written before more is taken. */
    BATCH = 4096,
};

struct hr_source *hr_server_source(const struct hr_server *server, const struct hr_addr *addr)
{
    struct hr_source *source =
        addr->conn < server->max_sources ? server->sources[addr->conn] : NULL;
    bool is_its = source && source->addr.conn_gen == addr->conn_gen &&
                  source->addr.slot == addr->slot && source->addr.slot_gen == addr->slot_gen;
    return is_its ? source : NULL;
}

static void deliver(struct hr_server *server, const struct hr_delivery *delivery)
{
    if (delivery->kind == HR_DELIVERY_GROUP) {
        hr_group_deliver(server, delivery);
        return;
    }
    if (delivery->to.conn_gen == 0) { /* the control address */
        hr_order_deliver(server, delivery);
        return;
    }
    struct hr_source *source = hr_server_source(server, &delivery->to);
    if (source)
        hr_source_deliver(source, delivery);
    else
        hr_layer_count_drop(server->layer, HR_LIT("reply"), HR_REASON_STALE);
    /* An answer may itself ask for an answer; we have nothing to say to it. */
    if (hr_lease_is_set(&delivery->lease) && hr_layer_ack(server->layer, &delivery->lease) != 0)
        hr_layer_count_drop(server->layer, HR_LIT("reply"), HR_REASON_STALE);
}

static void take_batch(struct hr_server *server)
{
    struct hr_delivery delivery;
    server->has_more = true;
    for (int i = 0; i < BATCH; i++) {
        int r = hr_layer_receive(server->layer, HR_RECEIVE_INBOX, &delivery);
        if (r == 0) {
            deliver(server, &delivery);
            continue;
        }
        if (r < 0 && !server->is_layer_lost)
            hr_log(HR_EV_LAYER, "what=%s", HR_LOG_Q(hr_str_of(hr_error_text(r))));
        server->is_layer_lost = r < 0;
        server->has_more = false;
        return;
    }
}

static struct hr_server *server_of(struct hr_hook *hook)
{
    return hr_container_of(hook, struct hr_server, hook);
}

static void on_check(struct hr_hook *hook)
{
    struct hr_server *server = server_of(hook);
    server->woke_at = hr_server_now(server);
    hr_layer_dispatch(server->layer);
    take_batch(server);
    server->has_orders = hr_order_run(server);
    if (!hr_list_is_empty(&server->holding) && hr_router_refresh(&server->router, server->layer))
        hr_http_release_held(server);
}

static bool on_prepare(struct hr_hook *hook)
{
    struct hr_server *server = server_of(hook);
    hr_conn_run_touched(server);
    if (server->woke_at != 0)
        hr_metrics_turn(&server->metrics, hr_time_now() - server->woke_at);
    server->woke_at = 0;
    if (server->has_more || server->has_orders || !hr_list_is_empty(&server->touched))
        return true;
    return !server->is_layer_lost && hr_layer_prepare(server->layer, HR_RECEIVE_INBOX) == 1;
}

static hr_time on_timeout(struct hr_hook *hook)
{
    return hr_layer_poll_timeout(server_of(hook)->layer);
}

static void on_bell(struct hr_io *io, unsigned events)
{
    (void)io; /* it has woken us; on_check() does the rest */
    (void)events;
}

int hr_inbox_open(struct hr_server *server)
{
    int r = hr_io_open(server->loop, &server->bell, hr_layer_fd(server->layer), on_bell);
    if (r < 0)
        return hr_trace(r);
    hr_server_ref(server);
    hr_io_want(&server->bell, HR_IO_READ);
    server->hook = (struct hr_hook){
        .prepare = on_prepare,
        .check = on_check,
        .timeout = on_timeout,
    };
    hr_loop_add_hook(server->loop, &server->hook);
    return 0;
}

static void on_bell_closed(struct hr_io *io)
{
    hr_server_unref(hr_container_of(io, struct hr_server, bell));
}

void hr_inbox_close(struct hr_server *server)
{
    if (!hr_list_is_linked(&server->hook.node))
        return;
    hr_loop_remove_hook(server->loop, &server->hook);
    hr_io_close(&server->bell, on_bell_closed);
}
