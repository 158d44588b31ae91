/* frame.c - frames in and out; see websocket.h for the contract.
 *
 * Two states. In HEADER the bytes of a frame's header gather in ws->header,
 * however they are split; in PAYLOAD what there is of the payload is unmasked
 * where it lies and given on. Each state's function takes what it can use,
 * says how much in n_used, and returns an event, or 0 for "go on with the
 * next state". So the order of the checks, and with it what a broken stream
 * is blamed for, never depends on how the stream was cut.
 *
 * All that a header says is checked before any payload is taken: a message
 * above the limit is refused on its announced length, and a fragment counts
 * with the ones before it, so `n_message` never passes `max_message`.
 *
 * A control frame's payload is at most 125 bytes and is gathered in
 * ws->control, since it has to be whole to mean anything.
 *
 * Unmasking and the check of UTF-8 are two passes over the same bytes; for
 * the pieces that a socket gives at a time the second one runs in cache.
 */
#include "websocket/websocket.h"

#include <string.h>

#include "base/assert.h"

enum ws_state { WS_HEADER, WS_PAYLOAD };

/* RFC 6455 5.2, the first two bytes of a frame. */
enum {
    WS_FIN = 0x80,
    WS_RSV = 0x70,
    WS_OPCODE = 0x0F,
    WS_MASK = 0x80,
    WS_LENGTH = 0x7F,
    WS_LENGTH_16 = 126,
    WS_LENGTH_64 = 127,
};

/* RFC 6455 7.4.1 */
enum {
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_NONE = 1005,
    WS_CODE_NOT_UTF8 = 1007,
    WS_CODE_TOO_BIG = 1009,
    WS_CODE_INTERNAL = 1011,
};

static bool ws_is_control(unsigned opcode)
{
    return opcode >= HR_WS_CLOSE;
}

static size_t ws_min(size_t a, uint64_t b)
{
    return a < b ? a : (size_t)b;
}

void hr_ws_init(struct hr_ws *ws, enum hr_ws_side side, uint64_t max_message)
{
    *ws = (struct hr_ws){
        .max_message = max_message,
        .side = (uint8_t)side,
        .state = WS_HEADER,
        .utf8 = HR_UTF8_COMPLETE,
    };
}

static int ws_bad(struct hr_ws *ws, struct hr_ws_result *out, uint16_t code, const char *reason)
{
    ws->is_over = true;
    out->code = code;
    out->reason = reason;
    return HR_WS_BAD;
}

/* What is wrong with a frame's first two bytes; NULL when nothing is. */
static const char *ws_start_fault(const struct hr_ws *ws, uint8_t first, uint8_t second)
{
    unsigned opcode = first & WS_OPCODE;
    bool is_masked = second & WS_MASK;

    /* RFC 6455 5.2: no extension was negotiated that would give them a meaning. */
    if (first & WS_RSV)
        return "reserved bits are set";
    if (opcode > HR_WS_PONG || (opcode > HR_WS_BINARY && opcode < HR_WS_CLOSE))
        return "reserved opcode";
    /* RFC 6455 5.1 */
    if (is_masked != (ws->side == HR_WS_SERVER))
        return is_masked ? "masked frame from a server" : "unmasked frame from a client";
    if (ws_is_control(opcode)) {
        /* RFC 6455 5.5 */
        if (!(first & WS_FIN))
            return "fragmented control frame";
        return (second & WS_LENGTH) > HR_WS_MAX_CONTROL ? "control frame above 125 bytes" : NULL;
    }
    /* RFC 6455 5.4: fragments of messages are never interleaved. */
    if (opcode == HR_WS_CONTINUATION)
        return ws->in_message ? NULL : "continuation of no message";
    return ws->in_message ? "new message within a fragmented one" : NULL;
}

/* Bytes of the extended length for the 7-bit one. */
static size_t ws_length_size(uint8_t length)
{
    return length == WS_LENGTH_64 ? 8 : length == WS_LENGTH_16 ? 2 : 0;
}

/* The payload length of a gathered header. */
static uint64_t ws_length(const struct hr_ws *ws)
{
    uint8_t length = ws->header[1] & WS_LENGTH;
    size_t n = ws_length_size(length);
    uint64_t value = n == 0 ? length : 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | ws->header[2 + i];
    return value;
}

/* Makes sure of the header's first `n` bytes; false when the input ends before. */
static bool ws_gather(struct hr_ws *ws, const uint8_t *in, size_t len, size_t n, size_t *n_used)
{
    if (ws->n_header >= n)
        return true;
    size_t part = ws_min(len - *n_used, n - ws->n_header);

    memcpy(ws->header + ws->n_header, in + *n_used, part);
    ws->n_header = (uint8_t)(ws->n_header + part);
    *n_used += part;
    return ws->n_header == n;
}

/* A gathered header becomes the frame in hand. */
static void ws_begin_frame(struct hr_ws *ws, uint64_t length)
{
    ws->opcode = ws->header[0] & WS_OPCODE;
    ws->is_fin = ws->header[0] & WS_FIN;
    ws->n_left = length;
    ws->n_control = 0;
    ws->mask_at = 0;
    if (ws->side == HR_WS_SERVER)
        memcpy(ws->mask, ws->header + ws->n_header - sizeof(ws->mask), sizeof(ws->mask));
    ws->n_header = 0;
    ws->state = WS_PAYLOAD;

    if (ws->opcode == HR_WS_TEXT || ws->opcode == HR_WS_BINARY) {
        hr_assert(ws->utf8 == HR_UTF8_COMPLETE); /* or the message before had failed */
        ws->message_opcode = ws->opcode;
        ws->in_message = true;
        ws->is_started = false;
        ws->n_message = 0;
    }
    if (!ws_is_control(ws->opcode))
        ws->n_message += length;
}

static int ws_feed_header(struct hr_ws *ws, const uint8_t *in, size_t len, struct hr_ws_result *out)
{
    if (!ws_gather(ws, in, len, 2, &out->n_used))
        return HR_WS_MORE;
    const char *fault = ws_start_fault(ws, ws->header[0], ws->header[1]);
    if (fault)
        return ws_bad(ws, out, WS_CODE_PROTOCOL, fault);

    size_t n_length = ws_length_size(ws->header[1] & WS_LENGTH);
    size_t n_mask = ws->side == HR_WS_SERVER ? sizeof(ws->mask) : 0;
    if (!ws_gather(ws, in, len, 2 + n_length + n_mask, &out->n_used))
        return HR_WS_MORE;

    uint64_t length = ws_length(ws);
    /* RFC 6455 5.2: the most significant bit must be 0. */
    if (length > INT64_MAX)
        return ws_bad(ws, out, WS_CODE_PROTOCOL, "length above 63 bits");
    /* RFC 6455 5.2: the least number of bytes must be used. */
    if ((n_length == 2 && length < WS_LENGTH_16) || (n_length == 8 && length <= UINT16_MAX))
        return ws_bad(ws, out, WS_CODE_PROTOCOL, "length not in its shortest form");
    /* Compare with what is left: the sum could wrap around. */
    uint8_t opcode = ws->header[0] & WS_OPCODE;
    uint64_t n_before = opcode == HR_WS_CONTINUATION ? ws->n_message : 0;
    if (!ws_is_control(opcode) && length > ws->max_message - n_before)
        return ws_bad(ws, out, WS_CODE_TOO_BIG, "message above the limit");

    ws_begin_frame(ws, length);
    return 0;
}

/* Takes and unmasks what there is of the frame's payload. */
static size_t ws_take(struct hr_ws *ws, uint8_t *in, size_t len)
{
    size_t n = ws_min(len, ws->n_left);

    if (ws->side == HR_WS_SERVER) {
        hr_ws_mask(in, n, ws->mask, ws->mask_at);
        ws->mask_at = (uint8_t)((ws->mask_at + n) % sizeof(ws->mask));
    }
    ws->n_left -= n;
    if (ws->n_left == 0)
        ws->state = WS_HEADER;
    return n;
}

static int ws_feed_data(struct hr_ws *ws, uint8_t *in, size_t len, struct hr_ws_result *out)
{
    if (len == 0 && ws->n_left > 0)
        return HR_WS_MORE;
    size_t n = ws_take(ws, in, len);
    bool is_end = ws->is_fin && ws->n_left == 0;
    out->n_used = n;

    /* RFC 6455 8.1: the whole message is UTF-8, a fragment need not be. */
    if (ws->message_opcode == HR_WS_TEXT &&
        (!hr_utf8_feed(&ws->utf8, in, n) || (is_end && ws->utf8 != HR_UTF8_COMPLETE)))
        return ws_bad(ws, out, WS_CODE_NOT_UTF8, "text is not UTF-8");
    if (n == 0 && !is_end)
        return 0;

    out->opcode = (enum hr_ws_opcode)ws->message_opcode;
    out->is_start = !ws->is_started;
    out->is_end = is_end;
    out->payload = (struct hr_str){(const char *)in, n};
    ws->is_started = true;
    ws->in_message = !is_end;
    return HR_WS_DATA;
}

static int ws_got_close(struct hr_ws *ws, struct hr_ws_result *out)
{
    struct hr_str body = {(const char *)ws->control, ws->n_control};

    ws->is_over = true;
    out->code = WS_CODE_NONE;
    if (body.len == 0)
        return HR_WS_GOT_CLOSE;
    /* RFC 6455 5.5.1: a body begins with a 2-byte code. */
    if (body.len == 1)
        return ws_bad(ws, out, WS_CODE_PROTOCOL, "close body of one byte");
    uint16_t code = (uint16_t)(ws->control[0] << 8 | ws->control[1]);
    if (!hr_ws_code_ok(code))
        return ws_bad(ws, out, WS_CODE_PROTOCOL, "illegal close code");
    if (!hr_utf8_ok(body.ptr + 2, body.len - 2))
        return ws_bad(ws, out, WS_CODE_NOT_UTF8, "close reason is not UTF-8");
    out->code = code;
    out->payload = (struct hr_str){body.ptr + 2, body.len - 2};
    return HR_WS_GOT_CLOSE;
}

static int ws_feed_control(struct hr_ws *ws, uint8_t *in, size_t len, struct hr_ws_result *out)
{
    size_t n = ws_take(ws, in, len);

    hr_assert(ws->n_control + n <= sizeof(ws->control));
    if (n > 0)
        memcpy(ws->control + ws->n_control, in, n);
    ws->n_control = (uint8_t)(ws->n_control + n);
    out->n_used = n;
    if (ws->n_left > 0)
        return HR_WS_MORE;

    out->opcode = (enum hr_ws_opcode)ws->opcode;
    if (ws->opcode == HR_WS_CLOSE)
        return ws_got_close(ws, out);
    out->payload = (struct hr_str){(const char *)ws->control, ws->n_control};
    return ws->opcode == HR_WS_PING ? HR_WS_GOT_PING : HR_WS_GOT_PONG;
}

int hr_ws_feed(struct hr_ws *ws, void *data, size_t len, struct hr_ws_result *out)
{
    uint8_t *in = data;
    size_t n_used = 0;
    int event = 0;

    *out = (struct hr_ws_result){0};
    /* RFC 6455 5.5.1 and 7.1.7: nothing after a close or a failure is looked at. */
    if (ws->is_over || len == 0) {
        out->n_used = len;
        return HR_WS_MORE;
    }
    while (event == 0) {
        out->n_used = 0;
        if (ws->state == WS_HEADER)
            event = ws_feed_header(ws, in + n_used, len - n_used, out);
        else if (ws_is_control(ws->opcode))
            event = ws_feed_control(ws, in + n_used, len - n_used, out);
        else
            event = ws_feed_data(ws, in + n_used, len - n_used, out);
        n_used += out->n_used;
    }
    out->n_used = n_used;
    return event;
}

size_t hr_ws_put_header(uint8_t out[HR_WS_MAX_HEADER], enum hr_ws_opcode opcode, bool is_fin,
                        uint64_t len, const uint8_t *mask)
{
    uint8_t short_len = len < WS_LENGTH_16  ? (uint8_t)len
                        : len <= UINT16_MAX ? (uint8_t)WS_LENGTH_16
                                            : (uint8_t)WS_LENGTH_64;
    size_t n = 2;

    hr_assert(len <= INT64_MAX);
    out[0] = (uint8_t)((unsigned)opcode | (is_fin ? WS_FIN : 0));
    out[1] = (uint8_t)(short_len | (mask ? WS_MASK : 0));
    for (size_t left = ws_length_size(short_len); left > 0; left--)
        out[n++] = (uint8_t)(len >> (8 * (left - 1)));
    if (mask) {
        memcpy(out + n, mask, 4);
        n += 4;
    }
    return n;
}

void hr_ws_mask(void *data, size_t len, const uint8_t mask[4], size_t offset)
{
    uint8_t *at = data;
    uint8_t key[8];
    uint64_t key_word;

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = mask[(offset + i) % 4];
    memcpy(&key_word, key, sizeof(key_word));
    for (; len >= sizeof(key_word); len -= sizeof(key_word), at += sizeof(key_word)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        word ^= key_word;
        memcpy(at, &word, sizeof(word));
    }
    for (size_t i = 0; i < len; i++)
        at[i] ^= key[i];
}

/* The longest prefix of at most `max` bytes that does not end within a character. */
static size_t ws_cut(struct hr_str text, size_t max)
{
    size_t n = text.len < max ? text.len : max;

    while (n > 0 && n < text.len && ((uint8_t)text.ptr[n] & 0xC0) == 0x80)
        n--;
    return n;
}

size_t hr_ws_put_close(uint8_t out[HR_WS_MAX_CONTROL], uint16_t code, struct hr_str reason)
{
    if (code == WS_CODE_NONE)
        return 0;
    size_t n = ws_cut(reason, HR_WS_MAX_CONTROL - 2);

    /* Codes come from applications; a wrong one must not take the server down. */
    if (!hr_ws_code_ok(code))
        code = WS_CODE_INTERNAL;
    out[0] = (uint8_t)(code >> 8);
    out[1] = (uint8_t)(code & 0xFF);
    if (n > 0)
        memcpy(out + 2, reason.ptr, n);
    return 2 + n;
}

bool hr_ws_code_ok(uint16_t code)
{
    /* RFC 6455 7.4.1: 1004 has no meaning yet, 1005, 1006 and 1015 never stand in a frame.
       7.4.2: 1012-1014 were registered since; 3000-4999 are for libraries and applications. */
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
