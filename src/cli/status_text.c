/* status_text.c - status for people: a line about the site, a row a pool, and hints.
 *
 * A hint is a line that begins with '!': what is wrong and, to its right, what
 * to do about it. None means that nothing is.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/channels.h"
#include "cli/letters.h"
#include "cli/status.h"
#include "cli/units.h"

enum { NUMBER_MAX = 32, HINT_WIDTH = 66 };

/* "18 204" */
static const char *grouped(uint64_t number, char out[NUMBER_MAX])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, number);
    size_t len = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[len++] = ' ';
        out[len++] = digits[i];
    }
    out[len] = '\0';
    return out;
}

static const char *span(hr_time duration, char out[HR_UNITS_TEXT_MAX])
{
    if (duration <= 0)
        return "-";
    hr_units_about_duration(duration, out);
    return out;
}

static void print_hint(FILE *out, const char *hint, const char *remedy)
{
    if (remedy[0])
        fprintf(out, "! %-*s  %s\n", HINT_WIDTH, hint, remedy);
    else
        fprintf(out, "! %s\n", hint);
}

/* ---- the first line
 * ------------------------------------------------------------------------------ */

static void print_site(FILE *out, const struct hr_status *status)
{
    char age[HR_UNITS_TEXT_MAX], total[HR_UNITS_TEXT_MAX], all[NUMBER_MAX], sockets[NUMBER_MAX];
    hr_time up = hr_time_wall() - status->up_since;
    bool is_up = status->n_servers + status->n_workers > 0;
    hr_units_about_size(status->arena.bytes_total, total);
    fprintf(out, "%s   %s%s   %s  %" PRIu64 " of %s used   %s connections (%s WebSocket)\n",
            status->name, is_up ? "up " : "down", is_up ? span(up > 0 ? up : 1, age) : "",
            status->url, status->arena.bytes_used >> 20, total,
            grouped(status->connections.n_http + status->connections.n_websocket, all),
            grouped(status->connections.n_websocket, sockets));
}

/* ---- the table of pools
 * ---------------------------------------------------------------------------- */

static void print_pool(FILE *out, const struct hr_status_pool *pool)
{
    char processes[32], busy[32], queued[NUMBER_MAX], refused[NUMBER_MAX], exits[96];
    char oldest[HR_UNITS_TEXT_MAX], wait[HR_UNITS_TEXT_MAX], run[HR_UNITS_TEXT_MAX];
    snprintf(processes, sizeof processes, "%" PRIu32 "/%" PRIu32, pool->n_ready,
             pool->n_wanted ? pool->n_wanted : pool->n_live);
    snprintf(busy, sizeof busy, "%" PRIu32 "/%" PRIu32, pool->n_busy, pool->n_live);
    snprintf(exits, sizeof exits, "%" PRIu32 "%s%s", pool->n_exits, pool->n_exits ? "  " : "",
             pool->n_exits ? pool->last_exit : "");
    fprintf(out, "%-10s %-6s %-6s %-6" PRIu32 " %-8s %-9s %-12s %-11s %-18s %s%s%s\n", pool->name,
            processes, busy, pool->n_stuck, grouped(pool->n_queued, queued),
            span(pool->oldest, oldest), span(pool->wait_p99, wait), span(pool->run_p99, run), exits,
            grouped(pool->n_refused, refused), pool->n_refused ? "  " : "",
            pool->n_refused ? hr_reason_name(pool->refused_reason) : "");
}

static void print_pools(FILE *out, const struct hr_status *status)
{
    if (status->n_pools == 0)
        return;
    fprintf(out, "%-10s %-6s %-6s %-6s %-8s %-9s %-12s %-11s %-18s %s\n", "POOL", "PROC", "BUSY",
            "STUCK", "QUEUE", "OLDEST", "WAIT p99 5m", "RUN p99 5m", "EXITS 1h", "REFUSED 1h");
    for (uint32_t i = 0; i < status->n_pools; i++)
        print_pool(out, &status->pools[i]);
}

/* ---- hints -------------------------------------------------------------------------------------
 */

static void hint_site(FILE *out, const struct hr_status *status)
{
    char hint[256], used[HR_UNITS_TEXT_MAX];
    if (status->had_supervisor && !status->is_supervised &&
        status->n_servers + status->n_workers > 0) {
        snprintf(hint, sizeof hint,
                 "the supervisor (pid %" PRId64 ") is gone; its processes serve on",
                 status->supervisor_pid);
        print_hint(out, hint, "headrace run takes them over");
    }
    if (status->n_workers > 0 && status->n_servers == 0)
        print_hint(out, "no interface server runs: nobody can connect", "headrace serve");
    if (status->arena.bytes_used > status->arena.bytes_limit / 5 * 4) {
        hr_units_about_size(status->arena.bytes_used, used);
        snprintf(hint, sizeof hint, "the layer is nearly full: %s are used", used);
        print_hint(out, hint, "more workers, or [layer] max_size");
    }
}

static void hint_pool(FILE *out, const struct hr_status_pool *pool, bool is_up)
{
    char hint[256], lost[NUMBER_MAX], redelivered[NUMBER_MAX], remedy[HR_POOL_NAME_MAX + 32];
    if (pool->n_ready == 0 && pool->n_queued > 0) {
        snprintf(hint, sizeof hint, "%s: no worker is ready, and %" PRIu64 " events wait",
                 pool->name, pool->n_queued);
        print_hint(out, hint, pool->last_exit[0] ? "the log says why they ended" : "headrace run");
    } else if (is_up && pool->n_ready < pool->n_wanted) {
        snprintf(hint, sizeof hint, "%s: %" PRIu32 " of %" PRIu32 " workers are ready", pool->name,
                 pool->n_ready, pool->n_wanted);
        print_hint(out, hint, "the log says why");
    }
    if (pool->n_stuck > 0) {
        snprintf(hint, sizeof hint, "%s: %" PRIu32 " worker%s in the same call for over 30 s",
                 pool->name, pool->n_stuck, pool->n_stuck == 1 ? " has been" : "s have been");
        snprintf(remedy, sizeof remedy, "headrace stack %s", pool->name);
        print_hint(out, hint, remedy);
    }
    if (pool->n_lost + pool->n_redelivered > 0) {
        snprintf(hint, sizeof hint, "%s: of events whose worker died, %s redelivered, %s lost (1h)",
                 pool->name, grouped(pool->n_redelivered, redelivered),
                 grouped(pool->n_lost, lost));
        print_hint(out, hint, "the log says who died: worker_died");
    }
}

static void hint_unheard(FILE *out, struct hr_layer *layer, const struct hr_channel_stats *stats)
{
    char hint[512], age[HR_UNITS_TEXT_MAX], remedy[HR_NAME_MAX + 32] = "";
    struct hr_nearest nearest = {.word = hr_str_of(stats->name)};
    hr_channels_offer_heard(layer, &nearest);
    if (nearest.best[0])
        snprintf(remedy, sizeof remedy, "did you mean '%s'?", nearest.best);
    snprintf(hint, sizeof hint, "nobody listens on '%s' (%" PRIu32 " message%s, oldest %s)",
             stats->name, stats->depth, stats->depth == 1 ? "" : "s", span(stats->oldest, age));
    print_hint(out, hint, remedy);
}

static void hint_paused(FILE *out, const struct hr_channel_stats *stats)
{
    char hint[256], age[HR_UNITS_TEXT_MAX], remedy[HR_NAME_MAX + 32];
    hr_time since = hr_time_now() - stats->paused_at;
    snprintf(hint, sizeof hint, "'%s' has been paused for %s (%" PRIu32 " message%s)", stats->name,
             span(since > 0 ? since : 1, age), stats->depth, stats->depth == 1 ? "" : "s");
    snprintf(remedy, sizeof remedy, "headrace resume %s", stats->name);
    print_hint(out, hint, remedy);
}

static void hint_channels(FILE *out, struct hr_layer *layer)
{
    struct hr_channel_stats stats;
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++) {
        if (stats.paused_at)
            hint_paused(out, &stats);
        bool is_unheard = stats.depth > 0 && stats.n_listeners == 0 && !stats.is_dead_letter;
        if (is_unheard && !hr_channel_is_of_events(stats.name))
            hint_unheard(out, layer, &stats);
    }
}

static void hint_letters(FILE *out, struct hr_layer *layer)
{
    struct hr_letter_group groups[HR_LETTERS_MAX_GROUPS];
    char hint[256];
    uint32_t n = hr_letters_add_up(layer, (struct hr_str){0}, HR_LETTERS_BY_CHANNEL, groups);
    for (uint32_t i = 0; i < n; i++) {
        const struct hr_letter_group *group = &groups[i];
        snprintf(hint, sizeof hint, "dead letters: %" PRIu32 " on %.*s", group->n, HR_NAME_MAX,
                 group->from[0] ? group->from : group->channel);
        print_hint(out, hint, "headrace dead list");
    }
}

/* ---- everything --------------------------------------------------------------------------------
 */

static uint64_t sum_dropped(const struct hr_channel_stats *stats)
{
    uint64_t sum = 0;
    for (int i = 0; i < HR_N_REASONS; i++)
        sum += stats->n_dropped[i];
    return sum;
}

static void print_channels(FILE *out, struct hr_layer *layer)
{
    struct hr_channel_stats stats;
    char age[HR_UNITS_TEXT_MAX];
    fprintf(out, "\n%-32s %-10s %-9s %-9s %-12s %-12s %-9s %s\n", "CHANNEL", "WAITING", "OLDEST",
            "LISTENERS", "SENT", "RECEIVED", "REFUSED", "DROPPED");
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++)
        fprintf(out,
                "%-32s %-10" PRIu32 " %-9s %-9" PRIu32 " %-12" PRIu64 " %-12" PRIu64 " %-9" PRIu64
                " %" PRIu64 "%s\n",
                stats.name, stats.depth, span(stats.oldest, age), stats.n_listeners, stats.n_sent,
                stats.n_received, stats.n_full, sum_dropped(&stats),
                stats.paused_at ? "  paused" : "");
}

static const char *state_word(const struct hr_member *member)
{
    if (member->flags & HR_MEMBER_RETIRE)
        return "retiring";
    return member->flags & HR_MEMBER_READY ? "ready" : "-";
}

static void print_members(FILE *out, struct hr_layer *layer)
{
    static const char *const roles[] = {"server", "worker", "client", "observer"};
    struct hr_member member;
    char age[HR_UNITS_TEXT_MAX];
    fprintf(out, "\n%-32s %-9s %-8s %-9s %-9s %s\n", "PROCESS", "PID", "ROLE", "STATE", "UP",
            "INBOX");
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++)
        if (member.is_live)
            fprintf(out, "%-32s %-9d %-8s %-9s %-9s %" PRIu32 "\n", member.label, (int)member.pid,
                    roles[member.role], state_word(&member),
                    span(hr_time_now() - member.since, age), member.inbox_depth);
}

void hr_status_print_text(FILE *out, const struct hr_status *status, struct hr_layer *layer,
                          bool is_all)
{
    print_site(out, status);
    print_pools(out, status);
    hint_site(out, status);
    for (uint32_t i = 0; i < status->n_pools; i++)
        hint_pool(out, &status->pools[i], status->n_servers + status->n_workers > 0);
    hint_letters(out, layer);
    hint_channels(out, layer);
    if (is_all) {
        print_channels(out, layer);
        print_members(out, layer);
    }
}
