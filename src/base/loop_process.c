/* loop_process.c - the parts of loop.h that touch signals, threads and other processes. */
#include "base/loop.h"

#include "base/assert.h"

/* ---- signals */

static void signal_on_signal(uv_signal_t *handle, int number)
{
    struct hr_signal *signal = hr_container_of(handle, struct hr_signal, handle);
    signal->fn(signal, number);
}

int hr_signal_open(struct hr_loop *loop, struct hr_signal *signal, int number, hr_signal_fn fn)
{
    *signal = (struct hr_signal){.fn = fn};
    int r = uv_signal_init(hr_loop_uv(loop), &signal->handle);
    if (r < 0)
        return hr_trace(hr_loop_error(r));
    r = uv_signal_start(&signal->handle, signal_on_signal, number);
    if (r < 0) {
        hr_signal_close(signal);
        return hr_trace(hr_loop_error(r));
    }
    return 0;
}

void hr_signal_close(struct hr_signal *signal)
{
    uv_close((uv_handle_t *)&signal->handle, NULL);
}

/* ---- waking */

static void wake_on_async(uv_async_t *handle)
{
    struct hr_wake *wake = hr_container_of(handle, struct hr_wake, handle);
    wake->fn(wake);
}

int hr_wake_open(struct hr_loop *loop, struct hr_wake *wake, hr_wake_fn fn)
{
    *wake = (struct hr_wake){.fn = fn};
    int r = uv_async_init(hr_loop_uv(loop), &wake->handle, wake_on_async);
    return r < 0 ? hr_trace(hr_loop_error(r)) : 0;
}

void hr_wake_send(struct hr_wake *wake)
{
    int r = uv_async_send(&wake->handle);
    hr_assert(r == 0);
}

static void wake_on_closed(uv_handle_t *handle)
{
    struct hr_wake *wake = hr_container_of((uv_async_t *)handle, struct hr_wake, handle);
    if (wake->closed)
        wake->closed(wake);
}

void hr_wake_close(struct hr_wake *wake, hr_wake_fn closed)
{
    wake->closed = closed;
    uv_close((uv_handle_t *)&wake->handle, wake_on_closed);
}

/* ---- the thread pool */

static void work_on_run(uv_work_t *request)
{
    struct hr_work *work = hr_container_of(request, struct hr_work, request);
    work->run(work);
}

static void work_on_done(uv_work_t *request, int status)
{
    struct hr_work *work = hr_container_of(request, struct hr_work, request);
    work->is_cancelled = status == UV_ECANCELED;
    work->done(work);
}

int hr_loop_queue(struct hr_loop *loop, struct hr_work *work, hr_work_fn run, hr_work_fn done)
{
    hr_assert(run && done);
    *work = (struct hr_work){.run = run, .done = done};
    int r = uv_queue_work(hr_loop_uv(loop), &work->request, work_on_run, work_on_done);
    return r < 0 ? hr_trace(hr_loop_error(r)) : 0;
}

bool hr_work_cancel(struct hr_work *work)
{
    return uv_cancel((uv_req_t *)&work->request) == 0;
}

/* ---- child processes */

static void child_on_exit(uv_process_t *handle, int64_t exit_status, int term_signal)
{
    struct hr_child *child = hr_container_of(handle, struct hr_child, handle);
    child->exited(child, (int)exit_status, term_signal);
}

int hr_child_spawn(struct hr_loop *loop, struct hr_child *child,
                   const struct hr_child_options *options, hr_child_fn exited)
{
    enum { MAX_FDS = sizeof options->fds / sizeof options->fds[0] };
    hr_assert(options->n_fds >= 0 && options->n_fds <= MAX_FDS);
    uv_stdio_container_t stdio[MAX_FDS] = {0};
    for (int i = 0; i < options->n_fds; i++) {
        stdio[i].flags = options->fds[i] >= 0 ? UV_INHERIT_FD : UV_IGNORE;
        stdio[i].data.fd = options->fds[i];
    }

    /* libuv's struct lacks the const; it does not write through these. */
    union {
        char *const *in;
        char **out;
    } argv = {.in = options->argv}, env = {.in = options->env};
    uv_process_options_t uv_options = {
        .exit_cb = child_on_exit,
        .file = options->file,
        .args = argv.out,
        .env = env.out,
        .cwd = options->cwd,
        .stdio_count = options->n_fds,
        .stdio = stdio,
    };
    *child = (struct hr_child){.exited = exited};
    int r = uv_spawn(hr_loop_uv(loop), &child->handle, &uv_options);
    return r < 0 ? hr_trace(hr_loop_error(r)) : 0;
}

static void child_on_closed(uv_handle_t *handle)
{
    struct hr_child *child = hr_container_of((uv_process_t *)handle, struct hr_child, handle);
    if (child->closed)
        child->closed(child);
}

void hr_child_close(struct hr_child *child, void (*closed)(struct hr_child *child))
{
    child->closed = closed;
    uv_close((uv_handle_t *)&child->handle, child_on_closed);
}
