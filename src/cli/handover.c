/* handover.c - see handover.h for the contract.
 *
 * One message with all descriptors; its text has a line for each:
 *
 *     server.1=http://127.0.0.1:8000
 *     server.2=http://127.0.0.1:8000
 *     admin=http://127.0.0.1:9091
 *
 * Names of unix sockets have 107 bytes, paths of directories may have more: so
 * they are named by /proc/self/fd and the directory's descriptor.
 *
 * The alternative is pidfd_getfd(2), for which servers would need nothing. But
 * it asks for the right to trace them, which Yama and the seccomp filters of
 * containers refuse where it matters most.
 */
#include "cli/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    TEXT_MAX = 128 << 10, /* of all lines */
    ANSWER_S = 2,         /* for a server to answer; one that is stopped never does */
};

static const struct hr_str admin_label = {"admin", 5};

static bool make_address(int directory_fd, const char *file, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n =
        snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", directory_fd, file);
    return n > 0 && (size_t)n < sizeof out->sun_path;
}

/* ---- giving ------------------------------------------------------------------------------------
 */

void hr_handover_add(struct hr_handover *handover, struct hr_str label, const char *name, int fd)
{
    if (handover->n == HR_HANDOVER_MAX)
        return;
    hr_str_copy(handover->items[handover->n].label, HR_LABEL_SIZE, label);
    handover->items[handover->n].name = name;
    handover->items[handover->n++].fd = fd;
}

/* Room for descriptors, aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(HR_HANDOVER_MAX * sizeof(int))];
};

/* Whoever does not get them sees the end of the connection, and asks another. */
static void send_all(const struct hr_handover *handover, int fd)
{
    char *text = hr_alloc(TEXT_MAX);
    if (!text)
        return;
    union control control = {0};
    struct iovec iov = {.iov_base = text};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    int *fds = (int *)CMSG_DATA(&control.header);
    for (uint32_t i = 0; i < handover->n; i++) {
        int n = snprintf(text + iov.iov_len, TEXT_MAX - iov.iov_len, "%s=%s\n",
                         handover->items[i].label, handover->items[i].name);
        hr_assert(n > 0 && (size_t)n < TEXT_MAX - iov.iov_len);
        iov.iov_len += (size_t)n;
        fds[i] = handover->items[i].fd;
    }
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(handover->n * sizeof(int)),
                                      .cmsg_level = SOL_SOCKET,
                                      .cmsg_type = SCM_RIGHTS};
    msg.msg_controllen = CMSG_SPACE(handover->n * sizeof(int));
    sendmsg(fd, &msg, MSG_NOSIGNAL);
    hr_free(text);
}

static void on_connect(struct hr_io *io, unsigned events)
{
    const struct hr_handover *handover = hr_container_of(io, struct hr_handover, io);
    (void)events;
    int fd = accept4(handover->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    send_all(handover, fd);
    close(fd);
}

int hr_handover_open(struct hr_handover *handover, struct hr_loop *loop, const char *directory,
                     const char *label)
{
    struct sockaddr_un address;
    snprintf(handover->file, sizeof handover->file, "%s.sockets", label);
    handover->fd = -1;
    handover->directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (handover->directory_fd < 0 ||
        !make_address(handover->directory_fd, handover->file, &address))
        return hr_raise(HR_ERR_SYS);
    unlinkat(handover->directory_fd, handover->file, 0); /* of one that was killed */
    handover->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (handover->fd < 0 || bind(handover->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(handover->fd, 4) < 0)
        return hr_raise(HR_ERR_SYS);
    int r = hr_io_open(loop, &handover->io, handover->fd, on_connect);
    if (r < 0)
        return hr_trace(r);
    handover->is_open = true;
    hr_io_want(&handover->io, HR_IO_READ);
    return 0;
}

void hr_handover_close(struct hr_handover *handover)
{
    if (handover->is_open) {
        hr_io_close(&handover->io, NULL);
        unlinkat(handover->directory_fd, handover->file, 0);
        close(handover->fd);
        close(handover->directory_fd);
    }
    handover->is_open = false;
}

/* ---- taking ------------------------------------------------------------------------------------
 */

static int connect_to(const char *directory, const char *label)
{
    char file[HR_LABEL_SIZE + sizeof ".sockets"];
    struct sockaddr_un address;
    struct timeval patience = {.tv_sec = ANSWER_S};
    snprintf(file, sizeof file, "%s.sockets", label);
    int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool is_connected = directory_fd >= 0 && fd >= 0 &&
                        make_address(directory_fd, file, &address) &&
                        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
                        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
                        connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int saved = errno;
    if (directory_fd >= 0)
        close(directory_fd);
    if (!is_connected && fd >= 0)
        close(fd);
    errno = saved;
    return is_connected ? fd : -1;
}

/* The text, and as many descriptors as *n says. */
static int receive(int fd, char *text, size_t *len, int fds[HR_HANDOVER_MAX], uint32_t *n)
{
    union control control;
    struct iovec iov = {.iov_base = text, .iov_len = TEXT_MAX};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    *n = 0;
    ssize_t got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return hr_raise(HR_ERR_SYS);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *n = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), *n * sizeof(int));
    }
    *len = (size_t)got;
    return *n > 0 && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? 0 : hr_raise(HR_ERR_MESSAGE);
}

static struct hr_socket *socket_of(struct hr_sockets *sockets, struct hr_str name, bool is_admin)
{
    for (uint32_t i = 0; i < sockets->n; i++)
        if (hr_str_eq(hr_str_of(sockets->items[i].name), name) &&
            sockets->items[i].is_admin == is_admin)
            return &sockets->items[i];
    struct hr_socket *socket = &sockets->items[sockets->n++];
    hr_str_copy(socket->name, sizeof socket->name, name);
    socket->is_admin = is_admin;
    return socket;
}

/* A unix socket is the site's to remove at its end, whichever supervisor has made it. */
static void own_path(struct hr_socket *socket)
{
    struct hr_str path = hr_str_of(socket->name), scheme = HR_LIT("unix:");
    struct stat st;
    if (!hr_str_starts(path, scheme))
        return;
    path = (struct hr_str){path.ptr + scheme.len, path.len - scheme.len};
    socket->bind.kind = HR_BIND_UNIX;
    socket->owns_path = hr_str_copy(socket->bind.path, sizeof socket->bind.path, path) &&
                        stat(socket->bind.path, &st) == 0 && S_ISSOCK(st.st_mode);
    if (socket->owns_path) {
        socket->dev = st.st_dev;
        socket->ino = st.st_ino;
    }
}

/* Puts a descriptor in the place of the server whose it is; where that is taken, in any. */
static void put(struct hr_socket *socket, struct hr_str label, int fd)
{
    struct hr_str rest = label, word;
    uint64_t number = 1;
    hr_assert(socket->n_fds > 0); /* one was counted for each that comes */
    while (hr_str_next(&rest, '.', &word))
        if (rest.len == 0 && !hr_str_u64(word, &number))
            number = 1;
    uint32_t at = number >= 1 && number <= socket->n_fds ? (uint32_t)number - 1 : 0;
    while (socket->fds[at] >= 0)
        at = (at + 1) % socket->n_fds;
    socket->fds[at] = fd;
}

/* Twice over the lines: how many there are of each, then which goes where. */
static int sort(struct hr_str text, const int *fds, uint32_t n, struct hr_sockets *out)
{
    struct hr_str rest = text, line, label;
    uint32_t n_lines = 0;
    for (; n_lines < n && hr_str_next(&rest, '\n', &line); n_lines++) {
        if (!hr_str_next(&line, '=', &label) || line.len == 0 || line.len >= HR_BIND_TEXT_MAX)
            return hr_raise(HR_ERR_MESSAGE);
        socket_of(out, line, hr_str_eq(label, admin_label))->n_fds++;
    }
    if (n_lines < n || rest.len > 0)
        return hr_raise(HR_ERR_MESSAGE);
    for (uint32_t i = 0; i < out->n; i++) {
        struct hr_socket *socket = &out->items[i];
        socket->fds = hr_alloc(socket->n_fds * sizeof *socket->fds);
        if (!socket->fds)
            return hr_raise(HR_ERR_NOMEM);
        for (uint32_t k = 0; k < socket->n_fds; k++)
            socket->fds[k] = -1;
        own_path(socket);
    }
    rest = text;
    for (uint32_t i = 0; hr_str_next(&rest, '\n', &line); i++)
        if (hr_str_next(&line, '=', &label))
            put(socket_of(out, line, hr_str_eq(label, admin_label)), label, fds[i]);
    return 0;
}

static int take_from(int fd, char *text, struct hr_sockets *out)
{
    int fds[HR_HANDOVER_MAX];
    uint32_t n;
    size_t len;
    int r = receive(fd, text, &len, fds, &n);
    if (r == 0) {
        out->items = hr_calloc(n, sizeof *out->items);
        r = out->items ? sort((struct hr_str){text, len}, fds, n, out) : hr_raise(HR_ERR_NOMEM);
    }
    for (uint32_t i = 0; r < 0 && i < n; i++)
        close(fds[i]);
    return hr_trace(r);
}

int hr_handover_take(const char *directory, const char *label, struct hr_sockets *out)
{
    *out = (struct hr_sockets){0};
    char *text = hr_alloc(TEXT_MAX);
    if (!text)
        return hr_raise(HR_ERR_NOMEM);
    int fd = connect_to(directory, label);
    int r = fd < 0 ? hr_raise(HR_ERR_SYS) : take_from(fd, text, out);
    if (fd >= 0)
        close(fd);
    hr_free(text);
    return hr_trace(r);
}
