/* status.c - `headrace status`: gathering; see status.h.
 *
 * Everything is read from the arena, as an observer, so that there is an
 * answer also when nobody lives any more.
 */
#include "cli/status.h"

#include <stdio.h>

#include <headrace/message.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/verbs.h"
#include "worker/busy.h"

static const char *const event_kinds[] = {"http.request.", "websocket.connect.",
                                          "websocket.receive.", "websocket.disconnect."};
enum { N_EVENT_KINDS = sizeof event_kinds / sizeof *event_kinds };

bool hr_status_is_event_channel(const char *channel)
{
    for (int i = 0; i < N_EVENT_KINDS; i++)
        if (hr_str_starts(hr_str_of(channel), hr_str_of(event_kinds[i])))
            return true;
    return false;
}

/* ---- records -----------------------------------------------------------------------------------
 */

static struct hr_status_pool *pool_named(struct hr_status *status, struct hr_str name)
{
    for (uint32_t i = 0; i < status->n_pools; i++)
        if (hr_str_eq(name, hr_str_of(status->pools[i].name)))
            return &status->pools[i];
    if (status->n_pools == HR_SETTINGS_MAX_POOLS || name.len > HR_POOL_NAME_MAX)
        return NULL;
    struct hr_status_pool *pool = &status->pools[status->n_pools++];
    hr_str_copy(pool->name, sizeof pool->name, name);
    return pool;
}

static uint64_t positive(int64_t number)
{
    return number > 0 ? (uint64_t)number : 0;
}

static void read_globs(struct hr_status_pool *pool, const struct hr_msg *msg)
{
    enum { MAX = sizeof pool->globs / sizeof *pool->globs };
    struct hr_value list, item;
    if (!hr_msg_get(msg, "channels", &list) || list.type != HR_TYPE_LIST)
        return;
    struct hr_walk walk = hr_walk(&list);
    while (pool->n_globs < MAX && hr_list_next(&walk, &item))
        if (item.type == HR_TYPE_STRING)
            hr_str_copy(pool->globs[pool->n_globs++], sizeof *pool->globs, item.as.str);
}

static void read_crew(struct hr_status *status, struct hr_str name, const struct hr_msg *msg)
{
    struct hr_status_pool *pool = pool_named(status, name);
    if (!pool)
        return;
    pool->n_wanted = (uint32_t)positive(hr_msg_int(msg, "processes", 0));
    pool->n_exits = (uint32_t)positive(hr_msg_int(msg, "exits", 0));
    pool->n_refused = positive(hr_msg_int(msg, "refused", 0));
    hr_str_copy(pool->last_exit, sizeof pool->last_exit, hr_msg_str(msg, "last_exit"));
    hr_str_copy(pool->refused_reason, sizeof pool->refused_reason,
                hr_msg_str(msg, "refused_reason"));
    read_globs(pool, msg);
}

static void read_supervisor(struct hr_status *status, const struct hr_msg *msg)
{
    status->had_supervisor = true;
    status->supervisor_pid = hr_msg_int(msg, "pid", 0);
    status->up_since = hr_msg_int(msg, "started", 0);
    hr_str_copy(status->name, sizeof status->name, hr_msg_str(msg, "name"));
}

static void read_records(struct hr_status *status, struct hr_layer *layer)
{
    struct hr_record record;
    uint32_t cursor = 0;
    while (hr_layer_record_next(layer, &cursor, &record)) {
        struct hr_msg msg;
        struct hr_str name = hr_str_of(record.key), kind;
        if (hr_msg_check(record.data, record.len, &msg) != 0)
            continue;
        if (hr_str_eq(name, HR_LIT("supervisor")))
            read_supervisor(status, &msg);
        else if (hr_str_next(&name, ':', &kind) && hr_str_eq(kind, HR_LIT("crew")))
            read_crew(status, name, &msg);
        else if (hr_str_eq(kind, HR_LIT("pool")))
            (void)pool_named(status, name);
    }
}

/* ---- members -----------------------------------------------------------------------------------
 */

/* "web" of "web.3" */
static struct hr_str pool_of_label(const char *label)
{
    const char *dot = strrchr(label, '.');
    return (struct hr_str){label, dot ? (size_t)(dot - label) : strlen(label)};
}

#define STUCK_AFTER (30 * HR_SECOND)

static void count_busy(struct hr_status_pool *pool, struct hr_layer *layer, uint32_t slot)
{
    uint32_t n = 0;
    const uint64_t *words = hr_layer_counters(layer, slot, &n);
    if (!words || n <= HR_BUSY_SINCE ||
        __atomic_load_n(&words[0], __ATOMIC_RELAXED) != HR_BUSY_MAGIC)
        return;
    uint64_t n_open = __atomic_load_n(&words[HR_BUSY_OPEN], __ATOMIC_RELAXED);
    hr_time since = (hr_time)__atomic_load_n(&words[HR_BUSY_SINCE], __ATOMIC_RELAXED);
    pool->n_busy += n_open > 0 || since > 0;
    pool->n_stuck += since > 0 && hr_time_now() - since > STUCK_AFTER;
}

static void read_worker(struct hr_status *status, struct hr_layer *layer,
                        const struct hr_member *member)
{
    status->n_workers++;
    struct hr_status_pool *pool = pool_named(status, pool_of_label(member->label));
    if (!pool)
        return;
    pool->n_live++;
    count_busy(pool, layer, member->slot);
    bool is_ready = (member->flags & HR_MEMBER_READY) && !(member->flags & HR_MEMBER_RETIRE);
    pool->n_ready += is_ready;
}

static void read_members(struct hr_status *status, struct hr_layer *layer)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++) {
        if (!member.is_live)
            continue;
        if (member.role == HR_ROLE_SERVER)
            status->n_servers++;
        else if (member.role == HR_ROLE_WORKER)
            read_worker(status, layer, &member);
        else if (member.pid == status->supervisor_pid)
            status->is_supervised = true;
    }
}

/* ---- channels and counters
 * ------------------------------------------------------------------------ */

static void add_channel(struct hr_status_pool *pool, const struct hr_channel_stats *stats)
{
    pool->n_queued += stats->depth;
    pool->n_lost += stats->n_dropped[HR_REASON_WORKER_DIED];
    if (stats->oldest > pool->oldest)
        pool->oldest = stats->oldest;
}

static bool pool_takes(const struct hr_status_pool *pool, const char *channel)
{
    for (int i = 0; i < N_EVENT_KINDS; i++) {
        size_t len = strlen(event_kinds[i]);
        if (strncmp(channel, event_kinds[i], len) == 0)
            return strcmp(channel + len, pool->name) == 0;
    }
    for (uint32_t i = 0; i < pool->n_globs; i++)
        if (hr_str_glob(hr_str_of(pool->globs[i]), hr_str_of(channel)))
            return true;
    return false;
}

static void read_channels(struct hr_status *status, struct hr_layer *layer)
{
    struct hr_channel_stats stats;
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++)
        for (uint32_t k = 0; k < status->n_pools; k++)
            if (pool_takes(&status->pools[k], stats.name))
                add_channel(&status->pools[k], &stats);
}

static void read_figures(struct hr_status *status, struct hr_layer *layer)
{
    for (uint32_t i = 0; i < status->n_pools; i++) {
        struct hr_pool_figures figures;
        hr_figures_of_pool(layer, hr_str_of(status->pools[i].name), &figures);
        status->pools[i].wait_p99 = hr_figures_p99(figures.wait);
        status->pools[i].run_p99 = hr_figures_p99(figures.run);
    }
    hr_figures_of_connections(layer, &status->connections);
}

static void status_read(struct hr_layer *layer, const char *url, struct hr_status *out)
{
    *out = (struct hr_status){.url = url};
    hr_layer_arena_stats(layer, &out->arena);
    out->up_since = out->arena.created_at;
    read_records(out, layer);
    read_members(out, layer);
    read_channels(out, layer);
    read_figures(out, layer);
    if (!out->name[0]) { /* never supervised: the directory's name is as good */
        const char *slash = strrchr(url, '/');
        hr_str_copy(out->name, sizeof out->name, hr_str_of(slash ? slash + 1 : url));
    }
}

int hr_verb_status(const struct hr_args *args)
{
    struct hr_visit visit;
    bool is_all = hr_args_option(args, HR_OPT_ALL) != NULL;
    int code = hr_visit_begin(args, HR_ROLE_OBSERVER, &visit);
    struct hr_status *status = code == 0 ? hr_alloc(sizeof *status) : NULL;
    if (status) {
        status_read(visit.layer, visit.url, status);
        if (hr_args_option(args, HR_OPT_JSON))
            hr_status_print_json(status, visit.layer, is_all);
        else
            hr_status_print_text(status, visit.layer, is_all);
    } else if (code == 0) {
        hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
        code = HR_EXIT_SETTINGS;
    }
    hr_free(status);
    hr_visit_end(&visit);
    return code;
}
