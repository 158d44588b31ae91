/* group.h - one message to all sockets of a group, in C alone.
 *
 * The message is read once. What goes onto the wire is made when the first
 * socket needs it, once for each way of framing, and shared by reference. A
 * socket that is too slow to take it is passed over and the loss counted
 * (websocket.c has the other policy): one slow reader delays nobody and costs
 * no more than its window.
 *
 * Threads: the loop's. Memory: a broadcast lives on the stack of its delivery.
 */
#ifndef HR_SERVER_GROUP_H
#define HR_SERVER_GROUP_H

#include <headrace/layer.h>

#include "http1/http1.h"
#include "message/asgi.h"
#include "server/out.h"

struct hr_server;

struct hr_broadcast {
    struct hr_server *server;
    struct hr_str group;
    enum hr_msg_type type; /* WEBSOCKET_SEND, WEBSOCKET_CLOSE, HTTP_RESPONSE_BODY, or OTHER */
    struct hr_str payload; /* text, bytes, or body */
    bool is_text;
    bool more_body;
    uint16_t code;          /* of a close */
    struct hr_str reason;   /* of a close */
    struct hr_frame *frame; /* as a WebSocket message */
    struct hr_frame *chunk; /* as a chunk of an answer */
    struct hr_frame *plain; /* as it is */
};

/* Expands a delivery of kind GROUP over our own sockets. */
void hr_group_deliver(struct hr_server *server, const struct hr_delivery *delivery);

/* The bytes in one framing; lent until the delivery ends. NULL when out of memory. */
struct hr_frame *hr_broadcast_frame(struct hr_broadcast *broadcast);
struct hr_frame *hr_broadcast_part(struct hr_broadcast *broadcast, enum hr_http1_framing framing);

/* Counts that one socket did not get it. */
void hr_broadcast_count(struct hr_broadcast *broadcast, enum hr_reason reason);

#endif /* HR_SERVER_GROUP_H */
