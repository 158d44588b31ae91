/* ws_queue.h - what a WebSocket's client did, as events, one at a time.
 *
 * A message that arrived whole while nothing is out goes straight from the
 * read buffer into the layer. Else it is copied and waits its turn.
 *
 * Threads: the loop's. Memory: hr_ws_queue_fini() drops what waits.
 */
#ifndef HR_SERVER_WS_QUEUE_H
#define HR_SERVER_WS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "server/event.h"
#include "websocket/websocket.h"

struct hr_websocket;

/* A piece of a message. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_ws_queue_piece(struct hr_websocket *ws, const struct hr_ws_result *piece);

/* The last event. Returns false when there is nothing to wait for: the socket may be freed. */
bool hr_ws_queue_disconnect(struct hr_websocket *ws, struct hr_str reason);

/* Do so many bytes wait that the client should not be read? */
bool hr_ws_queue_is_full(const struct hr_websocket *ws);

void hr_ws_queue_fini(struct hr_websocket *ws);

/* As the source's ops. Each may free a socket that has closed. */
void hr_ws_queue_on_done(struct hr_source *source, const struct hr_msg *done);
void hr_ws_queue_on_lost(struct hr_source *source, const struct hr_delivery *lost);
void hr_ws_queue_on_timeout(struct hr_source *source, enum hr_reason reason);
void hr_ws_queue_on_room(struct hr_source *source);

#endif /* HR_SERVER_WS_QUEUE_H */
