/* process.c - see process.h for the contract.
 *
 * The kernel shows as a process's command line the memory where it once put
 * the arguments, and when the byte that ended them is no longer NUL, the
 * environment's memory that follows as well. hr_process_init() copies both
 * away, so that the title may use all of it.
 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

static struct {
    char *text; /* argv's and environ's first memory; NULL: there is none to use */
    size_t size;
    char **moved; /* where their strings live now, for as long as the process */
} title;

static size_t strings_count(char *const *strings)
{
    size_t n = 0;
    while (strings[n])
        n++;
    return n;
}

/* Bytes of all the strings, with their NULs. */
static size_t strings_size(char *const *strings)
{
    size_t size = 0;
    for (; *strings; strings++)
        size += strlen(*strings) + 1;
    return size;
}

/* Copies strings into *text, which moves on, and points `to` at the copies. */
static void strings_copy(char **to, char *const *from, char **text)
{
    for (; *from; from++, to++) {
        size_t size = strlen(*from) + 1;
        memcpy(*text, *from, size);
        *to = *text;
        *text += size;
    }
    *to = NULL;
}

/* The end of the strings that lie one after the other from `end` on. */
static char *strings_end(char *end, char *const *strings)
{
    for (; *strings && *strings == end; strings++)
        end += strlen(*strings) + 1;
    return end;
}

void hr_process_init(int argc, char **argv)
{
    if (title.text || argc < 1 || !environ)
        return;
    size_t n_args = strings_count(argv), n_env = strings_count(environ);
    size_t n_pointers = n_args + n_env + 2;

    /* One block, pointers first. Without it there is no title, and nothing else is lost. */
    char **moved =
        hr_alloc(n_pointers * sizeof *moved + strings_size(argv) + strings_size(environ));
    if (!moved)
        return;
    char *end = strings_end(strings_end(argv[0], argv), environ);
    title.text = argv[0];
    title.size = (size_t)(end - argv[0]);
    title.moved = moved;

    char *text = (char *)(moved + n_pointers);
    strings_copy(moved, argv, &text);
    strings_copy(moved + n_args + 1, environ, &text);
    memcpy(argv, moved, n_args * sizeof *moved);
    environ = moved + n_args + 1;

    /* glibc's names pointed into argv as well. */
    program_invocation_name = argv[0];
    char *slash = strrchr(argv[0], '/');
    program_invocation_short_name = slash ? slash + 1 : argv[0];
}

void hr_process_set_title(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hr_assert(n >= 0);

    prctl(PR_SET_NAME, text); /* takes the first 15 bytes */
    if (!title.text)
        return;
    size_t len = strlen(text);
    if (len > title.size - 1)
        len = title.size - 1;
    memcpy(title.text, text, len);
    memset(title.text + len, 0, title.size - len);
}

/* Reads /proc/<pid>/stat; false when there is no such process. */
static bool process_read_stat(pid_t pid, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    do
        n = read(fd, out, size - 1);
    while (n < 0 && errno == EINTR);
    close(fd);
    if (n <= 0)
        return false; /* ESRCH: it went between open and read */
    out[n] = '\0';
    return true;
}

uint64_t hr_process_start_time(pid_t pid)
{
    enum { STATE = 3, START_TIME = 22 }; /* proc(5) numbers the fields from 1 */
    char stat[1024];
    if (pid <= 0 || !process_read_stat(pid, stat, sizeof stat))
        return 0;

    /* Field 2 is the name in parentheses, and may hold both ')' and spaces. */
    char *at = strrchr(stat, ')');
    if (!at || at[1] != ' ')
        return 0;
    at += 2;
    if (*at == 'Z' || *at == 'X')
        return 0;
    for (int field = STATE; field < START_TIME; field++) {
        at = strchr(at, ' ');
        if (!at)
            return 0;
        at++;
    }
    return strtoull(at, NULL, 10);
}

uint64_t hr_process_pid_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

int hr_process_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int hr_process_pidfd_kill(int pidfd, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int hr_process_pidfd_queue(int pidfd, int signal, int value)
{
    siginfo_t info = {.si_signo = signal, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, &info, 0);
}
