/* run.c - `headrace run`: the whole site on this host.
 *
 * Everything that can be wrong is looked at before anything is started, in the
 * order in which people can mend it: settings, application, does the site run
 * already, addresses, the layer. The addresses are bound before the layer is
 * opened, because root may become another user there. A port that cannot be
 * bound is told last: "port taken" would be a poor way to say that the site
 * runs already.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
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
#include "cli/settings_load.h"
#include "cli/supervisor.h"
#include "cli/verbs.h"

struct run {
    const struct hr_args *args;
    struct hr_settings *settings;
    struct hr_sockets listeners;
    struct hr_layer *layer;
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
    uint32_t cursor = 0;
    struct hr_msg msg;
    while (hr_layer_record_next(layer, &cursor, &record))
        if (strcmp(record.key, "supervisor") == 0 &&
            hr_msg_check(record.data, record.len, &msg) == 0)
            return (pid_t)hr_msg_int(&msg, "pid", 0);
    return 0;
}

/* Appends what fits whole. */
static void append(char *out, size_t size, size_t *len, const char *format, ...) HR_PRINTF(4, 5);
static void append(char *out, size_t size, size_t *len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out + *len, size - *len, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < size - *len)
        *len += (size_t)n;
    else
        out[*len] = '\0';
}

/* Lists live interface servers and workers, and their pids alone; gives their number. */
static uint32_t list_children(struct hr_layer *layer, char *out, size_t size, char *pids,
                              size_t pids_size)
{
    struct hr_member member;
    uint32_t n = 0;
    size_t len = 0, pids_len = 0;
    out[0] = pids[0] = '\0';
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++) {
        if (!member.is_live || (member.role != HR_ROLE_SERVER && member.role != HR_ROLE_WORKER))
            continue;
        append(out, size, &len, "%s%s %d", n ? ", " : "", member.label, (int)member.pid);
        append(pids, pids_size, &pids_len, " %d", (int)member.pid);
        n++;
    }
    return n;
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

/* Servers and workers go on when their supervisor dies; two sets would share their work. A record
 * that is left behind says that it did not end by itself. Without one, whoever is here was started
 * by hand. */
static int check_orphans(const struct run *run)
{
    char list[2048], pids[1024];
    pid_t pid = recorded_pid(run->layer);
    if (pid == 0 || list_children(run->layer, list, sizeof list, pids, sizeof pids) == 0)
        return 0;
    hr_complain("the supervisor of '%s' (pid %d) is gone, and its processes still serve at %s:\n"
                "  %s\n"
                "  Let them end before this one takes over: kill%s",
                run->settings->headrace.name, (int)pid, run->url, list, pids);
    return HR_EXIT_LAYER;
}

static int take_layer(struct run *run)
{
    const struct hr_layer_options options = {
        .role = HR_ROLE_CLIENT, .create = true, .label = "supervisor"};
    int r = hr_attach(run->settings, run->url, &options, &run->layer);
    if (r == 0)
        r = lock_directory(run);
    if (r == 0)
        r = check_orphans(run);
    if (r == 0 && hr_attach_policies(run->settings, run->layer) != 0) {
        hr_complain("the settings of [channel] could not be set in the layer");
        r = HR_EXIT_LAYER;
    }
    return r;
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

/* Does the site run, or what its supervisor left behind? Looked at without making anything. */
static int check_running(struct run *run)
{
    const struct hr_layer_options options = {.role = HR_ROLE_OBSERVER};
    if (hr_layer_open(run->url, &options, &run->layer) != 0)
        return 0;
    int r = lock_directory(run);
    return r ? r : check_orphans(run);
}

static int run_on_host(struct run *run)
{
    char why[1024];
    int bound = hr_sockets_open(&run->settings->server, &run->listeners, why, sizeof why);
    int r = bound == 0 ? take_layer(run) : check_running(run);
    if (r != 0)
        return r;
    if (bound != 0) {
        hr_complain("%s", why);
        return bound;
    }
    return run_supervised(run);
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
    hr_layer_close(run.layer);
    if (run.lock_fd >= 0)
        close(run.lock_fd);
    hr_settings_unref(run.settings);
    return code;
}
