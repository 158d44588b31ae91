/* test_address.c - addresses to text and back. */
#include "test_layer.h"

#include <headrace/layer.h>

static void an_address_is_written_as_the_contract_says(void **state)
{
    (void)state;
    const struct hr_addr addr = {.layer = 1, .slot = 3, .slot_gen = 1, .conn = 712, .conn_gen = 4};
    char text[HR_ADDR_TEXT_MAX];
    assert_int_equal(hr_addr_format(&addr, text), strlen("reply.aaaaaaaaaaaab.3g1!712g4"));
    assert_string_equal(text, "reply.aaaaaaaaaaaab.3g1!712g4");
}

static void the_longest_address_fits_and_is_a_channel_name(void **state)
{
    (void)state;
    const struct hr_addr addr = {UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct hr_addr back;
    char text[HR_ADDR_TEXT_MAX];
    size_t len = hr_addr_format(&addr, text);
    assert_string_equal(text, "reply.p777777777777.4294967295g4294967295!4294967295g4294967295");
    assert_int_equal(len, strlen(text));
    assert_true(hr_channel_name_ok(hr_str_of(text)));
    assert_true(hr_addr_parse(hr_str_of(text), &back));
    assert_memory_equal(&back, &addr, sizeof addr);
}

static void every_address_comes_back(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        struct hr_addr addr = {
            .layer = test_random(&seed) >> test_below(&seed, 64),
            .slot = (uint32_t)(test_random(&seed) >> (32 + test_below(&seed, 32))),
            .slot_gen = (uint32_t)(test_random(&seed) >> (32 + test_below(&seed, 31))) | 1,
            .conn = (uint32_t)(test_random(&seed) >> (32 + test_below(&seed, 32))),
            .conn_gen = (uint32_t)(test_random(&seed) >> (32 + test_below(&seed, 32))),
        };
        struct hr_addr back;
        char text[HR_ADDR_TEXT_MAX];
        size_t len = hr_addr_format(&addr, text);
        assert_true(hr_addr_parse((struct hr_str){text, len}, &back));
        assert_memory_equal(&back, &addr, sizeof addr);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "reply",
        "reply.",
        "Reply.aaaaaaaaaaaab.3g1!712g4",
        "http.aaaaaaaaaaaab.3g1!712g4",
        "reply.aaaaaaaaaaab.3g1!712g4",   /* an id of 12 */
        "reply.aaaaaaaaaaaaab.3g1!712g4", /* and of 14 */
        "reply.qaaaaaaaaaaab.3g1!712g4",  /* 65 bits */
        "reply.aaaaaaaaaaaaB.3g1!712g4",
        "reply.aaaaaaaaaaaa1.3g1!712g4",
        "reply.aaaaaaaaaaaab3g1!712g4",
        "reply.aaaaaaaaaaaab.3g1.712g4",
        "reply.aaaaaaaaaaaab.3g1!712",
        "reply.aaaaaaaaaaaab.3!712g4",
        "reply.aaaaaaaaaaaab.3g1!",
        "reply.aaaaaaaaaaaab.g1!712g4",
        "reply.aaaaaaaaaaaab.3g!712g4",
        "reply.aaaaaaaaaaaab.3g1!g4",
        "reply.aaaaaaaaaaaab.3g1!712g",
        "reply.aaaaaaaaaaaab.3g1!712g4 ",
        " reply.aaaaaaaaaaaab.3g1!712g4",
        "reply.aaaaaaaaaaaab.3g1!712g4g5",
        "reply.aaaaaaaaaaaab.3g1!712g4!1g1",
        "reply.aaaaaaaaaaaab.03g1!712g4", /* one spelling only */
        "reply.aaaaaaaaaaaab.3g01!712g4",
        "reply.aaaaaaaaaaaab.3g1!0712g4",
        "reply.aaaaaaaaaaaab.3g1!712g04",
        "reply.aaaaaaaaaaaab.+3g1!712g4",
        "reply.aaaaaaaaaaaab.-3g1!712g4",
        "reply.aaaaaaaaaaaab.4294967296g1!712g4",
        "reply.aaaaaaaaaaaab.3g4294967296!712g4",
        "reply.aaaaaaaaaaaab.3g1!99999999999999999999g4",
        "reply.aaaaaaaaaaaab.3g0!712g4", /* nobody's: generation 0 of a slot */
        "reply.aaaaaaaaaaaab.0x3g1!712g4",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hr_addr addr = {.slot_gen = 9};
        if (hr_addr_parse(hr_str_of(bad[i]), &addr))
            fail_msg("'%s' is no address", bad[i]);
        assert_false(hr_addr_is_set(&addr));
    }
}

static void no_change_of_one_byte_gives_the_same_address(void **state)
{
    (void)state;
    const struct hr_addr addr = {0x123456789abcdef0u, 15, 7, 32767, 1000001};
    char text[HR_ADDR_TEXT_MAX];
    size_t len = hr_addr_format(&addr, text);
    for (size_t at = 0; at < len; at++) {
        const char kept = text[at];
        for (unsigned c = 0; c < 256; c++) {
            struct hr_addr other;
            text[at] = (char)c;
            if ((char)c != kept && hr_addr_parse((struct hr_str){text, len}, &other))
                assert_memory_not_equal(&other, &addr, sizeof addr);
        }
        text[at] = kept;
    }
}

static void the_control_address_is_an_address(void **state)
{
    (void)state;
    struct hr_addr addr;
    assert_true(hr_addr_parse(HR_LIT("reply.aaaaaaaaaaaab.0g1!0g0"), &addr));
    assert_true(hr_addr_is_set(&addr));
    assert_int_equal(addr.conn, 0);
    assert_int_equal(addr.conn_gen, 0);
}

int test_address(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_written_as_the_contract_says),
        cmocka_unit_test(the_longest_address_fits_and_is_a_channel_name),
        cmocka_unit_test(every_address_comes_back),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(no_change_of_one_byte_gives_the_same_address),
        cmocka_unit_test(the_control_address_is_an_address),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
