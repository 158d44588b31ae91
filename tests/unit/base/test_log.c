/* test_log.c - hr_log() of base/log.h: levels, formats, pairs, quoting. */
#include "test_base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "log_capture.h"

static int text_setup(void **state)
{
    (void)state;
    log_capture(HR_LOG_TEXT, HR_LOG_DEBUG);
    return 0;
}

static int json_setup(void **state)
{
    (void)state;
    log_capture(HR_LOG_JSON, HR_LOG_DEBUG);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_release();
    return 0;
}

static void text_is_time_level_event_and_the_pairs_as_they_stand(void **state)
{
    (void)state;
    hr_log(HR_EV_WORKER_DIED, "pool=%s worker=%s pid=%d", "web", "web.3", 4711);
    assert_string_equal(log_after_time(log_take()),
                        "warning worker_died pool=web worker=web.3 pid=4711\n");
    hr_log(HR_EV_START, "%s", "");
    assert_string_equal(log_after_time(log_take()), "info start\n");
}

static void json_has_the_pairs_as_members(void **state)
{
    (void)state;
    hr_log(HR_EV_WORKER_DIED, "pool=%s pid=%d load=%.2f", "web", 4711, 0.25);
    const char *line = log_take();
    assert_true(log_is_json_line(line));
    assert_string_equal(log_after_ts(line),
                        "\"level\":\"warning\",\"event\":\"worker_died\",\"pool\":\"web\","
                        "\"pid\":4711,\"load\":0.25}\n");
}

static void the_json_time_is_utc_and_now(void **state)
{
    (void)state;
    setenv("TZ", "XXX-11", 1);
    tzset();
    log_capture(HR_LOG_TEXT, HR_LOG_INFO);
    hr_log(HR_EV_START, "pid=0"); /* so that the converted second is not an earlier test's */
    (void)log_take();
    log_capture(HR_LOG_JSON, HR_LOG_INFO);
    hr_time before = hr_time_wall();
    hr_log(HR_EV_START, "pid=1");
    hr_time after = hr_time_wall();
    unsetenv("TZ");
    tzset();
    struct tm tm = {0};
    const char *end = strptime(log_take(), "{\"ts\":\"%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(end);
    hr_time ts = (hr_time)timegm(&tm) * HR_SECOND + strtol(end + 1, NULL, 10) * HR_MS;
    assert_true(ts >= before - HR_MS);
    assert_true(ts <= after);
}

/* What the members of "…" are, after level and event. */
static const char *members_of(const char *text)
{
    hr_log(HR_EV_DEBUG, "%s", text);
    const char *line = log_take();
    if (!log_is_json_line(line))
        fail_msg("not JSON: %s", line);
    static const char head[] = "\"level\":\"debug\",\"event\":\"debug\"";
    line = log_after_ts(line);
    assert_memory_equal(line, head, strlen(head));
    return line + strlen(head);
}

static void numbers_stay_numbers_and_nothing_else_becomes_one(void **state)
{
    (void)state;
    assert_string_equal(members_of("a=0 b=-1 c=12.50"), ",\"a\":0,\"b\":-1,\"c\":12.50}\n");
    assert_string_equal(members_of("a=007 b=- c=1. d=.5 e=1a f=0x10 g=1e5 h="),
                        ",\"a\":\"007\",\"b\":\"-\",\"c\":\"1.\",\"d\":\".5\",\"e\":\"1a\","
                        "\"f\":\"0x10\",\"g\":\"1e5\",\"h\":\"\"}\n");
    assert_string_equal(members_of("a=\"12\""), ",\"a\":\"12\"}\n");
}

static void quoted_values_hold_spaces_and_escapes(void **state)
{
    (void)state;
    assert_string_equal(members_of("a=\"x y=z\" b=1"), ",\"a\":\"x y=z\",\"b\":1}\n");
    assert_string_equal(members_of("a=\"q\\\"q \\n \\u0007\""), ",\"a\":\"q\\\"q \\n \\u0007\"}\n");
    assert_string_equal(members_of("a=\"\""), ",\"a\":\"\"}\n");
    assert_string_equal(members_of("a=\"never closed"), ",\"a\":\"never closed\"}\n");
    assert_string_equal(members_of("a=\"end\\"), ",\"a\":\"end\\\\\"}\n");
    assert_string_equal(members_of("a=\"\\q \\u12\""), ",\"a\":\"\\\\q \\\\u12\"}\n");
    assert_string_equal(members_of("a=C:\\dir b=x=y"), ",\"a\":\"C:\\\\dir\",\"b\":\"x=y\"}\n");
}

static void words_without_a_key_are_the_message(void **state)
{
    (void)state;
    assert_string_equal(members_of("the pool=web is  full"),
                        ",\"pool\":\"web\",\"message\":\"the is full\"}\n");
    assert_string_equal(members_of("=x \"a b\" k\xc3\xbc=1"),
                        ",\"message\":\"=x \\\"a b\\\" k\xc3\xbc=1\"}\n");
    assert_string_equal(members_of(""), "}\n");
    assert_string_equal(members_of("   "), "}\n");
}

static void what_is_below_the_least_level_is_not_written(void **state)
{
    (void)state;
    log_capture(HR_LOG_TEXT, HR_LOG_WARNING);
    assert_false(hr_log_is_on(HR_LOG_INFO));
    assert_true(hr_log_is_on(HR_LOG_WARNING));
    hr_log(HR_EV_START, "pid=1");
    hr_log(HR_EV_ERROR, "pid=2");
    assert_string_equal(log_after_time(log_take()), "error error pid=2\n");
}

static void auto_is_json_unless_a_terminal(void **state)
{
    (void)state;
    log_capture(HR_LOG_AUTO, HR_LOG_DEBUG);
    assert_true(hr_log_is_json());
}

/* ---- quoting */

static void check_quote(struct hr_str value, const char *expected)
{
    assert_string_equal(HR_LOG_Q(value), expected);
}

static void quoting_leaves_plain_words_and_escapes_the_rest(void **state)
{
    (void)state;
    check_quote(HR_LIT("/chat?room=1"), "/chat?room=1");
    check_quote(HR_LIT(""), "\"\"");
    check_quote((struct hr_str){NULL, 0}, "\"\"");
    check_quote(HR_LIT("two words"), "\"two words\"");
    check_quote(HR_LIT("12"), "\"12\""); /* text stays text */
    check_quote(HR_LIT("a\"b\\c"), "\"a\\\"b\\\\c\"");
    check_quote(HR_LIT("a\r\nb\tc\0d"), "\"a\\r\\nb\\tc\\u0000d\"");
    check_quote(HR_LIT("\033[31m\177"), "\"\\u001b[31m\\u007f\"");
    check_quote(HR_LIT("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
    check_quote(HR_LIT("\xc2\x9b"
                       "31m"),
                "\"\\u009b31m\""); /* a terminal's one-byte escape */
    check_quote(HR_LIT("\xff\xe6\xb0"), "\"\\ufffd\\ufffd\\ufffd\"");
}

static void a_long_value_is_cut_between_characters_and_marked(void **state)
{
    (void)state;
    char value[2000];
    static const char *const units[] = {"x", "\xe6\xb0\xb4", "\"", "\x01", "\xff"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        for (size_t lead = 0; lead < 8; lead++) {
            memset(value, 'a', sizeof value);
            size_t unit_len = strlen(units[i]);
            for (size_t at = lead; at + unit_len <= sizeof value; at += unit_len)
                memcpy(value + at, units[i], unit_len);
            char out[HR_LOG_QUOTED_MAX];
            hr_log_quote(out, (struct hr_str){value, sizeof value});
            size_t len = strlen(out);
            assert_in_range(len, HR_LOG_QUOTED_MAX - 8, HR_LOG_QUOTED_MAX - 1);
            assert_string_equal(out + len - 4, "...\"");
            assert_true(hr_utf8_ok(out, len));
            char line[HR_LOG_QUOTED_MAX + 16];
            snprintf(line, sizeof line, "{\"a\":%s}\n", out);
            assert_true(log_is_json_line(line));
        }
}

static void a_value_that_just_fits_is_not_cut(void **state)
{
    (void)state;
    char value[HR_LOG_QUOTED_MAX + 8], out[HR_LOG_QUOTED_MAX];
    memset(value, 'a', sizeof value);
    for (size_t len = HR_LOG_QUOTED_MAX - 8; len < sizeof value; len++) {
        hr_log_quote(out, (struct hr_str){value, len});
        bool is_cut = strstr(out, "...") != NULL;
        assert_int_equal(is_cut, len >= HR_LOG_QUOTED_MAX); /* bare: no quotes needed */
        value[0] = ' ';
        hr_log_quote(out, (struct hr_str){value, len});
        is_cut = strstr(out, "...") != NULL;
        assert_int_equal(is_cut, len > HR_LOG_QUOTED_MAX - 3);
        value[0] = 'a';
    }
}

static void what_was_quoted_comes_back_as_the_member(void **state)
{
    (void)state;
    hr_log(HR_EV_DEBUG, "path=%s n=%d", HR_LOG_Q(HR_LIT("/a b\"c\n\xff")), 1);
    const char *line = log_take();
    assert_true(log_is_json_line(line));
    assert_non_null(strstr(line, ",\"path\":\"/a b\\\"c\\n\\ufffd\",\"n\":1}"));
}

/* ---- lines */

static void a_value_that_was_not_quoted_cannot_break_the_line(void **state)
{
    (void)state;
    hr_log(HR_EV_DEBUG, "a=%s", "x\ny\033[2J\177z");
    assert_string_equal(log_after_time(log_take()), "debug debug a=x y [2J z\n");
}

static void a_line_that_is_too_long_is_cut_and_marked(void **state)
{
    (void)state;
    static char value[6000];
    memset(value, 'a', sizeof value - 1);
    for (size_t i = 100; i < sizeof value - 1; i += 100)
        value[i] = ' ';
    hr_log(HR_EV_DEBUG, "%s", value);
    const char *line = log_take();
    size_t len = strlen(line);
    assert_true(len <= 4096);
    assert_string_equal(line + len - 10, " cut=true\n");
}

static void a_json_line_that_is_too_long_is_json_and_marked(void **state)
{
    (void)state;
    char text[6000];
    for (size_t i = 0; i + 6 < sizeof text; i += 6)
        memcpy(text + i, "k=v1\" ", 7);
    hr_log(HR_EV_DEBUG, "%s", text);
    const char *line = log_take();
    assert_true(log_is_json_line(line));
    assert_true(strlen(line) <= 4096);
    assert_non_null(strstr(line, ",\"cut\":true}\n"));
}

static void any_text_at_all_gives_one_valid_json_line(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "=",  "\"", "\\",   " ",    "key=", "\\u00e9", "\xc3\xbc", "\xff",
        "\n", "12", "word", "a=\"", "{",    "\x7f",    "=\"\\"};
    uint64_t seed = 8;
    for (int i = 0; i < 5000; i++) {
        char text[4000] = {0};
        size_t len = 0, n = i % 50 == 0 ? 900 : test_below(&seed, 30);
        for (; n > 0 && len + 16 < sizeof text; n--) {
            const char *piece = pieces[test_below(&seed, sizeof pieces / sizeof pieces[0])];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        hr_log(HR_EV_DEBUG, "%s", text);
        const char *line = log_take();
        if (!log_is_json_line(line))
            fail_msg("not JSON: %s", line);
        assert_true(strlen(line) <= 4096);
    }
}

static void logging_leaves_errno_alone_and_survives_a_closed_descriptor(void **state)
{
    (void)state;
    int fd = dup(STDERR_FILENO);
    hr_log_init(fd, HR_LOG_TEXT, HR_LOG_INFO);
    close(fd);
    errno = ENOSPC;
    hr_log(HR_EV_ERROR, "pid=1");
    assert_int_equal(errno, ENOSPC);
}

/* ---- a terminal */

/* What one line looks like on a new pseudo-terminal. */
static const char *on_terminal(enum hr_log_format format)
{
    static char text[256];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    char path[64];
    assert_int_equal(ptsname_r(master, path, sizeof path), 0);
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct termios raw;
    assert_int_equal(tcgetattr(fd, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(fd, TCSANOW, &raw), 0);

    hr_log_init(fd, format, HR_LOG_INFO);
    hr_log(HR_EV_ERROR, "pid=1");
    ssize_t n = read(master, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    close(fd);
    close(master);
    return text;
}

static void a_terminal_gets_text_with_colours_unless_no_color(void **state)
{
    (void)state;
    unsetenv("NO_COLOR");
    assert_string_equal(log_after_time(on_terminal(HR_LOG_AUTO)),
                        "\033[1;31merror\033[0m error pid=1\n");
    setenv("NO_COLOR", "", 1); /* empty does not count */
    assert_non_null(strchr(on_terminal(HR_LOG_AUTO), '\033'));
    setenv("NO_COLOR", "1", 1);
    assert_string_equal(log_after_time(on_terminal(HR_LOG_AUTO)), "error error pid=1\n");
    unsetenv("NO_COLOR");
    assert_true(log_is_json_line(on_terminal(HR_LOG_JSON)));
}

#define TEXT_TEST(test) cmocka_unit_test_setup_teardown(test, text_setup, teardown)
#define JSON_TEST(test) cmocka_unit_test_setup_teardown(test, json_setup, teardown)

int test_log(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(text_is_time_level_event_and_the_pairs_as_they_stand),
        JSON_TEST(json_has_the_pairs_as_members),
        JSON_TEST(the_json_time_is_utc_and_now),
        JSON_TEST(numbers_stay_numbers_and_nothing_else_becomes_one),
        JSON_TEST(quoted_values_hold_spaces_and_escapes),
        JSON_TEST(words_without_a_key_are_the_message),
        TEXT_TEST(what_is_below_the_least_level_is_not_written),
        TEXT_TEST(auto_is_json_unless_a_terminal),
        cmocka_unit_test(quoting_leaves_plain_words_and_escapes_the_rest),
        cmocka_unit_test(a_long_value_is_cut_between_characters_and_marked),
        cmocka_unit_test(a_value_that_just_fits_is_not_cut),
        JSON_TEST(what_was_quoted_comes_back_as_the_member),
        TEXT_TEST(a_value_that_was_not_quoted_cannot_break_the_line),
        TEXT_TEST(a_line_that_is_too_long_is_cut_and_marked),
        JSON_TEST(a_json_line_that_is_too_long_is_json_and_marked),
        JSON_TEST(any_text_at_all_gives_one_valid_json_line),
        TEXT_TEST(logging_leaves_errno_alone_and_survives_a_closed_descriptor),
        TEXT_TEST(a_terminal_gets_text_with_colours_unless_no_color),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
