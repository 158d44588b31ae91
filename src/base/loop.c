/* loop.c - see loop.h for the contract.
 *
 * A turn of libuv's loop, as we use it:
 *
 *     prepare   hooks are asked, the one uv_timer is set to the earliest of
 *               the wheel's next tick and what the hooks bear
 *     poll      sleeps; callbacks of descriptors, children, wakes, signals
 *     check     the wheel runs, then the hooks' checks
 *     closing   callbacks of closes
 *
 * The uv_timer only ends the sleep; its callback does nothing. It is not set
 * anew while it is set to an earlier time than needed: the timers of busy
 * connections move on with each request, and one idle turn when the old time
 * comes is cheaper than a heap operation every turn.
 *
 * An active uv_idle makes libuv poll without sleeping. It is stopped in check
 * and not in prepare, because libuv decides about the sleep of a single turn
 * (UV_RUN_ONCE) before it calls prepare.
 */
#include "base/loop.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"

struct hr_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t no_sleep;
    uv_timer_t alarm;
    hr_time alarm_at; /* HR_NEVER: not set */
    struct hr_wheel wheel;
    struct hr_list hooks;
    bool is_running;
};

int hr_loop_error(int uv_error)
{
    if (uv_error == UV_ENOMEM)
        return hr_raise(HR_ERR_NOMEM);
    errno = -uv_error;
    return hr_raise(HR_ERR_SYS);
}

/* ---- turns */

static void loop_on_idle(uv_idle_t *handle)
{
    (void)handle; /* being active is its work */
}

static void loop_on_alarm(uv_timer_t *handle)
{
    struct hr_loop *loop = handle->data;
    loop->alarm_at = HR_NEVER;
}

static void loop_set_alarm(struct hr_loop *loop, hr_time at)
{
    if (at >= loop->alarm_at)
        return;
    hr_time now = hr_loop_now(loop);
    uint64_t delay_ms = at > now ? (uint64_t)((at - now + HR_MS - 1) / HR_MS) : 0;
    int r = uv_timer_start(&loop->alarm, loop_on_alarm, delay_ms, 0);
    hr_assert(r == 0);
    loop->alarm_at = at;
}

static void loop_on_prepare(uv_prepare_t *handle)
{
    struct hr_loop *loop = handle->data;
    hr_time now = hr_loop_now(loop), wake_at = HR_NEVER;
    bool may_sleep = true;

    hr_list_foreach (node, &loop->hooks) {
        struct hr_hook *hook = hr_container_of(node, struct hr_hook, node);
        hr_time (*timeout)(struct hr_hook *) = hook->timeout;
        if (hook->prepare && hook->prepare(hook))
            may_sleep = false;
        if (timeout && hr_list_is_linked(node)) { /* it may have removed itself */
            hr_time at = hr_time_add(now, timeout(hook));
            if (at < wake_at)
                wake_at = at;
        }
    }
    if (!may_sleep) {
        uv_idle_start(&loop->no_sleep, loop_on_idle);
        return;
    }
    /* After the hooks, which may have started timers. */
    hr_time next = hr_wheel_next(&loop->wheel);
    loop_set_alarm(loop, next < wake_at ? next : wake_at);
}

static void loop_on_check(uv_check_t *handle)
{
    struct hr_loop *loop = handle->data;
    uv_idle_stop(&loop->no_sleep);
    hr_wheel_run(&loop->wheel, hr_loop_now(loop));
    hr_list_foreach (node, &loop->hooks) {
        struct hr_hook *hook = hr_container_of(node, struct hr_hook, node);
        if (hook->check)
            hook->check(hook);
    }
}

static void loop_start_handles(struct hr_loop *loop)
{
    /* None of these can fail on a fresh handle with a callback. */
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->no_sleep);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->prepare.data = loop->check.data = loop->alarm.data = loop;
    uv_prepare_start(&loop->prepare, loop_on_prepare);
    uv_check_start(&loop->check, loop_on_check);
}

int hr_loop_new(struct hr_loop **out)
{
    *out = NULL;
    struct hr_loop *loop = hr_calloc(1, sizeof *loop);
    if (!loop)
        return hr_raise(HR_ERR_NOMEM);
    int r = uv_loop_init(&loop->uv);
    if (r < 0) {
        hr_free(loop);
        return hr_trace(hr_loop_error(r));
    }
    loop_start_handles(loop);
    hr_list_init(&loop->hooks);
    loop->alarm_at = HR_NEVER;
    hr_wheel_init(&loop->wheel, hr_loop_now(loop));
    *out = loop;
    return 0;
}

static void loop_must_be_closing(uv_handle_t *handle, void *arg)
{
    (void)arg;
    hr_assert(uv_is_closing(handle)); /* else somebody's memory would be left in our lists */
}

struct hr_loop *hr_loop_free(struct hr_loop *loop)
{
    if (!loop)
        return NULL;
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->no_sleep, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    while (uv_run(&loop->uv, UV_RUN_ONCE) != 0)
        if (loop->uv.active_reqs.count == 0) /* done callbacks may still close handles */
            uv_walk(&loop->uv, loop_must_be_closing, NULL);
    int r = uv_loop_close(&loop->uv);
    hr_assert(r == 0);
    return hr_free(loop);
}

int hr_loop_run(struct hr_loop *loop)
{
    loop->is_running = true;
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* our prepare and check keep it alive until the stop */
    loop->is_running = false;
    return 0;
}

void hr_loop_stop(struct hr_loop *loop)
{
    uv_stop(&loop->uv);
}

void hr_loop_turn(struct hr_loop *loop, bool may_wait)
{
    loop->is_running = true;
    uv_run(&loop->uv, may_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    loop->is_running = false;
}

hr_time hr_loop_now(const struct hr_loop *loop)
{
    return (hr_time)uv_now(&loop->uv) * HR_MS;
}

uv_loop_t *hr_loop_uv(struct hr_loop *loop)
{
    return &loop->uv;
}

/* ---- timers and hooks */

void hr_loop_start_timer(struct hr_loop *loop, struct hr_timer *timer, hr_time delay,
                         hr_timer_fn fn)
{
    if (!loop->is_running)
        uv_update_time(&loop->uv); /* the last turn may be long ago */
    hr_wheel_start(&loop->wheel, timer, hr_time_add(hr_loop_now(loop), delay), fn);
}

void hr_loop_stop_timer(struct hr_loop *loop, struct hr_timer *timer)
{
    hr_wheel_stop(&loop->wheel, timer);
}

void hr_loop_add_hook(struct hr_loop *loop, struct hr_hook *hook)
{
    hr_list_push_back(&loop->hooks, &hook->node);
}

void hr_loop_remove_hook(struct hr_loop *loop, struct hr_hook *hook)
{
    (void)loop;
    hr_list_remove(&hook->node);
}

/* ---- file descriptors
 *
 * `armed` is what libuv watches, `wanted` what the owner asked for. Ceasing to
 * want reads leaves the watch as it is: libuv would take the descriptor out of
 * epoll and put it back later, two system calls, and most pauses end before
 * the peer sends anything. An event that nobody wants stops the watch then.
 */

static void io_on_poll(uv_poll_t *poll, int status, int uv_events);

static void io_arm(struct hr_io *io, unsigned events)
{
    io->armed = events;
    int uv_events =
        (events & HR_IO_READ ? UV_READABLE : 0) | (events & HR_IO_WRITE ? UV_WRITABLE : 0);
    int r = events ? uv_poll_start(&io->poll, uv_events, io_on_poll) : uv_poll_stop(&io->poll);
    hr_assert(r == 0); /* fails only for a descriptor closed under us */
}

static void io_on_poll(uv_poll_t *poll, int status, int uv_events)
{
    struct hr_io *io = hr_container_of(poll, struct hr_io, poll);
    if (status < 0) {
        io->armed = 0; /* libuv has stopped the watch */
        if (io->wanted)
            io->fn(io, HR_IO_READ | HR_IO_WRITE);
        return;
    }
    unsigned events =
        (uv_events & UV_READABLE ? HR_IO_READ : 0u) | (uv_events & UV_WRITABLE ? HR_IO_WRITE : 0u);
    if (events & ~io->wanted)
        io_arm(io, io->wanted);
    if (events & io->wanted)
        io->fn(io, events & io->wanted);
}

int hr_io_open(struct hr_loop *loop, struct hr_io *io, int fd, hr_io_fn fn)
{
    *io = (struct hr_io){.fn = fn};
    int r = uv_poll_init(&loop->uv, &io->poll, fd);
    return r < 0 ? hr_trace(hr_loop_error(r)) : 0;
}

void hr_io_want(struct hr_io *io, unsigned events)
{
    io->wanted = events;
    unsigned missing = events & ~io->armed, spare = io->armed & ~events;
    if (missing || spare & HR_IO_WRITE) /* writable is most of the time, readable is not */
        io_arm(io, events);
}

static void io_on_closed(uv_handle_t *handle)
{
    struct hr_io *io = hr_container_of((uv_poll_t *)handle, struct hr_io, poll);
    if (io->closed)
        io->closed(io);
}

void hr_io_close(struct hr_io *io, hr_io_closed_fn closed)
{
    io->closed = closed;
    uv_close((uv_handle_t *)&io->poll, io_on_closed);
}
