/* websocket.h - RFC 6455 framing as an engine without I/O, for either side.
 *
 * Bytes in, events out. The engine unmasks in place, joins nothing: a
 * message's payload comes in pieces lent from the input, with `is_start` and
 * `is_end`, so that a message that arrived whole is never copied. Control
 * frames may come between the pieces. UTF-8 of text is checked across
 * fragments. What the peer does wrong gives HR_WS_BAD with the close code of
 * RFC 6455 7.4.1.
 *
 * Threads: none. Memory: none beyond the struct (about 170 bytes).
 */
#ifndef HR_WEBSOCKET_WEBSOCKET_H
#define HR_WEBSOCKET_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

enum hr_ws_opcode {
    HR_WS_CONTINUATION = 0,
    HR_WS_TEXT = 1,
    HR_WS_BINARY = 2,
    HR_WS_CLOSE = 8,
    HR_WS_PING = 9,
    HR_WS_PONG = 10,
};

enum hr_ws_side { HR_WS_SERVER, HR_WS_CLIENT };

enum hr_ws_event {
    HR_WS_MORE = 1, /* all input used */
    HR_WS_DATA,     /* a piece of a message */
    HR_WS_GOT_PING, /* `payload` is to be echoed in a pong */
    HR_WS_GOT_PONG,
    HR_WS_GOT_CLOSE, /* `code` (1005 when none) and `payload`, the reason; no event follows */
    HR_WS_BAD,       /* send a close with `code`, then drop the connection; no event follows */
};

enum { HR_WS_MAX_CONTROL = 125, HR_WS_MAX_HEADER = 14 };

/* Private. */
struct hr_ws {
    uint64_t max_message; /* bytes; a message above it is BAD 1009 */
    uint64_t n_message;   /* bytes of the message so far */
    uint64_t n_left;      /* payload bytes of the frame still to come */
    uint32_t utf8;        /* state across fragments */
    uint8_t side, state, opcode, message_opcode;
    uint8_t n_header, n_control;
    uint8_t mask[4], mask_at;
    bool is_fin, in_message, is_started, is_over;
    uint8_t header[HR_WS_MAX_HEADER];
    uint8_t control[HR_WS_MAX_CONTROL];
};

struct hr_ws_result {
    size_t n_used;
    enum hr_ws_opcode opcode; /* DATA: TEXT or BINARY */
    bool is_start, is_end;    /* DATA: first and last piece of its message; a piece may be empty */
    struct hr_str payload;    /* DATA: lent from the input; control: lent until the next feed */
    uint16_t code;
    const char *reason; /* BAD: static */
};

void hr_ws_init(struct hr_ws *ws, enum hr_ws_side side, uint64_t max_message);

/* Feeds input, which is unmasked in place, and gives the next event; call
 * again with what is left until MORE. Never fails otherwise. */
int hr_ws_feed(struct hr_ws *ws, void *data, size_t len, struct hr_ws_result *out);

/* Writes a frame's header to `out`; returns its length. For the client side
 * `mask` is the 4-byte key and the payload must then go through
 * hr_ws_mask(); NULL for a server. */
size_t hr_ws_put_header(uint8_t out[HR_WS_MAX_HEADER], enum hr_ws_opcode opcode, bool is_fin,
                        uint64_t len, const uint8_t *mask);
void hr_ws_mask(void *data, size_t len, const uint8_t mask[4], size_t offset);

/* A close frame's payload, code and reason (cut to 123 bytes at a character);
 * code 1005 gives an empty one. Returns its length. */
size_t hr_ws_put_close(uint8_t out[HR_WS_MAX_CONTROL], uint16_t code, struct hr_str reason);

/* May an endpoint send this code (RFC 6455 7.4)? 1000-1003, 1007-1014, 3000-4999. */
bool hr_ws_code_ok(uint16_t code);

/* Sec-WebSocket-Accept for a key (RFC 6455 4.2.2), 28 characters and a NUL. */
void hr_ws_accept_key(struct hr_str key, char out[29]);

#endif /* HR_WEBSOCKET_WEBSOCKET_H */
