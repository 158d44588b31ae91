/* test_precedence.c - flag > HEADRACE_* > file > default, and the synonyms that others have made
 * customary. */
#include "test_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/settings_load.h"

static uint32_t web_processes(const char *line)
{
    struct hr_settings *settings = scratch_settings(line);
    uint32_t n = hr_pool_default(settings)->processes;
    hr_settings_unref(settings);
    return n;
}

/* The addresses listened on, joined by spaces. */
static const char *binds(const char *line)
{
    static char text[256];
    size_t len = 0;
    struct hr_settings *settings = scratch_settings(line);
    text[0] = '\0';
    for (uint32_t i = 0; i < settings->server.bind.n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "",
                                settings->server.bind.item[i]);
    hr_settings_unref(settings);
    return text;
}

static void the_stronger_layer_wins(void **state)
{
    (void)state;
    scratch_write("headrace.ini", "[pool web]\nprocesses = 2\n");
    assert_int_equal(web_processes("check"), 2);
    setenv("HEADRACE_POOL_WEB_PROCESSES", "3", 1);
    assert_int_equal(web_processes("check"), 3);
    assert_int_equal(web_processes("check --pool web.processes=4"), 4);
    assert_int_equal(web_processes("check --set pool.web.processes=5"), 5);
    assert_int_equal(web_processes("check -w 6"), 6);
}

static void processes_have_their_synonyms(void **state)
{
    (void)state;
    assert_int_equal(web_processes("check -w 2"), 2);
    assert_int_equal(web_processes("check -w3"), 3);
    assert_int_equal(web_processes("check --workers=4"), 4);
    assert_int_equal(web_processes("check --processes 5"), 5);
    setenv("WEB_CONCURRENCY", "6", 1);
    assert_int_equal(web_processes("check"), 6);
    setenv("HEADRACE_POOL_WEB_PROCESSES", "7", 1); /* our own name goes before */
    assert_int_equal(web_processes("check"), 7);
}

static void synonyms_speak_of_the_pool_that_takes_the_rest(void **state)
{
    (void)state;
    scratch_write("headrace.ini",
                  "[pool jobs]\nchannels = bigdata.*\nprocesses = 1\n[pool main]\n");
    struct hr_settings *settings = scratch_settings("check -w 9");
    assert_string_equal(hr_pool_default(settings)->section.name, "main");
    assert_int_equal(hr_pool_default(settings)->processes, 9);
    assert_int_equal(hr_pool_first(settings)->processes, 1);
    hr_settings_unref(settings);
}

static void a_flag_may_make_a_pool(void **state)
{
    (void)state;
    struct hr_settings *settings =
        scratch_settings("check ./a.so --pool jobs.channels=bigdata.* --pool jobs.processes=2");
    assert_int_equal(settings->n_pools, 2);
    assert_string_equal(hr_pool_default(settings)->section.name, "web");
    struct hr_settings_pool *jobs = hr_pool_find(settings, HR_LIT("jobs"));
    assert_non_null(jobs);
    assert_int_equal(jobs->processes, 2);
    assert_string_equal(jobs->app, "./a.so");
    hr_settings_unref(settings);
}

static void app_goes_before_the_default_pools_own(void **state)
{
    (void)state;
    scratch_write("headrace.ini", "[headrace]\napp = ./file.so\n[pool web]\napp = ./web.so\n"
                                  "[pool jobs]\nchannels = j.*\napp = ./jobs.so\n");
    struct hr_settings *settings = scratch_settings("check");
    assert_string_equal(hr_pool_default(settings)->app, "./web.so");
    hr_settings_unref(settings);
    settings = scratch_settings("check ./mine.so");
    assert_string_equal(hr_pool_default(settings)->app, "./mine.so");
    assert_string_equal(hr_pool_find(settings, HR_LIT("jobs"))->app, "./jobs.so");
    hr_settings_unref(settings);
}

static void host_and_port_stand_in_for_bind_when_said_more_strongly(void **state)
{
    (void)state;
    assert_string_equal(binds("check"), "127.0.0.1:8000");
    assert_string_equal(binds("check -p 9000"), "127.0.0.1:9000");
    assert_string_equal(binds("check --host 10.0.0.1"), "10.0.0.1:8000");
    assert_string_equal(binds("check --host ::1 --port 9000"), "[::1]:9000");
    assert_string_equal(binds("check -b :80 -b unix:/x"), ":80 unix:/x");
    assert_string_equal(binds("check -b :80 -p 9000"), ":80"); /* daphne's -p: for those without */
    scratch_write("headrace.ini", "[server]\nbind = unix:/run/x.sock\n");
    assert_string_equal(binds("check"), "unix:/run/x.sock");
    assert_string_equal(binds("check -p 9000"), "127.0.0.1:9000");
}

static void port_in_the_environment_means_every_interface(void **state)
{
    (void)state;
    setenv("PORT", "5000", 1);
    assert_string_equal(binds("check"), "0.0.0.0:5000");
    assert_string_equal(binds("check --host 127.0.0.1"), "127.0.0.1:5000");
    assert_string_equal(binds("check -b :80"), ":80");
    scratch_write("headrace.ini", "[server]\nhost = 10.0.0.1\n");
    assert_string_equal(binds("check"), "10.0.0.1:5000");
}

static void handed_sockets_are_taken_if_they_are_meant_for_us(void **state)
{
    char pid[16];
    (void)state;
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_PID", "1", 1);
    assert_string_equal(binds("check"), "127.0.0.1:8000");
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    assert_string_equal(binds("check"), "fd://3 fd://4");
    assert_string_equal(binds("check -b :80"), ":80");
}

static void a_bad_variable_is_named(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    (void)state;
    setenv("HEADRACE_SERVER_MAX_BODY", "huge", 1);
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_string_equal(diag.file, "HEADRACE_SERVER_MAX_BODY");
    assert_false(diag.is_usage);
}

static void a_bad_flag_is_a_matter_of_usage(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    (void)state;
    assert_int_equal(scratch_load("check --max-body huge", &settings, &diag), HR_ERR_CONFIG);
    assert_string_equal(diag.file, "--max-body");
    assert_true(diag.is_usage);
    assert_int_equal(scratch_load("check --layer x", &settings, &diag), HR_ERR_CONFIG);
    assert_true(diag.is_usage);
}

static void an_empty_variable_is_none(void **state)
{
    (void)state;
    setenv("WEB_CONCURRENCY", "", 1);
    setenv("HEADRACE_NAME", "", 1);
    struct hr_settings *settings = scratch_settings("check");
    assert_true(settings->headrace.name[0] != '\0');
    hr_settings_unref(settings);
}

static uint32_t n_unknown;
static void count_unknown(const char *variable)
{
    assert_string_equal(variable, "HEADRACE_SERVICE_HOST");
    n_unknown++;
}

static void strange_variables_are_no_errors(void **state)
{
    (void)state;
    setenv("HEADRACE_SERVICE_HOST", "10.0.0.1", 1);
    setenv("HEADRACE_LAYER_SIZE", "64MiB", 1);
    setenv("HEADRACE_POOL_WEB_TIMEOUT", "5s", 1);
    struct hr_settings *settings = scratch_settings("check");
    assert_int_equal(settings->layer.size, 64 << 20);
    n_unknown = 0;
    hr_settings_unknown_variables(settings, count_unknown);
    assert_int_equal(n_unknown, 1);
    hr_settings_unref(settings);
}

static void the_name_is_the_directorys(void **state)
{
    char cwd[256];
    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    struct hr_settings *settings = scratch_settings("check");
    assert_string_equal(settings->headrace.name, strrchr(cwd, '/') + 1);
    hr_settings_unref(settings);
    assert_int_equal(chdir("/"), 0);
    settings = scratch_settings("check");
    assert_string_equal(settings->headrace.name, "headrace");
    hr_settings_unref(settings);
}

static void a_child_takes_its_flags_alone(void **state)
{
    (void)state;
    scratch_write("headrace.ini", "[pool web]\nprocesses = 2\ntimeout = 1s\n");
    setenv("HEADRACE_POOL_WEB_TIMEOUT", "2s", 1);
    struct hr_settings *settings =
        scratch_settings("work --as web.1 --name n --set pool.web.timeout=3s --pool web");
    assert_int_equal(hr_pool_first(settings)->timeout, 3 * HR_SECOND);
    assert_null(settings->file);
    hr_settings_unref(settings);
}

static void a_worker_names_a_pool_of_the_file(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    (void)state;
    settings = scratch_settings("work ./a.so --pool jobs"); /* without a file any will do */
    assert_string_equal(hr_pool_default(settings)->section.name, "jobs");
    assert_string_equal(hr_pool_default(settings)->app, "./a.so");
    hr_settings_unref(settings);
    scratch_write("headrace.ini", "[pool jobs]\nchannels = j.*\n");
    assert_int_equal(scratch_load("work ./a.so --pool jbos", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "headrace.ini has no pool 'jbos'; did you mean 'jobs'?");
    assert_true(diag.is_usage);
    assert_int_equal(scratch_load("run ./a.so --pool jobs", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "say what of it: --pool jobs.processes=8");
}

int test_precedence(void)
{
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_enter, scratch_leave)
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(the_stronger_layer_wins),
        IN_SCRATCH(processes_have_their_synonyms),
        IN_SCRATCH(synonyms_speak_of_the_pool_that_takes_the_rest),
        IN_SCRATCH(a_flag_may_make_a_pool),
        IN_SCRATCH(app_goes_before_the_default_pools_own),
        IN_SCRATCH(host_and_port_stand_in_for_bind_when_said_more_strongly),
        IN_SCRATCH(port_in_the_environment_means_every_interface),
        IN_SCRATCH(handed_sockets_are_taken_if_they_are_meant_for_us),
        IN_SCRATCH(a_bad_variable_is_named),
        IN_SCRATCH(a_bad_flag_is_a_matter_of_usage),
        IN_SCRATCH(an_empty_variable_is_none),
        IN_SCRATCH(strange_variables_are_no_errors),
        IN_SCRATCH(the_name_is_the_directorys),
        IN_SCRATCH(a_child_takes_its_flags_alone),
        IN_SCRATCH(a_worker_names_a_pool_of_the_file),
    };
    return cmocka_run_group_tests_name("precedence", tests, NULL, NULL);
}
