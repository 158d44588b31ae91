/* test_body.c - request bodies: inline, by window and credit, spooled, 100-continue. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "harness.h"
#include "suites.h"

enum { KIB = 1024 };

static struct answer answer;
static struct event event, chunk;
static char address[HR_ADDR_TEXT_MAX];

/* An address of the worker's, as text. */
static const char *open_address(struct world *w)
{
    struct hr_addr to;
    assert_int_equal(hr_layer_address_open(w->worker, &to), 0);
    hr_addr_format(&to, address);
    return address;
}

/* Byte i of a body is a function of i, so that holes and swaps show. */
static char byte_at(size_t i)
{
    return (char)('a' + (i * 7 + i / 251) % 26);
}

static void send_body(struct client *c, size_t from, size_t to)
{
    char *data = malloc(to - from + 1);
    for (size_t i = from; i < to; i++)
        data[i - from] = byte_at(i);
    client_send(c, data, to - from);
    free(data);
}

static void check_body(struct hr_str got, size_t from)
{
    for (size_t i = 0; i < got.len; i++)
        if (got.ptr[i] != byte_at(from + i))
            fail_msg("byte %zu is wrong", from + i);
}

static void post(struct client *c, size_t length, const char *more)
{
    char text[256];
    snprintf(text, sizeof text, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n%s\r\n",
             length, more);
    client_say(c, text);
}

static void a_small_body_goes_inside_the_message_once_it_is_whole(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    post(c, 64 * KIB, "");
    send_body(c, 0, 10);
    world_settle(w);
    assert_false(worker_poll(w->worker, &event)); /* a slow client holds up nobody */
    send_body(c, 10, 64 * KIB);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(msg_str(&event, "body").len, 64 * KIB);
    check_body(msg_str(&event, "body"), 0);
    assert_false(hr_msg_bool(&event.msg, "more_body", true));
    world_free(w);
}

static void a_chunked_body_is_decoded(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "body", "hello world");
    assert_false(hr_msg_bool(&event.msg, "more_body", true));
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "ok"), 0);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "path", "/next");
    world_free(w);
}

/* Takes chunks until the body's end, crediting each; gives the bytes so far. */
static size_t take_rest(struct world *w, size_t at)
{
    for (bool more = true; more;) {
        worker_take(w, w->worker, "", &chunk);
        struct hr_str body = msg_str(&chunk, "body");
        assert_msg_str(&chunk, "type", "http.request");
        assert_int_equal(hr_msg_int(&chunk.msg, "offset", -1), at);
        assert_true(body.len <= HR_BODY_CHUNK_MAX);
        check_body(body, at);
        at += body.len;
        more = hr_msg_bool(&chunk.msg, "more_body", false);
        assert_int_equal(reply_credit(w->worker, &event, (int64_t)at), 0);
    }
    return at;
}

static void a_large_body_comes_in_chunks_to_the_holders_address(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    enum { SIZE = 3000 * KIB };
    (void)state;
    post(c, SIZE, "");
    send_body(c, 0, SIZE);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_true(hr_msg_bool(&event.msg, "more_body", false));
    size_t inside = msg_str(&event, "body").len;
    check_body(msg_str(&event, "body"), 0);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), HR_BODY_WINDOW), 0);
    assert_int_equal(take_rest(w, inside), SIZE);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "thanks"), 0);
    client_answer(w, c, "POST", &answer);
    assert_string_equal(answer.body, "thanks");
    assert_false(c->is_eof); /* all was read: the connection stays */
    world_free(w);
}

static void without_credit_no_more_than_the_window_is_sent_or_read(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    enum { SIZE = 16 << 20, WINDOW = 100 * KIB };
    (void)state;
    post(c, SIZE, "");
    send_body(c, 0, SIZE);
    worker_take(w, w->worker, "http.request.web", &event);
    size_t inside = msg_str(&event, "body").len, at = inside;
    int64_t before = hr_alloc_live();
    assert_int_equal(reply_open(w->worker, &event, open_address(w), WINDOW), 0);
    for (int i = 0; i < 50; i++) {
        world_turn(w);
        while (worker_poll(w->worker, &chunk))
            at += msg_str(&chunk, "body").len;
    }
    assert_int_equal(at, inside + WINDOW);
    assert_true(hr_buf_len(&c->out) > 4 << 20); /* the client is held back */
    assert_true(hr_alloc_live() - before < 20);
    assert_int_equal(reply_credit(w->worker, &event, (int64_t)inside + 1000), 0);
    worker_take(w, w->worker, "", &chunk);
    assert_int_equal(msg_str(&chunk, "body").len, 1000);
    world_free(w);
}

static void credit_beyond_what_was_sent_is_nonsense(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    enum { SIZE = 1 << 20, WINDOW = 10 * KIB };
    (void)state;
    post(c, SIZE, "");
    send_body(c, 0, SIZE);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), WINDOW), 0);
    worker_take(w, w->worker, "", &chunk);
    assert_int_equal(msg_str(&chunk, "body").len, WINDOW);
    assert_int_equal(reply_credit(w->worker, &event, 1 << 30), 0);
    world_settle(w);
    assert_false(worker_poll(w->worker, &chunk));
    assert_int_equal(drops(w, "http.request.web", HR_REASON_APP), 1);
    world_free(w);
}

static void continue_is_said_at_once_for_what_goes_inside(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    post(c, 4, "Expect: 100-continue\r\n");
    client_expect(w, c, "HTTP/1.1 100 Continue\r\n\r\n");
    client_say(c, "data");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "body", "data");
    world_free(w);
}

static void continue_is_said_when_the_holder_opens_the_body(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    enum { SIZE = 200 * KIB };
    (void)state;
    post(c, SIZE, "Expect: 100-continue\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "body", "");
    world_settle(w);
    assert_int_equal(hr_buf_len(&c->in), 0);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), HR_BODY_WINDOW), 0);
    client_expect(w, c, "HTTP/1.1 100 Continue\r\n\r\n");
    send_body(c, 0, SIZE);
    assert_int_equal(take_rest(w, 0), SIZE);
    world_free(w);
}

static void a_final_answer_instead_of_continue_ends_the_connection(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    char value[256];
    (void)state;
    post(c, 200 * KIB, "Expect: 100-continue\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 403, NULL, "no"), 0);
    client_answer(w, c, "POST", &answer);
    assert_int_equal(answer.status, 403);
    assert_string_equal(answer_header(&answer, "connection", value), "close");
    UNTIL(w, c->is_eof);
    world_free(w);
}

static void an_early_answer_is_not_lost_to_a_reset(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    enum { SIZE = 1 << 20 };
    (void)state;
    post(c, SIZE, "");
    send_body(c, 0, SIZE / 2);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 413, NULL, "too much"), 0);
    send_body(c, SIZE / 2, SIZE);
    client_answer(w, c, "POST", &answer);
    assert_int_equal(answer.status, 413);
    UNTIL(w, c->is_eof);
    assert_false(c->is_reset);
    world_free(w);
}

static void a_body_above_the_limit_is_a_413_and_the_holder_hears_it(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.max_body = 300 * KIB});
    struct client *c = client_new(w), *d = client_new(w);
    (void)state;
    post(c, 400 * KIB, "");
    client_answer(w, c, "POST", &answer);
    assert_int_equal(answer.status, 413);

    client_say(d, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n");
    send_body(d, 0, 100000);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), HR_BODY_WINDOW), 0);
    worker_take(w, w->worker, "", &chunk);
    client_say(d, "\r\nfffffff\r\n");
    client_answer(w, d, "POST", &answer);
    assert_int_equal(answer.status, 413);
    do
        worker_take(w, w->worker, "", &chunk);
    while (!hr_str_eq(msg_str(&chunk, "type"), HR_LIT("http.disconnect")));
    world_free(w);
}

static void a_body_that_does_not_come_is_a_408(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.body_timeout = 40 * HR_MS});
    struct client *c = client_new(w);
    (void)state;
    post(c, 100, "");
    send_body(c, 0, 50);
    client_answer(w, c, "POST", &answer);
    assert_int_equal(answer.status, 408);
    world_free(w);
}

static void a_slow_upload_is_not_the_workers_fault(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.timeout = 250 * HR_MS});
    struct client *c = client_new(w);
    enum { SIZE = 100 * KIB };
    (void)state;
    post(c, SIZE, "");
    send_body(c, 0, 1000);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), HR_BODY_WINDOW), 0);
    for (size_t at = 1000; at < SIZE; at += 9000) { /* the whole takes longer than the timeout */
        hr_time begin = hr_time_now();
        UNTIL(w, hr_time_now() - begin > 30 * HR_MS);
        send_body(c, at, at + 9000 < SIZE ? at + 9000 : SIZE);
    }
    assert_int_equal(take_rest(w, 1000), SIZE);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "ok"), 0);
    client_answer(w, c, "POST", &answer);
    assert_int_equal(answer.status, 200);
    assert_false(hr_layer_is_retiring(w->worker));
    world_free(w);
}

static void a_pool_that_wants_bodies_whole_is_asked_only_then(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    enum { SIZE = 700 * KIB };
    (void)state;
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web", .body = "whole"});
    post(c, SIZE, "Expect: 100-continue\r\n");
    client_expect(w, c, "HTTP/1.1 100 Continue\r\n\r\n");
    send_body(c, 0, SIZE - 1);
    world_settle(w);
    assert_false(worker_poll(w->worker, &event));
    send_body(c, SIZE - 1, SIZE);
    worker_take(w, w->worker, "http.request.web", &event);
    size_t inside = msg_str(&event, "body").len;
    assert_int_equal(inside, 64 * KIB);
    check_body(msg_str(&event, "body"), 0);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), HR_BODY_WINDOW), 0);
    assert_int_equal(take_rest(w, inside), SIZE);
    world_free(w);
}

static void a_body_that_was_opened_is_not_retried(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c,
               "GET /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_open(w->worker, &event, open_address(w), HR_BODY_WINDOW), 0);
    world_settle(w);
    hr_layer_close(w->worker);
    w->worker = NULL;
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 502);
    world_free(w);
}

int test_body(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_body_goes_inside_the_message_once_it_is_whole),
        cmocka_unit_test(a_chunked_body_is_decoded),
        cmocka_unit_test(a_large_body_comes_in_chunks_to_the_holders_address),
        cmocka_unit_test(without_credit_no_more_than_the_window_is_sent_or_read),
        cmocka_unit_test(credit_beyond_what_was_sent_is_nonsense),
        cmocka_unit_test(continue_is_said_at_once_for_what_goes_inside),
        cmocka_unit_test(continue_is_said_when_the_holder_opens_the_body),
        cmocka_unit_test(a_final_answer_instead_of_continue_ends_the_connection),
        cmocka_unit_test(an_early_answer_is_not_lost_to_a_reset),
        cmocka_unit_test(a_body_above_the_limit_is_a_413_and_the_holder_hears_it),
        cmocka_unit_test(a_body_that_does_not_come_is_a_408),
        cmocka_unit_test(a_slow_upload_is_not_the_workers_fault),
        cmocka_unit_test(a_pool_that_wants_bodies_whole_is_asked_only_then),
        cmocka_unit_test(a_body_that_was_opened_is_not_retried),
    };
    return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
