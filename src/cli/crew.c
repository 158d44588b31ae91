/* crew.c - who should be running, and what is done when somebody is not; see supervisor.h.
 *
 *                    start                    ready
 *     empty seat ───────────► holder BOOTING ───────► holder READY
 *         ▲                        │ exit                 │ exit, or asked to retire
 *         └────── back-off ────────┴──────────────────────┘
 *
 * A successor boots beside a READY holder and takes its seat when it is ready
 * itself; the old holder then leaves. What leaves belongs to no seat: it is
 * only waited for, and killed when it takes too long.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "cli/exit.h"
#include "cli/supervisor.h"
#include "server/metrics.h"

/* A worker ends by itself after `drain`; what has not is stuck. */
#define KILL_GRACE HR_SECOND
/* It loads no application: what takes longer is broken. */
#define SERVER_BOOT_TIMEOUT (60 * HR_SECOND)
#define HOUR (3600 * HR_SECOND)

/* ---- crews ------------------------------------------------------------------------------------
 */

int hr_crew_new(struct hr_supervisor *supervisor, const char *name, bool is_server,
                struct hr_crew **out)
{
    struct hr_crew *crew = hr_calloc(1, sizeof *crew);
    *out = crew;
    if (!crew)
        return hr_raise(HR_ERR_NOMEM);
    crew->supervisor = supervisor;
    crew->is_server = is_server;
    hr_str_copy(crew->name, sizeof crew->name, hr_str_of(name));
    hr_list_push_back(&supervisor->crews, &crew->node);
    return 0;
}

void hr_crew_free(struct hr_crew *crew)
{
    hr_crew_shrink(crew, 0);
    hr_list_remove(&crew->node);
    hr_settings_unref(crew->settings);
    hr_free(crew->seats);
    hr_free(crew);
}

struct hr_crew *hr_crew_find(struct hr_supervisor *supervisor, struct hr_str pool)
{
    hr_list_foreach (node, &supervisor->crews) {
        struct hr_crew *crew = hr_container_of(node, struct hr_crew, node);
        if (!crew->is_server && hr_str_eq(pool, hr_str_of(crew->name)))
            return crew;
    }
    return NULL;
}

void hr_crew_configure(struct hr_crew *crew, struct hr_settings *settings)
{
    hr_settings_ref(settings);
    hr_settings_unref(crew->settings);
    crew->settings = settings;
    if (crew->is_server) {
        crew->n_wanted = settings->server.processes;
        crew->overlap = 1;
        crew->drain = settings->server.drain;
        return;
    }
    const struct hr_settings_pool *pool = hr_pool_find(settings, hr_str_of(crew->name));
    hr_assert(pool);
    crew->n_wanted = pool->processes;
    crew->overlap = pool->overlap;
    crew->drain = pool->drain;
    crew->redelivers = strcmp(pool->on_crash, "redeliver") == 0;
}

static int add_seat(struct hr_crew *crew)
{
    struct hr_seat **seats =
        hr_realloc(crew->seats, (crew->n_seats + 1) * sizeof(struct hr_seat *));
    if (!seats)
        return hr_raise(HR_ERR_NOMEM);
    crew->seats = seats;
    struct hr_seat *seat = hr_calloc(1, sizeof *seat);
    if (!seat)
        return hr_raise(HR_ERR_NOMEM);
    seat->crew = crew;
    seat->number = crew->n_seats + 1;
    snprintf(seat->label, sizeof seat->label, "%s.%" PRIu32, crew->name, seat->number);
    crew->seats[crew->n_seats++] = seat;
    return 0;
}

int hr_crew_grow(struct hr_crew *crew, uint32_t n)
{
    int r = 0;
    while (crew->n_seats < n && r == 0)
        r = add_seat(crew);
    return hr_trace(r);
}

void hr_crew_shrink(struct hr_crew *crew, uint32_t n)
{
    while (crew->n_seats > n) {
        struct hr_seat *seat = crew->seats[--crew->n_seats];
        hr_loop_stop_timer(crew->supervisor->loop, &seat->restart);
        if (seat->successor)
            hr_proc_leave(seat->successor, crew->drain);
        if (seat->holder)
            hr_proc_leave(seat->holder, crew->drain);
        hr_free(seat);
    }
}

bool hr_crew_is_ready(const struct hr_crew *crew)
{
    for (uint32_t i = 0; i < crew->n_seats; i++)
        if (!crew->seats[i]->holder || crew->seats[i]->holder->state != HR_PROC_READY)
            return false;
    return true;
}

static void note_exit(struct hr_crew *crew, const char *how)
{
    hr_supervisor_report_soon(crew->supervisor);
    crew->exits[crew->n_exits++ % HR_CREW_MAX_EXITS] = hr_time_wall();
    hr_str_copy(crew->last_exit, sizeof crew->last_exit, hr_str_of(how));
}

uint32_t hr_crew_exits_in_hour(const struct hr_crew *crew)
{
    uint32_t n = 0, kept = crew->n_exits < HR_CREW_MAX_EXITS ? crew->n_exits : HR_CREW_MAX_EXITS;
    hr_time since = hr_time_wall() - HOUR;
    for (uint32_t i = 0; i < kept; i++)
        n += crew->exits[i] >= since;
    return n;
}

/* ---- starting ---------------------------------------------------------------------------------
 */

static void on_boot_too_long(struct hr_timer *timer)
{
    struct hr_proc *proc = hr_container_of(timer, struct hr_proc, timer);
    snprintf(proc->boot_text, sizeof proc->boot_text, "not ready within boot_timeout");
    proc->was_killed = true;
    hr_proc_signal(proc, SIGKILL);
}

/* Of the settings it is started with, which may be newer than its crew's. */
static hr_time boot_timeout(const struct hr_crew *crew, const struct hr_settings *settings)
{
    const struct hr_settings_pool *pool =
        crew->is_server ? NULL : hr_pool_find(settings, hr_str_of(crew->name));
    return pool ? pool->boot_timeout : SERVER_BOOT_TIMEOUT;
}

int hr_seat_start(struct hr_seat *seat, struct hr_settings *settings, struct hr_proc **out)
{
    struct hr_crew *crew = seat->crew;
    struct hr_supervisor *supervisor = crew->supervisor;
    const struct hr_spawn spawn = {
        .verb = crew->is_server ? "serve" : "work",
        .label = seat->label,
        .pool = crew->is_server ? NULL : crew->name,
        .settings = settings,
        .layer_url = supervisor->layer_url,
        .listeners = crew->is_server ? supervisor->listeners : NULL,
        .index = seat->number - 1,
        .log_fd = supervisor->log_fd,
    };
    int r = hr_proc_start(supervisor->loop, &spawn, out);
    if (r < 0)
        return hr_trace(r);
    (*out)->seat = seat;
    hr_list_push_back(&supervisor->procs, &(*out)->node);
    hr_loop_start_timer(supervisor->loop, &(*out)->timer, boot_timeout(crew, settings),
                        on_boot_too_long);
    if (!hr_supervisor_is_quiet(supervisor))
        hr_log(HR_EV_WORKER_START, "worker=%s pid=%d", seat->label, (int)(*out)->pid);
    hr_supervisor_scan_soon(supervisor);
    return 0;
}

static void on_restart(struct hr_timer *timer)
{
    hr_seat_fill(hr_container_of(timer, struct hr_seat, restart));
}

static void fill_later(struct hr_seat *seat, hr_time lived)
{
    hr_loop_start_timer(seat->crew->supervisor->loop, &seat->restart,
                        hr_backoff_next(&seat->backoff, lived), on_restart);
}

void hr_seat_fill(struct hr_seat *seat)
{
    if (seat->holder || seat->successor || hr_supervisor_is_stopping(seat->crew->supervisor))
        return;
    int r = hr_seat_start(seat, seat->crew->settings, &seat->holder);
    if (r < 0) {
        char text[256];
        hr_error_format(text, sizeof text, r);
        hr_log(HR_EV_ERROR, "worker=%s text=\"cannot start a process\" error=%s", seat->label,
               HR_LOG_Q(hr_str_of(text)));
        fill_later(seat, 0);
    }
}

/* ---- ready, retiring, leaving -------------------------------------------------------------------
 */

void hr_seat_on_ready(struct hr_proc *proc)
{
    struct hr_seat *seat = proc->seat;
    struct hr_crew *crew = seat->crew;
    hr_loop_stop_timer(proc->loop, &proc->timer);
    proc->state = HR_PROC_READY;
    proc->boot_text[0] = proc->said[0] = '\0'; /* whatever looked like a reason was none */
    crew->was_ready = true;
    if (!hr_supervisor_is_quiet(crew->supervisor))
        hr_log(HR_EV_WORKER_READY, "worker=%s pid=%d", proc->label, (int)proc->pid);
    if (proc == seat->successor)
        hr_roll_on_ready(crew->supervisor);
}

void hr_seat_promote(struct hr_seat *seat)
{
    struct hr_proc *old = seat->holder;
    hr_assert(seat->successor && seat->successor->state == HR_PROC_READY);
    seat->holder = seat->successor;
    seat->successor = NULL;
    hr_loop_stop_timer(seat->crew->supervisor->loop, &seat->restart);
    if (old)
        hr_proc_leave(old, seat->crew->drain);
}

/* An interface server has seen it exceed its timeout. It takes nothing new, so
 * its seat is filled at once. */
void hr_seat_on_retire(struct hr_proc *proc)
{
    struct hr_seat *seat = proc->seat;
    hr_log(HR_EV_WORKER_EXIT, "worker=%s pid=%d text=\"retired after a timeout\"", proc->label,
           (int)proc->pid);
    hr_proc_leave(proc, seat->crew->drain);
    hr_seat_fill(seat);
}

void hr_seat_adopt(struct hr_seat *seat, struct hr_proc *proc, bool is_ready)
{
    struct hr_crew *crew = seat->crew;
    proc->seat = seat;
    hr_list_push_back(&crew->supervisor->procs, &proc->node);
    if (seat->holder) {
        proc->state = is_ready ? HR_PROC_READY : HR_PROC_BOOTING;
        hr_proc_leave(proc, is_ready ? crew->drain : 0);
        return;
    }
    seat->holder = proc;
    if (is_ready)
        hr_seat_on_ready(proc);
    else
        hr_loop_start_timer(proc->loop, &proc->timer, SERVER_BOOT_TIMEOUT, on_boot_too_long);
}

static void on_left_too_long(struct hr_timer *timer)
{
    struct hr_proc *proc = hr_container_of(timer, struct hr_proc, timer);
    hr_log(HR_EV_WORKER_EXIT, "worker=%s pid=%d text=\"killed: it was asked to end and did not\"",
           proc->label, (int)proc->pid);
    proc->was_killed = true;
    hr_proc_signal(proc, SIGKILL);
}

/* Before the signal, which takes its time: once a reload is said to be done,
 * nothing new may go to the old code. */
static void retire_in_layer(struct hr_layer *layer, pid_t pid)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++)
        if (member.is_live && member.pid == pid)
            hr_layer_retire(layer, member.slot, member.slot_gen);
}

void hr_proc_leave(struct hr_proc *proc, hr_time drain)
{
    struct hr_seat *seat = proc->seat;
    hr_assert(seat);
    if (seat->holder == proc)
        seat->holder = NULL;
    if (seat->successor == proc)
        seat->successor = NULL;
    if (proc->pool[0] && proc->state == HR_PROC_READY)
        retire_in_layer(seat->crew->supervisor->layer, proc->pid);
    proc->seat = NULL;
    proc->state = HR_PROC_LEAVING;
    hr_proc_signal(proc, SIGTERM);
    hr_loop_start_timer(proc->loop, &proc->timer, hr_time_add(drain, KILL_GRACE), on_left_too_long);
}

/* ---- exits ------------------------------------------------------------------------------------
 */

static enum hr_exit why_ended(const struct hr_proc *proc, int wait_status, bool was_booting,
                              bool is_oom)
{
    if (proc->was_killed)
        return HR_EXIT_TIMEOUT;
    if (was_booting)
        return HR_EXIT_BOOT;
    if (WIFSIGNALED(wait_status))
        return is_oom && WTERMSIG(wait_status) == SIGKILL ? HR_EXIT_OOM : HR_EXIT_SIGNAL;
    return proc->seat ? HR_EXIT_ERROR : HR_EXIT_ASKED;
}

static void log_boot_failure(const struct hr_proc *proc, const char *how)
{
    char text[1024];
    hr_proc_last_words(proc, "it did not start", text, sizeof text);
    hr_log(HR_EV_WORKER_DIED, "worker=%s pid=%d reason=%s text=%s", proc->label, (int)proc->pid,
           HR_LOG_Q(hr_str_of(how)), HR_LOG_Q(hr_str_of(text)));
}

/* What becomes of the event that it held, as far as that is known here. */
static const char *consequence(const struct hr_crew *crew, const struct hr_crash *crash)
{
    if (!crash->had_event)
        return "";
    if (crew->redelivers && !crash->was_retried)
        return "; the event is redelivered";
    return "; the event is lost and counted";
}

static void log_death(const struct hr_seat *seat, const struct hr_proc *proc, const char *how)
{
    char text[700];
    const struct hr_crew *crew = seat->crew;
    snprintf(text, sizeof text, "%s %s died: %s%s", crew->is_server ? "interface" : "worker",
             proc->label, proc->crash.text[0] ? proc->crash.text : how,
             consequence(crew, &proc->crash));
    hr_log(crew->is_server ? HR_EV_SERVER_DIED : HR_EV_WORKER_DIED,
           "worker=%s pid=%d reason=%s text=%s", proc->label, (int)proc->pid,
           HR_LOG_Q(hr_str_of(how)), HR_LOG_Q(hr_str_of(text)));
}

static void on_seat_empty(struct hr_seat *seat, const struct hr_proc *proc, int wait_status,
                          bool was_booting)
{
    struct hr_supervisor *supervisor = seat->crew->supervisor;
    hr_time lived = was_booting ? 0 : hr_time_now() - proc->started_at;
    if (was_booting && !seat->crew->was_ready)
        hr_supervisor_boot_failed(supervisor, proc, wait_status);
    if (hr_supervisor_is_stopping(supervisor))
        return;
    hr_time delay = hr_backoff_next(&seat->backoff, lived);
    if (delay == 0)
        hr_seat_fill(seat);
    else
        hr_loop_start_timer(supervisor->loop, &seat->restart, delay, on_restart);
}

void hr_seat_on_exit(struct hr_supervisor *supervisor, struct hr_proc *proc, int wait_status)
{
    struct hr_seat *seat = proc->seat;
    bool was_booting = proc->state == HR_PROC_BOOTING;
    bool is_oom = !proc->was_killed && hr_exit_count_oom() > proc->oom_before;
    char how[64];

    hr_proc_reaped(proc);
    hr_exit_format(wait_status, is_oom, how, sizeof how);
    if (proc->pool[0])
        hr_metrics_count_exit(supervisor->layer, hr_str_of(proc->pool),
                              why_ended(proc, wait_status, was_booting, is_oom));
    if (!seat) {
        hr_log(HR_EV_WORKER_EXIT, "worker=%s pid=%d reason=%s", proc->label, (int)proc->pid,
               HR_LOG_Q(hr_str_of(how)));
        hr_proc_dispose(proc);
        return;
    }
    note_exit(seat->crew, how);
    if (was_booting)
        log_boot_failure(proc, how);
    else
        log_death(seat, proc, how);
    bool was_successor = proc == seat->successor;
    proc->seat = NULL;
    if (was_successor) {
        seat->successor = NULL;
        hr_roll_on_boot_exit(supervisor, proc, was_booting, wait_status);
    } else {
        seat->holder = NULL;
        on_seat_empty(seat, proc, wait_status, was_booting);
    }
    hr_proc_dispose(proc);
}
