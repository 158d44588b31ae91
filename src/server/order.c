/* order.c - see order.h for the contract.
 *
 * 30 000 sockets are not closed in one turn of the loop: the others' requests
 * would wait for it. So an order is a walk over the table of sources that
 * goes on in each turn. The table's places do not move; a socket that opens
 * behind the walk was not meant.
 */
#include "server/order.h"

#include "base/alloc.h"
#include "base/log.h"
#include "server/about.h"
#include "server/private.h"
#include "server/websocket.h"

enum {
    TURN_CLOSES = 256,   /* about a millisecond */
    TURN_VISITS = 16384, /* places of the table */
    MAX_ORDERS = 16,     /* stops a program that asks in a loop */
};

struct order {
    struct hr_list node; /* server->orders, oldest first */
    struct hr_addr asker;
    struct hr_lease lease;
    uint32_t at; /* place in the table of sources */
    uint32_t n_closed;
    uint16_t code;
    struct hr_str path, reason; /* in text */
    char text[];
};

/* ---- answering */

static void answer(struct hr_server *server, const struct hr_addr *asker, bool is_ok, uint32_t n,
                   const char *text)
{
    uint8_t data[256];
    struct hr_pack pack;
    const struct hr_send_options options = {.is_control = true};
    if (!hr_addr_is_set(asker))
        return;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 4);
    hr_pack_type(&pack, HR_MSG_TYPE_CONTROL_DONE);
    hr_pack_cstr(&pack, "ok");
    hr_pack_bool(&pack, is_ok);
    hr_pack_cstr(&pack, "n");
    hr_pack_int(&pack, n);
    hr_pack_cstr(&pack, "text");
    hr_pack_cstr(&pack, text);
    if (hr_pack_done(&pack) == 0 &&
        hr_layer_send_to(server->layer, asker, data, hr_pack_len(&pack), &options) != 0)
        hr_log(HR_EV_DEBUG, "text=\"who asked is gone\"");
}

static void end_lease(struct hr_server *server, const struct hr_lease *lease)
{
    if (hr_lease_is_set(lease) && hr_layer_ack(server->layer, lease) != 0)
        hr_log(HR_EV_DEBUG, "text=\"a request to the server was no longer ours\"");
}

static void refuse(struct hr_server *server, const struct hr_delivery *delivery, const char *text)
{
    answer(server, &delivery->reply, false, 0, text);
    end_lease(server, &delivery->lease);
}

/* ---- closing */

static void begin_close(struct hr_server *server, const struct hr_delivery *delivery,
                        const struct hr_msg *msg)
{
    struct hr_str path = hr_msg_str(msg, "path"), reason = hr_msg_str(msg, "reason");
    int64_t code = hr_msg_int(msg, "code", 0);
    uint32_t n = 0;
    hr_list_foreach (node, &server->orders)
        n++;
    if (code <= 0 || code > UINT16_MAX || !hr_ws_code_ok((uint16_t)code) || path.len == 0) {
        refuse(server, delivery, "no path, or no such code");
        return;
    }
    struct order *order = n < MAX_ORDERS ? hr_alloc(sizeof *order + path.len + reason.len) : NULL;
    if (!order) {
        refuse(server, delivery, "too much is asked at once");
        return;
    }
    *order = (struct order){
        .asker = delivery->reply,
        .lease = delivery->lease,
        .code = (uint16_t)code,
        .path = {order->text, path.len},
        .reason = {order->text + path.len, reason.len},
    };
    memcpy(order->text, path.ptr, path.len);
    if (reason.len > 0)
        memcpy(order->text + path.len, reason.ptr, reason.len);
    hr_list_push_back(&server->orders, &order->node);
}

static bool is_meant(const struct order *order, const struct hr_websocket *ws)
{
    return ws && ws->state == HR_WEBSOCKET_OPEN &&
           hr_str_starts(hr_ws_about_path(ws->about), order->path);
}

/* Goes on for a turn's worth; true when it is through. */
static bool run_close(struct hr_server *server, struct order *order)
{
    uint32_t n_visits = 0, n_closes = 0;
    while (order->at < server->max_sources && n_visits++ < TURN_VISITS && n_closes < TURN_CLOSES) {
        struct hr_source *source = server->sources[order->at++];
        struct hr_websocket *ws = source ? hr_websocket_of(source) : NULL;
        if (!is_meant(order, ws))
            continue;
        hr_websocket_close(ws, order->code, order->reason);
        n_closes++;
    }
    order->n_closed += n_closes;
    return order->at >= server->max_sources;
}

/* ---- orders */

void hr_order_deliver(struct hr_server *server, const struct hr_delivery *delivery)
{
    struct hr_msg msg;
    if (delivery->kind != HR_DELIVERY_MESSAGE)
        hr_layer_count_drop(server->layer, HR_LIT("reply"), HR_REASON_STALE);
    else if (hr_msg_check(delivery->data, delivery->len, &msg) != 0)
        refuse(server, delivery, "not a message");
    else if (hr_msg_type_of(&msg) == HR_MSG_TYPE_CONTROL_CLOSE)
        begin_close(server, delivery, &msg);
    else
        refuse(server, delivery, "this server knows no such request");
}

bool hr_order_run(struct hr_server *server)
{
    if (hr_list_is_empty(&server->orders))
        return false;
    struct order *order = hr_list_first(&server->orders, struct order, node);
    if (!run_close(server, order))
        return true;
    hr_log(HR_EV_OPERATOR, "what=close path=%s code=%d sockets=%u", HR_LOG_Q(order->path),
           order->code, order->n_closed);
    answer(server, &order->asker, true, order->n_closed, "");
    end_lease(server, &order->lease);
    hr_list_remove(&order->node);
    hr_free(order);
    return !hr_list_is_empty(&server->orders);
}

void hr_order_fini(struct hr_server *server)
{
    while (!hr_list_is_empty(&server->orders)) {
        struct order *order = hr_list_first(&server->orders, struct order, node);
        if (hr_lease_is_set(&order->lease) &&
            hr_layer_nack(server->layer, &order->lease, HR_REASON_WORKER_DIED) != 0)
            hr_log(HR_EV_DEBUG, "text=\"a request to the server was no longer ours\"");
        hr_list_remove(&order->node);
        hr_free(order);
    }
}
