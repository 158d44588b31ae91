/* request.h - from an HTTP head to the message that a pool gets.
 *
 * The message is written straight into the layer's memory, from the head as
 * the engine keeps it: http.request for requests, websocket.connect for
 * handshakes.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_REQUEST_H
#define HR_SERVER_REQUEST_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

struct hr_http;

/* Takes a sane X-Request-ID over, or makes an id of 128 random bits. */
void hr_request_take_id(struct hr_http *http);
struct hr_str hr_request_id(const struct hr_http *http);

/* The path, percent-decoded; lent until the next call for any request.
 * False when it is not UTF-8. */
HR_MUST_CHECK bool hr_request_path(struct hr_http *http, struct hr_str *out);

/* May pages of that Origin open a WebSocket here? */
bool hr_request_origin_ok(const struct hr_http *http);

/* Whom the request comes from, without the port; empty for a unix socket. */
struct hr_str hr_request_client(struct hr_http *http);

/* The host that the client asked for, with its port if it named one. */
struct hr_str hr_request_host(const struct hr_http *http);

/* Was `protocol` among those the handshake offers? */
bool hr_request_offers(const struct hr_http *http, struct hr_str protocol);

/* Sends the event, with what is in the fifo of its body. Outcomes as for
 * hr_layer_draft(). */
HR_MUST_CHECK int hr_request_send(struct hr_http *http);

#endif /* HR_SERVER_REQUEST_H */
