/* test_order.c - what operators ask of a server. */
#include <stdio.h>

#include "harness.h"
#include "suites.h"

static struct event event;
static struct frame frame;

struct reply {
    bool is_ok;
    int64_t n;
    char text[128];
};

static void send_order(struct world *w, struct hr_layer *asker, const void *data, size_t len)
{
    struct hr_addr server = hr_layer_control_address(w->layer);
    const struct hr_send_options options = {.reply = hr_layer_control_address(asker),
                                            .is_control = true};
    assert_int_equal(hr_layer_send_to(asker, &server, data, len, &options), 0);
}

static void ask(struct world *w, struct hr_layer *asker, const char *type, const char *path,
                int64_t code)
{
    uint8_t data[256];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 4);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, type);
    hr_pack_cstr(&pack, "path");
    hr_pack_cstr(&pack, path);
    hr_pack_cstr(&pack, "code");
    hr_pack_int(&pack, code);
    hr_pack_cstr(&pack, "reason");
    hr_pack_cstr(&pack, "maintenance");
    assert_int_equal(hr_pack_done(&pack), 0);
    send_order(w, asker, data, hr_pack_len(&pack));
}

static struct reply take_reply(struct world *w, struct hr_layer *asker)
{
    struct hr_delivery delivery;
    struct reply reply;
    struct hr_msg msg;
    UNTIL(w, hr_layer_receive(asker, HR_RECEIVE_INBOX, &delivery) == 0);
    assert_int_equal(delivery.kind, HR_DELIVERY_MESSAGE);
    assert_int_equal(hr_msg_check(delivery.data, delivery.len, &msg), 0);
    assert_int_equal(hr_msg_type_of(&msg), HR_MSG_TYPE_CONTROL_DONE);
    reply.is_ok = hr_msg_bool(&msg, "ok", false);
    reply.n = hr_msg_int(&msg, "n", -1);
    hr_str_copy(reply.text, sizeof reply.text, hr_msg_str(&msg, "text"));
    return reply;
}

static void sockets_below_a_path_are_closed_and_counted(void **state)
{
    struct world *w = world_new(NULL);
    struct hr_layer *asker = world_attach(w, HR_ROLE_CLIENT, "close");
    struct client *c[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        c[i] = client_new(w);
        ws_open(w, c[i], &event); /* at /chat */
    }
    ask(w, asker, "control.close", "/other", 1012);
    struct reply reply = take_reply(w, asker);
    assert_true(reply.is_ok);
    assert_int_equal(reply.n, 0);

    ask(w, asker, "control.close", "/ch", 1012);

    reply = take_reply(w, asker);
    assert_true(reply.is_ok);
    assert_int_equal(reply.n, 3);
    for (int i = 0; i < 3; i++) {
        ws_next(w, c[i], &frame);
        assert_int_equal(frame.event, HR_WS_GOT_CLOSE);
        assert_int_equal(frame.code, 1012);
        assert_string_equal(frame.data, "maintenance");
    }
    ask(w, asker, "control.close", "/ch", 1012); /* they are closing already */
    assert_int_equal(take_reply(w, asker).n, 0);
    hr_layer_close(asker);
    world_free(w);
}

static void an_order_that_makes_no_sense_is_refused(void **state)
{
    struct world *w = world_new(NULL);
    struct hr_layer *asker = world_attach(w, HR_ROLE_CLIENT, "close");
    struct client *c = client_new(w);
    (void)state;
    ws_open(w, c, &event);
    ask(w, asker, "control.close", "/", 1005); /* RFC 6455 7.4.1: never on the wire */
    assert_false(take_reply(w, asker).is_ok);
    ask(w, asker, "control.close", "/", 70000);
    assert_false(take_reply(w, asker).is_ok);
    ask(w, asker, "control.close", "", 1001);
    assert_false(take_reply(w, asker).is_ok);
    ask(w, asker, "control.reload", "/", 1001);
    assert_string_equal(take_reply(w, asker).text, "this server knows no such request");
    send_order(w, asker, "\xc1", 1);
    assert_string_equal(take_reply(w, asker).text, "not a message");
    world_settle(w);
    assert_false(c->is_eof);
    assert_int_equal(hr_buf_len(&c->in), 0);
    hr_layer_close(asker);
    world_free(w);
}

static void more_orders_than_there_may_be_are_refused(void **state)
{
    enum { N = 40 };
    struct world *w = world_new(NULL);
    struct hr_layer *asker = world_attach(w, HR_ROLE_CLIENT, "close");
    int n_refused = 0;
    (void)state;
    for (int i = 0; i < N; i++) /* all in one turn of the server */
        ask(w, asker, "control.close", "/", 1001);
    for (int i = 0; i < N; i++) {
        struct reply reply = take_reply(w, asker);
        n_refused += !reply.is_ok;
        if (!reply.is_ok)
            assert_string_equal(reply.text, "too much is asked at once");
    }
    assert_int_equal(n_refused, N - 16);
    hr_layer_close(asker);
    world_free(w);
}

static void who_asked_a_server_that_ends_gets_the_question_back(void **state)
{
    struct world *w = world_new(NULL);
    struct hr_layer *asker = world_attach(w, HR_ROLE_CLIENT, "close");
    struct hr_delivery delivery;
    (void)state;
    for (int i = 0; i < 4; i++)
        ask(w, asker, "control.close", "/", 1001);
    world_turn(w); /* one of them is done in it */
    hr_server_close(w->server);
    w->server = NULL;
    int n_lost = 0, n_done = 0;
    while (hr_layer_receive(asker, HR_RECEIVE_INBOX, &delivery) == 0) {
        n_lost += delivery.kind == HR_DELIVERY_LEASE_LOST;
        n_done += delivery.kind == HR_DELIVERY_MESSAGE;
    }
    assert_int_equal(n_lost + n_done, 4);
    assert_true(n_lost > 0);
    hr_layer_close(asker);
    world_free(w);
}

int test_order(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_below_a_path_are_closed_and_counted),
        cmocka_unit_test(an_order_that_makes_no_sense_is_refused),
        cmocka_unit_test(more_orders_than_there_may_be_are_refused),
        cmocka_unit_test(who_asked_a_server_that_ends_gets_the_question_back),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
