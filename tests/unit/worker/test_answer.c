/* test_answer.c - what a consumer says, what the server hears, in which order. */
#include "fixture.h"

/* ---- HTTP */

static int say_hello(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_http_reply(ctx, 200, "text/plain", "Hello %.*s\n", HR_STR(hr_http_path(request)));
}

static struct hr_str header_of(const struct hr_msg *msg, const char *wanted)
{
    struct hr_value list, pair, name, value;
    if (!hr_msg_get(msg, "headers", &list))
        return (struct hr_str){0};
    struct hr_walk walk = hr_walk(&list);
    while (hr_list_next(&walk, &pair)) {
        struct hr_walk at = hr_walk(&pair);
        assert_true(hr_list_next(&at, &name) && hr_list_next(&at, &value));
        if (hr_str_eq(name.as.str, hr_str_of(wanted)))
            return value.as.str;
    }
    return (struct hr_str){0};
}

static void a_reply_is_one_message_and_then_the_ack(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = say_hello},
                                                   {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/world");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 200);
    assert_str(hr_msg_bytes(&answer->msg, "body"), "Hello /world\n");
    assert_str(header_of(&answer->msg, "content-type"), "text/plain");
    assert_false(hr_msg_bool(&answer->msg, "more_body", false));
    assert_false(rig_has_next(&rig)); /* it carries done itself */
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static int say_headers(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_set_header(ctx, "x-number", "%d", 42);
    hr_http_set_header(ctx, "set-cookie", "a=b");
    return hr_http_reply_bytes(ctx, 201, NULL, "\0\1", 2);
}

static int say_bad_name(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_set_header(ctx, "x y", "1");
    return hr_http_reply(ctx, 200, "text/plain", "not said");
}

static int say_bad_value(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_set_header(ctx, "location", "/\r\nset-cookie: stolen=1");
    return hr_http_reply(ctx, 302, NULL, "not said");
}

static void headers_are_sent_and_cannot_break_out(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/good", .fn = say_headers},
        {.channel = "http.request", .path = "/name", .fn = say_bad_name},
        {.channel = "http.request", .path = "/value", .fn = say_bad_value},
        {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/good");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 201);
    assert_str(header_of(&answer->msg, "x-number"), "42");
    assert_str(header_of(&answer->msg, "set-cookie"), "a=b");
    assert_int_equal(header_of(&answer->msg, "content-type").len, 0);
    assert_int_equal(hr_msg_bytes(&answer->msg, "body").len, 2);

    static const char *const bad[] = {"/name", "/value"};
    for (int i = 0; i < 2; i++) {
        rig_get(&rig, bad[i]);
        answer = rig_expect(&rig, "http.response.start");
        assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
        assert_str(hr_msg_bytes(&answer->msg, "body"), "Internal Server Error\n");
        assert_str(hr_msg_str(&answer->msg, "reason"), "app");
        assert_int_equal(header_of(&answer->msg, "location").len, 0);
    }
    rig_close(&rig);
}

static int say_twice(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    assert_int_equal(hr_http_reply(ctx, 200, NULL, "one"), 0);
    assert_int_equal(hr_http_reply(ctx, 200, NULL, "two"), HR_ERR_STATE);
    assert_int_equal(hr_ctx_error(ctx), HR_ERR_STATE);
    return 0;
}

static void a_second_answer_is_refused_here(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = say_twice},
                                                   {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "one");
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static int say_nothing(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    (void)request;
    return 0;
}

static int fail_full(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    (void)request;
    return HR_ERR_FULL;
}

static int fail_positive(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    (void)request;
    return 17;
}

static int fail_then_reply(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_ctx_fail(ctx, HR_ERR_NOMEM);
    assert_int_equal(hr_http_reply(ctx, 200, NULL, "not said"), HR_ERR_NOMEM);
    return hr_ctx_fail(ctx, HR_ERR_SYS); /* the first error stays */
}

static int fail_and_recover(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_ctx_fail(ctx, HR_ERR_NOMEM);
    hr_ctx_clear_error(ctx);
    return hr_http_reply(ctx, 200, NULL, "said");
}

static void errors_stick_and_become_their_status(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/full", .fn = fail_full},
        {.channel = "http.request", .path = "/positive", .fn = fail_positive},
        {.channel = "http.request", .path = "/sticky", .fn = fail_then_reply},
        {.channel = "http.request", .path = "/cleared", .fn = fail_and_recover},
        {0}};
    static const struct {
        const char *path;
        int status;
    } rows[] = {{"/full", 503}, {"/positive", 500}, {"/sticky", 503}, {"/cleared", 200}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_get(&rig, rows[i].path);
        const struct answer *answer = rig_expect(&rig, "http.response.start");
        assert_int_equal(hr_msg_int(&answer->msg, "status", 0), rows[i].status);
        assert_false(rig_has_next(&rig));
        assert_true(rig_is_acked(&rig));
    }
    rig_close(&rig);
}

static void no_answer_is_done_without_one(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = say_nothing},
                                                   {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "event.done");
    assert_int_equal(hr_msg_int(&answer->msg, "seq", 0), 1);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static int say_in_pieces(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_start(ctx, 200, "text/csv");
    hr_http_write(ctx, "a,b\n", 4);
    hr_http_write(ctx, "", 0); /* nothing, so nothing is sent */
    hr_http_write(ctx, "c,d\n", 4);
    return hr_http_end(ctx);
}

static void pieces_come_in_order_with_an_address_for_credit(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = say_in_pieces},
                                                   {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    struct hr_addr to;
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_true(hr_addr_parse(hr_msg_str(&answer->msg, "to"), &to));
    assert_int_equal(hr_msg_bytes(&answer->msg, "body").len, 0);
    static const char *const pieces[] = {"a,b\n", "c,d\n", ""};
    for (int i = 0; i < 3; i++) {
        answer = rig_expect(&rig, "http.response.body");
        assert_str(hr_msg_bytes(&answer->msg, "body"), pieces[i]);
        assert_int_equal(hr_msg_bool(&answer->msg, "more_body", false), i < 2);
    }
    assert_false(rig_has_next(&rig)); /* the last piece implies done */
    assert_true(rig_is_acked(&rig));
    assert_false(hr_layer_address_alive(rig.server, &to));
    rig_close(&rig);
}

static int start_and_fail(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_start(ctx, 200, NULL);
    hr_http_write(ctx, "half", 4);
    return HR_ERR_APP;
}

static int start_and_return(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    return hr_http_start(ctx, 200, "text/event-stream");
}

static void half_an_answer_is_handed_back_to_be_cut_off(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = start_and_fail}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    rig_expect(&rig, "http.response.start");
    rig_expect(&rig, "http.response.body");
    const struct answer *answer = rig_next(&rig);
    assert_int_equal(answer->kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(answer->reason, HR_REASON_APP);
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

static void an_answer_begun_outlives_its_event(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = start_and_return}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    rig_expect(&rig, "http.response.start");
    rig_expect(&rig, "event.done");
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static int hand_on(struct hr_ctx *ctx, const struct hr_msg *request)
{
    uint8_t room[64];
    struct hr_pack pack;
    (void)request;
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "year");
    hr_pack_int(&pack, 2024);
    return hr_http_hand_on(ctx, "bigdata.process", &pack, 120 * HR_SECOND);
}

static int crunch(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    if (hr_msg_int(msg, "year", 0) != 2024)
        return HR_ERR_MESSAGE;
    return hr_http_reply(ctx, 200, "text/csv", "crunched");
}

static void handing_on_sends_the_right_to_answer_along(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = hand_on}, {.channel = "bigdata.*", .fn = crunch}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "event.done");
    assert_true(hr_msg_bool(&answer->msg, "handed_on", false));
    assert_int_equal(hr_msg_int(&answer->msg, "timeout", 0), 120000);
    assert_int_equal(hr_msg_int(&answer->msg, "seq", 0), 1);
    answer = rig_expect(&rig, "http.response.start");
    assert_str(hr_msg_bytes(&answer->msg, "body"), "crunched");
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void what_was_handed_on_and_not_answered_is_a_500(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = hand_on},
        {.channel = "bigdata.process", .fn = say_nothing},
        {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_get(&rig, "/");
    rig_expect(&rig, "event.done");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    assert_str(hr_msg_str(&answer->msg, "reason"), "app");
    rig_close(&rig);
}

static void handing_on_to_a_full_channel_leaves_the_event_with_us(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = hand_on}, {0}};
    struct hr_channel_policy policy = {.pattern = "bigdata.*", .max_messages = 1};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    assert_int_equal(hr_layer_set_policies(rig.server, &policy, 1), 0);
    rig_get(&rig, "/");
    rig_expect(&rig, "event.done");
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 503);
    rig_close(&rig);
}

/* ---- WebSocket */

static int welcome(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    if (hr_ws_offers(connect, "chat.v2"))
        return hr_ws_accept_protocol(ctx, HR_LIT("chat.v2"));
    hr_http_set_header(ctx, "x-room", "blue");
    return hr_ws_accept(ctx);
}

static void a_handshake_is_accepted_with_protocol_and_headers(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "websocket.connect", .fn = welcome},
                                                   {0}};
    static const char *const offers[] = {"chat.v1", "chat.v2", NULL};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/"});
    const struct answer *answer = rig_expect(&rig, "websocket.accept");
    assert_str(header_of(&answer->msg, "x-room"), "blue");
    assert_int_equal(hr_msg_str(&answer->msg, "subprotocol").len, 0);
    rig_expect(&rig, "event.done");
    assert_true(rig_is_acked(&rig));

    rig_send(&rig, &(struct event){
                       .channel = "websocket.connect.web", .path = "/", .subprotocols = offers});
    answer = rig_expect(&rig, "websocket.accept");
    assert_str(hr_msg_str(&answer->msg, "subprotocol"), "chat.v2");
    rig_expect(&rig, "event.done");
    rig_close(&rig);
}

static int deny(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    return hr_ws_deny(ctx, 401);
}

static int send_before_accept(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    return hr_ws_send(ctx, "too early");
}

static int accept_and_fail(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    hr_ws_accept(ctx);
    return HR_ERR_APP;
}

static int close_early(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    return hr_ws_close(ctx, 1000, NULL);
}

static void a_handshake_that_is_not_accepted_is_denied(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.connect", .path = "/deny", .fn = deny},
        {.channel = "websocket.connect", .path = "/silent", .fn = say_nothing},
        {.channel = "websocket.connect", .path = "/early", .fn = send_before_accept},
        {.channel = "websocket.connect", .path = "/fail", .fn = accept_and_fail},
        {.channel = "websocket.connect", .path = "/close", .fn = close_early},
        {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/deny"});
    const struct answer *answer = rig_expect(&rig, "websocket.http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 401);
    rig_expect(&rig, "event.done");

    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/silent"});
    rig_expect(&rig, "event.done"); /* the server makes it a 403 */

    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/early"});
    answer = rig_expect(&rig, "websocket.http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    rig_expect(&rig, "event.done");

    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/fail"});
    rig_expect(&rig, "websocket.accept");
    answer = rig_expect(&rig, "websocket.close");
    assert_int_equal(hr_msg_int(&answer->msg, "code", 0), 1011);
    rig_expect(&rig, "event.done");

    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/close"});
    rig_expect(&rig, "websocket.close");
    rig_expect(&rig, "event.done");
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

static int echo(struct hr_ctx *ctx, const struct hr_msg *received)
{
    return hr_ws_echo(ctx, received);
}

static void text_stays_text_and_bytes_stay_bytes(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "websocket.receive", .fn = echo},
                                                   {0}};
    struct hr_value value;
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_receive(&rig, "/", "gr\xc3\xbc\xc3\x9f");
    const struct answer *answer = rig_expect(&rig, "websocket.send");
    assert_str(hr_msg_str(&answer->msg, "text"), "gr\xc3\xbc\xc3\x9f");
    assert_false(hr_msg_get(&answer->msg, "bytes", &value));
    assert_int_equal(hr_msg_int(&rig_expect(&rig, "event.done")->msg, "seq", 0), 1);

    rig_send(&rig,
             &(struct event){.channel = "websocket.receive.web", .path = "/", .bytes = "\xff\xfe"});
    answer = rig_expect(&rig, "websocket.send");
    assert_str(hr_msg_bytes(&answer->msg, "bytes"), "\xff\xfe");
    assert_false(hr_msg_get(&answer->msg, "text", &value));
    assert_int_equal(hr_msg_int(&rig_expect(&rig, "event.done")->msg, "seq", 0), 2);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static int say_much(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    hr_ws_send(ctx, "%d", 1);
    hr_ws_send_bytes(ctx, "2", 1);
    hr_ws_send_text(ctx, HR_LIT("3"));
    hr_ws_close(ctx, 4001, "enough");
    assert_int_equal(hr_ws_send(ctx, "after the close"), HR_ERR_STATE);
    return 0;
}

static int say_no_text(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    return hr_ws_send(ctx, "\xff");
}

static int close_badly(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    return hr_ws_close(ctx, 1006, NULL);
}

static void what_is_said_comes_in_order_and_errors_close(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.receive", .path = "/much", .fn = say_much},
        {.channel = "websocket.receive", .path = "/utf8", .fn = say_no_text},
        {.channel = "websocket.receive", .path = "/code", .fn = close_badly},
        {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_receive(&rig, "/much", "go");
    assert_str(hr_msg_str(&rig_expect(&rig, "websocket.send")->msg, "text"), "1");
    assert_str(hr_msg_bytes(&rig_expect(&rig, "websocket.send")->msg, "bytes"), "2");
    assert_str(hr_msg_str(&rig_expect(&rig, "websocket.send")->msg, "text"), "3");
    const struct answer *answer = rig_expect(&rig, "websocket.close");
    assert_int_equal(hr_msg_int(&answer->msg, "code", 0), 4001);
    assert_str(hr_msg_str(&answer->msg, "reason"), "enough");
    rig_expect(&rig, "event.done");

    static const char *const bad[] = {"/utf8", "/code"};
    for (int i = 0; i < 2; i++) {
        rig_receive(&rig, bad[i], "go");
        answer = rig_expect(&rig, "websocket.close");
        assert_int_equal(hr_msg_int(&answer->msg, "code", 0), 1011);
        rig_expect(&rig, "event.done");
    }
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

static struct rig *leaving;

static int leave_and_send(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    assert_false(hr_ctx_client_gone(ctx));
    hr_layer_address_close(leaving->server, &leaving->client);
    assert_int_equal(hr_ws_send(ctx, "x"), HR_ERR_GONE);
    assert_int_equal(hr_ctx_error(ctx), 0);
    assert_true(hr_ctx_client_gone(ctx));
    return hr_group_send(ctx, HR_LIT("room"), "the room is told all the same");
}

static void a_client_that_left_is_no_error(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.receive", .fn = leave_and_send}, {0}};
    struct hr_addr other;
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    leaving = &rig;
    assert_int_equal(hr_layer_address_open(rig.server, &other), 0);
    assert_int_equal(hr_layer_group_add_addr(rig.server, HR_LIT("room"), &other), 0);
    rig_receive(&rig, "/", "go");
    const struct answer *answer = rig_next(&rig);
    assert_int_equal(answer->kind, HR_DELIVERY_GROUP);
    assert_str(hr_msg_str(&answer->msg, "text"), "the room is told all the same");
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

int run_answer_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_one_message_and_then_the_ack),
        cmocka_unit_test(headers_are_sent_and_cannot_break_out),
        cmocka_unit_test(a_second_answer_is_refused_here),
        cmocka_unit_test(errors_stick_and_become_their_status),
        cmocka_unit_test(no_answer_is_done_without_one),
        cmocka_unit_test(pieces_come_in_order_with_an_address_for_credit),
        cmocka_unit_test(half_an_answer_is_handed_back_to_be_cut_off),
        cmocka_unit_test(an_answer_begun_outlives_its_event),
        cmocka_unit_test(handing_on_sends_the_right_to_answer_along),
        cmocka_unit_test(what_was_handed_on_and_not_answered_is_a_500),
        cmocka_unit_test(handing_on_to_a_full_channel_leaves_the_event_with_us),
        cmocka_unit_test(a_handshake_is_accepted_with_protocol_and_headers),
        cmocka_unit_test(a_handshake_that_is_not_accepted_is_denied),
        cmocka_unit_test(text_stays_text_and_bytes_stay_bytes),
        cmocka_unit_test(what_is_said_comes_in_order_and_errors_close),
        cmocka_unit_test(a_client_that_left_is_no_error),
    };
    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
