/* test_channel.c - groups, group names, messages between consumers. */
#include "fixture.h"

#include "worker/worker_impl.h"

/* ---- names */

static void assert_name(const char *text, const char *expected)
{
    char name[HR_NAME_MAX + 1];
    size_t len = hr_group_name_make(hr_str_of(text), name);
    assert_string_equal(name, expected);
    assert_int_equal(len, strlen(expected));
    assert_true(hr_group_name_ok((struct hr_str){name, len}) || len == 0);
}

static void group_names_escape_what_is_not_legal(void **state)
{
    (void)state;
    assert_name("room.lobby-2_a", "room.lobby-2_a");
    assert_name("a b", "a_20b");
    assert_name("a_20b", "a_5F20b"); /* not the same as "a b" */
    assert_name("_AF", "_5FAF");
    assert_name("_af", "_af");
    assert_name("__41", "__5F41");
    assert_name("_", "_");
    assert_name("_A", "_A");
    assert_name("_A ", "_A_20");
    assert_name("gr\xc3\xbc\xc3\x9f!", "gr_C3_BC_C3_9F_21");
}

static void long_group_names_end_in_a_hash(void **state)
{
    char text[300], one[HR_NAME_MAX + 1], two[HR_NAME_MAX + 1];
    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(hr_group_name_make((struct hr_str){text, 80}, one), 80);
    assert_memory_equal(one, text, 80);
    assert_int_equal(hr_group_name_make((struct hr_str){text, 81}, one), 80);
    assert_int_equal(hr_group_name_make((struct hr_str){text, 82}, two), 80);
    assert_memory_equal(one, text, 45);
    assert_memory_equal(one + 45, "_2D", 3);
    assert_string_not_equal(one, two);
    assert_true(hr_group_name_ok(hr_str_of(one)));
    /* The hash is written down: it is the same for ever, in every process. */
    assert_string_equal(one + 48, "5735212A2CF6C6BF28085B88FBFA0F09");
}

/* ---- groups */

static int join(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    struct hr_str room = hr_group_name(ctx, "room.%s", "gr\xc3\xbcn");
    (void)msg;
    assert_str(room, "room.gr_C3_BCn");
    hr_ws_accept(ctx);
    hr_group_join(ctx, room);
    return hr_group_send(ctx, room, "number %ju", (uintmax_t)hr_group_count(ctx, room));
}

static int leave(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    hr_group_leave(ctx, HR_LIT("room.gr_C3_BCn"));
    return hr_ws_send(ctx, "left");
}

static void a_newcomer_hears_what_is_sent_after_it_joined(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "websocket.connect", .fn = join},
                                                   {.channel = "websocket.receive", .fn = leave},
                                                   {0}};
    struct hr_member_cursor cursor = {0};
    struct hr_addr member;
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/"});
    rig_expect(&rig, "websocket.accept");
    const struct answer *answer = rig_next(&rig);
    assert_int_equal(answer->kind, HR_DELIVERY_GROUP);
    assert_str(answer->type, "websocket.send");
    assert_str(hr_msg_str(&answer->msg, "text"), "number 1");
    assert_true(hr_layer_member_next(rig.server, HR_LIT("room.gr_C3_BCn"), &cursor, &member));
    assert_int_equal(member.conn, rig.client.conn);
    rig_expect(&rig, "event.done");

    rig_receive(&rig, "/", "bye");
    assert_str(hr_msg_str(&rig_expect(&rig, "websocket.send")->msg, "text"), "left");
    rig_expect(&rig, "event.done");
    cursor = (struct hr_member_cursor){0};
    assert_false(hr_layer_member_next(rig.server, HR_LIT("room.gr_C3_BCn"), &cursor, &member));
    rig_close(&rig);
}

static int join_badly(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    hr_ws_accept(ctx);
    hr_group_join(ctx, HR_LIT("not a name"));
    return hr_ws_send(ctx, "not said");
}

static void a_bad_group_name_is_an_error(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.connect", .fn = join_badly}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/"});
    rig_expect(&rig, "websocket.accept");
    rig_expect(&rig, "websocket.close");
    rig_expect(&rig, "event.done");
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

/* ---- other channels */

static struct {
    int n_calls, result;
    char channel[HR_NAME_MAX + 1], word[32];
} seen;

static int note(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)ctx;
    seen.n_calls++;
    hr_str_copy(seen.word, sizeof seen.word, hr_msg_str(msg, "text"));
    return seen.result;
}

static int forward(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    uint8_t room[128];
    struct hr_pack pack;
    struct hr_str text = hr_ws_text(msg);
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "text");
    hr_pack_str(&pack, text.ptr, text.len);
    hr_channel_send(ctx, HR_LIT("notes.new"), &pack);
    /* And to its own socket, by address. */
    return hr_channel_send(ctx, hr_ctx_reply_channel(ctx), &pack);
}

static void messages_go_to_channels_and_addresses(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.receive", .fn = forward}, {.channel = "notes.*", .fn = note}, {0}};
    struct rig rig;
    (void)state;
    memset(&seen, 0, sizeof seen);
    rig_open(&rig, consumers, NULL);
    rig_receive(&rig, "/", "remember");
    assert_str(hr_msg_str(&rig_next(&rig)->msg, "text"), "remember");
    rig_expect(&rig, "event.done");
    assert_int_equal(seen.n_calls, 1);
    assert_string_equal(seen.word, "remember");
    rig_close(&rig);
}

static int send_garbage(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    uint8_t room[4];
    struct hr_pack pack;
    (void)msg;
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_int(&pack, 5); /* no map */
    assert_int_equal(hr_channel_send(ctx, HR_LIT("notes"), &pack), HR_ERR_MESSAGE);
    hr_ctx_clear_error(ctx);
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "does not fit");
    assert_int_equal(hr_channel_send(ctx, HR_LIT("notes"), &pack), HR_ERR_TOO_BIG);
    hr_ctx_clear_error(ctx);
    return 0;
}

static void what_is_no_message_is_not_sent(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.receive", .fn = send_garbage}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_receive(&rig, "/", "x");
    rig_expect(&rig, "event.done");
    rig_close(&rig);
}

static void a_failing_consumer_of_a_plain_channel_is_counted(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "notes", .fn = note}, {0}};
    struct hr_channel_stats stats;
    struct rig rig;
    (void)state;
    memset(&seen, 0, sizeof seen);
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, &(struct event){.channel = "notes", .text = "a", .is_alone = true});
    rig_turn(&rig, 4);
    seen.result = HR_ERR_APP;
    rig_send(&rig, &(struct event){.channel = "notes", .text = "b", .is_alone = true});
    rig_turn(&rig, 4);
    assert_int_equal(seen.n_calls, 2);
    assert_true(hr_layer_channel_find(rig.server, HR_LIT("notes"), &stats));
    assert_int_equal(stats.n_dropped[HR_REASON_APP], 1);
    rig_close(&rig);
}

static void at_least_once_is_tried_again_and_then_a_dead_letter(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "jobs", .fn = note}, {0}};
    struct hr_channel_policy policy = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 3, .lease = HR_SECOND};
    struct hr_channel_stats stats;
    struct rig rig;
    (void)state;
    memset(&seen, 0, sizeof seen);
    rig_open(&rig, consumers, NULL);
    assert_int_equal(hr_layer_set_policies(rig.server, &policy, 1), 0);
    seen.result = HR_ERR_APP;
    rig_send(&rig, &(struct event){.channel = "jobs", .text = "a", .is_alone = true});
    rig_turn(&rig, 12);
    assert_int_equal(seen.n_calls, 3);
    assert_true(hr_layer_channel_find(rig.server, HR_LIT("dead.jobs"), &stats));
    assert_int_equal(stats.depth, 1);
    seen.result = 0;
    rig_send(&rig, &(struct event){.channel = "jobs", .text = "b", .is_alone = true});
    rig_turn(&rig, 12);
    assert_int_equal(seen.n_calls, 4); /* acknowledged */
    rig_close(&rig);
}

static int answer_as_text(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    hr_ws_send(ctx, "one");
    return hr_ws_send(ctx, "two");
}

static void a_plain_consumer_answers_whoever_asked(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "ask", .fn = answer_as_text}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    /* A program's own question: no server waits for its done. */
    rig_send(&rig, &(struct event){.channel = "ask", .has_no_seq = true});
    rig_expect(&rig, "websocket.send");
    rig_expect(&rig, "websocket.send");
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

int run_channel_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_names_escape_what_is_not_legal),
        cmocka_unit_test(long_group_names_end_in_a_hash),
        cmocka_unit_test(a_newcomer_hears_what_is_sent_after_it_joined),
        cmocka_unit_test(a_bad_group_name_is_an_error),
        cmocka_unit_test(messages_go_to_channels_and_addresses),
        cmocka_unit_test(what_is_no_message_is_not_sent),
        cmocka_unit_test(a_failing_consumer_of_a_plain_channel_is_counted),
        cmocka_unit_test(at_least_once_is_tried_again_and_then_a_dead_letter),
        cmocka_unit_test(a_plain_consumer_answers_whoever_asked),
    };
    return cmocka_run_group_tests_name("channels", tests, NULL, NULL);
}
