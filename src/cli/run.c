/* run.c - `headrace run`: the whole site on this host.
 *
 * Everything that can be wrong is looked at before anything is started, in the
 * order in which people can mend it: settings, application, does the site run
 * already, addresses, the layer. The addresses are bound before the layer is
 * opened, because root may become another user there. A port that cannot be
 * bound is told last: "port taken" would be a poor way to say that the site
 * runs already, or that its processes do and wait for a supervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/process.h"
#include "cli/app.h"
#include "cli/attach.h"
#include "cli/descriptors.h"
#include "cli/exit.h"
#include "cli/inline.h"
#include "cli/sockets.h"
#include "cli/logfile.h"
#include "cli/notify.h"
#include "cli/orphans.h"
#include "cli/settings_load.h"
#include "cli/supervisor.h"
#include "cli/verbs.h"

struct run {
    const struct hr_args *args;
    struct hr_settings *settings;
    struct hr_sockets listeners;
    struct hr_layer *layer;
    struct hr_orphans orphans;
    char url[HR_LAYER_URL_MAX];
    int lock_fd;
    int log_fd;
};

/* ---- does it run already?
 * ------------------------------------------------------------------------ */

/* The pid in the record of the supervisor that runs or last ran; 0: none. */
static pid_t recorded_pid(struct hr_layer *layer)
{
    struct hr_record record;
    struct hr_msg msg;
    return hr_find_supervisor(layer, &record, &msg) ? (pid_t)hr_msg_int(&msg, "pid", 0) : 0;
}

/* The kernel frees the lock with its holder, however that ends. */
static int lock_directory(struct run *run)
{
    const char *directory = hr_layerpath_directory(run->url);
    run->lock_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run->lock_fd < 0) {
        hr_complain("cannot open %s: %s", directory, strerror(errno));
        return HR_EXIT_LAYER;
    }
    if (flock(run->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    hr_complain("'%s' runs already: supervisor pid %d, layer %s.\n"
                "  New code: headrace reload.  A second site needs another --name and another "
                "--port.",
                run->settings->headrace.name, (int)recorded_pid(run->layer), run->url);
    return HR_EXIT_LAYER;
}

/* Servers and workers go on when their supervisor dies. A record that is left behind says that it
 * did not end by itself; without one, whoever is here was started by hand. */
static int find_orphans(struct run *run)
{
    pid_t pid = recorded_pid(run->layer);
    if (pid == 0)
        return 0;
    if (hr_orphans_find(run->layer, &run->orphans) < 0) {
        hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
        return HR_EXIT_LAYER;
    }
    if (!run->orphans.strange[0])
        return 0;
    hr_complain("the supervisor of '%s' (pid %d) is gone, and of the processes that still serve at "
                "%s one cannot be taken over:\n"
                "  %s\n"
                "  It may be in another container. Let it end, then start this again.",
                run->settings->headrace.name, (int)pid, run->url, run->orphans.strange);
    return HR_EXIT_LAYER;
}

static int take_layer(struct run *run)
{
    const struct hr_layer_options options = {
        .role = HR_ROLE_CLIENT, .create = true, .label = "supervisor"};
    int r = hr_attach(run->settings, run->url, &options, &run->layer);
    if (r == 0)
        r = lock_directory(run);
    return r == 0 ? find_orphans(run) : r;
}

static int set_policies(struct run *run)
{
    if (hr_attach_policies(run->settings, run->layer) == 0)
        return 0;
    hr_complain("the settings of [channel] could not be set in the layer");
    return HR_EXIT_LAYER;
}

/* ---- taking over
 * --------------------------------------------------------------------------------- */

static bool is_listened_on(const struct run *run, const char *address)
{
    struct hr_bind bind;
    struct hr_diag diag;
    char name[HR_BIND_TEXT_MAX];
    uint16_t port = (uint16_t)run->settings->server.port;
    if (hr_bind_parse(hr_str_of(address), port, &bind, &diag) < 0)
        return false;
    if (bind.kind == HR_BIND_TCP && bind.port == 0)
        return true; /* any will do */
    hr_bind_format(&bind, name);
    for (uint32_t i = 0; i < run->listeners.n; i++)
        if (strcmp(run->listeners.items[i].name, name) == 0)
            return true;
    return false;
}

/* The servers that live decide where the site listens and how many they are: to change that they
 * would have to end, and their connections with them. */
static void keep_what_is(struct run *run)
{
    struct hr_settings_server *server = &run->settings->server;
    for (uint32_t i = 0; i < server->bind.n; i++)
        if (!is_listened_on(run, server->bind.item[i]))
            hr_log(HR_EV_CONFIG,
                   "key=server.bind address=%s text=\"new; it takes effect at the next start\"",
                   server->bind.item[i]);
    for (uint32_t i = 0; i < run->listeners.n; i++)
        if (run->listeners.items[i].n_fds > 1)
            server->processes = run->listeners.items[i].n_fds;
}

/* Of the orphans' servers, in place of what could or could not be opened. True when there were
 * any. */
static bool take_sockets(struct run *run, int *code)
{
    struct hr_sockets taken;
    int r = hr_orphans_take_sockets(&run->orphans, hr_layerpath_directory(run->url), &taken);
    if (r < 0) {
        hr_complain("the supervisor of '%s' is gone, and none of its interface servers hands over "
                    "its sockets.\n  Let them end, or kill them if they are stopped: headrace "
                    "status --all has their pids.",
                    run->settings->headrace.name);
        *code = HR_EXIT_LAYER;
        return true;
    }
    if (taken.n == 0)
        return false;
    hr_sockets_close(&run->listeners);
    run->listeners = taken;
    keep_what_is(run);
    *code = 0;
    return true;
}

/* ---- the two ways to run
 * ------------------------------------------------------------------------- */

static int run_supervised(struct run *run)
{
    hr_app_take_builds(run->settings);
    struct hr_supervisor supervisor = {
        .args = run->args,
        .settings = hr_settings_ref(run->settings),
        .listeners = &run->listeners,
        .orphans = &run->orphans,
        .layer_url = run->url,
        .layer = run->layer,
        .log_fd = run->log_fd,
        .is_watching = hr_args_option(run->args, HR_OPT_WATCH) != NULL,
    };
    hr_process_set_title("headrace: supervisor %s", run->settings->headrace.name);
    int code = hr_supervisor_run(&supervisor);
    hr_settings_unref(supervisor.settings);
    return code;
}

/* One process cannot be several, nor exchange its own code. */
static int check_inline(const struct run *run)
{
    const struct hr_settings *settings = run->settings;
    if (hr_args_option(run->args, HR_OPT_WATCH)) {
        hr_complain("--reload needs processes to exchange; with --layer memory: there is one.");
        return HR_EXIT_USAGE;
    }
    if (settings->server.processes > 1 &&
        settings->server.section.origin[HR_SET_SERVER_processes].kind != HR_FROM_PRESET) {
        hr_complain("--server-processes %" PRIu32 " needs several processes; with --layer memory: "
                    "there is one.",
                    settings->server.processes);
        return HR_EXIT_USAGE;
    }
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool)) {
        bool is_said = pool->section.origin[HR_SET_POOL_processes].kind != HR_FROM_PRESET;
        if (is_said && pool->processes > 1) {
            hr_complain("pool '%s' with processes = %" PRIu32
                        " needs several processes; with --layer "
                        "memory: there is one.",
                        pool->section.name, pool->processes);
            return HR_EXIT_USAGE;
        }
    }
    return 0;
}

static int open_log(struct run *run)
{
    run->log_fd = hr_logfile_open(&run->settings->headrace, -1);
    if (run->log_fd >= 0)
        return 0;
    hr_complain("cannot write the log to %s: %s", run->settings->headrace.log_file,
                strerror(errno));
    return HR_EXIT_SETTINGS;
}

static int run_inline(struct run *run)
{
    char why[1024];
    int r = check_inline(run);
    if (r != 0)
        return r;
    run->settings->server.processes = 1;
    r = hr_sockets_open(&run->settings->server, &run->listeners, why, sizeof why);
    if (r != 0) {
        hr_complain("%s", why);
        return r;
    }
    return hr_inline_run(run->settings, &run->listeners, run->url);
}

/* A port that is taken may be our own orphans'. Without a layer there are none, and none is made
 * to find that out. */
static int run_on_host(struct run *run)
{
    char why[1024];
    int bound = hr_sockets_open(&run->settings->server, &run->listeners, why, sizeof why);
    bool may_be_there = bound == 0 || hr_layerpath_holds_arena(hr_layerpath_directory(run->url));
    int r = may_be_there ? take_layer(run) : 0;
    if (r != 0)
        return r;
    if (!take_sockets(run, &r) && bound != 0) {
        hr_complain("%s", why);
        return bound;
    }
    if (r == 0)
        r = set_policies(run);
    return r == 0 ? run_supervised(run) : r;
}

static int prepare(struct run *run)
{
    struct hr_diag diag = {0};
    char why[1024];
    int r = hr_settings_load(run->args, &run->settings, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r);
    r = hr_app_check_all(run->settings, why, sizeof why);
    if (r != 0) {
        hr_complain("%s", why);
        return r;
    }
    r = hr_layerpath_choose(run->settings, HR_LAYER_TO_MAKE, run->url, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r) == HR_EXIT_USAGE ? HR_EXIT_USAGE : HR_EXIT_LAYER;
    hr_notify_init();
    return open_log(run);
}

int hr_verb_run(const struct hr_args *args)
{
    struct run run = {.args = args, .lock_fd = -1, .log_fd = -1};
    int code = hr_descriptors_prepare() ? prepare(&run) : HR_EXIT_SETTINGS;
    if (code == 0)
        code = hr_layerpath_directory(run.url) ? run_on_host(&run) : run_inline(&run);
    hr_sockets_close(&run.listeners);
    hr_orphans_fini(&run.orphans);
    hr_layer_close(run.layer);
    if (run.lock_fd >= 0)
        close(run.lock_fd);
    hr_settings_unref(run.settings);
    return code;
}
