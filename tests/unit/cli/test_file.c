/* test_file.c - headrace.ini: what is read, and the file and line of every mistake. */
#include "test_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Loads the text as ./headrace.ini; it must be refused at `line` with `because`. */
static void assert_refused(const char *text, uint32_t line, const char *because)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    scratch_write("headrace.ini", text);
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, because);
    assert_string_equal(diag.file, "headrace.ini");
    assert_int_equal(diag.line, line);
    assert_false(diag.is_usage);
}

static void a_whole_file_is_read(void **state)
{
    (void)state;
    scratch_write("headrace.ini",
                  "\xEF\xBB\xBF; the site\n"
                  "[headrace]\n"
                  "name    = site                     ; a label\n"
                  "app     = ./site.so\n"
                  "[server]\r\n"
                  "bind      = unix:/run/site.sock,\n"
                  "            127.0.0.1:9000 ; indented lines go on\n"
                  "max_body  = 50MiB\n"
                  "# a comment\n"
                  "[pool web]                         ; takes the rest\n"
                  "processes = 4\n"
                  "\n"
                  "[pool jobs]\n"
                  "app = ./jobs.so\n"
                  "channels  = bigdata.*\n"
                  "[channel bigdata.*]\n"
                  "delivery  = at-least-once\n"
                  "[channel a.name.that.is.longer.than.the.fifty.bytes.inih.would.keep]\n"
                  "lease = 1m\n");
    struct hr_settings *settings = scratch_settings("check");
    assert_string_equal(settings->headrace.name, "site");
    assert_int_equal(settings->server.bind.n, 2);
    assert_string_equal(settings->server.bind.item[1], "127.0.0.1:9000");
    assert_int_equal(settings->server.max_body, 50 << 20);
    assert_int_equal(settings->n_pools, 2);
    struct hr_settings_pool *web = hr_pool_first(settings);
    assert_int_equal(web->processes, 4);
    assert_string_equal(web->app, "./site.so"); /* of [headrace] */
    assert_string_equal(hr_pool_next(web)->app, "./jobs.so");
    struct hr_settings_channel *channel = hr_channel_first(settings);
    assert_string_equal(channel->delivery, "at-least-once");
    assert_string_equal(hr_channel_next(channel)->section.name,
                        "a.name.that.is.longer.than.the.fifty.bytes.inih.would.keep");
    assert_int_equal(web->section.origin[HR_SET_POOL_processes].line, 11);
    assert_string_equal(web->section.origin[HR_SET_POOL_processes].where, "headrace.ini");
    hr_settings_unref(settings);
}

static void a_pool_without_keys_is_there(void **state)
{
    (void)state;
    scratch_write("headrace.ini", "[pool jobs]\n");
    struct hr_settings *settings = scratch_settings("check");
    assert_int_equal(settings->n_pools, 1);
    assert_string_equal(hr_pool_first(settings)->section.name, "jobs");
    hr_settings_unref(settings);
}

static void every_mistake_has_its_line(void **state)
{
    (void)state;
    assert_refused("[server]\n\nmax_bdy = 3MiB\n", 3, "did you mean 'max_body'?");
    assert_refused("[server]\nmax_body = 3MB\n", 2, "is no size");
    assert_refused("[servr]\n", 1, "there is no section [servr]");
    assert_refused("[pool Web]\n", 1, "cannot be a pool's name");
    assert_refused("[server\nbind = :80\n", 1, "has no ]");
    assert_refused("[]\n", 1, "names no section");
    assert_refused("bind = :80\n", 1, "stands in no section");
    assert_refused("[server]\nbind = :80\nwhatever\n", 3, "neither a [section] nor KEY = VALUE");
    assert_refused("[server]\nmax_body = 1MiB\nmax_body = 2MiB\n", 3, "set already, in line 2");
    assert_refused("[server]\nmax_body = 1MiB\n  2MiB\n", 3, "only lists go over several");
}

static void a_line_that_would_be_cut_is_refused(void **state)
{
    char text[400];
    (void)state;
    snprintf(text, sizeof text, "[headrace]\nname = x\nchdir = /%0250d\n", 1);
    assert_refused(text, 3, "write long lists over several lines");
}

static void mistakes_that_span_rows_blame_a_line(void **state)
{
    (void)state;
    assert_refused("[server]\nbind = ::1:80\n", 2, "stands in brackets");
    assert_refused("[server]\nadmin = x:y\n", 2, "is no address");
    assert_refused("[server]\nstatic = srv\n", 2, "no /prefix/=DIRECTORY");
    assert_refused("[server]\norigins = same, https://a.example\n", 2, "stands alone");
    assert_refused("[headrace]\nlayer = redis:x\n", 2, "neither ipc:DIRECTORY nor memory:");
    assert_refused("[headrace]\nname = a/b\n", 2, "other characters");
    assert_refused("[layer]\nserver_inbox = 1000\n", 2, "1000 is no power of two");
    assert_refused("[pool web]\npaths = ftp:/x\n", 2, "none of /path, http:/path");
    assert_refused("[pool web]\nchannels = http.request\n", 2, "is what `paths` is for");
}

static void sums_that_cannot_be_are_refused(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    (void)state;
    scratch_write("headrace.ini", "[pool a]\n[pool b]\n");
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "pools 'a' and 'b' both take everything");
    scratch_write("headrace.ini", "[pool a]\nprocesses = 63\n");
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "do not fit into the layer's worker_slots = 63");
    scratch_write("headrace.ini", "[layer]\nworker_slots = 100\n");
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "are 1060 together; a layer has at most 1023");
}

static void a_layer_too_small_for_its_tables_names_the_least_that_works(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    char text[256];
    const char *needs = "need at least ";
    (void)state;
    assert_refused("[layer]\n\nsize = 4MiB\n", 3, needs);
    scratch_write("headrace.ini", "[layer]\nclient_connections = 100000\n");
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, needs);
    int mib = (int)strtol(strstr(diag.message, needs) + strlen(needs), NULL, 10);

    snprintf(text, sizeof text, "[layer]\nclient_connections = 100000\nsize = %dMiB\n", mib);
    scratch_write("headrace.ini", text);
    assert_int_equal(scratch_load("check", &settings, &diag), 0);
    hr_settings_unref(settings);
    snprintf(text, sizeof text, "[layer]\nclient_connections = 100000\nsize = %dMiB\n", mib - 1);
    assert_refused(text, 3, needs);
}

static void channel_sections_that_no_layer_keeps_are_refused(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    char text[16384];
    (void)state;
    assert_refused("[channel a]\ndead_letter = a b\n", 2, "cannot be a channel's name");
    size_t len = 0;
    for (int i = 0; i < 40; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "[channel %060d]\n", i);
    scratch_write("headrace.ini", text);
    assert_int_equal(scratch_load("check", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "40 [channel] sections are more than a layer keeps");
    len = 0;
    for (int i = 0; i < 65; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "[channel c%d]\n", i);
    assert_refused(text, 65, "more than 64 [channel] sections");
}

static void fewer_channels_than_the_pools_need_are_refused(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    (void)state;
    assert_refused("[layer]\nchannels = 16\n[pool a]\npaths = /a/\n[pool b]\npaths = /b/\n"
                   "[pool c]\npaths = /c/\n[pool d]\n",
                   2, "16 are too few, the pools alone need 17");
    scratch_write("headrace.ini", "[layer]\nchannels = 16\n[pool a]\npaths = /a/\n[pool b]\n"
                                  "paths = /b/\n[pool c]\n[pool d]\nchannels = x, y, z.*\n");
    assert_int_equal(scratch_load("check", &settings, &diag), 0);
    hr_settings_unref(settings);
}

static void a_file_that_cannot_be_read_says_why(void **state)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    (void)state;
    assert_int_equal(scratch_load("check -c nowhere.ini", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "cannot read nowhere.ini: No such file");
    assert_int_equal(mkdir("dir", 0700), 0);
    assert_int_equal(scratch_load("check -c dir", &settings, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "cannot read dir: Is a directory");
}

static void the_file_is_the_flags_then_the_variables_then_the_one_here(void **state)
{
    (void)state;
    scratch_write("headrace.ini", "[headrace]\nname = here\n");
    scratch_write("a.ini", "[headrace]\nname = from-a\n");
    scratch_write("b.ini", "[headrace]\nname = from-b\n");
    struct hr_settings *settings = scratch_settings("check");
    assert_string_equal(settings->headrace.name, "here");
    hr_settings_unref(settings);
    setenv("HEADRACE_CONFIG", "a.ini", 1);
    settings = scratch_settings("check");
    assert_string_equal(settings->headrace.name, "from-a");
    hr_settings_unref(settings);
    settings = scratch_settings("check -c b.ini");
    assert_string_equal(settings->headrace.name, "from-b");
    hr_settings_unref(settings);
}

int test_file(void)
{
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_enter, scratch_leave)
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(a_whole_file_is_read),
        IN_SCRATCH(a_pool_without_keys_is_there),
        IN_SCRATCH(every_mistake_has_its_line),
        IN_SCRATCH(a_line_that_would_be_cut_is_refused),
        IN_SCRATCH(mistakes_that_span_rows_blame_a_line),
        IN_SCRATCH(sums_that_cannot_be_are_refused),
        IN_SCRATCH(a_layer_too_small_for_its_tables_names_the_least_that_works),
        IN_SCRATCH(channel_sections_that_no_layer_keeps_are_refused),
        IN_SCRATCH(fewer_channels_than_the_pools_need_are_refused),
        IN_SCRATCH(a_file_that_cannot_be_read_says_why),
        IN_SCRATCH(the_file_is_the_flags_then_the_variables_then_the_one_here),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
