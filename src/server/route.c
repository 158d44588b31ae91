/* route.c - see route.h for the contract.
 *
 * At most 64 pools of a few prefixes each: a request compares them all, which
 * costs less than a tree would for the handful that real sites have.
 *
 * A record is read into the pool's own struct, in place: sockets that have
 * been with a pool for days follow its new timeouts and kinds.
 */
#include "server/route.h"

#include <stdio.h>

#include <headrace/message.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/time.h"
#include "server/server.h"

static const char *const kind_names[HR_N_KINDS] = {
    [HR_KIND_REQUEST] = "http.request",
    [HR_KIND_CONNECT] = "websocket.connect",
    [HR_KIND_RECEIVE] = "websocket.receive",
    [HR_KIND_DISCONNECT] = "websocket.disconnect",
};

/* ---- reading a record */

static uint8_t pool_read_kinds(const struct hr_value *events)
{
    uint8_t kinds = 0;
    struct hr_value item;
    struct hr_walk walk = hr_walk(events);
    while (hr_list_next(&walk, &item)) {
        if (item.type != HR_TYPE_STRING)
            continue;
        for (int kind = 0; kind < HR_N_KINDS; kind++)
            if (hr_str_eq(item.as.str, hr_str_of(kind_names[kind])))
                kinds |= (uint8_t)(1 << kind);
    }
    return kinds;
}

/* "http:/x", "websocket:/x", or "/x" for both. */
static bool path_read(struct hr_str text, struct hr_pool_path *out)
{
    static const struct {
        struct hr_str scheme;
        uint8_t kinds;
    } schemes[] = {
        {{"http:", 5}, 1 << HR_KIND_REQUEST},
        {{"websocket:", 10}, 1 << HR_KIND_CONNECT},
        {{"", 0}, 1 << HR_KIND_REQUEST | 1 << HR_KIND_CONNECT},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = schemes[i].scheme.len;
        if (!hr_str_starts(text, schemes[i].scheme))
            continue;
        *out = (struct hr_pool_path){{text.ptr + n, text.len - n}, schemes[i].kinds};
        return out->prefix.len > 0 && out->prefix.ptr[0] == '/';
    }
    return false;
}

static void pool_read_paths(struct hr_pool *pool, const struct hr_value *paths)
{
    size_t used = 0;
    struct hr_value item;
    struct hr_walk walk = hr_walk(paths);
    while (pool->n_paths < HR_MAX_POOL_PATHS && hr_list_next(&walk, &item)) {
        struct hr_pool_path path;
        if (item.type != HR_TYPE_STRING || !path_read(item.as.str, &path) ||
            path.prefix.len > sizeof pool->text - used)
            continue;
        memcpy(pool->text + used, path.prefix.ptr, path.prefix.len);
        path.prefix.ptr = pool->text + used;
        used += path.prefix.len;
        pool->paths[pool->n_paths++] = path;
    }
}

static hr_time pool_read_ms(const struct hr_msg *msg, const char *key, hr_time fallback)
{
    enum { DAY_MS = 24 * 60 * 60 * 1000 };
    int64_t ms = hr_msg_int(msg, key, 0);
    if (ms <= 0)
        return fallback;
    return (ms < DAY_MS ? ms : DAY_MS) * HR_MS;
}

static void pool_read(struct hr_pool *pool, const struct hr_msg *msg,
                      const struct hr_server_config *config)
{
    struct hr_value value;
    pool->n_paths = 0;
    pool->kinds = 0;
    if (hr_msg_get(msg, "events", &value) && value.type == HR_TYPE_LIST)
        pool->kinds = pool_read_kinds(&value);
    bool has_paths = hr_msg_get(msg, "paths", &value) && value.type == HR_TYPE_LIST && value.n > 0;
    if (has_paths)
        pool_read_paths(pool, &value);
    else
        pool->paths[pool->n_paths++] = (struct hr_pool_path){HR_LIT(""), 0xff};
    pool->queue_timeout = pool_read_ms(msg, "queue_timeout", config->queue_timeout);
    pool->timeout = pool_read_ms(msg, "timeout", config->timeout);
    pool->event_timeout = pool_read_ms(msg, "event_timeout", config->event_timeout);
    pool->retries_safe = !hr_str_eq(hr_msg_str(msg, "retry"), HR_LIT("never"));
    pool->redelivers = !hr_str_eq(hr_msg_str(msg, "on_crash"), HR_LIT("count"));
    pool->wants_whole = hr_str_eq(hr_msg_str(msg, "body"), HR_LIT("whole"));
    pool->is_booting = hr_msg_bool(msg, "booting", false);
    pool->is_here = true;
}

/* ---- the table */

static struct hr_pool *router_pool(struct hr_router *router, struct hr_str name)
{
    for (uint32_t i = 0; i < router->n_pools; i++)
        if (hr_str_eq(router->pools[i]->name, name))
            return router->pools[i];
    if (router->n_pools == HR_MAX_POOLS || name.len > HR_MAX_POOL_NAME || !hr_group_name_ok(name))
        return NULL;
    struct hr_pool *pool = hr_calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    for (int kind = 0; kind < HR_N_KINDS; kind++) {
        int n = snprintf(pool->names[kind], sizeof pool->names[kind], "%s.%.*s", kind_names[kind],
                         HR_STR(name));
        hr_assert(n > 0 && (size_t)n < sizeof pool->names[kind]);
        pool->channels[kind] = (struct hr_str){pool->names[kind], (size_t)n};
    }
    size_t before = strlen(kind_names[0]) + 1;
    pool->name = (struct hr_str){pool->names[0] + before, name.len};
    hr_list_init(&pool->refused);
    router->pools[router->n_pools++] = pool;
    return pool;
}

static void router_read_record(struct hr_router *router, const struct hr_record *record)
{
    static const struct hr_str prefix = {"pool:", 5};
    struct hr_str key = hr_str_of(record->key);
    struct hr_msg msg;
    if (!hr_str_starts(key, prefix) || hr_msg_check(record->data, record->len, &msg) != 0)
        return;
    struct hr_str name = {key.ptr + prefix.len, key.len - prefix.len};
    struct hr_pool *pool = router_pool(router, name);
    if (pool)
        pool_read(pool, &msg, router->config);
}

bool hr_router_refresh(struct hr_router *router, struct hr_layer *layer)
{
    /* The version first: a put while we read makes us read again. */
    uint64_t version = hr_layer_records_version(layer);
    if (router->is_read && version == router->version)
        return false;
    router->version = version;
    router->is_read = true;
    for (uint32_t i = 0; i < router->n_pools; i++)
        router->pools[i]->is_here = false;

    struct hr_record record;
    uint32_t cursor = 0;
    while (hr_layer_record_next(layer, &cursor, &record))
        router_read_record(router, &record);
    return true;
}

void hr_router_fini(struct hr_router *router)
{
    for (uint32_t i = 0; i < router->n_pools; i++)
        hr_free(router->pools[i]);
    router->n_pools = 0;
}

/* Is `path` under a prefix of this pool that is longer than *best? Then *best is its length, plus
 * one, so that the prefix of no bytes beats no match. */
static bool pool_matches(const struct hr_pool *pool, enum hr_kind kind, struct hr_str path,
                         size_t *best)
{
    bool is_better = false;
    for (uint32_t i = 0; i < pool->n_paths; i++) {
        const struct hr_pool_path *p = &pool->paths[i];
        if (p->kinds & 1 << kind && p->prefix.len + 1 > *best && hr_str_starts(path, p->prefix)) {
            *best = p->prefix.len + 1;
            is_better = true;
        }
    }
    return is_better;
}

int hr_router_find(const struct hr_router *router, enum hr_kind kind, struct hr_str path,
                   struct hr_pool **out)
{
    int wanted = kind == HR_KIND_REQUEST ? 1 << HR_KIND_REQUEST : HR_WEBSOCKET_KINDS;
    bool is_anybody = false;
    size_t best = 0;
    *out = NULL;
    for (uint32_t i = 0; i < router->n_pools; i++) {
        struct hr_pool *pool = router->pools[i];
        if (!pool->is_here)
            continue;
        is_anybody = is_anybody || pool->is_booting || pool->kinds;
        if ((pool->is_booting || pool->kinds & wanted) && pool_matches(pool, kind, path, &best))
            *out = pool;
    }
    if (*out && !(*out)->is_booting)
        return 0;
    bool is_to_come = *out || !is_anybody;
    *out = NULL;
    return is_to_come ? HR_ROUTE_NOBODY : HR_ROUTE_NO_MATCH;
}
