/* test_route.c - which consumer takes an event, what a pool listens to, what its record says. */
#include "fixture.h"

#include <unistd.h>

static const char *last;
static char exact[] = "exact", a[] = "a", b[] = "b", socket_row[] = "socket", late[] = "too late";

static int take(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    last = hr_ctx_arg(ctx);
    return hr_ctx_reply_channel(ctx).len > 0 ? hr_http_reply(ctx, 200, NULL, "%s", last) : 0;
}

static int take_event(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    last = hr_ctx_arg(ctx);
    return 0;
}

static void the_first_row_that_matches_is_called(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/exact", .fn = take, .arg = exact},
        {.channel = "http.request", .path = "/a/*", .fn = take, .arg = a},
        {.channel = "websocket.receive", .fn = take_event, .arg = socket_row},
        {.channel = "http.request", .path = "/a/b/*", .fn = take, .arg = late},
        {.channel = "http.request", .path = "/b*", .fn = take, .arg = b},
        {0}};
    static const struct {
        const char *path, *row;
    } rows[] = {{"/exact", "exact"}, {"/a/", "a"}, {"/a/b/c", "a"}, {"/b", "b"}, {"/bc", "b"}};
    static const char *const missing[] = {"/exact/", "/a", "/", ""};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_get(&rig, rows[i].path);
        assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"),
                   rows[i].row);
    }
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        rig_get(&rig, missing[i]);
        const struct answer *answer = rig_expect(&rig, "http.response.start");
        assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 404);
        assert_true(rig_is_acked(&rig));
    }
    rig_receive(&rig, "/b", "x");
    rig_expect(&rig, "event.done");
    assert_string_equal(last, "socket");
    rig_close(&rig);
}

static void what_no_row_takes_is_answered_here(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.connect", .path = "/chat", .fn = take_event},
        {.channel = "websocket.receive", .path = "/chat", .fn = take_event},
        {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, &(struct event){.channel = "websocket.connect.web", .path = "/other"});
    const struct answer *answer = rig_expect(&rig, "websocket.http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 404);
    rig_expect(&rig, "event.done");
    rig_receive(&rig, "/other", "x");
    rig_expect(&rig, "event.done");
    assert_false(rig_has_next(&rig));
    rig_close(&rig);
}

static const struct hr_consumer mixed[] = {{.channel = "http.request", .fn = take},
                                           {.channel = "websocket.receive", .fn = take_event},
                                           {.channel = "bigdata.process", .fn = take_event},
                                           {.channel = "bigdata.process", .path = "/x", .fn = take},
                                           {.channel = "mail", .fn = take_event},
                                           {.channel = "notes.*", .fn = take_event},
                                           {0}};

static uint32_t n_listeners(struct rig *rig, const char *channel)
{
    struct hr_channel_stats stats;
    uint8_t empty = 0x80;
    assert_int_equal(hr_layer_send(rig->server, hr_str_of(channel), &empty, 1, NULL), 0);
    rig_turn(rig, 2); /* a glob meets a new name at the next turn */
    assert_true(hr_layer_channel_find(rig->server, hr_str_of(channel), &stats));
    return stats.n_listeners;
}

static void assert_listens(struct rig *rig, const char *word)
{
    static const char *const channels[] = {"http.request.web", "websocket.receive.web",
                                           "bigdata.process",  "mail",
                                           "notes.new",        "websocket.connect.web"};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        assert_int_equal(n_listeners(rig, channels[i]), word[i] == '1');
}

static void only_jobs(struct hr_worker_config *config)
{
    static const char *const channels[] = {"bigdata.*", "notes.new"};
    config->channels = channels;
    config->n_channels = 2;
}

static void only_paths(struct hr_worker_config *config)
{
    static const char *const paths[] = {"/ws/", "http:/sse/"};
    config->paths = paths;
    config->n_paths = 2;
}

static void both(struct hr_worker_config *config)
{
    only_jobs(config);
    only_paths(config);
}

static void others_have_jobs(struct hr_worker_config *config)
{
    static const char *const without[] = {"bigdata.*", "mai?"};
    config->without = without;
    config->n_without = 2;
}

static void a_pool_listens_to_what_is_its_own(void **state)
{
    static const struct {
        void (*tweak)(struct hr_worker_config *config);
        const char *listens;
    } rows[] = {{NULL, "111110"},
                {only_jobs, "001010"},
                {only_paths, "110000"},
                {both, "111010"},
                {others_have_jobs, "110010"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_open(&rig, mixed, rows[i].tweak);
        assert_listens(&rig, rows[i].listens);
        rig_close(&rig);
    }
}

static struct hr_msg record_of(struct rig *rig, struct hr_record *record)
{
    uint32_t cursor = 0;
    struct hr_msg msg;
    assert_true(hr_layer_record_next(rig->server, &cursor, record));
    assert_string_equal(record->key, "pool:web");
    assert_int_equal(hr_msg_check(record->data, record->len, &msg), 0);
    return msg;
}

static void assert_list(const struct hr_msg *msg, const char *key, const char *expected)
{
    struct hr_value list, item;
    char joined[256] = "";
    size_t len = 0;
    assert_true(hr_msg_get(msg, key, &list));
    struct hr_walk walk = hr_walk(&list);
    while (hr_list_next(&walk, &item)) {
        memcpy(joined + len, item.as.str.ptr, item.as.str.len);
        len += item.as.str.len;
        joined[len++] = ' ';
        joined[len] = '\0';
    }
    assert_string_equal(joined, expected);
}

static void with_times(struct hr_worker_config *config)
{
    config->timeout = 15 * HR_SECOND;
    config->queue_timeout = 500 * HR_MS;
    config->retry = "never";
    config->on_crash = "count";
}

static void the_record_tells_servers_what_the_pool_takes(void **state)
{
    struct hr_record record;
    struct rig rig;
    (void)state;
    rig_open(&rig, mixed, with_times);
    struct hr_msg msg = record_of(&rig, &record);
    assert_str(hr_msg_str(&msg, "name"), "web");
    assert_list(&msg, "paths", "/ ");
    assert_list(&msg, "events", "http.request websocket.receive ");
    assert_int_equal(hr_msg_int(&msg, "timeout", 0), 15000);
    assert_int_equal(hr_msg_int(&msg, "event_timeout", 0), 60000);
    assert_int_equal(hr_msg_int(&msg, "queue_timeout", 0), 500);
    assert_str(hr_msg_str(&msg, "retry"), "never");
    assert_str(hr_msg_str(&msg, "on_crash"), "count");
    assert_str(hr_msg_str(&msg, "body"), "stream");
    assert_int_equal(hr_msg_int(&msg, "pid", 0), getpid());
    rig_close(&rig);

    rig_open(&rig, mixed, only_paths);
    msg = record_of(&rig, &record);
    assert_list(&msg, "paths", "/ws/ http:/sse/ ");
    rig_close(&rig);

    rig_open(&rig, mixed, only_jobs);
    msg = record_of(&rig, &record);
    assert_list(&msg, "paths", "");
    assert_list(&msg, "events", "");
    rig_close(&rig);
}

int run_route_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_row_that_matches_is_called),
        cmocka_unit_test(what_no_row_takes_is_answered_here),
        cmocka_unit_test(a_pool_listens_to_what_is_its_own),
        cmocka_unit_test(the_record_tells_servers_what_the_pool_takes),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
