/* inline.c - see inline.h for the contract.
 *
 * For debuggers and valgrind: one process, one thread, the application mapped
 * where it lies. Stopping takes the order of the supervisor: the server
 * drains, then the workers.
 */
#include "cli/inline.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/process.h"
#include "cli/attach.h"
#include "cli/configs.h"
#include "cli/exit.h"
#include "cli/page.h"

struct inline_worker {
    struct hr_worker_parts parts;
    struct hr_worker *worker;
};

struct inline_site {
    const struct hr_settings *settings;
    const char *url;
    struct hr_loop *loop;
    struct hr_layer *layer; /* the server's handle; each worker has its own */
    struct hr_server_parts parts;
    struct hr_server *server;
    struct inline_worker *workers; /* owned */
    uint32_t n_workers, n_ended;
    struct hr_signal term, interrupt;
    bool is_stopping;
    int code;
};

static void on_worker_ended(struct hr_worker *worker, void *arg, int outcome)
{
    struct inline_site *site = arg;
    (void)worker;
    if (site->code == 0)
        site->code = outcome;
    if (++site->n_ended == site->n_workers || !site->is_stopping)
        hr_loop_stop(site->loop);
}

static int open_worker(struct inline_site *site, const struct hr_settings_pool *pool)
{
    struct inline_worker *own = &site->workers[site->n_workers++];
    int r = hr_worker_parts_init(&own->parts, site->settings, pool, pool->section.name, site->url);
    if (r < 0)
        return hr_trace(r);
    own->parts.config.is_direct = true;
    own->parts.config.create_layer = true;
    own->parts.config.ended = on_worker_ended;
    own->parts.config.arg = site;
    r = hr_worker_open(site->loop, &own->parts.config, &own->worker);
    if (r > 0)
        hr_complain("%s", hr_worker_open_error());
    return hr_trace(r);
}

/* Returns 0, an exit code with its complaint printed, or an error. */
static int open_workers(struct inline_site *site)
{
    int r = 0;
    site->workers = hr_calloc(site->settings->n_pools, sizeof *site->workers);
    if (!site->workers)
        return hr_raise(HR_ERR_NOMEM);
    for (struct hr_settings_pool *pool = hr_pool_first(site->settings); pool && r == 0;
         pool = hr_pool_next(pool))
        r = open_worker(site, pool);
    return hr_trace(r);
}

static int open_server(struct inline_site *site, const struct hr_sockets *listeners)
{
    int r = hr_server_parts_init(&site->parts, site->settings, "server.1", listeners->n);
    if (r < 0)
        return hr_trace(r);
    for (uint32_t i = 0; i < listeners->n; i++) {
        const struct hr_socket *socket = &listeners->items[i];
        const struct hr_listener_config listener = {.fd = socket->fds[0], .name = socket->name};
        if (socket->is_admin)
            hr_server_parts_add_admin(&site->parts, &listener);
        else
            hr_server_parts_add(&site->parts, &listener);
    }
    return hr_trace(hr_server_open(site->loop, site->layer, &site->parts.config, &site->server));
}

/* ---- stopping ----------------------------------------------------------------------------------
 */

static void on_drained(void *arg)
{
    struct inline_site *site = arg;
    for (uint32_t i = 0; i < site->n_workers; i++)
        hr_worker_stop(site->workers[i].worker);
}

static void stop(struct inline_site *site)
{
    if (site->is_stopping) {
        hr_loop_stop(site->loop);
        return;
    }
    site->is_stopping = true;
    hr_server_drain(site->server, site->settings->server.drain, on_drained, site);
}

static void on_term(struct hr_signal *signal, int number)
{
    (void)number;
    stop(hr_container_of(signal, struct inline_site, term));
}

static void on_interrupt(struct hr_signal *signal, int number)
{
    (void)number;
    stop(hr_container_of(signal, struct inline_site, interrupt));
}

/* ---- running -----------------------------------------------------------------------------------
 */

static int loop_until_stopped(struct inline_site *site, const struct hr_sockets *listeners)
{
    const struct hr_page page = {.settings = site->settings,
                                 .listeners = listeners,
                                 .layer_url = site->url,
                                 .is_inline = true};
    int r = hr_signal_open(site->loop, &site->term, SIGTERM, on_term);
    if (r < 0)
        return hr_trace(r);
    r = hr_signal_open(site->loop, &site->interrupt, SIGINT, on_interrupt);
    if (r == 0) {
        hr_layer_set_ready(site->layer, true);
        if (!hr_log_is_json())
            hr_page_print(&page);
        for (uint32_t i = 0; i < listeners->n && hr_log_is_json(); i++)
            hr_log(HR_EV_LISTEN, "address=%s", listeners->items[i].name);
        r = hr_loop_run(site->loop);
        hr_signal_close(&site->interrupt);
    }
    hr_signal_close(&site->term);
    return r < 0 ? hr_trace(r) : site->code;
}

static void close_all(struct inline_site *site)
{
    for (uint32_t i = 0; i < site->n_workers; i++)
        hr_worker_close(site->workers[i].worker);
    hr_server_close(site->server);
    hr_loop_free(site->loop);
    for (uint32_t i = 0; i < site->n_workers; i++)
        hr_worker_parts_fini(&site->workers[i].parts);
    hr_free(site->workers);
    hr_server_parts_fini(&site->parts);
    hr_layer_close(site->layer);
}

int hr_inline_run(const struct hr_settings *settings, const struct hr_sockets *listeners,
                  const char *layer_url)
{
    struct inline_site site = {.settings = settings, .url = layer_url};
    const struct hr_layer_options options = {
        .role = HR_ROLE_SERVER, .create = true, .label = "server.1"};
    char text[256];

    hr_process_set_title("headrace: supervisor, server and worker %s", settings->headrace.name);
    hr_worker_catch_crashes();
    if (settings->headrace.chdir[0] && chdir(settings->headrace.chdir) < 0) {
        hr_complain("cannot go to chdir = %s: %s", settings->headrace.chdir, strerror(errno));
        return HR_EXIT_SETTINGS;
    }
    int r = hr_attach(settings, layer_url, &options, &site.layer);
    if (r != 0)
        return r;
    r = hr_attach_policies(settings, site.layer);
    if (r == 0)
        r = hr_loop_new(&site.loop);
    if (r == 0)
        r = open_workers(&site);
    if (r == 0)
        r = open_server(&site, listeners);
    if (r == 0)
        r = loop_until_stopped(&site, listeners);
    close_all(&site);
    if (r >= 0)
        return r;
    hr_error_format(text, sizeof text, r);
    hr_complain("cannot run: %s", text);
    return HR_EXIT_SETTINGS;
}
