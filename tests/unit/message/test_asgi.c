/* test_asgi.c - the promises of message types and headers. */
#include "suites.h"

#include <string.h>

#include "base/str.h"
#include "hex.h"
#include "message/asgi.h"

static void every_type_is_found_by_its_name(void **state)
{
    (void)state;
    for (unsigned i = HR_MSG_TYPE_OTHER + 1; i < HR_N_MSG_TYPES; i++) {
        struct hr_str name = hr_msg_type_name((enum hr_msg_type)i);
        assert_true(name.len > 0);
        assert_int_equal(strlen(name.ptr), name.len);
        assert_int_equal(hr_msg_type_find(name), i); /* so no two are the same */
    }
    assert_int_equal(hr_msg_type_find(HR_LIT("http.request")), HR_MSG_TYPE_HTTP_REQUEST);
    assert_int_equal(hr_msg_type_find(HR_LIT("http.Request")), HR_MSG_TYPE_OTHER);
    assert_int_equal(hr_msg_type_find(HR_LIT("http.request ")), HR_MSG_TYPE_OTHER);
    assert_int_equal(hr_msg_type_find((struct hr_str){0}), HR_MSG_TYPE_OTHER);
    assert_int_equal(hr_msg_type_name(HR_MSG_TYPE_NONE).len, 0);
    assert_int_equal(hr_msg_type_name(HR_MSG_TYPE_OTHER).len, 0);
}

static void a_messages_type_is_read_wherever_it_stands(void **state)
{
    static const struct {
        const char *hex;
        enum hr_msg_type type;
    } rows[] = {
        {"81 a474797065 aa6576656e742e646f6e65", HR_MSG_TYPE_EVENT_DONE},
        {"82 a161 c0 a474797065 d90a6576656e742e646f6e65", HR_MSG_TYPE_EVENT_DONE},
        {"81 a474797065 a46d696e65", HR_MSG_TYPE_OTHER},
        {"81 a474797065 c40a6576656e742e646f6e65", HR_MSG_TYPE_NONE},
        {"81 a474797065 05", HR_MSG_TYPE_NONE},
        {"80", HR_MSG_TYPE_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t data[64];
        struct hr_msg msg = checked(data, unhex(rows[i].hex, data));
        assert_int_equal(hr_msg_type_of(&msg), rows[i].type);
    }
}

static void a_type_that_is_written_is_read(void **state)
{
    uint8_t data[64];
    struct hr_pack pack;
    (void)state;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 1);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_SEND);
    assert_int_equal(hr_pack_done(&pack), 0);
    struct hr_msg msg = checked(data, hr_pack_len(&pack));
    assert_int_equal(hr_msg_type_of(&msg), HR_MSG_TYPE_WEBSOCKET_SEND);
}

/* A header is written in one go when there is room; that must not show. */
static void headers_of_any_length_in_any_room_are_lists_of_two(void **state)
{
    static const size_t lens[] = {0, 1, 3, 4, 8, 15, 16, 32, 33, 254, 255, 256, 300};
    static char text[300];
    static uint8_t expected[1024];
    (void)state;
    memset(text, 't', sizeof text);
    for (size_t i = 0; i < 169; i++) { /* each length with each */
        struct hr_str name = {text, lens[i / 13]}, value = {text, lens[i % 13]};
        struct hr_pack parts, whole;
        hr_pack_init(&parts, expected, sizeof expected);
        hr_pack_list(&parts, 2);
        hr_pack_bytes(&parts, name.ptr, name.len);
        hr_pack_bytes(&parts, value.ptr, value.len);
        size_t size = hr_pack_len(&parts);

        for (size_t spare = 0; spare < 2; spare++) {
            uint8_t *room = test_malloc(size + spare);
            hr_pack_init(&whole, room, size + spare);
            hr_pack_header(&whole, name, value);
            assert_int_equal(hr_pack_done(&whole), 0);
            assert_int_equal(hr_pack_len(&whole), size);
            assert_memory_equal(room, expected, size);

            hr_pack_init(&whole, room, size - 1);
            hr_pack_header(&whole, name, value);
            assert_int_equal(hr_pack_done(&whole), HR_ERR_TOO_BIG);
            test_free(room);
        }
    }
}

static struct hr_walk headers_of(struct hr_msg *msg, const char *hex, uint8_t *data)
{
    struct hr_value value;
    *msg = checked(data, unhex(hex, data));
    assert_true(hr_msg_get(msg, "h", &value));
    return hr_walk(&value);
}

static void headers_are_read_in_order_to_their_end(void **state)
{
    uint8_t data[64];
    struct hr_msg msg;
    struct hr_str name, value;
    (void)state;
    struct hr_walk walk =
        headers_of(&msg, "81 a168 93 92 c40161 c40162 92 a163 c400 dc0002 d90164 c500026566", data);
    assert_int_equal(hr_header_next(&walk, &name, &value), 0);
    assert_true(hr_str_eq(name, HR_LIT("a")) && hr_str_eq(value, HR_LIT("b")));
    assert_int_equal(hr_header_next(&walk, &name, &value), 0);
    assert_true(hr_str_eq(name, HR_LIT("c")) && hr_str_eq(value, HR_LIT("")));
    assert_int_equal(hr_header_next(&walk, &name, &value), 0);
    assert_true(hr_str_eq(name, HR_LIT("d")) && hr_str_eq(value, HR_LIT("ef")));
    assert_int_equal(hr_header_next(&walk, &name, &value), HR_HEADER_END);
    assert_int_equal(hr_header_next(&walk, &name, &value), HR_HEADER_END);
}

static void what_is_no_header_is_bad_and_the_next_is_read(void **state)
{
    static const char *const bad[] = {
        "81 a168 92 05 92 a161 a162",                /* a number */
        "81 a168 92 a3616263 92 a161 a162",          /* a string */
        "81 a168 92 81 a161 a162 92 a161 a162",      /* a map of one pair: two values */
        "81 a168 92 91 a161 92 a161 a162",           /* one part */
        "81 a168 92 93 a161 a162 a163 92 a161 a162", /* three */
        "81 a168 92 92 a161 05 92 a161 a162",        /* parts of other types */
        "81 a168 92 92 92 a161 a162 a161 92 a161 a162",
        "81 a168 92 90 92 a161 a162",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t data[64];
        struct hr_msg msg;
        struct hr_str name, value;
        struct hr_walk walk = headers_of(&msg, bad[i], data);
        assert_int_equal(hr_header_next(&walk, &name, &value), HR_HEADER_BAD);
        assert_int_equal(hr_header_next(&walk, &name, &value), 0);
        assert_true(hr_str_eq(name, HR_LIT("a")) && hr_str_eq(value, HR_LIT("b")));
        assert_int_equal(hr_header_next(&walk, &name, &value), HR_HEADER_END);
    }
}

static void headers_that_are_no_list_end_at_once(void **state)
{
    static const char *const rows[] = {"81 a168 05", "81 a168 82 a161 a162 a163 a164",
                                       "81 a168 90"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t data[64];
        struct hr_msg msg;
        struct hr_str name, value;
        struct hr_walk walk = headers_of(&msg, rows[i], data);
        assert_int_equal(hr_header_next(&walk, &name, &value), HR_HEADER_END);
    }
}

int run_asgi_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_found_by_its_name),
        cmocka_unit_test(a_messages_type_is_read_wherever_it_stands),
        cmocka_unit_test(a_type_that_is_written_is_read),
        cmocka_unit_test(headers_of_any_length_in_any_room_are_lists_of_two),
        cmocka_unit_test(headers_are_read_in_order_to_their_end),
        cmocka_unit_test(what_is_no_header_is_bad_and_the_next_is_read),
        cmocka_unit_test(headers_that_are_no_list_end_at_once),
    };
    return cmocka_run_group_tests_name("asgi", tests, NULL, NULL);
}
