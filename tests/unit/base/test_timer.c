/* test_timer.c - base/timer.h against a model that knows each timer's tick. */
#include "test_base.h"

#include <stdlib.h>
#include <string.h>

#include "base/timer.h"

#define TICK HR_WHEEL_TICK

static int64_t tick_after(hr_time due)
{
    return (due + TICK - 1) / TICK;
}

/* ---- one timer at a time */

struct alarm {
    struct hr_timer timer;
    unsigned n_fired;
};

static void on_alarm(struct hr_timer *timer)
{
    hr_container_of(timer, struct alarm, timer)->n_fired++;
}

static void a_timer_fires_in_the_tick_after_its_due_time_and_once(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        /* Delays around each level's borders, from any point of the wheel. */
        hr_time now = (hr_time)(test_random(&seed) % ((uint64_t)HR_SECOND * 1000000));
        int64_t span = (int64_t)1 << 6 * test_below(&seed, 5);
        hr_time delay = span * TICK + ((int64_t)test_below(&seed, 5) - 2) * TICK +
                        (int64_t)test_below(&seed, 3) - 1;
        if (delay < 0)
            delay = 0;
        struct hr_wheel wheel;
        struct alarm alarm = {0};
        hr_wheel_init(&wheel, now);
        hr_wheel_start(&wheel, &alarm.timer, now + delay, on_alarm);
        assert_true(hr_timer_is_active(&alarm.timer));

        int64_t tick = tick_after(now + delay);
        if (tick == now / TICK) /* due now: the next one */
            tick++;
        hr_wheel_run(&wheel, tick * TICK - 1);
        assert_int_equal(alarm.n_fired, 0);
        hr_wheel_run(&wheel, tick * TICK);
        assert_int_equal(alarm.n_fired, 1);
        assert_false(hr_timer_is_active(&alarm.timer));
        hr_wheel_run(&wheel, (tick + (1 << 25)) * TICK);
        assert_int_equal(alarm.n_fired, 1);
        assert_true(hr_wheel_next(&wheel) == HR_NEVER);
    }
}

static void what_is_due_already_fires_at_the_next_tick(void **state)
{
    (void)state;
    for (hr_time late = 0; late < 3 * TICK; late += TICK / 2)
        for (hr_time now = 1000 * TICK; now <= 1001 * TICK; now += TICK / 4) {
            struct hr_wheel wheel;
            struct alarm alarm = {0};
            hr_wheel_init(&wheel, now);
            hr_wheel_start(&wheel, &alarm.timer, now - late, on_alarm);
            assert_true(hr_wheel_next(&wheel) == (now / TICK + 1) * TICK);
            hr_wheel_run(&wheel, (now / TICK + 1) * TICK);
            assert_int_equal(alarm.n_fired, 1);
        }
}

static void following_next_reaches_every_timer_with_few_runs(void **state)
{
    (void)state;
    uint64_t seed = 6;
    for (int i = 0; i < 5000; i++) {
        hr_time now = (hr_time)(test_random(&seed) % ((uint64_t)HR_SECOND * 1000000));
        /* Any magnitude up to 2^50 ns, which is 13 days: beyond the last level. */
        hr_time due = now + (hr_time)(test_random(&seed) >> (14 + test_below(&seed, 40)));
        struct hr_wheel wheel;
        struct alarm alarm = {0};
        hr_wheel_init(&wheel, now);
        hr_wheel_start(&wheel, &alarm.timer, due, on_alarm);
        /* One to fire, one for each level it falls through, one for each lap when it is
         * further away than the last level's 63 whole slots. */
        int64_t max_runs = HR_WHEEL_LEVELS + (due - now) / (TICK * 63 << 18) + 1;
        while (alarm.n_fired == 0) {
            hr_time next = hr_wheel_next(&wheel);
            assert_true(next > now);
            assert_true(next < due + TICK || next <= now + TICK);
            now = next;
            hr_wheel_run(&wheel, now);
            max_runs--;
        }
        assert_true(now >= due);
        assert_true(max_runs >= 0);
    }
}

static void a_stopped_timer_never_fires(void **state)
{
    (void)state;
    struct hr_wheel wheel;
    struct alarm alarm = {0};
    hr_wheel_init(&wheel, 0);
    hr_wheel_stop(&wheel, &alarm.timer); /* zeroed is stopped */
    hr_wheel_start(&wheel, &alarm.timer, HR_SECOND, on_alarm);
    hr_wheel_stop(&wheel, &alarm.timer);
    hr_wheel_stop(&wheel, &alarm.timer);
    assert_false(hr_timer_is_active(&alarm.timer));
    assert_int_equal(wheel.n_timers, 0);
    assert_true(hr_wheel_next(&wheel) == HR_NEVER);
    hr_wheel_run(&wheel, 10 * HR_SECOND);
    assert_int_equal(alarm.n_fired, 0);
}

static void a_stopped_timer_leaves_no_run_behind(void **state)
{
    (void)state;
    struct hr_wheel wheel;
    struct alarm near = {0}, far = {0};
    hr_wheel_init(&wheel, 0);
    hr_wheel_start(&wheel, &far.timer, HR_SECOND, on_alarm);
    hr_time next = hr_wheel_next(&wheel);
    hr_wheel_start(&wheel, &near.timer, TICK, on_alarm);
    assert_true(hr_wheel_next(&wheel) == TICK);
    hr_wheel_stop(&wheel, &near.timer);
    assert_true(hr_wheel_next(&wheel) == next);
    hr_wheel_stop(&wheel, &far.timer);
}

static void restarting_moves_a_timer_and_never_stops_it(void **state)
{
    (void)state;
    struct hr_wheel wheel;
    struct alarm alarm = {0};
    hr_wheel_init(&wheel, 0);
    hr_wheel_start(&wheel, &alarm.timer, HR_SECOND, on_alarm);
    hr_wheel_start(&wheel, &alarm.timer, 3 * HR_SECOND, on_alarm);
    assert_int_equal(wheel.n_timers, 1);
    hr_wheel_run(&wheel, 2 * HR_SECOND);
    assert_int_equal(alarm.n_fired, 0);
    hr_wheel_start(&wheel, &alarm.timer, HR_NEVER, on_alarm);
    assert_false(hr_timer_is_active(&alarm.timer));
    hr_wheel_run(&wheel, 9 * HR_SECOND);
    assert_int_equal(alarm.n_fired, 0);
}

/* ---- many timers, which start and stop each other */

enum { N_TIMERS = 300 };

struct entry {
    struct hr_timer timer;
    hr_time due;
    int64_t tick; /* at which it must fire; 0: stopped */
};

struct model {
    struct hr_wheel wheel;
    struct entry entries[N_TIMERS];
    hr_time now;      /* of the last run */
    int64_t run_tick; /* a lower bound of the tick being run */
    bool is_running;
    uint64_t seed;
    uint64_t n_fired;
};

static struct model model;

static void model_on_fire(struct hr_timer *timer);

static void model_start(struct entry *entry)
{
    struct model *m = &model;
    static const hr_time magnitudes[] = {TICK, HR_SECOND, 60 * HR_SECOND, 3600 * HR_SECOND,
                                         100 * 3600 * HR_SECOND};
    hr_time delay =
        (hr_time)(test_random(&m->seed) % (uint64_t)magnitudes[test_below(&m->seed, 5)]);
    entry->due = m->now + delay;
    int64_t tick = tick_after(entry->due);
    int64_t next = m->wheel.tick + 1;
    entry->tick = tick > next ? tick : next;
    hr_wheel_start(&m->wheel, &entry->timer, entry->due, model_on_fire);
}

static void model_stop(struct entry *entry)
{
    entry->tick = 0;
    hr_wheel_stop(&model.wheel, &entry->timer);
}

static void model_on_fire(struct hr_timer *timer)
{
    struct model *m = &model;
    struct entry *entry = hr_container_of(timer, struct entry, timer);
    assert_true(m->is_running);
    assert_true(entry->tick != 0);           /* not stopped */
    assert_true(entry->due <= m->now);       /* not early */
    assert_true(m->run_tick <= entry->tick); /* tick by tick */
    assert_false(hr_timer_is_active(timer));
    m->run_tick = entry->tick;
    entry->tick = 0;
    m->n_fired++;
    for (size_t n = test_below(&m->seed, 3); n > 0; n--) {
        struct entry *other = &m->entries[test_below(&m->seed, N_TIMERS)];
        if (test_below(&m->seed, 2))
            model_start(other);
        else
            model_stop(other);
    }
    if (test_below(&m->seed, 4) == 0)
        model_start(entry);
}

static void model_run(hr_time now)
{
    struct model *m = &model;
    m->now = now;
    m->run_tick = 0;
    m->is_running = true;
    hr_wheel_run(&m->wheel, now);
    m->is_running = false;

    uint32_t n_active = 0;
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < N_TIMERS; i++) {
        const struct entry *entry = &m->entries[i];
        assert_int_equal(hr_timer_is_active(&entry->timer), entry->tick != 0);
        if (entry->tick == 0)
            continue;
        assert_true(entry->tick > now / TICK); /* not late */
        n_active++;
        if (entry->tick < first)
            first = entry->tick;
    }
    assert_int_equal(m->wheel.n_timers, n_active);
    hr_time next = hr_wheel_next(&m->wheel);
    assert_int_equal(next == HR_NEVER, n_active == 0);
    if (n_active > 0) {
        assert_true(next <= first * TICK);
        assert_true(next > now);
    }
}

static hr_time model_next_time(void)
{
    struct model *m = &model;
    hr_time next = hr_wheel_next(&m->wheel);
    switch (test_below(&m->seed, 5)) {
    case 0:
        return m->now + (hr_time)test_below(&m->seed, 2 * TICK);
    case 1:
        return m->now + (hr_time)test_below(&m->seed, 10 * HR_SECOND);
    case 2:
        return m->now + (hr_time)(test_random(&m->seed) >> test_below(&m->seed, 20) >> 14);
    default:
        return next == HR_NEVER ? m->now : next - (hr_time)test_below(&m->seed, 2);
    }
}

static void many_timers_that_start_and_stop_each_other_all_keep_their_time(void **state)
{
    (void)state;
    uint64_t n_fired = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        model = (struct model){.seed = seed, .now = (hr_time)(seed * 977 * HR_SECOND)};
        hr_wheel_init(&model.wheel, model.now);
        for (int i = 0; i < 3000; i++) {
            struct entry *entry = &model.entries[test_below(&model.seed, N_TIMERS)];
            switch (test_below(&model.seed, 4)) {
            case 0:
            case 1:
                model_start(entry);
                break;
            case 2:
                model_stop(entry);
                break;
            default:
                model_run(model_next_time());
            }
        }
        for (size_t i = 0; i < N_TIMERS; i++)
            model_stop(&model.entries[i]);
        for (size_t level = 0; level < HR_WHEEL_LEVELS; level++)
            assert_true(model.wheel.occupied[level] == 0);
        n_fired += model.n_fired;
    }
    assert_true(n_fired > 10000);
}

int test_timer(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_in_the_tick_after_its_due_time_and_once),
        cmocka_unit_test(what_is_due_already_fires_at_the_next_tick),
        cmocka_unit_test(following_next_reaches_every_timer_with_few_runs),
        cmocka_unit_test(a_stopped_timer_never_fires),
        cmocka_unit_test(a_stopped_timer_leaves_no_run_behind),
        cmocka_unit_test(restarting_moves_a_timer_and_never_stops_it),
        cmocka_unit_test(many_timers_that_start_and_stop_each_other_all_keep_their_time),
    };
    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
