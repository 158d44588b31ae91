/* test_bind.c - addresses to listen on. */
#include "test_cli.h"

#include "cli/bind.h"

static void assert_read_as(const char *text, const char *shown)
{
    struct hr_bind bind;
    struct hr_diag diag;
    char out[HR_BIND_TEXT_MAX];
    assert_int_equal(hr_bind_parse(hr_str_of(text), 8000, &bind, &diag), 0);
    hr_bind_format(&bind, out);
    assert_string_equal(out, shown);
}

static void assert_refused(const char *text, const char *because)
{
    struct hr_bind bind;
    struct hr_diag diag = {0};
    assert_int_equal(hr_bind_parse(hr_str_of(text), 8000, &bind, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, because);
}

static void every_form_is_read(void **state)
{
    (void)state;
    assert_read_as("127.0.0.1:9000", "http://127.0.0.1:9000");
    assert_read_as("localhost", "http://localhost:8000");
    assert_read_as(":80", "http://*:80");
    assert_read_as("[::1]:80", "http://[::1]:80");
    assert_read_as("[::1]", "http://[::1]:8000");
    assert_read_as("unix:/run/x.sock", "unix:/run/x.sock");
    assert_read_as("fd://3", "fd://3");
}

static void what_is_none_is_refused(void **state)
{
    char path[200] = "unix:/";
    (void)state;
    assert_refused("127.0.0.1:65536", "is no address");
    assert_refused("127.0.0.1:http", "is no address");
    assert_refused("127.0.0.1:", "is no address");
    assert_refused("::1:80", "stands in brackets");
    assert_refused("unix:", "needs a path");
    assert_refused("fd://x", "is no descriptor");
    memset(path + 6, 'x', 150);
    assert_refused(path, "can have 107 bytes");
}

int test_bind(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests_name("bind", tests, NULL, NULL);
}
