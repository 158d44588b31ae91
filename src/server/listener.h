/* listener.h - the sockets that clients knock at.
 *
 * They are inherited, listening already, and stay their owner's. Accepting is
 * bounded per turn, pauses at max_connections, and survives having no file
 * descriptor left.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_LISTENER_H
#define HR_SERVER_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "server/connection.h"

struct hr_server;

struct hr_listener {
    struct hr_io io;
    struct hr_server *server;
    int fd;
    bool is_admin;
    bool is_open;     /* io is */
    bool is_away;     /* a sibling's, who is there: it accepts */
    bool is_wildcard; /* bound to every address: a connection knows better where it came in */
    struct hr_peer local;
};

struct hr_listeners {
    struct hr_listener *rows;
    uint32_t n;
    int reserve_fd; /* given up for a moment when there is no other; -1: none */
    bool is_paused;
    struct hr_timer retry;
};

static inline bool hr_listener_is_admin(const struct hr_listener *listener)
{
    return listener->is_admin;
}

/* Begins to listen on all that the server's config names. Returns 0,
 * HR_ERR_NOMEM or HR_ERR_SYS; close after either. */
HR_MUST_CHECK int hr_listeners_open(struct hr_server *server);
/* Stops accepting; idempotent. The memory of the rows must stay until the loop let go. */
void hr_listeners_close(struct hr_server *server);
void hr_listeners_free(struct hr_server *server);

/* A connection has closed: there may be room again. */
void hr_listeners_resume(struct hr_server *server);

#endif /* HR_SERVER_LISTENER_H */
