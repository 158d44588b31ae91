/* websocket.h - RFC 6455 as an engine without I/O, for either side.
 *
 * Framing: bytes in, events out. The engine unmasks in place and joins
 * nothing: a message's payload comes in pieces lent from the input, with
 * `is_start` and `is_end`, so that a message that arrived whole is never
 * copied. Control frames may come between the pieces. UTF-8 of text is
 * checked across fragments and fails at the first byte that cannot be right.
 * What the peer does wrong gives HR_WS_BAD with the close code of RFC 6455
 * 7.4.1; pieces of a message that has not ended are void by then.
 *
 * Handshake: the headers that are WebSocket's own, as text. Reading and
 * checking a client's request is http1's.
 *
 * Threads: none. Memory: none beyond the struct (184 bytes); the handshake
 *          appends to the caller's buffer.
 */
#ifndef HR_WEBSOCKET_WEBSOCKET_H
#define HR_WEBSOCKET_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
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
    uint64_t n_message;   /* bytes of the message that its frames so far announced */
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
 * again with what is left after n_used until MORE. Never fails otherwise.
 * After GOT_CLOSE and BAD all input is swallowed (MORE). */
HR_MUST_CHECK int hr_ws_feed(struct hr_ws *ws, void *data, size_t len, struct hr_ws_result *out);

/* Writes a frame's header to `out`; returns its length. For the client side
 * `mask` is the 4-byte key and the payload must then go through
 * hr_ws_mask(); NULL for a server. */
size_t hr_ws_put_header(uint8_t out[HR_WS_MAX_HEADER], enum hr_ws_opcode opcode, bool is_fin,
                        uint64_t len, const uint8_t *mask);
/* Masks or unmasks `len` bytes that stand `offset` bytes into their payload. */
void hr_ws_mask(void *data, size_t len, const uint8_t mask[4], size_t offset);

/* A close frame's payload, code and reason (UTF-8, cut to 123 bytes at a
 * character); code 1005 gives an empty one, and one that may not be sent
 * becomes 1011. Returns its length. */
size_t hr_ws_put_close(uint8_t out[HR_WS_MAX_CONTROL], uint16_t code, struct hr_str reason);

/* May an endpoint send this code (RFC 6455 7.4)? 1000-1003, 1007-1014, 3000-4999. */
bool hr_ws_code_ok(uint16_t code);

/* ---- the server's handshake */

/* Sec-WebSocket-Accept for a key (RFC 6455 4.2.2), 28 characters and a NUL.
 * Returns 0, HR_ERR_INVALID when the key has not 24 characters, or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_ws_accept_key(struct hr_str key, char out[29]);

/* Appends a 101 answer: status line, Upgrade, Connection, Sec-WebSocket-Accept
 * and, unless it is empty, the chosen subprotocol. The application's headers
 * and the empty line are the caller's to add. Returns 0, HR_ERR_INVALID when
 * the key has not 24 characters or the subprotocol is no token, or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_ws_put_answer(struct hr_buf *out, struct hr_str key,
                                   struct hr_str subprotocol);

/* Cuts the next subprotocol off *rest, the value of a Sec-WebSocket-Protocol
 * header; false at the end. What is no token is passed over (RFC 6455 4.1). */
bool hr_ws_next_protocol(struct hr_str *rest, struct hr_str *out);

/* ---- the client's handshake: for load generators and tests */

enum { HR_WS_MAX_ANSWER = 16 * 1024 }; /* bytes of a head that we read; stops endless ones */

struct hr_ws_request {
    struct hr_str host;         /* with the port unless it is the scheme's */
    struct hr_str target;       /* path and query */
    struct hr_str subprotocols; /* comma separated; may be empty */
    struct hr_str headers;      /* further complete lines, each with its CRLF; may be empty */
};

enum hr_ws_answer_outcome {
    HR_WS_ANSWER_MORE = 1, /* the head is not complete yet */
    HR_WS_REFUSED,         /* a valid answer that is not 101; see `status` */
    HR_WS_ANSWER_BAD,      /* not a valid answer to the request; see `reason` */
};

struct hr_ws_answer {
    size_t n_used;             /* bytes of the head; frames may follow at once */
    uint16_t status;           /* 101 when accepted */
    struct hr_str subprotocol; /* lent from the input; empty when none was chosen */
    const char *reason;        /* ANSWER_BAD: static */
};

/* Sec-WebSocket-Key of 16 random bytes: 24 characters and a NUL. */
void hr_ws_make_key(const uint8_t nonce[16], char out[25]);

/* Appends the client's request, complete. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_ws_put_request(struct hr_buf *out, const struct hr_ws_request *request,
                                    const char key[25]);

/* Checks the server's answer (RFC 6455 4.1) to a request with these
 * subprotocols and this key. Returns 0, an outcome above, or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_ws_check_answer(struct hr_str data, struct hr_str subprotocols,
                                     const char key[25], struct hr_ws_answer *out);

#endif /* HR_WEBSOCKET_WEBSOCKET_H */
