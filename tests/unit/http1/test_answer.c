/* test_answer.c - what is written, to the byte; and that llhttp reads it as meant. */
#include "test_http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <llhttp.h>

#include "base/alloc.h"
#include "http1/http1.h"

/* RFC 9110 5.6.7's example. */
#define WALL (784111777 * HR_SECOND)
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static void assert_text(struct hr_buf *out, const char *expected)
{
    size_t len = hr_buf_len(out);
    const char *text = len > 0 ? (const char *)hr_buf_ptr(out) : "";

    if (len != strlen(expected) || strncmp(text, expected, len) != 0)
        fail_msg("wrote '%.*s', not '%s'", (int)len, text, expected);
    hr_buf_fini(out);
}

static void assert_start(struct hr_http1_answer answer, const char *expected)
{
    struct hr_buf out = {0};

    answer.wall = answer.wall ? answer.wall : WALL;
    assert_int_equal(hr_http1_put_start(&out, &answer), 0);
    assert_text(&out, expected);
}

static void each_framing_has_its_headers(void **state)
{
    (void)state;

    assert_start((struct hr_http1_answer){.status = 200,
                                          .framing = HR_FRAMING_LENGTH,
                                          .content_length = UINT64_MAX,
                                          .keep_alive = true,
                                          .minor = 1},
                 "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 18446744073709551615\r\n");
    assert_start(
        (struct hr_http1_answer){
            .status = 404, .framing = HR_FRAMING_CHUNKED, .keep_alive = true, .minor = 1},
        "HTTP/1.1 404 Not Found\r\n" DATE "Transfer-Encoding: chunked\r\n");
    assert_start((struct hr_http1_answer){.status = 200, .framing = HR_FRAMING_CLOSE},
                 "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n");
    assert_start(
        (struct hr_http1_answer){
            .status = 200, .framing = HR_FRAMING_NONE, .keep_alive = true, .minor = 1},
        "HTTP/1.1 200 OK\r\n" DATE);
}

static void persistence_is_said_where_it_is_not_the_default(void **state)
{
    (void)state;

    assert_start((struct hr_http1_answer){.status = 200, .framing = HR_FRAMING_LENGTH, .minor = 1},
                 "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\nContent-Length: 0\r\n");
    assert_start(
        (struct hr_http1_answer){.status = 200, .framing = HR_FRAMING_LENGTH, .keep_alive = true},
        "HTTP/1.1 200 OK\r\n" DATE "Connection: keep-alive\r\nContent-Length: 0\r\n");
}

static void a_length_is_said_to_head_but_not_in_1xx_and_204(void **state)
{
    struct hr_http1_answer answer = {.status = 200,
                                     .framing = HR_FRAMING_NONE,
                                     .has_length = true,
                                     .content_length = 7,
                                     .keep_alive = true,
                                     .minor = 1};
    (void)state;

    assert_start(answer, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 7\r\n");
    answer.status = 304;
    assert_start(answer, "HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 7\r\n");
    answer.status = 204;
    assert_start(answer, "HTTP/1.1 204 No Content\r\n" DATE);
    answer.status = 101;
    assert_start(answer, "HTTP/1.1 101 Switching Protocols\r\n" DATE "Connection: upgrade\r\n");
    answer.status = 103;
    assert_start(answer, "HTTP/1.1 103 Early Hints\r\n" DATE);
}

static void an_unknown_status_keeps_its_space(void **state)
{
    (void)state;

    assert_start(
        (struct hr_http1_answer){
            .status = 799, .framing = HR_FRAMING_NONE, .keep_alive = true, .minor = 1},
        "HTTP/1.1 799 \r\n" DATE);
    assert_string_equal(hr_http1_status_text(799), "");
    assert_string_equal(hr_http1_status_text(431), "Request Header Fields Too Large");
}

static void the_date_follows_the_second(void **state)
{
    struct hr_http1_answer answer = {.status = 200, .keep_alive = true, .minor = 1};
    (void)state;

    answer.wall = WALL + HR_SECOND - 1;
    assert_start(answer, "HTTP/1.1 200 OK\r\n" DATE);
    answer.wall = WALL + HR_SECOND;
    assert_start(answer, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
    answer.wall = WALL;
    assert_start(answer, "HTTP/1.1 200 OK\r\n" DATE);
    answer.wall = 1709164800 * HR_SECOND;
    assert_start(answer, "HTTP/1.1 200 OK\r\nDate: Thu, 29 Feb 2024 00:00:00 GMT\r\n");
}

static void headers_stand_on_lines_of_their_own(void **state)
{
    struct hr_buf out = {0};
    (void)state;

    assert_int_equal(hr_http1_put_header(&out, HR_LIT("x-a"), HR_LIT("1, 2")), 0);
    assert_int_equal(hr_http1_put_header(&out, HR_LIT("x-b"), (struct hr_str){NULL, 0}), 0);
    assert_int_equal(hr_http1_put_end(&out), 0);
    assert_text(&out, "x-a: 1, 2\r\nx-b: \r\n\r\n");
}

static void a_continue_is_complete(void **state)
{
    struct hr_buf out = {0};
    (void)state;

    assert_int_equal(hr_http1_put_continue(&out), 0);
    assert_text(&out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void assert_body(enum hr_http1_framing framing, const char *text, bool is_last,
                        const char *expected)
{
    struct hr_buf out = {0};

    assert_int_equal(hr_http1_put_body(&out, framing, text, strlen(text), is_last), 0);
    assert_text(&out, expected);
}

static void bodies_are_framed(void **state)
{
    (void)state;

    assert_body(HR_FRAMING_CHUNKED, "hello", false, "5\r\nhello\r\n");
    assert_body(HR_FRAMING_CHUNKED, "0123456789abcdef", true,
                "10\r\n0123456789abcdef\r\n0\r\n\r\n");
    assert_body(HR_FRAMING_CHUNKED, "", false, ""); /* an empty chunk would be the last */
    assert_body(HR_FRAMING_CHUNKED, "", true, "0\r\n\r\n");
    assert_body(HR_FRAMING_LENGTH, "hello", true, "hello");
    assert_body(HR_FRAMING_CLOSE, "hello", true, "hello");
    assert_body(HR_FRAMING_CLOSE, "", true, "");
    assert_body(HR_FRAMING_NONE, "hello", true, "");
}

static size_t body_len;

static int count_body(llhttp_t *llhttp, const char *at, size_t len)
{
    (void)llhttp;
    for (size_t i = 0; i < len; i++)
        assert_int_equal(at[i], 'x');
    body_len += len;
    return 0;
}

static int pause_here(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static void llhttp_reads_chunked_answers_as_they_were_meant(void **state)
{
    static const size_t sizes[] = {1, 9, 15, 16, 17, 255, 256, 4095, 4096, 65535, 65536};
    static const size_t n_sizes = sizeof(sizes) / sizeof(sizes[0]);
    const llhttp_settings_t settings = {.on_body = count_body, .on_message_complete = pause_here};
    struct hr_http1_answer answer = {
        .status = 200, .framing = HR_FRAMING_CHUNKED, .keep_alive = true, .minor = 1, .wall = WALL};
    static char data[65536];
    struct hr_buf out = {0};
    llhttp_t llhttp;
    size_t sum = 0;
    (void)state;

    memset(data, 'x', sizeof(data));
    assert_int_equal(hr_http1_put_start(&out, &answer), 0);
    assert_int_equal(hr_http1_put_header(&out, HR_LIT("content-type"), HR_LIT("text/plain")), 0);
    assert_int_equal(hr_http1_put_end(&out), 0);
    for (size_t i = 0; i < n_sizes; i++) {
        bool is_last = i == n_sizes - 1;
        assert_int_equal(hr_http1_put_body(&out, answer.framing, data, sizes[i], is_last), 0);
        sum += sizes[i];
    }

    body_len = 0;
    llhttp_init(&llhttp, HTTP_RESPONSE, &settings);
    assert_int_equal(llhttp_execute(&llhttp, (const char *)hr_buf_ptr(&out), hr_buf_len(&out)),
                     HPE_PAUSED);
    assert_ptr_equal(llhttp_get_error_pos(&llhttp), hr_buf_ptr(&out) + hr_buf_len(&out));
    assert_int_equal(body_len, sum);
    hr_buf_fini(&out);
}

static void framing_follows_from_request_and_status(void **state)
{
    struct hr_http1_request get = {.method = HR_LIT("GET"), .minor = 1};
    struct hr_http1_request old = {.method = HR_LIT("GET"), .minor = 0};
    struct hr_http1_request head = {.method = HR_LIT("HEAD"), .minor = 1};
    (void)state;

    assert_int_equal(hr_http1_framing_for(&get, 200, true), HR_FRAMING_LENGTH);
    assert_int_equal(hr_http1_framing_for(&get, 200, false), HR_FRAMING_CHUNKED);
    assert_int_equal(hr_http1_framing_for(&old, 200, true), HR_FRAMING_LENGTH);
    assert_int_equal(hr_http1_framing_for(&old, 200, false), HR_FRAMING_CLOSE);
    assert_int_equal(hr_http1_framing_for(&head, 200, true), HR_FRAMING_NONE);
    assert_int_equal(hr_http1_framing_for(&get, 204, true), HR_FRAMING_NONE);
    assert_int_equal(hr_http1_framing_for(&get, 304, false), HR_FRAMING_NONE);
    assert_int_equal(hr_http1_framing_for(&get, 101, false), HR_FRAMING_NONE);
    assert_int_equal(hr_http1_framing_for(&old, 404, false), HR_FRAMING_CLOSE);
}

static void headers_that_would_split_the_answer_are_found(void **state)
{
    (void)state;

    assert_true(hr_http1_header_ok(HR_LIT("content-type"), HR_LIT("text/plain; charset=\"x\"")));
    assert_true(hr_http1_header_ok(HR_LIT("X_Y!#$%&'*+-.^`|~9"), HR_LIT("")));
    assert_true(hr_http1_header_ok(HR_LIT("x"), HR_LIT("a\tb \xc3\xa9 \xff")));
    assert_false(hr_http1_header_ok(HR_LIT(""), HR_LIT("x")));
    assert_false(hr_http1_header_ok(HR_LIT("x y"), HR_LIT("x")));
    assert_false(hr_http1_header_ok(HR_LIT("x:"), HR_LIT("x")));
    assert_false(hr_http1_header_ok(HR_LIT("x\r\ny"), HR_LIT("x")));
    assert_false(hr_http1_header_ok(HR_LIT("x\xc3\xa9"), HR_LIT("x")));
    assert_false(hr_http1_header_ok(HR_LIT("x"), HR_LIT("a\r\nb: c")));
    assert_false(hr_http1_header_ok(HR_LIT("x"), HR_LIT("a\nb")));
    assert_false(hr_http1_header_ok(HR_LIT("x"), HR_LIT("a\rb")));
    assert_false(hr_http1_header_ok(HR_LIT("x"), HR_LIT("a\0b")));
    assert_false(hr_http1_header_ok(HR_LIT("x"), HR_LIT("a\x7f")));
}

static void without_memory_nothing_is_half_written(void **state)
{
    const struct hr_http1_answer answer = {.status = 200, .keep_alive = true, .minor = 1};
    static char data[100000];
    struct hr_buf out = {0};
    (void)state;

    hr_alloc_fail_at(1);
    assert_int_equal(hr_http1_put_start(&out, &answer), HR_ERR_NOMEM);
    hr_alloc_fail_at(1);
    assert_int_equal(hr_http1_put_continue(&out), HR_ERR_NOMEM);
    hr_alloc_fail_at(1);
    assert_int_equal(hr_http1_put_header(&out, HR_LIT("x"), HR_LIT("y")), HR_ERR_NOMEM);
    hr_alloc_fail_at(1);
    assert_int_equal(hr_http1_put_end(&out), HR_ERR_NOMEM);
    hr_alloc_fail_at(0);
    assert_int_equal(hr_http1_put_end(&out), 0);
    hr_alloc_fail_at(1);
    assert_int_equal(hr_http1_put_body(&out, HR_FRAMING_CHUNKED, data, sizeof(data), true),
                     HR_ERR_NOMEM);
    hr_alloc_fail_at(1);
    assert_int_equal(hr_http1_put_body(&out, HR_FRAMING_LENGTH, data, sizeof(data), true),
                     HR_ERR_NOMEM);
    hr_alloc_fail_at(0);
    assert_text(&out, "\r\n");
}

int test_answer(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_framing_has_its_headers),
        cmocka_unit_test(persistence_is_said_where_it_is_not_the_default),
        cmocka_unit_test(a_length_is_said_to_head_but_not_in_1xx_and_204),
        cmocka_unit_test(an_unknown_status_keeps_its_space),
        cmocka_unit_test(the_date_follows_the_second),
        cmocka_unit_test(headers_stand_on_lines_of_their_own),
        cmocka_unit_test(a_continue_is_complete),
        cmocka_unit_test(bodies_are_framed),
        cmocka_unit_test(llhttp_reads_chunked_answers_as_they_were_meant),
        cmocka_unit_test(framing_follows_from_request_and_status),
        cmocka_unit_test(headers_that_would_split_the_answer_are_found),
        cmocka_unit_test(without_memory_nothing_is_half_written),
    };
    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
