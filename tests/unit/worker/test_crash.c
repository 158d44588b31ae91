/* test_crash.c - the line that a crashing worker leaves behind. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void named(struct hr_worker_config *config)
{
    config->app = NULL;
    config->app_path = built("APP_GOOD");
    config->label = "web.3";
}

static _Noreturn void crash_in_child(const char *path, int stderr_fd)
{
    struct rig rig;
    dup2(stderr_fd, STDERR_FILENO);
    unsetenv("RIG_ON_IPC"); /* nobody would be left to remove its directory */
    hr_worker_catch_crashes();
    rig_open(&rig, NULL, named);
    rig_receive(&rig, path, "hello");
    for (;;)
        hr_loop_turn(rig.loop, true);
}

/* Everything it wrote, in *text; returns the signal that ended it. */
static int crash(const char *path, char *text, size_t size)
{
    int fds[2], status;
    size_t len = 0;
    ssize_t n;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        crash_in_child(path, fds[1]);
    close(fds[1]);
    while ((n = read(fds[0], text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void assert_has(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("'%s' is not in:\n%s", words, text);
}

static void a_crash_names_the_event_the_function_and_the_line(void **state)
{
    char text[16384];
    (void)state;
    assert_int_equal(crash("/chat", text, sizeof text), SIGSEGV);
    assert_has(text, "crash signal=SIGSEGV pool=web worker=web.3 channel=websocket.receive "
                     "path=/chat connection=1 function=say at=app_good.c:19\n");
    assert_has(text, "unit-worker(+0x"); /* the backtrace */
}

static void an_abort_names_who_called_it(void **state)
{
    char text[16384];
    (void)state;
    assert_int_equal(crash("/abort", text, sizeof text), SIGABRT);
    assert_has(text, "crash signal=SIGABRT ");
    assert_has(text, "path=/abort connection=1 function=give_up at=app_good.c:");
}

static void a_stack_that_overflows_is_named_too(void **state)
{
    char text[16384];
    (void)state;
    assert_int_equal(crash("/deep", text, sizeof text), SIGSEGV);
    assert_has(text, "path=/deep connection=1 function=say_to at=app_good.c:");
}

static void a_crash_on_the_thread_pool_names_its_event(void **state)
{
    char text[16384];
    (void)state;
    assert_int_equal(crash("/thread", text, sizeof text), SIGSEGV);
    assert_has(text, "path=/thread connection=1 function=compute at=app_good.c:");
}

int run_crash_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_names_the_event_the_function_and_the_line),
        cmocka_unit_test(an_abort_names_who_called_it),
        cmocka_unit_test(a_stack_that_overflows_is_named_too),
        cmocka_unit_test(a_crash_on_the_thread_pool_names_its_event),
    };
    return cmocka_run_group_tests_name("crashes", tests, NULL, NULL);
}
