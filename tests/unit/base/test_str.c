/* test_str.c - base/str.h without its UTF-8 part. */
#include "test_base.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static void comparing_knows_case_prefix_and_suffix(void **state)
{
    (void)state;
    struct hr_str empty = {NULL, 0};
    assert_true(hr_str_eq(HR_LIT(""), empty));
    assert_false(hr_str_eq(HR_LIT("a"), HR_LIT("b")));
    assert_true(hr_str_eq_nocase(HR_LIT("Content-LENGTH"), HR_LIT("content-length")));
    assert_false(hr_str_eq_nocase(HR_LIT("[x]"), HR_LIT("{x}"))); /* differ in bit 5 only */
    assert_false(hr_str_eq_nocase(HR_LIT("\xc4"), HR_LIT("\xe4")));
    assert_true(hr_str_starts(HR_LIT("/chat/1"), HR_LIT("/chat")));
    assert_true(hr_str_starts(HR_LIT("/chat"), empty));
    assert_false(hr_str_starts(HR_LIT("/ch"), HR_LIT("/chat")));
    assert_true(hr_str_ends(HR_LIT("app.so"), HR_LIT(".so")));
    assert_true(hr_str_ends(empty, empty));
    assert_false(hr_str_ends(HR_LIT("so"), HR_LIT(".so")));
}

static void trim_takes_spaces_and_tabs_off_both_ends(void **state)
{
    (void)state;
    assert_true(hr_str_eq(hr_str_trim(HR_LIT(" \t a b\t ")), HR_LIT("a b")));
    assert_true(hr_str_eq(hr_str_trim(HR_LIT(" \t ")), HR_LIT("")));
    assert_true(hr_str_eq(hr_str_trim(HR_LIT("\na")), HR_LIT("\na")));
    assert_int_equal(hr_str_trim((struct hr_str){NULL, 0}).len, 0);
}

/* Joins the parts of `text` with '|'. */
static const char *parts(const char *text)
{
    static char out[64];
    struct hr_str rest = hr_str_of(text), part;
    size_t len = 0;
    while (hr_str_next(&rest, ',', &part)) {
        memcpy(out + len, part.ptr, part.len);
        len += part.len;
        out[len++] = '|';
    }
    out[len] = '\0';
    return out;
}

static void next_gives_each_part(void **state)
{
    (void)state;
    assert_string_equal(parts("a,,b"), "a||b|");
    assert_string_equal(parts("abc"), "abc|");
    assert_string_equal(parts(",a"), "|a|");
    assert_string_equal(parts("a,"), "a|");
    assert_string_equal(parts(""), "");
    struct hr_str rest = {NULL, 0}, part;
    assert_false(hr_str_next(&rest, ',', &part));
}

static void u64_reads_the_whole_text_or_nothing(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(hr_str_u64(HR_LIT("0"), &n));
    assert_true(n == 0);
    assert_true(hr_str_u64(HR_LIT("18446744073709551615"), &n));
    assert_true(n == UINT64_MAX);
    assert_true(hr_str_u64(HR_LIT("00000000000000000000000000012"), &n));
    assert_true(n == 12);
    static const char *const wrong[] = {"",
                                        " 1",
                                        "1 ",
                                        "+1",
                                        "-1",
                                        "1a",
                                        "0x1",
                                        "1.0",
                                        "18446744073709551616",
                                        "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(hr_str_u64(hr_str_of(wrong[i]), &n));
}

/* What a glob means, said by recursion. */
static bool glob_model(const char *pattern, const char *text)
{
    if (*pattern == '\0')
        return *text == '\0';
    if (*pattern == '*')
        return glob_model(pattern + 1, text) || (*text != '\0' && glob_model(pattern, text + 1));
    return *text != '\0' && (*pattern == '?' || *pattern == *text) &&
           glob_model(pattern + 1, text + 1);
}

static void globs_match_as_their_definition_says(void **state)
{
    (void)state;
    assert_true(hr_str_glob(HR_LIT("http.request.*"), HR_LIT("http.request.site")));
    assert_false(hr_str_glob(HR_LIT("http.request.?"), HR_LIT("http.request.")));
    assert_true(hr_str_glob(HR_LIT("*"), (struct hr_str){NULL, 0}));
    assert_true(hr_str_glob((struct hr_str){NULL, 0}, (struct hr_str){NULL, 0}));

    uint64_t seed = 1;
    unsigned n_matches = 0;
    for (int i = 0; i < 200000; i++) {
        char pattern[9] = {0}, text[13] = {0};
        for (size_t j = test_below(&seed, sizeof pattern); j > 0; j--)
            pattern[j - 1] = "ab*?*"[test_below(&seed, 5)];
        for (size_t j = test_below(&seed, sizeof text); j > 0; j--)
            text[j - 1] = "ab"[test_below(&seed, 2)];
        bool expected = glob_model(pattern, text);
        if (hr_str_glob(hr_str_of(pattern), hr_str_of(text)) != expected)
            fail_msg("'%s' on '%s' should be %d", pattern, text, expected);
        n_matches += expected;
    }
    assert_true(n_matches > 10000);
}

static void many_stars_do_not_explode(void **state)
{
    (void)state;
    char pattern[201], text[20000];
    for (size_t i = 0; i < 200; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[200] = 'b';
    memset(text, 'a', sizeof text);
    /* Exponential matchers do not come back from this one. */
    assert_false(hr_str_glob((struct hr_str){pattern, 201}, (struct hr_str){text, sizeof text}));
}

static void check_decode(const char *text, bool is_form, const char *expected)
{
    char in_place[64];
    strncpy(in_place, text, sizeof in_place - 1);
    char out[64];
    ptrdiff_t n = hr_str_percent_decode(hr_str_of(text), is_form, out);
    ptrdiff_t same =
        hr_str_percent_decode((struct hr_str){in_place, strlen(text)}, is_form, in_place);
    assert_int_equal(n, same);
    if (!expected) {
        assert_int_equal(n, -1);
        return;
    }
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, strlen(expected));
    assert_memory_equal(in_place, expected, strlen(expected));
}

static void percent_decoding_works_in_place_and_refuses_broken_escapes(void **state)
{
    (void)state;
    check_decode("/caf%C3%a9/a+b", false, "/caf\xc3\xa9/a+b");
    check_decode("a+b%2B", true, "a b+");
    check_decode("%41", false, "A");
    check_decode("", false, "");
    check_decode("%2541", false, "%41"); /* once only */
    static const char *const broken[] = {"%",   "a%",  "%4",  "a%4", "%g0",
                                         "%0g", "% 1", "%-1", "%%41"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        check_decode(broken[i], false, NULL);

    char nul;
    assert_int_equal(hr_str_percent_decode((struct hr_str){"%41", 2}, false, &nul), -1);
    assert_int_equal(hr_str_percent_decode(HR_LIT("%00"), false, &nul), 1);
    assert_int_equal(nul, 0);
}

static void copy_ends_with_nul_and_tells_whether_it_fitted(void **state)
{
    (void)state;
    char out[5] = "xxxx";
    assert_true(hr_str_copy(out, sizeof out, HR_LIT("mill")));
    assert_string_equal(out, "mill");
    assert_false(hr_str_copy(out, sizeof out, HR_LIT("wheel")));
    assert_string_equal(out, "whee");
    assert_true(hr_str_copy(out, 1, (struct hr_str){NULL, 0}));
    assert_string_equal(out, "");
}

int test_str(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_knows_case_prefix_and_suffix),
        cmocka_unit_test(trim_takes_spaces_and_tabs_off_both_ends),
        cmocka_unit_test(next_gives_each_part),
        cmocka_unit_test(u64_reads_the_whole_text_or_nothing),
        cmocka_unit_test(globs_match_as_their_definition_says),
        cmocka_unit_test(many_stars_do_not_explode),
        cmocka_unit_test(percent_decoding_works_in_place_and_refuses_broken_escapes),
        cmocka_unit_test(copy_ends_with_nul_and_tells_whether_it_fitted),
    };
    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
