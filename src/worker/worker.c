/* worker.c - one member of the layer on one loop; see runtime.h for the contract.
 *
 * A turn of the loop:
 *
 *   prepare   the layer is told that we may sleep, unless a receive would find something
 *   poll      sleeps; its bell, jobs, children, timers
 *   check     dispatch; then deliveries until there are none, or HR_WORKER_TURN
 *             of them: the loop's other events have their turn in between
 *
 * What is taken: everything, as long as there is room for one more open
 * context; else, and while stopping, only what comes to our own addresses.
 * Nothing is taken and put aside: what we cannot run now another worker can.
 *
 * Ending: stop asked ─► nothing new is taken ─► nothing is held any more, or
 * `drain` is over ─► the stop hooks ─► ended().
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "worker/busy.h"
#include "worker/outbox.h"
#include "worker/stack.h"
#include "worker/worker_impl.h"

static _Thread_local char open_error[2048];
static _Thread_local struct hr_list workers;

const char *hr_worker_open_error(void)
{
    return open_error;
}

struct hr_list *hr_worker_list(void)
{
    if (!workers.next)
        hr_list_init(&workers);
    return &workers;
}

/* ---- the application's calls */

const char *hr_worker_pool(const struct hr_worker *worker)
{
    return worker->config.pool;
}

struct hr_layer *hr_worker_layer(struct hr_worker *worker)
{
    return worker->layer;
}

/* Later there would be events in the channels that nobody had listened to. */
int hr_worker_consume(struct hr_worker *worker, const struct hr_consumer *consumers)
{
    if (!worker->is_booting)
        return hr_raise(HR_ERR_STATE);
    return hr_trace(hr_routes_add(&worker->routes, consumers));
}

int hr_worker_on_stop(struct hr_worker *worker, void (*fn)(void *arg), void *arg)
{
    struct hr_stop_hook *hook = hr_alloc(sizeof(*hook));
    if (!hook)
        return hr_raise(HR_ERR_NOMEM);
    *hook = (struct hr_stop_hook){.next = worker->stop_hooks, .fn = fn, .arg = arg};
    worker->stop_hooks = hook;
    return 0;
}

/* ---- watching open events */

static void worker_settle_open(struct hr_worker *worker, bool asks)
{
    struct hr_list todo;
    hr_list_move(&todo, &worker->open);
    while (!hr_list_is_empty(&todo)) {
        struct hr_ctx *ctx = hr_list_first(&todo, struct hr_ctx, node);
        hr_list_remove(&ctx->node);
        hr_list_push_back(&worker->open, &ctx->node);
        if (asks)
            (void)hr_ctx_client_gone(ctx);
        hr_ctx_settle(ctx);
    }
}

static void worker_on_watch(struct hr_timer *timer)
{
    struct hr_worker *worker = hr_container_of(timer, struct hr_worker, watch_timer);
    worker_settle_open(worker, true);
    if (!hr_list_is_empty(&worker->open))
        hr_worker_watch(worker);
}

void hr_worker_watch(struct hr_worker *worker)
{
    if (!hr_timer_is_active(&worker->watch_timer))
        hr_loop_start_timer(worker->loop, &worker->watch_timer, HR_WORKER_WATCH, worker_on_watch);
}

/* ---- ending */

static bool worker_holds_something(const struct hr_worker *worker)
{
    return worker->n_open > 0 || worker->n_jobs > 0 || worker->n_children > 0;
}

static void worker_abandon_all(struct hr_worker *worker)
{
    while (!hr_list_is_empty(&worker->open))
        hr_ctx_abandon(hr_list_first(&worker->open, struct hr_ctx, node), HR_REASON_WORKER_DIED);
}

static void worker_end(struct hr_worker *worker)
{
    worker->is_over = true;
    hr_loop_stop_timer(worker->loop, &worker->drain_timer);
    while (worker->stop_hooks) {
        struct hr_stop_hook *hook = worker->stop_hooks;
        worker->stop_hooks = hook->next;
        hook->fn(hook->arg);
        hr_free(hook);
    }
    if (worker->config.ended)
        worker->config.ended(worker, worker->config.arg, worker->outcome);
}

static void worker_on_drain_over(struct hr_timer *timer)
{
    struct hr_worker *worker = hr_container_of(timer, struct hr_worker, drain_timer);
    hr_log(HR_EV_STOP,
           "pool=%s worker=%s events=%u jobs=%u children=%u text=\"given up at the end "
           "of the drain time\"",
           worker->config.pool, worker->label, worker->n_open, worker->n_jobs, worker->n_children);
    worker_end(worker);
}

void hr_worker_stop(struct hr_worker *worker)
{
    if (worker->is_stopping)
        return;
    worker->is_stopping = true;
    hr_layer_set_ready(worker->layer, false);
    hr_loop_start_timer(worker->loop, &worker->drain_timer, worker->config.drain,
                        worker_on_drain_over);
}

static void worker_lose_layer(struct hr_worker *worker, int error)
{
    char text[256];
    hr_error_format(text, sizeof(text), error);
    hr_log(HR_EV_LAYER, "pool=%s worker=%s error=\"%s\" text=\"the channel layer is lost\"",
           worker->config.pool, worker->label, text);
    worker->outcome = HR_WORKER_NO_LAYER;
    worker->is_stopping = true;
    worker_end(worker);
}

/* ---- a turn of the loop */

static enum hr_receive_from worker_wants(const struct hr_worker *worker)
{
    bool takes_more = !worker->is_stopping && worker->n_open < worker->config.max_kept;
    return takes_more ? HR_RECEIVE_ALL : HR_RECEIVE_INBOX;
}

static bool worker_on_prepare(struct hr_hook *hook)
{
    struct hr_worker *worker = hr_container_of(hook, struct hr_worker, hook);
    if (worker->is_over)
        return false;
    if (worker->has_gone || (worker->is_stopping && !worker_holds_something(worker)))
        return true;
    /* An error is met again, and handled, by the receive. */
    if (hr_layer_prepare(worker->layer, worker_wants(worker)) != 0)
        return true;
    /* After prepare: whoever asks from now on rings the bell. */
    return hr_layer_is_retiring(worker->layer) && !worker->is_stopping;
}

static hr_time worker_on_timeout(struct hr_hook *hook)
{
    const struct hr_worker *worker = hr_container_of(hook, struct hr_worker, hook);
    return worker->is_over ? HR_NEVER : hr_layer_poll_timeout(worker->layer);
}

/* Returns 0 when there is nothing more for now, or the layer's error. */
static int worker_receive(struct hr_worker *worker)
{
    struct hr_delivery delivery;
    for (int i = 0; i < HR_WORKER_TURN; i++) {
        int r = hr_layer_receive(worker->layer, worker_wants(worker), &delivery);
        if (r == HR_LAYER_EMPTY || r == HR_ERR_NOMEM)
            return 0;
        if (r < 0)
            return hr_trace(r);
        if (delivery.channel.len == 0 || hr_addr_is_set(&delivery.to))
            hr_event_inbox(worker, &delivery);
        else
            hr_event_deliver(worker, &delivery);
    }
    return 0;
}

static void worker_on_check(struct hr_hook *hook)
{
    struct hr_worker *worker = hr_container_of(hook, struct hr_worker, hook);
    if (worker->is_over)
        return;
    hr_layer_dispatch(worker->layer);
    if (hr_layer_is_retiring(worker->layer))
        hr_worker_stop(worker);
    if (!hr_list_is_empty(&worker->stalled))
        hr_outbox_retry(worker);
    int r = worker_receive(worker);
    if (r < 0) {
        worker_lose_layer(worker, r);
        return;
    }
    if (worker->has_gone) {
        worker->has_gone = false;
        worker_settle_open(worker, false);
    }
    hr_busy_set(worker->busy, HR_BUSY_OPEN, worker->n_open);
    if (worker->is_stopping && !worker_holds_something(worker))
        worker_end(worker);
}

/* The bell has rung; check does the rest. */
static void worker_on_bell(struct hr_io *io, unsigned events)
{
    (void)io;
    (void)events;
}

/* ---- opening */

static int open_fail(int outcome, const char *format, ...) HR_PRINTF(2, 3);

static int open_fail(int outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(open_error, sizeof(open_error), format, args);
    va_end(args);
    return outcome;
}

static void config_default(struct hr_worker *worker)
{
    struct hr_worker_config *config = &worker->config;
    if (!config->pool)
        config->pool = "web";
    if (config->timeout <= 0)
        config->timeout = 60 * HR_SECOND;
    if (config->event_timeout <= 0)
        config->event_timeout = 60 * HR_SECOND;
    if (config->queue_timeout <= 0)
        config->queue_timeout = 10 * HR_SECOND;
    if (config->drain <= 0)
        config->drain = 30 * HR_SECOND;
    if (!config->retry)
        config->retry = "safe";
    if (!config->on_crash)
        config->on_crash = "redeliver";
    if (config->max_kept == 0)
        config->max_kept = 1024;
    if (config->label)
        (void)hr_str_copy(worker->label, sizeof(worker->label), hr_str_of(config->label));
    else
        (void)snprintf(worker->label, sizeof(worker->label), "%.28s.1", config->pool);
}

static int worker_boot(struct hr_worker *worker)
{
    const struct hr_worker_config *config = &worker->config;
    const char *what = config->app_path ? config->app_path : "the application";
    int (*entry)(struct hr_worker *) = config->app;
    if (config->app_path) {
        const struct hr_app_source source = {
            .path = config->app_path, .fd = config->app_fd, .is_direct = config->is_direct};
        int r = hr_app_file_init(&worker->file, &source, open_error, sizeof(open_error));
        if (r < 0)
            return r == HR_ERR_NOT_FOUND ? HR_WORKER_NOT_FOUND : hr_trace(r);
        entry = worker->file.entry;
    }
    hr_assert(entry);
    hr_crash_set_app(worker, entry);

    worker->is_booting = true;
    int r = entry(worker);
    worker->is_booting = false;
    if (r != 0) {
        char text[512];
        hr_error_format(text, sizeof(text), r);
        return open_fail(HR_WORKER_FAILED, "hr_app() of %s failed: %s: %s.", what, hr_error_text(r),
                         text);
    }
    if (worker->routes.n_rows == 0)
        hr_log(HR_EV_CONFIG, "pool=%s text=\"no consumers: hr_worker_consume() was not called\"",
               config->pool);
    return 0;
}

static int worker_attach(struct hr_worker *worker)
{
    const struct hr_worker_config *config = &worker->config;
    struct hr_layer_options options = {
        .role = HR_ROLE_WORKER, .create = config->create_layer, .label = worker->label};
    int r = hr_layer_open(config->layer_url, &options, &worker->layer);
    if (r < 0)
        return r == HR_ERR_NOMEM ? hr_trace(r)
                                 : open_fail(HR_WORKER_NO_LAYER, "%s", hr_layer_open_error());
    worker->busy = hr_busy_begin(worker->layer);
    if (hr_stack_is_installed())
        hr_busy_set(worker->busy, HR_BUSY_STACK, hr_layer_control_address(worker->layer).slot_gen);
    return 0;
}

static int worker_join(struct hr_worker *worker)
{
    int r = hr_io_open(worker->loop, &worker->io, hr_layer_fd(worker->layer), worker_on_bell);
    if (r < 0)
        return hr_trace(r);
    worker->n_handles++;
    hr_io_want(&worker->io, HR_IO_READ);
    worker->hook = (struct hr_hook){
        .prepare = worker_on_prepare, .check = worker_on_check, .timeout = worker_on_timeout};
    hr_loop_add_hook(worker->loop, &worker->hook);
    return 0;
}

static int worker_serve(struct hr_worker *worker)
{
    int r = hr_routes_publish(&worker->routes, &worker->config, worker->layer);
    if (r == 0)
        r = hr_routes_listen(&worker->routes, &worker->config, worker->layer);
    if (r == HR_ERR_FULL || r == HR_ERR_TOO_BIG || r == HR_ERR_NAME)
        return open_fail(HR_WORKER_FAILED,
                         "the pool '%s' names more channels or paths than the layer can take.",
                         worker->config.pool);
    if (r == 0)
        r = worker_join(worker);
    if (r == 0)
        hr_layer_set_ready(worker->layer, true);
    return hr_trace(r);
}

static struct hr_worker *worker_new(struct hr_loop *loop, const struct hr_worker_config *config)
{
    struct hr_worker *worker = hr_calloc(1, sizeof(*worker));
    if (!worker)
        return NULL;
    worker->magic = HR_WORKER_MAGIC;
    worker->loop = loop;
    worker->config = *config;
    worker->patience = HR_OUTBOX_PATIENCE;
    worker->file.fd = -1;
    worker->n_handles = 1; /* the owner's own, until the close */
    config_default(worker);
    hr_list_init(&worker->open);
    hr_list_init(&worker->stalled);
    hr_list_init(&worker->timers);
    hr_list_init(&worker->jobs);
    hr_list_init(&worker->children);
    hr_list_push_back(hr_worker_list(), &worker->node);
    return worker;
}

/* The layer comes first, so that hr_app() may already use it. */
int hr_worker_open(struct hr_loop *loop, const struct hr_worker_config *config,
                   struct hr_worker **out)
{
    *out = NULL;
    open_error[0] = '\0';
    struct hr_worker *worker = worker_new(loop, config);
    if (!worker)
        return hr_raise(HR_ERR_NOMEM);
    int r = hr_routes_init(&worker->routes, worker->config.pool);
    if (r < 0)
        r = open_fail(HR_WORKER_FAILED, "'%s' cannot be a pool's name.", worker->config.pool);
    if (r == 0)
        r = worker_attach(worker);
    if (r == 0)
        r = worker_boot(worker);
    if (r == 0)
        r = worker_serve(worker);
    if (r != 0) {
        hr_worker_close(worker);
        return hr_trace(r);
    }
    *out = worker;
    return 0;
}

/* ---- closing */

static void worker_free(struct hr_worker *worker)
{
    hr_ctx_free_spares(worker);
    hr_free(worker->by_conn);
    hr_routes_fini(&worker->routes);
    hr_app_file_fini(&worker->file);
    worker->magic = 0;
    hr_free(worker);
}

void hr_worker_let_go(struct hr_worker *worker)
{
    hr_assert(worker->n_handles > 0);
    if (--worker->n_handles == 0)
        worker_free(worker);
}

static void worker_on_io_closed(struct hr_io *io)
{
    hr_worker_let_go(hr_container_of(io, struct hr_worker, io));
}

void hr_worker_close(struct hr_worker *worker)
{
    if (!worker)
        return;
    worker->is_closed = worker->is_over = true;
    hr_list_remove(&worker->node);
    hr_crash_forget(worker);
    hr_timers_close(worker);
    hr_children_close(worker);
    hr_jobs_close(worker);
    worker_abandon_all(worker);
    hr_loop_stop_timer(worker->loop, &worker->retry_timer);
    hr_loop_stop_timer(worker->loop, &worker->watch_timer);
    hr_loop_stop_timer(worker->loop, &worker->drain_timer);
    while (worker->stop_hooks) {
        struct hr_stop_hook *hook = worker->stop_hooks;
        worker->stop_hooks = hook->next;
        hr_free(hook);
    }
    if (worker->hook.check) {
        hr_loop_remove_hook(worker->loop, &worker->hook);
        hr_io_close(&worker->io, worker_on_io_closed);
    }
    hr_layer_close(worker->layer);
    worker->layer = NULL;
    worker->busy = NULL;
    hr_worker_let_go(worker);
}
