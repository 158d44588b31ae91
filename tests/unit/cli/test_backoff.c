/* test_backoff.c - when to start again what died. */
#include "test_cli.h"

#include "cli/backoff.h"

static void the_first_restart_is_at_once_and_then_delays_double(void **state)
{
    struct hr_backoff backoff = {0};
    (void)state;
    assert_int_equal(hr_backoff_next(&backoff, 0), 0);
    assert_int_equal(hr_backoff_next(&backoff, 0), 100 * HR_MS);
    assert_int_equal(hr_backoff_next(&backoff, 0), 200 * HR_MS);
    assert_int_equal(hr_backoff_next(&backoff, 0), 400 * HR_MS);
}

static void delays_end_at_ten_seconds(void **state)
{
    struct hr_backoff backoff = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(hr_backoff_next(&backoff, 0) <= 10 * HR_SECOND);
    assert_int_equal(hr_backoff_next(&backoff, 0), 10 * HR_SECOND);
}

static void ten_seconds_of_life_are_a_new_start(void **state)
{
    struct hr_backoff backoff = {0};
    (void)state;
    for (int i = 0; i < 5; i++)
        (void)hr_backoff_next(&backoff, 0);
    assert_int_equal(hr_backoff_next(&backoff, 10 * HR_SECOND - 1), 1600 * HR_MS);
    assert_int_equal(hr_backoff_next(&backoff, 10 * HR_SECOND), 0);
    assert_int_equal(hr_backoff_next(&backoff, 0), 100 * HR_MS);
}

int test_backoff(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_restart_is_at_once_and_then_delays_double),
        cmocka_unit_test(delays_end_at_ten_seconds),
        cmocka_unit_test(ten_seconds_of_life_are_a_new_start),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
