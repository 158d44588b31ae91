/* test_argv.c - a child's command line says what its supervisor had read. */
#include "test_cli.h"

#include "cli/argv.h"
#include "cli/settings_load.h"

static void assert_same_section(const struct hr_section *a, const struct hr_section *b)
{
    assert_string_equal(a->name, b->name);
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        char before[4200], after[4200];
        bool is_more = row->section == a->kind;
        for (uint32_t k = 0; is_more; k++) {
            is_more = hr_settings_format(a, row, k, before, sizeof before);
            assert_int_equal(hr_settings_format(b, row, k, after, sizeof after), is_more);
            if (is_more)
                assert_string_equal(before, after);
        }
    }
}

static void a_child_reads_back_the_same_settings(void **state)
{
    (void)state;
    scratch_write("headrace.ini", "[headrace]\napp = ./a, b.so\n"
                                  "[server]\nbind = :80,\n  unix:/x y\nmax_body = none\n"
                                  "[pool web]\ntimeout = 1h30m\nprocesses = 3\n"
                                  "[pool jobs]\nchannels = a.*, b\nprocesses = auto\n"
                                  "[channel a.*]\ndelivery = at-least-once\n");
    struct hr_settings *settings = scratch_settings("run --name site --no-access-log");
    struct hr_argv argv = {0};
    hr_argv_add(&argv, "headrace");
    hr_argv_add(&argv, "work");
    hr_argv_add(&argv, "--as");
    hr_argv_add(&argv, "web.1");
    hr_argv_add_settings(&argv, settings);
    assert_int_equal(argv.error, 0);

    struct hr_args args;
    struct hr_diag diag = {0};
    struct hr_settings *copy;
    assert_int_equal(hr_args_read((int)argv.n, argv.items, &args, &diag), 0);
    assert_int_equal(hr_settings_load(&args, &copy, &diag), 0);
    assert_same_section(&settings->headrace.section, &copy->headrace.section);
    assert_same_section(&settings->server.section, &copy->server.section);
    assert_same_section(&settings->layer.section, &copy->layer.section);
    for (const struct hr_section *a = settings->pools, *b = copy->pools; a;
         a = a->next, b = b->next)
        assert_same_section(a, b);
    assert_same_section(settings->channels, copy->channels);
    assert_int_equal(copy->n_pools, 2);
    hr_args_fini(&args);
    hr_argv_fini(&argv);
    hr_settings_unref(copy);
    hr_settings_unref(settings);
}

int test_argv(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_reads_back_the_same_settings, scratch_enter,
                                        scratch_leave),
    };
    return cmocka_run_group_tests_name("argv", tests, NULL, NULL);
}
