/* test_app.c - what APP is, and what is said when it is not there. */
#include "test_cli.h"

#include <sys/stat.h>

#include "cli/app.h"
#include "cli/exit.h"

static void kinds_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(hr_app_kind("./app.so"), HR_APP_C);
    assert_int_equal(hr_app_kind("app.so"), HR_APP_C);
    assert_int_equal(hr_app_kind("/opt/site/app"), HR_APP_C);
    assert_int_equal(hr_app_kind("mysite.asgi:application"), HR_APP_PYTHON);
    assert_int_equal(hr_app_kind("mysite.settings"), HR_APP_PYTHON);
    assert_int_equal(hr_app_kind("./main.py"), HR_APP_PYTHON);
    assert_int_equal(hr_app_kind(""), HR_APP_NONE);
}

static void a_missing_file_is_met_with_its_neighbour(void **state)
{
    char why[512];
    (void)state;
    scratch_write("hello.so", "");
    assert_int_equal(hr_app_check("./hello.so", "", why, sizeof why), 0);
    assert_int_equal(hr_app_check("./helo.so", "", why, sizeof why), HR_EXIT_APP_NOT_FOUND);
    assert_holds(why, "no application at ./helo.so: No such file or directory.");
    assert_holds(why, "Did you mean ./hello.so?");
}

static void it_is_looked_for_where_workers_run(void **state)
{
    char why[512];
    (void)state;
    assert_int_equal(mkdir("release", 0700), 0);
    scratch_write("release/app.so", "");
    assert_int_equal(hr_app_check("./app.so", "", why, sizeof why), HR_EXIT_APP_NOT_FOUND);
    assert_int_equal(hr_app_check("./app.so", "release", why, sizeof why), 0);
}

static void a_directory_is_no_application(void **state)
{
    char why[512];
    (void)state;
    assert_int_equal(mkdir("app.so", 0700), 0);
    assert_int_equal(hr_app_check("./app.so", "", why, sizeof why), HR_EXIT_APP_NOT_FOUND);
    assert_holds(why, "Is a directory");
}

static void python_is_declined_in_words(void **state)
{
    char why[512];
    (void)state;
    assert_int_equal(hr_app_check("site.asgi:app", "", why, sizeof why), HR_EXIT_APP_NOT_FOUND);
    assert_holds(why, "Python workers are not in this build");
}

static void without_any_it_says_what_was_looked_for(void **state)
{
    char why[512];
    (void)state;
    struct hr_settings *settings = scratch_settings("run");
    assert_int_equal(hr_app_check_all(settings, why, sizeof why), HR_EXIT_APP_NOT_FOUND);
    assert_holds(why, "HEADRACE_APP, app = in ./headrace.ini (not there), ./manage.py");
    scratch_write("manage.py", "");
    assert_int_equal(hr_app_check_all(settings, why, sizeof why), HR_EXIT_APP_NOT_FOUND);
    assert_holds(why, "there is a Django project here");
    hr_settings_unref(settings);
}

int test_app(void)
{
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_enter, scratch_leave)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told_apart),
        IN_SCRATCH(a_missing_file_is_met_with_its_neighbour),
        IN_SCRATCH(it_is_looked_for_where_workers_run),
        IN_SCRATCH(a_directory_is_no_application),
        IN_SCRATCH(python_is_declined_in_words),
        IN_SCRATCH(without_any_it_says_what_was_looked_for),
    };
    return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
