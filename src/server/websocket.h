/* websocket.h - a WebSocket connection, from its accept to its last event.
 *
 * What the client sends becomes events, one out at a time, in order; what
 * comes to its address is written at once. Its state, a small map, goes with
 * each event and comes back with the event's end. The socket needs no worker
 * to stay open: while there is none, events wait here, up to max_queued bytes,
 * and then the client is not read.
 *
 * When the socket closes, the rest of its life is its queue: the events left,
 * then websocket.disconnect, and it is gone.
 *
 * Threads: the loop's.
 * Memory:  about 1 KiB a socket that idles, connection included; see
 *          tests/unit/server for the sum.
 */
#ifndef HR_SERVER_WEBSOCKET_H
#define HR_SERVER_WEBSOCKET_H

#include "server/connection.h"
#include "server/event.h"
#include "websocket/websocket.h"

struct hr_http;
struct hr_ws_about;
struct hr_ws_item;

enum hr_websocket_state {
    HR_WEBSOCKET_OPEN,
    HR_WEBSOCKET_CLOSING, /* our close is sent, the peer's is awaited */
    HR_WEBSOCKET_CLOSED,  /* the socket is gone */
};

struct hr_websocket {
    uint32_t magic;
    uint8_t state;        /* enum hr_websocket_state */
    bool is_pinged;       /* and nothing was heard since */
    bool is_full;         /* it has more than its window unsent */
    bool is_missing;      /* messages have passed it over, and it has not caught up since */
    bool is_leaving;      /* the last event is queued */
    uint16_t code;        /* how it closed */
    struct hr_conn *conn; /* NULL once CLOSED */
    struct hr_list node;  /* server->departed */
    struct hr_ws engine;
    struct hr_source source;
    struct hr_ws_item *first, *last; /* events that wait */
    struct hr_ws_item *joining;      /* a message whose pieces are coming */
    size_t n_queued;                 /* bytes they cost */
    struct hr_ws_about *about;       /* path and names */
    uint8_t *map;                    /* the state, MessagePack; NULL: {} */
    uint32_t map_len;
    hr_time heard_at;
    hr_time asked_at; /* our ping, or our close, was sent: an answer is due */
    hr_time full_since;
    uint64_t n_in, n_out; /* payload bytes */
};

/* Answers a handshake with 101 and takes the connection over; `msg`, a
 * websocket.accept, may be NULL. When the message makes no sense the handshake
 * fails with 500. The hr_http is released. */
void hr_websocket_accept(struct hr_http *http, const struct hr_msg *msg);

/* The WebSocket that a source belongs to; NULL: it is a request's. */
struct hr_websocket *hr_websocket_of(struct hr_source *source);

/* Closes with `code`, as the server. */
void hr_websocket_close(struct hr_websocket *ws, uint16_t code, struct hr_str reason);

/* Frees one whose socket is gone, whatever of its events is left. */
void hr_websocket_free(struct hr_websocket *ws);

#endif /* HR_SERVER_WEBSOCKET_H */
