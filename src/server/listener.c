/* listener.c - see listener.h for the contract.
 *
 * Options of a connection are set on its listening socket, which Linux hands
 * down: one system call a process instead of two a connection.
 *
 * The admin listener accepts above max_connections too: a full server must be
 * able to say that it is full.
 */
#include "server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "server/private.h"

enum {
    ACCEPTS_PER_TURN = 64, /* then those who are here have their turn */
    NO_FD_PAUSE_MS = 200,
};

static void listeners_want(struct hr_server *server, bool is_paused)
{
    struct hr_listeners *all = &server->listeners;
    if (all->is_paused == is_paused)
        return;
    all->is_paused = is_paused;
    for (uint32_t i = 0; i < all->n; i++)
        if (all->rows[i].is_open && !all->rows[i].is_admin && !all->rows[i].is_away)
            hr_io_want(&all->rows[i].io, is_paused ? 0u : (unsigned)HR_IO_READ);
}

void hr_server_adopt(struct hr_server *server, size_t listener, bool is_adopted)
{
    hr_assert(listener < server->config.n_listeners);
    struct hr_listener *row = &server->listeners.rows[listener];
    row->is_away = !is_adopted;
    if (row->is_open)
        hr_io_want(&row->io,
                   row->is_away || server->listeners.is_paused ? 0u : (unsigned)HR_IO_READ);
}

static bool is_at_limit(const struct hr_server *server)
{
    return server->n_http + server->n_websocket >= server->config.max_connections;
}

void hr_listeners_resume(struct hr_server *server)
{
    if (server->listeners.is_paused && !is_at_limit(server) &&
        !hr_timer_is_active(&server->listeners.retry))
        listeners_want(server, false);
}

static void on_retry(struct hr_timer *timer)
{
    struct hr_listeners *all = hr_container_of(timer, struct hr_listeners, retry);
    hr_listeners_resume(hr_container_of(all, struct hr_server, listeners));
}

/* No descriptor is left. The one in reserve takes the next client and closes on it, which is
 * better than to let it wait; then accepting pauses for a moment. */
static void out_of_fds(struct hr_listener *listener)
{
    struct hr_server *server = listener->server;
    struct hr_listeners *all = &server->listeners;
    if (hr_server_may_log(server))
        hr_log(HR_EV_REFUSED, "reason=limit what=%s", HR_LOG_Q(hr_str_of(strerror(errno))));
    if (all->reserve_fd >= 0) {
        close(all->reserve_fd);
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        all->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    listeners_want(server, true);
    hr_loop_start_timer(server->loop, &all->retry, NO_FD_PAUSE_MS * HR_MS, on_retry);
}

static bool accept_one(struct hr_listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            out_of_fds(listener);
        /* Some errors are one client's, who has left already: the next turn sees to the others. */
        return false;
    }
    struct hr_peer peer = hr_peer_of(&address);
    int r = hr_conn_open(listener->server, listener, fd, &peer);
    if (r < 0 && hr_server_may_log(listener->server))
        hr_log(HR_EV_REFUSED, "reason=limit what=%s", HR_LOG_Q(hr_str_of(hr_error_text(r))));
    return r == 0;
}

static void on_readable(struct hr_io *io, unsigned events)
{
    struct hr_listener *listener = hr_container_of(io, struct hr_listener, io);
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (!listener->is_admin && is_at_limit(listener->server)) {
            listeners_want(listener->server, true);
            break;
        }
        if (!accept_one(listener))
            break;
    }
}

static void read_local(struct hr_listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) < 0)
        return;
    listener->local = hr_peer_of(&address);
    static const uint8_t any[16];
    listener->is_wildcard =
        listener->local.family != 0 && memcmp(listener->local.ip, any, sizeof any) == 0;
}

static void set_options(const struct hr_listener *listener)
{
    int on = 1, flags = fcntl(listener->fd, F_GETFL);
    if (flags >= 0)
        fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK);
    if (listener->local.family == 0)
        return;
    setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(listener->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static int listener_open(struct hr_server *server, struct hr_listener *listener,
                         const struct hr_listener_config *config, bool is_admin)
{
    listener->server = server;
    listener->fd = config->fd;
    listener->is_admin = is_admin;
    read_local(listener);
    set_options(listener);
    int r = hr_io_open(server->loop, &listener->io, listener->fd, on_readable);
    if (r < 0)
        return hr_trace(r);
    listener->is_open = true;
    listener->is_away = config->is_siblings;
    hr_server_ref(server);
    hr_io_want(&listener->io, listener->is_away ? 0u : (unsigned)HR_IO_READ);
    return 0;
}

int hr_listeners_open(struct hr_server *server)
{
    const struct hr_server_config *config = &server->config;
    struct hr_listeners *all = &server->listeners;
    uint32_t n = (uint32_t)config->n_listeners + (config->admin != NULL);
    all->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    all->rows = hr_calloc(n ? n : 1, sizeof *all->rows);
    if (!all->rows)
        return hr_raise(HR_ERR_NOMEM);
    for (; all->n < n; all->n++) {
        bool is_admin = all->n == config->n_listeners;
        const struct hr_listener_config *row =
            is_admin ? config->admin : &config->listeners[all->n];
        int r = listener_open(server, &all->rows[all->n], row, is_admin);
        if (r < 0)
            return hr_trace(r);
    }
    return 0;
}

static void on_closed(struct hr_io *io)
{
    hr_server_unref(hr_container_of(io, struct hr_listener, io)->server);
}

void hr_listeners_close(struct hr_server *server)
{
    struct hr_listeners *all = &server->listeners;
    hr_loop_stop_timer(server->loop, &all->retry);
    if (all->reserve_fd >= 0)
        close(all->reserve_fd);
    all->reserve_fd = -1;
    for (uint32_t i = 0; i < all->n; i++) {
        if (all->rows[i].is_open)
            hr_io_close(&all->rows[i].io, on_closed);
        all->rows[i].is_open = false;
    }
}

void hr_listeners_free(struct hr_server *server)
{
    server->listeners.rows = hr_free(server->listeners.rows);
    server->listeners.n = 0;
}
