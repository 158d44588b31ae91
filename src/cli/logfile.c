/* logfile.c - see logfile.h for the contract.
 *
 * The descriptor stays the same when the file is opened anew, so nobody who
 * holds it needs to know. open and dup2 may be called in a signal handler,
 * which spares every kind of process a hook in its loop.
 */
#include "cli/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"

enum { LOG_MODE = 0640, LOG_FLAGS = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC };

static struct {
    char path[4096];
    int fd;
} logfile = {.fd = -1};

void hr_logfile_reopen(void)
{
    int saved_errno = errno;
    int fd = logfile.path[0] ? open(logfile.path, LOG_FLAGS, LOG_MODE) : -1;
    if (fd >= 0) {
        dup3(fd, logfile.fd, O_CLOEXEC);
        close(fd);
    }
    errno = saved_errno;
}

static void on_signal(int number)
{
    (void)number;
    hr_logfile_reopen();
}

static int choose_fd(const struct hr_settings_headrace *site, int inherited_fd)
{
    if (inherited_fd >= 0)
        return fcntl(inherited_fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : inherited_fd;
    if (site->log_file[0])
        return open(site->log_file, LOG_FLAGS, LOG_MODE);
    return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

static enum hr_log_format format_of(const char *word)
{
    if (word[0] == 'a')
        return HR_LOG_AUTO;
    return word[0] == 't' ? HR_LOG_TEXT : HR_LOG_JSON;
}

static enum hr_log_level level_of(const char *word)
{
    switch (word[0]) {
    case 'd':
        return HR_LOG_DEBUG;
    case 'i':
        return HR_LOG_INFO;
    case 'w':
        return HR_LOG_WARNING;
    default:
        return HR_LOG_ERROR;
    }
}

int hr_logfile_open(const struct hr_settings_headrace *site, int inherited_fd)
{
    logfile.fd = choose_fd(site, inherited_fd);
    if (logfile.fd < 0)
        return -1;
    /* Without a file there is nothing to open anew, and the signal's default would kill. */
    bool has_file = site->log_file[0] != '\0';
    hr_str_copy(logfile.path, sizeof logfile.path, hr_str_of(site->log_file));
    struct sigaction action = {.sa_handler = has_file ? on_signal : SIG_IGN,
                               .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigset_t rotate; /* one that came while we were started has waited until now */
    sigemptyset(&rotate);
    sigaddset(&rotate, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &rotate, NULL);
    hr_log_init(logfile.fd, format_of(site->log_format), level_of(site->log_level));
    return logfile.fd;
}
