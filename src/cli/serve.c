/* serve.c - `headrace serve`: one interface server.
 *
 * Started by a supervisor (--as) it takes the sockets it is handed, else it
 * opens its own. SIGTERM and SIGINT let requests end within `drain`; once more
 * cuts what is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/process.h"
#include "cli/attach.h"
#include "cli/configs.h"
#include "cli/exit.h"
#include "cli/half.h"
#include "cli/handover.h"
#include "cli/siblings.h"
#include "cli/sockets.h"
#include "cli/verbs.h"

struct serving {
    const struct hr_args *args;
    struct hr_half half;
    struct hr_sockets listeners; /* our own, if no supervisor has handed any */
    struct hr_server_parts parts;
    struct hr_siblings siblings;
    struct hr_handover handover; /* of what a supervisor has handed to us */
    struct hr_layer *layer;
    struct hr_loop *loop;
    struct hr_server *server;
    struct hr_signal term, interrupt;
    bool is_draining;
};

/* ---- sockets -----------------------------------------------------------------------------------
 */

/* "4=http://127.0.0.1:8000" */
static int read_listener(const char *text, struct hr_listener_config *out)
{
    struct hr_str rest = hr_str_of(text), number;
    uint64_t fd;
    if (!hr_str_next(&rest, '=', &number) || !hr_str_u64(number, &fd) || fd > INT32_MAX ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0) {
        hr_complain("%s names no descriptor that was handed over", text);
        return HR_EXIT_USAGE;
    }
    *out = (struct hr_listener_config){.fd = (int)fd, .name = rest.ptr};
    return 0;
}

static int take_listener(struct serving *serving, const struct hr_flag *flag)
{
    struct hr_listener_config listener;
    const char *text = flag->value, *of_sibling = strchr(text, '=');
    bool is_siblings = flag->option == &hr_options[HR_OPT_LISTEN_FOR];
    int r = read_listener(is_siblings && of_sibling ? of_sibling + 1 : text, &listener);
    if (r != 0)
        return r;
    listener.is_siblings = is_siblings;
    struct hr_str rest = hr_str_of(text), label = hr_str_of(serving->half.label);
    if (is_siblings)
        hr_str_next(&rest, '=', &label);
    else if (flag->option == &hr_options[HR_OPT_LISTEN_ADMIN])
        label = HR_LIT("admin");
    hr_handover_add(&serving->handover, label, listener.name, listener.fd);
    if (is_siblings)
        hr_siblings_add(&serving->siblings, text, serving->parts.config.n_listeners);
    if (flag->option == &hr_options[HR_OPT_LISTEN_ADMIN])
        hr_server_parts_add_admin(&serving->parts, &listener);
    else
        hr_server_parts_add(&serving->parts, &listener);
    return 0;
}

static int take_listeners(struct serving *serving)
{
    int r = 0;
    for (uint32_t i = 0; i < serving->args->n_flags && r == 0; i++) {
        const struct hr_flag *flag = &serving->args->flags[i];
        if (flag->option == &hr_options[HR_OPT_LISTEN] ||
            flag->option == &hr_options[HR_OPT_LISTEN_FOR] ||
            flag->option == &hr_options[HR_OPT_LISTEN_ADMIN])
            r = take_listener(serving, flag);
    }
    return r;
}

static int open_listeners(struct serving *serving)
{
    char why[1024];
    struct hr_settings_server *server = &serving->half.settings->server;
    server->processes = 1; /* a `serve` of one's own is one process */
    int r = hr_sockets_open(server, &serving->listeners, why, sizeof why);
    if (r != 0) {
        hr_complain("%s", why);
        return r;
    }
    for (uint32_t i = 0; i < serving->listeners.n; i++) {
        const struct hr_socket *socket = &serving->listeners.items[i];
        const struct hr_listener_config listener = {.fd = socket->fds[0], .name = socket->name};
        if (socket->is_admin)
            hr_server_parts_add_admin(&serving->parts, &listener);
        else
            hr_server_parts_add(&serving->parts, &listener);
        hr_log(HR_EV_LISTEN, "address=%s", socket->name);
    }
    return 0;
}

/* ---- serving -----------------------------------------------------------------------------------
 */

static void on_drained(void *arg)
{
    struct serving *serving = arg;
    hr_loop_stop(serving->loop);
}

static void drain(struct serving *serving)
{
    hr_time limit = serving->is_draining ? 0 : serving->half.settings->server.drain;
    if (!serving->is_draining)
        hr_log(HR_EV_STOP, "server=%s text=\"requests in hand are finished first\"",
               serving->half.label);
    serving->is_draining = true;
    hr_layer_set_ready(serving->layer, false); /* from now on the siblings accept on our sockets */
    hr_server_drain(serving->server, limit, on_drained, serving);
}

static void on_term(struct hr_signal *signal, int number)
{
    (void)number;
    drain(hr_container_of(signal, struct serving, term));
}

static void on_interrupt(struct hr_signal *signal, int number)
{
    (void)number;
    drain(hr_container_of(signal, struct serving, interrupt));
}

/* Without it the site serves as well; only a supervisor that dies could not be followed. */
static void offer_sockets(struct serving *serving)
{
    const char *directory = hr_layerpath_directory(serving->half.url);
    if (serving->handover.n > 0 &&
        hr_handover_open(&serving->handover, serving->loop, directory, serving->half.label) < 0)
        hr_log(HR_EV_CONFIG, "text=\"the sockets cannot be offered to a new supervisor\" error=%s",
               HR_LOG_Q(hr_str_of(strerror(errno))));
}

static int loop_until_drained(struct serving *serving)
{
    int r = hr_signal_open(serving->loop, &serving->term, SIGTERM, on_term);
    if (r < 0)
        return hr_trace(r);
    r = hr_signal_open(serving->loop, &serving->interrupt, SIGINT, on_interrupt);
    if (r == 0) {
        offer_sockets(serving);
        hr_layer_set_ready(serving->layer, true);
        if (!serving->half.is_child) /* a supervisor says so for all */
            hr_log(HR_EV_START, "server=%s pid=%d layer=%s", serving->half.label, (int)getpid(),
                   serving->half.url);
        hr_siblings_watch(&serving->siblings, serving->loop, serving->layer, serving->server);
        r = hr_loop_run(serving->loop);
        hr_siblings_unwatch(&serving->siblings);
        hr_handover_close(&serving->handover);
        hr_signal_close(&serving->interrupt);
    }
    hr_signal_close(&serving->term);
    return hr_trace(r);
}

static int serve_on(struct serving *serving)
{
    char text[256];
    int r = hr_loop_new(&serving->loop);
    if (r == 0)
        r = hr_server_open(serving->loop, serving->layer, &serving->parts.config, &serving->server);
    if (r == 0)
        r = loop_until_drained(serving);
    hr_server_close(serving->server);
    hr_loop_free(serving->loop);
    if (r == 0)
        return HR_EXIT_OK;
    hr_error_format(text, sizeof text, r);
    hr_complain("the interface server cannot run: %s", text);
    return HR_EXIT_SETTINGS;
}

static int open_layer(struct serving *serving)
{
    const struct hr_layer_options options = {
        .role = HR_ROLE_SERVER, .create = !serving->half.is_child, .label = serving->half.label};
    int r = hr_attach(serving->half.settings, serving->half.url, &options, &serving->layer);
    if (r != 0 || serving->half.is_child)
        return r;
    if (hr_attach_policies(serving->half.settings, serving->layer) == 0)
        return 0;
    hr_complain("the settings of [channel] could not be set in the layer");
    return HR_EXIT_LAYER;
}

int hr_verb_serve(const struct hr_args *args)
{
    struct serving serving = {.args = args};
    int code = hr_half_begin(args, "server", &serving.half);
    if (code == 0 && hr_server_parts_init(&serving.parts, serving.half.settings, serving.half.label,
                                          args->n_flags + HR_LIST_MAX) < 0) {
        hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
        code = HR_EXIT_SETTINGS;
    }
    if (code == 0)
        code = serving.half.is_child ? take_listeners(&serving) : open_listeners(&serving);
    if (code == 0)
        code = open_layer(&serving);
    if (code == 0)
        code = serve_on(&serving);
    hr_layer_close(serving.layer);
    hr_server_parts_fini(&serving.parts);
    hr_sockets_close(&serving.listeners);
    hr_half_end(&serving.half);
    return code;
}
