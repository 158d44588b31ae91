/* test_nearest.c - "did you mean ...?" */
#include "test_cli.h"

#include "cli/nearest.h"

static const char *nearest(const char *word)
{
    static struct hr_nearest n;
    static const char *const known[] = {"processes", "paths", "timeout", "queue_timeout", "app"};
    n = (struct hr_nearest){.word = hr_str_of(word)};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        hr_nearest_offer(&n, hr_str_of(known[i]));
    return n.best;
}

static void a_slip_finds_its_word(void **state)
{
    (void)state;
    assert_string_equal(nearest("proceses"), "processes");
    assert_string_equal(nearest("porcesses"), "processes"); /* neighbours swapped */
    assert_string_equal(nearest("pathes"), "paths");
    assert_string_equal(nearest("timeuot"), "timeout");
    assert_string_equal(nearest("queuetimeout"), "queue_timeout");
    assert_string_equal(nearest("ap"), "app");
}

static void something_else_finds_nothing(void **state)
{
    char pasted[300];
    (void)state;
    assert_string_equal(nearest("banana"), "");
    assert_string_equal(nearest("xyz"), "");
    assert_string_equal(nearest(""), "");
    memset(pasted, 'p', sizeof pasted);
    pasted[sizeof pasted - 1] = '\0';
    assert_string_equal(nearest(pasted), "");
}

int test_nearest(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_finds_its_word),
        cmocka_unit_test(something_else_finds_nothing),
    };
    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
