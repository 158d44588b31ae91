/* test_logline.c - struct hr_logline of base/log.h: lines of typed fields, as in the access log. */
#include "test_base.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_capture.h"

static int text_setup(void **state)
{
    (void)state;
    log_capture(HR_LOG_TEXT, HR_LOG_INFO);
    return 0;
}

static int json_setup(void **state)
{
    (void)state;
    log_capture(HR_LOG_JSON, HR_LOG_INFO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_release();
    return 0;
}

static void write_request(struct hr_str path)
{
    struct hr_logline line;
    hr_logline_begin(&line, HR_EV_REQUEST);
    hr_logline_str(&line, "method", HR_LIT("GET"));
    hr_logline_str(&line, "path", path);
    hr_logline_int(&line, "status", 200);
    hr_logline_ms(&line, "ms", 12345678);
    hr_logline_end(&line);
}

static void text_quotes_only_what_needs_it(void **state)
{
    (void)state;
    write_request(HR_LIT("/a"));
    assert_string_equal(log_after_time(log_take()),
                        "info request method=GET path=/a status=200 ms=12.3\n");
    write_request(HR_LIT("/a b"));
    assert_string_equal(log_after_time(log_take()),
                        "info request method=GET path=\"/a b\" status=200 ms=12.3\n");
    write_request((struct hr_str){NULL, 0});
    assert_string_equal(log_after_time(log_take()),
                        "info request method=GET path=\"\" status=200 ms=12.3\n");
}

static void json_keeps_types(void **state)
{
    (void)state;
    write_request(HR_LIT("12\"\n"));
    const char *line = log_take();
    assert_true(log_is_json_line(line));
    assert_string_equal(log_after_ts(line),
                        "\"level\":\"info\",\"event\":\"request\",\"method\":\"GET\","
                        "\"path\":\"12\\\"\\n\",\"status\":200,\"ms\":12.3}\n");
}

static void numbers_of_any_size_fit(void **state)
{
    (void)state;
    struct hr_logline line;
    hr_logline_begin(&line, HR_EV_REQUEST);
    hr_logline_int(&line, "a", INT64_MIN);
    hr_logline_int(&line, "b", INT64_MAX);
    hr_logline_int(&line, "n", -1);
    hr_logline_ms(&line, "c", 0);
    hr_logline_ms(&line, "d", 49999);
    hr_logline_ms(&line, "e", 50000); /* half a tenth is rounded up */
    hr_logline_ms(&line, "f", -5);    /* clocks that disagree */
    hr_logline_ms(&line, "g", HR_NEVER);
    hr_logline_end(&line);
    assert_string_equal(
        log_after_time(log_take()),
        "info request a=-9223372036854775808 b=9223372036854775807 n=-1 c=0.0 d=0.0 "
        "e=0.1 f=0.0 g=9223372036854.8\n");
}

static void a_long_value_leaves_room_for_the_fields_after_it(void **state)
{
    (void)state;
    char path[9000];
    memset(path, 'p', sizeof path);
    write_request((struct hr_str){path, sizeof path});
    const char *line = log_take();
    assert_non_null(strstr(line, "ppp...\" status=200 ms=12.3\n"));
    assert_null(strstr(line, "cut="));
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        n++;
    return n;
}

static void fields_that_do_not_fit_are_left_out_and_marked(void **state)
{
    (void)state;
    /* Every remainder of room, in both formats, and lines that stay one line. */
    for (size_t len = 0; len < 1100; len++) {
        char value[1100];
        memset(value, len % 2 ? 'v' : '\1', sizeof value);
        struct hr_logline line;
        hr_logline_begin(&line, HR_EV_REQUEST);
        for (int i = 0; i < 3; i++)
            hr_logline_str(&line, "filler", (struct hr_str){value, 990});
        hr_logline_str(&line, "value", (struct hr_str){value, len});
        for (int i = 0; i < 40; i++) {
            hr_logline_int(&line, "number", i * 1001);
            hr_logline_str(&line, "text", HR_LIT("\n"));
        }
        hr_logline_end(&line);
        const char *text = log_take();
        assert_true(strlen(text) <= 4096);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        if (hr_log_is_json())
            assert_true(log_is_json_line(text));
        bool is_whole = count(text, "number") + count(text, "text") == 80;
        assert_int_equal(strstr(text, "cut") == NULL, is_whole);
    }
}

static void processes_that_share_a_pipe_do_not_mix_their_lines(void **state)
{
    (void)state;
    enum { N_PROCESSES = 4, N_LINES = 200 };
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    for (int i = 0; i < N_PROCESSES; i++) {
        if (fork() != 0)
            continue;
        char value[900];
        memset(value, 'a' + i, sizeof value);
        hr_log_init(fds[1], HR_LOG_JSON, HR_LOG_INFO);
        for (int j = 0; j < N_LINES; j++)
            write_request((struct hr_str){value, sizeof value});
        _exit(0);
    }
    close(fds[1]);
    FILE *file = fdopen(fds[0], "r");
    assert_non_null(file);
    char line[4200];
    int n_lines = 0;
    for (; fgets(line, sizeof line, file); n_lines++)
        assert_true(log_is_json_line(line));
    assert_int_equal(n_lines, N_PROCESSES * N_LINES);
    fclose(file);
    for (int i = 0; i < N_PROCESSES; i++)
        wait(NULL);
}

#define TEXT_TEST(test) cmocka_unit_test_setup_teardown(test, text_setup, teardown)
#define JSON_TEST(test) cmocka_unit_test_setup_teardown(test, json_setup, teardown)

int test_logline(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(text_quotes_only_what_needs_it),
        JSON_TEST(json_keeps_types),
        TEXT_TEST(numbers_of_any_size_fit),
        TEXT_TEST(a_long_value_leaves_room_for_the_fields_after_it),
        TEXT_TEST(fields_that_do_not_fit_are_left_out_and_marked),
        JSON_TEST(fields_that_do_not_fit_are_left_out_and_marked),
        JSON_TEST(processes_that_share_a_pipe_do_not_mix_their_lines),
    };
    return cmocka_run_group_tests_name("logline", tests, NULL, NULL);
}
