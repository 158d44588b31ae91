/* notify.c - see notify.h for the contract.
 *
 * Written out here because the protocol is stable and smaller than the library
 * that speaks it, whose dependencies would become ours.
 */
#include "cli/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

static struct {
    struct sockaddr_un address;
    socklen_t len; /* 0: nobody listens */
    hr_time watchdog;
} manager;

static void read_socket(const char *path)
{
    struct hr_str text = hr_str_of(path);
    if (text.len < 2 || text.len >= sizeof manager.address.sun_path ||
        (path[0] != '/' && path[0] != '@'))
        return;
    manager.address.sun_family = AF_UNIX;
    memcpy(manager.address.sun_path, path, text.len);
    if (path[0] == '@') /* abstract: unix(7) has a NUL there */
        manager.address.sun_path[0] = '\0';
    manager.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + text.len);
}

static void read_watchdog(void)
{
    uint64_t usec, pid;
    if (!hr_str_u64(hr_str_of(getenv("WATCHDOG_USEC")), &usec) || usec > INT64_MAX / 1000)
        return;
    if (hr_str_u64(hr_str_of(getenv("WATCHDOG_PID")), &pid) && pid != (uint64_t)getpid())
        return;
    manager.watchdog = (hr_time)usec * HR_US / 2;
}

void hr_notify_init(void)
{
    static const char *const ours[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                       "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};
    read_socket(getenv("NOTIFY_SOCKET"));
    read_watchdog();
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        unsetenv(ours[i]);
}

void hr_notify(const char *state)
{
    if (manager.len == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    /* Best effort: a manager that does not read must not stop us. */
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&manager.address,
                  manager.len);
    close(fd);
}

void hr_notify_reloading(void)
{
    char state[96];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, hr_time_now() / HR_US);
    hr_notify(state);
}

hr_time hr_notify_watchdog_interval(void)
{
    return manager.len ? manager.watchdog : 0;
}
