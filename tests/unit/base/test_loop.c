/* test_loop.c - base/loop.h: turns, timers, hooks, file descriptors.
 *
 * The loop reads the clock itself, so these tests wait; for milliseconds, and
 * no test depends on anything being quick.
 */
#include "test_base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/loop.h"

struct fixture {
    struct hr_loop *loop;
    int64_t live;
};

static struct fixture fixture;

static int setup(void **state)
{
    fixture.live = hr_alloc_live();
    *state = &fixture;
    return hr_loop_new(&fixture.loop);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->loop = hr_loop_free(f->loop);
    return hr_alloc_live() == f->live ? 0 : -1;
}

/* ---- timers */

struct alarm {
    struct hr_timer timer;
    struct hr_loop *loop;
    hr_time due, fired_at;
    unsigned n_fired;
};

static void on_alarm(struct hr_timer *timer)
{
    struct alarm *alarm = hr_container_of(timer, struct alarm, timer);
    alarm->n_fired++;
    alarm->fired_at = hr_loop_now(alarm->loop);
    hr_loop_stop(alarm->loop);
}

static void alarm_start(struct alarm *alarm, struct hr_loop *loop, hr_time delay)
{
    *alarm = (struct alarm){.loop = loop};
    hr_loop_start_timer(loop, &alarm->timer, delay, on_alarm);
    alarm->due = alarm->timer.due;
}

static void timers_fire_when_they_are_due(void **state)
{
    struct fixture *f = *state;
    struct alarm alarms[3];
    hr_time start = hr_time_now();
    alarm_start(&alarms[0], f->loop, 40 * HR_MS);
    alarm_start(&alarms[1], f->loop, 0);
    alarm_start(&alarms[2], f->loop, 20 * HR_MS);
    static const unsigned order[] = {1, 2, 0};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hr_loop_run(f->loop), 0); /* each fire stops it */
        assert_int_equal(alarms[order[i]].n_fired, 1);
        assert_true(alarms[order[i]].fired_at >= alarms[order[i]].due);
    }
    assert_true(hr_time_now() - start >= 39 * HR_MS); /* the loop counts in whole ms */
}

static void a_timer_counts_from_its_start_even_between_turns(void **state)
{
    struct fixture *f = *state;
    usleep(30000); /* the loop's own clock stands still meanwhile: that is the point */
    struct alarm alarm;
    hr_time start = hr_time_now();
    alarm_start(&alarm, f->loop, 20 * HR_MS);
    assert_int_equal(hr_loop_run(f->loop), 0);
    assert_true(hr_time_now() - start >= 19 * HR_MS);
}

static void an_earlier_timer_shortens_a_sleep_that_was_set(void **state)
{
    struct fixture *f = *state;
    struct alarm late, early;
    alarm_start(&late, f->loop, 3600 * HR_SECOND);
    hr_loop_turn(f->loop, false);
    alarm_start(&early, f->loop, 10 * HR_MS);
    assert_int_equal(hr_loop_run(f->loop), 0); /* or the time limit of the tests */
    assert_int_equal(early.n_fired, 1);
    assert_int_equal(late.n_fired, 0);
    hr_loop_stop_timer(f->loop, &late.timer);
}

/* ---- hooks */

struct counting_hook {
    struct hr_hook hook;
    struct hr_loop *loop;
    unsigned n_prepared, n_checked, n_asked;
    unsigned n_busy; /* prepares that still forbid sleeping */
    hr_time bears;
    unsigned leave_at; /* removes itself in this prepare */
};

static bool hook_prepare(struct hr_hook *hook)
{
    struct counting_hook *h = hr_container_of(hook, struct counting_hook, hook);
    if (++h->n_prepared == h->leave_at)
        hr_loop_remove_hook(h->loop, hook);
    if (h->n_busy == 0)
        return false;
    h->n_busy--;
    return true;
}

static void hook_check(struct hr_hook *hook)
{
    hr_container_of(hook, struct counting_hook, hook)->n_checked++;
}

static hr_time hook_timeout(struct hr_hook *hook)
{
    struct counting_hook *h = hr_container_of(hook, struct counting_hook, hook);
    h->n_asked++;
    return h->bears;
}

static void hook_add(struct counting_hook *h, struct hr_loop *loop)
{
    h->loop = loop;
    h->hook.prepare = hook_prepare;
    h->hook.check = hook_check;
    hr_loop_add_hook(loop, &h->hook);
}

static void a_hook_forbids_sleeping_for_as_long_as_it_says(void **state)
{
    struct fixture *f = *state;
    struct counting_hook h = {.n_busy = 5};
    hook_add(&h, f->loop);
    /* Nothing else would end these sleeps. */
    for (unsigned i = 1; i <= 5; i++) {
        hr_loop_turn(f->loop, true);
        assert_int_equal(h.n_prepared, i);
        assert_int_equal(h.n_checked, i);
    }
    struct alarm alarm;
    alarm_start(&alarm, f->loop, 30 * HR_MS);
    hr_time start = hr_time_now();
    unsigned n_turns = 0;
    for (; alarm.n_fired == 0; n_turns++)
        hr_loop_turn(f->loop, true);
    assert_true(hr_time_now() - start >= 25 * HR_MS);
    assert_true(n_turns <= 4); /* it sleeps again */
    hr_loop_remove_hook(f->loop, &h.hook);
}

static void a_hook_bounds_the_sleep(void **state)
{
    struct fixture *f = *state;
    struct counting_hook h = {.bears = 10 * HR_MS};
    h.hook.timeout = hook_timeout;
    hook_add(&h, f->loop);
    hr_time start = hr_time_now();
    for (int i = 0; i < 3; i++)
        hr_loop_turn(f->loop, true);
    hr_time took = hr_time_now() - start;
    assert_true(took >= 18 * HR_MS); /* it did sleep */
    h.bears = 0;
    hr_loop_turn(f->loop, true);
    h.bears = HR_NEVER;
    struct alarm alarm;
    alarm_start(&alarm, f->loop, HR_MS);
    while (alarm.n_fired == 0)
        hr_loop_turn(f->loop, true);
    hr_loop_remove_hook(f->loop, &h.hook);
}

static void a_hook_may_remove_itself(void **state)
{
    struct fixture *f = *state;
    struct counting_hook leaves = {.leave_at = 2, .n_busy = 9}, stays = {.n_busy = 9};
    leaves.hook.timeout = hook_timeout;
    hook_add(&leaves, f->loop);
    hook_add(&stays, f->loop);
    for (int i = 0; i < 4; i++)
        hr_loop_turn(f->loop, true);
    assert_int_equal(leaves.n_prepared, 2);
    assert_int_equal(leaves.n_checked, 1);
    assert_int_equal(leaves.n_asked, 1); /* its memory may be gone after it has left */
    assert_int_equal(stays.n_checked, 4);
    hr_loop_remove_hook(f->loop, &stays.hook);
}

static void a_hook_may_leave_out_its_functions(void **state)
{
    struct fixture *f = *state;
    struct hr_hook hook = {0};
    hr_loop_add_hook(f->loop, &hook);
    hr_loop_turn(f->loop, false);
    hr_loop_remove_hook(f->loop, &hook);
}

/* ---- file descriptors */

struct watch {
    struct hr_io io;
    unsigned n_calls, n_closed;
    unsigned events; /* all that were seen */
};

static void on_io(struct hr_io *io, unsigned events)
{
    struct watch *watch = hr_container_of(io, struct watch, io);
    watch->n_calls++;
    watch->events |= events;
}

static void on_io_closed(struct hr_io *io)
{
    hr_container_of(io, struct watch, io)->n_closed++;
}

static void watch_open(struct watch *watch, struct hr_loop *loop, int fd, unsigned events)
{
    *watch = (struct watch){0};
    assert_int_equal(hr_io_open(loop, &watch->io, fd, on_io), 0);
    hr_io_want(&watch->io, events);
}

/* Closes and waits for it: the watch is about to go out of scope. */
static void watch_close(struct watch *watch, struct hr_loop *loop)
{
    hr_io_close(&watch->io, on_io_closed);
    hr_loop_turn(loop, false);
    assert_int_equal(watch->n_closed, 1);
}

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

/* A turn that does not wait, as often as it takes for what is pending to show. */
static void settle(struct hr_loop *loop)
{
    for (int i = 0; i < 3; i++)
        hr_loop_turn(loop, false);
}

static void a_descriptor_tells_readable_and_writable_as_wanted(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    make_pair(fds);
    struct watch watch;
    watch_open(&watch, f->loop, fds[0], HR_IO_READ);
    settle(f->loop);
    assert_int_equal(watch.n_calls, 0);

    assert_int_equal(write(fds[1], "x", 1), 1);
    hr_loop_turn(f->loop, true);
    assert_int_equal(watch.events, HR_IO_READ);

    watch.events = 0;
    hr_io_want(&watch.io, HR_IO_WRITE);
    settle(f->loop);
    assert_int_equal(watch.events, HR_IO_WRITE);

    hr_io_want(&watch.io, HR_IO_READ | HR_IO_WRITE);
    settle(f->loop);
    assert_int_equal(watch.events, HR_IO_READ | HR_IO_WRITE);

    hr_io_want(&watch.io, 0);
    watch.n_calls = 0;
    settle(f->loop);
    assert_int_equal(watch.n_calls, 0);
    watch_close(&watch, f->loop);
    close(fds[0]);
    close(fds[1]);
}

static void a_paused_reader_is_not_called_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    make_pair(fds);
    struct watch watch;
    watch_open(&watch, f->loop, fds[0], HR_IO_READ);
    settle(f->loop);
    hr_io_want(&watch.io, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    settle(f->loop);
    assert_int_equal(watch.n_calls, 0);
    assert_int_equal(watch.io.armed, 0); /* nor does it make the loop spin */
    hr_io_want(&watch.io, HR_IO_READ);
    settle(f->loop);
    assert_true(watch.n_calls > 0);
    assert_int_equal(watch.events, HR_IO_READ);
    watch_close(&watch, f->loop);
    close(fds[0]);
    close(fds[1]);
}

static void a_writer_that_stops_reading_is_told_of_writes_alone(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    make_pair(fds);
    struct watch watch;
    watch_open(&watch, f->loop, fds[0], HR_IO_READ | HR_IO_WRITE);
    assert_int_equal(write(fds[1], "x", 1), 1);
    hr_io_want(&watch.io, HR_IO_WRITE);
    settle(f->loop);
    assert_int_equal(watch.events, HR_IO_WRITE);
    watch_close(&watch, f->loop);
    close(fds[0]);
    close(fds[1]);
}

static void an_error_shows_as_both_events_and_ends_the_watch(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]); /* POLLERR on the writing end */
    struct watch watch;
    watch_open(&watch, f->loop, fds[1], HR_IO_WRITE);
    hr_loop_turn(f->loop, true);
    assert_int_equal(watch.n_calls, 1);
    assert_int_equal(watch.events, HR_IO_READ | HR_IO_WRITE);
    settle(f->loop);
    assert_int_equal(watch.n_calls, 1);
    hr_io_want(&watch.io, HR_IO_WRITE);
    settle(f->loop);
    assert_int_equal(watch.n_calls, 2);
    watch_close(&watch, f->loop);
    close(fds[1]);
}

static void the_end_of_the_peer_is_readable(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    make_pair(fds);
    struct watch watch;
    watch_open(&watch, f->loop, fds[0], HR_IO_READ);
    close(fds[1]);
    hr_loop_turn(f->loop, true);
    assert_int_equal(watch.events, HR_IO_READ);
    watch_close(&watch, f->loop);
    close(fds[0]);
}

static void a_closed_watch_is_silent_at_once_and_its_fd_number_reusable(void **state)
{
    struct fixture *f = *state;
    int fds[2], others[2];
    make_pair(fds);
    make_pair(others);
    struct watch old, young;
    watch_open(&old, f->loop, fds[0], HR_IO_READ);
    settle(f->loop);
    assert_int_equal(write(fds[1], "x", 1), 1);
    hr_io_close(&old.io, on_io_closed);
    assert_int_equal(old.n_closed, 0); /* later: its memory is still libuv's */

    assert_int_equal(dup2(others[0], fds[0]), fds[0]);
    watch_open(&young, f->loop, fds[0], HR_IO_WRITE);
    settle(f->loop);
    assert_int_equal(old.n_calls, 0);
    assert_int_equal(old.n_closed, 1);
    assert_int_equal(young.events, HR_IO_WRITE);
    watch_close(&young, f->loop);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(others[i]);
    }
}

static void what_cannot_be_watched_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct watch watch = {0};
    assert_int_equal(hr_io_open(f->loop, &watch.io, -1, on_io), HR_ERR_SYS);
    assert_int_equal(errno, EBADF);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(hr_io_open(f->loop, &watch.io, fd, on_io), HR_ERR_SYS);
    assert_int_equal(errno, EPERM);
    close(fd);
}

/* ---- life */

static void freeing_runs_the_closes(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    make_pair(fds);
    struct watch watch;
    watch_open(&watch, f->loop, fds[0], HR_IO_READ);
    hr_io_close(&watch.io, on_io_closed);
    f->loop = hr_loop_free(f->loop);
    assert_int_equal(watch.n_closed, 1);
    assert_null(hr_loop_free(NULL));
    close(fds[0]);
    close(fds[1]);
}

static void without_memory_there_is_no_loop(void **state)
{
    (void)state;
    struct hr_loop *loop;
    hr_alloc_fail_at(1);
    assert_int_equal(hr_loop_new(&loop), HR_ERR_NOMEM);
    assert_null(loop);
}

static void libuv_errors_become_ours(void **state)
{
    (void)state;
    assert_int_equal(hr_loop_error(UV_ENOMEM), HR_ERR_NOMEM);
    assert_int_equal(hr_loop_error(UV_EADDRINUSE), HR_ERR_SYS);
    assert_int_equal(errno, EADDRINUSE);
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int test_loop(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(timers_fire_when_they_are_due),
        LOOP_TEST(a_timer_counts_from_its_start_even_between_turns),
        LOOP_TEST(an_earlier_timer_shortens_a_sleep_that_was_set),
        LOOP_TEST(a_hook_forbids_sleeping_for_as_long_as_it_says),
        LOOP_TEST(a_hook_bounds_the_sleep),
        LOOP_TEST(a_hook_may_remove_itself),
        LOOP_TEST(a_hook_may_leave_out_its_functions),
        LOOP_TEST(a_descriptor_tells_readable_and_writable_as_wanted),
        LOOP_TEST(a_paused_reader_is_not_called_and_loses_nothing),
        LOOP_TEST(a_writer_that_stops_reading_is_told_of_writes_alone),
        LOOP_TEST(an_error_shows_as_both_events_and_ends_the_watch),
        LOOP_TEST(the_end_of_the_peer_is_readable),
        LOOP_TEST(a_closed_watch_is_silent_at_once_and_its_fd_number_reusable),
        LOOP_TEST(what_cannot_be_watched_is_an_error),
        LOOP_TEST(freeing_runs_the_closes),
        cmocka_unit_test(without_memory_there_is_no_loop),
        cmocka_unit_test(libuv_errors_become_ours),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
