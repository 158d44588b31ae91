/* test_stream.c - answers in pieces: window, write credit, slow readers, answers without a holder.
 */
#include <stdio.h>

#include "harness.h"
#include "suites.h"

enum { KIB = 1024 };

static struct answer answer;
static struct event event, credit;
static char address[HR_ADDR_TEXT_MAX];
static char piece[32 * KIB];

static const char *open_address(struct world *w)
{
    struct hr_addr to;
    assert_int_equal(hr_layer_address_open(w->worker, &to), 0);
    hr_addr_format(&to, address);
    return address;
}

static void start(struct world *w, struct client *c, const char *to)
{
    memset(piece, 'x', sizeof piece);
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, to), 0);
}

static void the_holder_learns_how_much_was_written(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    int64_t sent = 0, credited = 0;
    (void)state;
    start(w, c, open_address(w));
    for (int i = 0; i < 64; i++) { /* 2 MiB by a window of 256 KiB */
        while (sent - credited + (int64_t)sizeof piece > HR_BODY_WINDOW) {
            worker_take(w, w->worker, "", &credit);
            assert_msg_str(&credit, "type", "write.credit");
            int64_t total = hr_msg_int(&credit.msg, "total", -1);
            assert_true(total > credited && total <= sent);
            credited = total;
        }
        assert_int_equal(reply_body(w->worker, &event, piece, sizeof piece, true), 0);
        sent += (int64_t)sizeof piece;
        hr_buf_consume(&c->in, hr_buf_len(&c->in));
    }
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    client_expect(w, c, "0\r\n\r\n");
    world_free(w);
}

static void a_client_that_does_not_read_costs_one_window(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new_slow(w);
    struct hr_server_stats stats;
    int64_t sent = 0, credited = 0;
    (void)state;
    start(w, c, open_address(w));
    for (int idle = 0; idle < 20;) {
        if (sent - credited + (int64_t)sizeof piece <= HR_BODY_WINDOW) {
            assert_int_equal(reply_body(w->worker, &event, piece, sizeof piece, true), 0);
            sent += (int64_t)sizeof piece;
            idle = 0;
        }
        world_turn(w);
        idle++;
        if (worker_poll(w->worker, &credit))
            credited = hr_msg_int(&credit.msg, "total", -1);
    }
    hr_server_stats(w->server, &stats);
    assert_true(stats.unsent_bytes <= HR_BODY_WINDOW + 4 * KIB);
    struct client *other = client_new(w); /* and nobody else waits for it */
    client_say(other, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(w, other, "GET", &answer);
    c->is_deaf = false;
    worker_take(w, w->worker, "", &credit); /* reading on gives credit again */
    world_free(w);
}

static void who_ignores_the_window_is_cut(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new_slow(w);
    (void)state;
    start(w, c, open_address(w));
    for (int i = 0; i < 400 && reply_body(w->worker, &event, piece, sizeof piece, true) == 0; i++)
        world_turn(w);
    UNTIL(w, !hr_layer_address_alive(w->worker, &event.d.reply));
    assert_int_equal(drops(w, "http.request.web", HR_REASON_LIMIT), 1);
    do
        worker_take(w, w->worker, "", &credit);
    while (!hr_str_eq(msg_str(&credit, "type"), HR_LIT("http.disconnect")));
    world_free(w);
}

static void a_slow_stream_is_cut_when_the_process_has_no_budget_left(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.max_unsent = 100 * KIB});
    struct client *c = client_new_slow(w);
    (void)state;
    start(w, c, NULL);
    for (int i = 0; i < 400 && reply_body(w->worker, &event, piece, sizeof piece, true) == 0; i++)
        world_turn(w);
    UNTIL(w, !hr_layer_address_alive(w->worker, &event.d.reply));
    assert_int_equal(drops(w, "http.request.web", HR_REASON_LIMIT), 1);
    world_free(w);
}

static void a_sender_without_an_address_is_told_full(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.window = 64 * KIB});
    struct client *c = client_new_slow(w);
    static uint8_t data[33 * KIB];
    struct hr_pack pack;
    struct hr_send_options options = {0};
    struct hr_server_stats stats;
    int r = 0;
    (void)state;
    start(w, c, NULL);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 3);
    hr_pack_type(&pack, HR_MSG_TYPE_HTTP_RESPONSE_BODY);
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, piece, sizeof piece);
    hr_pack_cstr(&pack, "more_body");
    hr_pack_bool(&pack, true);
    for (int i = 0; i < 400 && r == 0; i++) {
        r = hr_layer_send_to(w->worker, &event.d.reply, data, hr_pack_len(&pack), &options);
        world_turn(w);
    }
    assert_int_equal(r, HR_LAYER_FULL);
    hr_server_stats(w->server, &stats);
    assert_true(stats.unsent_bytes <= 200 * KIB);
    c->is_deaf = false;
    UNTIL(w, hr_layer_send_to(w->worker, &event.d.reply, data, hr_pack_len(&pack), &options) == 0);
    world_free(w);
}

static void a_stream_outlives_its_event(void **state)
{
    struct world *w = world_new(&(struct hr_server_config){.timeout = 40 * HR_MS});
    struct client *c = client_new(w);
    (void)state;
    start(w, c, NULL);
    assert_int_equal(reply_body(w->worker, &event, "one", 3, true), 0);
    assert_int_equal(reply_done(w->worker, &event, 1, NULL, NULL), 0);
    worker_ack(w->worker, &event);
    client_expect(w, c, "one");
    hr_time begin = hr_time_now();
    UNTIL(w, hr_time_now() - begin > 100 * HR_MS); /* nor is it subject to the timeout */
    assert_int_equal(reply_body(w->worker, &event, "two", 3, true), 0);
    client_expect(w, c, "two");
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    client_expect(w, c, "0\r\n\r\n");
    assert_int_equal(reply_body(w->worker, &event, "three", 5, true), HR_LAYER_GONE);
    world_free(w);
}

static void a_stream_goes_on_when_the_holder_who_counted_its_credit_has_ended(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    struct hr_addr holder;
    (void)state;
    start(w, c, open_address(w));
    assert_true(hr_addr_parse(hr_str_of(address), &holder));
    hr_layer_address_close(w->worker, &holder);
    for (int i = 0; i < 64; i++) { /* 2 MiB by a window of 256 KiB, all at once */
        assert_int_equal(reply_body(w->worker, &event, piece, sizeof piece, true), 0);
        if (i % 16 == 15)
            world_settle(w);
        hr_buf_consume(&c->in, hr_buf_len(&c->in));
    }
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    client_expect(w, c, "0\r\n\r\n");
    world_free(w);
}

static void a_body_must_be_as_long_as_announced(void **state)
{
    static const char *const headers[] = {"content-length", "5", NULL, NULL};
    struct world *w = world_new(NULL);
    (void)state;
    const char *const bodies[] = {"12345", "1234", "123456"};
    for (int i = 0; i < 3; i++) {
        struct client *c = client_new(w);
        uint8_t data[128];
        struct hr_pack pack;
        client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        worker_take(w, w->worker, "http.request.web", &event);
        hr_pack_init(&pack, data, sizeof data);
        hr_pack_map(&pack, 3);
        hr_pack_type(&pack, HR_MSG_TYPE_HTTP_RESPONSE_START);
        hr_pack_cstr(&pack, "status");
        hr_pack_int(&pack, 200);
        hr_pack_cstr(&pack, "headers");
        hr_pack_list(&pack, 1);
        hr_pack_header(&pack, hr_str_of(headers[0]), hr_str_of(headers[1]));
        assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
        assert_int_equal(reply_body(w->worker, &event, bodies[i], strlen(bodies[i]), false), 0);
        if (i == 0) {
            client_answer(w, c, "GET", &answer);
            assert_string_equal(answer.body, "12345");
        } else {
            UNTIL(w, c->is_eof);
            assert_false(client_has_answer(c, "GET"));
        }
    }
    world_free(w);
}

static void a_streamed_answer_to_head_gives_credit_too(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_start(w->worker, &event, 200, open_address(w)), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(reply_body(w->worker, &event, piece, sizeof piece, true), 0);
    worker_take(w, w->worker, "", &credit);
    assert_msg_str(&credit, "type", "write.credit");
    assert_int_equal(reply_body(w->worker, &event, "", 0, false), 0);
    client_answer(w, c, "HEAD", &answer);
    world_settle(w);
    assert_int_equal(hr_buf_len(&c->in), 0);
    world_free(w);
}

int test_stream(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_holder_learns_how_much_was_written),
        cmocka_unit_test(a_client_that_does_not_read_costs_one_window),
        cmocka_unit_test(who_ignores_the_window_is_cut),
        cmocka_unit_test(a_slow_stream_is_cut_when_the_process_has_no_budget_left),
        cmocka_unit_test(a_sender_without_an_address_is_told_full),
        cmocka_unit_test(a_stream_outlives_its_event),
        cmocka_unit_test(a_stream_goes_on_when_the_holder_who_counted_its_credit_has_ended),
        cmocka_unit_test(a_body_must_be_as_long_as_announced),
        cmocka_unit_test(a_streamed_answer_to_head_gives_credit_too),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
