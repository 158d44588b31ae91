/* test_stack.c - a process that is asked what its threads are doing. */
#include "fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/place.h"
#include "worker/stack.h"

enum { SLOT = 7 };

static char directory[64];

/* The question comes from another process, as that of `headrace stack` does. */
static void ask(uint32_t slot)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(sigqueue(getppid(), HR_STACK_SIGNAL, (union sigval){.sival_int = (int)slot}));
    while (waitpid(pid, &status, 0) < 0)
        continue; /* EINTR: the signal */
    assert_int_equal(status, 0);
}

static int open_fifo(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/" HR_STACK_FIFO, directory, SLOT);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* What was answered, up to its last line. */
static void read_answer(int fd, char *out, size_t size)
{
    size_t len = 0;
    struct pollfd more = {.fd = fd, .events = POLLIN};
    out[0] = '\0';
    while (!strstr(out, "\n" HR_STACK_END)) {
        assert_int_equal(poll(&more, 1, 5000), 1);
        ssize_t n = read(fd, out + len, size - 1 - len);
        assert_true(n > 0);
        len += (size_t)n;
        out[len] = '\0';
    }
}

static void write_extra(int fd)
{
    ssize_t n = write(fd, "  interpreter: here\n", 20);
    (void)n;
}

struct thread {
    pthread_t id;
    sem_t has_started, may_end;
    bool blocks_signals;
};

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    sigset_t all;
    sigfillset(&all);
    if (thread->blocks_signals)
        pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, thread->blocks_signals ? "deaf" : "hears");
    sem_post(&thread->has_started);
    while (sem_wait(&thread->may_end) < 0)
        continue;
    return NULL;
}

static void thread_start(struct thread *thread, bool blocks_signals)
{
    thread->blocks_signals = blocks_signals;
    assert_int_equal(sem_init(&thread->has_started, 0, 0), 0);
    assert_int_equal(sem_init(&thread->may_end, 0, 0), 0);
    assert_int_equal(pthread_create(&thread->id, NULL, thread_main, thread), 0);
    assert_int_equal(sem_wait(&thread->has_started), 0);
}

static void thread_end(struct thread *thread)
{
    sem_post(&thread->may_end);
    assert_int_equal(pthread_join(thread->id, NULL), 0);
    sem_destroy(&thread->has_started);
    sem_destroy(&thread->may_end);
}

static int set_up(void **state)
{
    char url[96];
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/headrace-stack-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(url, sizeof url, "ipc:%s", directory);
    hr_stack_install(url);
    hr_place_note(0);
    return 0;
}

static int tear_down(void **state)
{
    char path[128];
    (void)state;
    signal(HR_STACK_SIGNAL, SIG_IGN);
    hr_stack_set_writer(NULL);
    hr_stack_install("memory:");
    snprintf(path, sizeof path, "%s/" HR_STACK_FIFO, directory, SLOT);
    unlink(path);
    return rmdir(directory);
}

static void assert_has(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("'%s' is not in:\n%s", words, text);
}

static void every_thread_answers_and_who_does_not_is_named(void **state)
{
    struct thread hears, deaf;
    char text[32768];
    (void)state;
    assert_true(hr_stack_is_installed());
    int fd = open_fifo();
    thread_start(&hears, false);
    thread_start(&deaf, true);
    hr_stack_set_writer(write_extra);
    for (int i = 0; i < 3; i++) { /* as often as one likes */
        ask(SLOT);
        read_answer(fd, text, sizeof text);
        assert_has(text, "(hears)\n    ");
        assert_has(text, "    thread_main at test_stack.c:");
        assert_has(text, "    every_thread_answers_and_who_does_not_is_named at test_stack.c:");
        assert_has(text, " does not answer: it blocks signals, or waits in the kernel\n");
        assert_has(text, "\n  interpreter: here\n" HR_STACK_END);
    }
    thread_end(&hears);
    thread_end(&deaf);
    close(fd);
}

static void a_question_whose_asker_has_gone_is_dropped(void **state)
{
    (void)state;
    ask(SLOT); /* there is no FIFO */
    close(open_fifo());
    ask(SLOT); /* nobody reads it */
}

static void a_memory_layer_has_no_place_for_answers(void **state)
{
    (void)state;
    hr_stack_install("memory:here");
    assert_false(hr_stack_is_installed());
}

int run_stack_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_thread_answers_and_who_does_not_is_named, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_question_whose_asker_has_gone_is_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_memory_layer_has_no_place_for_answers, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
