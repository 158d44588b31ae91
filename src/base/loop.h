/* loop.h - the event loop: libuv, behind the few calls we use.
 *
 * File descriptors are watched, not owned. All timers of a loop share one
 * wheel. Hooks run before and after each poll, which is how a channel layer
 * joins a loop.
 *
 * Threads: a loop belongs to one thread; hr_wake_send() alone may be called
 *          from any.
 * Memory:  hr_io, hr_signal, hr_wake and hr_child are the caller's; their
 *          memory may be reused only in the callback of their close. A
 *          signal has none: its memory, opened or failed, lives as long as
 *          the loop. A hr_io or hr_wake whose open failed needs no close; a
 *          hr_child always does.
 */
#ifndef HR_BASE_LOOP_H
#define HR_BASE_LOOP_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/timer.h"

struct hr_loop;

HR_MUST_CHECK int hr_loop_new(struct hr_loop **out);
/* Runs outstanding closes and work first; all that was opened must be closing. NULL is allowed. */
struct hr_loop *hr_loop_free(struct hr_loop *loop);
HR_MUST_CHECK int hr_loop_run(struct hr_loop *loop); /* until hr_loop_stop() */
void hr_loop_stop(struct hr_loop *loop);
/* One turn; waits for events when `may_wait`. */
void hr_loop_turn(struct hr_loop *loop, bool may_wait);
/* When this turn's sleep ended, in whole milliseconds. */
hr_time hr_loop_now(const struct hr_loop *loop);
uv_loop_t *hr_loop_uv(struct hr_loop *loop);
/* Raises what a libuv function returned: HR_ERR_NOMEM, or HR_ERR_SYS with errno set. */
int hr_loop_error(int uv_error);

/* ---- timers: struct hr_timer of base/timer.h, relative to hr_loop_now(). Between turns that is
 * brought up to date first; within a turn, a callback that computes for long makes them earlier. */
void hr_loop_start_timer(struct hr_loop *loop, struct hr_timer *timer, hr_time delay,
                         hr_timer_fn fn);
void hr_loop_stop_timer(struct hr_loop *loop, struct hr_timer *timer);

/* ---- file descriptors */
enum { HR_IO_READ = 1, HR_IO_WRITE = 2 };
struct hr_io;
/* HR_IO_*. Errors show as both, and end the watch until the next hr_io_want(). */
typedef void (*hr_io_fn)(struct hr_io *io, unsigned events);
typedef void (*hr_io_closed_fn)(struct hr_io *io);
struct hr_io {
    uv_poll_t poll;
    hr_io_fn fn;
    hr_io_closed_fn closed;
    unsigned wanted; /* HR_IO_*, by the owner */
    unsigned armed;  /* and at libuv; private to loop.c */
};
/* Makes `fd` non-blocking; nothing is watched before the first hr_io_want(). */
HR_MUST_CHECK int hr_io_open(struct hr_loop *loop, struct hr_io *io, int fd, hr_io_fn fn);
/* 0: nothing for now. Pausing and resuming reads costs no system call unless
 * something came in between. */
void hr_io_want(struct hr_io *io, unsigned events);
/* Stops watching; the fd may be closed at once, the memory reused in `closed` (may be NULL). */
void hr_io_close(struct hr_io *io, hr_io_closed_fn closed);

/* ---- hooks around the poll. All three functions may be NULL. A hook may
 * remove itself in them; timers that are due run before `check`. */
struct hr_hook {
    struct hr_list node;
    bool (*prepare)(struct hr_hook *hook); /* true: no sleeping this turn */
    void (*check)(struct hr_hook *hook);
    hr_time (*timeout)(struct hr_hook *hook); /* longest sleep it bears; asked after prepare */
};
void hr_loop_add_hook(struct hr_loop *loop, struct hr_hook *hook);
void hr_loop_remove_hook(struct hr_loop *loop, struct hr_hook *hook);

/* ---- signals */
struct hr_signal;
typedef void (*hr_signal_fn)(struct hr_signal *signal, int number);
struct hr_signal {
    uv_signal_t handle;
    hr_signal_fn fn;
};
HR_MUST_CHECK int hr_signal_open(struct hr_loop *loop, struct hr_signal *signal, int number,
                                 hr_signal_fn fn);
void hr_signal_close(struct hr_signal *signal);

/* ---- waking a loop from another thread */
struct hr_wake;
typedef void (*hr_wake_fn)(struct hr_wake *wake); /* once for any number of sends before it */
struct hr_wake {
    uv_async_t handle;
    hr_wake_fn fn, closed;
};
HR_MUST_CHECK int hr_wake_open(struct hr_loop *loop, struct hr_wake *wake, hr_wake_fn fn);
void hr_wake_send(struct hr_wake *wake);
void hr_wake_close(struct hr_wake *wake, hr_wake_fn closed);

/* ---- blocking work on libuv's thread pool */
struct hr_work;
typedef void (*hr_work_fn)(struct hr_work *work);
struct hr_work {
    uv_work_t request;
    hr_work_fn run;  /* on a pool thread */
    hr_work_fn done; /* on the loop, once, also after a failed or cancelled run */
    bool is_cancelled;
};
HR_MUST_CHECK int hr_loop_queue(struct hr_loop *loop, struct hr_work *work, hr_work_fn run,
                                hr_work_fn done);
/* True when it had not started: it will not run, and `done` comes with is_cancelled.
 * Not after `done`. */
bool hr_work_cancel(struct hr_work *work);

/* ---- child processes */
struct hr_child;
typedef void (*hr_child_fn)(struct hr_child *child, int exit_status, int term_signal);
struct hr_child {
    uv_process_t handle;
    hr_child_fn exited;
    void (*closed)(struct hr_child *child);
};
struct hr_child_options {
    const char *file;
    char *const *argv;
    char *const *env; /* NULL: ours */
    const char *cwd;
    int fds[8]; /* child's fd i is our fds[i]; -1: /dev/null for 0..2, none above */
    int n_fds;
};
/* An error (HR_ERR_SYS with errno: no such file, no permission, ...) calls no
 * `exited`, but hr_child_close() must be called in any case. The child has our
 * descriptors without close-on-exec too, and default signal handlers. */
HR_MUST_CHECK int hr_child_spawn(struct hr_loop *loop, struct hr_child *child,
                                 const struct hr_child_options *options, hr_child_fn exited);
/* Before `exited` it means: not to be told, and never reaped while we live. */
void hr_child_close(struct hr_child *child, void (*closed)(struct hr_child *child));

#endif /* HR_BASE_LOOP_H */
