/* test_settings.c - the table, its types and bounds, and assignments. */
#include "test_cli.h"

#include <stdio.h>

#include "base/alloc.h"

struct fixture {
    struct hr_settings *settings;
    struct hr_diag diag;
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    *state = &f;
    return hr_settings_new(&f.settings);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->settings = hr_settings_unref(f->settings);
    return 0;
}

static int assign(struct fixture *f, const char *text)
{
    const struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = "--set"};
    f->diag = (struct hr_diag){0};
    return hr_settings_assign(f->settings, hr_str_of(text), &origin, &f->diag);
}

static void assert_refused(struct fixture *f, const char *text, const char *because)
{
    assert_int_equal(assign(f, text), HR_ERR_CONFIG);
    assert_holds(f->diag.message, because);
}

static void every_row_says_what_it_is_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        assert_true(strlen(row->manual) > 20);
        assert_int_equal(row->manual[strlen(row->manual) - 1], '.');
        assert_ptr_equal(hr_setting_find(row->section, hr_setting_key(row)), row);
    }
}

static void presets_are_the_documented_ones(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->settings->server.max_body, 100 << 20);
    assert_int_equal(f->settings->server.keep_alive, 75 * HR_SECOND);
    assert_true(f->settings->server.access_log);
    assert_string_equal(f->settings->server.bind.item[0], "127.0.0.1:8000");
    assert_int_equal(f->settings->layer.size, 32 << 20);
    assert_true(f->settings->server.processes >= 1);
}

static void each_type_is_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(assign(f, "headrace.name=site"), 0);
    assert_string_equal(f->settings->headrace.name, "site");
    assert_int_equal(assign(f, "server.access_log=off"), 0);
    assert_false(f->settings->server.access_log);
    assert_int_equal(assign(f, "server.max_headers=7"), 0);
    assert_int_equal(f->settings->server.max_headers, 7);
    assert_int_equal(assign(f, "server.max_body=none"), 0);
    assert_true(f->settings->server.max_body == UINT64_MAX);
    assert_int_equal(assign(f, "server.ping_timeout= 3s "), 0);
    assert_int_equal(f->settings->server.ping_timeout, 3 * HR_SECOND);
    assert_int_equal(assign(f, "pool.web.retry=never"), 0);
    assert_string_equal(hr_pool_first(f->settings)->retry, "never");
    assert_int_equal(assign(f, "pool.web.processes=3"), 0);
    assert_int_equal(hr_pool_first(f->settings)->processes, 3);
    assert_int_equal(assign(f, "server.static=/static/=/srv"), 0); /* a key that C has taken */
    assert_string_equal(f->settings->server.static_.item[0], "/static/=/srv");
}

static void nonsense_is_refused_with_what_to_write(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "server.max_body=3MB", "max_body: '3MB' is no size; write 512KiB");
    assert_refused(f, "server.keep_alive=soon", "keep_alive: 'soon' is no duration; write 30s");
    assert_refused(f, "server.access_log=maybe", "neither yes nor no");
    assert_refused(f, "server.max_headers=many", "is no number");
    assert_refused(f, "server.max_headers=1", "must be from 4 to 10000, not 1");
    assert_refused(f, "server.max_head=1", "must be from 1KiB to 16MiB");
    assert_refused(f, "server.drain=none", "is no duration");
    assert_refused(f, "pool.web.retry=often", "none of: safe never");
    assert_refused(f, "headrace.name=", "must not be empty");
    assert_refused(f, "headrace.name=a\nb", "control character");
    assert_refused(f, "server.max_body", "is no SECTION.KEY=VALUE");
    assert_refused(f, "max_body=3", "is no SECTION.KEY=VALUE");
}

static void a_mistyped_name_gets_a_suggestion(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "server.max_bdy=3MiB", "did you mean 'max_body'?");
    assert_refused(f, "servr.max_body=3MiB", "did you mean 'server'?");
    assert_refused(f, "server.on_crash=count", "it belongs to [pool]");
    assert_refused(f, "server.xylophone=1", "docs/reference/settings.md");
}

static void pool_names_and_patterns_are_checked(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, "pool.We b.processes=1", "cannot be a pool's name");
    assert_refused(f, "pool.abcdefghijklmnopqrstuvwxyz.processes=1", "cannot be a pool's name");
    assert_refused(f, "channel.a b.lease=1s", "no channel name or pattern");
    assert_int_equal(assign(f, "channel.bigdata.*.lease=15m"), 0);
    assert_string_equal(hr_channel_first(f->settings)->section.name, "bigdata.*");
    assert_int_equal(hr_channel_first(f->settings)->lease, 900 * HR_SECOND);
    assert_refused(f, "server.web.bind=:80", "[server] takes no name");
}

static void lists_split_at_commas_and_replace_what_was_weaker(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(assign(f, "server.bind=:80, unix:/x ,"), 0);
    assert_int_equal(f->settings->server.bind.n, 2);
    assert_string_equal(f->settings->server.bind.item[0], ":80");
    assert_string_equal(f->settings->server.bind.item[1], "unix:/x");
    assert_int_equal(assign(f, "server.bind=:81"), 0); /* repeated flags add up */
    assert_int_equal(f->settings->server.bind.n, 3);
}

static void pools_are_bounded(void **state)
{
    struct fixture *f = *state;
    char text[64];
    for (int i = 0; i < HR_SETTINGS_MAX_POOLS; i++) {
        snprintf(text, sizeof text, "pool.p%d.paths=/%d", i, i);
        assert_int_equal(assign(f, text), 0);
    }
    assert_refused(f, "pool.more.paths=/more", "more than 31 [pool] sections");
}

static void values_format_as_they_are_written(void **state)
{
    struct fixture *f = *state;
    char text[64];
    const struct hr_section *server = &f->settings->server.section;
    assert_true(hr_settings_format(server, &hr_settings_table[HR_SET_SERVER_max_body], 0, text,
                                   sizeof text));
    assert_string_equal(text, "100MiB");
    assert_false(hr_settings_format(server, &hr_settings_table[HR_SET_SERVER_max_body], 1, text,
                                    sizeof text));
    assert_true(hr_settings_format(server, &hr_settings_table[HR_SET_SERVER_keep_alive], 0, text,
                                   sizeof text));
    assert_string_equal(text, "1m15s");
    assert_false(hr_settings_format(server, &hr_settings_table[HR_SET_SERVER_static_], 0, text,
                                    sizeof text));
}

static void running_out_of_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    const struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = "--set"};
    for (uint64_t n = 1;; n++) {
        struct hr_settings *settings = NULL;
        struct hr_diag diag;
        int64_t live = hr_alloc_live();
        hr_alloc_fail_at(n);
        int r = hr_settings_new(&settings);
        if (r == 0)
            r = hr_settings_assign(settings, HR_LIT("pool.web.paths=/a, /b"), &origin, &diag);
        bool is_through = r == 0;
        hr_alloc_fail_at(0);
        hr_settings_unref(settings);
        assert_int_equal(hr_alloc_live(), live);
        assert_true(is_through || r == HR_ERR_NOMEM);
        if (is_through)
            break;
    }
}

int test_settings(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_says_what_it_is_for),
        cmocka_unit_test_setup_teardown(presets_are_the_documented_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_type_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_refused_with_what_to_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mistyped_name_gets_a_suggestion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pool_names_and_patterns_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_split_at_commas_and_replace_what_was_weaker, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(pools_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_format_as_they_are_written, set_up, tear_down),
        cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
