/* test_loop.c - sleeping and waking: in an event loop, and blocking. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "base/loop.h"

static bool is_readable(struct hr_layer *layer, int timeout_ms)
{
    struct pollfd fd = {.fd = hr_layer_fd(layer), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

/* ---- fd, prepare, dispatch */

static void a_send_wakes_whoever_has_prepared_to_sleep(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0);
    assert_int_equal(hr_layer_prepare(server, HR_RECEIVE_ALL), 0);
    assert_false(is_readable(worker, 0));

    assert_int_equal(send_number(server, "jobs", 1, NULL), 0);
    assert_int_equal(send_number_to(worker, &addr, 2, NULL), 0);

    assert_true(is_readable(worker, 1000));
    assert_true(is_readable(server, 1000));
    hr_layer_dispatch(worker);
    hr_layer_dispatch(server);
    assert_false(is_readable(worker, 0)); /* silenced */
    assert_false(is_readable(server, 0));
    expect_number(c, worker, 1);
    expect_number(c, server, 2);
}

static void prepare_forbids_sleep_while_something_is_there(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(worker);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);

    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 1);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_CHANNELS), 1);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_INBOX), 0);
    assert_int_equal(send_number_to(worker, &addr, 2, NULL), 0);
    assert_true(is_readable(worker, 1000));
    hr_layer_dispatch(worker);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_INBOX), 1);
    case_receive(c, worker);
    case_receive(c, worker);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0);
    hr_layer_dispatch(worker);
}

static void a_channel_registered_later_wakes_a_glob(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs.*")), 0);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0);
    assert_int_equal(send_number(sender, "jobs.new", 1, NULL), 0);
    assert_true(is_readable(worker, 1000));
    hr_layer_dispatch(worker);
    expect_number(c, worker, 1);
}

static void of_many_sleepers_one_gets_the_message(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *workers[4];
    int n_woken = 0, n_got = 0;
    for (int i = 0; i < 4; i++) {
        workers[i] = case_open(c, HR_ROLE_WORKER);
        assert_int_equal(hr_layer_listen(workers[i], HR_LIT("jobs")), 0);
        assert_int_equal(hr_layer_prepare(workers[i], HR_RECEIVE_ALL), 0);
    }
    assert_int_equal(send_number(sender, "jobs", 1, NULL), 0);
    for (int i = 0; i < 4; i++) {
        if (!is_readable(workers[i], 0))
            continue;
        struct hr_delivery delivery;
        n_woken++;
        hr_layer_dispatch(workers[i]);
        n_got += hr_layer_receive(workers[i], HR_RECEIVE_ALL, &delivery) == 0;
    }
    assert_true(n_woken >= 1);
    assert_int_equal(n_got, 1);
}

static void a_woken_member_that_is_content_leaves_nobody_asleep(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *workers[2];
    int n_got = 0;
    for (int i = 0; i < 2; i++) {
        workers[i] = case_open(c, HR_ROLE_WORKER);
        assert_int_equal(hr_layer_listen(workers[i], HR_LIT("jobs")), 0);
        assert_int_equal(hr_layer_prepare(workers[i], HR_RECEIVE_ALL), 0);
    }
    assert_int_equal(send_number(sender, "jobs", 1, NULL), 0);
    assert_int_equal(send_number(sender, "jobs", 2, NULL), 0);
    /* Whoever wakes takes one message and has enough. */
    for (int round = 0; round < 20 && n_got < 2; round++)
        for (int i = 0; i < 2; i++)
            if (workers[i] && is_readable(workers[i], 10)) {
                struct hr_delivery delivery;
                hr_layer_dispatch(workers[i]);
                if (hr_layer_receive(workers[i], HR_RECEIVE_ALL, &delivery) == 0) {
                    n_got++;
                    assert_int_equal(hr_layer_prepare(workers[i], HR_RECEIVE_INBOX), 0);
                    workers[i] = NULL;
                } else {
                    assert_true(hr_layer_prepare(workers[i], HR_RECEIVE_ALL) >= 0);
                }
            }
    assert_int_equal(n_got, 2);
}

static void a_woken_member_that_takes_something_else_leaves_nobody_asleep(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *workers[2];
    struct hr_addr addr[2];
    struct hr_delivery delivery;
    for (int i = 0; i < 2; i++) {
        workers[i] = case_open(c, HR_ROLE_WORKER);
        addr[i] = open_address(workers[i]);
        assert_int_equal(hr_layer_listen(workers[i], HR_LIT("jobs")), 0);
        assert_int_equal(hr_layer_prepare(workers[i], HR_RECEIVE_ALL), 0);
    }
    assert_int_equal(send_number(sender, "jobs", 1, NULL), 0);
    int woken = is_readable(workers[0], 0) ? 0 : 1;
    assert_true(is_readable(workers[woken], 0));
    assert_int_equal(send_number_to(sender, &addr[woken], 2, NULL), 0);

    hr_layer_dispatch(workers[woken]);
    assert_int_equal(hr_layer_receive(workers[woken], HR_RECEIVE_ALL, &delivery), 0);
    /* It is at that for long. */
    if (number_of(&delivery) == 2)
        assert_true(is_readable(workers[1 - woken], 0));
}

static void being_asked_to_retire_wakes(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr who = hr_layer_control_address(worker);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0);
    hr_layer_retire(server, who.slot, who.slot_gen);
    assert_true(is_readable(worker, 1000));
    hr_layer_dispatch(worker);
    assert_true(hr_layer_is_retiring(worker));
}

static void a_lost_lease_wakes_its_address(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options options = {.reply = open_address(server)};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(server, "jobs", 1, &options), 0);
    case_receive(c, worker);
    assert_int_equal(hr_layer_prepare(server, HR_RECEIVE_ALL), 0);
    case_close(c, worker);
    assert_true(is_readable(server, 1000));
    hr_layer_dispatch(server);
    assert_int_equal(case_receive(c, server).kind, HR_DELIVERY_LEASE_LOST);
}

/* One turn of a loop that knows only what the contract says. */
static void turn(struct hr_layer *layer)
{
    if (hr_layer_prepare(layer, HR_RECEIVE_ALL) == 0) {
        hr_time span = hr_layer_poll_timeout(layer);
        struct pollfd fd = {.fd = hr_layer_fd(layer), .events = POLLIN};
        poll(&fd, 1, span > HR_SECOND ? 1000 : (int)(span / HR_MS) + 1);
    }
    hr_layer_dispatch(layer);
}

static void a_loop_wakes_when_a_delayed_message_is_due(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options delayed = {.delay = 60 * HR_MS};
    struct hr_delivery delivery;
    hr_time start = hr_time_now();
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, &delayed), 0);

    while (hr_layer_receive(worker, HR_RECEIVE_ALL, &delivery) == HR_LAYER_EMPTY)
        turn(worker);

    hr_time waited = hr_time_now() - start;
    assert_true(waited >= 55 * HR_MS && waited < HR_SECOND);
}

/* ---- a real loop */

struct player {
    struct hr_hook hook;
    struct hr_io io;
    struct hr_loop *loop;
    struct hr_layer *layer;
    struct hr_addr mine, other;
    int n_left; /* messages to answer before the loop stops */
};

static bool player_prepare(struct hr_hook *hook)
{
    struct player *player = hr_container_of(hook, struct player, hook);
    return hr_layer_prepare(player->layer, HR_RECEIVE_ALL) == 1;
}

static void player_check(struct hr_hook *hook)
{
    struct player *player = hr_container_of(hook, struct player, hook);
    struct hr_delivery delivery;
    hr_layer_dispatch(player->layer);
    while (hr_layer_receive(player->layer, HR_RECEIVE_ALL, &delivery) == 0) {
        if (--player->n_left == 0)
            hr_loop_stop(player->loop);
        assert_int_equal(
            send_number_to(player->layer, &player->other, number_of(&delivery) + 1, NULL), 0);
    }
}

static hr_time player_timeout(struct hr_hook *hook)
{
    return hr_layer_poll_timeout(hr_container_of(hook, struct player, hook)->layer);
}

static void on_readable(struct hr_io *io, unsigned events)
{
    (void)io; /* the hook after the poll does the work */
    (void)events;
}

static void player_open(struct player *player, struct hr_loop *loop, struct hr_layer *layer)
{
    *player = (struct player){
        .hook = {.prepare = player_prepare, .check = player_check, .timeout = player_timeout},
        .loop = loop,
        .layer = layer,
        .mine = open_address(layer),
        .n_left = 500,
    };
    hr_loop_add_hook(loop, &player->hook);
    assert_int_equal(hr_io_open(loop, &player->io, hr_layer_fd(layer), on_readable), 0);
    hr_io_want(&player->io, HR_IO_READ);
}

static void player_close(struct player *player)
{
    hr_loop_remove_hook(player->loop, &player->hook);
    hr_io_close(&player->io, NULL);
}

static void two_members_play_ping_pong_on_one_loop(void **state)
{
    struct layer_case *c = *state;
    struct hr_loop *loop = NULL;
    struct player one, two;
    assert_int_equal(hr_loop_new(&loop), 0);
    player_open(&one, loop, case_open(c, HR_ROLE_SERVER));
    player_open(&two, loop, case_open(c, HR_ROLE_WORKER));
    one.other = two.mine;
    two.other = one.mine;
    assert_int_equal(send_number_to(one.layer, &two.mine, 0, NULL), 0);

    assert_int_equal(hr_loop_run(loop), 0);

    assert_true(one.n_left <= 1 && two.n_left <= 1);
    player_close(&one);
    player_close(&two);
    hr_loop_free(loop);
}

/* ---- blocking */

static void wait_returns_at_once_when_something_is_there(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_ALL, HR_NEVER), 0);
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_INBOX, 0), HR_LAYER_EMPTY);
    expect_number(c, worker, 1);
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_ALL, 0), HR_LAYER_EMPTY);
}

static void wait_ends_empty_after_its_timeout(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    hr_time start = hr_time_now();
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_ALL, 60 * HR_MS), HR_LAYER_EMPTY);
    hr_time waited = hr_time_now() - start;
    assert_true(waited >= 55 * HR_MS && waited < 5 * HR_SECOND);
}

static void wait_ends_when_a_delayed_message_is_due(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options delayed = {.delay = 50 * HR_MS};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, &delayed), 0);
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_ALL, 10 * HR_SECOND), 0);
    expect_number(c, worker, 1);
}

static void *send_later(void *arg)
{
    const struct timespec pause = {.tv_nsec = 30 * HR_MS};
    nanosleep(&pause, NULL);
    return send_number(arg, "jobs", 1, NULL) == 0 ? NULL : arg;
}

static void wait_ends_when_another_thread_sends(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *worker = case_open(c, HR_ROLE_WORKER);
    pthread_t thread;
    void *failed = NULL;
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(pthread_create(&thread, NULL, send_later, sender), 0);
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_ALL, 10 * HR_SECOND), 0);
    expect_number(c, worker, 1);
    pthread_join(thread, &failed);
    assert_null(failed);
}

static void on_alarm(int number)
{
    (void)number;
}

static void wait_ends_when_a_signal_comes(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct sigaction action = {.sa_handler = on_alarm}, old;
    const struct itimerval soon = {.it_value = {.tv_usec = 30000},
                                   .it_interval = {.tv_usec = 30000}};
    const struct itimerval never = {.it_value = {0}};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    int r = hr_layer_wait(worker, HR_RECEIVE_ALL, 10 * HR_SECOND);
    int saved_errno = errno;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_int_equal(r, HR_ERR_SYS);
    assert_int_equal(saved_errno, EINTR);
}

int suite_loop(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_send_wakes_whoever_has_prepared_to_sleep),
        LAYER_TEST(prepare_forbids_sleep_while_something_is_there),
        LAYER_TEST(a_channel_registered_later_wakes_a_glob),
        LAYER_TEST(of_many_sleepers_one_gets_the_message),
        LAYER_TEST(a_woken_member_that_is_content_leaves_nobody_asleep),
        LAYER_TEST(a_woken_member_that_takes_something_else_leaves_nobody_asleep),
        LAYER_TEST(being_asked_to_retire_wakes),
        LAYER_TEST(a_lost_lease_wakes_its_address),
        LAYER_TEST(a_loop_wakes_when_a_delayed_message_is_due),
        LAYER_TEST(two_members_play_ping_pong_on_one_loop),
        LAYER_TEST(wait_returns_at_once_when_something_is_there),
        LAYER_TEST(wait_ends_empty_after_its_timeout),
        LAYER_TEST(wait_ends_when_a_delayed_message_is_due),
        LAYER_TEST(wait_ends_when_another_thread_sends),
        LAYER_TEST(wait_ends_when_a_signal_comes),
    };
    return cmocka_run_group_tests_name("sleeping", tests, NULL, NULL);
}
