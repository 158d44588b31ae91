/* test_msg.c - the promises of checking, walking and looking up. */
#include "suites.h"

#include <string.h>

#include "base/alloc.h"
#include "hex.h"

/* Checks bytes that lie in a block of exactly their size. */
static int verdict(const void *data, size_t len)
{
    uint8_t *copy = exact_copy(data, len);
    struct hr_msg msg;
    int r = hr_msg_check(copy, len, &msg);
    hr_free(copy);
    return r;
}

static int verdict_of(const char *hex)
{
    uint8_t data[512];
    return verdict(data, unhex(hex, data));
}

/* A message in which something of every kind and width stands. */
static const char all_kinds[] =
    "de000a a161 93 9190 81a178c2 c3 a162 c0 d90163 dc0003 c40101 c500020102 c60000000103"
    "da000164 de0001 db00000001 65 df00000000 a166 98 7f ccff cdffff ceffffffff"
    "cf7fffffffffffffff d080 d18000 d280000000 a167 d38000000000000000 a168 e0"
    "a169 ca3fc00000 a16a cb3ff8000000000000 a16b dd00000004 a0 d90161 da000161 db0000000161";

static void every_width_of_every_kind_is_read(void **state)
{
    static const struct {
        const char *hex;
        enum hr_type type;
        int64_t integer; /* or the double times 2, or a length, or a count */
    } rows[] = {
        {"c0", HR_TYPE_NULL, 0},
        {"c2", HR_TYPE_BOOL, 0},
        {"c3", HR_TYPE_BOOL, 1},
        {"00", HR_TYPE_INT, 0},
        {"7f", HR_TYPE_INT, 127},
        {"e0", HR_TYPE_INT, -32},
        {"ff", HR_TYPE_INT, -1},
        {"cc05", HR_TYPE_INT, 5},
        {"cd0005", HR_TYPE_INT, 5},
        {"ce00000005", HR_TYPE_INT, 5},
        {"cf0000000000000005", HR_TYPE_INT, 5},
        {"cf7fffffffffffffff", HR_TYPE_INT, INT64_MAX},
        {"d0fb", HR_TYPE_INT, -5},
        {"d1fffb", HR_TYPE_INT, -5},
        {"d2fffffffb", HR_TYPE_INT, -5},
        {"d3fffffffffffffffb", HR_TYPE_INT, -5},
        {"d005", HR_TYPE_INT, 5},
        {"d38000000000000000", HR_TYPE_INT, INT64_MIN},
        {"ccff", HR_TYPE_INT, 255},
        {"cdfffe", HR_TYPE_INT, 65534},
        {"cefffffffe", HR_TYPE_INT, 4294967294},
        {"ca40200000", HR_TYPE_DOUBLE, 5},
        {"cb4004000000000000", HR_TYPE_DOUBLE, 5},
        {"a0", HR_TYPE_STRING, 0},
        {"a3616263", HR_TYPE_STRING, 3},
        {"d903616263", HR_TYPE_STRING, 3},
        {"da0003616263", HR_TYPE_STRING, 3},
        {"db00000003616263", HR_TYPE_STRING, 3},
        {"c403616263", HR_TYPE_BYTES, 3},
        {"c50003616263", HR_TYPE_BYTES, 3},
        {"c600000003616263", HR_TYPE_BYTES, 3},
        {"92c0c0", HR_TYPE_LIST, 2},
        {"dc0002c0c0", HR_TYPE_LIST, 2},
        {"dd00000002c0c0", HR_TYPE_LIST, 2},
        {"81a161c0", HR_TYPE_MAP, 1},
        {"de0001a161c0", HR_TYPE_MAP, 1},
        {"df00000001a161c0", HR_TYPE_MAP, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t data[64] = {0x81, 0xa1, 'k'};
        struct hr_msg msg = checked(data, 3 + unhex(rows[i].hex, data + 3));
        struct hr_value value;
        assert_true(hr_msg_get(&msg, "k", &value));
        assert_int_equal(value.type, rows[i].type);
        if (value.type == HR_TYPE_BOOL)
            assert_int_equal(value.as.boolean, rows[i].integer);
        else if (value.type == HR_TYPE_INT)
            assert_int_equal(value.as.integer, rows[i].integer);
        else if (value.type == HR_TYPE_DOUBLE)
            assert_true(value.as.real * 2 == (double)rows[i].integer);
        else if (value.type == HR_TYPE_STRING || value.type == HR_TYPE_BYTES)
            assert_int_equal(value.as.str.len, rows[i].integer);
        else
            assert_int_equal(value.n, rows[i].integer);
        if (value.type == HR_TYPE_BYTES)
            assert_memory_equal(value.as.str.ptr, "abc", 3);
    }
}

static void what_is_wrong_has_its_outcome(void **state)
{
    static const struct {
        const char *hex;
        int outcome;
    } rows[] = {
        {"", HR_MSG_MALFORMED},
        {"80", 0},
        {"80 00", HR_MSG_MALFORMED},   /* trailed */
        {"81", HR_MSG_MALFORMED},      /* a pair is missing */
        {"81 a161", HR_MSG_MALFORMED}, /* its value */
        {"81 a161 c1", HR_MSG_MALFORMED},
        {"c1", HR_MSG_MALFORMED},
        {"81 a161 d9", HR_MSG_MALFORMED}, /* a head cut short */
        {"81 a161 da00", HR_MSG_MALFORMED},
        {"81 a161 a261", HR_MSG_MALFORMED}, /* a string cut short */
        {"81 a161 c4ff61", HR_MSG_MALFORMED},
        {"81 a161 dbffffffff61", HR_MSG_MALFORMED},
        {"81 a161 c6ffffffff61", HR_MSG_MALFORMED},
        {"81 a161 ddffffffff c0", HR_MSG_MALFORMED}, /* more announced than there can be */
        {"81 a161 dfffffffff c0", HR_MSG_MALFORMED},
        {"81 a161 df80000000 c0", HR_MSG_MALFORMED}, /* twice that is 0 in 32 bits */
        {"dfffffffff", HR_MSG_MALFORMED},
        {"81 a161 93 c0c0", HR_MSG_MALFORMED},
        {"82 a161 a26101", HR_MSG_MALFORMED}, /* a value took the next key's bytes */

        {"81 a161 cf8000000000000000", HR_MSG_UNSUPPORTED},
        {"81 a161 cfffffffffffffffff", HR_MSG_UNSUPPORTED},
        {"81 a161 cfffffff", HR_MSG_MALFORMED}, /* cut short is met first */
        {"81 a161 d40101", HR_MSG_UNSUPPORTED},
        {"81 a161 d5010101", HR_MSG_UNSUPPORTED},
        {"81 a161 d6ff00000000", HR_MSG_UNSUPPORTED}, /* a timestamp */
        {"81 a161 d7ff0000000000000000", HR_MSG_UNSUPPORTED},
        {"81 a161 d80100000000000000000000000000000000", HR_MSG_UNSUPPORTED},
        {"81 a161 c7000161", HR_MSG_UNSUPPORTED},
        {"81 a161 c800000161", HR_MSG_UNSUPPORTED},
        {"81 a161 c9000000000161", HR_MSG_UNSUPPORTED},
        {"81 c40161 c0", HR_MSG_UNSUPPORTED}, /* bytes, a number, null, a list as a key */
        {"81 01 c0", HR_MSG_UNSUPPORTED},
        {"81 c0 c0", HR_MSG_UNSUPPORTED},
        {"81 90 c0", HR_MSG_UNSUPPORTED},
        {"81 a161 91 81 01 c0", HR_MSG_UNSUPPORTED},

        {"81 a161 a1ff", HR_MSG_NOT_UTF8},
        {"81 a1ff c0", HR_MSG_NOT_UTF8},
        {"81 a161 d902c080", HR_MSG_NOT_UTF8},   /* overlong */
        {"81 a161 a3eda080", HR_MSG_NOT_UTF8},   /* a surrogate */
        {"81 a161 a4f4908080", HR_MSG_NOT_UTF8}, /* above U+10FFFF */
        {"81 a161 a2e282", HR_MSG_NOT_UTF8},     /* ends within a character */
        {"81 a161 a3e282ac", 0},
        {"81 a161 c402ff80", 0}, /* bytes are anything */

        {"c0", HR_MSG_NOT_MAP},
        {"90", HR_MSG_NOT_MAP},
        {"91 80", HR_MSG_NOT_MAP},
        {"05", HR_MSG_NOT_MAP},
        {"a161", HR_MSG_NOT_MAP},
        {"c40161", HR_MSG_NOT_MAP},
        {"91", HR_MSG_MALFORMED}, /* neither valid nor a map */
        {"de0000", 0},
        {"df00000000", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int r = verdict_of(rows[i].hex);
        if (r != rows[i].outcome)
            fail_msg("%s: %d, not %d", rows[i].hex, r, rows[i].outcome);
    }
}

static void nothing_at_all_is_malformed(void **state)
{
    struct hr_msg msg;
    (void)state;
    assert_int_equal(hr_msg_check(NULL, 0, &msg), HR_MSG_MALFORMED);
}

static void a_message_cut_anywhere_is_malformed(void **state)
{
    uint8_t data[512];
    (void)state;
    size_t len = unhex(all_kinds, data);
    assert_int_equal(verdict(data, len), 0);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(verdict(data, cut), HR_MSG_MALFORMED);
}

/* Reads everything there is; returns how many values there were. */
static size_t walk_all(const struct hr_msg *msg)
{
    struct hr_walk stack[HR_MSG_MAX_DEPTH];
    struct hr_value value = hr_msg_root(msg);
    size_t depth = 1, n = 1;

    stack[0] = hr_walk(&value);
    while (depth > 0) {
        struct hr_walk *walk = &stack[depth - 1];
        struct hr_str key = {0};
        if (!(walk->is_map ? hr_map_next(walk, &key, &value) : hr_list_next(walk, &value))) {
            depth--;
            continue;
        }
        n++;
        assert_true((const uint8_t *)key.ptr + key.len <= msg->data + msg->len);
        assert_true(walk->at <= msg->data + msg->len);
        if (value.type == HR_TYPE_LIST || value.type == HR_TYPE_MAP)
            stack[depth++] = hr_walk(&value);
    }
    return n;
}

static void walking_meets_every_value(void **state)
{
    uint8_t data[512];
    (void)state;
    struct hr_msg msg = checked(data, unhex(all_kinds, data));
    assert_int_equal(walk_all(&msg), 1 + 10 + (3 + 2) + 3 + 1 + 8 + 4);
}

/* What the check accepts can be walked, whatever it is. */
static void no_changed_byte_leads_a_walk_astray(void **state)
{
    uint8_t data[512];
    size_t n_valid = 0;
    (void)state;
    size_t len = unhex(all_kinds, data);
    uint8_t *copy = exact_copy(data, len);

    for (size_t at = 0; at < len; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            struct hr_msg msg;
            copy[at] = (uint8_t)byte;
            if (hr_msg_check(copy, len, &msg) == 0) {
                (void)walk_all(&msg);
                n_valid++;
            }
        }
        copy[at] = data[at];
    }
    assert_true(n_valid > len);
    hr_free(copy);
}

/* A message of `depth` containers within each other. */
static size_t nested(uint8_t *data, size_t depth, const char *hex)
{
    size_t len = 0;
    for (size_t i = 1; i < depth; i++)
        len += unhex(i > 1 ? hex : "81a161", data + len);
    data[len++] = 0x80;
    return len;
}

static void nesting_ends_at_the_limit(void **state)
{
    static const char *const kinds[] = {"91", "81a161", "dd00000001", "92c0"};
    uint8_t data[512];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(verdict(data, nested(data, HR_MSG_MAX_DEPTH, kinds[i])), 0);
        assert_int_equal(verdict(data, nested(data, HR_MSG_MAX_DEPTH + 1, kinds[i])),
                         HR_MSG_TOO_DEEP);
    }
}

static void a_million_open_lists_are_too_deep(void **state)
{
    static uint8_t data[1000000];
    (void)state;
    memset(data, 0x91, sizeof data);
    assert_int_equal(verdict(data, sizeof data), HR_MSG_TOO_DEEP);
}

static void containers_side_by_side_are_not_deep(void **state)
{
    uint8_t data[512] = {0x81, 0xa1, 'k', 0xdc, 0x00, 100};
    (void)state;
    memset(data + 6, 0x90, 100);
    assert_int_equal(verdict(data, 106), 0);
}

/* Short strings are looked at by other means than long ones. */
static void one_bad_byte_in_a_string_of_any_length_is_found(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 80; len++) {
        for (size_t at = 0; at < len; at++) {
            uint8_t data[128] = {0x81, 0xa1, 'k', 0xd9, (uint8_t)len};
            memset(data + 5, 'x', len);
            assert_int_equal(verdict(data, 5 + len), 0);
            data[5 + at] = 0xff;
            assert_int_equal(verdict(data, 5 + len), HR_MSG_NOT_UTF8);
            if (at + 1 == len)
                continue;
            data[5 + at] = 0xc3;
            data[6 + at] = 0xa9;
            assert_int_equal(verdict(data, 5 + len), 0);
        }
    }
}

static void the_first_of_two_equal_keys_is_taken(void **state)
{
    uint8_t data[64];
    (void)state;
    struct hr_msg msg = checked(data, unhex("82 a161 01 a161 02", data));
    assert_int_equal(hr_msg_int(&msg, "a", 0), 1);
}

static void a_look_up_steps_over_all_that_is_before(void **state)
{
    uint8_t data[128];
    struct hr_value value;
    (void)state;
    struct hr_msg msg =
        checked(data, unhex("84 a161 82 a16b 93 01 81 a16b 05 c40161 a17a 06 a162 ca00000000"
                            "d9026b6b a3616263 a16b 07",
                            data));
    assert_int_equal(hr_msg_int(&msg, "k", 0), 7);
    assert_false(hr_msg_get(&msg, "z", &value));
    assert_true(hr_msg_get(&msg, "a", &value));
    struct hr_value inner;
    assert_true(hr_map_get(&value, "z", &inner));
    assert_int_equal(inner.as.integer, 6);
    assert_false(hr_map_get(&inner, "z", &value));
    assert_true(hr_msg_get(&msg, "kk", &value));
}

static void look_ups_of_another_type_give_the_fallback(void **state)
{
    uint8_t data[128];
    (void)state;
    struct hr_msg msg = checked(
        data, unhex("85 a169 01 a162 c3 a173 a26869 a178 c4020001 a166 cb3ff0000000000000", data));

    assert_int_equal(hr_msg_int(&msg, "i", 9), 1);
    assert_int_equal(hr_msg_int(&msg, "b", 9), 9);
    assert_int_equal(hr_msg_int(&msg, "f", 9), 9);
    assert_int_equal(hr_msg_int(&msg, "none", 9), 9);
    assert_true(hr_msg_bool(&msg, "b", false));
    assert_true(hr_msg_bool(&msg, "i", true));
    assert_false(hr_msg_bool(&msg, "i", false));
    assert_false(hr_msg_bool(&msg, "none", false));
    assert_int_equal(hr_msg_str(&msg, "s").len, 2);
    assert_memory_equal(hr_msg_str(&msg, "s").ptr, "hi", 2);
    assert_int_equal(hr_msg_str(&msg, "x").len, 0);
    assert_int_equal(hr_msg_str(&msg, "none").len, 0);
    assert_int_equal(hr_msg_bytes(&msg, "x").len, 2);
    assert_int_equal(hr_msg_bytes(&msg, "s").len, 2);
    assert_int_equal(hr_msg_bytes(&msg, "i").len, 0);
}

static void a_walk_with_the_wrong_shape_finds_nothing(void **state)
{
    uint8_t data[64];
    struct hr_value list, map, scalar, got;
    struct hr_str key;
    (void)state;
    struct hr_msg msg = checked(data, unhex("83 a16c 92 a161 a162 a16d 81 a161 01 a173 05", data));
    assert_true(hr_msg_get(&msg, "l", &list) && hr_msg_get(&msg, "m", &map) &&
                hr_msg_get(&msg, "s", &scalar));

    assert_false(hr_map_get(&list, "a", &got));
    struct hr_walk walk = hr_walk(&list);
    assert_false(hr_map_next(&walk, &key, &got));
    walk = hr_walk(&map);
    assert_false(hr_list_next(&walk, &got));
    walk = hr_walk(&scalar);
    assert_false(hr_list_next(&walk, &got));
    assert_false(hr_map_next(&walk, &key, &got));
}

static void a_walk_steps_over_what_is_nested(void **state)
{
    uint8_t data[64];
    struct hr_value list, value;
    (void)state;
    struct hr_msg msg =
        checked(data, unhex("81 a16c 94 92 91 01 02 82 a161 03 a162 91 04 05 90", data));
    assert_true(hr_msg_get(&msg, "l", &list));
    struct hr_walk walk = hr_walk(&list);

    assert_true(hr_list_next(&walk, &value) && value.type == HR_TYPE_LIST && value.n == 2);
    assert_true(hr_list_next(&walk, &value) && value.type == HR_TYPE_MAP && value.n == 2);
    assert_true(hr_list_next(&walk, &value) && value.type == HR_TYPE_INT);
    assert_int_equal(value.as.integer, 5);
    assert_true(hr_list_next(&walk, &value) && value.type == HR_TYPE_LIST && value.n == 0);
    assert_false(hr_list_next(&walk, &value));
}

static void a_walk_that_has_ended_stays_ended(void **state)
{
    uint8_t data[64];
    struct hr_value value;
    struct hr_str key;
    (void)state;
    struct hr_msg msg = checked(data, unhex("81 a16c 91 05", data));
    struct hr_value root = hr_msg_root(&msg);
    struct hr_walk pairs = hr_walk(&root);
    assert_true(hr_map_next(&pairs, &key, &value));
    assert_int_equal(key.len, 1);
    struct hr_walk items = hr_walk(&value);
    assert_false(hr_map_next(&pairs, &key, &value));
    assert_true(hr_list_next(&items, &value));
    assert_int_equal(value.as.integer, 5);
    assert_false(hr_list_next(&items, &value));
    assert_false(hr_list_next(&items, &value));
}

int run_msg_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_of_every_kind_is_read),
        cmocka_unit_test(what_is_wrong_has_its_outcome),
        cmocka_unit_test(nothing_at_all_is_malformed),
        cmocka_unit_test(a_message_cut_anywhere_is_malformed),
        cmocka_unit_test(walking_meets_every_value),
        cmocka_unit_test(no_changed_byte_leads_a_walk_astray),
        cmocka_unit_test(nesting_ends_at_the_limit),
        cmocka_unit_test(a_million_open_lists_are_too_deep),
        cmocka_unit_test(containers_side_by_side_are_not_deep),
        cmocka_unit_test(one_bad_byte_in_a_string_of_any_length_is_found),
        cmocka_unit_test(the_first_of_two_equal_keys_is_taken),
        cmocka_unit_test(a_look_up_steps_over_all_that_is_before),
        cmocka_unit_test(look_ups_of_another_type_give_the_fallback),
        cmocka_unit_test(a_walk_with_the_wrong_shape_finds_nothing),
        cmocka_unit_test(a_walk_steps_over_what_is_nested),
        cmocka_unit_test(a_walk_that_has_ended_stays_ended),
    };
    return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
