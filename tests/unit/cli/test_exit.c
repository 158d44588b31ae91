/* test_exit.c - the ends of processes in words. */
#include "test_cli.h"

#include <signal.h>

#include "cli/exit.h"

static const char *ended(int wait_status, bool is_oom)
{
    static char text[64];
    hr_exit_format(wait_status, is_oom, text, sizeof text);
    return text;
}

static void statuses_have_words(void **state)
{
    (void)state;
    assert_string_equal(ended(3 << 8, false), "exit 3");
    assert_string_equal(ended(SIGSEGV, false), "SIGSEGV");
    assert_string_equal(ended(SIGKILL, false), "SIGKILL");
    assert_string_equal(ended(SIGKILL, true), "SIGKILL (oom)");
    assert_string_equal(ended(SIGSEGV, true), "SIGSEGV"); /* the kernel kills with SIGKILL alone */
}

static void a_crash_line_becomes_a_sentence(void **state)
{
    struct hr_crash crash;
    (void)state;
    assert_true(hr_exit_read_crash(HR_LIT("crash signal=SIGSEGV pool=chat worker=chat.3 "
                                          "channel=websocket.receive path=/chat connection=51 "
                                          "function=say at=chat.c:23"),
                                   &crash));
    assert_string_equal(crash.text,
                        "SIGSEGV in say (chat.c:23) on websocket.receive /chat, connection 51");
    assert_true(crash.had_event && !crash.was_retried);
    assert_true(hr_exit_read_crash(
        HR_LIT("crash signal=SIGBUS channel=websocket.connect connection=5 attempts=1"), &crash));
    assert_true(crash.had_event && crash.was_retried);
    assert_true(hr_exit_read_crash(HR_LIT("crash signal=SIGABRT pool=web"), &crash));
    assert_string_equal(crash.text, "SIGABRT");
    assert_false(crash.had_event);
    assert_false(hr_exit_read_crash(HR_LIT("a crash signal=1"), &crash));
}

static void a_long_crash_line_is_cut_to_the_room_there_is(void **state)
{
    char line[1000] = "crash signal=SIGSEGV path=/";
    struct hr_crash crash;
    (void)state;
    memset(line + strlen(line), 'x', 900);
    assert_true(hr_exit_read_crash(hr_str_of(line), &crash));
    assert_int_equal(strlen(crash.text), sizeof crash.text - 1);
}

int test_exit(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_words),
        cmocka_unit_test(a_crash_line_becomes_a_sentence),
        cmocka_unit_test(a_long_crash_line_is_cut_to_the_room_there_is),
    };
    return cmocka_run_group_tests_name("exit", tests, NULL, NULL);
}
