/* test_handshake.c - RFC 6455 4: what the server answers, what the client asks and accepts. */
#include "test_websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "websocket/websocket.h"

/* RFC 6455 1.3 */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define ANSWER                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static void buf_is(struct hr_buf *buf, const char *expected)
{
    assert_int_equal(hr_buf_append(buf, "", 1), 0);
    assert_string_equal((const char *)hr_buf_ptr(buf), expected);
    hr_buf_fini(buf);
}

static void the_rfcs_example_key_is_accepted_as_the_rfc_says(void **state)
{
    char accept[29];
    (void)state;
    assert_int_equal(hr_ws_accept_key(HR_LIT(KEY), accept), 0);
    assert_string_equal(accept, ACCEPT);
}

static void a_key_of_another_length_is_refused(void **state)
{
    char accept[29];
    (void)state;
    assert_int_equal(hr_ws_accept_key(HR_LIT(""), accept), HR_ERR_INVALID);
    assert_int_equal(hr_ws_accept_key(HR_LIT(KEY "="), accept), HR_ERR_INVALID);
}

static void a_key_is_the_nonce_in_base64(void **state)
{
    const uint8_t nonce[16] = {'t', 'h', 'e', ' ', 's', 'a', 'm', 'p',
                               'l', 'e', ' ', 'n', 'o', 'n', 'c', 'e'};
    char key[25];
    (void)state;
    hr_ws_make_key(nonce, key);
    assert_string_equal(key, KEY);
}

static void the_answer_is_open_for_more_headers(void **state)
{
    struct hr_buf out = {0};
    (void)state;
    assert_int_equal(hr_ws_put_answer(&out, HR_LIT(KEY), (struct hr_str){0}), 0);
    buf_is(&out, ANSWER);
}

static void the_answer_names_the_chosen_subprotocol(void **state)
{
    struct hr_buf out = {0};
    (void)state;
    assert_int_equal(hr_ws_put_answer(&out, HR_LIT(KEY), HR_LIT("chat.v2")), 0);
    buf_is(&out, ANSWER "Sec-WebSocket-Protocol: chat.v2\r\n");
}

static void a_subprotocol_cannot_smuggle_in_a_header(void **state)
{
    struct hr_buf out = {0};
    (void)state;
    assert_int_equal(hr_ws_put_answer(&out, HR_LIT(KEY), HR_LIT("a\r\nSet-Cookie: x=1")),
                     HR_ERR_INVALID);
    assert_int_equal(hr_ws_put_answer(&out, HR_LIT(KEY), HR_LIT("a, b")), HR_ERR_INVALID);
    assert_int_equal(hr_buf_len(&out), 0);
    hr_buf_fini(&out);
}

static void subprotocols_are_read_from_a_comma_separated_list(void **state)
{
    struct hr_str rest = HR_LIT("chat, superchat ,\t v2.x,,not a token,last"), one;
    static const char *const expected[] = {"chat", "superchat", "v2.x", "last"};
    (void)state;

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(hr_ws_next_protocol(&rest, &one));
        assert_true(hr_str_eq(one, hr_str_of(expected[i])));
    }
    assert_false(hr_ws_next_protocol(&rest, &one));
}

static void the_request_is_complete(void **state)
{
    const struct hr_ws_request request = {.host = HR_LIT("127.0.0.1:8000"),
                                          .target = HR_LIT("/chat?room=1"),
                                          .subprotocols = HR_LIT("a, b"),
                                          .headers = HR_LIT("Origin: http://x\r\n")};
    struct hr_buf out = {0};
    (void)state;

    assert_int_equal(hr_ws_put_request(&out, &request, KEY), 0);
    buf_is(&out, "GET /chat?room=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY
                 "\r\nSec-WebSocket-Protocol: a, b\r\nOrigin: http://x\r\n\r\n");
}

static int check(const char *answer, const char *offered, struct hr_ws_answer *out)
{
    return hr_ws_check_answer(hr_str_of(answer), hr_str_of(offered), KEY, out);
}

static void a_right_answer_is_accepted_and_frames_may_follow_it(void **state)
{
    struct hr_ws_answer got;
    (void)state;
    assert_int_equal(check(ANSWER "X-More: yes\r\n\r\n\x81\x00", "", &got), 0);
    assert_int_equal(got.status, 101);
    assert_int_equal(got.n_used, strlen(ANSWER "X-More: yes\r\n\r\n"));
    assert_int_equal(got.subprotocol.len, 0);
}

static void an_answer_is_waited_for_until_it_is_whole(void **state)
{
    const char answer[] = ANSWER "\r\n";
    struct hr_ws_answer got;
    (void)state;

    for (size_t n = 0; n + 1 < sizeof(answer); n++)
        assert_int_equal(hr_ws_check_answer((struct hr_str){answer, n}, HR_LIT(""), KEY, &got),
                         HR_WS_ANSWER_MORE);
}

static void an_endless_answer_is_given_up(void **state)
{
    static char endless[HR_WS_MAX_ANSWER];
    struct hr_ws_answer got;
    (void)state;

    memset(endless, 'x', sizeof(endless));
    assert_int_equal(
        hr_ws_check_answer((struct hr_str){endless, sizeof(endless)}, HR_LIT(""), KEY, &got),
        HR_WS_ANSWER_BAD);
    assert_string_equal(got.reason, "endless head");
}

static void names_and_tokens_of_an_answer_know_no_case(void **state)
{
    struct hr_ws_answer got;
    (void)state;
    assert_int_equal(check("HTTP/1.1 101 \r\nUPGRADE: WebSocket\r\nconnection: keep-alive, UPGRADE"
                           "\r\nsec-websocket-accept:" ACCEPT "\r\n\r\n",
                           "", &got),
                     0);
}

static void another_status_is_a_refusal_with_that_status(void **state)
{
    struct hr_ws_answer got;
    (void)state;
    assert_int_equal(check("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "", &got),
                     HR_WS_REFUSED);
    assert_int_equal(got.status, 403);
    assert_int_equal(check("HTTP/1.1 100 Continue\r\n\r\n", "", &got), HR_WS_REFUSED);
    assert_int_equal(got.status, 100);
}

static void a_chosen_subprotocol_is_reported(void **state)
{
    struct hr_ws_answer got;
    (void)state;
    assert_int_equal(check(ANSWER "Sec-WebSocket-Protocol: b\r\n\r\n", "a, b", &got), 0);
    assert_true(hr_str_eq(got.subprotocol, HR_LIT("b")));
}

static void what_rfc_6455_4_1_forbids_is_not_accepted(void **state)
{
    static const struct {
        const char *answer, *offered, *reason;
    } cases[] = {
        {"220 mail.example.org\r\n\r\n", "", "no HTTP/1.1 status line"},
        {"HTTP/1.0 101 Switching Protocols\r\n\r\n", "", "no HTTP/1.1 status line"},
        {"HTTP/1.1 1010 Switching\r\n\r\n", "", "no HTTP/1.1 status line"},
        {"HTTP/1.1 10\r\n\r\n", "", "no HTTP/1.1 status line"},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "",
         "no Sec-WebSocket-Accept"},
        {"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "",
         "no Upgrade to websocket"},
        {"HTTP/1.1 101 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
         "\r\n\r\n",
         "", "no Upgrade to websocket"},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: "
         "close\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
         "", "no Upgrade to websocket"},
        {"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
         "", "wrong Sec-WebSocket-Accept"},
        {ANSWER "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "", "wrong Sec-WebSocket-Accept"},
        {ANSWER "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "",
         "an extension that was not asked for"},
        {ANSWER "Sec-WebSocket-Protocol: c\r\n\r\n", "a, b",
         "a subprotocol that was not asked for"},
        {ANSWER "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n", "a, b",
         "a subprotocol that was not asked for"},
        {ANSWER "no colon\r\n\r\n", "", "malformed header line"},
        {ANSWER " folded: line\r\n\r\n", "", "malformed header line"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hr_ws_answer got;
        assert_int_equal(check(cases[i].answer, cases[i].offered, &got), HR_WS_ANSWER_BAD);
        assert_string_equal(got.reason, cases[i].reason);
    }
}

static void what_one_side_writes_the_other_accepts(void **state)
{
    struct hr_buf out = {0};
    struct hr_ws_answer got;
    (void)state;

    assert_int_equal(hr_ws_put_answer(&out, HR_LIT(KEY), HR_LIT("chat")), 0);
    assert_int_equal(hr_buf_append(&out, "\r\n", 2), 0);
    struct hr_str answer = {(const char *)hr_buf_ptr(&out), hr_buf_len(&out)};
    assert_int_equal(hr_ws_check_answer(answer, HR_LIT("chat"), KEY, &got), 0);
    hr_buf_fini(&out);
}

static void running_out_of_memory_is_an_error_and_leaks_nothing(void **state)
{
    const struct hr_ws_request request = {.host = HR_LIT("h"), .target = HR_LIT("/")};
    int64_t live = hr_alloc_live();
    (void)state;

    for (int which = 0; which < 2; which++) {
        struct hr_buf out = {0};
        hr_alloc_fail_at(1);
        int r = which ? hr_ws_put_request(&out, &request, KEY)
                      : hr_ws_put_answer(&out, HR_LIT(KEY), (struct hr_str){0});
        hr_alloc_fail_at(0);
        assert_int_equal(r, HR_ERR_NOMEM);
        hr_buf_fini(&out);
    }
    assert_int_equal(hr_alloc_live(), live);
}

int test_handshake(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_example_key_is_accepted_as_the_rfc_says),
        cmocka_unit_test(a_key_of_another_length_is_refused),
        cmocka_unit_test(a_key_is_the_nonce_in_base64),
        cmocka_unit_test(the_answer_is_open_for_more_headers),
        cmocka_unit_test(the_answer_names_the_chosen_subprotocol),
        cmocka_unit_test(a_subprotocol_cannot_smuggle_in_a_header),
        cmocka_unit_test(subprotocols_are_read_from_a_comma_separated_list),
        cmocka_unit_test(the_request_is_complete),
        cmocka_unit_test(a_right_answer_is_accepted_and_frames_may_follow_it),
        cmocka_unit_test(an_answer_is_waited_for_until_it_is_whole),
        cmocka_unit_test(an_endless_answer_is_given_up),
        cmocka_unit_test(names_and_tokens_of_an_answer_know_no_case),
        cmocka_unit_test(another_status_is_a_refusal_with_that_status),
        cmocka_unit_test(a_chosen_subprotocol_is_reported),
        cmocka_unit_test(what_rfc_6455_4_1_forbids_is_not_accepted),
        cmocka_unit_test(what_one_side_writes_the_other_accepts),
        cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
