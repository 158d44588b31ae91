/* runtime.h - a worker as the command line starts it.
 *
 * A worker is one member of the layer that runs one application on one event
 * loop. hr_worker_open() loads the application, calls its entry point, puts
 * the pool's record, listens and is READY from then on; events are handled
 * whenever the loop turns. Several workers may share a loop (`--layer memory:`
 * runs the interface server and a worker for each pool on one), each with a
 * handle of its own.
 *
 * Which channels a pool takes, of those its consumers name:
 *   - neither `paths` nor `channels`: HTTP and WebSocket on every path, and
 *     every plain channel that matches no glob of `without`;
 *   - `paths`: HTTP and WebSocket there ("/x", "http:/x", "websocket:/x"; prefixes);
 *   - `channels`: the plain channels that match one of these globs;
 *   - both: both.
 *
 * A worker ends when it is asked to (hr_worker_stop()), when the layer asks
 * it to retire, or when its layer is lost. It then takes nothing new,
 * finishes what it holds within `drain`, and calls `ended`.
 *
 * Threads: the loop's.
 * Memory:  a config and everything it points to must live as long as the worker.
 */
#ifndef HR_WORKER_RUNTIME_H
#define HR_WORKER_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/worker.h>

#include "base/error.h"
#include "base/loop.h"

/* Outcomes of hr_worker_open() and hr_worker_run(): the exit codes of SURFACE 1. */
enum hr_worker_outcome {
    HR_WORKER_FAILED = 3,    /* the entry point returned an error */
    HR_WORKER_NOT_FOUND = 4, /* no such file, not loadable, or no hr_app in it */
    HR_WORKER_NO_LAYER = 6,  /* the layer cannot be opened, or was lost */
};

/* Zeroed fields take the default that stands beside them. */
struct hr_worker_config {
    const char *layer_url; /* "ipc:DIRECTORY", "memory:NAME"; required */
    bool create_layer;     /* make the layer when it is not there (`headrace work` does) */
    const char *pool;      /* "web" */
    const char *label;     /* "POOL.1": shown by status, in logs and after a crash */

    /* The application: a shared object, or the entry point itself. */
    const char *app_path;
    int app_fd; /* app_path's bytes, which nobody writes any more; taken. 0: app_path is read */
    int (*app)(struct hr_worker *worker);
    bool is_direct; /* map app_path itself, not a private copy: for debuggers and valgrind */

    const char *const *paths; /* see above */
    size_t n_paths;
    const char *const *channels;
    size_t n_channels;
    const char *const *without;
    size_t n_without;

    hr_time timeout;       /* 60 s; of an HTTP request, from its take */
    hr_time event_timeout; /* 60 s; of a WebSocket event */
    hr_time queue_timeout; /* 10 s; until it is taken */
    hr_time drain;         /* 30 s; to finish what is held when stopping */
    const char *retry;     /* "safe" or "never" */
    const char *on_crash;  /* "redeliver" or "count" */
    uint32_t max_kept;     /* 1024; contexts open at once, then nothing new is taken */

    /* Called once, on the loop, when the worker has ended and holds nothing
     * any more: 0, or the outcome that ended it. It may close this worker,
     * not another on the same loop. NULL: nobody wants to know. */
    void (*ended)(struct hr_worker *worker, void *arg, int outcome);
    void *arg;
};

/* Puts the pool's record before it has any worker, so that interface servers
 * let its clients wait for one instead of telling them that there is nothing.
 * The first worker's own record replaces it. A pool without clients has none.
 * Returns 0 or an error of the layer's. */
HR_MUST_CHECK int hr_worker_announce(const struct hr_worker_config *config, struct hr_layer *layer);

/* Loads, attaches and begins to serve. Gives *out. Returns 0, an outcome
 * above (hr_worker_open_error() then says what was tried, why it failed and
 * what to do), or HR_ERR_NOMEM, HR_ERR_SYS. */
HR_MUST_CHECK int hr_worker_open(struct hr_loop *loop, const struct hr_worker_config *config,
                                 struct hr_worker **out);

/* What the last failed hr_worker_open() or hr_worker_run() of this thread says. */
const char *hr_worker_open_error(void);

/* Begins to stop: takes nothing new, ends what is held, then `ended`. Idempotent. */
void hr_worker_stop(struct hr_worker *worker);

/* Detaches at once; what is still held goes back as lost leases. Its loop
 * handles close during the next turns of the loop. NULL is allowed. */
void hr_worker_close(struct hr_worker *worker);

/* A whole process: a loop of its own, the crash handler, SIGTERM and SIGINT
 * stop gracefully (a second SIGINT at once). Returns the exit code: 0 or an
 * outcome above, 1 for other errors, with the message logged. */
HR_MUST_CHECK int hr_worker_run(const struct hr_worker_config *config);

/* On SIGSEGV, SIGBUS, SIGABRT, SIGFPE and SIGILL one line on stderr says what
 * was in hand, then a backtrace, and the signal takes its default action:
 *
 *   crash signal=SIGSEGV pool=chat worker=chat.3 channel=websocket.receive
 *   path=/chat connection=51 attempts=1 function=say at=chat.c:23
 *
 * (one line; values hold no spaces; pairs that are not known are left out;
 * attempts are the deliveries before this one, if there were any).
 * hr_worker_run() installs it. */
void hr_worker_catch_crashes(void);

#endif /* HR_WORKER_RUNTIME_H */
