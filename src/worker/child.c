/* child.c - child processes: "a subprocess has ended".
 *
 * A child has up to three loop handles: the process, the pipe it reads from
 * and the pipe it writes to. `n_open` counts them; the last one to close
 * frees it. When the process ends, what it wrote before is read first, but
 * not waited for: a grandchild may hold the pipe open for as long as it likes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "worker/worker_impl.h"

enum {
    CHILD_PIECE = 64 << 10,
    CHILD_LAST_PIECES = 16, /* after its end: what a pipe of the largest size may hold */
};

struct child_pipe {
    struct hr_io io;
    struct child *child;
    int fd;
    bool is_open;
};

struct child {
    struct hr_list node; /* in worker->children */
    struct hr_child process;
    struct child_pipe input, output; /* our ends */
    struct hr_worker *worker;
    struct hr_ctx *ctx; /* kept; or NULL */
    struct hr_child_spec spec;
    struct hr_str left; /* of spec.input */
    unsigned n_open;
};

static void child_let_go(struct child *child)
{
    if (--child->n_open > 0)
        return;
    struct hr_worker *worker = child->worker;
    hr_free(child);
    hr_worker_let_go(worker);
}

/* ---- pipes */

static void pipe_on_closed(struct hr_io *io)
{
    child_let_go(hr_container_of(io, struct child_pipe, io)->child);
}

static void pipe_close(struct child_pipe *pipe)
{
    if (!pipe->is_open)
        return;
    pipe->is_open = false;
    hr_io_close(&pipe->io, pipe_on_closed);
    close(pipe->fd);
}

static int pipe_open(struct child *child, struct child_pipe *pipe, int fd, hr_io_fn fn)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return hr_raise(HR_ERR_SYS);
    pipe->child = child;
    pipe->fd = fd;
    int r = hr_io_open(child->worker->loop, &pipe->io, fd, fn);
    if (r < 0)
        return hr_trace(r);
    pipe->is_open = true;
    child->n_open++;
    return 0;
}

/* Everything is written, or nobody reads any more. */
static void child_on_writable(struct hr_io *io, unsigned events)
{
    (void)events;
    struct child_pipe *pipe = hr_container_of(io, struct child_pipe, io);
    struct hr_str *left = &pipe->child->left;
    ssize_t n = write(pipe->fd, left->ptr, left->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        left->ptr += n;
        left->len -= (size_t)n;
    }
    if (n < 0 || left->len == 0)
        pipe_close(pipe);
}

/* Returns what read(2) did. */
static ssize_t child_read(struct child *child)
{
    char piece[CHILD_PIECE];
    ssize_t n = read(child->output.fd, piece, sizeof(piece));
    if (n <= 0)
        return n;
    struct hr_hand hand = hr_hand_take(child->worker, child->ctx);
    child->spec.output(child->ctx, child->spec.arg, (struct hr_str){piece, (size_t)n});
    hr_hand_back(&hand);
    return n;
}

static void child_on_readable(struct hr_io *io, unsigned events)
{
    (void)events;
    struct child_pipe *pipe = hr_container_of(io, struct child_pipe, io);
    ssize_t n = child_read(pipe->child);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        pipe_close(pipe);
}

/* ---- its end */

static void child_on_closed(struct hr_child *process)
{
    child_let_go(hr_container_of(process, struct child, process));
}

static void child_close(struct child *child)
{
    hr_list_remove(&child->node);
    child->worker->n_children--;
    pipe_close(&child->input);
    pipe_close(&child->output);
    hr_child_close(&child->process, child_on_closed);
}

/* kill(0) and kill(-1) would reach others: a child that never started has no pid. */
static void child_kill(struct child *child, int signal)
{
    if (child->process.handle.pid > 0)
        (void)uv_kill(child->process.handle.pid, signal);
}

static void child_on_exit(struct hr_child *process, int exit_status, int term_signal)
{
    struct child *child = hr_container_of(process, struct child, process);
    for (int i = 0; child->output.is_open && i < CHILD_LAST_PIECES; i++)
        if (child_read(child) <= 0)
            break;

    struct hr_hand hand = hr_hand_take(child->worker, child->ctx);
    if (child->spec.exited)
        child->spec.exited(child->ctx, child->spec.arg, exit_status, term_signal);
    if (child->ctx)
        hr_ctx_release(child->ctx);
    hr_hand_back(&hand);
    child_close(child);
}

/* ---- its beginning */

struct child_fds {
    int input[2], output[2]; /* [0] is read, [1] is written */
};

static void fds_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A child that ends without having read its input is an EPIPE to us, not our own end. */
static void ignore_broken_pipes(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN);
}

static int fds_open(const struct hr_child_spec *spec, struct child_fds *fds)
{
    *fds = (struct child_fds){{-1, -1}, {-1, -1}};
    ignore_broken_pipes();
    if (spec->input.len > 0 && pipe2(fds->input, O_CLOEXEC) < 0)
        return hr_raise(HR_ERR_SYS);
    if (spec->output && pipe2(fds->output, O_CLOEXEC) < 0)
        return hr_raise(HR_ERR_SYS);
    return 0;
}

static int child_start(struct child *child, struct child_fds *fds)
{
    const struct hr_child_spec *spec = &child->spec;
    /* exec's own type lacks the const; nothing writes through these. */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = spec->argv}, env = {.in = spec->env};
    struct hr_child_options options = {
        .file = spec->file,
        .argv = argv.out,
        .env = env.out,
        .cwd = spec->cwd,
        .fds = {fds->input[0], spec->output ? fds->output[1] : STDOUT_FILENO, STDERR_FILENO},
        .n_fds = 3};
    int r = hr_child_spawn(child->worker->loop, &child->process, &options, child_on_exit);
    if (r < 0)
        return hr_trace(r);
    if (fds->input[1] >= 0) {
        r = pipe_open(child, &child->input, fds->input[1], child_on_writable);
        if (r < 0)
            return hr_trace(r);
        fds->input[1] = -1; /* the pipe's now */
        hr_io_want(&child->input.io, HR_IO_WRITE);
    }
    if (fds->output[0] >= 0) {
        r = pipe_open(child, &child->output, fds->output[0], child_on_readable);
        if (r < 0)
            return hr_trace(r);
        fds->output[0] = -1;
        hr_io_want(&child->output.io, HR_IO_READ);
    }
    return 0;
}

/* A process that started without its pipes is of no use to anybody. */
static int child_spawn(struct child *child)
{
    struct hr_worker *worker = child->worker;
    struct child_fds fds;
    int r = fds_open(&child->spec, &fds);
    if (r < 0) {
        hr_free(child);
    } else {
        worker->n_handles++;
        worker->n_children++;
        child->n_open = 1;
        hr_list_push_back(&worker->children, &child->node);
        r = child_start(child, &fds);
        if (r == 0 && child->ctx)
            hr_ctx_keep(child->ctx);
        if (r < 0) {
            child_kill(child, SIGKILL);
            child_close(child);
        }
    }
    fds_close(&fds.input[0]);
    fds_close(&fds.input[1]);
    fds_close(&fds.output[0]);
    fds_close(&fds.output[1]);
    return hr_trace(r);
}

int hr_worker_spawn(struct hr_worker *worker, struct hr_ctx *ctx, const struct hr_child_spec *spec)
{
    if (ctx && ctx->error)
        return ctx->error;
    int r;
    struct child *child = NULL;
    if (worker->n_children == HR_WORKER_CHILDREN_MAX)
        r = hr_raise(HR_ERR_FULL);
    else if (!(child = hr_calloc(1, sizeof(*child))))
        r = hr_raise(HR_ERR_NOMEM);
    else {
        child->worker = worker;
        child->ctx = ctx;
        child->spec = *spec;
        child->left = spec->input;
        r = child_spawn(child);
    }
    return ctx ? hr_ctx_note(ctx, r) : r;
}

/* The worker closes: nobody is left to take what they would say. */
void hr_children_close(struct hr_worker *worker)
{
    while (!hr_list_is_empty(&worker->children)) {
        struct child *child = hr_list_first(&worker->children, struct child, node);
        child_kill(child, SIGTERM);
        child_close(child);
    }
}
