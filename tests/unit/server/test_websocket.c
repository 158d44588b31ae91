/* test_websocket.c - the socket itself: handshake, frames, closing, pings, limits, memory. */
#include <stdio.h>

#include "harness.h"
#include "server/about.h"
#include "server/connection.h"
#include "server/http.h"
#include "server/websocket.h"
#include "suites.h"

static struct answer answer;
static struct event event;
static struct frame frame;
static char value[256];

static void a_handshake_waits_for_accept(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_value list, item;
    (void)state;
    ws_handshake(c, "/chat?room=1",
                 "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n");
    worker_take(w, w->worker, "websocket.connect.web", &event);
    assert_msg_str(&event, "type", "websocket.connect");
    assert_msg_str(&event, "path", "/chat");
    assert_msg_str(&event, "query_string", "room=1");
    assert_msg_str(&event, "scheme", "ws");
    assert_int_equal(hr_msg_int(&event.msg, "seq", 0), 1);
    assert_true(hr_msg_get(&event.msg, "subprotocols", &list));
    assert_int_equal(list.n, 3);
    struct hr_walk walk = hr_walk(&list);
    assert_true(hr_list_next(&walk, &item) && hr_list_next(&walk, &item));
    assert_memory_equal(item.as.str.ptr, "b", 1);
    assert_true(hr_msg_get(&event.msg, "state", &item) && item.type == HR_TYPE_MAP);
    world_settle(w);
    assert_int_equal(hr_buf_len(&c->in), 0);
    uint8_t data[128];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 3);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_ACCEPT);
    hr_pack_cstr(&pack, "subprotocol");
    hr_pack_cstr(&pack, "b");
    hr_pack_cstr(&pack, "headers");
    hr_pack_list(&pack, 1);
    hr_pack_header(&pack, HR_LIT("X-Hi"), HR_LIT("there"));
    assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
    client_expect(w, c, "HTTP/1.1 101 ");
    client_expect(w, c, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    client_expect(w, c, "rotocol: b\r\n");
    client_expect(w, c, "X-Hi: there\r\n");
    world_free(w);
}

static void close_before_accept_is_a_403_and_so_is_done(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client *c = client_new(w);
        ws_handshake(c, "/", "");
        worker_take(w, w->worker, "websocket.connect.web", &event);
        int r =
            i ? reply_done(w->worker, &event, 1, NULL, NULL) : reply_close(w->worker, &event, 1000);
        assert_int_equal(r, 0);
        client_answer(w, c, "GET", &answer);
        assert_int_equal(answer.status, 403);
        UNTIL(w, c->is_eof);
    }
    world_free(w);
}

static void a_denial_may_choose_its_status_and_body(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_handshake(c, "/", "");
    worker_take(w, w->worker, "websocket.connect.web", &event);
    uint8_t data[128];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_DENIAL_START);
    hr_pack_cstr(&pack, "status");
    hr_pack_int(&pack, 401);
    assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_DENIAL_BODY);
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, "who?", 4);
    assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 401);
    assert_string_equal(answer.body, "who?");
    world_free(w);
}

static void an_accept_that_makes_no_sense_is_a_500(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct client *c = client_new(w);
        uint8_t data[128];
        struct hr_pack pack;
        ws_handshake(c, "/", "");
        worker_take(w, w->worker, "websocket.connect.web", &event);
        hr_pack_init(&pack, data, sizeof data);
        hr_pack_map(&pack, 2);
        hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_ACCEPT);
        hr_pack_cstr(&pack, i == 0 ? "subprotocol" : "headers");
        if (i == 0) {
            hr_pack_cstr(&pack, "not-offered");
        } else {
            hr_pack_list(&pack, 1);
            hr_pack_header(&pack, i == 1 ? HR_LIT("Sec-WebSocket-Extensions") : HR_LIT("X Y"),
                           HR_LIT("x"));
        }
        assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
        client_answer(w, c, "GET", &answer);
        assert_int_equal(answer.status, 500);
    }
    world_free(w);
}

static void a_handshake_that_nobody_answers_is_a_504_and_a_lost_one_is_sent_once_more(void **state)
{
    struct hr_server_config config = {.handshake_timeout = 40 * HR_MS};
    struct world *w = world_new(&config);
    struct client *c = client_new(w), *d = client_new(w);
    (void)state;
    ws_handshake(c, "/", "");
    worker_take(w, w->worker, "websocket.connect.web", &event);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 504);
    assert_false(hr_layer_is_retiring(w->worker)); /* slow is not hung */

    ws_handshake(d, "/", "");
    for (int i = 0; i < 2; i++) {
        worker_take(w, w->worker, "websocket.connect.web", &event);
        assert_int_equal(event.d.attempts, i);
        hr_layer_close(w->worker);
        w->worker = worker_new(w, "web.2");
    }
    client_answer(w, d, "GET", &answer);
    assert_int_equal(answer.status, 502);
    world_free(w);
}

static int status_of_origin(struct world *w, const char *origin)
{
    struct client *c = client_new(w);
    char line[128];
    snprintf(line, sizeof line, "Origin: %s\r\n", origin);
    ws_handshake(c, "/", line);
    UNTIL(w, worker_poll(w->worker, &event) || client_has_answer(c, "GET"));
    if (!client_has_answer(c, "GET"))
        return 0;
    client_answer(w, c, "GET", &answer);
    return answer.status;
}

static void pages_of_other_origins_are_refused(void **state)
{
    struct world *w = world_new(NULL);
    (void)state;
    assert_int_equal(status_of_origin(w, "http://example.org"), 0);
    assert_int_equal(status_of_origin(w, "https://EXAMPLE.org"), 0);
    assert_int_equal(status_of_origin(w, "http://example.org:80"), 0);
    assert_int_equal(status_of_origin(w, "http://evil.org"), 403);
    assert_int_equal(status_of_origin(w, "http://example.org.evil.org"), 403);
    assert_int_equal(status_of_origin(w, "http://example.org:8080"), 403);
    assert_int_equal(status_of_origin(w, "null"), 403);
    world_free(w);

    struct hr_str list[] = {HR_LIT("https://a.example"), HR_LIT("*.b.example")};
    w = world_new(&(struct hr_server_config){
        .origins = HR_ORIGINS_LIST, .origin_list = list, .n_origins = 2});
    assert_int_equal(status_of_origin(w, "https://a.example"), 0);
    assert_int_equal(status_of_origin(w, "http://a.example"), 403);
    assert_int_equal(status_of_origin(w, "https://x.b.example"), 0);
    assert_int_equal(status_of_origin(w, "http://example.org"), 403);
    world_free(w);
}

static void another_version_of_the_protocol_is_a_426(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c,
               "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n");
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 426);
    assert_string_equal(answer_header(&answer, "sec-websocket-version", value), "13");
    world_free(w);
}

static void messages_go_both_ways(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    ws_say(c, "h\xc3\xa9llo");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_msg_str(&event, "type", "websocket.receive");
    assert_msg_str(&event, "text", "h\xc3\xa9llo");
    assert_msg_str(&event, "path", "/chat");
    assert_int_equal(hr_msg_int(&event.msg, "seq", 0), 2);
    assert_int_equal(event.d.seq, 2);
    assert_int_equal(reply_text(w->worker, &event, "back"), 0);
    assert_int_equal(reply_done(w->worker, &event, 2, NULL, NULL), 0);
    ws_expect_text(w, c, "back");
    ws_send(c, HR_WS_BINARY, true, "\0\1\2", 3);
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(msg_str(&event, "bytes").len, 3);
    world_free(w);
}

static void frames_sent_behind_the_handshake_wait_for_it(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_handshake(c, "/chat", "");
    ws_say(c, "eager");
    worker_take(w, w->worker, "websocket.connect.web", &event);
    assert_int_equal(reply_typed(w->worker, &event, HR_MSG_TYPE_WEBSOCKET_ACCEPT), 0);
    assert_int_equal(reply_done(w->worker, &event, 1, NULL, NULL), 0);
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_msg_str(&event, "text", "eager");
    world_free(w);
}

static void fragments_are_joined_with_control_frames_between_them(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    ws_send(c, HR_WS_TEXT, false, "one ", 4);
    world_settle(w);
    ws_send(c, HR_WS_PING, true, "p", 1);
    ws_send(c, HR_WS_CONTINUATION, false, "two ", 4);
    ws_send(c, HR_WS_CONTINUATION, true, "three", 5);
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_GOT_PONG);
    assert_string_equal(frame.data, "p");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_msg_str(&event, "text", "one two three");
    world_free(w);
}

static void a_message_above_the_limit_closes_with_1009(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.max_message = 1000});
    struct client *c = client_new(w);
    static const char big[1001];
    (void)state;
    ws_open(w, c, &event);
    ws_send(c, HR_WS_BINARY, true, big, 1000);
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(msg_str(&event, "bytes").len, 1000);
    ws_send(c, HR_WS_BINARY, true, big, 1001);
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
    assert_int_equal(frame.code, 1009);
    UNTIL(w, c->is_eof);
    world_free(w);
}

static void text_that_is_not_utf8_closes_with_1007(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    ws_send(c, HR_WS_TEXT, true, "\xff", 1);
    ws_next(w, c, &frame);
    assert_int_equal(frame.code, 1007);
    world_free(w);
}

static void a_clients_close_is_answered_and_becomes_an_event(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    uint8_t payload[HR_WS_MAX_CONTROL];
    (void)state;
    ws_open(w, c, &event);
    size_t n = hr_ws_put_close(payload, 4001, HR_LIT("enough"));
    ws_send(c, HR_WS_CLOSE, true, payload, n);
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
    assert_int_equal(frame.code, 4001);
    UNTIL(w, c->is_eof);
    worker_take(w, w->worker, "websocket.disconnect.web", &event);
    assert_msg_str(&event, "type", "websocket.disconnect");
    assert_int_equal(hr_msg_int(&event.msg, "code", 0), 4001);
    assert_msg_str(&event, "reason", "enough");
    assert_int_equal(hr_msg_int(&event.msg, "seq", 0), 2);
    assert_int_equal(reply_text(w->worker, &event, "nobody reads this"), 0);
    assert_int_equal(reply_done(w->worker, &event, 2, NULL, NULL), 0);
    UNTIL(w, !hr_layer_address_alive(w->worker, &event.d.reply));
    assert_int_equal(drops(w, "websocket.disconnect.web", HR_REASON_STALE), 1);
    world_free(w);
}

static void a_client_that_vanishes_is_a_1006(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    client_close(c);
    worker_take(w, w->worker, "websocket.disconnect.web", &event);
    assert_int_equal(hr_msg_int(&event.msg, "code", 0), 1006);
    world_free(w);
}

static void the_application_closes_with_its_code(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    assert_int_equal(reply_close(w->worker, &event, 4000), 0);
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
    assert_int_equal(frame.code, 4000);
    assert_string_equal(frame.data, "bye");
    uint8_t payload[HR_WS_MAX_CONTROL];
    size_t n = hr_ws_put_close(payload, 4000, HR_LIT(""));
    ws_send(c, HR_WS_CLOSE, true, payload, n);
    UNTIL(w, c->is_eof);
    worker_take(w, w->worker, "websocket.disconnect.web", &event);
    assert_int_equal(hr_msg_int(&event.msg, "code", 0), 4000);
    world_free(w);
}

static void a_client_that_does_not_answer_the_close_is_cut(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.close_timeout = 30 * HR_MS});
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    assert_int_equal(reply_close(w->worker, &event, 1000), 0);
    UNTIL(w, c->is_eof);
    world_free(w);
}

static void silence_is_pinged_and_then_ended(void **state)
{
    struct hr_server_config config = {.ping_interval = 30 * HR_MS, .ping_timeout = 30 * HR_MS};
    struct world *w = world_new(&config);
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    for (int i = 0; i < 3; i++) {
        ws_next(w, c, &frame);
        assert_int_equal(frame.event, HR_WS_GOT_PING);
        ws_send(c, HR_WS_PONG, true, "", 0);
    }
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_GOT_PING);
    ws_next(w, c, &frame);
    assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
    assert_int_equal(frame.code, 1011);
    worker_take(w, w->worker, "websocket.disconnect.web", &event);
    assert_int_equal(hr_msg_int(&event.msg, "code", 0), 1006);
    world_free(w);
}

static void a_slow_reader_makes_direct_sends_full_until_it_reads(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.window = 64 << 10});
    struct client *c = client_new_slow(w);
    struct hr_send_options options = {0};
    static char text[32 << 10];
    static uint8_t data[33 << 10];
    struct hr_pack pack;
    int r = 0, n = 0;
    (void)state;
    c->is_deaf = false;
    ws_open(w, c, &event);
    c->is_deaf = true;
    memset(text, 'x', sizeof text - 1);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_type(&pack, HR_MSG_TYPE_WEBSOCKET_SEND);
    hr_pack_cstr(&pack, "text");
    hr_pack_cstr(&pack, text);
    for (; n < 1000; n++) {
        r = hr_layer_send_to(w->worker, &event.d.reply, data, hr_pack_len(&pack), &options);
        if (r != 0)
            break;
        world_turn(w);
    }
    assert_int_equal(r, HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_CONNECTION);
    struct hr_server_stats stats;
    hr_server_stats(w->server, &stats);
    assert_true(stats.unsent_bytes < 200 << 10);
    c->is_deaf = false;
    UNTIL(w, hr_layer_send_to(w->worker, &event.d.reply, data, hr_pack_len(&pack), &options) == 0);
    for (int i = 0; i <= n; i++)
        ws_expect_text(w, c, text); /* and nothing was lost */
    world_free(w);
}

static void who_waits_for_a_socket_that_closes_waits_no_longer(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.window = 64 << 10});
    struct client *c = client_new_slow(w);
    struct hr_send_options options = {0};
    static char text[32 << 10];
    static const uint8_t message[] = "\x81\xa4text\xa1x";
    (void)state;
    c->is_deaf = false;
    ws_open(w, c, &event);
    c->is_deaf = true;
    memset(text, 'x', sizeof text - 1);
    struct hr_addr to = event.d.reply;
    int r = 0;
    for (int i = 0; i < 300 && r == 0; i++) {
        assert_int_equal(reply_text(w->worker, &event, text), 0);
        world_turn(w);
        r = hr_layer_send_to(w->worker, &to, message, sizeof message - 1, &options);
    }
    assert_int_equal(r, HR_LAYER_FULL);
    client_close(c);
    worker_take(w, w->worker, "websocket.disconnect.web", &event);
    assert_int_equal(hr_layer_send_to(w->worker, &to, message, sizeof message - 1, &options), 0);
    world_free(w);
}

static void a_client_that_takes_nothing_is_cut(void **state)
{
    struct hr_server_config config = {.window = 64 << 10, .write_timeout = 50 * HR_MS};
    struct world *w = world_new(&config);
    struct client *c = client_new_slow(w);
    static char text[32 << 10];
    struct hr_server_stats stats;
    (void)state;
    c->is_deaf = false;
    ws_open(w, c, &event);
    c->is_deaf = true;
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 300 && reply_text(w->worker, &event, text) == 0; i++)
        world_turn(w);
    UNTIL(w, (hr_server_stats(w->server, &stats), stats.n_websocket == 0));
    assert_int_equal(stats.unsent_bytes, 0);
    world_free(w);
}

static void what_no_worker_consumes_is_not_sent(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web", .events = {"websocket.receive"}});
    ws_handshake(c, "/", "");
    client_expect(w, c, "HTTP/1.1 101 "); /* nobody asks to be asked */
    client_expect(w, c, "\r\n\r\n");
    ws_say(c, "x");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(hr_msg_int(&event.msg, "seq", 0), 1);
    client_close(c);
    world_settle(w);
    assert_int_equal(reply_done(w->worker, &event, 1, NULL, NULL), 0);
    UNTIL(w, !hr_layer_address_alive(w->worker, &event.d.reply));
    assert_false(worker_poll(w->worker, &event)); /* no disconnect */
    world_free(w);
}

/* DESIGN 7: an idle WebSocket costs at most 1 KiB of our memory: here with a path of 16 bytes and a
 * state of 56. glibc adds 8 bytes to each of the four blocks. */
static void an_idle_socket_costs_at_most_a_kibibyte(void **state)
{
    enum { ABOUT = sizeof(struct hr_ws_about) + 16 + 32, STATE = 56, BLOCKS = 4 * 8 };
    size_t sum = sizeof(struct hr_conn) + sizeof(struct hr_websocket) + ABOUT + STATE + BLOCKS;
    (void)state;
    print_message(
        "             hr_conn %zu (hr_io %zu), hr_websocket %zu (hr_ws %zu, hr_source %zu), "
        "hr_http %zu; in all %zu\n",
        sizeof(struct hr_conn), sizeof(struct hr_io), sizeof(struct hr_websocket),
        sizeof(struct hr_ws), sizeof(struct hr_source), sizeof(struct hr_http), sum);
    assert_true(sum <= 1024);
}

int test_websocket(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_waits_for_accept),
        cmocka_unit_test(close_before_accept_is_a_403_and_so_is_done),
        cmocka_unit_test(a_denial_may_choose_its_status_and_body),
        cmocka_unit_test(an_accept_that_makes_no_sense_is_a_500),
        cmocka_unit_test(a_handshake_that_nobody_answers_is_a_504_and_a_lost_one_is_sent_once_more),
        cmocka_unit_test(pages_of_other_origins_are_refused),
        cmocka_unit_test(another_version_of_the_protocol_is_a_426),
        cmocka_unit_test(messages_go_both_ways),
        cmocka_unit_test(frames_sent_behind_the_handshake_wait_for_it),
        cmocka_unit_test(fragments_are_joined_with_control_frames_between_them),
        cmocka_unit_test(a_message_above_the_limit_closes_with_1009),
        cmocka_unit_test(text_that_is_not_utf8_closes_with_1007),
        cmocka_unit_test(a_clients_close_is_answered_and_becomes_an_event),
        cmocka_unit_test(a_client_that_vanishes_is_a_1006),
        cmocka_unit_test(the_application_closes_with_its_code),
        cmocka_unit_test(a_client_that_does_not_answer_the_close_is_cut),
        cmocka_unit_test(silence_is_pinged_and_then_ended),
        cmocka_unit_test(a_slow_reader_makes_direct_sends_full_until_it_reads),
        cmocka_unit_test(who_waits_for_a_socket_that_closes_waits_no_longer),
        cmocka_unit_test(a_client_that_takes_nothing_is_cut),
        cmocka_unit_test(what_no_worker_consumes_is_not_sent),
        cmocka_unit_test(an_idle_socket_costs_at_most_a_kibibyte),
    };
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
