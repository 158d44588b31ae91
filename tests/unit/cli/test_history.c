/* test_history.c - figures: refusals of the last hour, and percentiles. */
#include "test_cli.h"

#include "cli/history.h"

#define MINUTE (60 * HR_SECOND)

static void an_hour_is_what_has_grown_in_it(void **state)
{
    struct hr_history history = {0};
    uint64_t sums[HR_N_REASONS] = {[HR_REASON_TIMEOUT] = 1000}; /* from before our time */
    enum hr_reason most;
    (void)state;
    hr_history_add(&history, sums, 0);
    assert_int_equal(hr_history_of_hour(&history, &most), 0);

    sums[HR_REASON_TIMEOUT] += 3;
    sums[HR_REASON_QUEUE_TIMEOUT] += 5;
    hr_history_add(&history, sums, MINUTE);
    assert_int_equal(hr_history_of_hour(&history, &most), 8);
    assert_int_equal(most, HR_REASON_QUEUE_TIMEOUT);
}

static void what_is_older_is_forgotten(void **state)
{
    struct hr_history history = {0};
    uint64_t sums[HR_N_REASONS] = {0};
    enum hr_reason most;
    (void)state;
    hr_history_add(&history, sums, 0);
    sums[HR_REASON_EXPIRED] = 7;
    for (int minute = 1; minute < 60; minute++)
        hr_history_add(&history, sums, minute * MINUTE);
    assert_int_equal(hr_history_of_hour(&history, &most), 7);
    hr_history_add(&history, sums, 60 * MINUTE);
    assert_int_equal(hr_history_of_hour(&history, &most), 0);
    assert_int_equal(most, HR_REASON_NONE);
}

static void an_hour_is_an_hour_however_long_it_goes_on(void **state)
{
    struct hr_history history = {0};
    uint64_t sums[HR_N_REASONS] = {0};
    enum hr_reason most;
    (void)state;
    for (int minute = 0; minute < 100; minute++, sums[HR_REASON_EXPIRED]++)
        hr_history_add(&history, sums, minute * MINUTE);
    assert_int_equal(hr_history_of_hour(&history, &most), 59);
}

static void samples_within_a_minute_share_a_step(void **state)
{
    struct hr_history history = {0};
    uint64_t sums[HR_N_REASONS] = {0};
    enum hr_reason most;
    (void)state;
    for (int second = 0; second < 1000; second += 10) {
        sums[HR_REASON_LIMIT]++;
        hr_history_add(&history, sums, second * HR_SECOND);
    }
    assert_int_equal(hr_history_of_hour(&history, &most), 99); /* the first is where we began */
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
        cmocka_unit_test(an_hour_is_what_has_grown_in_it),
        cmocka_unit_test(what_is_older_is_forgotten),
        cmocka_unit_test(an_hour_is_an_hour_however_long_it_goes_on),
        cmocka_unit_test(samples_within_a_minute_share_a_step),
        cmocka_unit_test(p99_lies_within_its_bucket),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
