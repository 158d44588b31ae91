/* roll.c - reload: new workers beside the old, and the old leave; see supervisor.h.
 *
 * Pool by pool, in batches of `overlap` seats:
 *
 *     start a successor for each seat of the batch
 *       ├─ all are ready ──► they take the seats, the old holders leave; next batch
 *       └─ one exits first ─► when all have decided, the batch's successors leave
 *                             and the reload is refused: the old keep serving
 *
 * A pool whose overlap is its number of processes is thus exchanged whole or
 * not at all; a smaller overlap costs less memory, and a build that fails only
 * sometimes may leave a mixture, of which each process is a healthy one.
 *
 * Settings are read anew first. They reach a pool together with its new code;
 * those of [server] and [layer] are facts of processes and memory that go on,
 * so changes there are named and wait for the next start.
 *
 * One reload is under way at a time. What is asked for meanwhile waits, since
 * the files may have changed after they were read; of those that nobody waits
 * for, one is enough.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/assert.h"
#include "base/log.h"
#include "cli/app.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/notify.h"
#include "cli/settings_load.h"
#include "cli/supervisor.h"
#include "cli/units.h"

/* ---- how it ends -------------------------------------------------------------------------------
 */

static void on_next_roll(struct hr_timer *timer);

static void end_roll(struct hr_supervisor *supervisor)
{
    hr_settings_unref(supervisor->roll.next);
    supervisor->roll = (struct hr_roll){0};
    hr_notify("READY=1");
    if (supervisor->n_waiting > 0)
        hr_loop_start_timer(supervisor->loop, &supervisor->next_roll, 0, on_next_roll);
}

static void tell_refused(struct hr_supervisor *supervisor, const struct hr_asker *asker,
                         enum hr_event event, int code, const char *why)
{
    char text[1400];
    snprintf(text, sizeof text, "reload refused: %s%s%s", why,
             hr_str_ends(hr_str_of(why), HR_LIT(".")) ? "" : ".",
             hr_supervisor_is_stopping(supervisor) ? "" : " The old workers keep serving.");
    hr_log(event, "text=%s", HR_LOG_Q(hr_str_of(text)));
    hr_control_answer(supervisor, asker, false, code, text);
}

static void refuse(struct hr_supervisor *supervisor, enum hr_event event, int code, const char *why)
{
    tell_refused(supervisor, &supervisor->roll.reload.asker, event, code, why);
    end_roll(supervisor);
}

/* The batch's successors leave; seats and crews that were made for it go. */
static void undo_batch(struct hr_supervisor *supervisor)
{
    struct hr_crew *crew = supervisor->roll.crew;
    if (!crew)
        return;
    for (uint32_t i = 0; i < crew->n_seats; i++)
        if (crew->seats[i]->successor)
            hr_proc_leave(crew->seats[i]->successor, 0);
    if (crew->n_seats > supervisor->roll.n_before)
        hr_crew_shrink(crew, supervisor->roll.n_before);
    if (!crew->settings) {
        hr_crew_free(crew);
        return;
    }
    for (uint32_t i = 0; i < crew->n_seats; i++)
        hr_seat_fill(crew->seats[i]); /* whose holder has died meanwhile */
}

static void refuse_batch(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    char why[1200];
    if (roll->n_batch == 1)
        snprintf(why, sizeof why, "the new '%s' worker exited at boot: %s", roll->crew->name,
                 roll->reason);
    else
        snprintf(why, sizeof why, "%" PRIu32 " of %" PRIu32 " new '%s' workers exited at boot: %s",
                 roll->n_failed, roll->n_batch, roll->crew->name, roll->reason);
    undo_batch(supervisor);
    refuse(supervisor, HR_EV_APP, roll->code, why);
}

/* Pools that the new settings do not have any more. */
static void remove_crews(struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->crews) {
        struct hr_crew *crew = hr_container_of(node, struct hr_crew, node);
        if (crew->is_server || hr_pool_find(supervisor->roll.next, hr_str_of(crew->name)))
            continue;
        hr_control_forget(supervisor, crew->name);
        hr_crew_free(crew);
    }
}

static void take_settings(struct hr_supervisor *supervisor)
{
    struct hr_settings *next = supervisor->roll.next;
    remove_crews(supervisor);
    hr_settings_unref(supervisor->settings);
    supervisor->settings = hr_settings_ref(next);
    if (hr_attach_policies(next, supervisor->layer) != 0)
        hr_log(HR_EV_LAYER, "text=\"the settings of [channel] could not be set\"");
    if (supervisor->is_watching && hr_watch_files(&supervisor->watch, next) < 0)
        hr_log(HR_EV_CONFIG, "text=\"a new application's directory cannot be watched\"");
}

static void finish(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    char took[HR_UNITS_TEXT_MAX], text[512];
    if (!roll->reload.pool[0])
        take_settings(supervisor);
    hr_units_about_duration(hr_time_now() - roll->began_at, took);
    struct hr_connection_figures sockets;
    hr_figures_of_connections(supervisor->layer, &sockets);
    uint64_t n = sockets.n_http + sockets.n_websocket;
    snprintf(text, sizeof text, "reloaded in %s (%s); %" PRIu64 " socket%s kept", took,
             roll->reload.cause, n, n == 1 ? "" : "s");
    hr_log(HR_EV_RELOAD, "text=%s", HR_LOG_Q(hr_str_of(text)));
    hr_control_report(supervisor);
    hr_control_answer(supervisor, &roll->reload.asker, true, HR_EXIT_OK, text);
    end_roll(supervisor);
}

/* ---- how it goes on ----------------------------------------------------------------------------
 */

static void note_failure(struct hr_roll *roll, int code, const char *words)
{
    if (roll->n_failed++ > 0)
        return;
    roll->code = code;
    hr_str_copy(roll->reason, sizeof roll->reason, hr_str_of(words));
}

static void start_successor(struct hr_roll *roll, struct hr_seat *seat)
{
    roll->n_batch++;
    int r = hr_seat_start(seat, roll->next, &seat->successor);
    if (r < 0)
        note_failure(roll, HR_EXIT_SETTINGS, hr_error_text(r));
    else
        roll->n_booting++;
}

/* Comes to the pool's crew, which is made when the pool is new. */
static int enter_pool(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    const char *name = roll->pool->section.name;
    roll->crew = hr_crew_find(supervisor, hr_str_of(name));
    int r = roll->crew ? 0 : hr_crew_new(supervisor, name, false, &roll->crew);
    if (r < 0)
        return hr_trace(r);
    roll->n_before = roll->crew->n_seats;
    roll->n_rolled = 0;
    return hr_trace(hr_crew_grow(roll->crew, roll->pool->processes));
}

/* All its seats have new holders. */
static void leave_pool(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    hr_crew_configure(roll->crew, roll->next);
    hr_crew_shrink(roll->crew, roll->pool->processes);
    roll->crew = NULL;
    roll->pool = roll->reload.pool[0] ? NULL : hr_pool_next(roll->pool);
}

/* Starts the next batch; what needs no waiting is done at once. */
static void go_on(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    while (roll->pool) {
        if (!roll->crew && enter_pool(supervisor) < 0) {
            undo_batch(supervisor);
            refuse(supervisor, HR_EV_ERROR, HR_EXIT_SETTINGS, hr_error_text(HR_ERR_NOMEM));
            return;
        }
        roll->n_batch = 0;
        while (roll->n_batch < roll->pool->overlap && roll->n_rolled < roll->pool->processes)
            start_successor(roll, roll->crew->seats[roll->n_rolled++]);
        if (roll->n_booting > 0)
            return;
        if (roll->n_failed > 0) {
            refuse_batch(supervisor);
            return;
        }
        if (roll->n_batch == 0)
            leave_pool(supervisor);
    }
    finish(supervisor);
}

static void on_batch_decided(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    if (roll->n_failed > 0) {
        refuse_batch(supervisor);
        return;
    }
    for (uint32_t i = 0; i < roll->crew->n_seats; i++)
        if (roll->crew->seats[i]->successor)
            hr_seat_promote(roll->crew->seats[i]);
    go_on(supervisor);
}

void hr_roll_on_ready(struct hr_supervisor *supervisor)
{
    struct hr_roll *roll = &supervisor->roll;
    char text[128];
    hr_assert(roll->is_active && roll->n_booting > 0);
    roll->n_booting--;
    snprintf(text, sizeof text, "%s: %" PRIu32 " of %" PRIu32 " new workers are ready",
             roll->crew->name, roll->n_rolled - roll->n_booting - roll->n_failed,
             roll->pool->processes);
    hr_control_progress(supervisor, &roll->reload.asker, text);
    if (roll->n_booting == 0)
        on_batch_decided(supervisor);
}

void hr_roll_on_boot_exit(struct hr_supervisor *supervisor, const struct hr_proc *proc,
                          bool was_booting, int wait_status)
{
    struct hr_roll *roll = &supervisor->roll;
    char how[64], words[sizeof roll->reason];
    hr_exit_format(wait_status, false, how, sizeof how);
    hr_proc_last_words(proc, how, words, sizeof words);
    int code = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == HR_EXIT_APP_NOT_FOUND
                   ? HR_EXIT_APP_NOT_FOUND
                   : HR_EXIT_APP_FAILED;
    note_failure(roll, code, words);
    if (was_booting && --roll->n_booting == 0)
        on_batch_decided(supervisor);
}

void hr_roll_abort(struct hr_supervisor *supervisor)
{
    static const char why[] = "the site is being stopped";
    for (uint32_t i = 0; i < supervisor->n_waiting; i++)
        tell_refused(supervisor, &supervisor->waiting[i].asker, HR_EV_RELOAD, HR_EXIT_SETTINGS,
                     why);
    supervisor->n_waiting = 0;
    hr_loop_stop_timer(supervisor->loop, &supervisor->next_roll);
    if (!supervisor->roll.is_active)
        return;
    undo_batch(supervisor);
    refuse(supervisor, HR_EV_RELOAD, HR_EXIT_SETTINGS, why);
}

/* ---- how it begins ------------------------------------------------------------------------------
 */

static void name_change(const struct hr_setting *row)
{
    struct hr_str key = hr_setting_key(row);
    hr_log(HR_EV_CONFIG, "key=%s.%.*s text=\"changed; it takes effect at the next start\"",
           hr_section_word(row->section), HR_STR(key));
}

/* A value as text, a list with all its items. */
static void format_whole(const struct hr_section *section, const struct hr_setting *row, char *out,
                         size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (uint32_t i = 0;
         len + 1 < size && hr_settings_format(section, row, i, out + len, size - len); i++) {
        len += strlen(out + len);
        if (len + 1 < size)
            out[len++] = ',';
        out[len] = '\0';
    }
}

static void name_changes(const struct hr_section *old, const struct hr_section *next)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        char before[8192], after[8192];
        if (row->section != old->kind || row->section == HR_SECTION_POOL ||
            i == HR_SET_HEADRACE_app || i == HR_SET_HEADRACE_chdir)
            continue;
        format_whole(old, row, before, sizeof before);
        format_whole(next, row, after, sizeof after);
        if (strcmp(before, after) != 0)
            name_change(row);
    }
}

/* Reads the settings and looks at the applications. Returns 0 or an exit code with `why`. */
static int read_anew(struct hr_supervisor *supervisor, char *why, size_t size)
{
    struct hr_diag diag = {0};
    int r = hr_settings_load(supervisor->args, &supervisor->roll.next, &diag);
    if (r == HR_ERR_CONFIG)
        hr_diag_format(&diag, why, size);
    else if (r < 0)
        snprintf(why, size, "%s", hr_error_text(r));
    if (r < 0)
        return HR_EXIT_SETTINGS;
    int code = hr_app_check_all(supervisor->roll.next, why, size);
    if (code == 0)
        hr_app_take_builds(supervisor->roll.next);
    return code;
}

static bool choose_pools(struct hr_roll *roll)
{
    struct hr_str pool = hr_str_of(roll->reload.pool);
    roll->pool = pool.len > 0 ? hr_pool_find(roll->next, pool) : hr_pool_first(roll->next);
    return roll->pool != NULL;
}

static void begin(struct hr_supervisor *supervisor, const struct hr_reload *reload)
{
    struct hr_roll *roll = &supervisor->roll;
    char why[1200];
    *roll = (struct hr_roll){.is_active = true, .reload = *reload, .began_at = hr_time_now()};
    hr_notify_reloading();

    int code = read_anew(supervisor, why, sizeof why);
    if (code == 0 && !choose_pools(roll)) {
        snprintf(why, sizeof why, "there is no pool '%s'", reload->pool);
        code = HR_EXIT_SETTINGS;
    }
    if (code != 0) {
        refuse(supervisor, HR_EV_CONFIG, code, why);
        return;
    }
    name_changes(&supervisor->settings->headrace.section, &roll->next->headrace.section);
    name_changes(&supervisor->settings->server.section, &roll->next->server.section);
    name_changes(&supervisor->settings->layer.section, &roll->next->layer.section);
    go_on(supervisor);
}

static void on_next_roll(struct hr_timer *timer)
{
    struct hr_supervisor *supervisor = hr_container_of(timer, struct hr_supervisor, next_roll);
    if (supervisor->roll.is_active || supervisor->n_waiting == 0)
        return;
    struct hr_reload next = supervisor->waiting[0];
    supervisor->n_waiting--;
    memmove(supervisor->waiting, supervisor->waiting + 1,
            supervisor->n_waiting * sizeof *supervisor->waiting);
    begin(supervisor, &next);
}

/* One that nobody waits for, and that will be done anyway. */
static bool is_covered(const struct hr_supervisor *supervisor, const struct hr_reload *reload)
{
    if (hr_addr_is_set(&reload->asker.address))
        return false;
    for (uint32_t i = 0; i < supervisor->n_waiting; i++)
        if (strcmp(supervisor->waiting[i].pool, reload->pool) == 0)
            return true;
    return false;
}

void hr_roll_ask(struct hr_supervisor *supervisor, struct hr_str pool, const char *cause,
                 const struct hr_asker *asker)
{
    struct hr_reload reload = {0};
    if (asker)
        reload.asker = *asker;
    hr_str_copy(reload.cause, sizeof reload.cause, hr_str_of(cause));
    hr_str_copy(reload.pool, sizeof reload.pool, pool);
    if (hr_supervisor_is_stopping(supervisor)) {
        tell_refused(supervisor, &reload.asker, HR_EV_RELOAD, HR_EXIT_SETTINGS,
                     "the site is being stopped");
    } else if (!supervisor->roll.is_active && supervisor->n_waiting == 0) {
        begin(supervisor, &reload);
    } else if (is_covered(supervisor, &reload)) {
        return;
    } else if (supervisor->n_waiting == HR_ROLL_MAX_WAITING) {
        tell_refused(supervisor, &reload.asker, HR_EV_RELOAD, HR_EXIT_SETTINGS,
                     "too many wait for the one under way already");
    } else {
        supervisor->waiting[supervisor->n_waiting++] = reload;
        hr_control_progress(supervisor, &reload.asker,
                            "another reload is under way; this one comes after it");
    }
}
