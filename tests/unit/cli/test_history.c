/* test_history.c - figures: what an hour and five minutes are, refusals, and percentiles. */
#include "test_cli.h"

#include "cli/history.h"

#define MINUTE (60 * HR_SECOND)

/* What `status` would show of sum `i`. */
static uint64_t lately(const struct hr_history *history, const struct hr_pool_sums *now, int i)
{
    struct hr_pool_sums base, sums = *now;
    hr_history_base(history, &base);
    hr_figures_subtract(&sums, &base);
    return sums.n[i];
}

static void what_has_grown_since_the_last_sample_counts_at_once(void **state)
{
    struct hr_history history = {0};
    struct hr_pool_sums sums = {.n = {[HR_REASON_TIMEOUT] = 1000, [HR_SUM_WAIT] = 50}};
    (void)state;
    hr_history_add(&history, &sums, 0); /* what is from before our time */
    assert_int_equal(lately(&history, &sums, HR_REASON_TIMEOUT), 0);
    sums.n[HR_REASON_TIMEOUT] += 3;
    sums.n[HR_SUM_WAIT] += 2;
    assert_int_equal(lately(&history, &sums, HR_REASON_TIMEOUT), 3);
    assert_int_equal(lately(&history, &sums, HR_SUM_WAIT), 2);
}

static void counts_are_of_an_hour_and_times_of_five_minutes(void **state)
{
    struct hr_history history = {0};
    struct hr_pool_sums sums = {0};
    (void)state;
    for (int minute = 0; minute < 100; minute++) {
        hr_history_add(&history, &sums, minute * MINUTE);
        sums.n[HR_SUM_LOST]++;
        sums.n[HR_SUM_RUN + 3]++;
    }
    assert_int_equal(lately(&history, &sums, HR_SUM_LOST), 60);
    assert_int_equal(lately(&history, &sums, HR_SUM_RUN + 3), 6); /* the minute that has begun */
}

static void what_is_older_is_forgotten(void **state)
{
    struct hr_history history = {0};
    struct hr_pool_sums sums = {0};
    (void)state;
    hr_history_add(&history, &sums, 0);
    sums.n[HR_SUM_REDELIVERED] = sums.n[HR_SUM_WAIT] = 7;
    for (int minute = 1; minute <= 59; minute++) {
        hr_history_add(&history, &sums, minute * MINUTE);
        assert_int_equal(lately(&history, &sums, HR_SUM_REDELIVERED), 7);
        assert_int_equal(lately(&history, &sums, HR_SUM_WAIT), minute <= 5 ? 7 : 0);
    }
    hr_history_add(&history, &sums, 60 * MINUTE);
    assert_int_equal(lately(&history, &sums, HR_SUM_REDELIVERED), 0);
}

static void samples_are_taken_once_a_minute(void **state)
{
    struct hr_history history = {0};
    struct hr_pool_sums sums = {0};
    (void)state;
    for (int second = 0; second < 30 * 60; second += 10) {
        hr_history_add(&history, &sums, second * HR_SECOND);
        sums.n[HR_REASON_LIMIT]++;
    }
    assert_int_equal(history.n_steps, 30);
    assert_int_equal(lately(&history, &sums, HR_REASON_LIMIT), 180);
}

static void refusals_are_added_up_and_the_most_frequent_reason_named(void **state)
{
    struct hr_pool_sums sums = {.n = {[HR_REASON_NONE] = 99, [HR_SUM_REDELIVERED] = 50}};
    enum hr_reason most;
    (void)state;
    assert_int_equal(hr_figures_refused(&sums, &most), 0);
    assert_int_equal(most, HR_REASON_NONE);
    sums.n[HR_SUM_REFUSED + HR_REASON_TIMEOUT] = 3;
    sums.n[HR_SUM_REFUSED + HR_REASON_QUEUE_TIMEOUT] = 5;
    assert_int_equal(hr_figures_refused(&sums, &most), 8);
    assert_int_equal(most, HR_REASON_QUEUE_TIMEOUT);
}

static void sums_that_a_base_exceeds_are_nothing(void **state)
{
    struct hr_pool_sums sums = {.n = {1, 5}}, base = {.n = {2, 3}};
    (void)state;
    hr_figures_subtract(&sums, &base);
    assert_int_equal(sums.n[0], 0);
    assert_int_equal(sums.n[1], 2);
}

static void p99_lies_within_its_bucket(void **state)
{
    uint64_t buckets[HR_FIGURES_BUCKETS] = {0};
    (void)state;
    assert_int_equal(hr_figures_p99(buckets), 0);
    buckets[0] = 100; /* up to a millisecond */
    assert_int_equal(hr_figures_p99(buckets), 990 * HR_US);
    buckets[6] = 100; /* up to a second, from 0.3 */
    hr_time p99 = hr_figures_p99(buckets);
    assert_true(p99 > 980 * HR_MS && p99 <= HR_SECOND);
    buckets[HR_FIGURES_BUCKETS - 1] = 1000; /* beyond a minute nothing more is known */
    assert_int_equal(hr_figures_p99(buckets), 60 * HR_SECOND);
}

int test_history(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_grown_since_the_last_sample_counts_at_once),
        cmocka_unit_test(counts_are_of_an_hour_and_times_of_five_minutes),
        cmocka_unit_test(what_is_older_is_forgotten),
        cmocka_unit_test(samples_are_taken_once_a_minute),
        cmocka_unit_test(refusals_are_added_up_and_the_most_frequent_reason_named),
        cmocka_unit_test(sums_that_a_base_exceeds_are_nothing),
        cmocka_unit_test(p99_lies_within_its_bucket),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
