/* capture.c - see capture.h for the contract. */
#include "cli/capture.h"

#include <errno.h>
#include <unistd.h>

#include "base/assert.h"

static void give_line(struct hr_capture *capture, size_t len)
{
    if (len > 0)
        capture->fn(capture, (struct hr_str){capture->line, len});
}

static void give_lines(struct hr_capture *capture)
{
    size_t start = 0;
    const char *end;
    while ((end = memchr(capture->line + start, '\n', capture->len - start))) {
        size_t len = (size_t)(end - capture->line) - start;
        if (len > 0)
            capture->fn(capture, (struct hr_str){capture->line + start, len});
        start += len + 1;
    }
    capture->len -= start;
    memmove(capture->line, capture->line + start, capture->len);
    if (capture->len == sizeof capture->line) {
        give_line(capture, capture->len);
        capture->len = 0;
    }
}

static void drain(struct hr_capture *capture)
{
    enum { MAX_READS = 64 }; /* a child that never stops writing gets its turn, and no more */
    for (int i = 0; i < MAX_READS && capture->is_open; i++) {
        ssize_t n =
            read(capture->fd, capture->line + capture->len, sizeof capture->line - capture->len);
        if (n > 0) {
            capture->len += (size_t)n;
            give_lines(capture);
            continue;
        }
        if (n == 0)
            hr_io_want(&capture->io, 0); /* its end is closed; the exit is still to come */
        if (n == 0 || errno != EINTR)
            return;
    }
}

static void on_readable(struct hr_io *io, unsigned events)
{
    (void)events;
    drain(hr_container_of(io, struct hr_capture, io));
}

int hr_capture_open(struct hr_loop *loop, struct hr_capture *capture, int fd,
                    void (*fn)(struct hr_capture *capture, struct hr_str line))
{
    *capture = (struct hr_capture){.fd = fd, .fn = fn};
    int r = hr_io_open(loop, &capture->io, fd, on_readable);
    if (r < 0)
        return hr_trace(r);
    capture->is_open = true;
    hr_io_want(&capture->io, HR_IO_READ);
    return 0;
}

void hr_capture_finish(struct hr_capture *capture)
{
    drain(capture);
    give_line(capture, capture->len);
    capture->len = 0;
}

static void on_closed(struct hr_io *io)
{
    struct hr_capture *capture = hr_container_of(io, struct hr_capture, io);
    capture->closed(capture);
}

void hr_capture_close(struct hr_capture *capture, void (*closed)(struct hr_capture *capture))
{
    hr_assert(capture->is_open);
    capture->is_open = false;
    capture->closed = closed;
    hr_io_close(&capture->io, on_closed);
    close(capture->fd);
    capture->fd = -1;
}
