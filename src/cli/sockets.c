/* sockets.c - see sockets.h for the contract.
 *
 * SO_REUSEPORT has a price: two programs of one user that both set it can
 * listen on the same port, and each gets half of the other's connections
 * without a word. So a first socket without it is bound, to ask whether the
 * port is free, and closed again.
 *
 * A unix socket is bound under a name of its own and renamed into place, so
 * that clients see the old socket or the new one and never none. What is there
 * is replaced only if it is a socket that nobody answers.
 */
#include "cli/sockets.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/exit.h"
#include "cli/portowner.h"

enum { SOCKET_FLAGS = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC };

/* What one opening needs to know. */
struct opening {
    const struct hr_settings_server *server;
    struct hr_socket *listener;
    char *why;
    size_t size;
};

static int fail(const struct opening *opening, const char *text)
{
    snprintf(opening->why, opening->size, "cannot listen on %s: %s.", opening->listener->name,
             text);
    return HR_EXIT_BIND;
}

static int fail_errno(const struct opening *opening)
{
    return fail(opening, strerror(errno));
}

/* ---- TCP */

static int fail_taken(const struct opening *opening)
{
    char owner[128];
    const struct hr_bind *bind = &opening->listener->bind;
    int n = snprintf(opening->why, opening->size, "cannot listen on %s: the port is taken",
                     opening->listener->name);
    if (hr_port_owner(bind->port, owner, sizeof owner))
        n += snprintf(opening->why + n, opening->size - (size_t)n, ", by %s", owner);
    snprintf(opening->why + n, opening->size - (size_t)n,
             ".\n  Choose another: --port %u, or stop that process.",
             bind->port < 65535 ? bind->port + 1u : 8000u);
    return HR_EXIT_BIND;
}

static int fail_bind(const struct opening *opening)
{
    if (errno == EADDRINUSE)
        return fail_taken(opening);
    if (errno == EACCES) {
        return fail(opening, "ports below 1024 are root's.\n  Choose another, or let the service "
                             "manager pass the socket (LISTEN_FDS)");
    }
    if (errno == EADDRNOTAVAIL)
        return fail(opening, "this host has no such address");
    return fail_errno(opening);
}

static int bound_socket(const struct addrinfo *address, bool is_shared)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCKET_FLAGS, 0);
    if (fd < 0)
        return -1;
    bool is_ready = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                    (!is_shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
                    (address->ai_family != AF_INET6 ||
                     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof on) == 0) &&
                    bind(fd, address->ai_addr, address->ai_addrlen) == 0;
    if (is_ready)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* Port 0 asks for any: the sockets that follow take the one that was given. */
static int note_port(int fd, struct addrinfo *address, struct hr_socket *listener)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {0};
    socklen_t len = sizeof bound;
    if (getsockname(fd, &bound.any, &len) < 0)
        return -1;
    memcpy(address->ai_addr, &bound, address->ai_addrlen);
    listener->bind.port =
        ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    hr_bind_format(&listener->bind, listener->name);
    return 0;
}

/* Is the port free? Finds out which port, too. Leaves nothing open. */
static int probe(const struct opening *opening, struct addrinfo *address)
{
    int fd = bound_socket(address, false);
    if (fd < 0)
        return fail_bind(opening);
    int r = note_port(fd, address, opening->listener);
    int saved = errno;
    close(fd);
    errno = saved;
    return r < 0 ? fail_errno(opening) : 0;
}

static int open_shared(const struct opening *opening, const struct addrinfo *address)
{
    struct hr_socket *listener = opening->listener;
    for (uint32_t i = 0; i < listener->n_fds; i++) {
        listener->fds[i] = bound_socket(address, true);
        if (listener->fds[i] < 0)
            return fail_bind(opening);
        if (listen(listener->fds[i], (int)opening->server->backlog) < 0)
            return fail_bind(opening);
    }
    return 0;
}

static int open_tcp(const struct opening *opening)
{
    const struct hr_bind *bind = &opening->listener->bind;
    char port[8];
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};

    snprintf(port, sizeof port, "%u", (unsigned)bind->port);
    if (!bind->host[0] && access("/proc/net/if_inet6", F_OK) < 0)
        hints.ai_family = AF_INET; /* "::" would fail, and 0.0.0.0 is every interface there is */
    else if (!bind->host[0])
        hints.ai_family = AF_INET6; /* and IPv4 with it, see IPV6_V6ONLY */
    int e = getaddrinfo(bind->host[0] ? bind->host : NULL, port, &hints, &found);
    if (e != 0)
        return fail(opening, e == EAI_SYSTEM ? strerror(errno) : gai_strerror(e));
    int r = probe(opening, found);
    if (r == 0)
        r = open_shared(opening, found);
    freeaddrinfo(found);
    return r;
}

/* ---- unix */

/* Is somebody listening there? */
static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return true; /* better not to replace what we cannot look at */
    bool answered = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
                    (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return answered;
}

static int check_path(const struct opening *opening, const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : fail_errno(opening);
    if (!S_ISSOCK(st.st_mode))
        return fail(opening, "something is there that is no socket");
    if (is_answered(address))
        return fail(opening, "another process listens on it");
    return 0;
}

static int bind_and_rename(const struct opening *opening, int fd, const struct sockaddr_un *address)
{
    struct sockaddr_un fresh = {.sun_family = AF_UNIX};
    struct stat st;
    int n = snprintf(fresh.sun_path, sizeof fresh.sun_path, "%s.%ld", address->sun_path,
                     (long)getpid());
    if (n < 0 || (size_t)n >= sizeof fresh.sun_path)
        return fail(opening, "the path is too long to be replaced safely; take ten bytes off");
    if (bind(fd, (struct sockaddr *)&fresh, sizeof fresh) < 0)
        return fail_errno(opening);
    if (listen(fd, (int)opening->server->backlog) < 0 || stat(fresh.sun_path, &st) < 0 ||
        rename(fresh.sun_path, address->sun_path) < 0) {
        int r = fail_errno(opening);
        unlink(fresh.sun_path);
        return r;
    }
    opening->listener->owns_path = true;
    opening->listener->dev = st.st_dev;
    opening->listener->ino = st.st_ino;
    return 0;
}

static int open_unix(const struct opening *opening)
{
    struct hr_socket *listener = opening->listener;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _Static_assert(sizeof address.sun_path == sizeof listener->bind.path, "bind.h has its size");
    memcpy(address.sun_path, listener->bind.path, sizeof address.sun_path);

    int r = check_path(opening, &address);
    if (r != 0)
        return r;
    int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return fail_errno(opening);
    listener->fds[0] = fd;
    return bind_and_rename(opening, fd, &address);
}

/* ---- inherited */

static int open_fd(const struct opening *opening)
{
    struct hr_socket *listener = opening->listener;
    int is_listening = 0;
    socklen_t len = sizeof is_listening;
    if (getsockopt(listener->bind.fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) < 0)
        return fail(opening, errno == EBADF ? "no such descriptor was inherited" : strerror(errno));
    if (!is_listening)
        return fail(opening, "the descriptor is no listening socket");
    listener->fds[0] = listener->bind.fd;
    return 0;
}

/* ---- all */

static int open_one(const struct opening *opening)
{
    struct hr_socket *listener = opening->listener;
    bool is_spread = listener->bind.kind == HR_BIND_TCP && !listener->is_admin;
    listener->n_fds = is_spread ? opening->server->processes : 1;
    listener->fds = hr_alloc(listener->n_fds * sizeof *listener->fds);
    if (!listener->fds)
        return fail(opening, "out of memory");
    for (uint32_t i = 0; i < listener->n_fds; i++)
        listener->fds[i] = -1;

    switch (listener->bind.kind) {
    case HR_BIND_TCP:
        return open_tcp(opening);
    case HR_BIND_UNIX:
        return open_unix(opening);
    case HR_BIND_FD:
        return open_fd(opening);
    }
    HR_UNREACHABLE("every kind is listed above");
}

int hr_sockets_open(const struct hr_settings_server *server, struct hr_sockets *out, char *why,
                    size_t size)
{
    uint32_t n = server->bind.n + (server->admin[0] ? 1 : 0);
    *out = (struct hr_sockets){.items = hr_calloc(n ? n : 1, sizeof *out->items)};
    if (!out->items) {
        snprintf(why, size, "out of memory");
        return HR_EXIT_BIND;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct hr_socket *listener = &out->items[out->n++];
        struct opening opening = {server, listener, why, size};
        struct hr_diag diag;
        listener->is_admin = i == server->bind.n;
        const char *text = listener->is_admin ? server->admin : server->bind.item[i];
        uint16_t port = listener->is_admin ? 9091 : (uint16_t)server->port;
        int r = hr_bind_parse(hr_str_of(text), port, &listener->bind, &diag);
        hr_assert(r == 0); /* hr_settings_finish() has read it before */
        hr_bind_format(&listener->bind, listener->name);
        r = open_one(&opening);
        if (r != 0)
            return r;
    }
    return 0;
}

static void listener_close(struct hr_socket *listener)
{
    struct stat st;
    if (listener->owns_path && stat(listener->bind.path, &st) == 0 && st.st_dev == listener->dev &&
        st.st_ino == listener->ino)
        unlink(listener->bind.path);
    for (uint32_t i = 0; listener->fds && i < listener->n_fds; i++)
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
    listener->fds = hr_free(listener->fds);
}

void hr_sockets_close(struct hr_sockets *listeners)
{
    for (uint32_t i = 0; i < listeners->n; i++)
        listener_close(&listeners->items[i]);
    listeners->items = hr_free(listeners->items);
    listeners->n = 0;
}
