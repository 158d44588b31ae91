/* test_loop_process.c - base/loop.h: signals, wakes, the thread pool, child processes. */
#include "test_base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/loop.h"

static struct hr_loop *loop;

static int setup(void **state)
{
    (void)state;
    return hr_loop_new(&loop);
}

static int teardown(void **state)
{
    (void)state;
    loop = hr_loop_free(loop);
    return 0;
}

/* ---- signals */

static int last_signal;

static void on_signal(struct hr_signal *signal, int number)
{
    (void)signal;
    last_signal = number;
    hr_loop_stop(loop);
}

static void a_signal_arrives_in_the_loop(void **state)
{
    (void)state;
    struct hr_signal usr1, hup;
    last_signal = 0;
    assert_int_equal(hr_signal_open(loop, &usr1, SIGUSR1, on_signal), 0);
    assert_int_equal(hr_signal_open(loop, &hup, SIGHUP, on_signal), 0);
    raise(SIGUSR1);
    assert_int_equal(hr_loop_run(loop), 0);
    assert_int_equal(last_signal, SIGUSR1);
    raise(SIGHUP);
    assert_int_equal(hr_loop_run(loop), 0);
    assert_int_equal(last_signal, SIGHUP);
    hr_signal_close(&usr1);
    hr_signal_close(&hup);
    loop = hr_loop_free(loop); /* before these two go out of scope */
}

static void a_signal_that_cannot_be_caught_is_an_error(void **state)
{
    (void)state;
    struct hr_signal kill;
    assert_int_equal(hr_signal_open(loop, &kill, SIGKILL, on_signal), HR_ERR_SYS);
    assert_int_equal(errno, EINVAL);
    loop = hr_loop_free(loop);
}

/* ---- waking */

struct bell {
    struct hr_wake wake;
    pthread_t woken_on;
    unsigned n_woken, n_closed;
};

static void on_wake(struct hr_wake *wake)
{
    struct bell *bell = hr_container_of(wake, struct bell, wake);
    bell->n_woken++;
    bell->woken_on = pthread_self();
    hr_loop_stop(loop);
}

static void on_wake_closed(struct hr_wake *wake)
{
    hr_container_of(wake, struct bell, wake)->n_closed++;
}

static void *ring_thrice(void *arg)
{
    for (int i = 0; i < 3; i++)
        hr_wake_send(arg);
    return NULL;
}

static void a_wake_from_another_thread_runs_on_the_loop(void **state)
{
    (void)state;
    struct bell bell = {0};
    assert_int_equal(hr_wake_open(loop, &bell.wake, on_wake), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ring_thrice, &bell.wake), 0);
    assert_int_equal(hr_loop_run(loop), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(pthread_equal(bell.woken_on, pthread_self()));
    for (int i = 0; i < 3; i++)
        hr_loop_turn(loop, false);
    assert_in_range(bell.n_woken, 1, 3);
    hr_wake_close(&bell.wake, on_wake_closed);
    assert_int_equal(bell.n_closed, 0);
    hr_loop_turn(loop, false);
    assert_int_equal(bell.n_closed, 1);
}

/* ---- the thread pool */

struct job {
    struct hr_work work;
    pthread_t ran_on;
    unsigned n_run, n_done;
    sem_t *has_begun, *may_end; /* NULL: not asked */
};

static unsigned n_jobs_left;

static void job_run(struct hr_work *work)
{
    struct job *job = hr_container_of(work, struct job, work);
    job->ran_on = pthread_self();
    job->n_run++;
    if (job->has_begun)
        sem_post(job->has_begun);
    if (job->may_end)
        sem_wait(job->may_end);
}

static void job_done(struct hr_work *work)
{
    hr_container_of(work, struct job, work)->n_done++;
    if (--n_jobs_left == 0)
        hr_loop_stop(loop);
}

static void work_runs_elsewhere_and_is_done_here_once(void **state)
{
    (void)state;
    struct job jobs[50] = {0};
    n_jobs_left = 50;
    for (int i = 0; i < 50; i++)
        assert_int_equal(hr_loop_queue(loop, &jobs[i].work, job_run, job_done), 0);
    assert_int_equal(hr_loop_run(loop), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(jobs[i].n_run, 1);
        assert_int_equal(jobs[i].n_done, 1);
        assert_false(jobs[i].work.is_cancelled);
        assert_false(pthread_equal(jobs[i].ran_on, pthread_self()));
    }
}

static void cancelled_work_does_not_run_and_is_done_once(void **state)
{
    (void)state;
    enum { N_POOL = 64 }; /* no less than the threads of any pool we configure */
    struct job jobs[N_POOL] = {0}, late = {0};
    sem_t may_end;
    assert_int_equal(sem_init(&may_end, 0, 0), 0);
    n_jobs_left = N_POOL + 1;
    for (int i = 0; i < N_POOL; i++) {
        jobs[i].may_end = &may_end;
        assert_int_equal(hr_loop_queue(loop, &jobs[i].work, job_run, job_done), 0);
    }
    assert_int_equal(hr_loop_queue(loop, &late.work, job_run, job_done), 0);
    assert_true(hr_work_cancel(&late.work));
    assert_true(hr_work_cancel(&late.work)); /* still so */
    for (int i = 0; i < N_POOL; i++)
        sem_post(&may_end);
    assert_int_equal(hr_loop_run(loop), 0);
    assert_int_equal(late.n_run, 0);
    assert_int_equal(late.n_done, 1);
    assert_true(late.work.is_cancelled);
    sem_destroy(&may_end);
}

static void work_that_has_begun_cannot_be_cancelled(void **state)
{
    (void)state;
    sem_t has_begun, may_end;
    assert_int_equal(sem_init(&has_begun, 0, 0), 0);
    assert_int_equal(sem_init(&may_end, 0, 0), 0);
    struct job job = {.has_begun = &has_begun, .may_end = &may_end};
    n_jobs_left = 1;
    assert_int_equal(hr_loop_queue(loop, &job.work, job_run, job_done), 0);
    sem_wait(&has_begun);
    assert_false(hr_work_cancel(&job.work));
    sem_post(&may_end);
    assert_int_equal(hr_loop_run(loop), 0);
    assert_int_equal(job.n_done, 1);
    assert_false(job.work.is_cancelled);
    sem_destroy(&has_begun);
    sem_destroy(&may_end);
}

static void freeing_the_loop_waits_for_work(void **state)
{
    (void)state;
    struct job job = {0};
    n_jobs_left = 1;
    assert_int_equal(hr_loop_queue(loop, &job.work, job_run, job_done), 0);
    loop = hr_loop_free(loop);
    assert_int_equal(job.n_run, 1);
    assert_int_equal(job.n_done, 1);
}

/* ---- child processes */

struct kid {
    struct hr_child child;
    int exit_status, term_signal;
    unsigned n_exited, n_closed;
};

static void on_exit_of(struct hr_child *child, int exit_status, int term_signal)
{
    struct kid *kid = hr_container_of(child, struct kid, child);
    kid->n_exited++;
    kid->exit_status = exit_status;
    kid->term_signal = term_signal;
    hr_loop_stop(loop);
}

static void on_kid_closed(struct hr_child *child)
{
    hr_container_of(child, struct kid, child)->n_closed++;
}

/* Runs `script` in a shell to its end. */
static void run_shell(struct kid *kid, const char *script, struct hr_child_options options)
{
    char shell[] = "sh", flag[] = "-c", text[256];
    assert_true(strlen(script) < sizeof text);
    strncpy(text, script, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    char *argv[] = {shell, flag, text, NULL};
    options.file = "/bin/sh";
    options.argv = argv;
    *kid = (struct kid){0};
    assert_int_equal(hr_child_spawn(loop, &kid->child, &options, on_exit_of), 0);
    assert_int_equal(hr_loop_run(loop), 0);
    assert_int_equal(kid->n_exited, 1);
    hr_child_close(&kid->child, on_kid_closed);
    hr_loop_turn(loop, false);
    assert_int_equal(kid->n_closed, 1);
}

static void a_child_tells_its_exit_status_or_signal(void **state)
{
    (void)state;
    struct kid kid;
    run_shell(&kid, "exit 7", (struct hr_child_options){0});
    assert_int_equal(kid.exit_status, 7);
    assert_int_equal(kid.term_signal, 0);
    run_shell(&kid, "kill -TERM $$", (struct hr_child_options){0});
    assert_int_equal(kid.term_signal, SIGTERM);
}

static void a_child_gets_the_descriptors_it_was_given(void **state)
{
    (void)state;
    int out[2], fifth[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fifth, O_CLOEXEC), 0);
    struct kid kid;
    run_shell(&kid, "cat; echo out; echo fifth >&5; (echo x >&4) 2>/dev/null || echo no four",
              (struct hr_child_options){.fds = {-1, out[1], -1, -1, -1, fifth[1]}, .n_fds = 6});
    close(out[1]);
    close(fifth[1]);
    char text[64] = {0};
    assert_int_equal(read(out[0], text, sizeof text - 1), 12);
    assert_string_equal(text, "out\nno four\n"); /* and stdin was /dev/null: cat ended */
    memset(text, 0, sizeof text);
    assert_int_equal(read(fifth[0], text, sizeof text - 1), 6);
    assert_string_equal(text, "fifth\n");
    close(out[0]);
    close(fifth[0]);
}

static void a_child_gets_its_environment_and_directory(void **state)
{
    (void)state;
    char variable[] = "MILL=wheel";
    char *env[] = {variable, NULL};
    struct kid kid;
    run_shell(&kid, "test \"$MILL\" = wheel && test -z \"$HOME\" && test \"$(pwd)\" = /proc",
              (struct hr_child_options){.env = env, .cwd = "/proc"});
    assert_int_equal(kid.exit_status, 0);
}

static void a_child_that_cannot_start_is_an_error_and_still_closed(void **state)
{
    (void)state;
    char name[] = "nothing";
    char *argv[] = {name, NULL};
    struct hr_child_options options = {.file = "/nothing/there", .argv = argv};
    struct kid kid = {0};
    assert_int_equal(hr_child_spawn(loop, &kid.child, &options, on_exit_of), HR_ERR_SYS);
    assert_int_equal(errno, ENOENT);
    hr_child_close(&kid.child, on_kid_closed);
    hr_loop_turn(loop, false);
    assert_int_equal(kid.n_exited, 0);
    assert_int_equal(kid.n_closed, 1);
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int test_loop_process(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_signal_arrives_in_the_loop),
        LOOP_TEST(a_signal_that_cannot_be_caught_is_an_error),
        LOOP_TEST(a_wake_from_another_thread_runs_on_the_loop),
        LOOP_TEST(work_runs_elsewhere_and_is_done_here_once),
        LOOP_TEST(cancelled_work_does_not_run_and_is_done_once),
        LOOP_TEST(work_that_has_begun_cannot_be_cancelled),
        LOOP_TEST(freeing_the_loop_waits_for_work),
        LOOP_TEST(a_child_tells_its_exit_status_or_signal),
        LOOP_TEST(a_child_gets_the_descriptors_it_was_given),
        LOOP_TEST(a_child_gets_its_environment_and_directory),
        LOOP_TEST(a_child_that_cannot_start_is_an_error_and_still_closed),
    };
    return cmocka_run_group_tests_name("loop_process", tests, NULL, NULL);
}
