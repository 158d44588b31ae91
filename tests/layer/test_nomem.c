/* test_nomem.c - memory that runs out: whichever allocation fails, the caller is told, everybody
 * else goes on, and nothing is lost, leaked or left behind. */
#include "harness.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/alloc.h"

enum {
    MOST = 2000,  /* allocations: more than a life has */
    N_QUIET = 40, /* lives in a row in which nothing is refused: the last allocation is behind us */
    N_JOBS = 100, /* enough for tables to grow */
    CHAIN = 100000 /* bytes: more than one block holds */
};

static const struct hr_geometry narrow = {
    .bytes = 2 << 20,
    .n_channels = 64,
    .role = {{.n_slots = 2, .inbox = 256, .connections = 64, .interests = 16},
             {.n_slots = 2, .inbox = 256, .connections = 64, .interests = 16},
             {.n_slots = 2, .inbox = 64, .connections = 16, .interests = 16}},
};
static const struct hr_channel_policy rows[] = {
    {.pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 1}};

/* Without memory a call is refused or fails, and says which; returns whether it did. */
static bool is_refused(int r)
{
    assert_true(r == 0 || r == HR_ERR_NOMEM || r == HR_LAYER_FULL);
    return r != 0;
}

static struct hr_layer *open_one(const struct layer_case *c, enum hr_role role)
{
    struct hr_layer_options options = {.role = role, .label = "any"};
    struct hr_layer *layer = NULL;
    if (is_refused(hr_layer_open(c->url, &options, &layer))) {
        assert_null(layer);
        assert_true(strlen(hr_layer_open_error()) > 0);
    }
    return layer;
}

static unsigned set_up(struct hr_layer *server, struct hr_layer *worker, struct hr_addr *addr)
{
    unsigned n = is_refused(hr_layer_address_open(server, addr));
    n += is_refused(hr_layer_listen(worker, HR_LIT("jobs")));
    n += is_refused(hr_layer_listen(worker, HR_LIT("large.*")));
    n += is_refused(hr_layer_set_policies(server, rows, 1));
    n += is_refused(hr_layer_record_put(worker, HR_LIT("key"), "x", 1));
    n += is_refused(hr_layer_group_add(worker, HR_LIT("g"), HR_LIT("plain")));
    if (hr_addr_is_set(addr))
        n += is_refused(hr_layer_group_add_addr(server, HR_LIT("g"), addr));
    return n;
}

static unsigned send_all(struct hr_layer *server, struct hr_layer *worker,
                         const struct hr_addr *addr)
{
    static const uint8_t chain[CHAIN];
    const struct hr_send_options leased = {.reply = *addr};
    struct hr_draft draft;
    unsigned n = 0;

    for (int i = 0; i < N_JOBS; i++)
        n += is_refused(hr_layer_send(server, HR_LIT("jobs"), "\x80", 1, i % 2 ? &leased : NULL));
    n += is_refused(hr_layer_send(server, HR_LIT("large.one"), chain, CHAIN, NULL));
    int r = hr_layer_draft(server, HR_LIT("large.two"), 64, NULL, &draft);
    if (!is_refused(r)) {
        hr_pack_map(&draft.pack, 0);
        r = hr_draft_send(&draft);
    }
    n += is_refused(r);
    n += is_refused(hr_layer_group_send(worker, HR_LIT("g"), "\x80", 1, NULL));
    n += is_refused(hr_layer_pause(server, HR_LIT("large.one"), true));
    n += is_refused(hr_layer_pause(server, HR_LIT("large.one"), false));
    if (hr_addr_is_set(addr))
        n += is_refused(hr_layer_send_to(worker, addr, "\x80", 1, NULL));
    return n;
}

/* Takes everything; a third is acknowledged, a third fails, and a third is left to the grave. */
static unsigned take_all(struct hr_layer *worker)
{
    struct hr_delivery delivery;
    unsigned n_taken = 0, n_refused = 0;
    int r;

    while ((r = hr_layer_receive(worker, HR_RECEIVE_ALL, &delivery)) != HR_LAYER_EMPTY) {
        if (is_refused(r))
            return n_refused + 1;
        assert_true(++n_taken <= N_JOBS + 10);
        if (!hr_lease_is_set(&delivery.lease))
            continue;
        if (n_taken % 3 == 0)
            n_refused += is_refused(hr_layer_nack(worker, &delivery.lease, HR_REASON_APP));
        else if (n_taken % 3 == 1)
            assert_int_equal(hr_layer_ack(worker, &delivery.lease), 0);
    }
    return n_refused;
}

/* All that members do with a layer; returns how many calls were refused. */
static unsigned live(const struct layer_case *c)
{
    struct hr_layer *server = open_one(c, HR_ROLE_SERVER), *worker = open_one(c, HR_ROLE_WORKER);
    unsigned n_refused = !server || !worker;

    if (!n_refused) {
        struct hr_addr addr = {0};
        n_refused += set_up(server, worker, &addr);
        n_refused += hr_layer_fd(server) < 0;
        n_refused += send_all(server, worker, &addr);
        n_refused += take_all(worker) + take_all(server);
        hr_layer_dispatch(server);
        if (hr_addr_is_set(&addr))
            hr_layer_address_close(server, &addr);
    }
    hr_layer_close(worker);
    hr_layer_close(server);
    return n_refused;
}

/* What nobody took is flushed; then nothing is left, and all of it is accounted for. */
static void assert_accounted(struct hr_layer *witness)
{
    struct hr_channel_stats stats;
    for (uint32_t i = 0; hr_layer_channel_stats(witness, i, &stats); i++) {
        if (stats.depth > 0)
            assert_int_equal(hr_layer_flush(witness, hr_str_of(stats.name)), 0);
        assert_true(hr_layer_channel_stats(witness, i, &stats));
        assert_int_equal(stats.depth, 0);
        assert_adds_up(&stats);
    }
}

/* Whoever was there before, and stays, finds nothing of the others and can go on. */
static void assert_undisturbed(struct layer_case *c, struct hr_layer *witness)
{
    struct hr_arena_stats arena;

    assert_int_equal(send_number(witness, "after", 1, NULL), 0);
    expect_number(c, witness, 1);
    expect_empty(witness); /* which gives back what was in hand */
    /* Burying takes memory as well: who could not be buried is, by the next sweep. */
    assert_accounted(witness);
    hr_layer_arena_stats(witness, &arena);
    for (int i = 0; i < 200 && arena.bytes_used > 0; i++) {
        assert_int_equal(hr_layer_wait(witness, HR_RECEIVE_ALL, 20 * HR_MS), HR_LAYER_EMPTY);
        assert_accounted(witness);
        hr_layer_arena_stats(witness, &arena);
    }
    assert_int_equal(arena.bytes_used, 0);
    assert_int_equal(arena.n_live, 1);
}

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void every_allocation_may_fail(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &narrow;
    struct hr_layer *witness = case_open(c, HR_ROLE_CLIENT);
    assert_int_equal(hr_layer_listen(witness, HR_LIT("after")), 0);
    assert_int_equal(live(c), 0);
    assert_undisturbed(c, witness);
    int64_t n_blocks = hr_alloc_live();
    unsigned n_fds = count_fds(), n_quiet = 0;
    uint64_t nth = 1;

    for (; n_quiet < N_QUIET && nth < MOST; nth++) {
        hr_alloc_fail_at(nth);
        n_quiet = live(c) > 0 ? 0 : n_quiet + 1;
        hr_alloc_fail_at(0);
        assert_undisturbed(c, witness);
        assert_int_equal(hr_alloc_live(), n_blocks);
        assert_int_equal(count_fds(), n_fds);
    }
    assert_true(nth > N_QUIET + 1 && nth < MOST);
}

static void every_allocation_of_opening_the_first_may_fail(void **state)
{
    struct layer_case *c = *state;
    const struct hr_layer_options options = {
        .role = HR_ROLE_SERVER, .create = true, .geometry = &narrow, .label = "first"};
    struct hr_layer *layer = NULL;
    int64_t n_blocks = hr_alloc_live();
    unsigned n_fds = count_fds();
    int r = HR_ERR_NOMEM;

    for (uint64_t nth = 1; r != 0; nth++) {
        hr_alloc_fail_at(nth);
        r = hr_layer_open(c->url, &options, &layer);
        hr_alloc_fail_at(0);
        assert_true(r == 0 || r == HR_ERR_NOMEM);
        if (r == 0)
            hr_layer_close(layer);
        else
            assert_null(layer);
        assert_int_equal(hr_alloc_live(), n_blocks);
        assert_int_equal(count_fds(), n_fds);
    }
}

int suite_nomem(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(every_allocation_may_fail),
        LAYER_TEST(every_allocation_of_opening_the_first_may_fail),
    };
    return cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
}
