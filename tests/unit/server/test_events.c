/* test_events.c - events of a socket: order by done, state, redelivery, waiting without workers. */
#include <stdio.h>

#include "harness.h"
#include "suites.h"

static struct event event, other;

static void the_next_event_comes_only_after_done(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    char text[16];
    (void)state;
    ws_open(w, c, &event);
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "m%d", i);
        ws_say(c, text);
    }
    for (int i = 0; i < 5; i++) {
        worker_take(w, w->worker, "websocket.receive.web", &event);
        snprintf(text, sizeof text, "m%d", i);
        assert_msg_str(&event, "text", text);
        assert_int_equal(event.d.seq, i + 2);
        world_settle(w);
        assert_false(worker_poll(w->worker, &other));
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
        worker_ack(w->worker, &event);
    }
    world_free(w);
}

static void state_comes_back_with_the_next_event(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_value map, nick;
    (void)state;
    ws_open(w, c, &event);
    ws_say(c, "1");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(reply_done(w->worker, &event, 2, "nick", "ann"), 0);
    for (int i = 0; i < 2; i++) { /* unchanged when done brings none */
        ws_say(c, "2");
        worker_take(w, w->worker, "websocket.receive.web", &event);
        assert_true(hr_msg_get(&event.msg, "state", &map) && map.type == HR_TYPE_MAP);
        assert_true(hr_map_get(&map, "nick", &nick));
        assert_memory_equal(nick.as.str.ptr, "ann", 3);
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
    }
    world_free(w);
}

static void a_done_of_another_event_is_stale_and_its_state_is_void(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_value map;
    (void)state;
    ws_open(w, c, &event);
    ws_say(c, "1");
    ws_say(c, "2");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(reply_done(w->worker, &event, 1, "evil", "x"), 0);
    assert_int_equal(reply_done(w->worker, &event, 3, "evil", "x"), 0);
    world_settle(w);
    assert_false(worker_poll(w->worker, &other));
    assert_int_equal(drops(w, "websocket.receive.web", HR_REASON_STALE), 2);
    assert_int_equal(reply_done(w->worker, &event, 2, NULL, NULL), 0);
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_true(hr_msg_get(&event.msg, "state", &map));
    assert_int_equal(map.n, 0);
    world_free(w);
}

static void a_state_that_is_too_large_leaves_the_old_one(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_value map, got;
    static char big[17 << 10];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    ws_open(w, c, &event);
    const char *values[] = {"small", big};
    for (int i = 0; i < 2; i++) {
        ws_say(c, "m");
        worker_take(w, w->worker, "websocket.receive.web", &event);
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, "k", values[i]), 0);
    }
    ws_say(c, "m");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_true(hr_msg_get(&event.msg, "state", &map) && hr_map_get(&map, "k", &got));
    assert_int_equal(got.as.str.len, 5);
    assert_int_equal(drops(w, "websocket.receive.web", HR_REASON_APP), 1);
    world_free(w);
}

static void an_event_whose_worker_dies_is_redelivered_once_and_then_counted(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    ws_say(c, "poison");
    ws_say(c, "fine");
    for (uint32_t i = 0; i < 2; i++) {
        worker_take(w, w->worker, "websocket.receive.web", &event);
        assert_msg_str(&event, "text", "poison");
        assert_int_equal(event.d.attempts, i);
        assert_int_equal(event.d.seq, 2);
        hr_layer_close(w->worker);
        w->worker = worker_new(w, "web.2");
    }
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_msg_str(&event, "text", "fine");
    assert_int_equal(drops(w, "websocket.receive.web", HR_REASON_WORKER_DIED), 1);
    assert_int_equal(reply_text(w->worker, &event, "alive"), 0);
    ws_expect_text(w, c, "alive");
    world_free(w);
}

static void on_crash_count_does_not_redeliver(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web", .on_crash = "count"});
    ws_open(w, c, &event);
    ws_say(c, "once");
    ws_say(c, "next");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    hr_layer_close(w->worker);
    w->worker = worker_new(w, "web.2");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_msg_str(&event, "text", "next");
    assert_int_equal(drops(w, "websocket.receive.web", HR_REASON_WORKER_DIED), 1);
    world_free(w);
}

static void an_event_that_hangs_is_counted_and_its_worker_retired(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.event_timeout = 50 * HR_MS});
    struct client *c = client_new(w);
    struct hr_layer *second;
    (void)state;
    ws_open(w, c, &event);
    ws_say(c, "hang");
    ws_say(c, "next");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    UNTIL(w, hr_layer_is_retiring(w->worker));
    second = worker_new(w, "web.2");
    worker_take(w, second, "websocket.receive.web", &other);
    assert_msg_str(&other, "text", "next");
    assert_int_equal(drops(w, "websocket.receive.web", HR_REASON_TIMEOUT), 1);
    assert_int_equal(reply_done(w->worker, &event, 2, NULL, NULL), 0); /* too late: stale */
    world_settle(w);
    assert_int_equal(drops(w, "websocket.receive.web", HR_REASON_STALE), 1);
    hr_layer_close(second);
    world_free(w);
}

static void without_workers_the_socket_stays_and_reading_pauses(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){
        .max_queued = 8 << 10, .ping_interval = 30 * HR_MS, .ping_timeout = 30 * HR_MS});
    struct client *c = client_new_slow(w);
    struct hr_server_stats stats;
    static char text[1000];
    static struct frame frame;
    enum { N = 4000 };
    (void)state;
    c->is_deaf = false;
    ws_open(w, c, &event);
    hr_layer_close(w->worker);
    w->worker = NULL;
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < N; i++)
        ws_say(c, text);
    size_t held_back = 0;
    for (int unchanged = 0; unchanged < 20; unchanged++) { /* the kernel's buffers fill up first */
        world_turn(w);
        if (hr_buf_len(&c->out) != held_back)
            unchanged = 0;
        held_back = hr_buf_len(&c->out);
    }
    assert_true(held_back > 2 << 20);
    hr_time begin = hr_time_now(); /* nor is it pinged to death meanwhile */
    UNTIL(w, hr_time_now() - begin > 200 * HR_MS);
    hr_server_stats(w->server, &stats);
    assert_int_equal(stats.n_websocket, 1);
    w->worker = worker_new(w, "web.2");
    for (int i = 0; i < N; i++) {
        worker_take(w, w->worker, "websocket.receive.web", &event);
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
        worker_ack(w->worker, &event);
        if (hr_buf_len(&c->in) > 0) { /* answer pings */
            ws_next(w, c, &frame);
            ws_send(c, HR_WS_PONG, true, "", 0);
        }
    }
    world_free(w);
}

static void a_full_channel_keeps_the_event_and_tries_again(void **state)
{
    struct world *w = world_new(NULL);
    struct hr_channel_policy policy = {.pattern = "websocket.receive.*", .max_messages = 1};
    struct client *c[3];
    bool seen[3] = {false};
    (void)state;
    for (int i = 0; i < 3; i++) {
        c[i] = client_new(w);
        ws_open(w, c[i], &event);
    }
    assert_int_equal(hr_layer_set_policies(w->layer, &policy, 1), 0);
    for (int i = 0; i < 3; i++) {
        char text[2] = {(char)('0' + i), '\0'};
        ws_say(c[i], text);
    }
    world_settle(w);
    for (int i = 0; i < 3; i++) {
        worker_take(w, w->worker, "websocket.receive.web", &event);
        seen[msg_str(&event, "text").ptr[0] - '0'] = true;
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
        worker_ack(w->worker, &event);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    world_free(w);
}

static void a_completion_makes_room_at_once(void **state)
{
    struct world *w = world_new(NULL);
    struct hr_channel_policy policy = {.pattern = "websocket.receive.*", .max_messages = 1};
    struct client *c[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        c[i] = client_new(w);
        ws_open(w, c[i], &event);
    }
    assert_int_equal(hr_layer_set_policies(w->layer, &policy, 1), 0);
    for (int i = 0; i < 2; i++) {
        ws_say(c[i], "x");
        world_settle(w);
    }
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) /* far less than the 50 ms after which it would try anyway */
        world_turn(w);
    assert_true(worker_poll(w->worker, &event));
    world_free(w);
}

static void events_that_are_left_come_before_the_disconnect(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_server_stats stats;
    (void)state;
    ws_open(w, c, &event);
    ws_say(c, "1");
    ws_say(c, "2");
    world_settle(w);
    client_close(c);
    UNTIL(w, (hr_server_stats(w->server, &stats), stats.n_websocket == 0));
    const char *const channels[] = {"websocket.receive.web", "websocket.receive.web",
                                    "websocket.disconnect.web"};
    for (int i = 0; i < 3; i++) {
        worker_take(w, w->worker, channels[i], &event);
        assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
        worker_ack(w->worker, &event);
    }
    UNTIL(w, !hr_layer_address_alive(w->worker, &event.d.reply));
    world_free(w);
}

int test_events(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_event_comes_only_after_done),
        cmocka_unit_test(state_comes_back_with_the_next_event),
        cmocka_unit_test(a_done_of_another_event_is_stale_and_its_state_is_void),
        cmocka_unit_test(a_state_that_is_too_large_leaves_the_old_one),
        cmocka_unit_test(an_event_whose_worker_dies_is_redelivered_once_and_then_counted),
        cmocka_unit_test(on_crash_count_does_not_redeliver),
        cmocka_unit_test(an_event_that_hangs_is_counted_and_its_worker_retired),
        cmocka_unit_test(without_workers_the_socket_stays_and_reading_pauses),
        cmocka_unit_test(a_full_channel_keeps_the_event_and_tries_again),
        cmocka_unit_test(a_completion_makes_room_at_once),
        cmocka_unit_test(events_that_are_left_come_before_the_disconnect),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
