/* test_children.c - starting the supervisor's children: this program again, which then waits
 * (test_cli.c). */
#include "test_cli.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/children.h"

static int n_terms; /* that reached us */

static void on_term(struct hr_signal *signal, int number)
{
    (void)signal;
    (void)number;
    n_terms++;
}

static struct hr_proc *start(struct hr_loop *loop, const struct hr_settings *settings)
{
    const struct hr_spawn spawn = {.verb = "work",
                                   .label = "web.1",
                                   .pool = "web",
                                   .settings = settings,
                                   .layer_url = "ipc:/nowhere",
                                   .log_fd = STDERR_FILENO};
    struct hr_proc *proc;
    assert_int_equal(hr_proc_start(loop, &spawn, &proc), 0);
    hr_list_init(&proc->node); /* of no supervisor's list */
    return proc;
}

/* Once it was taken by the handler that the child inherits from us, and the child lived on. */
static void a_signal_before_the_exec_ends_the_child_and_is_not_taken_for_ours(void **state)
{
    struct hr_loop *loop;
    struct hr_signal term;
    struct hr_settings *settings = scratch_settings("run ./app.so");
    (void)state;
    assert_int_equal(hr_loop_new(&loop), 0);
    assert_int_equal(hr_signal_open(loop, &term, SIGTERM, on_term), 0);
    n_terms = 0;
    alarm(20); /* a child that lives on would be waited for until then */
    for (int i = 0; i < 20; i++) {
        int status;
        struct hr_proc *proc = start(loop, settings);
        hr_proc_signal(proc, SIGTERM);
        assert_int_equal(waitpid(proc->pid, &status, 0), proc->pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        hr_proc_reaped(proc);
        hr_proc_dispose(proc);
        hr_loop_turn(loop, false);
    }
    alarm(0);
    hr_loop_turn(loop, false);
    assert_int_equal(n_terms, 0);
    hr_signal_close(&term);
    hr_loop_free(loop);
    hr_settings_unref(settings);
}

int test_children(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_signal_before_the_exec_ends_the_child_and_is_not_taken_for_ours, scratch_enter,
            scratch_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
