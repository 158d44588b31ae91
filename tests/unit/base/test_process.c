/* test_process.c - base/process.h. The title is set in children, which have this program's argv. */
#include "test_base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "base/time.h"

/* A child that runs `body` and then waits to be killed. Returns when `body` is done. */
static pid_t start_child(void (*body)(void))
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        if (write(fds[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    char byte;
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1); /* 0: `body` has crashed */
    close(fds[0]);
    return pid;
}

static void end_child(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static size_t read_proc(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, size - 1);
    assert_true(n >= 0);
    close(fd);
    out[n] = '\0';
    return (size_t)n;
}

static void nothing(void)
{
}

static void set_title(void)
{
    hr_process_init(test_argc, test_argv);
    hr_process_set_title("headrace: something longer to begin with");
    hr_process_set_title("headrace: worker %s", "site web.3");
}

static void the_title_shows_in_the_command_line_and_the_name(void **state)
{
    (void)state;
    pid_t pid = start_child(set_title);
    char text[4096];
    size_t n = read_proc(pid, "cmdline", text, sizeof text);
    assert_string_equal(text, "headrace: worker site web.3");
    for (size_t i = strlen(text); i < n; i++)
        assert_int_equal(text[i], 0); /* nothing of the arguments is left */
    read_proc(pid, "comm", text, sizeof text);
    assert_string_equal(text, "headrace: worke\n");
    end_child(pid);
}

static char arguments_before[8][256];
static char path_before[4096];

static void check_after_title(void)
{
    for (int i = 0; i < test_argc && i < 8; i++)
        snprintf(arguments_before[i], sizeof arguments_before[i], "%s", test_argv[i]);
    snprintf(path_before, sizeof path_before, "%s", getenv("PATH"));
    hr_process_init(test_argc, test_argv);
    hr_process_set_title("%0200d", 0);
    for (int i = 0; i < test_argc && i < 8; i++)
        if (strcmp(test_argv[i], arguments_before[i]) != 0)
            abort();
    if (strcmp(getenv("PATH"), path_before) != 0 || setenv("MILL", "wheel", 1) != 0 ||
        strcmp(getenv("MILL"), "wheel") != 0)
        abort();
    const char *name = strrchr(arguments_before[0], '/');
    if (strcmp(program_invocation_short_name, name ? name + 1 : arguments_before[0]) != 0)
        abort();
}

static void arguments_and_environment_survive_the_title(void **state)
{
    (void)state;
    end_child(start_child(check_after_title));
}

static void a_title_longer_than_the_arguments_shows_whole(void **state)
{
    (void)state;
    pid_t pid = start_child(check_after_title);
    char text[4096];
    read_proc(pid, "cmdline", text, sizeof text);
    assert_int_equal(strlen(text), 200);
    end_child(pid);
}

static void set_only_name(void)
{
    hr_process_set_title("mill");
}

static void without_init_only_the_name_is_set(void **state)
{
    (void)state;
    pid_t pid = start_child(set_only_name);
    char text[64];
    read_proc(pid, "comm", text, sizeof text);
    assert_string_equal(text, "mill\n");
    end_child(pid);
}

static void set_hostile_name(void)
{
    prctl(PR_SET_NAME, ") S 1 1 (:");
}

static void the_start_time_survives_parentheses_in_the_name(void **state)
{
    (void)state;
    pid_t plain = start_child(nothing), hostile = start_child(set_hostile_name);
    uint64_t first = hr_process_start_time(plain), second = hr_process_start_time(hostile);
    end_child(plain);
    end_child(hostile);
    struct timespec up;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &up), 0);
    uint64_t now = (uint64_t)(up.tv_sec * sysconf(_SC_CLK_TCK));
    assert_true(first > 0);
    assert_true(second >= first);
    assert_true(second <= now + 200);
    assert_true(now <= second + 6000); /* this very minute */
}

static void the_start_time_of_the_dead_is_zero(void **state)
{
    (void)state;
    pid_t pid = start_child(nothing);
    assert_true(hr_process_start_time(pid) > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(hr_process_start_time(pid) == 0); /* a zombie */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(hr_process_start_time(pid) == 0);
    assert_true(hr_process_start_time(0) == 0);
    assert_true(hr_process_start_time(-1) == 0);
    assert_true(hr_process_start_time(getpid()) == hr_process_start_time(getpid()));
}

static void the_pid_namespace_is_the_same_in_a_child(void **state)
{
    (void)state;
    assert_true(hr_process_pid_namespace() > 0);
    struct stat info;
    assert_int_equal(stat("/proc/self/ns/pid", &info), 0);
    assert_true(hr_process_pid_namespace() == info.st_ino);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void a_pidfd_kills_and_tells_of_the_end(void **state)
{
    (void)state;
    pid_t pid = start_child(nothing);
    int pidfd = hr_process_pidfd(pid);
    assert_true(pidfd >= 0);
    assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
    assert_false(is_readable(pidfd, 0));
    assert_int_equal(hr_process_pidfd_kill(pidfd, 0), 0);
    assert_int_equal(hr_process_pidfd_kill(pidfd, SIGKILL), 0);
    assert_true(is_readable(pidfd, -1));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(hr_process_pidfd_kill(pidfd, SIGKILL), -1);
    assert_int_equal(errno, ESRCH);
    close(pidfd);
    assert_int_equal(hr_process_pidfd(pid), -1);
    assert_int_equal(errno, ESRCH);
}

int test_process(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_title_shows_in_the_command_line_and_the_name),
        cmocka_unit_test(arguments_and_environment_survive_the_title),
        cmocka_unit_test(a_title_longer_than_the_arguments_shows_whole),
        cmocka_unit_test(without_init_only_the_name_is_set),
        cmocka_unit_test(the_start_time_survives_parentheses_in_the_name),
        cmocka_unit_test(the_start_time_of_the_dead_is_zero),
        cmocka_unit_test(the_pid_namespace_is_the_same_in_a_child),
        cmocka_unit_test(a_pidfd_kills_and_tells_of_the_end),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
