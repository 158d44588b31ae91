/* sockets.h - the sockets that a site listens on.
 *
 * A TCP address gets one SO_REUSEPORT socket for each interface server, so
 * that the kernel spreads connections over them; a unix socket or an inherited
 * one is shared by all. The supervisor opens them once and keeps them: an
 * interface server that dies loses its connections, but none that still waits
 * to be accepted.
 *
 * Threads: none. Memory: hr_sockets_close() frees and closes.
 */
#ifndef HR_CLI_SOCKETS_H
#define HR_CLI_SOCKETS_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/bind.h"
#include "cli/settings.h"

struct hr_socket {
    struct hr_bind bind; /* with the port it has, should 0 have been asked for */
    char name[HR_BIND_TEXT_MAX];
    bool is_admin;
    bool owns_path; /* a unix socket of our making: removed at the end, if still ours */
    dev_t dev;
    ino_t ino;
    int *fds; /* one for each interface server, or all the same */
    uint32_t n_fds;
};

struct hr_sockets {
    struct hr_socket *items; /* owned */
    uint32_t n;
};

/* Opens every address of [server], for its number of processes. Returns 0, or
 * the exit code 5 with the reason in `why`; *out is to be closed either way. */
HR_MUST_CHECK int hr_sockets_open(const struct hr_settings_server *server, struct hr_sockets *out,
                                  char *why, size_t size);
void hr_sockets_close(struct hr_sockets *listeners);

#endif /* HR_CLI_SOCKETS_H */
