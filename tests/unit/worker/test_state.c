/* test_state.c - a connection's state: what came, what was changed, what goes back. */
#include "fixture.h"

static uint8_t stored[32 << 10]; /* the server's copy */
static size_t stored_len;

static void store(const struct answer *done)
{
    struct hr_value state;
    struct hr_pack pack;
    hr_pack_init(&pack, stored, sizeof stored);
    if (!hr_msg_get(&done->msg, "state", &state))
        return;
    hr_pack_value(&pack, &state);
    assert_int_equal(hr_pack_done(&pack), 0);
    stored_len = hr_pack_len(&pack);
}

static void send_with_state(struct rig *rig, const char *path)
{
    rig_send(rig, &(struct event){.channel = "websocket.receive.web",
                                  .path = path,
                                  .text = "x",
                                  .state = stored_len ? stored : NULL,
                                  .state_len = stored_len});
}

static int set_all(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    char nick[] = "Zo\xc3\xab";
    (void)msg;
    assert_int_equal(hr_state_get(ctx, "nick").len, 0);
    assert_int_equal(hr_state_int(ctx, "n", -7), -7);
    hr_state_set(ctx, "nick", hr_str_of(nick));
    memset(nick, 'x', sizeof nick); /* text given to a call is borrowed */
    hr_state_set_int(ctx, "n", 1LL << 40);
    hr_state_set(ctx, "temporary", HR_LIT("1"));
    hr_state_unset(ctx, "temporary");
    assert_str(hr_state_get(ctx, "nick"), "Zo\xc3\xab");
    assert_int_equal(hr_state_int(ctx, "n", 0), 1LL << 40);
    assert_int_equal(hr_state_get(ctx, "n").len, 0); /* of another type */
    assert_int_equal(hr_state_get(ctx, "temporary").len, 0);
    return 0;
}

static int change_some(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    assert_str(hr_state_get(ctx, "nick"), "Zo\xc3\xab");
    hr_state_unset(ctx, "nick");
    hr_state_set_int(ctx, "n", hr_state_int(ctx, "n", 0) + 1);
    hr_state_set_int(ctx, "n", hr_state_int(ctx, "n", 0) + 1);
    return 0;
}

static int look(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    assert_int_equal(hr_state_get(ctx, "nick").len, 0);
    assert_int_equal(hr_state_int(ctx, "n", 0), (1LL << 40) + 2);
    return 0;
}

static int change_and_fail(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    hr_state_set(ctx, "nick", HR_LIT("lost"));
    return HR_ERR_APP;
}

static const struct hr_consumer consumers[] = {
    {.channel = "websocket.receive", .path = "/set", .fn = set_all},
    {.channel = "websocket.receive", .path = "/change", .fn = change_some},
    {.channel = "websocket.receive", .path = "/look", .fn = look},
    {.channel = "websocket.receive", .path = "/fail", .fn = change_and_fail},
    {0}};

static void state_goes_round(void **state)
{
    struct hr_value value;
    struct rig rig;
    (void)state;
    stored_len = 0;
    rig_open(&rig, consumers, NULL);
    send_with_state(&rig, "/set");
    const struct answer *answer = rig_expect(&rig, "event.done");
    assert_true(hr_msg_get(&answer->msg, "state", &value));
    assert_int_equal(value.n, 2);
    store(answer);
    send_with_state(&rig, "/change");
    answer = rig_expect(&rig, "event.done");
    assert_true(hr_msg_get(&answer->msg, "state", &value));
    assert_int_equal(value.n, 1);
    store(answer);
    send_with_state(&rig, "/look");
    answer = rig_expect(&rig, "event.done");
    assert_false(hr_msg_get(&answer->msg, "state", &value)); /* unchanged: not sent */
    rig_close(&rig);
}

static void an_error_leaves_the_state_as_it_was(void **state)
{
    struct hr_value value;
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    send_with_state(&rig, "/fail");
    rig_expect(&rig, "websocket.close");
    assert_false(hr_msg_get(&rig_expect(&rig, "event.done")->msg, "state", &value));
    rig_close(&rig);
}

static int grow(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    static char big[16 << 10];
    (void)msg;
    memset(big, 'b', sizeof big);
    /* map 1, "k" 2, str16 3: 6 bytes of framing */
    struct hr_str fits = {big, sizeof big - 6}, not = {big, sizeof big - 5};
    assert_int_equal(hr_state_set(ctx, "k", fits), 0);
    assert_int_equal(hr_state_set(ctx, "k", not ), HR_ERR_TOO_BIG);
    assert_int_equal(hr_state_get(ctx, "k").len, fits.len);
    hr_ctx_clear_error(ctx);
    assert_int_equal(hr_state_set_int(ctx, "j", 1), HR_ERR_TOO_BIG);
    assert_int_equal(hr_state_int(ctx, "j", -1), -1);
    hr_ctx_clear_error(ctx);
    return 0;
}

static int set_on_request(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    assert_int_equal(hr_state_set(ctx, "k", HR_LIT("v")), HR_ERR_STATE);
    return 0;
}

static void state_has_a_limit_and_is_of_sockets(void **state)
{
    static const struct hr_consumer rows[] = {{.channel = "websocket.receive", .fn = grow},
                                              {.channel = "http.request", .fn = set_on_request},
                                              {0}};
    struct hr_value value;
    struct rig rig;
    (void)state;
    stored_len = 0;
    rig_open(&rig, rows, NULL);
    send_with_state(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "event.done");
    assert_true(hr_msg_get(&answer->msg, "state", &value));
    assert_int_equal(value.n, 1);
    rig_get(&rig, "/");
    answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    rig_close(&rig);
}

int run_state_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_goes_round),
        cmocka_unit_test(an_error_leaves_the_state_as_it_was),
        cmocka_unit_test(state_has_a_limit_and_is_of_sockets),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
