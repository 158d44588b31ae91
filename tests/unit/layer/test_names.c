/* test_names.c - which bytes make a name, tried out one by one. */
#include "test_layer.h"

#include "layer/layer_impl.h"

static bool is_plain(unsigned c)
{
    return memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", (int)c,
                  65) != NULL;
}

static void every_byte_is_allowed_or_not_as_the_contract_says(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const char text[3] = {'a', (char)c, 'b'};
        const struct hr_str name = {text, 3}, alone = {text + 1, 1};
        assert_int_equal(hr_group_name_ok(name), is_plain(c));
        assert_int_equal(hr_channel_name_ok(name), is_plain(c) || c == '!');
        assert_int_equal(hr_channel_name_ok(alone), is_plain(c));
        assert_int_equal(hr_pattern_ok(name), is_plain(c) || c == '*' || c == '?');
    }
}

static void a_bang_stands_once_and_inside(void **state)
{
    (void)state;
    assert_true(hr_channel_name_ok(HR_LIT("a!b")));
    assert_false(hr_channel_name_ok(HR_LIT("!a")));
    assert_false(hr_channel_name_ok(HR_LIT("a!")));
    assert_false(hr_channel_name_ok(HR_LIT("!")));
    assert_false(hr_channel_name_ok(HR_LIT("a!b!c")));
    assert_false(hr_channel_name_ok(HR_LIT("a!!b")));
    assert_false(hr_group_name_ok(HR_LIT("a!b")));
}

static void names_have_1_to_99_bytes(void **state)
{
    (void)state;
    char text[101];
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) {
        const struct hr_str name = {text, len};
        bool is_ok = len >= 1 && len <= 99;
        assert_int_equal(hr_channel_name_ok(name), is_ok);
        assert_int_equal(hr_group_name_ok(name), is_ok);
        assert_int_equal(hr_pattern_ok(name), is_ok);
    }
    assert_false(hr_channel_name_ok((struct hr_str){NULL, 0}));
}

static void a_glob_is_known_by_its_stars_and_question_marks(void **state)
{
    (void)state;
    assert_false(hr_pattern_is_glob(HR_LIT("http.request")));
    assert_true(hr_pattern_is_glob(HR_LIT("http.*")));
    assert_true(hr_pattern_is_glob(HR_LIT("?")));
}

int test_names(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_allowed_or_not_as_the_contract_says),
        cmocka_unit_test(a_bang_stands_once_and_inside),
        cmocka_unit_test(names_have_1_to_99_bytes),
        cmocka_unit_test(a_glob_is_known_by_its_stars_and_question_marks),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
