/* test_units.c - durations and sizes as people write them. */
#include "test_cli.h"

#include "cli/units.h"

static hr_time duration(const char *text)
{
    hr_time out = -1;
    return hr_units_duration(hr_str_of(text), &out) ? out : -1;
}

static int64_t size(const char *text)
{
    uint64_t out = 0;
    return hr_units_size(hr_str_of(text), &out) ? (int64_t)out : -1;
}

static void durations_read_every_unit(void **state)
{
    (void)state;
    assert_int_equal(duration("250ms"), 250 * HR_MS);
    assert_int_equal(duration("30s"), 30 * HR_SECOND);
    assert_int_equal(duration("30"), 30 * HR_SECOND);
    assert_int_equal(duration("5m"), 300 * HR_SECOND);
    assert_int_equal(duration("1h30m"), 5400 * HR_SECOND);
    assert_int_equal(duration("2d"), 172800 * HR_SECOND);
    assert_int_equal(duration("0s"), 0);
}

static void durations_refuse_what_is_none(void **state)
{
    (void)state;
    assert_int_equal(duration(""), -1);
    assert_int_equal(duration("s"), -1);
    assert_int_equal(duration("5 s"), -1);
    assert_int_equal(duration("-5s"), -1);
    assert_int_equal(duration("1.5s"), -1);
    assert_int_equal(duration("5sec"), -1);
    assert_int_equal(duration("99999999999999999999s"), -1);
    assert_int_equal(duration("200000d"), -1); /* beyond 63 bits of nanoseconds */
    assert_int_equal(duration("106751d24h"), -1);
}

static void sizes_read_powers_of_1024_only(void **state)
{
    (void)state;
    assert_int_equal(size("8MiB"), 8 << 20);
    assert_int_equal(size("8m"), 8 << 20);
    assert_int_equal(size("512KiB"), 512 << 10);
    assert_int_equal(size("3GiB"), INT64_C(3) << 30);
    assert_int_equal(size("2T"), INT64_C(2) << 40);
    assert_int_equal(size("100"), 100);
    assert_int_equal(size("100B"), 100);
    assert_int_equal(size("8MB"), -1);
    assert_int_equal(size("8 MiB"), -1);
    assert_int_equal(size("MiB"), -1);
    assert_int_equal(size("8MiB1"), -1);
    assert_int_equal(size("99999999TiB"), -1);
}

static void formatting_gives_back_what_reading_took(void **state)
{
    static const char *const durations[] = {"250ms", "30s", "5m", "1h30m", "2d", "1d1ms", "0s"};
    static const char *const sizes[] = {"8MiB", "1", "1023", "1KiB", "3TiB", "0"};
    char text[HR_UNITS_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        hr_units_format_duration(duration(durations[i]), text);
        assert_string_equal(text, durations[i]);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        hr_units_format_size((uint64_t)size(sizes[i]), text);
        assert_string_equal(text, sizes[i]);
    }
}

static void people_get_two_digits_and_a_unit(void **state)
{
    char text[HR_UNITS_TEXT_MAX];
    (void)state;
    hr_units_about_duration(9800 * HR_MS, text);
    assert_string_equal(text, "9.8 s");
    hr_units_about_duration((hr_time)41 * 86400 * HR_SECOND, text);
    assert_string_equal(text, "41 d");
    hr_units_about_duration(90 * HR_SECOND, text);
    assert_string_equal(text, "90 s");
    hr_units_about_duration(150 * HR_SECOND, text);
    assert_string_equal(text, "2.5 min");
    hr_units_about_duration(48 * HR_MS, text);
    assert_string_equal(text, "48 ms");
    hr_units_about_duration(800 * HR_MS, text);
    assert_string_equal(text, "0.8 s");
    hr_units_about_size(UINT64_C(32) << 20, text);
    assert_string_equal(text, "32 MiB");
    hr_units_about_size(1536, text);
    assert_string_equal(text, "1.5 KiB");
}

int test_units(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_read_every_unit),
        cmocka_unit_test(durations_refuse_what_is_none),
        cmocka_unit_test(sizes_read_powers_of_1024_only),
        cmocka_unit_test(formatting_gives_back_what_reading_took),
        cmocka_unit_test(people_get_two_digits_and_a_unit),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
