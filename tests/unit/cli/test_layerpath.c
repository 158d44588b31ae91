/* test_layerpath.c - where the channel layer is. Runs as any user; the places that depend on who we
 * are are kept out of the way by $RUNTIME_DIRECTORY, which goes before all others. */
#include "test_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/layerpath.h"

static char cwd[256];

static int set_up(void **state)
{
    int r = scratch_enter(state);
    return r == 0 && getcwd(cwd, sizeof cwd) ? 0 : -1;
}

static const char *chosen(const char *line, enum hr_layer_purpose purpose)
{
    static char url[HR_LAYER_URL_MAX];
    struct hr_diag diag = {0};
    struct hr_settings *settings = scratch_settings(line);
    int r = hr_layerpath_choose(settings, purpose, url, &diag);
    hr_settings_unref(settings);
    if (r != 0)
        fail_msg("%s", diag.message);
    return url;
}

static void what_is_said_goes(void **state)
{
    char expected[400];
    (void)state;
    setenv("RUNTIME_DIRECTORY", cwd, 1);
    assert_string_equal(chosen("check --layer ipc:/somewhere", HR_LAYER_TO_MAKE), "ipc:/somewhere");
    assert_string_equal(chosen("check --layer memory:", HR_LAYER_TO_MAKE), "memory:");
    setenv("HEADRACE_LAYER", "ipc:/elsewhere", 1);
    assert_string_equal(chosen("check", HR_LAYER_TO_FIND), "ipc:/elsewhere");
    assert_string_equal(chosen("check --layer ipc:/somewhere", HR_LAYER_TO_FIND), "ipc:/somewhere");
    snprintf(expected, sizeof expected, "ipc:%s/sub", cwd); /* children may run elsewhere */
    assert_string_equal(chosen("check --layer ipc:sub", HR_LAYER_TO_MAKE), expected);
}

static void the_units_own_directory_comes_first(void **state)
{
    char expected[400], several[600];
    (void)state;
    snprintf(expected, sizeof expected, "ipc:%s/unit", cwd);
    snprintf(several, sizeof several, "%s/unit:/nowhere", cwd);
    assert_int_equal(mkdir("unit", 0700), 0);
    setenv("RUNTIME_DIRECTORY", several, 1);
    assert_string_equal(chosen("check", HR_LAYER_TO_MAKE), expected);
}

static void finding_takes_only_what_holds_a_layer(void **state)
{
    char expected[400], directory[300], user[300];
    (void)state;
    snprintf(directory, sizeof directory, "%s/unit", cwd);
    snprintf(user, sizeof user, "%s/user", cwd);
    snprintf(expected, sizeof expected, "ipc:%s/user/headrace/only-in-this-test", cwd);
    setenv("RUNTIME_DIRECTORY", directory, 1);
    setenv("XDG_RUNTIME_DIR", user, 1);
    assert_int_equal(mkdir("unit", 0700), 0);
    assert_int_equal(mkdir("user", 0700), 0);
    assert_int_equal(mkdir("user/headrace", 0700), 0);
    assert_int_equal(mkdir("user/headrace/only-in-this-test", 0700), 0);
    scratch_write("user/headrace/only-in-this-test/arena.v1", "");
    assert_string_equal(chosen("check --name only-in-this-test", HR_LAYER_TO_FIND), expected);
    scratch_write("unit/arena.v1", "");
    snprintf(expected, sizeof expected, "ipc:%s/unit", cwd);
    assert_string_equal(chosen("check --name only-in-this-test", HR_LAYER_TO_FIND), expected);
    unsetenv("XDG_RUNTIME_DIR");
}

static void finding_none_names_where_one_would_be_made(void **state)
{
    char expected[400], directory[300];
    (void)state;
    snprintf(directory, sizeof directory, "%s/unit", cwd);
    snprintf(expected, sizeof expected, "ipc:%s", directory);
    setenv("RUNTIME_DIRECTORY", directory, 1);
    assert_string_equal(chosen("check --name only-in-this-test", HR_LAYER_TO_FIND), expected);
}

static void directories_are_those_of_ipc(void **state)
{
    (void)state;
    assert_string_equal(hr_layerpath_directory("ipc:/x"), "/x");
    assert_null(hr_layerpath_directory("memory:"));
}

int test_layerpath(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_said_goes, set_up, scratch_leave),
        cmocka_unit_test_setup_teardown(the_units_own_directory_comes_first, set_up, scratch_leave),
        cmocka_unit_test_setup_teardown(finding_takes_only_what_holds_a_layer, set_up,
                                        scratch_leave),
        cmocka_unit_test_setup_teardown(finding_none_names_where_one_would_be_made, set_up,
                                        scratch_leave),
        cmocka_unit_test(directories_are_those_of_ipc),
    };
    return cmocka_run_group_tests_name("layerpath", tests, NULL, NULL);
}
