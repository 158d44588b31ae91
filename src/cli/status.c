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
    struct hr_value list, item;
    if (!hr_msg_get(msg, "channels", &list) || list.type != HR_TYPE_LIST)
        return;
    struct hr_walk walk = hr_walk(&list);
    while (pool->n_globs < HR_CREW_SHOWN_CHANNELS && hr_list_next(&walk, &item))
        if (item.type == HR_TYPE_STRING)
            hr_str_copy(pool->globs[pool->n_globs++], sizeof *pool->globs, item.as.str);
}

/* One of another length is another version's, and would be taken off the wrong sums. */
static void read_base(struct hr_status_pool *pool, const struct hr_msg *msg)
{
    struct hr_value list, item;
    if (!hr_msg_get(msg, "base", &list) || list.type != HR_TYPE_LIST || list.n != HR_N_SUMS)
        return;
    struct hr_walk walk = hr_walk(&list);
    for (int i = 0; i < HR_N_SUMS && hr_list_next(&walk, &item); i++)
        pool->base.n[i] = item.type == HR_TYPE_INT ? positive(item.as.integer) : 0;
}

static void read_crew(struct hr_status *status, struct hr_str name, const struct hr_msg *msg)
{
    struct hr_status_pool *pool = pool_named(status, name);
    if (!pool)
        return;
    pool->n_wanted = (uint32_t)positive(hr_msg_int(msg, "processes", 0));
    pool->n_exits = (uint32_t)positive(hr_msg_int(msg, "exits", 0));
    hr_str_copy(pool->last_exit, sizeof pool->last_exit, hr_msg_str(msg, "last_exit"));
    read_base(pool, msg);
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

/* ---- counters
 * ---------------------------------------------------------------------------------- */

static void read_pool_figures(struct hr_status_pool *pool, struct hr_layer *layer)
{
    const char *globs[HR_CREW_SHOWN_CHANNELS];
    const struct hr_pool_takes takes = {
        .name = hr_str_of(pool->name), .globs = globs, .n_globs = pool->n_globs};
    struct hr_pool_sums sums;
    struct hr_queue_figures queue;
    for (uint32_t i = 0; i < pool->n_globs; i++)
        globs[i] = pool->globs[i];

    hr_figures_of_queue(layer, &takes, &queue);
    pool->n_queued = queue.n;
    pool->oldest = queue.oldest;

    hr_figures_of_pool(layer, &takes, &sums);
    pool->n_redelivered_ever = sums.n[HR_SUM_REDELIVERED];
    pool->n_lost_ever = sums.n[HR_SUM_LOST];
    hr_figures_subtract(&sums, &pool->base);
    pool->n_redelivered = sums.n[HR_SUM_REDELIVERED];
    pool->n_lost = sums.n[HR_SUM_LOST];
    pool->n_refused = hr_figures_refused(&sums, &pool->refused_reason);
    pool->wait_p99 = hr_figures_p99(&sums.n[HR_SUM_WAIT]);
    pool->run_p99 = hr_figures_p99(&sums.n[HR_SUM_RUN]);
}

static void status_read(struct hr_layer *layer, const char *url, struct hr_status *out)
{
    *out = (struct hr_status){.url = url};
    hr_layer_arena_stats(layer, &out->arena);
    out->up_since = out->arena.created_at;
    read_records(out, layer);
    read_members(out, layer);
    for (uint32_t i = 0; i < out->n_pools; i++)
        read_pool_figures(&out->pools[i], layer);
    hr_figures_of_connections(layer, &out->connections);
    if (!out->name[0]) { /* never supervised: the directory's name is as good */
        const char *slash = strrchr(url, '/');
        hr_str_copy(out->name, sizeof out->name, hr_str_of(slash ? slash + 1 : url));
    }
}

void hr_status_show(const struct hr_status_view *view, FILE *out)
{
    status_read(view->layer, view->url, view->status);
    if (view->is_json)
        hr_status_print_json(out, view->status, view->layer, view->is_all);
    else
        hr_status_print_text(out, view->status, view->layer, view->is_all);
}

int hr_verb_status(const struct hr_args *args)
{
    struct hr_visit visit;
    int code = hr_visit_begin(args, HR_ROLE_OBSERVER, &visit);
    struct hr_status_view view = {.layer = visit.layer,
                                  .url = visit.url,
                                  .status = code == 0 ? hr_alloc(sizeof *view.status) : NULL,
                                  .is_json = hr_args_option(args, HR_OPT_JSON) != NULL,
                                  .is_all = hr_args_option(args, HR_OPT_ALL) != NULL};
    if (code == 0 && !view.status) {
        hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
        code = HR_EXIT_SETTINGS;
    } else if (code == 0 && hr_args_option(args, HR_OPT_LIVE)) {
        hr_status_watch(&view);
    } else if (code == 0) {
        hr_status_show(&view, stdout);
    }
    hr_free(view.status);
    hr_visit_end(&visit);
    return code;
}
