/* test_failures.c - every accepted request gets an answer, whatever becomes of its worker. */
#include <stdio.h>

#include "harness.h"
#include "suites.h"

static struct answer answer;
static struct event event;
static char value[256];

static const struct hr_server_config quick = {
    .queue_timeout = 60 * HR_MS, .timeout = 60 * HR_MS, .expose_reason = true};

static void get(struct client *c)
{
    client_say(c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void post(struct client *c)
{
    client_say(c, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
}

static void assert_refused(struct world *w, struct client *c, int status, const char *reason)
{
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, status);
    assert_string_equal(answer_header(&answer, "x-headrace-reason", value), reason);
}

static void without_any_pool_a_request_waits_and_then_gets_503_no_worker(void **state)
{
    struct world *w = world_new_empty(&quick);
    struct client *c = client_new(w);
    (void)state;
    get(c);
    assert_refused(w, c, 503, "no_worker");
    assert_string_equal(answer_header(&answer, "retry-after", value), "1");
    world_free(w);
}

static void a_request_that_waits_goes_to_the_first_pool_that_attaches(void **state)
{
    struct world *w = world_new_empty(NULL);
    struct client *c = client_new(w), *d = client_new(w);
    (void)state;
    get(c);
    post(d);
    world_settle(w);
    w->worker = worker_new(w, "web.1");
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web"});
    for (int i = 0; i < 2; i++) {
        worker_take(w, w->worker, "http.request.web", &event);
        bool is_post = hr_str_eq(msg_str(&event, "method"), HR_LIT("POST"));
        assert_msg_str(&event, "body", is_post ? "hi" : "");
        assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "up"), 0);
    }
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 200);
    client_answer(w, d, "POST", &answer);
    assert_int_equal(answer.status, 200);
    world_free(w);
}

static void a_request_that_nobody_takes_gets_503_and_no_worker_sees_it(void **state)
{
    struct world *w = world_new(&quick);
    struct client *c = client_new(w);
    (void)state;
    get(c);
    assert_refused(w, c, 503, "queue_timeout");
    assert_false(worker_poll(w->worker, &event));
    world_free(w);
}

static void a_worker_that_is_too_slow_means_504_and_is_retired(void **state)
{
    struct world *w = world_new(&quick);
    struct client *c = client_new(w);
    (void)state;
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_false(hr_layer_is_retiring(w->worker));
    assert_refused(w, c, 504, "timeout");
    assert_true(hr_layer_is_retiring(w->worker));
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "late"), HR_LAYER_GONE);
    world_free(w);
}

static void the_timeout_counts_from_the_take(void **state)
{
    struct hr_server_config config = {.timeout = 80 * HR_MS};
    struct world *w = world_new(&config);
    struct client *c = client_new(w);
    (void)state;
    get(c);
    hr_time begin = hr_time_now();
    UNTIL(w, hr_time_now() - begin > 120 * HR_MS);
    worker_take(w, w->worker, "http.request.web", &event);
    begin = hr_time_now();
    UNTIL(w, hr_time_now() - begin > 40 * HR_MS);
    assert_false(client_has_answer(c, "GET"));
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 504);
    assert_true(hr_time_now() - begin >= 75 * HR_MS);
    world_free(w);
}

static void when_its_worker_dies_a_get_is_sent_once_more(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.expose_reason = true});
    struct client *c = client_new(w);
    struct hr_layer *second = worker_new(w, "web.2");
    static struct event again;
    (void)state;
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    hr_layer_close(w->worker);
    w->worker = NULL;
    worker_take(w, second, "http.request.web", &again);
    assert_int_equal(again.d.attempts, 1);
    assert_msg_str(&again, "path", "/x");
    char text[HR_ADDR_TEXT_MAX];
    hr_addr_format(&again.d.reply, text);
    assert_msg_str(&again, "reply_channel", text);
    assert_int_not_equal(again.d.reply.conn_gen, event.d.reply.conn_gen);
    assert_int_equal(reply_whole(second, &event, 200, NULL, "ghost"), HR_LAYER_GONE);
    assert_int_equal(reply_whole(second, &again, 200, NULL, "saved"), 0);
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "saved");
    hr_layer_close(second);
    world_free(w);
}

static void the_second_death_is_a_502(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.expose_reason = true});
    struct client *c = client_new(w);
    (void)state;
    get(c);
    for (int i = 0; i < 2; i++) {
        worker_take(w, w->worker, "http.request.web", &event);
        hr_layer_close(w->worker);
        w->worker = worker_new(w, "web.2");
    }
    assert_refused(w, c, 502, "worker_died");
    world_free(w);
}

static void a_post_is_not_sent_twice(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.expose_reason = true});
    struct client *c = client_new(w);
    (void)state;
    post(c);
    worker_take(w, w->worker, "http.request.web", &event);
    hr_layer_close(w->worker);
    w->worker = worker_new(w, "web.2");
    assert_refused(w, c, 502, "worker_died");
    assert_false(worker_poll(w->worker, &event));
    world_free(w);
}

static void nothing_is_sent_twice_when_the_pool_says_never(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web", .retry = "never"});
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    hr_layer_close(w->worker);
    w->worker = NULL;
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 502);
    world_free(w);
}

static void an_answer_that_has_begun_is_cut_when_its_worker_dies(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    assert_int_equal(reply_body(w->worker, &event, "half", 4, true), 0);
    client_expect(w, c, "half");
    hr_layer_close(w->worker);
    w->worker = NULL;
    UNTIL(w, c->is_eof);
    assert_true(c->is_reset); /* never a clean end */
    world_free(w);
}

static void done_without_an_answer_is_a_500(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.expose_reason = true});
    struct client *c = client_new(w);
    (void)state;
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_done(w->worker, &event, 1, NULL, NULL), 0);
    assert_refused(w, c, 500, "app");
    world_free(w);
}

static void nonsense_from_a_worker_is_a_500_and_counted(void **state)
{
    static const char *const split[] = {"X-A", "1\r\nX-B: 2", NULL, NULL};
    static const char *const length[] = {"content-length", "7", NULL, NULL};
    struct world *w = world_new(NULL);
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct client *c = client_new(w);
        get(c);
        worker_take(w, w->worker, "http.request.web", &event);
        int r = 0;
        if (i == 0)
            r = reply_whole(w->worker, &event, 200, split, "x");
        else if (i == 1)
            r = reply_whole(w->worker, &event, 99, NULL, "x");
        else if (i == 2)
            r = reply_body(w->worker, &event, "x", 1, false);
        else if (i == 3)
            r = reply_whole(w->worker, &event, 1000, NULL, "x");
        else if (i == 4)
            r = reply_whole(w->worker, &event, 200, length, "short");
        else
            r = reply_raw(w->worker, &event, "\xc1\xc1", 2);
        assert_int_equal(r, 0);
        if (i == 5) /* not even a message: counted, and the event goes on */
            assert_int_equal(reply_whole(w->worker, &event, 500, NULL, ""), 0);
        client_answer(w, c, "GET", &answer);
        assert_int_equal(answer.status, 500);
        assert_null(strstr(answer.head, "X-B"));
    }
    assert_int_equal(drops(w, "http.request.web", HR_REASON_APP), 6);
    world_free(w);
}

static void a_client_that_leaves_takes_its_request_out_of_the_queue(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_server_stats stats;
    (void)state;
    get(c);
    UNTIL(w, (hr_server_stats(w->server, &stats), stats.n_requests == 1));
    client_close(c);
    UNTIL(w, (hr_server_stats(w->server, &stats), stats.n_http == 0));
    assert_int_equal(stats.n_requests, 0);
    assert_false(worker_poll(w->worker, &event));
    world_free(w);
}

static void a_holder_with_an_address_hears_that_its_client_has_left(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_addr to;
    char text[HR_ADDR_TEXT_MAX], reply[HR_ADDR_TEXT_MAX];
    (void)state;
    assert_int_equal(hr_layer_address_open(w->worker, &to), 0);
    hr_addr_format(&to, text);
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    hr_addr_format(&event.d.reply, reply);
    assert_int_equal(reply_start(w->worker, &event, 200, text), 0);
    client_expect(w, c, "200 OK");
    client_close(c);
    worker_take(w, w->worker, "", &event);
    assert_msg_str(&event, "type", "http.disconnect");
    assert_msg_str(&event, "reply_channel", reply);
    assert_false(hr_layer_address_alive(w->worker, &(struct hr_addr){0}));
    world_free(w);
}

static void an_event_that_was_handed_on_is_answered_by_another(void **state)
{
    struct world *w = world_new(&quick);
    struct client *c = client_new(w), *d = client_new(w);
    struct hr_layer *jobs = worker_new(w, "jobs.1");
    static struct event job;
    (void)state;
    assert_int_equal(hr_layer_listen(jobs, HR_LIT("bigdata.process")), 0);
    struct client *both[2] = {c, d};
    for (int i = 0; i < 2; i++) {
        get(both[i]);
        worker_take(w, w->worker, "http.request.web", &event);
        struct hr_send_options options = {.reply = event.d.reply, .seq = event.d.seq};
        assert_int_equal(
            hr_layer_send(w->worker, HR_LIT("bigdata.process"), event.data, event.d.len, &options),
            0);
        assert_int_equal(reply_hand_on(w->worker, &event, i == 0 ? 5000 : 40), 0);
        worker_ack(w->worker, &event);
        worker_take(w, jobs, "bigdata.process", &job);
        if (i > 0)
            break;                     /* and this one is never answered */
        hr_time begin = hr_time_now(); /* the first event's own timeout is over by then */
        UNTIL(w, hr_time_now() - begin > 100 * HR_MS);
        assert_int_equal(reply_whole(jobs, &job, 200, NULL, "computed"), 0);
        client_answer(w, c, "GET", &answer);
        assert_string_equal(answer.body, "computed");
    }
    assert_refused(w, d, 504, "timeout");
    hr_layer_close(jobs);
    world_free(w);
}

/* The other pool's worker may die before the first has said that it handed on. */
static void a_loss_that_overtakes_the_hand_over_is_sent_once_more(void **state)
{
    struct hr_server_config config = {.timeout = 5 * HR_SECOND};
    struct world *w = world_new(&config);
    struct client *c = client_new(w);
    static struct event job;
    (void)state;
    get(c);
    worker_take(w, w->worker, "http.request.web", &event);
    struct hr_send_options options = {.reply = event.d.reply, .seq = event.d.seq};
    for (int i = 1; i <= 2; i++) {
        struct hr_layer *jobs = worker_new(w, i == 1 ? "jobs.1" : "jobs.2");
        assert_int_equal(hr_layer_listen(jobs, HR_LIT("bigdata.process")), 0);
        if (i == 1) {
            assert_int_equal(hr_layer_send(w->worker, HR_LIT("bigdata.process"), event.data,
                                           event.d.len, &options),
                             0);
            worker_ack(w->worker, &event);
        }
        worker_take(w, jobs, "bigdata.process", &job);
        if (i == 2) {
            hr_time begin = hr_time_now();
            UNTIL(w, hr_time_now() - begin > 100 * HR_MS);
            assert_int_equal(reply_whole(jobs, &job, 200, NULL, "computed"), 0);
        }
        hr_layer_close(jobs);
    }
    client_answer(w, c, "GET", &answer);
    assert_string_equal(answer.body, "computed");
    world_free(w);
}

static void a_flushed_request_is_answered(void **state)
{
    struct hr_server_config config = {.timeout = 40 * HR_MS, .expose_reason = true};
    struct world *w = world_new(&config);
    struct client *c = client_new(w);
    struct hr_channel_stats stats;
    (void)state;
    get(c);
    UNTIL(w, hr_layer_channel_find(w->layer, HR_LIT("http.request.web"), &stats) && stats.depth);
    assert_int_equal(hr_layer_flush(w->layer, HR_LIT("http.request.web")), 0);
    assert_refused(w, c, 503, "flushed");
    world_free(w);
}

static void a_full_channel_is_a_503_at_once(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.expose_reason = true});
    struct hr_channel_policy policy = {.pattern = "http.*", .max_messages = 1};
    struct client *c = client_new(w), *d = client_new(w);
    (void)state;
    assert_int_equal(hr_layer_set_policies(w->layer, &policy, 1), 0);
    get(c);
    world_settle(w);
    get(d);
    assert_refused(w, d, 503, "queue_full");
    world_free(w);
}

static void browsers_get_a_page(void **state)
{
    struct world *w = world_new_empty(&quick);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html,*/*\r\n\r\n");
    client_answer(w, c, "GET", &answer);
    assert_non_null(strstr(answer.body, "<h1>503 Service Unavailable</h1>"));
    world_free(w);
}

int test_failures(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_pool_a_request_waits_and_then_gets_503_no_worker),
        cmocka_unit_test(a_request_that_waits_goes_to_the_first_pool_that_attaches),
        cmocka_unit_test(a_request_that_nobody_takes_gets_503_and_no_worker_sees_it),
        cmocka_unit_test(a_worker_that_is_too_slow_means_504_and_is_retired),
        cmocka_unit_test(the_timeout_counts_from_the_take),
        cmocka_unit_test(when_its_worker_dies_a_get_is_sent_once_more),
        cmocka_unit_test(the_second_death_is_a_502),
        cmocka_unit_test(a_post_is_not_sent_twice),
        cmocka_unit_test(nothing_is_sent_twice_when_the_pool_says_never),
        cmocka_unit_test(an_answer_that_has_begun_is_cut_when_its_worker_dies),
        cmocka_unit_test(done_without_an_answer_is_a_500),
        cmocka_unit_test(nonsense_from_a_worker_is_a_500_and_counted),
        cmocka_unit_test(a_client_that_leaves_takes_its_request_out_of_the_queue),
        cmocka_unit_test(a_holder_with_an_address_hears_that_its_client_has_left),
        cmocka_unit_test(an_event_that_was_handed_on_is_answered_by_another),
        cmocka_unit_test(a_loss_that_overtakes_the_hand_over_is_sent_once_more),
        cmocka_unit_test(a_flushed_request_is_answered),
        cmocka_unit_test(a_full_channel_is_a_503_at_once),
        cmocka_unit_test(browsers_get_a_page),
    };
    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
