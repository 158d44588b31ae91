/* test_growth.c - an arena that is used up becomes larger while its members go on. ipc only. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layer/ipc/fsck.h"
#include "layer/ipc/handle.h"

enum { SMALL = 900, WIDE = 200000 };

static const struct hr_geometry small = {
    .bytes = 4 << 20,
    .max_bytes = (4 << 20) + 2 * IPC_SEGMENT,
    .n_channels = 64,
    .role = {[HR_ROLE_SERVER] = {.n_slots = 2, .inbox = 64, .connections = 64, .interests = 16},
             [HR_ROLE_WORKER] = {.n_slots = 4, .inbox = 64, .connections = 64, .interests = 16},
             [HR_ROLE_CLIENT] = {.n_slots = 4, .inbox = 64, .connections = 64, .interests = 16}},
};

static void set_policy(struct layer_case *c)
{
    const struct hr_channel_policy policy = {
        .pattern = "*", .max_messages = 1 << 14, .max_bytes = 1 << 30, .expiry = HR_NEVER};
    case_policies(c, &policy, 1);
}

/* Sends until memory is used up; returns how many went. */
static unsigned fill(struct hr_layer *layer)
{
    unsigned n = 0;
    uint8_t *bytes = make_bytes(SMALL, 0);
    int r;
    while ((r = hr_layer_send(layer, HR_LIT("work"), bytes, SMALL, NULL)) == 0)
        n++;
    assert_int_equal(r, HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_MEMORY);
    free(bytes);
    return n;
}

static uint64_t total_of(struct hr_layer *layer)
{
    struct hr_arena_stats stats;
    hr_layer_arena_stats(layer, &stats);
    return stats.bytes_total;
}

static void assert_in_order(struct hr_layer *layer)
{
    struct ipc_fsck report;
    assert_int_equal(ipc_fsck(&ipc_of(layer)->arena, &report), 0);
    if (report.n_errors)
        fail_msg("%s", report.first);
}

static void it_grows_to_its_limit_and_those_who_were_there_read_it_all(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *sender = case_open(c, HR_ROLE_SERVER), *taker = case_open(c, HR_ROLE_WORKER);
    struct hr_layer *observer;
    struct hr_layer_options options = {.role = HR_ROLE_OBSERVER, .label = "status"};
    assert_int_equal(case_try_open(c, &options, &observer), 0);
    set_policy(c);
    uint64_t before = total_of(sender);
    assert_int_equal(hr_layer_listen(taker, HR_LIT("work")), 0);

    unsigned n = fill(sender);
    assert_true(total_of(sender) > before + 2 * IPC_SEGMENT * 9 / 10);
    assert_int_equal(total_of(observer), total_of(sender));
    assert_in_order(taker);
    for (unsigned i = 0; i < n; i++) {
        struct hr_delivery d = case_receive(c, taker);
        assert_bytes(&d, SMALL, 0);
    }
    expect_empty(taker);
    assert_int_equal(fill(sender), n); /* and what it has it keeps */
}

static void a_message_may_span_what_was_there_and_what_came(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *sender = case_open(c, HR_ROLE_SERVER), *taker = case_open(c, HR_ROLE_WORKER);
    uint8_t *bytes = make_bytes(WIDE, 3);
    unsigned n = 0;
    set_policy(c);
    assert_int_equal(hr_layer_listen(taker, HR_LIT("work")), 0);
    while (hr_layer_send(sender, HR_LIT("work"), bytes, WIDE, NULL) == 0)
        n++;
    assert_true((uint64_t)n * WIDE > 2 << 20);
    for (; n > 0; n--) {
        struct hr_delivery d = case_receive(c, taker);
        assert_bytes(&d, WIDE, 3);
    }
    free(bytes);
    assert_int_equal(hr_layer_prepare(taker, HR_RECEIVE_ALL), 0);
    assert_in_order(taker);
}

static void who_comes_later_sees_all_of_it(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *sender = case_open(c, HR_ROLE_SERVER);
    set_policy(c);
    unsigned n = fill(sender);
    struct hr_layer *taker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(total_of(taker), total_of(sender));
    assert_int_equal(hr_layer_listen(taker, HR_LIT("work")), 0);
    for (; n > 0; n--)
        case_receive(c, taker);
    expect_empty(taker);
}

static void what_a_dead_member_had_in_new_memory_comes_back(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    set_policy(c);
    pid_t pid = fork();
    if (pid == 0) { /* takes all memory, and is gone */
        struct hr_layer *l;
        struct hr_draft draft;
        struct hr_layer_options options = {.role = HR_ROLE_WORKER, .label = "child"};
        if (hr_layer_open(c->url, &options, &l) != 0)
            _exit(1);
        while (hr_layer_draft(l, HR_LIT("work"), SMALL, NULL, &draft) == 0)
            ;
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    uint32_t slot = small.role[HR_ROLE_SERVER].n_slots;
    assert_true(ipc_bury(ipc_of(server), slot));
    struct hr_arena_stats stats;
    hr_layer_arena_stats(server, &stats);
    assert_int_equal(stats.bytes_used, 0);
    assert_true(stats.bytes_total > 2 * IPC_SEGMENT * 9 / 10);
}

/* Beyond RLIMIT_FSIZE the kernel would send a signal. */
static void a_file_that_may_not_grow_is_full_in_words(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *sender = case_open(c, HR_ROLE_SERVER);
    struct rlimit old, low;
    set_policy(c);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 6 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    uint64_t before = total_of(sender);
    unsigned n = fill(sender);
    assert_int_equal(total_of(sender), before);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    atomic_store(&ipc_of(sender)->next_growth, 0); /* else a second later */
    assert_true(fill(sender) > n);
}

/* Somebody scribbled on the number of segments: nobody is lured behind the file's end. */
static void a_wrong_number_of_segments_lures_nobody(void **state)
{
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *sender = case_open(c, HR_ROLE_SERVER), *taker = case_open(c, HR_ROLE_WORKER);
    set_policy(c);
    uint64_t before = total_of(sender);
    atomic_store(&ipc_of(sender)->arena.header->n_segments, 2);
    fill(sender);
    assert_int_equal(total_of(sender), before);
    atomic_store(&ipc_of(sender)->arena.header->n_segments, UINT32_MAX);
    assert_int_equal(total_of(taker), before);
    assert_int_equal(hr_layer_listen(taker, HR_LIT("work")), 0);
    case_receive(c, taker);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    suite_scheme = "ipc:";
    const struct CMUnitTest tests[] = {
        LAYER_TEST(it_grows_to_its_limit_and_those_who_were_there_read_it_all),
        LAYER_TEST(a_message_may_span_what_was_there_and_what_came),
        LAYER_TEST(who_comes_later_sees_all_of_it),
        LAYER_TEST(what_a_dead_member_had_in_new_memory_comes_back),
        LAYER_TEST(a_file_that_may_not_grow_is_full_in_words),
        LAYER_TEST(a_wrong_number_of_segments_lures_nobody),
    };
    return cmocka_run_group_tests_name("growth", tests, NULL, NULL) > 0;
}
