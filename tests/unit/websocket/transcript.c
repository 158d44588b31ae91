/* transcript.c - see transcript.h.
 *
 * Each piece of input is fed from a block of its own, exactly as long as the
 * piece, so that the sanitizers see any byte touched outside it.
 */
#include "transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { LONGEST_QUOTED = 200, N_SEEDS = 16 };

uint32_t ws_next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void put(struct hr_buf *out, const void *data, size_t len)
{
    if (len > 0)
        assert_int_equal(hr_buf_append(out, data, len), 0);
}

void ws_quote(struct hr_buf *out, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

    if (len > LONGEST_QUOTED) {
        for (size_t i = 0; i < len; i++)
            hash = (hash ^ bytes[i]) * 0x100000001b3;
        assert_int_equal(hr_buf_printf(out, "(%zu bytes, %016llx)", len, (unsigned long long)hash),
                         0);
        return;
    }
    put(out, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        bool is_plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';
        assert_int_equal(hr_buf_printf(out, is_plain ? "%c" : "\\x%02x", bytes[i]), 0);
    }
    put(out, "\"", 1);
}

void ws_put_frame(struct hr_buf *out, enum hr_ws_side side, enum hr_ws_opcode opcode, bool is_fin,
                  const void *data, size_t len)
{
    /* A key that differs from frame to frame and has four different bytes. */
    uint8_t n = (uint8_t)(3 * hr_buf_len(out) + len + 1);
    const uint8_t key[4] = {n, (uint8_t)(n + 85), (uint8_t)(n ^ 0xA5), (uint8_t)(n + 170)};
    const uint8_t *mask = side == HR_WS_SERVER ? key : NULL;
    uint8_t header[HR_WS_MAX_HEADER];

    put(out, header, hr_ws_put_header(header, opcode, is_fin, len, mask));
    put(out, data, len);
    if (mask)
        hr_ws_mask(hr_buf_ptr(out) + hr_buf_len(out) - len, len, mask, 0);
}

struct run {
    struct hr_ws ws;
    struct hr_buf message; /* the pieces so far */
    struct hr_buf *out;
    bool in_message, is_over;
};

static void run_data(struct run *run, const struct hr_ws_result *result)
{
    assert_int_equal(result->is_start, !run->in_message);
    assert_true(result->payload.len > 0 || result->is_end);
    put(&run->message, result->payload.ptr, result->payload.len);
    run->in_message = !result->is_end;
    if (!result->is_end)
        return;
    put(run->out, result->opcode == HR_WS_TEXT ? "text " : "binary ",
        result->opcode == HR_WS_TEXT ? 5 : 7);
    ws_quote(run->out, run->message.data, hr_buf_len(&run->message));
    put(run->out, "\n", 1);
    hr_buf_consume(&run->message, hr_buf_len(&run->message));
}

static void run_event(struct run *run, int event, const struct hr_ws_result *result)
{
    int r = 0;

    assert_false(run->is_over);
    if (event == HR_WS_DATA) {
        run_data(run, result);
        return;
    }
    if (event == HR_WS_BAD) {
        r = hr_buf_printf(run->out, "bad %d %s\n", result->code, result->reason);
        run->is_over = true;
    } else if (event == HR_WS_GOT_CLOSE) {
        r = hr_buf_printf(run->out, "close %d ", result->code);
        run->is_over = true;
    } else {
        assert_true(event == HR_WS_GOT_PING || event == HR_WS_GOT_PONG);
        r = hr_buf_printf(run->out, event == HR_WS_GOT_PING ? "ping " : "pong ");
    }
    assert_int_equal(r, 0);
    if (event == HR_WS_BAD)
        return;
    ws_quote(run->out, result->payload.ptr, result->payload.len);
    put(run->out, "\n", 1);
}

static void run_piece(struct run *run, const uint8_t *data, size_t len)
{
    uint8_t *piece = hr_alloc(len);
    size_t at = 0;
    int event = 0;

    assert_non_null(piece);
    memcpy(piece, data, len);
    while (event != HR_WS_MORE) {
        struct hr_ws_result result;
        event = hr_ws_feed(&run->ws, piece + at, len - at, &result);
        assert_in_range(result.n_used, 0, len - at);
        if (event == HR_WS_DATA && result.payload.len > 0) /* lent from the input, its last bytes */
            assert_ptr_equal(result.payload.ptr + result.payload.len, piece + at + result.n_used);
        at += result.n_used;
        if (event != HR_WS_MORE)
            run_event(run, event, &result);
    }
    assert_int_equal(at, len);
    hr_free(piece);
}

void ws_transcribe(const struct ws_script *script, enum ws_cut cut, uint32_t seed,
                   struct hr_buf *out)
{
    const uint8_t *at = script->input.data;
    size_t left = hr_buf_len(&script->input);
    uint32_t random = 2463534242u + seed * 7919u;
    struct run run = {.out = out};

    hr_ws_init(&run.ws, script->side, script->max_message);
    while (left > 0) {
        size_t n = cut == WS_CUT_NONE ? left : cut == WS_CUT_BYTES ? 1 : 0;
        /* Mostly a few bytes, now and then a long run. */
        if (cut == WS_CUT_RANDOM)
            n = 1 + ws_next_random(&random) % (ws_next_random(&random) % 4 == 0 ? 5000 : 12);
        n = n < left ? n : left;
        run_piece(&run, at, n);
        at += n;
        left -= n;
    }
    put(out, "", 1);
    hr_buf_fini(&run.message);
}

static bool agrees(const char *name, const char *how, const char *expected, struct hr_buf *got)
{
    bool ok = strcmp(expected, (const char *)hr_buf_ptr(got)) == 0;

    if (!ok)
        print_error("%s, %s:\nexpected\n%sbut got\n%s", name, how, expected, hr_buf_ptr(got));
    hr_buf_consume(got, hr_buf_len(got));
    return ok;
}

bool ws_transcripts_agree(const char *name, const struct ws_script *script, const char *expected)
{
    struct hr_buf whole = {0}, other = {0};

    ws_transcribe(script, WS_CUT_NONE, 0, &whole);
    if (!expected)
        expected = (const char *)hr_buf_ptr(&whole);
    ws_transcribe(script, WS_CUT_NONE, 0, &other);
    bool ok = agrees(name, "whole", expected, &other);

    ws_transcribe(script, WS_CUT_BYTES, 0, &other);
    ok = agrees(name, "byte by byte", expected, &other) && ok;
    for (uint32_t seed = 1; ok && seed <= N_SEEDS; seed++) {
        ws_transcribe(script, WS_CUT_RANDOM, seed, &other);
        ok = agrees(name, "cut at random", expected, &other);
    }
    hr_buf_fini(&whole);
    hr_buf_fini(&other);
    return ok;
}
