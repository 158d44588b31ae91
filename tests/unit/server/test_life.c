/* test_life.c - the server's own end, its limits on connections, and running out of memory. */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "harness.h"
#include "suites.h"

static struct answer answer;
static struct event event;
static struct frame frame;

static void on_drained(void *arg)
{
    ((struct world *)arg)->is_drained = true;
}

static void draining_lets_requests_end_and_closes_the_idle(void **state)
{
    struct world *w = world_new(NULL);
    struct client *idle = client_new(w), *busy = client_new(w);
    char value[256];
    (void)state;
    client_say(busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    hr_server_drain(w->server, 5 * HR_SECOND, on_drained, w);
    assert_false(w->is_drained);
    UNTIL(w, idle->is_eof);
    assert_false(busy->is_eof || w->is_drained);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "done"), 0);
    client_answer(w, busy, "GET", &answer);
    assert_string_equal(answer.body, "done");
    assert_string_equal(answer_header(&answer, "connection", value), "close");
    UNTIL(w, busy->is_eof && w->is_drained);
    world_free(w);
}

static void draining_answers_a_request_that_has_come_but_was_not_read_yet(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    char value[256];
    (void)state;
    world_settle(w); /* it is accepted, and idle */
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client_move(c); /* without a turn of the loop */
    hr_server_drain(w->server, 5 * HR_SECOND, on_drained, w);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "just in time"), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "just in time");
    assert_string_equal(answer_header(&answer, "connection", value), "close");
    UNTIL(w, c->is_eof && w->is_drained);
    assert_false(c->is_reset);
    world_free(w);
}

static void draining_with_nothing_open_ends_at_once(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
    hr_server_drain(w->server, 60 * HR_SECOND, on_drained, w);
    assert_false(w->is_drained);
    UNTIL(w, w->is_drained);
    world_free(w);
}

static void websockets_are_closed_with_1001_one_after_the_other(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.close_timeout = 100 * HR_MS});
    struct client *c[8];
    hr_time closed[8], begin;
    (void)state;
    for (int i = 0; i < 8; i++) {
        c[i] = client_new(w);
        ws_open(w, c[i], &event);
    }
    begin = hr_time_now();
    hr_server_drain(w->server, HR_SECOND, on_drained, w);
    for (int i = 0; i < 8; i++) { /* the oldest first */
        ws_next(w, c[i], &frame);
        closed[i] = hr_time_now() - begin;
        assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
        assert_int_equal(frame.code, 1001);
        ws_send(c[i], HR_WS_CLOSE, true, "\x03\xe9", 2);
        worker_take(w, w->worker, "websocket.disconnect.web", &event);
        assert_int_equal(hr_msg_int(&event.msg, "code", 0), 1001);
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
    }
    assert_true(closed[0] < 200 * HR_MS);
    assert_true(closed[7] > 500 * HR_MS && closed[7] < 950 * HR_MS);
    UNTIL(w, w->is_drained);
    world_free(w);
}

static void what_is_left_at_the_limit_is_cut(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w), *s = client_new(w);
    (void)state;
    ws_open(w, s, &event);
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    hr_server_drain(w->server, 60 * HR_MS, on_drained, w);
    UNTIL(w, w->is_drained);
    UNTIL(w, c->is_eof && s->is_eof);
    world_free(w);
}

static void a_server_may_be_closed_with_everything_open(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w), *s = client_new(w), *u = client_new(w);
    int64_t before;
    (void)state;
    ws_open(w, s, &event);
    ws_say(s, "unfinished");
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client_say(u, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
    world_settle(w);
    before = hr_alloc_live();
    assert_true(before > 0);
    world_free(w);
}

static void nothing_stays_allocated(void **state)
{
    (void)state;
    int64_t before = hr_alloc_live();
    a_server_may_be_closed_with_everything_open(NULL);
    assert_int_equal(hr_alloc_live(), before);
}

static void accepting_pauses_at_max_connections(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.max_connections = 2});
    struct client *a = client_new(w), *b = client_new(w), *c = client_new(w);
    struct client *admin = client_new_admin(w);
    struct hr_server_stats stats;
    (void)state;
    (void)b;
    world_settle(w);
    client_say(c, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
    world_settle(w);
    hr_server_stats(w->server, &stats);
    assert_true(stats.is_paused);
    assert_int_equal(hr_buf_len(&c->in), 0);
    client_say(admin, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"); /* the operator gets in */
    client_answer(w, admin, "GET", &answer);
    assert_int_equal(answer.status, 200);
    client_close(a);
    client_close(admin);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 400);
    world_free(w);
}

static void a_siblings_listener_is_accepted_on_only_while_it_is_adopted(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.keep_alive = 20 * HR_MS});
    (void)state;
    for (int i = 0; i < 2; i++) { /* the first listener, as if it were a sibling's */
        hr_server_adopt(w->server, 0, false);
        struct client *c = client_new(w);
        client_say(c, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
        world_settle(w);
        assert_int_equal(hr_buf_len(&c->in), 0);
        hr_server_adopt(w->server, 0, true);
        client_answer(w, c, "GET", &answer);
        assert_int_equal(answer.status, 400);
    }
    world_free(w);
}

static void being_out_of_descriptors_passes(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w), *d;
    struct rlimit limit, none;
    (void)state;
    world_settle(w);
    d = client_new(w); /* connected, not accepted */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(0);
    close(lowest);
    none = limit;
    none.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    UNTIL(w, d->is_eof); /* told, not left waiting */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    client_say(c, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(w, c, "GET", &answer);
    struct client *e = client_new(w);
    client_say(e, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(w, e, "GET", &answer); /* after a moment */
    assert_int_equal(answer.status, 400);
    world_free(w);
}

/* How many of the worker's calls did not succeed. */
static int answer_event(struct world *w, struct client *s)
{
    int n = 0;
    if (strcmp(event.channel, "http.request.web") == 0) {
        n += reply_whole(w->worker, &event, 200, NULL, "ok") != 0;
    } else if (strcmp(event.channel, "websocket.connect.web") == 0) {
        n += reply_typed(w->worker, &event, HR_MSG_TYPE_WEBSOCKET_ACCEPT) != 0;
        n += reply_done(w->worker, &event, event.d.seq, "k", "v") != 0;
        ws_say(s, "message");
        ws_send(s, HR_WS_TEXT, false, "part", 4);
    } else {
        n += reply_text(w->worker, &event, "echo") != 0;
        n += reply_done(w->worker, &event, event.d.seq, "k", "value") != 0;
    }
    return n + (hr_layer_ack(w->worker, &event.d.lease) != 0);
}

/* One of everything. Nothing is asserted about what the clients see, but that they are not left. */
static int drive_everything(struct world *w)
{
    int n_failed = 0;
    struct client *c = client_new(w), *s = client_new(w), *u = client_new(w);
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ws_handshake(s, "/chat", "");
    client_say(
        u,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    for (int i = 0; i < 12; i++) {
        world_turn(w);
        while (worker_poll(w->worker, &event))
            n_failed += answer_event(w, s);
    }
    client_close(s);
    world_turn(w);
    return n_failed;
}

static void running_out_of_memory_anywhere_crashes_nothing(void **state)
{
    (void)state;
    int64_t before = hr_alloc_live();
    for (uint64_t n = 1; n <= 60; n++) {
        struct world *w = world_new(NULL);
        hr_alloc_fail_at(n);
        int n_failed = drive_everything(w);
        hr_alloc_fail_at(0);
        assert_true(n_failed <= 3); /* one failure ends one event at most */
        world_free(w);
        assert_int_equal(hr_alloc_live(), before);
    }
}

int test_life(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draining_lets_requests_end_and_closes_the_idle),
        cmocka_unit_test(draining_answers_a_request_that_has_come_but_was_not_read_yet),
        cmocka_unit_test(draining_with_nothing_open_ends_at_once),
        cmocka_unit_test(websockets_are_closed_with_1001_one_after_the_other),
        cmocka_unit_test(what_is_left_at_the_limit_is_cut),
        cmocka_unit_test(a_server_may_be_closed_with_everything_open),
        cmocka_unit_test(nothing_stays_allocated),
        cmocka_unit_test(accepting_pauses_at_max_connections),
        cmocka_unit_test(a_siblings_listener_is_accepted_on_only_while_it_is_adopted),
        cmocka_unit_test(being_out_of_descriptors_passes),
        cmocka_unit_test(running_out_of_memory_anywhere_crashes_nothing),
    };
    return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
