/* test_frame.c - framing: what a wire file cannot say. The rules of the RFC stand in
 * tests/wire/NAME.ws.wire; here is what the API promises of memory, pieces and limits. */
#include "test_websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/assert.h"
#include "transcript.h"

#define NO_LIMIT UINT64_MAX

static void feed_is(struct hr_ws *ws, struct hr_buf *in, int event, struct hr_ws_result *out)
{
    assert_int_equal(hr_ws_feed(ws, hr_buf_ptr(in), hr_buf_len(in), out), event);
    hr_buf_consume(in, out->n_used);
}

static void a_message_that_arrives_whole_is_lent_from_the_input(void **state)
{
    struct hr_ws ws;
    struct hr_ws_result got;
    struct hr_buf in = {0};
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    ws_put_frame(&in, HR_WS_SERVER, HR_WS_TEXT, true, "Hello", 5);
    const uint8_t *payload = hr_buf_ptr(&in) + 6;

    feed_is(&ws, &in, HR_WS_DATA, &got);
    assert_ptr_equal(got.payload.ptr, payload);
    assert_memory_equal(got.payload.ptr, "Hello", 5);
    assert_int_equal(got.payload.len, 5);
    assert_int_equal(got.opcode, HR_WS_TEXT);
    assert_true(got.is_start && got.is_end);
    assert_int_equal(got.n_used, 11);
    feed_is(&ws, &in, HR_WS_MORE, &got);
    hr_buf_fini(&in);
}

static void pieces_come_as_they_arrive_and_say_first_and_last(void **state)
{
    struct hr_ws ws;
    struct hr_ws_result got;
    struct hr_buf in = {0};
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    ws_put_frame(&in, HR_WS_SERVER, HR_WS_BINARY, true, "abcdef", 6);
    uint8_t *at = hr_buf_ptr(&in);

    assert_int_equal(hr_ws_feed(&ws, at, 8, &got), HR_WS_DATA);
    assert_int_equal(got.n_used, 8);
    assert_memory_equal(got.payload.ptr, "ab", 2);
    assert_true(got.is_start && !got.is_end);

    assert_int_equal(hr_ws_feed(&ws, at + 8, 1, &got), HR_WS_DATA);
    assert_memory_equal(got.payload.ptr, "c", 1);
    assert_true(!got.is_start && !got.is_end);

    assert_int_equal(hr_ws_feed(&ws, at + 9, 3, &got), HR_WS_DATA);
    assert_memory_equal(got.payload.ptr, "def", 3);
    assert_true(!got.is_start && got.is_end);
    hr_buf_fini(&in);
}

static void the_limit_is_checked_before_any_payload(void **state)
{
    uint8_t header[HR_WS_MAX_HEADER];
    const uint8_t key[4] = {1, 2, 3, 4};
    struct hr_ws ws;
    struct hr_ws_result got;
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, 1000);
    size_t n = hr_ws_put_header(header, HR_WS_BINARY, true, 1001, key);
    assert_int_equal(hr_ws_feed(&ws, header, n, &got), HR_WS_BAD);
    assert_int_equal(got.code, 1009);
    assert_int_equal(got.payload.len, 0);
}

static void a_fault_in_the_first_two_bytes_is_found_with_them(void **state)
{
    uint8_t bytes[2] = {0x83, 0x85};
    struct hr_ws ws;
    struct hr_ws_result got;
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    assert_int_equal(hr_ws_feed(&ws, bytes, 1, &got), HR_WS_MORE);
    assert_int_equal(hr_ws_feed(&ws, bytes + 1, 1, &got), HR_WS_BAD);
    assert_int_equal(got.code, 1002);
    assert_string_equal(got.reason, "reserved opcode");
}

/* RFC 6455 8.1 and Autobahn 6.4: the connection fails at once, not at the message's end. */
static void text_fails_at_the_first_byte_that_cannot_become_a_character(void **state)
{
    struct hr_ws ws;
    struct hr_ws_result got;
    struct hr_buf in = {0};
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    ws_put_frame(&in, HR_WS_SERVER, HR_WS_TEXT, true, "ab\xf4\x90\x80\x80", 6);
    uint8_t *at = hr_buf_ptr(&in);
    assert_int_equal(hr_ws_feed(&ws, at, 9, &got), HR_WS_DATA);
    assert_int_equal(hr_ws_feed(&ws, at + 9, 1, &got), HR_WS_BAD);
    assert_int_equal(got.code, 1007);
    hr_buf_fini(&in);
}

static void input_after_a_failure_is_swallowed(void **state)
{
    uint8_t bad[4] = {0x8f, 0x80, 0x89, 0x80}, more[100] = {0};
    struct hr_ws ws;
    struct hr_ws_result got;
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    assert_int_equal(hr_ws_feed(&ws, bad, sizeof(bad), &got), HR_WS_BAD);
    assert_int_equal(hr_ws_feed(&ws, bad + got.n_used, sizeof(bad) - got.n_used, &got), HR_WS_MORE);
    assert_int_equal(got.n_used, 2);
    assert_int_equal(hr_ws_feed(&ws, more, sizeof(more), &got), HR_WS_MORE);
    assert_int_equal(got.n_used, sizeof(more));
}

static void no_input_is_no_event(void **state)
{
    struct hr_ws ws;
    struct hr_ws_result got;
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    assert_int_equal(hr_ws_feed(&ws, NULL, 0, &got), HR_WS_MORE);
    assert_int_equal(got.n_used, 0);
}

static void a_pings_payload_outlives_its_input(void **state)
{
    struct hr_ws ws;
    struct hr_ws_result got;
    struct hr_buf in = {0};
    (void)state;

    hr_ws_init(&ws, HR_WS_SERVER, NO_LIMIT);
    ws_put_frame(&in, HR_WS_SERVER, HR_WS_PING, true, "ping", 4);
    feed_is(&ws, &in, HR_WS_GOT_PING, &got);
    hr_buf_fini(&in);
    assert_int_equal(got.payload.len, 4);
    assert_memory_equal(got.payload.ptr, "ping", 4);
}

static void an_idle_connection_costs_no_more_than_200_bytes(void **state)
{
    (void)state;
    assert_true(sizeof(struct hr_ws) <= 200);
}

static void headers_take_the_shortest_form(void **state)
{
    static const struct {
        uint64_t len;
        size_t n;
        uint8_t bytes[10];
    } cases[] = {
        {0, 2, {0x82, 0}},
        {125, 2, {0x82, 125}},
        {126, 4, {0x82, 126, 0, 126}},
        {65535, 4, {0x82, 126, 0xff, 0xff}},
        {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
        {INT64_MAX, 10, {0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[HR_WS_MAX_HEADER];
        size_t n = hr_ws_put_header(out, HR_WS_BINARY, true, cases[i].len, NULL);
        assert_int_equal(n, cases[i].n);
        assert_memory_equal(out, cases[i].bytes, n);
    }
}

static void a_mask_is_the_last_part_of_a_header(void **state)
{
    const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    const uint8_t expected[] = {0x01, 0xfe, 0x01, 0x00, 0x37, 0xfa, 0x21, 0x3d};
    uint8_t out[HR_WS_MAX_HEADER];
    (void)state;

    assert_int_equal(hr_ws_put_header(out, HR_WS_TEXT, false, 256, key), sizeof(expected));
    assert_memory_equal(out, expected, sizeof(expected));
}

/* RFC 6455 5.3: byte i is masked with byte i mod 4 of the key. */
static void masking_at_any_offset_and_length_is_bytewise_masking(void **state)
{
    const uint8_t key[4] = {0x11, 0x22, 0x44, 0x88};
    uint8_t bytes[64];
    (void)state;

    for (size_t offset = 0; offset < 9; offset++)
        for (size_t len = 0; len <= sizeof(bytes); len++) {
            memset(bytes, 0, sizeof(bytes));
            hr_ws_mask(bytes, len, key, offset);
            for (size_t i = 0; i < sizeof(bytes); i++)
                assert_int_equal(bytes[i], i < len ? key[(offset + i) % 4] : 0);
        }
}

static void random_messages_come_back_as_they_were_sent(enum hr_ws_side side, uint32_t seed)
{
    static uint8_t data[70000];
    struct ws_script script = {.side = side, .max_message = NO_LIMIT};
    struct hr_buf expected = {0};
    uint32_t random = seed;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)ws_next_random(&random);
    for (int i = 0; i < 20; i++) {
        /* Every few messages a long one, every few of those in 64 bits. */
        uint32_t most = i % 5 == 4 ? (uint32_t)sizeof(data) : 300;
        size_t len = ws_next_random(&random) % most;
        size_t cut = len > 0 ? ws_next_random(&random) % len : 0;
        ws_put_frame(&script.input, side, HR_WS_BINARY, false, data, cut);
        ws_put_frame(&script.input, side, HR_WS_PING, true, data, len % 126);
        ws_put_frame(&script.input, side, HR_WS_CONTINUATION, true, data + cut, len - cut);
        assert_int_equal(hr_buf_append(&expected, "ping ", 5), 0);
        ws_quote(&expected, data, len % 126);
        assert_int_equal(hr_buf_append(&expected, "\nbinary ", 8), 0);
        ws_quote(&expected, data, len);
        assert_int_equal(hr_buf_append(&expected, "\n", 1), 0);
    }
    assert_int_equal(hr_buf_append(&expected, "", 1), 0);
    assert_true(ws_transcripts_agree("random messages", &script, (char *)hr_buf_ptr(&expected)));
    hr_buf_fini(&script.input);
    hr_buf_fini(&expected);
}

static void what_a_client_sends_reaches_the_server(void **state)
{
    (void)state;
    random_messages_come_back_as_they_were_sent(HR_WS_SERVER, 1);
}

static void what_a_server_sends_reaches_the_client(void **state)
{
    (void)state;
    random_messages_come_back_as_they_were_sent(HR_WS_CLIENT, 2);
}

/* Broken streams must be blamed for the same thing however they are cut. */
static void noise_means_the_same_however_it_is_cut(void **state)
{
    uint32_t random = 12345;
    (void)state;

    for (int i = 0; i < 3000; i++) {
        struct ws_script script = {
            .side = i % 2 ? HR_WS_SERVER : HR_WS_CLIENT,
            .max_message = i % 3 ? 1000 : NO_LIMIT,
        };
        for (int j = 0; j < 6; j++) {
            static const char text[] = "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\x8a \xff";
            uint8_t opcode = (uint8_t)(ws_next_random(&random) % 11);
            size_t len = ws_next_random(&random) % sizeof(text);
            ws_put_frame(&script.input, script.side, (enum hr_ws_opcode)opcode,
                         ws_next_random(&random) % 2, text, len);
        }
        /* One byte of it is broken. */
        size_t at = ws_next_random(&random) % hr_buf_len(&script.input);
        hr_buf_ptr(&script.input)[at] = (uint8_t)ws_next_random(&random);
        assert_true(ws_transcripts_agree("noise", &script, NULL));
        hr_buf_fini(&script.input);
    }
}

static void a_close_holds_code_and_reason(void **state)
{
    uint8_t out[HR_WS_MAX_CONTROL];
    (void)state;

    assert_int_equal(hr_ws_put_close(out, 1012, HR_LIT("restart")), 9);
    assert_memory_equal(out, "\x03\xf4restart", 9);
    assert_int_equal(hr_ws_put_close(out, 1000, (struct hr_str){0}), 2);
    assert_memory_equal(out, "\x03\xe8", 2);
}

/* RFC 6455 7.1.5: 1005 stands for a close frame without a body. */
static void code_1005_is_an_empty_close(void **state)
{
    uint8_t out[HR_WS_MAX_CONTROL];
    (void)state;
    assert_int_equal(hr_ws_put_close(out, 1005, HR_LIT("unsaid")), 0);
}

static void a_code_that_may_not_be_sent_becomes_1011(void **state)
{
    static const uint16_t codes[] = {0, 999, 1004, 1006, 1015, 2999, 5000, 65535};
    uint8_t out[HR_WS_MAX_CONTROL];
    (void)state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(hr_ws_put_close(out, codes[i], (struct hr_str){0}), 2);
        assert_int_equal(out[0] << 8 | out[1], 1011);
    }
}

static void a_long_reason_is_cut_at_a_character(void **state)
{
    static const char letters[] = "........................................" /* 40 */
                                  "........................................"
                                  "........................................";
    static const char *const tails[] = {"\xe2\x82\xac",    ".\xe2\x82\xac",     "..\xe2\x82\xac",
                                        "...\xe2\x82\xac", "\xf0\x9f\x8c\x8a.", "....."};
    static const size_t kept[] = {123, 121, 122, 123, 120, 123};
    (void)state;

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        char reason[128];
        uint8_t out[HR_WS_MAX_CONTROL];
        int n = snprintf(reason, sizeof(reason), "%s%s", letters, tails[i]);
        assert_int_equal(hr_ws_put_close(out, 1000, (struct hr_str){reason, (size_t)n}),
                         2 + kept[i]);
        assert_memory_equal(out + 2, reason, kept[i]);
        assert_true(hr_utf8_ok(out + 2, kept[i]));
    }
}

/* RFC 6455 7.4.1 and 7.4.2, with what IANA registered since. */
static void only_codes_with_a_meaning_may_be_sent(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        bool expected = code >= 1000 && code < 5000 && code != 1004 && code != 1005 &&
                        code != 1006 && (code <= 1014 || code >= 3000);
        if (hr_ws_code_ok((uint16_t)code) != expected)
            fail_msg("code %u", code);
    }
}

int test_frame(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_arrives_whole_is_lent_from_the_input),
        cmocka_unit_test(pieces_come_as_they_arrive_and_say_first_and_last),
        cmocka_unit_test(the_limit_is_checked_before_any_payload),
        cmocka_unit_test(a_fault_in_the_first_two_bytes_is_found_with_them),
        cmocka_unit_test(text_fails_at_the_first_byte_that_cannot_become_a_character),
        cmocka_unit_test(input_after_a_failure_is_swallowed),
        cmocka_unit_test(no_input_is_no_event),
        cmocka_unit_test(a_pings_payload_outlives_its_input),
        cmocka_unit_test(an_idle_connection_costs_no_more_than_200_bytes),
        cmocka_unit_test(headers_take_the_shortest_form),
        cmocka_unit_test(a_mask_is_the_last_part_of_a_header),
        cmocka_unit_test(masking_at_any_offset_and_length_is_bytewise_masking),
        cmocka_unit_test(what_a_client_sends_reaches_the_server),
        cmocka_unit_test(what_a_server_sends_reaches_the_client),
        cmocka_unit_test(noise_means_the_same_however_it_is_cut),
        cmocka_unit_test(a_close_holds_code_and_reason),
        cmocka_unit_test(code_1005_is_an_empty_close),
        cmocka_unit_test(a_code_that_may_not_be_sent_becomes_1011),
        cmocka_unit_test(a_long_reason_is_cut_at_a_character),
        cmocka_unit_test(only_codes_with_a_meaning_may_be_sent),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
