/* supervisor.c - states, signals and the scan of the layer; see supervisor.h.
 *
 *     STARTING ──all ready──► RUNNING
 *        │ boot failed           │ TERM, INT
 *        └──────────┬────────────┘
 *                   ▼
 *          STOPPING_SERVERS ──none left──► STOPPING_WORKERS ──none left──► ENDED
 *
 * Servers go first, because requests they still hold need workers to end. A
 * second INT kills whatever is left. Who is ready and who was asked to retire
 * is read from the layer's table of members, often while something boots and
 * now and then otherwise: children tell the layer, not us, so that a
 * supervisor is needed for nothing but starting and ending processes.
 */
#include "cli/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/logfile.h"
#include "cli/notify.h"
#include "cli/orphans.h"
#include "cli/page.h"

#define SCAN_BUSY (20 * HR_MS)
#define SCAN_IDLE (500 * HR_MS)
#define RECOVERY_TIME (10 * HR_SECOND) /* from a death until nobody will still be cleaning up */
#define REPORT_EVERY (30 * HR_SECOND)  /* more often than samples are taken: history.h */
#define REPORT_SOON (100 * HR_MS)

static bool move_allowed(enum hr_supervisor_state from, enum hr_supervisor_state to)
{
    switch (from) {
    case HR_SUPERVISOR_STARTING:
        return to == HR_SUPERVISOR_RUNNING || to == HR_SUPERVISOR_STOPPING_SERVERS;
    case HR_SUPERVISOR_RUNNING:
        return to == HR_SUPERVISOR_STOPPING_SERVERS;
    case HR_SUPERVISOR_STOPPING_SERVERS:
        return to == HR_SUPERVISOR_STOPPING_WORKERS;
    case HR_SUPERVISOR_STOPPING_WORKERS:
        return to == HR_SUPERVISOR_ENDED;
    case HR_SUPERVISOR_ENDED:
        return false;
    }
    return false;
}

static void move_to(struct hr_supervisor *supervisor, enum hr_supervisor_state to)
{
    hr_assert(move_allowed(supervisor->state, to));
    supervisor->state = to;
}

bool hr_supervisor_is_stopping(const struct hr_supervisor *supervisor)
{
    return supervisor->state >= HR_SUPERVISOR_STOPPING_SERVERS;
}

bool hr_supervisor_is_quiet(const struct hr_supervisor *supervisor)
{
    return supervisor->state == HR_SUPERVISOR_STARTING && !hr_log_is_json();
}

/* ---- starting ---------------------------------------------------------------------------------
 */

static int make_crew(struct hr_supervisor *supervisor, const char *name, bool is_server)
{
    struct hr_crew *crew;
    int r = hr_crew_new(supervisor, name, is_server, &crew);
    if (r < 0)
        return hr_trace(r);
    hr_crew_configure(crew, supervisor->settings);
    return hr_trace(hr_crew_grow(crew, crew->n_wanted));
}

/* Whoever is here already sits down first. */
static int fill_crews(struct hr_supervisor *supervisor)
{
    int r = make_crew(supervisor, "server", true);
    for (struct hr_settings_pool *pool = hr_pool_first(supervisor->settings); pool && r == 0;
         pool = hr_pool_next(pool))
        r = make_crew(supervisor, pool->section.name, false);
    if (r == 0)
        r = hr_orphans_adopt(supervisor->orphans, supervisor);
    hr_list_foreach (node, &supervisor->crews) {
        struct hr_crew *crew = hr_container_of(node, struct hr_crew, node);
        for (uint32_t i = 0; i < crew->n_seats && r == 0; i++)
            hr_seat_fill(crew->seats[i]);
    }
    return hr_trace(r);
}

static void on_up(struct hr_supervisor *supervisor)
{
    move_to(supervisor, HR_SUPERVISOR_RUNNING);
    const struct hr_page page = {
        .settings = supervisor->settings,
        .listeners = supervisor->listeners,
        .layer_url = supervisor->layer_url,
        .is_watching = supervisor->is_watching,
    };
    if (!hr_log_is_json()) {
        hr_page_print(&page);
    } else {
        for (uint32_t i = 0; i < supervisor->listeners->n; i++)
            hr_log(HR_EV_LISTEN, "address=%s", supervisor->listeners->items[i].name);
        hr_log(HR_EV_START, "pid=%d layer=%s", (int)getpid(), supervisor->layer_url);
    }
    hr_notify("READY=1");
}

/* ---- the layer's table of members
 * ---------------------------------------------------------------- */

static struct hr_proc *find_proc(struct hr_supervisor *supervisor, pid_t pid)
{
    hr_list_foreach (node, &supervisor->procs) {
        struct hr_proc *proc = hr_container_of(node, struct hr_proc, node);
        if (proc->pid == pid && proc->state != HR_PROC_ENDED)
            return proc;
    }
    return NULL;
}

static void look_at(struct hr_supervisor *supervisor, const struct hr_member *member)
{
    struct hr_proc *proc = member->is_live ? find_proc(supervisor, member->pid) : NULL;
    if (!proc && supervisor->orphans->n > 0)
        hr_orphans_adopt_late(supervisor, member);
    if (!proc)
        return;
    if (proc->state == HR_PROC_BOOTING && (member->flags & HR_MEMBER_READY))
        hr_seat_on_ready(proc);
    else if (proc->state == HR_PROC_READY && (member->flags & HR_MEMBER_RETIRE))
        hr_seat_on_retire(proc);
}

/* Whoever notices a death cleans up, and the layer logs nothing itself: it is said here. */
static void log_recoveries(struct hr_supervisor *supervisor)
{
    struct hr_arena_stats stats;
    hr_layer_arena_stats(supervisor->layer, &stats);
    uint64_t n = stats.n_recovered - supervisor->n_recovered;
    supervisor->n_recovered = stats.n_recovered;
    if (n > 0)
        hr_log(HR_EV_RECOVERED,
               "members=%" PRIu64 " total=%" PRIu64
               " text=\"what dead members of the layer held was returned, counted or freed\"",
               n, stats.n_recovered);
}

static bool is_anyone_booting(const struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->procs)
        if (hr_container_of(node, struct hr_proc, node)->state == HR_PROC_BOOTING)
            return true;
    return false;
}

static bool is_everyone_ready(const struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->crews)
        if (!hr_crew_is_ready(hr_container_of(node, struct hr_crew, node)))
            return false;
    return true;
}

static void on_scan(struct hr_timer *timer)
{
    struct hr_supervisor *supervisor = hr_container_of(timer, struct hr_supervisor, scan);
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(supervisor->layer, slot, &member); slot++)
        look_at(supervisor, &member);
    if (supervisor->state == HR_SUPERVISOR_STARTING && is_everyone_ready(supervisor))
        on_up(supervisor);
    if (hr_time_now() < supervisor->recovers_until)
        log_recoveries(supervisor);
    hr_loop_start_timer(supervisor->loop, &supervisor->scan,
                        is_anyone_booting(supervisor) ? SCAN_BUSY : SCAN_IDLE, on_scan);
}

void hr_supervisor_scan_soon(struct hr_supervisor *supervisor)
{
    hr_loop_start_timer(supervisor->loop, &supervisor->scan, SCAN_BUSY, on_scan);
}

/* ---- stopping ---------------------------------------------------------------------------------
 */

static bool is_server_left(const struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->procs)
        if (!hr_container_of(node, struct hr_proc, node)->pool[0])
            return true;
    return false;
}

static void empty_crews(struct hr_supervisor *supervisor, bool of_servers)
{
    hr_list_foreach (node, &supervisor->crews) {
        struct hr_crew *crew = hr_container_of(node, struct hr_crew, node);
        if (crew->is_server == of_servers)
            hr_crew_shrink(crew, 0);
    }
}

static void stop_on(struct hr_supervisor *supervisor)
{
    if (supervisor->state == HR_SUPERVISOR_STOPPING_SERVERS && !is_server_left(supervisor)) {
        move_to(supervisor, HR_SUPERVISOR_STOPPING_WORKERS);
        empty_crews(supervisor, false);
    }
    if (supervisor->state == HR_SUPERVISOR_STOPPING_WORKERS &&
        hr_list_is_empty(&supervisor->procs)) {
        move_to(supervisor, HR_SUPERVISOR_ENDED);
        hr_loop_stop(supervisor->loop);
    }
}

static void begin_stop(struct hr_supervisor *supervisor, int exit_code)
{
    if (hr_supervisor_is_stopping(supervisor))
        return;
    supervisor->exit_code = exit_code;
    move_to(supervisor, HR_SUPERVISOR_STOPPING_SERVERS);
    hr_log(HR_EV_STOP, "pid=%d text=\"requests in hand are finished first\"", (int)getpid());
    hr_notify("STOPPING=1");
    hr_roll_abort(supervisor);
    empty_crews(supervisor, true);
    stop_on(supervisor);
}

static void complain_of_boot(const struct hr_proc *proc, const char *how)
{
    struct hr_str rest = hr_str_of(proc->said), line;
    hr_complain("%s did not start: %s", proc->label, hr_proc_why(proc, how));
    if (rest.len > 0)
        fputs("  It wrote:\n", stderr);
    while (hr_str_next(&rest, '\n', &line))
        fprintf(stderr, "    %.*s\n", HR_STR(line));
}

void hr_supervisor_boot_failed(struct hr_supervisor *supervisor, const struct hr_proc *proc,
                               int wait_status)
{
    char how[64];
    if (supervisor->state != HR_SUPERVISOR_STARTING)
        return;
    if (supervisor->is_watching && proc->pool[0])
        return; /* its author will save a better one */
    hr_exit_format(wait_status, false, how, sizeof how);
    complain_of_boot(proc, how);
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : HR_EXIT_APP_FAILED;
    begin_stop(supervisor, code ? code : HR_EXIT_APP_FAILED);
}

static void kill_all(struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->procs)
        hr_proc_signal(hr_container_of(node, struct hr_proc, node), SIGKILL);
}

/* ---- signals ----------------------------------------------------------------------------------
 */

/* Who was ready and died before the next scan did not die at boot. */
static void look_back(struct hr_supervisor *supervisor, struct hr_proc *proc)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(supervisor->layer, slot, &member); slot++)
        if (member.pid == proc->pid && (member.flags & HR_MEMBER_READY) &&
            proc->state == HR_PROC_BOOTING)
            hr_seat_on_ready(proc);
}

/* As process 1 of a container we also inherit orphans: they are only reaped. */
static void on_child(struct hr_supervisor *supervisor)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct hr_proc *proc = find_proc(supervisor, pid);
        if (!proc)
            continue;
        look_back(supervisor, proc);
        hr_seat_on_exit(supervisor, proc, status);
        supervisor->recovers_until = hr_time_now() + RECOVERY_TIME;
    }
    stop_on(supervisor);
}

static struct hr_supervisor *the_supervisor; /* signals and ends have no argument of their own */

void hr_supervisor_on_end(struct hr_proc *proc)
{
    look_back(the_supervisor, proc);
    hr_seat_on_exit(the_supervisor, proc, HR_WAIT_UNKNOWN);
    stop_on(the_supervisor);
}

static void on_interrupt(struct hr_supervisor *supervisor)
{
    begin_stop(supervisor, HR_EXIT_OK);
    if (supervisor->was_interrupted) {
        empty_crews(supervisor, false);
        kill_all(supervisor);
    }
    supervisor->was_interrupted = true;
}

/* An operator's, or the kernel's because our terminal was closed. */
static void on_hangup(struct hr_supervisor *supervisor)
{
    if (supervisor->had_terminal && !isatty(STDERR_FILENO))
        begin_stop(supervisor, HR_EXIT_OK);
    else if (!hr_supervisor_is_stopping(supervisor))
        hr_roll_ask(supervisor, (struct hr_str){0}, "SIGHUP", NULL);
}

static void reopen_logs(struct hr_supervisor *supervisor)
{
    hr_logfile_reopen();
    hr_list_foreach (node, &supervisor->procs)
        hr_proc_signal(hr_container_of(node, struct hr_proc, node), SIGUSR1);
}

static void on_signal(struct hr_signal *signal, int number)
{
    (void)signal;
    switch (number) {
    case SIGCHLD:
        on_child(the_supervisor);
        break;
    case SIGTERM:
        begin_stop(the_supervisor, HR_EXIT_OK);
        break;
    case SIGINT:
        on_interrupt(the_supervisor);
        break;
    case SIGHUP:
        on_hangup(the_supervisor);
        break;
    case SIGUSR1:
        reopen_logs(the_supervisor);
        break;
    default: /* would end us, and mean other things elsewhere */
        hr_log(HR_EV_CONFIG, "signal=SIG%s text=\"not one that this version knows\"",
               sigabbrev_np(number));
    }
}

static const int signal_numbers[HR_SUPERVISOR_SIGNALS] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP,
                                                          SIGUSR1, SIGUSR2, SIGQUIT};

static int open_signals(struct hr_supervisor *supervisor)
{
    the_supervisor = supervisor;
    for (int i = 0; i < HR_SUPERVISOR_SIGNALS; i++) {
        int r =
            hr_signal_open(supervisor->loop, &supervisor->signals[i], signal_numbers[i], on_signal);
        if (r < 0)
            return hr_trace(r);
        supervisor->n_signals++;
    }
    return 0;
}

/* ---- timers and files
 * ---------------------------------------------------------------------------- */

static void on_watchdog(struct hr_timer *timer)
{
    struct hr_supervisor *supervisor = hr_container_of(timer, struct hr_supervisor, watchdog);
    hr_notify("WATCHDOG=1");
    hr_loop_start_timer(supervisor->loop, timer, hr_notify_watchdog_interval(), on_watchdog);
}

static void on_report(struct hr_timer *timer)
{
    struct hr_supervisor *supervisor = hr_container_of(timer, struct hr_supervisor, report);
    log_recoveries(supervisor);
    hr_control_report(supervisor);
    hr_loop_start_timer(supervisor->loop, timer, REPORT_EVERY, on_report);
}

void hr_supervisor_report_soon(struct hr_supervisor *supervisor)
{
    hr_loop_start_timer(supervisor->loop, &supervisor->report, REPORT_SOON, on_report);
}

static void on_built(struct hr_watch *watch, const char *name)
{
    struct hr_supervisor *supervisor = hr_container_of(watch, struct hr_supervisor, watch);
    if (!hr_supervisor_is_stopping(supervisor))
        hr_roll_ask(supervisor, (struct hr_str){0}, name, NULL);
}

/* The site is up, and has been all the while. Workers are exchanged for children of ours, with
 * these settings and this code, and nobody notices. */
static void on_adopted(struct hr_supervisor *supervisor)
{
    on_up(supervisor);
    hr_log(HR_EV_START, "text=\"took over %" PRIu32 " processes of a supervisor that died\"",
           supervisor->orphans->n);
    hr_roll_ask(supervisor, (struct hr_str){0}, "taking over", NULL);
}

static int start_all(struct hr_supervisor *supervisor)
{
    int r = open_signals(supervisor);
    if (r == 0)
        r = hr_control_open(supervisor);
    if (r == 0 && supervisor->is_watching)
        r = hr_watch_open(supervisor->loop, &supervisor->watch, supervisor->settings, on_built);
    if (r == 0)
        r = hr_control_announce(supervisor); /* before there is a server that could say 404 */
    if (r == 0)
        r = fill_crews(supervisor);
    if (r < 0)
        return hr_trace(r);
    if (hr_notify_watchdog_interval() > 0)
        on_watchdog(&supervisor->watchdog);
    struct hr_arena_stats stats;
    hr_layer_arena_stats(supervisor->layer, &stats);
    supervisor->n_recovered = stats.n_recovered; /* by earlier runs */
    on_report(&supervisor->report);
    hr_supervisor_scan_soon(supervisor);
    if (supervisor->orphans->n > 0)
        on_adopted(supervisor);
    return 0;
}

/* None is left, unless starting failed half-way: then those who were here before us go on. */
static void kill_children(struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->procs) {
        const struct hr_proc *proc = hr_container_of(node, struct hr_proc, node);
        if (proc->pidfd < 0)
            hr_proc_signal(proc, SIGKILL);
    }
}

static void end_all(struct hr_supervisor *supervisor)
{
    kill_children(supervisor);
    while (!hr_list_is_empty(&supervisor->procs)) {
        struct hr_proc *proc = hr_list_first(&supervisor->procs, struct hr_proc, node);
        waitpid(proc->pid, NULL, 0);
        hr_proc_dispose(proc);
    }
    while (!hr_list_is_empty(&supervisor->crews))
        hr_crew_free(hr_list_first(&supervisor->crews, struct hr_crew, node));
    hr_watch_close(&supervisor->watch);
    hr_control_close(supervisor);
    for (int i = 0; i < supervisor->n_signals; i++)
        hr_signal_close(&supervisor->signals[i]);
    hr_loop_stop_timer(supervisor->loop, &supervisor->scan);
    hr_loop_stop_timer(supervisor->loop, &supervisor->watchdog);
    hr_loop_stop_timer(supervisor->loop, &supervisor->report);
    hr_loop_stop_timer(supervisor->loop, &supervisor->next_roll);
}

int hr_supervisor_run(struct hr_supervisor *supervisor)
{
    char text[256];
    hr_list_init(&supervisor->crews);
    hr_list_init(&supervisor->procs);
    supervisor->had_terminal = isatty(STDERR_FILENO);
    int r = hr_loop_new(&supervisor->loop);
    if (r == 0) {
        r = start_all(supervisor);
        if (r == 0)
            r = hr_loop_run(supervisor->loop);
        end_all(supervisor);
        hr_loop_free(supervisor->loop);
    }
    if (r == 0)
        return supervisor->exit_code;
    hr_error_format(text, sizeof text, r);
    hr_complain("the supervisor cannot run: %s", text);
    return HR_EXIT_SETTINGS;
}
