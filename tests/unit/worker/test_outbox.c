/* test_outbox.c - output that has to wait: for the client, for the layer. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/outbox.h"
#include "worker/worker_impl.h"

static const size_t KIB = 1 << 10;

static struct {
    size_t size;     /* of what is to be written */
    size_t n_drains; /* calls of on_drain */
    int result;
    struct hr_ctx *ctx;
} plan;

static char *letters(size_t len)
{
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + i % 23);
    return bytes;
}

static int reply_with_size(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    char *bytes = letters(plan.size);
    plan.result = hr_http_reply_bytes(ctx, 200, "text/plain", bytes, plan.size);
    free(bytes);
    return plan.result;
}

static const struct hr_consumer replies[] = {{.channel = "http.request", .fn = reply_with_size},
                                             {0}};

static void send_credit(struct rig *rig, struct hr_str to, size_t total)
{
    uint8_t room[64];
    struct hr_pack pack;
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 2);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "write.credit");
    hr_pack_cstr(&pack, "total");
    hr_pack_int(&pack, (int64_t)total);
    rig_to_holder(rig, to, &pack);
}

/* Reads pieces of body until there are none; appends to *body. True when the last one came. */
static bool take_body(struct rig *rig, char *body, size_t *len)
{
    while (rig_has_next(rig)) {
        const struct answer *answer = rig_expect(rig, "http.response.body");
        struct hr_str piece = hr_msg_bytes(&answer->msg, "body");
        assert_true(piece.len <= 64 * KIB);
        if (piece.len > 0)
            memcpy(body + *len, piece.ptr, piece.len);
        *len += piece.len;
        if (!hr_msg_bool(&answer->msg, "more_body", false))
            return true;
    }
    return false;
}

static void an_answer_is_one_message_up_to_64_kib(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, replies, NULL);
    plan.size = 64 * KIB;
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_bytes(&answer->msg, "body").len, 64 * KIB);
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

static void a_long_answer_keeps_to_the_window(void **state)
{
    const size_t size = 900 * KIB + 5;
    char *expected = letters(size), *body = malloc(size);
    struct hr_value headers, pair, value;
    size_t len = 0;
    struct rig rig;
    (void)state;
    rig_open(&rig, replies, NULL);
    plan.size = size;
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    struct hr_str to = hr_msg_str(&answer->msg, "to");
    assert_true(hr_msg_get(&answer->msg, "headers", &headers));
    struct hr_walk walk = hr_walk(&headers);
    bool has_length = false;
    while (hr_list_next(&walk, &pair)) {
        struct hr_walk at = hr_walk(&pair);
        assert_true(hr_list_next(&at, &value));
        has_length = has_length || hr_str_eq(value.as.str, HR_LIT("content-length"));
    }
    assert_true(has_length);

    assert_false(take_body(&rig, body, &len));
    assert_int_equal(len, 256 * KIB);
    assert_false(rig_is_acked(&rig)); /* done and ack wait behind it */
    size_t written = 0;
    bool is_over = false;
    while (!is_over) {
        written += 64 * KIB;
        assert_true(written <= len);
        send_credit(&rig, to, written);
        is_over = take_body(&rig, body, &len);
        assert_true(len - written <= 256 * KIB);
    }
    assert_int_equal(len, size);
    assert_memory_equal(body, expected, size);
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
    free(expected);
    free(body);
}

static void credit_that_makes_no_sense_is_ignored(void **state)
{
    char *body = malloc(512 * KIB);
    size_t len = 0;
    struct rig rig;
    (void)state;
    rig_open(&rig, replies, NULL);
    plan.size = 512 * KIB;
    rig_get(&rig, "/");
    struct hr_str to = hr_msg_str(&rig_expect(&rig, "http.response.start")->msg, "to");
    assert_false(take_body(&rig, body, &len));
    send_credit(&rig, to, 600 * KIB); /* more than was sent */
    send_credit(&rig, to, (size_t)-5);
    assert_false(take_body(&rig, body, &len));
    assert_int_equal(len, 256 * KIB);
    send_credit(&rig, to, 256 * KIB);
    assert_true(take_body(&rig, body, &len));
    rig_close(&rig);
    free(body);
}

static void a_client_that_leaves_frees_what_waits(void **state)
{
    char *body = malloc(512 * KIB);
    size_t len = 0;
    struct rig rig;
    (void)state;
    rig_open(&rig, replies, NULL);
    plan.size = 900 * KIB;
    rig_get(&rig, "/");
    struct hr_str to = hr_msg_str(&rig_expect(&rig, "http.response.start")->msg, "to");
    assert_false(take_body(&rig, body, &len));
    hr_layer_address_close(rig.server, &rig.client);
    send_credit(&rig, to, 128 * KIB);
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
    free(body);
}

static void an_answer_in_one_go_is_at_most_16_mib(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, replies, NULL);
    plan.size = 16 * KIB * KIB + 1;
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(plan.result, HR_ERR_TOO_BIG);
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    rig_close(&rig);
}

static void on_drain(struct hr_ctx *ctx, void *arg)
{
    (void)arg;
    plan.n_drains++;
    assert_true(hr_http_window(ctx) >= 128 * KIB);
}

static int write_with_size(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    char *bytes = letters(plan.size);
    hr_http_start(ctx, 200, "text/plain");
    assert_int_equal(hr_http_window(ctx), 256 * KIB);
    hr_http_on_drain(ctx, on_drain, NULL);
    plan.result = hr_http_write(ctx, bytes, plan.size);
    free(bytes);
    plan.ctx = ctx;
    if (plan.result == 0)
        hr_ctx_keep(ctx);
    return plan.result;
}

static const struct hr_consumer writes[] = {{.channel = "http.request", .fn = write_with_size},
                                            {0}};

static void room_is_told_when_half_the_window_is_free(void **state)
{
    char *body = malloc(512 * KIB);
    size_t len = 0;
    struct rig rig;
    (void)state;
    memset(&plan, 0, sizeof plan);
    rig_open(&rig, writes, NULL);
    plan.size = 300 * KIB;
    rig_get(&rig, "/");
    struct hr_str to = hr_msg_str(&rig_expect(&rig, "http.response.start")->msg, "to");
    assert_false(take_body(&rig, body, &len));
    assert_int_equal(len, 256 * KIB);
    assert_int_equal(hr_http_window(plan.ctx), 0);
    send_credit(&rig, to, 64 * KIB);
    assert_false(take_body(&rig, body, &len));
    assert_int_equal(len, 300 * KIB);
    assert_int_equal(plan.n_drains, 0);
    send_credit(&rig, to, 200 * KIB);
    assert_false(rig_has_next(&rig));
    assert_int_equal(plan.n_drains, 1);
    send_credit(&rig, to, 300 * KIB);
    assert_false(rig_has_next(&rig));
    assert_int_equal(plan.n_drains, 1);
    assert_int_equal(hr_http_window(plan.ctx), 256 * KIB);
    hr_http_end(plan.ctx);
    hr_ctx_done(plan.ctx);
    assert_true(take_body(&rig, body, &len));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
    free(body);
}

static void a_write_beyond_the_queue_is_refused_whole(void **state)
{
    struct rig rig;
    (void)state;
    memset(&plan, 0, sizeof plan);
    rig_open(&rig, writes, NULL);
    plan.size = 256 * KIB + HR_OUTBOX_MAX + 1;
    rig_get(&rig, "/");
    rig_expect(&rig, "http.response.start");
    assert_int_equal(plan.result, HR_ERR_FULL);
    assert_int_equal(rig_next(&rig)->kind, HR_DELIVERY_LEASE_LOST); /* begun, so cut off */
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

/* ---- a layer that refuses */

static int send_ten(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    for (int i = 0; i < 10; i++)
        assert_int_equal(hr_ws_send(ctx, "%d", i), 0);
    return hr_group_send(ctx, HR_LIT("room"), "10");
}

static int reply_ok(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    return hr_http_reply(ctx, 200, NULL, "ok");
}

static const struct hr_consumer tens[] = {{.channel = "websocket.receive", .fn = send_ten},
                                          {.channel = "http.request", .fn = reply_ok},
                                          {0}};

static void what_a_full_connection_refuses_comes_later_in_order(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, tens, NULL);
    assert_int_equal(hr_layer_group_add_addr(rig.server, HR_LIT("room"), &rig.client), 0);
    hr_layer_address_set_full(rig.server, &rig.client, true);
    rig_receive(&rig, "/", "go");
    assert_false(rig_has_next(&rig));
    assert_false(rig_is_acked(&rig));

    /* Another connection's event is handled meanwhile. */
    struct hr_addr slow = rig.client;
    assert_int_equal(hr_layer_address_open(rig.server, &rig.client), 0);
    rig_get(&rig, "/");
    rig_expect(&rig, "http.response.start");
    assert_true(rig_is_acked(&rig));

    hr_layer_address_set_full(rig.server, &slow, false);
    for (int i = 0; i < 10; i++) {
        const struct answer *answer = rig_expect(&rig, "websocket.send");
        assert_int_equal(hr_msg_str(&answer->msg, "text").ptr[0], '0' + i);
    }
    const struct answer *answer = rig_next(&rig); /* did not overtake */
    assert_int_equal(answer->kind, HR_DELIVERY_GROUP);
    assert_str(hr_msg_str(&answer->msg, "text"), "10");
    rig_expect(&rig, "event.done");
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

static int send_a_lot(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    char *bytes = letters(100 * KIB);
    int n = 0;
    while (hr_ws_send_bytes(ctx, bytes, 100 * KIB) == 0)
        n++;
    free(bytes);
    assert_int_equal(n, 10);
    assert_int_equal(hr_ctx_error(ctx), HR_ERR_FULL);
    return 0;
}

static void the_queue_of_an_event_is_bounded(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.receive", .fn = send_a_lot}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    hr_layer_address_set_full(rig.server, &rig.client, true);
    rig_receive(&rig, "/", "go");
    assert_false(rig_has_next(&rig));
    hr_layer_address_set_full(rig.server, &rig.client, false);
    for (int i = 0; i < 10; i++)
        rig_expect(&rig, "websocket.send");
    const struct answer *answer = rig_expect(&rig, "websocket.close");
    assert_int_equal(hr_msg_int(&answer->msg, "code", 0), 1013);
    rig_expect(&rig, "event.done");
    rig_close(&rig);
}

static void a_client_that_leaves_ends_the_waiting(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, tens, NULL);
    hr_layer_address_set_full(rig.server, &rig.client, true);
    rig_receive(&rig, "/", "go");
    assert_false(rig_has_next(&rig));
    hr_layer_address_close(rig.server, &rig.client);
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void what_is_refused_for_too_long_is_given_up_with_an_error(void **state)
{
    struct hr_channel_stats stats;
    struct rig rig;
    (void)state;
    rig_open(&rig, tens, NULL);
    rig.worker->patience = 20 * HR_MS;
    hr_layer_address_set_full(rig.server, &rig.client, true);
    rig_receive(&rig, "/", "go");
    hr_time until = hr_time_now() + 5 * HR_SECOND;
    while (!rig_is_acked(&rig) && hr_time_now() < until)
        hr_loop_turn(rig.loop, true);
    const struct answer *answer = rig_expect(&rig, "websocket.close"); /* control passes */
    assert_int_equal(hr_msg_int(&answer->msg, "code", 0), 1013);
    rig_expect(&rig, "event.done");
    assert_false(rig_has_next(&rig));
    assert_true(hr_layer_channel_find(rig.server, HR_LIT("websocket.receive.web"), &stats));
    assert_int_equal(stats.n_dropped[HR_REASON_QUEUE_FULL], 1);
    rig_close(&rig);
}

/* So full that not even control goes in. */
static size_t fill_inbox(struct rig *rig)
{
    struct hr_send_options options = {.is_control = true};
    uint8_t empty = 0x80;
    size_t n = 0;
    while (hr_layer_send_to(hr_worker_layer(rig->worker), &rig->client, &empty, 1, &options) == 0)
        n++;
    assert_true(n > 1000);
    return n;
}

static void what_cannot_be_said_at_all_goes_back(void **state)
{
    struct hr_delivery d;
    struct rig rig;
    (void)state;
    rig_open(&rig, tens, NULL);
    rig.worker->patience = 20 * HR_MS;
    rig_receive(&rig, "/", "go");
    size_t n = fill_inbox(&rig);
    hr_time until = hr_time_now() + 5 * HR_SECOND;
    while (!rig_is_acked(&rig) && hr_time_now() < until)
        hr_loop_turn(rig.loop, true);
    assert_true(rig_is_acked(&rig));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(hr_layer_receive(rig.server, HR_RECEIVE_INBOX, &d), 0);
        assert_int_equal(d.kind, HR_DELIVERY_MESSAGE);
        assert_int_equal(d.len, 1);
    }
    until = hr_time_now() + 5 * HR_SECOND;
    while (hr_layer_receive(rig.server, HR_RECEIVE_INBOX, &d) != 0 && hr_time_now() < until)
        assert_true(hr_layer_wait(rig.server, HR_RECEIVE_INBOX, 50 * HR_MS) >= 0);
    assert_int_equal(d.kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(d.reason, HR_REASON_QUEUE_FULL);
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

int run_outbox_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_one_message_up_to_64_kib),
        cmocka_unit_test(a_long_answer_keeps_to_the_window),
        cmocka_unit_test(credit_that_makes_no_sense_is_ignored),
        cmocka_unit_test(a_client_that_leaves_frees_what_waits),
        cmocka_unit_test(an_answer_in_one_go_is_at_most_16_mib),
        cmocka_unit_test(room_is_told_when_half_the_window_is_free),
        cmocka_unit_test(a_write_beyond_the_queue_is_refused_whole),
        cmocka_unit_test(what_a_full_connection_refuses_comes_later_in_order),
        cmocka_unit_test(the_queue_of_an_event_is_bounded),
        cmocka_unit_test(a_client_that_leaves_ends_the_waiting),
        cmocka_unit_test(what_is_refused_for_too_long_is_given_up_with_an_error),
        cmocka_unit_test(what_cannot_be_said_at_all_goes_back),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
