/* test_parser.c - the engine's promises that no transcript shows: memory, lending, repetition. */
#include "test_http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "drive.h"

#define GET "GET /a?b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED                                                                                    \
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"                              \
    "5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"

enum { N_MUTATIONS = 3000 };

/* One engine, and how far it is in its input. */
struct feeder {
    struct hr_http1 engine;
    struct hr_http1_result result;
    const char *at;
    size_t left;
};

static void feeder_init(struct feeder *f, const char *input)
{
    hr_http1_init(&f->engine, &drive_limits);
    f->at = input;
    f->left = strlen(input);
}

static int feeder_next(struct feeder *f)
{
    int event = hr_http1_feed(&f->engine, f->at, f->left, &f->result);

    assert_in_range(f->result.n_used, 0, f->left);
    f->at += f->result.n_used;
    f->left -= f->result.n_used;
    return event;
}

static void an_engine_holds_no_memory_between_requests(void **state)
{
    struct feeder f;
    int64_t live = hr_alloc_live();
    (void)state;

    feeder_init(&f, GET);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(hr_alloc_live(), live + 1);
    assert_int_equal(feeder_next(&f), HR_HTTP1_END);
    hr_http1_next(&f.engine);
    assert_int_equal(hr_alloc_live(), live);
    assert_in_range(sizeof(struct hr_http1), 1, 32);
    hr_http1_fini(&f.engine);
}

static void empty_lines_between_requests_take_no_memory(void **state)
{
    struct feeder f;
    int64_t live = hr_alloc_live();
    (void)state;

    feeder_init(&f, "\r\n\r\n");
    assert_int_equal(feeder_next(&f), HR_HTTP1_MORE);
    assert_int_equal(hr_alloc_live(), live);
    assert_true(hr_http1_is_idle(&f.engine));
    hr_http1_fini(&f.engine);
}

static void a_head_in_one_piece_takes_one_allocation(void **state)
{
    struct feeder f;
    char large[4096] = "GET / HTTP/1.1\r\nHost: a\r\n";
    (void)state;

    for (int i = 0; i < 40; i++)
        strncat(large, "X: 0123456789012345678901234567890123456789\r\n",
                sizeof(large) - strlen(large) - 1);
    strncat(large, "\r\n", sizeof(large) - strlen(large) - 1);
    feeder_init(&f, large);
    hr_alloc_fail_at(2);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(hr_http1_request(&f.engine)->n_headers, 41);
    assert_int_equal(feeder_next(&f), HR_HTTP1_END);
    hr_alloc_fail_at(0);
    hr_http1_fini(&f.engine);
}

static void bodies_are_lent_from_the_input(void **state)
{
    const char *input = POST, *chunked = CHUNKED;
    struct feeder f;
    (void)state;

    feeder_init(&f, input);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(feeder_next(&f), HR_HTTP1_BODY);
    assert_ptr_equal(f.result.body.ptr, strstr(input, "hello"));
    assert_int_equal(f.result.body.len, 5);
    hr_http1_fini(&f.engine);

    feeder_init(&f, chunked);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(feeder_next(&f), HR_HTTP1_BODY);
    assert_ptr_equal(f.result.body.ptr, strstr(chunked, "hello"));
    assert_int_equal(f.result.body.len, 5);
    hr_http1_fini(&f.engine);
}

static void the_head_outlives_the_input_it_came_in(void **state)
{
    char input[] = GET;
    struct feeder f;
    (void)state;

    feeder_init(&f, input);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    memset(input, 'z', sizeof(input));
    const struct hr_http1_request *request = hr_http1_request(&f.engine);
    assert_memory_equal(request->target.ptr, "/a?b", 4);
    assert_memory_equal(hr_http1_header(request, "x-two").ptr, "2", 1);
    hr_http1_fini(&f.engine);
}

static void the_head_ends_where_the_body_begins(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, POST GET);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(f.left, strlen("hello" GET));
    assert_int_equal(feeder_next(&f), HR_HTTP1_BODY);
    assert_int_equal(feeder_next(&f), HR_HTTP1_END);
    assert_int_equal(f.left, strlen(GET));
    hr_http1_fini(&f.engine);
}

static void the_end_comes_without_more_input(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, GET);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(f.left, 0);
    assert_int_equal(hr_http1_feed(&f.engine, NULL, 0, &f.result), HR_HTTP1_END);
    hr_http1_fini(&f.engine);
}

static void no_input_is_no_event(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, "");
    assert_int_equal(hr_http1_feed(&f.engine, NULL, 0, &f.result), HR_HTTP1_MORE);
    assert_true(hr_http1_is_idle(&f.engine));
    hr_http1_fini(&f.engine);
}

static void idle_means_not_one_byte_of_a_request(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, "G");
    assert_true(hr_http1_is_idle(&f.engine));
    assert_int_equal(feeder_next(&f), HR_HTTP1_MORE);
    assert_false(hr_http1_is_idle(&f.engine));
    hr_http1_fini(&f.engine);

    feeder_init(&f, "\r");
    assert_int_equal(feeder_next(&f), HR_HTTP1_MORE);
    assert_false(hr_http1_is_idle(&f.engine));
    hr_http1_fini(&f.engine);

    feeder_init(&f, GET);
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_false(hr_http1_is_idle(&f.engine));
    assert_int_equal(feeder_next(&f), HR_HTTP1_END);
    assert_false(hr_http1_is_idle(&f.engine));
    hr_http1_next(&f.engine);
    assert_true(hr_http1_is_idle(&f.engine));
    hr_http1_fini(&f.engine);
}

static void bad_stays_bad_whatever_is_fed(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, "GET / HTTP/7.0\r\n\r\n" GET);
    assert_int_equal(feeder_next(&f), HR_HTTP1_BAD);
    assert_int_equal(f.result.status, 505);
    assert_int_equal(hr_http1_feed(&f.engine, GET, strlen(GET), &f.result), HR_HTTP1_BAD);
    assert_int_equal(f.result.status, 505);
    assert_string_equal(f.result.reason, "not HTTP/1.0 or HTTP/1.1");
    hr_http1_fini(&f.engine);
}

static void the_request_can_be_read_after_a_bad_body(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz");
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    assert_int_equal(feeder_next(&f), HR_HTTP1_BAD);
    assert_memory_equal(hr_http1_request(&f.engine)->raw_path.ptr, "/x", 2);
    hr_http1_fini(&f.engine);
}

static void header_gives_the_first_of_a_name(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, "GET / HTTP/1.1\r\nHost: a\r\nCookie: one\r\nCOOKIE: two\r\n\r\n");
    assert_int_equal(feeder_next(&f), HR_HTTP1_HEAD);
    struct hr_str cookie = hr_http1_header(hr_http1_request(&f.engine), "cookie");
    assert_int_equal(cookie.len, 3);
    assert_memory_equal(cookie.ptr, "one", 3);
    assert_int_equal(hr_http1_header(hr_http1_request(&f.engine), "x").len, 0);
    hr_http1_fini(&f.engine);
}

static void refusals_give_a_status_and_a_reason(void **state)
{
    struct feeder f;
    (void)state;

    feeder_init(&f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n");
    assert_int_equal(feeder_next(&f), HR_HTTP1_BAD);
    assert_int_equal(f.result.status, 400);
    assert_true(strlen(f.result.reason) > 0); /* llhttp's own */
    hr_http1_fini(&f.engine);
}

/* Feeds `input` in pieces of `step` until the end, giving up at the first error. */
static int feed_all(struct hr_http1 *engine, struct hr_str input, size_t step)
{
    struct hr_http1_result result;
    int event = HR_HTTP1_MORE;

    for (size_t at = 0; at < input.len; at += step) {
        size_t end = at + step < input.len ? at + step : input.len, n = at;
        do {
            event = hr_http1_feed(engine, input.ptr + n, end - n, &result);
            if (event < 0)
                return event;
            n += result.n_used;
            if (event == HR_HTTP1_END)
                hr_http1_next(engine);
        } while (event != HR_HTTP1_MORE && event != HR_HTTP1_BAD);
    }
    return event;
}

static void every_allocation_may_fail(void **state)
{
    static const char input[] = GET POST CHUNKED GET;
    static const size_t steps[] = {1, 7, sizeof(input)};
    int64_t live = hr_alloc_live();
    (void)state;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uint64_t n_failures = 0;
        int r = HR_ERR_NOMEM;
        while (r < 0) {
            struct hr_http1 engine;
            hr_http1_init(&engine, &drive_limits);
            hr_alloc_fail_at(++n_failures);
            r = feed_all(&engine, (struct hr_str){input, sizeof(input) - 1}, steps[i]);
            hr_alloc_fail_at(0);
            assert_true(r == HR_ERR_NOMEM || r == HR_HTTP1_MORE);
            hr_http1_fini(&engine);
            assert_int_equal(hr_alloc_live(), live);
        }
        assert_in_range(n_failures, 5, 50); /* four requests, then none fails */
    }
}

static void fini_is_safe_at_every_byte(void **state)
{
    static const char input[] = GET POST CHUNKED;
    int64_t live = hr_alloc_live();
    (void)state;

    for (size_t len = 0; len < sizeof(input); len++) {
        struct hr_http1 engine;
        hr_http1_init(&engine, &drive_limits);
        assert_int_equal(feed_all(&engine, (struct hr_str){input, len}, 5), HR_HTTP1_MORE);
        hr_http1_fini(&engine);
        hr_http1_fini(&engine);
        assert_int_equal(hr_alloc_live(), live);
    }
}

static uint64_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

/* Some bytes replaced, cut out or doubled. */
static size_t mutate(uint64_t *random, char *text, size_t len, size_t cap)
{
    static const char bytes[] = "\r\n\t :;,0\x7f\x80"
                                "a\0-+_%/?#";

    for (uint64_t n = next_random(random) % 4; n > 0 && len > 0; n--) {
        size_t at = next_random(random) % len, run = next_random(random) % 8;
        run = run < len - at ? run : len - at;
        switch (next_random(random) % 3) {
        case 0:
            text[at] = bytes[next_random(random) % sizeof(bytes)];
            break;
        case 1:
            memmove(text + at, text + at + run, len - at - run);
            len -= run;
            break;
        default:
            if (len + run > cap)
                break;
            memmove(text + at + run, text + at, len - at);
            len += run;
        }
    }
    return len;
}

static void broken_requests_mean_the_same_however_cut(void **state)
{
    static const char base[] = GET POST CHUNKED "GET http://b/ HTTP/1.0\r\nX_Y: z\r\n\r\n";
    uint64_t random = 1;
    (void)state;

    for (int i = 0; i < N_MUTATIONS; i++) {
        char text[2 * sizeof(base)];
        memcpy(text, base, sizeof(base));
        size_t len = mutate(&random, text, sizeof(base) - 1, sizeof(text));
        struct drive drive = {.input = {text, len}, .limits = drive_limits, .seed = random};
        char *whole = drive_run(&drive);
        drive.cut = i % 4 == 0 ? DRIVE_BYTES : DRIVE_RANDOM;
        char *cut = drive_run(&drive);
        assert_string_equal(whole, cut);
        assert_false(drive_has_line(whole, "bad 400 two readings of one head"));
        free(whole);
        free(cut);
    }
}

int test_parser(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_holds_no_memory_between_requests),
        cmocka_unit_test(empty_lines_between_requests_take_no_memory),
        cmocka_unit_test(a_head_in_one_piece_takes_one_allocation),
        cmocka_unit_test(bodies_are_lent_from_the_input),
        cmocka_unit_test(the_head_outlives_the_input_it_came_in),
        cmocka_unit_test(the_head_ends_where_the_body_begins),
        cmocka_unit_test(the_end_comes_without_more_input),
        cmocka_unit_test(no_input_is_no_event),
        cmocka_unit_test(idle_means_not_one_byte_of_a_request),
        cmocka_unit_test(bad_stays_bad_whatever_is_fed),
        cmocka_unit_test(the_request_can_be_read_after_a_bad_body),
        cmocka_unit_test(header_gives_the_first_of_a_name),
        cmocka_unit_test(refusals_give_a_status_and_a_reason),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(fini_is_safe_at_every_byte),
        cmocka_unit_test(broken_requests_mean_the_same_however_cut),
    };
    return cmocka_run_group_tests_name("parser", tests, NULL, NULL);
}
