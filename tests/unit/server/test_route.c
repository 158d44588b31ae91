/* test_route.c - the table of pools: prefixes, kinds, records that change or make no sense. */
#include <stdio.h>

#include "harness.h"
#include "server/route.h"
#include "suites.h"

struct board {
    struct world *w;
    struct hr_server_config config;
    struct hr_router router;
};

static struct board board_new(void)
{
    struct board b = {.w = world_new_empty(NULL)};
    b.w->worker = worker_new(b.w, "web.1");
    b.config = (struct hr_server_config){.timeout = 7, .queue_timeout = 8, .event_timeout = 9};
    return b;
}

static void put(struct board *b, const struct pool_spec *spec)
{
    b->router.config = &b->config;
    worker_put_pool(b->w->worker, spec);
    assert_true(hr_router_refresh(&b->router, b->w->layer));
    assert_false(hr_router_refresh(&b->router, b->w->layer));
}

static const char *find(struct board *b, enum hr_kind kind, const char *path)
{
    struct hr_pool *pool;
    static char name[100];
    int r = hr_router_find(&b->router, kind, (struct hr_str){path, strlen(path)}, &pool);
    if (r != 0)
        return r == HR_ROUTE_NOBODY ? "(nobody)" : "(no match)";
    snprintf(name, sizeof name, "%.*s", HR_STR(pool->name));
    return name;
}

static void board_free(struct board *b)
{
    hr_router_fini(&b->router);
    world_free(b->w);
}

static void the_longest_prefix_wins(void **state)
{
    struct board b = board_new();
    (void)state;
    put(&b, &(struct pool_spec){.name = "web"});
    put(&b, &(struct pool_spec){.name = "api", .paths = {"/api/"}});
    put(&b, &(struct pool_spec){.name = "v2", .paths = {"http:/api/v2/", "/v2"}});
    put(&b, &(struct pool_spec){.name = "ws", .paths = {"websocket:/api/"}});
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/"), "web");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/api"), "web");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/api/x"), "api");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/api/v2/x"), "v2");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/v2x"), "v2");
    assert_string_equal(find(&b, HR_KIND_CONNECT, "/x"), "web");
    assert_string_equal(find(&b, HR_KIND_CONNECT, "/v2"), "v2");
    board_free(&b);
}

static void a_pool_is_asked_only_for_what_it_consumes(void **state)
{
    struct board b = board_new();
    (void)state;
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/"), "(nobody)");
    put(&b, &(struct pool_spec){.name = "jobs", .events = {"bigdata.process"}});
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/"), "(nobody)"); /* the web pool is to come */
    put(&b, &(struct pool_spec){.name = "web", .paths = {"/a"}, .events = {"http.request"}});
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/a"), "web");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/b"), "(no match)");
    assert_string_equal(find(&b, HR_KIND_CONNECT, "/a"), "(no match)");
    board_free(&b);
}

static void announce(struct board *b, const char *name, const char *path)
{
    uint8_t data[100];
    char key[32];
    struct hr_pack pack;
    int n = snprintf(key, sizeof key, "pool:%s", name);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_cstr(&pack, "paths");
    hr_pack_list(&pack, 1);
    hr_pack_cstr(&pack, path);
    hr_pack_cstr(&pack, "booting");
    hr_pack_bool(&pack, true);
    assert_int_equal(hr_layer_record_put(b->w->worker, (struct hr_str){key, (size_t)n}, data,
                                         hr_pack_len(&pack)),
                     0);
}

/* A slow pool's requests must not go to the one that takes the rest, nor be 404. */
static void what_goes_to_an_announced_pool_waits_for_it(void **state)
{
    struct board b = board_new();
    (void)state;
    announce(&b, "api", "/api/");
    put(&b, &(struct pool_spec){.name = "web", .paths = {"/w/"}});
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/w/x"), "web");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/api/x"), "(nobody)");
    assert_string_equal(find(&b, HR_KIND_CONNECT, "/api/x"), "(nobody)");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/x"), "(no match)");
    put(&b, &(struct pool_spec){.name = "api", .paths = {"/api/"}, .events = {"http.request"}});
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/api/x"), "api");
    assert_string_equal(find(&b, HR_KIND_CONNECT, "/api/x"), "(no match)");
    board_free(&b);
}

static void a_new_record_changes_the_pool_in_place(void **state)
{
    struct board b = board_new();
    struct hr_pool *pool, *again;
    (void)state;
    put(&b, &(struct pool_spec){.name = "web", .on_crash = "count", .timeout = 5});
    assert_int_equal(hr_router_find(&b.router, HR_KIND_REQUEST, HR_LIT("/"), &pool), 0);
    assert_int_equal(pool->timeout, 5 * HR_MS);
    assert_int_equal(pool->queue_timeout, 8); /* the server's own */
    assert_false(pool->redelivers);
    assert_true(pool->retries_safe);
    put(&b, &(struct pool_spec){.name = "web", .retry = "never", .body = "whole"});
    assert_int_equal(hr_router_find(&b.router, HR_KIND_REQUEST, HR_LIT("/"), &again), 0);
    assert_ptr_equal(pool, again);
    assert_true(pool->redelivers && pool->wants_whole && !pool->retries_safe);
    assert_int_equal(pool->timeout, 7);
    hr_layer_record_remove(b.w->worker, HR_LIT("pool:web"));
    assert_true(hr_router_refresh(&b.router, b.w->layer));
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/"), "(nobody)");
    board_free(&b);
}

static void records_that_make_no_sense_are_left_out(void **state)
{
    struct board b = board_new();
    (void)state;
    static const struct {
        const char *key, *data;
        size_t len;
    } bad[] = {
        {"pool:a", "\xc1", 1},
        {"pool:b", "\x81\xa5paths\x05", 8},
        {"pool:c!d", "\x80", 1},
        {"pool:", "\x80", 1},
        {"other", "\x80", 1},
        {"pool:e",
         "\x82\xa6"
         "events\x91\xac"
         "http.request\xa5paths\x92\x01\xa1x",
         32},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hr_layer_record_put(b.w->worker,
                                             (struct hr_str){bad[i].key, strlen(bad[i].key)},
                                             bad[i].data, bad[i].len),
                         0);
    put(&b, &(struct pool_spec){.name = "web", .paths = {"/w"}});
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/w"), "web");
    assert_string_equal(find(&b, HR_KIND_REQUEST, "/"), "(no match)");
    board_free(&b);
}

int test_route(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(a_pool_is_asked_only_for_what_it_consumes),
        cmocka_unit_test(what_goes_to_an_announced_pool_waits_for_it),
        cmocka_unit_test(a_new_record_changes_the_pool_in_place),
        cmocka_unit_test(records_that_make_no_sense_are_left_out),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
