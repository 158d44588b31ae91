/* fuzz_ws_frame.c - the WebSocket engine against streams that nobody would send.
 *
 * The first input byte chooses the side and the message limit, the second
 * seeds the cuts. Two promises are held:
 *
 * 1. The rest as a peer's bytes: however they are cut, one by one, at random
 *    points or in two at any point, they mean the same, and what is lent lies
 *    within the input.
 * 2. The rest as payload: built into frames of every kind and size and sent
 *    by the other side, it comes back as it was.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "websocket/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reader {
    struct hr_ws ws;
    struct hr_buf message; /* of the message in hand */
    struct hr_buf *log;    /* finished messages and control frames, with their kind and length */
};

static void add(struct hr_buf *buf, const void *data, size_t len)
{
    if (len > 0)
        hr_assert(hr_buf_append(buf, data, len) == 0);
}

static void add_event(struct hr_buf *log, uint8_t kind, uint16_t code, const void *data, size_t len)
{
    add(log, &kind, sizeof(kind));
    add(log, &code, sizeof(code));
    add(log, &len, sizeof(len));
    add(log, data, len);
}

static void take(struct reader *reader, int event, const struct hr_ws_result *got)
{
    if (event != HR_WS_DATA) {
        add_event(reader->log, (uint8_t)event, got->code, got->payload.ptr, got->payload.len);
        return;
    }
    hr_assert(got->is_start == (hr_buf_len(&reader->message) == 0));
    add(&reader->message, got->payload.ptr, got->payload.len);
    hr_assert(hr_buf_len(&reader->message) <= reader->ws.max_message);
    if (!got->is_end)
        return;
    add_event(reader->log, (uint8_t)got->opcode, HR_WS_DATA, hr_buf_ptr(&reader->message),
              hr_buf_len(&reader->message));
    hr_buf_consume(&reader->message, hr_buf_len(&reader->message));
}

/* Feeds one piece from a block of its own, so that the sanitizers see its ends. */
static void feed(struct reader *reader, const uint8_t *data, size_t len)
{
    uint8_t *piece = hr_alloc(len);
    size_t at = 0;
    int event = 0;

    hr_assert(piece);
    memcpy(piece, data, len);
    while (event != HR_WS_MORE) {
        struct hr_ws_result got;
        event = hr_ws_feed(&reader->ws, piece + at, len - at, &got);
        hr_assert(got.n_used <= len - at);
        if (event == HR_WS_DATA && got.payload.len > 0)
            hr_assert(got.payload.ptr + got.payload.len == (char *)piece + at + got.n_used);
        at += got.n_used;
        if (event != HR_WS_MORE)
            take(reader, event, &got);
    }
    hr_assert(at == len);
    hr_free(piece);
}

/* How a stream comes: `first` bytes, then pieces of `step`, or of lengths drawn from a seed. */
struct cuts {
    size_t first, step;
    uint32_t seed; /* 0: none is drawn */
};
static const struct cuts is_whole = {.step = SIZE_MAX}, is_bytes = {.step = 1};
enum { MAX_IN_TWO = 200 }; /* bytes; longer ones would take the square of their length */

static size_t next_len(struct cuts *cuts, size_t left)
{
    size_t n = cuts->first > 0 ? cuts->first : cuts->step;

    cuts->first = 0;
    if (cuts->seed != 0) {
        cuts->seed = cuts->seed * 1664525u + 1013904223u;
        n = 1 + (cuts->seed >> 16) % (cuts->seed >> 30 == 0 ? 200 : 7);
    }
    return n < left ? n : left;
}

static void read_stream(enum hr_ws_side side, uint64_t limit, const struct hr_buf *in,
                        struct cuts cuts, struct hr_buf *log)
{
    struct reader reader = {.log = log};
    const uint8_t *at = in->data;
    size_t left = hr_buf_len(in);

    hr_ws_init(&reader.ws, side, limit);
    while (left > 0) {
        size_t n = next_len(&cuts, left);
        feed(&reader, at, n);
        at += n;
        left -= n;
    }
    hr_buf_fini(&reader.message);
}

static void check_same(const struct hr_buf *a, const struct hr_buf *b)
{
    hr_assert(hr_buf_len(a) == hr_buf_len(b));
    hr_assert(hr_buf_len(a) == 0 || memcmp(a->data, b->data, hr_buf_len(a)) == 0);
}

static void check_cut(enum hr_ws_side side, uint64_t limit, const struct hr_buf *in,
                      struct cuts cuts, const struct hr_buf *whole)
{
    struct hr_buf cut = {0};

    read_stream(side, limit, in, cuts, &cut);
    check_same(whole, &cut);
    hr_buf_fini(&cut);
}

static void check_cuts(enum hr_ws_side side, uint64_t limit, const struct hr_buf *in, uint32_t seed)
{
    struct hr_buf whole = {0};
    size_t len = hr_buf_len(in);

    read_stream(side, limit, in, is_whole, &whole);
    check_cut(side, limit, in, is_bytes, &whole);
    check_cut(side, limit, in, (struct cuts){.seed = seed}, &whole);
    for (size_t first = 1; first < len && len <= MAX_IN_TWO; first++)
        check_cut(side, limit, in, (struct cuts){.first = first, .step = SIZE_MAX}, &whole);
    hr_buf_fini(&whole);
}

static void put_frame(struct hr_buf *out, enum hr_ws_opcode opcode, bool is_fin,
                      const uint8_t *mask, struct hr_str payload)
{
    uint8_t header[HR_WS_MAX_HEADER];

    add(out, header, hr_ws_put_header(header, opcode, is_fin, payload.len, mask));
    add(out, payload.ptr, payload.len);
    if (mask && payload.len > 0)
        hr_ws_mask(out->data + out->end - payload.len, payload.len, mask, 0);
}

/* Messages of ever longer slices of the payload, each in three fragments with a ping between. */
static void check_round_trip(enum hr_ws_side side, struct hr_str payload, uint32_t seed)
{
    const uint8_t key[4] = {(uint8_t)seed, (uint8_t)(seed >> 3), 0x5a, 0xff};
    const uint8_t *mask = side == HR_WS_SERVER ? key : NULL;
    struct hr_buf stream = {0}, expected = {0}, got = {0};

    for (size_t len = 0; len <= payload.len; len = 2 * len + 1) {
        size_t a = seed % (len + 1), b = a + (len - a) / 2;
        struct hr_str ping = {payload.ptr, len < HR_WS_MAX_CONTROL ? len : HR_WS_MAX_CONTROL};

        put_frame(&stream, HR_WS_BINARY, false, mask, (struct hr_str){payload.ptr, a});
        put_frame(&stream, HR_WS_CONTINUATION, false, mask,
                  (struct hr_str){payload.ptr + a, b - a});
        put_frame(&stream, HR_WS_PING, true, mask, ping);
        put_frame(&stream, HR_WS_CONTINUATION, true, mask,
                  (struct hr_str){payload.ptr + b, len - b});
        add_event(&expected, HR_WS_GOT_PING, 0, ping.ptr, ping.len);
        add_event(&expected, HR_WS_BINARY, HR_WS_DATA, payload.ptr, len);
    }
    read_stream(side, UINT64_MAX, &stream, (struct cuts){.seed = seed}, &got);
    check_same(&got, &expected);
    hr_buf_fini(&stream);
    hr_buf_fini(&expected);
    hr_buf_fini(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum hr_ws_side side = data[0] & 1 ? HR_WS_CLIENT : HR_WS_SERVER;
    uint64_t limit = data[0] & 2 ? (uint64_t)(data[0] >> 2) * 16 : UINT64_MAX;
    uint32_t seed = 1u + data[1];
    struct hr_buf in = {0};

    add(&in, data + 2, size - 2);
    check_cuts(side, limit, &in, seed);
    if (size > 2)
        check_round_trip(side, (struct hr_str){(const char *)data + 2, size - 2}, seed);
    hr_buf_fini(&in);
    hr_assert(hr_alloc_live() == 0);
    return 0;
}
