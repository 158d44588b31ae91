/* test_group.c - broadcasts: to sockets and streams, encoded once, never waiting for a slow one. */
#include <stdio.h>

#include "harness.h"
#include "suites.h"

static struct event event;
static struct frame frame;

static void group_send(struct world *w, const char *type, const char *key, const char *text)
{
    uint8_t data[4096];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, type ? 3 : 2);
    if (type) {
        hr_pack_cstr(&pack, "type");
        hr_pack_cstr(&pack, type);
    }
    hr_pack_cstr(&pack, key);
    if (strcmp(key, "text") == 0)
        hr_pack_cstr(&pack, text);
    else
        hr_pack_bytes(&pack, text, strlen(text));
    hr_pack_cstr(&pack, "more_body");
    hr_pack_bool(&pack, true);
    assert_int_equal(hr_pack_done(&pack), 0);
    assert_int_equal(hr_layer_group_send(w->worker, HR_LIT("room"), data, hr_pack_len(&pack), NULL),
                     0);
}

static void join(struct world *w)
{
    assert_int_equal(hr_layer_group_add_addr(w->worker, HR_LIT("room"), &event.d.reply), 0);
}

static void every_socket_of_the_group_gets_it(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        c[i] = client_new(w);
        ws_open(w, c[i], &event);
        if (i < 3)
            join(w);
    }
    group_send(w, "websocket.send", "text", "typed");
    group_send(w, NULL, "text", "untyped");
    group_send(w, NULL, "bytes", "raw");
    for (int i = 0; i < 3; i++) {
        ws_expect_text(w, c[i], "typed");
        ws_expect_text(w, c[i], "untyped");
        ws_next(w, c[i], &frame);
        assert_int_equal(frame.opcode, HR_WS_BINARY);
        assert_string_equal(frame.data, "raw");
    }
    world_settle(w);
    assert_int_equal(hr_buf_len(&c[3]->in), 0);
    world_free(w);
}

static void a_socket_may_join_by_a_message_to_its_address(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    uint8_t data[128];
    struct hr_pack pack;
    (void)state;
    ws_open(w, c, &event);
    for (int i = 0; i < 2; i++) {
        hr_pack_init(&pack, data, sizeof data);
        hr_pack_map(&pack, 2);
        hr_pack_type(&pack, i ? HR_MSG_TYPE_GROUP_DISCARD : HR_MSG_TYPE_GROUP_JOIN);
        hr_pack_cstr(&pack, "group");
        hr_pack_cstr(&pack, "room");
        assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
        world_settle(w);
        group_send(w, NULL, "text", "hi");
        if (i == 0)
            ws_expect_text(w, c, "hi");
    }
    world_settle(w);
    assert_int_equal(hr_buf_len(&c->in), 0);
    world_free(w);
}

static void close_to_a_group_closes_all(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c[2];
    uint8_t data[128];
    struct hr_pack pack;
    (void)state;
    for (int i = 0; i < 2; i++) {
        c[i] = client_new(w);
        ws_open(w, c[i], &event);
        join(w);
    }
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_CLOSE);
    hr_pack_cstr(&pack, "code");
    hr_pack_int(&pack, 4003);
    assert_int_equal(hr_layer_group_send(w->worker, HR_LIT("room"), data, hr_pack_len(&pack), NULL),
                     0);
    for (int i = 0; i < 2; i++) {
        ws_next(w, c[i], &frame);
        assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
        assert_int_equal(frame.code, 4003);
    }
    world_free(w);
}

static void streams_take_bodies(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w), *old = client_new(w), *waiting = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    join(w);
    client_say(old, "GET / HTTP/1.0\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
    join(w);
    client_say(waiting, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    join(w); /* but has not begun to answer */
    group_send(w, "http.response.body", "body", "data: 1\n\n");
    client_expect(w, c, "\r\n\r\n9\r\ndata: 1\n\n\r\n");
    client_expect(w, old, "\r\n\r\ndata: 1\n\n");
    UNTIL(w, drops(w, "http.response.body", HR_REASON_STALE) == 1);
    group_send(w, NULL, "text", "for sockets");
    UNTIL(w, drops(w, "websocket.send", HR_REASON_APP) == 2);
    world_free(w);
}

static void the_next_request_of_a_connection_is_not_in_the_groups_of_the_last(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    for (int i = 0; i < 2; i++) {
        client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        worker_take(w, w->worker, "http.request.web", &event);
        assert_int_equal(reply_start(w->worker, &event, 200, NULL), 0);
        client_expect(w, c, "\r\n\r\n");
        if (i == 0)
            join(w);
        group_send(w, "http.response.body", "body", "secret");
        if (i == 0)
            client_expect(w, c, "secret\r\n");
        world_settle(w);
        assert_int_equal(hr_buf_len(&c->in), 0);
        assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
        client_expect(w, c, "0\r\n\r\n");
    }
    assert_int_equal(hr_layer_group_count(w->layer, HR_LIT("room"), NULL), 0);
    world_free(w);
}

static void a_slow_socket_misses_broadcasts_and_delays_nobody(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.window = 64 << 10});
    struct client *slow = client_new_slow(w), *quick = client_new(w);
    static char text[4000];
    struct hr_server_stats stats;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    slow->is_deaf = false;
    ws_open(w, slow, &event);
    slow->is_deaf = true;
    join(w);
    ws_open(w, quick, &event);
    join(w);
    while (drops(w, "websocket.send", HR_REASON_LIMIT) < 100) { /* the kernel's buffers first */
        group_send(w, NULL, "text", text);
        ws_expect_text(w, quick, text);
    }
    hr_server_stats(w->server, &stats);
    assert_true(stats.unsent_bytes <= 64 << 10);
    slow->is_deaf = false;
    ws_expect_text(w, slow, text); /* and its stream is still whole frames */
    ws_expect_text(w, slow, text);
    world_free(w);
}

static void many_slow_sockets_share_one_budget(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.max_unsent = 100 << 10});
    struct client *c[3];
    static char text[4000];
    struct hr_server_stats stats;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 3; i++) {
        c[i] = client_new_slow(w);
        c[i]->is_deaf = false;
        ws_open(w, c[i], &event);
        c[i]->is_deaf = true;
        join(w);
    }
    UNTIL(w, (group_send(w, NULL, "text", text),
              drops(w, "websocket.send", HR_REASON_LIMIT) > 100)); /* the kernel's buffers first */
    hr_server_stats(w->server, &stats);
    assert_true(stats.unsent_bytes <= 100 << 10);
    world_free(w);
}

/* A client in the group, deaf from now on. */
static struct client *slow_member(struct world *w)
{
    struct client *c = client_new_slow(w);
    c->is_deaf = false;
    ws_open(w, c, &event);
    c->is_deaf = true;
    join(w);
    return c;
}

static uint64_t unsent(struct world *w)
{
    struct hr_server_stats stats;
    hr_server_stats(w->server, &stats);
    return stats.unsent_bytes;
}

static void put_number(char *text, int n)
{
    for (int i = 0; i < 8; i++, n /= 10)
        text[i] = (char)('0' + n % 10);
}

static void with_close_a_slow_socket_that_catches_up_has_missed_nothing(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){
        .window = 64 << 10, .slow_reader = HR_SLOW_CLOSES, .slow_timeout = 60 * HR_SECOND});
    struct client *slow = slow_member(w);
    char text[4000];
    int n = 0;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (; unsent(w) < 200 << 10; n++) { /* three windows */
        put_number(text, n);
        group_send(w, NULL, "text", text);
        world_turn(w);
    }
    slow->is_deaf = false;
    for (int i = 0; i < n; i++) {
        put_number(text, i);
        ws_expect_text(w, slow, text);
    }
    assert_int_equal(drops(w, "websocket.send", HR_REASON_LIMIT), 0);
    world_free(w);
}

static void with_close_who_does_not_catch_up_in_time_is_closed_with_1013(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){
        .window = 64 << 10, .slow_reader = HR_SLOW_CLOSES, .slow_timeout = 50 * HR_MS});
    struct client *slow = slow_member(w), *quick = client_new(w);
    static char text[4000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    ws_open(w, quick, &event);
    join(w);
    while (unsent(w) <= 64 << 10) {
        group_send(w, NULL, "text", text);
        ws_expect_text(w, quick, text);
    }
    UNTIL(w, drops(w, "websocket.send", HR_REASON_LIMIT) == 1);
    slow->is_deaf = false;
    do
        ws_next(w, slow, &frame);
    while (frame.event == HR_WS_DATA);
    assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
    assert_int_equal(frame.code, 1013);
    group_send(w, NULL, "text", text);
    ws_expect_text(w, quick, text);
    world_free(w);
}

static void with_close_a_budget_that_is_used_up_closes_at_once(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.window = 64 << 10,
                                                           .max_unsent = 150 << 10,
                                                           .slow_reader = HR_SLOW_CLOSES,
                                                           .slow_timeout = HR_NEVER});
    static char text[4000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    slow_member(w);
    UNTIL(w, (group_send(w, NULL, "text", text), drops(w, "websocket.send", HR_REASON_LIMIT) == 1));
    assert_true(unsent(w) <= 151 << 10);
    world_free(w);
}

static void with_drop_nobody_waits_for_a_slow_socket(void **state)
{
    struct world *w =
        world_new(&(struct hr_server_config){.window = 64 << 10, .slow_reader = HR_SLOW_MISSES});
    struct client *slow = slow_member(w);
    struct hr_addr to = event.d.reply;
    static char text[4000];
    static uint8_t data[4200];
    struct hr_pack pack;
    struct hr_send_options options = {0};
    (void)state;
    memset(text, 'x', sizeof text - 1);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "text");
    hr_pack_cstr(&pack, text);
    while (drops(w, "websocket.send", HR_REASON_LIMIT) < 100) {
        assert_int_equal(hr_layer_send_to(w->worker, &to, data, hr_pack_len(&pack), &options), 0);
        world_turn(w);
    }
    assert_true(unsent(w) <= 64 << 10);
    slow->is_deaf = false;
    ws_expect_text(w, slow, text);
    world_free(w);
}

static void a_burst_of_one_turn_is_not_taken_for_slowness(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.window = 8 << 10});
    struct client *c = client_new(w);
    static char text[4000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    ws_open(w, c, &event);
    join(w);
    for (int i = 0; i < 12; i++)
        group_send(w, NULL, "text", text);
    for (int i = 0; i < 12; i++)
        ws_expect_text(w, c, text);
    assert_int_equal(drops(w, "websocket.send", HR_REASON_LIMIT), 0);
    world_free(w);
}

static void what_makes_no_sense_is_counted(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    join(w);
    group_send(w, "chat.message", "text", "channels 4 style");
    assert_int_equal(hr_layer_group_send(w->worker, HR_LIT("room"), "\xc1", 1, NULL), 0);
    group_send(w, "http.response.body", "body", "for streams");
    UNTIL(w, drops(w, "websocket.send", HR_REASON_APP) == 2);
    UNTIL(w, drops(w, "http.response.body", HR_REASON_APP) == 1);
    assert_int_equal(hr_buf_len(&c->in), 0);
    world_free(w);
}

static void a_socket_that_closed_is_in_no_group(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    join(w);
    client_close(c);
    worker_take(w, w->worker, "websocket.disconnect.web", &event);
    group_send(w, NULL, "text", "gone");
    world_settle(w);
    assert_int_equal(reply_done(w->worker, &event, event.d.seq, NULL, NULL), 0);
    UNTIL(w, hr_layer_group_count(w->layer, HR_LIT("room"), NULL) == 0);
    world_free(w);
}

int test_group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_socket_of_the_group_gets_it),
        cmocka_unit_test(a_socket_may_join_by_a_message_to_its_address),
        cmocka_unit_test(close_to_a_group_closes_all),
        cmocka_unit_test(streams_take_bodies),
        cmocka_unit_test(the_next_request_of_a_connection_is_not_in_the_groups_of_the_last),
        cmocka_unit_test(a_slow_socket_misses_broadcasts_and_delays_nobody),
        cmocka_unit_test(many_slow_sockets_share_one_budget),
        cmocka_unit_test(with_close_a_slow_socket_that_catches_up_has_missed_nothing),
        cmocka_unit_test(with_close_who_does_not_catch_up_in_time_is_closed_with_1013),
        cmocka_unit_test(with_close_a_budget_that_is_used_up_closes_at_once),
        cmocka_unit_test(with_drop_nobody_waits_for_a_slow_socket),
        cmocka_unit_test(a_burst_of_one_turn_is_not_taken_for_slowness),
        cmocka_unit_test(what_makes_no_sense_is_counted),
        cmocka_unit_test(a_socket_that_closed_is_in_no_group),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
