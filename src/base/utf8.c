/* utf8.c - the UTF-8 checks of str.h.
 *
 * A state machine whose states are shift counts. Each byte belongs to one of
 * twelve classes, and each class has one 64-bit word in which the six bits at
 * position `state` are the next state:
 *
 *     state = (utf8_next[class of byte] >> state) & 63
 *
 * The only thing that one byte waits for is the shift of the byte before it;
 * all table look-ups run ahead of it. In front of it stands a path for what
 * most text is: eight bytes at a time in which no top bit is set.
 *
 * The classes and states follow table 3-7 of the Unicode standard (RFC 3629
 * 4): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#include "base/str.h"

/* States: what must come next. Six bits each, so multiples of six. */
enum {
    NEXT_ANY = HR_UTF8_COMPLETE,
    NEXT_NONE = 6, /* not UTF-8, whatever comes */
    NEXT_1 = 12,   /* one continuation byte 80..BF */
    NEXT_2 = 18,
    NEXT_3 = 24,
    NEXT_E0 = 30, /* A0..BF, then one more: shorter would be overlong */
    NEXT_ED = 36, /* 80..9F, then one more: the rest are surrogates */
    NEXT_F0 = 42, /* 90..BF, then two more: shorter would be overlong */
    NEXT_F4 = 48, /* 80..8F, then two more: the rest is above U+10FFFF */
};

enum utf8_class {
    ASCII,
    C80, /* continuation bytes 80..8F */
    C90, /* 90..9F */
    CA0, /* A0..BF */
    BAD, /* C0, C1, F5..FF */
    L2,  /* lead bytes of two */
    L3,
    L4,
    LE0,
    LED,
    LF0,
    LF4,
};

#define X4(c) c, c, c, c
#define X16(c) X4(c), X4(c), X4(c), X4(c)
#define X64(c) X16(c), X16(c), X16(c), X16(c)
/* clang-format off */
static const uint8_t utf8_classes[256] = {
    X64(ASCII), X64(ASCII),                                  /* 00..7F */
    X16(C80), X16(C90), X16(CA0), X16(CA0),                  /* 80..BF */
    BAD, BAD, L2, L2, X4(L2), X4(L2), X4(L2), X16(L2),       /* C0..DF */
    LE0, L3, L3, L3, X4(L3), X4(L3), L3, LED, L3, L3,        /* E0..EF */
    LF0, L4, L4, L4, LF4, BAD, BAD, BAD, X4(BAD), X4(BAD),   /* F0..FF */
};
/* clang-format on */

/* ALL_BAD leads from every state to NEXT_NONE; GO changes that for one state. */
#define AT(state, next) ((uint64_t)(next) << (state))
#define ALL_BAD                                                                                    \
    (AT(NEXT_ANY, NEXT_NONE) | AT(NEXT_NONE, NEXT_NONE) | AT(NEXT_1, NEXT_NONE) |                  \
     AT(NEXT_2, NEXT_NONE) | AT(NEXT_3, NEXT_NONE) | AT(NEXT_E0, NEXT_NONE) |                      \
     AT(NEXT_ED, NEXT_NONE) | AT(NEXT_F0, NEXT_NONE) | AT(NEXT_F4, NEXT_NONE))
#define GO(state, next) AT(state, (next) ^ NEXT_NONE)
#define CONTINUE (GO(NEXT_1, NEXT_ANY) ^ GO(NEXT_2, NEXT_1) ^ GO(NEXT_3, NEXT_2))

static const uint64_t utf8_next[] = {
    [ASCII] = ALL_BAD ^ GO(NEXT_ANY, NEXT_ANY),
    [C80] = ALL_BAD ^ CONTINUE ^ GO(NEXT_ED, NEXT_1) ^ GO(NEXT_F4, NEXT_2),
    [C90] = ALL_BAD ^ CONTINUE ^ GO(NEXT_ED, NEXT_1) ^ GO(NEXT_F0, NEXT_2),
    [CA0] = ALL_BAD ^ CONTINUE ^ GO(NEXT_E0, NEXT_1) ^ GO(NEXT_F0, NEXT_2),
    [BAD] = ALL_BAD,
    [L2] = ALL_BAD ^ GO(NEXT_ANY, NEXT_1),
    [L3] = ALL_BAD ^ GO(NEXT_ANY, NEXT_2),
    [L4] = ALL_BAD ^ GO(NEXT_ANY, NEXT_3),
    [LE0] = ALL_BAD ^ GO(NEXT_ANY, NEXT_E0),
    [LED] = ALL_BAD ^ GO(NEXT_ANY, NEXT_ED),
    [LF0] = ALL_BAD ^ GO(NEXT_ANY, NEXT_F0),
    [LF4] = ALL_BAD ^ GO(NEXT_ANY, NEXT_F4),
};

static uint64_t utf8_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static const uint64_t top_bits = 0x8080808080808080u;

/* Are these `n` < 8 bytes ASCII? Two loads that overlap cover them: most strings of a message are
 * this short. */
static bool utf8_is_short_ascii(const uint8_t *at, size_t n)
{
    if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, at, 4);
        memcpy(&last, at + n - 4, 4);
        return ((first | last) & (uint32_t)top_bits) == 0;
    }
    return n == 0 || ((at[0] | at[n / 2] | at[n - 1]) & 0x80) == 0;
}

/* Steps over ASCII: 32 bytes at a time, 8, and the rest. */
static const uint8_t *utf8_skip_ascii(const uint8_t *at, const uint8_t *end)
{

    while (end - at >= 32) {
        uint64_t any = utf8_word(at) | utf8_word(at + 8) | utf8_word(at + 16) | utf8_word(at + 24);
        if (any & top_bits)
            break;
        at += 32;
    }
    while (end - at >= 8 && !(utf8_word(at) & top_bits))
        at += 8;
    return end - at < 8 && utf8_is_short_ascii(at, (size_t)(end - at)) ? end : at;
}

bool hr_utf8_feed(uint32_t *state, const void *data, size_t len)
{
    if (len == 0)
        return *state != NEXT_NONE;
    const uint8_t *at = data, *end = at + len;
    uint64_t now = *state;

    while (at < end && now != NEXT_NONE) {
        if (now == NEXT_ANY)
            at = utf8_skip_ascii(at, end);
        const uint8_t *stop = end - at > 16 ? at + 16 : end;
        while (at < stop)
            now = utf8_next[utf8_classes[*at++]] >> now & 63;
    }
    *state = (uint32_t)now;
    return now != NEXT_NONE;
}

bool hr_utf8_ok(const void *data, size_t len)
{
    uint32_t state = HR_UTF8_COMPLETE;
    return hr_utf8_feed(&state, data, len) && state == HR_UTF8_COMPLETE;
}
