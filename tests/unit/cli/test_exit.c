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
    char text[256];
    (void)state;
    assert_true(hr_exit_format_crash("crash signal=SIGSEGV pool=chat worker=chat.3 "
                                     "channel=websocket.receive path=/chat connection=51 "
                                     "function=say at=chat.c:23",
                                     text, sizeof text));
    assert_string_equal(text,
                        "SIGSEGV in say (chat.c:23) on websocket.receive /chat, connection 51");
    assert_true(hr_exit_format_crash("crash signal=SIGABRT pool=web", text, sizeof text));
    assert_string_equal(text, "SIGABRT");
    assert_false(hr_exit_format_crash("a crash signal=1", text, sizeof text));
}

static void a_long_crash_line_is_cut_to_the_room_there_is(void **state)
{
    char line[400] = "crash signal=SIGSEGV path=/", text[32];
    (void)state;
    memset(line + strlen(line), 'x', 300);
    assert_true(hr_exit_format_crash(line, text, sizeof text));
    assert_int_equal(strlen(text), sizeof text - 1);
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
