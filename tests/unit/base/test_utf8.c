/* test_utf8.c - the UTF-8 checks of base/str.h against a decoder that follows RFC 3629 literally.
 */
#include "test_base.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Bytes of the valid character at `at`, 0 when there is none, and whether
 * `left` was too little to tell. */
static size_t naive_char(const uint8_t *at, size_t left, bool *is_cut)
{
    *is_cut = false;
    size_t n = at[0] < 0x80       ? 1
               : at[0] >> 5 == 6  ? 2
               : at[0] >> 4 == 14 ? 3
               : at[0] >> 3 == 30 ? 4
                                  : 0;
    if (n == 0)
        return 0;
    uint32_t code = n == 1 ? at[0] : at[0] & (0x7fu >> n);
    uint32_t low = code, high = code; /* what the missing bytes could still make of it */
    for (size_t i = 1; i < n; i++) {
        if (i < left && at[i] >> 6 != 2)
            return 0;
        uint32_t bits = i < left ? at[i] & 0x3fu : 0;
        low = low << 6 | bits;
        high = high << 6 | (i < left ? bits : 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (high < least[n] || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff))
        return 0;
    *is_cut = left < n;
    return n;
}

enum naive { VALID, CUT, INVALID };

/* Also gives where the first byte stands after which nothing can help. */
static enum naive naive_check(const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        bool is_cut;
        size_t n = naive_char(data + at, len - at, &is_cut);
        if (n == 0)
            return INVALID;
        if (is_cut)
            return CUT;
        at += n;
    }
    return VALID;
}

static void check(const uint8_t *data, size_t len)
{
    enum naive expected = naive_check(data, len);
    uint32_t state = HR_UTF8_COMPLETE;
    bool may_go_on = hr_utf8_feed(&state, data, len);
    assert_int_equal(may_go_on, expected != INVALID);
    if (may_go_on)
        assert_int_equal(state == HR_UTF8_COMPLETE, expected == VALID);
    assert_int_equal(hr_utf8_ok(data, len), expected == VALID);
}

/* Fed in two pieces, cut everywhere: the first is refused as soon as it must be. */
static void check_every_cut(const uint8_t *data, size_t len)
{
    for (size_t cut = 0; cut <= len; cut++) {
        uint32_t state = HR_UTF8_COMPLETE;
        bool first = hr_utf8_feed(&state, data, cut);
        assert_int_equal(first, naive_check(data, cut) != INVALID);
        if (!first) {
            assert_false(hr_utf8_feed(&state, data + cut, len - cut)); /* for good */
            continue;
        }
        bool second = hr_utf8_feed(&state, data + cut, len - cut);
        enum naive expected = naive_check(data, len);
        assert_int_equal(second, expected != INVALID);
        if (second)
            assert_int_equal(state == HR_UTF8_COMPLETE, expected == VALID);
    }
}

static void every_sequence_of_two_and_three_bytes_is_judged_right(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1u << 24; i += i < 1u << 16 ? 1 : 5) { /* 5: all residues, less time */
        uint8_t bytes[3] = {(uint8_t)(i & 0xff), (uint8_t)(i >> 8 & 0xff), (uint8_t)(i >> 16)};
        enum naive expected = naive_check(bytes, 3);
        uint32_t dfa = HR_UTF8_COMPLETE;
        bool may_go_on = hr_utf8_feed(&dfa, bytes, 3);
        if (may_go_on != (expected != INVALID) ||
            (may_go_on && (dfa == HR_UTF8_COMPLETE) != (expected == VALID)))
            fail_msg("%02x %02x %02x: expected %d", bytes[0], bytes[1], bytes[2], expected);
    }
}

static void every_lead_and_second_byte_of_four_is_judged_right(void **state)
{
    (void)state;
    static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (uint32_t lead = 0xe0; lead < 0x100; lead++)
        for (uint32_t second = 0; second < 0x100; second++)
            for (size_t i = 0; i < 36; i++) {
                uint8_t bytes[4] = {(uint8_t)lead, (uint8_t)second, tails[i / 6], tails[i % 6]};
                check(bytes, 4);
            }
}

static void every_code_point_is_valid_and_every_surrogate_is_not(void **state)
{
    (void)state;
    for (uint32_t code = 0x80; code < 0x110000; code++) {
        uint8_t bytes[4];
        size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1;)
            bytes[i] = (uint8_t)(0x80 | (code >> 6 * (n - 1 - i) & 0x3f));
        bytes[0] = (uint8_t)((0xf00u >> n & 0xff) | code >> 6 * (n - 1));
        bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
        if (hr_utf8_ok(bytes, n) == is_surrogate)
            fail_msg("U+%04X is judged wrong", code);
    }
}

static void text_cut_at_every_point_gives_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "plain ASCII that is longer than one step of the fast path, and some more of it",
        "m\xc3\xbchle \xc3\x9f, \xe6\xb0\xb4\xe8\xbb\x8a, \xf0\x9f\x8c\x8a\xf0\x9f\x8c\x8a.......",
        "0123456\xf0\x9f\x8c\x8a 01234567012345670123456701234567\xe6\xb0\xb4",
        "overlong \xc0\xaf",
        "surrogate \xed\xa0\x80",
        "above \xf4\x90\x80\x80",
        "lone \x80",
        "cut \xe6\xb0",
        "cut \xe6\xb0 and on",
        "ff \xff",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_every_cut((const uint8_t *)texts[i], strlen(texts[i]));
}

static void random_texts_with_random_damage_are_judged_right(void **state)
{
    (void)state;
    static const char *const chars[] = {"a", "\xc3\xbc", "\xe6\xb0\xb4", "\xf0\x9f\x8c\x8a",
                                        "abcdefgh"};
    uint64_t seed = 2;
    for (int i = 0; i < 20000; i++) {
        uint8_t text[160];
        size_t len = 0;
        for (size_t n = test_below(&seed, 20); n > 0; n--) {
            const char *c = chars[test_below(&seed, 5)];
            memcpy(text + len, c, strlen(c));
            len += strlen(c);
        }
        if (len > 0 && i % 2)
            text[test_below(&seed, len)] = (uint8_t)test_random(&seed);
        /* At the end of a block of its own, so that reading beyond shows. */
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy + 1, text, len);
        check(copy + 1, len);
        if (i % 16 < 2)
            check_every_cut(copy + 1, len);
        free(copy);
    }
}

static void nothing_is_valid(void **state)
{
    (void)state;
    uint32_t dfa = HR_UTF8_COMPLETE;
    assert_true(hr_utf8_ok(NULL, 0));
    assert_true(hr_utf8_feed(&dfa, NULL, 0));
    assert_int_equal(dfa, HR_UTF8_COMPLETE);
}

int test_utf8(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sequence_of_two_and_three_bytes_is_judged_right),
        cmocka_unit_test(every_lead_and_second_byte_of_four_is_judged_right),
        cmocka_unit_test(every_code_point_is_valid_and_every_surrogate_is_not),
        cmocka_unit_test(text_cut_at_every_point_gives_the_same),
        cmocka_unit_test(random_texts_with_random_damage_are_judged_right),
        cmocka_unit_test(nothing_is_valid),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
