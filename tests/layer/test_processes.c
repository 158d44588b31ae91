/* test_processes.c - what several processes owe each other: promises that only
 * show when somebody is killed, stopped or forked. ipc only.
 *
 * A child is forked before it opens a handle of its own, does its part, tells
 * so through a pipe and then sleeps until it is killed.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "layer/ipc/fsck.h"
#include "layer/ipc/handle.h"

/* ---- children */

struct child {
    pid_t pid;
    int told_fd; /* a byte for each step it has done */
};

typedef void (*child_fn)(struct layer_case *c, int tell_fd);

static void tell(int tell_fd)
{
    if (write(tell_fd, "", 1) != 1)
        _exit(1);
}

static void await(const struct child *child)
{
    char byte;
    struct pollfd p = {.fd = child->told_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(read(child->told_fd, &byte, 1), 1);
}

static struct child start(struct layer_case *c, child_fn fn)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct child child = {.told_fd = fds[0], .pid = fork()};
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        fn(c, fds[1]);
        for (;;)
            pause();
    }
    close(fds[1]);
    await(&child);
    return child;
}

static void end(struct child *child)
{
    kill(child->pid, SIGKILL);
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
    close(child->told_fd);
}

/* In a child: a member of its own; a test that fails there dies there. */
static struct hr_layer *join(struct layer_case *c, enum hr_role role)
{
    struct hr_layer_options options = {
        .role = role, .create = true, .geometry = c->geometry, .label = "child"};
    struct hr_layer *layer;
    if (hr_layer_open(c->url, &options, &layer) != 0) {
        fprintf(stderr, "%s\n", hr_layer_open_error());
        _exit(1);
    }
    return layer;
}

static void child_must(int r)
{
    if (r != 0)
        _exit(1);
}

static void nap(hr_time span)
{
    struct timespec ts = {.tv_sec = span / HR_SECOND, .tv_nsec = span % HR_SECOND};
    nanosleep(&ts, NULL);
}

/* Sleeps as an event loop does, at most `span`, then dispatches; true when the fd woke us. */
static bool loop_once(struct hr_layer *layer, hr_time span)
{
    struct pollfd p = {.fd = hr_layer_fd(layer), .events = POLLIN};
    hr_time timeout = hr_layer_prepare(layer, HR_RECEIVE_ALL) ? 0 : hr_layer_poll_timeout(layer);
    timeout = timeout < span ? timeout : span;
    bool woke = poll(&p, 1, (int)(timeout / HR_MS)) == 1;
    hr_layer_dispatch(layer);
    return woke;
}

/* Dispatches for as long as a sweep and a bit more may take. */
static void sweep(struct hr_layer *layer)
{
    for (int i = 0; i < 4; i++) {
        nap(30 * HR_MS);
        hr_layer_dispatch(layer);
    }
}

static struct ipc_fsck check(struct hr_layer *layer)
{
    struct ipc_fsck report;
    assert_int_equal(ipc_fsck(&ipc_of(layer)->arena, &report), 0);
    if (report.n_errors)
        fail_msg("%s", report.first);
    return report;
}

static uint32_t bell_of(struct hr_layer *layer, uint32_t slot)
{
    return atomic_load(&ipc_of(layer)->arena.slots[slot].bell);
}

/* ---- deaths */

static void take_a_job(struct layer_case *c, int tell_fd)
{
    struct hr_layer *l = join(c, HR_ROLE_WORKER);
    struct hr_delivery d;
    child_must(hr_layer_listen(l, HR_LIT("jobs")));
    tell(tell_fd);
    child_must(hr_layer_wait(l, HR_RECEIVE_ALL, 5 * HR_SECOND));
    child_must(hr_layer_receive(l, HR_RECEIVE_ALL, &d));
    tell(tell_fd);
}

static void a_killed_workers_lease_comes_back_to_the_servers_loop_within_100_ms(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct child worker = start(c, take_a_job);
    const struct hr_send_options options = {.reply = open_address(server), .seq = 7};
    assert_int_equal(send_number(server, "jobs", 1, &options), 0);
    await(&worker);
    for (hr_time until = hr_time_now() + 120 * HR_MS; hr_time_now() < until;)
        loop_once(server, 20 * HR_MS);

    struct hr_delivery d;
    hr_time killed_at = hr_time_now();
    end(&worker);
    while (hr_layer_receive(server, HR_RECEIVE_ALL, &d) == HR_LAYER_EMPTY &&
           hr_time_now() - killed_at < HR_SECOND)
        loop_once(server, HR_SECOND);
    assert_int_equal(d.kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(d.seq, 7);
    assert_int_equal(number_of(&d), 1);
    assert_true(hr_time_now() - killed_at < 100 * HR_MS);
}

static void hold_a_draft(struct layer_case *c, int tell_fd)
{
    struct hr_layer *l = join(c, HR_ROLE_CLIENT);
    struct hr_draft draft;
    child_must(hr_layer_draft(l, HR_LIT("jobs"), 200000, NULL, &draft));
    tell(tell_fd);
}

static void a_killed_client_is_found_by_a_sweep(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct child client = start(c, hold_a_draft);
    assert_true(check(worker).n_tails > 0);
    end(&client);
    sweep(worker);

    struct hr_arena_stats stats;
    hr_layer_arena_stats(worker, &stats);
    assert_int_equal(stats.n_recovered, 1);
    assert_int_equal(stats.n_live, 1);
    assert_int_equal(stats.bytes_used, 0);
    check(worker);
}

static void fall_asleep(struct layer_case *c, int tell_fd)
{
    struct hr_layer *l = join(c, HR_ROLE_WORKER);
    struct hr_delivery d;
    child_must(hr_layer_listen(l, HR_LIT("jobs")));
    tell(tell_fd);
    for (;;) {
        while (hr_layer_receive(l, HR_RECEIVE_ALL, &d) == 0)
            tell(tell_fd);
        loop_once(l, HR_SECOND);
    }
}

static void await_sleep(struct hr_layer *layer, uint32_t slot)
{
    for (int i = 0; i < 500 && bell_of(layer, slot) != IPC_ASLEEP_POLL; i++)
        nap(HR_MS);
    assert_int_equal(bell_of(layer, slot), IPC_ASLEEP_POLL);
}

/* The bell of the dead still says asleep, and nobody reads its FIFO any more. */
static void sending_to_a_worker_that_was_killed_asleep_is_harmless(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT);
    uint32_t slot = c->geometry->role[HR_ROLE_SERVER].n_slots;
    struct child worker = start(c, fall_asleep);
    await_sleep(client, slot);
    assert_int_equal(send_number(client, "jobs", 1, NULL), 0);
    await(&worker);
    await_sleep(client, slot);
    end(&worker);

    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(send_number(client, "jobs", 2, NULL), 0);
    signal(SIGPIPE, SIG_IGN);
}

/* Some library closes a descriptor of the lock file: all the process's locks are gone. */
static void lose_the_lock(struct layer_case *c, int tell_fd)
{
    struct hr_layer *l = join(c, HR_ROLE_WORKER);
    close(openat(ipc_of(l)->dir_fd, "lock", O_RDONLY | O_CLOEXEC));
    tell(tell_fd);
}

static void a_member_that_lost_its_lock_is_ended_before_it_is_buried(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct child other = start(c, lose_the_lock);
    sweep(worker);
    int status;
    assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(other.told_fd);
    struct hr_arena_stats stats;
    hr_layer_arena_stats(worker, &stats);
    assert_int_equal(stats.n_recovered, 1);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0); /* not poisoned */
}

static void fill_and_hold(struct layer_case *c, int tell_fd)
{
    struct hr_layer *worker = join(c, HR_ROLE_WORKER), *client = join(c, HR_ROLE_CLIENT);
    struct hr_layer *server = join(c, HR_ROLE_SERVER);
    struct hr_delivery d;
    struct hr_draft draft;
    struct hr_send_options options = {0};
    child_must(hr_layer_address_open(server, &options.reply));
    child_must(hr_layer_group_add_addr(client, HR_LIT("room"), &options.reply));
    child_must(hr_layer_listen(worker, HR_LIT("jobs")));
    for (int i = 0; i < 10; i++)
        child_must(hr_layer_send(client, HR_LIT("jobs"), "1", 1, i % 2 ? &options : NULL));
    for (int i = 0; i < 3; i++)
        child_must(hr_layer_receive(worker, HR_RECEIVE_ALL, &d));
    child_must(hr_layer_draft(client, HR_LIT("jobs"), 100000, NULL, &draft));
    tell(tell_fd);
}

static void an_observer_reads_a_layer_whose_members_are_all_dead(void **state)
{
    struct layer_case *c = *state;
    struct child all = start(c, fill_and_hold);
    end(&all);
    struct hr_layer *observer = case_open(c, HR_ROLE_OBSERVER);
    struct hr_channel_stats stats = stats_of(observer, "jobs");
    assert_int_equal(stats.depth, 7);
    struct hr_member member;
    uint32_t n_known = 0;
    for (uint32_t slot = 0; hr_layer_member(observer, slot, &member); slot++) {
        assert_false(member.is_live);
        n_known += member.pid == all.pid;
    }
    assert_int_equal(n_known, 3);
    assert_int_equal(hr_layer_group_count(observer, HR_LIT("room"), NULL), 1);
    struct hr_arena_stats arena;
    hr_layer_arena_stats(observer, &arena);
    assert_int_equal(arena.n_recovered, 0);
}

static void who_attaches_after_all_have_died_recovers_everything(void **state)
{
    struct layer_case *c = *state;
    struct child all = start(c, fill_and_hold);
    end(&all);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    sweep(worker);
    struct hr_arena_stats arena;
    hr_layer_arena_stats(worker, &arena);
    assert_int_equal(arena.n_recovered, 3);
    assert_int_equal(arena.n_live, 1);
    struct ipc_fsck report = check(worker);
    assert_int_equal(report.n_queued, 7);
    assert_int_equal(report.n_held + report.n_tails + report.n_with_layer, 0);
    assert_int_equal(hr_layer_group_count(worker, HR_LIT("room"), NULL), 0);
    /* The next of that slot does not inherit what it was told. */
    struct hr_channel_stats stats = stats_of(worker, "jobs");
    assert_adds_up(&stats);
}

/* ---- the unhurried */

static void a_stopped_consumer_blocks_nobody(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    struct child other = start(c, fall_asleep);
    await_sleep(worker, hr_layer_slot(worker) + 1);
    kill(other.pid, SIGSTOP);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(send_number(worker, "jobs", i, NULL), 0);
        expect_number(c, worker, i);
    }
    kill(other.pid, SIGCONT);
    end(&other);
}

/* A ringer that was slow to write does so when the sleep it meant is long over. */
static void a_late_byte_in_the_bell_wakes_once(void **state)
{
    struct layer_case *c = *state;
    const enum hr_role roles[] = {HR_ROLE_WORKER, HR_ROLE_SERVER};
    for (int i = 0; i < 2; i++) {
        struct hr_layer *layer = case_open(c, roles[i]);
        assert_false(loop_once(layer, 20 * HR_MS));
        assert_int_equal(write(ipc_of(layer)->bell_fd, "", 1), 1);
        assert_true(loop_once(layer, 20 * HR_MS));
        nap(10 * HR_MS); /* the fd is asked once a tick of the coarse clock */
        loop_once(layer, 20 * HR_MS);
        nap(10 * HR_MS);
        assert_false(loop_once(layer, 20 * HR_MS));
    }
}

/* ---- who is woken */

static void who_stops_taking_passes_its_wake_up_on(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT), *workers[2];
    for (int i = 0; i < 2; i++) {
        workers[i] = case_open(c, HR_ROLE_WORKER);
        assert_int_equal(hr_layer_listen(workers[i], HR_LIT("jobs")), 0);
        assert_int_equal(hr_layer_prepare(workers[i], HR_RECEIVE_ALL), 0);
    }
    assert_int_equal(send_number(client, "jobs", 1, NULL), 0);
    int rung = bell_of(client, hr_layer_slot(workers[1])) == IPC_AWAKE;
    assert_int_equal(bell_of(client, hr_layer_slot(workers[rung])), IPC_AWAKE);
    assert_int_equal(bell_of(client, hr_layer_slot(workers[!rung])), IPC_ASLEEP_POLL);

    hr_layer_dispatch(workers[rung]);
    assert_int_equal(hr_layer_prepare(workers[rung], HR_RECEIVE_INBOX), 0);
    assert_int_equal(bell_of(client, hr_layer_slot(workers[!rung])), IPC_AWAKE);
}

enum { N_BROADCASTS = 20000 };

static void broadcast_many(struct layer_case *c, int tell_fd)
{
    struct hr_layer *l = join(c, HR_ROLE_CLIENT);
    uint32_t n_skipped;
    tell(tell_fd);
    for (int i = 0; i < N_BROADCASTS; i++)
        do
            child_must(hr_layer_group_send(l, HR_LIT("room7"), "1", 1, &n_skipped));
        while (n_skipped > 0);
    tell(tell_fd);
}

/* More groups than the table tells apart: it catches all, and tries to leave that every second. */
static void no_broadcast_falls_between_catching_all_and_not(void **state)
{
    static const struct hr_geometry narrow = {.bytes = 4 << 20,
                                              .n_channels = 8,
                                              .role = {[HR_ROLE_SERVER] = {1, 64, 16, 4},
                                                       [HR_ROLE_WORKER] = {1, 64, 16, 4},
                                                       [HR_ROLE_CLIENT] = {1, 64, 16, 4}}};
    struct layer_case *c = *state;
    c->geometry = &narrow;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    char group[] = "room0";
    for (; group[4] < '8'; group[4]++) {
        struct hr_addr addr = open_address(server);
        assert_int_equal(hr_layer_group_add_addr(server, hr_str_of(group), &addr), 0);
    }
    struct child other = start(c, broadcast_many);
    struct pollfd told = {.fd = other.told_fd, .events = POLLIN};
    int n_received = 0;
    for (bool is_over = false; !is_over;) {
        struct hr_delivery d;
        is_over = poll(&told, 1, 0) == 1;
        while (hr_layer_receive(server, HR_RECEIVE_ALL, &d) == 0)
            n_received++;
        ipc_of(server)->next_collection = 0;
        ipc_group_collect(ipc_of(server), 1);
    }
    end(&other);
    assert_int_equal(n_received, N_BROADCASTS);
}

/* Their names were found by trying. */
static void a_group_outlives_one_that_shares_its_hash(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *client = case_open(c, HR_ROLE_CLIENT);
    struct hr_addr stays = open_address(server), leaves = open_address(server);
    struct hr_str one = HR_LIT("room.34203"), other = HR_LIT("room.79638");
    assert_int_equal(hr_layer_group_add_addr(server, one, &stays), 0);
    assert_int_equal(hr_layer_group_add_addr(server, other, &leaves), 0);
    assert_int_equal(hr_layer_group_discard_addr(server, other, &leaves), 0);
    for (int i = 0; i < 3; i++) {
        ipc_of(server)->next_collection = 0;
        ipc_group_collect(ipc_of(server), 1);
    }
    uint32_t n_skipped;
    assert_int_equal(hr_layer_group_send(client, one, "1", 1, &n_skipped), 0);
    struct hr_delivery d;
    assert_int_equal(hr_layer_receive(server, HR_RECEIVE_ALL, &d), 0);
    assert_int_equal(d.kind, HR_DELIVERY_GROUP);
}

/* ---- forks */

static int in_the_child(struct hr_layer *layer, const struct hr_lease *lease,
                        const struct hr_addr *addr, uint32_t parents_slot)
{
    struct hr_delivery d;
    if (hr_layer_ack(layer, lease) != HR_LAYER_LOST)
        return 1; /* it is the parent's */
    if (hr_layer_slot(layer) == parents_slot || !hr_layer_address_alive(layer, addr))
        return 2;
    if (hr_layer_send(layer, HR_LIT("jobs"), "1", 1, NULL) != 0)
        return 3;
    if (hr_layer_listen(layer, HR_LIT("jobs")) != 0 ||
        hr_layer_receive(layer, HR_RECEIVE_ALL, &d) != 0)
        return 4;
    hr_layer_close(layer);
    return 0;
}

static void a_forked_handle_becomes_a_member_of_its_own(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options options = {.reply = open_address(server)};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(server, "jobs", 1, &options), 0);
    struct hr_delivery d = case_receive(c, worker);
    uint32_t slot = hr_layer_slot(worker);
    pid_t pid = fork();
    if (pid == 0)
        _exit(in_the_child(worker, &d.lease, &options.reply, slot));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(hr_layer_slot(worker), slot);
    assert_int_equal(hr_layer_ack(worker, &d.lease), 0);
}

static void *ask_for_members(void *arg)
{
    struct hr_layer *observer = arg;
    struct hr_member member;
    for (int i = 0; i < 400000; i++)
        (void)hr_layer_member(observer, 0, &member);
    return NULL;
}

static void a_fork_while_another_thread_asks_leaves_no_lock_held(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *observer = case_open(c, HR_ROLE_OBSERVER);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ask_for_members, observer), 0);
    for (int i = 0; i < 50; i++) {
        struct hr_member member;
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            alarm(2);
            _exit(!hr_layer_member(observer, 0, &member) || !member.is_live);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_int_equal(hr_layer_slot(server), 0);
    pthread_join(thread, NULL);
}

/* The child has a copy of every descriptor, the pidfd of the dead among them. */
static void a_forked_child_keeps_no_death_alive(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct child worker = start(c, fall_asleep);
    for (int i = 0; i < 6; i++)
        loop_once(server, 20 * HR_MS);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    end(&worker);
    for (int i = 0; i < 6; i++) {
        loop_once(server, 20 * HR_MS);
        nap(10 * HR_MS);
    }
    assert_false(loop_once(server, 20 * HR_MS));
    assert_int_not_equal(fcntl(0, F_GETFD), -1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- what a slot leaves behind */

static void a_join_for_a_slots_last_owner_is_not_its_next_ones(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT), *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr old = open_address(server), addr;
    case_close(c, server);
    /* Somebody who looked at the address before, and was slow. */
    assert_int_equal(ipc_post_kind(ipc_of(client), IPC_JOIN, &old, HR_LIT("room")), 0);
    server = case_open(c, HR_ROLE_SERVER);
    assert_int_equal(hr_layer_slot(server), old.slot);
    expect_empty(server);
    addr = open_address(server);
    assert_int_equal(addr.conn, old.conn);
    struct hr_member_cursor cursor = {0};
    assert_false(hr_layer_member_next(server, HR_LIT("room"), &cursor, &addr));
    expect_dropped(c, server, "reply", HR_REASON_STALE, 1);
}

/* ---- memory */

static void a_full_arena_refuses_and_still_passes_control(void **state)
{
    static const struct hr_geometry small = {.bytes = 2 << 20,
                                             .n_channels = 8,
                                             .role = {[HR_ROLE_SERVER] = {2, 64, 8, 4},
                                                      [HR_ROLE_WORKER] = {2, 64, 8, 4},
                                                      [HR_ROLE_CLIENT] = {2, 64, 8, 4}}};
    static const struct hr_channel_policy policy = {
        .pattern = "jobs", .max_messages = 100000, .max_bytes = 1 << 30};
    struct layer_case *c = *state;
    c->geometry = &small;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *client = case_open(c, HR_ROLE_CLIENT);
    struct hr_addr addr = open_address(server);
    struct hr_draft drafts[4096];
    uint32_t n = 0;
    case_policies(c, &policy, 1);
    while (hr_layer_draft(client, HR_LIT("jobs"), 10, NULL, &drafts[n]) == 0)
        assert_true(++n < 4096);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_MEMORY);
    assert_int_equal(send_number_to(client, &addr, 1, NULL), HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_MEMORY);

    const struct hr_send_options control = {.is_control = true};
    assert_int_equal(send_number_to(client, &addr, 2, &control), 0);
    expect_number(c, server, 2);
    while (n > 0)
        hr_draft_cancel(&drafts[--n]);
    assert_int_equal(send_number_to(client, &addr, 3, NULL), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    suite_scheme = "ipc:";
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_killed_workers_lease_comes_back_to_the_servers_loop_within_100_ms),
        LAYER_TEST(a_killed_client_is_found_by_a_sweep),
        LAYER_TEST(sending_to_a_worker_that_was_killed_asleep_is_harmless),
        LAYER_TEST(a_member_that_lost_its_lock_is_ended_before_it_is_buried),
        LAYER_TEST(an_observer_reads_a_layer_whose_members_are_all_dead),
        LAYER_TEST(who_attaches_after_all_have_died_recovers_everything),
        LAYER_TEST(a_stopped_consumer_blocks_nobody),
        LAYER_TEST(a_late_byte_in_the_bell_wakes_once),
        LAYER_TEST(who_stops_taking_passes_its_wake_up_on),
        LAYER_TEST(no_broadcast_falls_between_catching_all_and_not),
        LAYER_TEST(a_group_outlives_one_that_shares_its_hash),
        LAYER_TEST(a_forked_handle_becomes_a_member_of_its_own),
        LAYER_TEST(a_fork_while_another_thread_asks_leaves_no_lock_held),
        LAYER_TEST(a_forked_child_keeps_no_death_alive),
        LAYER_TEST(a_join_for_a_slots_last_owner_is_not_its_next_ones),
        LAYER_TEST(a_full_arena_refuses_and_still_passes_control),
    };
    return cmocka_run_group_tests_name("processes", tests, NULL, NULL) > 0;
}
