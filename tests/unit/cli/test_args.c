/* test_args.c - the command line. */
#include "test_cli.h"

#include <stdio.h>

static void assert_refused(const char *line, const char *because)
{
    struct hr_args args;
    struct hr_diag diag;
    assert_int_equal(scratch_args(line, &args, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, because);
    hr_args_fini(&args);
}

static void flags_take_their_values_in_every_spelling(void **state)
{
    struct hr_args args;
    struct hr_diag diag;
    (void)state;
    assert_int_equal(scratch_args("run -w 2 -w3 --workers=4 --access-log --no-access-log ./a.so "
                                  "--set server.backlog=1 --reload",
                                  &args, &diag),
                     0);
    assert_int_equal(args.verb, HR_VERB_RUN);
    assert_int_equal(args.n_flags, 7);
    assert_string_equal(args.flags[0].value, "2");
    assert_string_equal(args.flags[1].value, "3");
    assert_string_equal(args.flags[2].value, "4");
    assert_string_equal(args.flags[3].value, "yes");
    assert_string_equal(args.flags[4].value, "no");
    assert_string_equal(hr_args_option(&args, HR_OPT_SET), "server.backlog=1");
    assert_non_null(hr_args_option(&args, HR_OPT_WATCH));
    assert_null(hr_args_option(&args, HR_OPT_HELP));
    assert_int_equal(args.n_operands, 1);
    assert_string_equal(args.operands[0], "./a.so");
    hr_args_fini(&args);
}

static void a_dash_alone_and_what_follows_two_are_operands(void **state)
{
    struct hr_args args;
    struct hr_diag diag;
    (void)state;
    assert_int_equal(scratch_args("send jobs --json - ", &args, &diag), 0);
    assert_string_equal(hr_args_option(&args, HR_OPT_BODY), "-");
    hr_args_fini(&args);
    assert_int_equal(scratch_args("send -- jobs --json=x", &args, &diag), 0);
    assert_int_equal(args.n_operands, 2);
    assert_int_equal(args.n_flags, 0);
    hr_args_fini(&args);
}

static void mistakes_are_answered_with_the_nearest_thing(void **state)
{
    (void)state;
    assert_refused("rnu", "did you mean 'headrace run'?");
    assert_refused("banana", "'headrace --help' lists");
    assert_refused("run --wrokers 3", "did you mean --workers?");
    assert_refused("run --unheard-of", "'headrace run --help' lists them");
    assert_refused("serve --workers 3", "it is one of 'headrace run'");
    assert_refused("run -w", "-w needs a value");
    assert_refused("run --reload=yes", "--reload takes no value");
    assert_refused("run a b", "'b' is too much");
    assert_refused("send", "needs CHANNEL");
    assert_refused("version x", "takes flags only");
}

static void one_spelling_may_mean_different_things_to_verbs(void **state)
{
    struct hr_args args;
    struct hr_diag diag;
    (void)state;
    assert_int_equal(scratch_args("status --json", &args, &diag), 0);
    assert_non_null(hr_args_option(&args, HR_OPT_JSON));
    hr_args_fini(&args);
    assert_int_equal(scratch_args("send x --json {}", &args, &diag), 0);
    assert_null(hr_args_option(&args, HR_OPT_JSON));
    assert_string_equal(hr_args_option(&args, HR_OPT_BODY), "{}");
    hr_args_fini(&args);
}

/* Adds the spellings to `seen`; fails at one that is there already. */
static void note_spellings(const char *verb, const char *spellings, char *seen, size_t size)
{
    struct hr_str rest = hr_str_of(spellings), word;
    while (hr_str_next(&rest, ' ', &word)) {
        char padded[72];
        size_t len = strlen(seen);
        snprintf(padded, sizeof padded, " %.*s ", HR_STR(word));
        if (strstr(seen, padded))
            fail_msg("%s: %s", verb, padded);
        assert_true(hr_str_copy(seen + len, size - len, hr_str_of(padded)));
    }
}

/* A flag that two rows had would always mean the first. */
static void no_verb_has_a_spelling_twice(void **state)
{
    (void)state;
    for (int i = 0; i < HR_N_VERBS; i++) {
        char seen[8192] = "";
        enum hr_verb_id verb = (enum hr_verb_id)i;
        for (size_t k = 0; k < HR_N_OPTIONS; k++)
            if (hr_verb_takes_option(verb, &hr_options[k]))
                note_spellings(hr_verbs[i].word, hr_options[k].spellings, seen, sizeof seen);
        for (size_t k = 0; k < HR_N_SETTINGS; k++)
            if (hr_verb_takes_section(verb, hr_settings_table[k].section))
                note_spellings(hr_verbs[i].word, hr_settings_table[k].flags, seen, sizeof seen);
    }
}

int test_args(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_take_their_values_in_every_spelling),
        cmocka_unit_test(a_dash_alone_and_what_follows_two_are_operands),
        cmocka_unit_test(mistakes_are_answered_with_the_nearest_thing),
        cmocka_unit_test(one_spelling_may_mean_different_things_to_verbs),
        cmocka_unit_test(no_verb_has_a_spelling_twice),
    };
    return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
