/* test_http.c - requests that go well: heads, framing, keep-alive, pipelining, ids. */
#include <stdio.h>
#include <sys/socket.h>

#include "harness.h"
#include "suites.h"

static struct answer answer;
static struct event event;
static char value[256];

static void a_request_becomes_a_message_with_asgi_keys(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.root_path = "/app"});
    struct client *c = client_new(w);
    struct hr_value item;
    (void)state;
    client_say(c, "GET /a%20b/%C3%A9?q=%201 HTTP/1.1\r\nHost: h:1\r\nX-One: 1\r\nX-Two:2 \r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "type", "http.request");
    assert_msg_str(&event, "method", "GET");
    assert_msg_str(&event, "path", "/a b/\xc3\xa9");
    assert_msg_str(&event, "raw_path", "/a%20b/%C3%A9");
    assert_msg_str(&event, "query_string", "q=%201");
    assert_msg_str(&event, "root_path", "/app");
    assert_msg_str(&event, "scheme", "http");
    assert_msg_str(&event, "http_version", "1.1");
    assert_msg_str(&event, "body", "");
    assert_false(hr_msg_bool(&event.msg, "more_body", true));
    assert_int_equal(msg_str(&event, "request_id").len, 32);

    char text[HR_ADDR_TEXT_MAX];
    hr_addr_format(&event.d.reply, text);
    assert_msg_str(&event, "reply_channel", text);
    assert_int_equal(event.d.seq, 1);
    assert_true(hr_lease_is_set(&event.d.lease));

    assert_true(hr_msg_get(&event.msg, "client", &item) && item.type == HR_TYPE_LIST);
    struct hr_walk walk = hr_walk(&item);
    assert_true(hr_list_next(&walk, &item) && item.type == HR_TYPE_STRING);
    assert_memory_equal(item.as.str.ptr, "127.0.0.1", 9);
    assert_true(hr_list_next(&walk, &item) && item.type == HR_TYPE_INT);
    assert_true(hr_msg_get(&event.msg, "server", &item) && item.type == HR_TYPE_LIST);
    walk = hr_walk(&item);
    assert_true(hr_list_next(&walk, &item) && hr_list_next(&walk, &item));
    assert_int_equal(item.as.integer, w->port);

    struct hr_str name, got;
    assert_true(hr_msg_get(&event.msg, "headers", &item));
    assert_int_equal(item.n, 3);
    walk = hr_walk(&item);
    assert_int_equal(hr_header_next(&walk, &name, &got), 0);
    assert_int_equal(hr_header_next(&walk, &name, &got), 0);
    assert_memory_equal(name.ptr, "x-one", 5);
    assert_int_equal(hr_header_next(&walk, &name, &got), 0);
    assert_int_equal(got.len, 1);
    world_free(w);
}

static void get(struct client *c, const char *path)
{
    char text[256];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    client_say(c, text);
}

static void serve(struct world *w, const char *text)
{
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, text), 0);
    worker_ack(w->worker, &event);
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    for (int i = 0; i < 3; i++) {
        get(c, "/");
        serve(w, "hello");
        client_answer(w, c, "GET", &answer);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "hello");
        assert_string_equal(answer_header(&answer, "content-length", value), "5");
        assert_string_equal(answer_header(&answer, "connection", value), "");
        assert_int_equal(strlen(answer_header(&answer, "x-request-id", value)), 32);
    }
    assert_false(c->is_eof);
    world_free(w);
}

static void every_request_has_an_address_of_its_own(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    static struct event first;
    (void)state;
    get(c, "/1");
    worker_take(w, w->worker, "http.request.web", &first);
    assert_int_equal(reply_whole(w->worker, &first, 200, NULL, "one"), 0);
    client_answer(w, c, "GET", &answer);
    get(c, "/2");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &first, 200, NULL, "late"), HR_LAYER_GONE);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "two"), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "two");
    world_free(w);
}

static void pipelined_requests_are_taken_one_at_a_time_in_order(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    static struct event other;
    (void)state;
    client_say(c, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\n"
                  "Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "path", "/1");
    world_settle(w);
    assert_false(worker_poll(w->worker, &other));
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "1"), 0);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "path", "/2");
    assert_msg_str(&event, "body", "abc");
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "2"), 0);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "path", "/3");
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "3"), 0);
    for (int i = 1; i <= 3; i++) {
        client_answer(w, c, "GET", &answer);
        assert_int_equal(answer.body[0], '0' + i);
    }
    world_free(w);
}

static void a_head_may_come_in_pieces(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    static const char text[] = "GET /pieces HTTP/1.1\r\nHost: h\r\n\r\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        client_send(c, text + i, 1);
        if (i % 5 == 0)
            world_turn(w);
    }
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "path", "/pieces");
    world_free(w);
}

static void head_gets_the_head_alone(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    serve(w, "hello");
    client_answer(w, c, "HEAD", &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "content-length", value), "5");
    world_settle(w);
    assert_int_equal(hr_buf_len(&c->in), 0);
    get(c, "/");
    serve(w, "next");
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "next");
    world_free(w);
}

static void a_304_claims_no_length(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 304, NULL, ""), 0);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 304);
    assert_string_equal(answer_header(&answer, "content-length", value), "");
    get(c, "/");
    serve(w, "next");
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "next");
    world_free(w);
}

static void an_answer_of_unknown_length_is_chunked(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    assert_int_equal(reply_body(w->worker, &event, "one ", 4, true), 0);
    assert_int_equal(reply_body(w->worker, &event, "two", 3, true), 0);
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer_header(&answer, "transfer-encoding", value), "chunked");
    assert_string_equal(answer.body, "one two");
    assert_false(c->is_eof);
    world_free(w);
}

static void http_1_0_gets_the_end_of_the_connection_instead_of_chunks(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.0\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "http_version", "1.0");
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    assert_int_equal(reply_body(w->worker, &event, "all", 3, false), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "all");
    assert_string_equal(answer_header(&answer, "connection", value), "close");
    world_free(w);
}

static void connection_close_is_kept_to(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    serve(w, "bye");
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "bye");
    UNTIL(w, c->is_eof);
    assert_false(c->is_reset);
    world_free(w);
}

static void the_applications_headers_pass_and_ours_are_not_doubled(void **state)
{
    static const char *const headers[] = {"Content-Type",
                                          "text/x",
                                          "content-length",
                                          "2",
                                          "Date",
                                          "never",
                                          "Transfer-Encoding",
                                          "chunked",
                                          "X-A",
                                          "1",
                                          "X-A",
                                          "2",
                                          NULL,
                                          NULL};
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 201, headers, "ok"), 0);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 201);
    assert_string_equal(answer_header(&answer, "content-type", value), "text/x");
    assert_string_equal(answer_header(&answer, "transfer-encoding", value), "");
    assert_non_null(strstr(answer.head, "X-A: 1\r\nX-A: 2\r\n"));
    assert_null(strstr(answer.head, "never"));
    assert_null(strstr(strstr(answer.head, "ontent-") + 1, "ontent-length: 2\r\ncontent-"));
    world_free(w);
}

static void a_sane_request_id_is_taken_and_another_is_not(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: abc-123\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "request_id", "abc-123");
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, ""), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer_header(&answer, "x-request-id", value), "abc-123");
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: a b\"c\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(msg_str(&event, "request_id").len, 32);
    world_free(w);
}

static void a_unix_socket_has_no_addresses(void **state)
{
    struct world *w = world_new_unix();
    struct client *c = client_new(w);
    struct hr_value ends;
    (void)state;
    get(c, "/");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_true(hr_msg_get(&event.msg, "client", &ends) && ends.type == HR_TYPE_NULL);
    assert_true(hr_msg_get(&event.msg, "server", &ends) && ends.type == HR_TYPE_NULL);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "local"), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "local");
    world_free(w);
}

/* Answers with 6 MiB, more than the sockets' buffers hold. */
static void serve_much(struct world *w)
{
    static char piece[128 << 10];
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    for (int i = 0; i < 48; i++) {
        assert_int_equal(reply_body(w->worker, &event, piece, sizeof piece, true), 0);
        world_turn(w);
    }
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    world_settle(w);
}

static void half_a_client_still_gets_the_answers_that_are_made(void **state)
{
    static const char *const connections[] = {"keep-alive", "close"};
    struct world *w = world_new(NULL);
    char text[128];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client *c = client_new_slow(w);
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nConnection: %s\r\n\r\n",
                 connections[i]);
        client_say(c, text);
        serve_much(w);
        assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
        world_settle(w);
        c->is_deaf = false;
        UNTIL(w, c->is_eof);
        assert_false(c->is_reset);
        assert_true(hr_buf_len(&c->in) > 6 << 20);
    }
    world_free(w);
}

static void half_a_client_still_gets_the_answers_that_are_under_way(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/1");
    get(c, "/2");
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    for (int i = 0; i < 2; i++) {
        worker_take(w, w->worker, "http.request.web", &event);
        world_settle(w);
        assert_int_equal(reply_whole(w->worker, &event, 200, NULL, i == 0 ? "one" : "two"), 0);
        client_answer(w, c, "GET", &answer);
        assert_string_equal(answer.body, i == 0 ? "one" : "two");
    }
    UNTIL(w, c->is_eof);
    assert_false(c->is_reset);
    world_free(w);
}

static void half_a_client_gets_a_stream_while_it_flows(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    for (int i = 0; i < 4; i++) { /* longer than the second that it has between two */
        hr_time begin = hr_time_now();
        UNTIL(w, hr_time_now() - begin > 350 * HR_MS);
        assert_int_equal(reply_body(w->worker, &event, "piece", 5, true), 0);
        client_expect(w, c, "piece");
    }
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    client_expect(w, c, "0\r\n\r\n");
    UNTIL(w, c->is_eof);
    world_free(w);
}

static void half_a_client_that_nothing_is_sent_to_is_taken_for_gone(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    UNTIL(w, c->is_eof);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "late"), HR_LAYER_GONE);
    world_free(w);
}

static void half_a_client_whose_request_is_not_whole_is_gone(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    hr_time begin = hr_time_now();
    (void)state;
    client_say(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell");
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    UNTIL(w, c->is_eof);
    assert_false(worker_poll(w->worker, &event));
    assert_true(hr_time_now() - begin < HR_SECOND);
    world_free(w);
}

static void a_path_that_is_not_utf8_is_a_400(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c, "/%ff");
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 400);
    world_free(w);
}

static void what_is_no_http_is_answered_and_closed(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "NONSENSE\r\n\r\n");
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status / 100, 4);
    assert_string_equal(answer_header(&answer, "connection", value), "close");
    UNTIL(w, c->is_eof);
    assert_false(c->is_reset);
    world_free(w);
}

static void a_head_that_is_too_large_is_a_431(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.max_head = 512});
    struct client *c = client_new(w);
    char text[1024];
    (void)state;
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\nX: %0700d\r\n\r\n", 0);
    client_say(c, text);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 431);
    world_free(w);
}

static void a_head_that_does_not_end_is_a_408(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.head_timeout = 30 * HR_MS});
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.1\r\nHost:");
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 408);
    world_free(w);
}

static void an_idle_connection_is_closed_after_keep_alive(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.keep_alive = 40 * HR_MS});
    struct client *c = client_new(w), *silent = client_new(w);
    (void)state;
    get(c, "/");
    serve(w, "x");
    client_answer(w, c, "GET", &answer);
    UNTIL(w, c->is_eof && silent->is_eof);
    world_free(w);
}

static void a_client_that_pipelines_and_does_not_read_is_not_read_either(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new_slow(w);
    struct hr_server_stats stats;
    char one[64];
    (void)state;
    int n = snprintf(one, sizeof one, "GET /%%ff HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 100000; i++)
        assert_int_equal(hr_buf_append(&c->out, one, (size_t)n), 0);
    UNTIL(w, (hr_server_stats(w->server, &stats), stats.unsent_bytes > 64 << 10));
    size_t held_back = 0;
    for (int unchanged = 0; unchanged < 20; unchanged++) { /* the kernel's buffers fill up first */
        world_turn(w);
        if (hr_buf_len(&c->out) != held_back)
            unchanged = 0;
        held_back = hr_buf_len(&c->out);
    }
    hr_server_stats(w->server, &stats);
    assert_true(stats.unsent_bytes < 200 << 10);
    assert_true(held_back > 1 << 20);
    world_free(w);
}

int test_http(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_a_message_with_asgi_keys),
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(every_request_has_an_address_of_its_own),
        cmocka_unit_test(pipelined_requests_are_taken_one_at_a_time_in_order),
        cmocka_unit_test(a_head_may_come_in_pieces),
        cmocka_unit_test(head_gets_the_head_alone),
        cmocka_unit_test(a_304_claims_no_length),
        cmocka_unit_test(an_answer_of_unknown_length_is_chunked),
        cmocka_unit_test(http_1_0_gets_the_end_of_the_connection_instead_of_chunks),
        cmocka_unit_test(connection_close_is_kept_to),
        cmocka_unit_test(the_applications_headers_pass_and_ours_are_not_doubled),
        cmocka_unit_test(a_sane_request_id_is_taken_and_another_is_not),
        cmocka_unit_test(a_unix_socket_has_no_addresses),
        cmocka_unit_test(half_a_client_still_gets_the_answers_that_are_made),
        cmocka_unit_test(half_a_client_still_gets_the_answers_that_are_under_way),
        cmocka_unit_test(half_a_client_gets_a_stream_while_it_flows),
        cmocka_unit_test(half_a_client_that_nothing_is_sent_to_is_taken_for_gone),
        cmocka_unit_test(half_a_client_whose_request_is_not_whole_is_gone),
        cmocka_unit_test(a_path_that_is_not_utf8_is_a_400),
        cmocka_unit_test(what_is_no_http_is_answered_and_closed),
        cmocka_unit_test(a_head_that_is_too_large_is_a_431),
        cmocka_unit_test(a_head_that_does_not_end_is_a_408),
        cmocka_unit_test(an_idle_connection_is_closed_after_keep_alive),
        cmocka_unit_test(a_client_that_pipelines_and_does_not_read_is_not_read_either),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
