/* routes.c - see routes.h for the contract.
 *
 * A table of consumers is a list that is walked: applications have a handful
 * of rows, and the order of rows decides. What can be computed once (kinds,
 * the '*' of prefixes) is computed when the table is handed over.
 *
 * Of the channels that consumers name, and that the settings give to this
 * pool, the narrower pattern of each pair is listened to: `channels =
 * bigdata.*` with a consumer of "bigdata.process" listens to that name, with a
 * consumer of "*" to "bigdata.*".
 */
#include "worker/routes.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

static const char *const kind_names[HR_CTX_N_POOL_KINDS] = {
    [HR_CTX_HTTP] = "http.request",
    [HR_CTX_CONNECT] = "websocket.connect",
    [HR_CTX_RECEIVE] = "websocket.receive",
    [HR_CTX_DISCONNECT] = "websocket.disconnect",
};

struct hr_str hr_ctx_kind_name(enum hr_ctx_kind kind)
{
    return kind < HR_CTX_N_POOL_KINDS ? hr_str_of(kind_names[kind]) : (struct hr_str){0};
}

int hr_routes_init(struct hr_routes *routes, const char *pool)
{
    *routes = (struct hr_routes){0};
    struct hr_str name = hr_str_of(pool);
    if (name.len > HR_POOL_NAME_MAX || !hr_group_name_ok(name))
        return hr_raise(HR_ERR_NAME);
    for (size_t i = 0; i < HR_CTX_N_POOL_KINDS; i++) {
        int len =
            snprintf(routes->names[i], sizeof(routes->names[i]), "%s.%s", kind_names[i], pool);
        routes->pool_channel[i] = (struct hr_str){routes->names[i], (size_t)len};
    }
    return 0;
}

void hr_routes_fini(struct hr_routes *routes)
{
    hr_free(routes->rows);
    *routes = (struct hr_routes){0};
}

/* ---- the tables */

static bool route_is_glob(struct hr_str pattern)
{
    return memchr(pattern.ptr, '*', pattern.len) || memchr(pattern.ptr, '?', pattern.len);
}

static int route_init(struct hr_route *route, const struct hr_consumer *row)
{
    if (!row->fn)
        return hr_raise(HR_ERR_INVALID);
    *route =
        (struct hr_route){.row = row, .kind = HR_CTX_PLAIN, .channel = hr_str_of(row->channel)};
    for (int i = 0; i < HR_CTX_N_POOL_KINDS; i++)
        if (hr_str_eq(route->channel, hr_str_of(kind_names[i])))
            route->kind = (enum hr_ctx_kind)i;
    route->is_glob = route_is_glob(route->channel);
    if (!route->is_glob && !hr_group_name_ok(route->channel))
        return hr_raise(HR_ERR_NAME);
    if (row->path) {
        route->path = hr_str_of(row->path);
        route->has_path = true;
        route->is_prefix = hr_str_ends(route->path, HR_LIT("*"));
        route->path.len -= route->is_prefix;
    }
    return 0;
}

int hr_routes_add(struct hr_routes *routes, const struct hr_consumer *consumers)
{
    size_t n = 0;
    while (consumers[n].channel)
        n++;
    if (n > HR_ROUTES_MAX - routes->n_rows)
        return hr_raise(HR_ERR_INVALID);
    struct hr_route *rows = hr_realloc(routes->rows, (routes->n_rows + n) * sizeof(*rows));
    if (!rows)
        return hr_raise(HR_ERR_NOMEM);

    routes->rows = rows;
    for (size_t i = 0; i < n; i++) {
        struct hr_route *route = &rows[routes->n_rows];
        int r = route_init(route, &consumers[i]);
        if (r < 0)
            return hr_trace(r);
        if (route->kind < HR_CTX_N_POOL_KINDS)
            routes->consumes[route->kind] = true;
        routes->n_rows++;
    }
    return 0;
}

/* ---- matching */

enum hr_ctx_kind hr_routes_kind(const struct hr_routes *routes, struct hr_str channel)
{
    for (int i = 0; i < HR_CTX_N_POOL_KINDS; i++)
        if (hr_str_eq(channel, routes->pool_channel[i]))
            return (enum hr_ctx_kind)i;
    return HR_CTX_PLAIN;
}

static bool route_takes_channel(const struct hr_route *route, struct hr_str channel)
{
    return route->is_glob ? hr_str_glob(route->channel, channel)
                          : hr_str_eq(route->channel, channel);
}

static bool route_takes_path(const struct hr_route *route, struct hr_str path)
{
    if (!route->has_path)
        return true;
    return route->is_prefix ? hr_str_starts(path, route->path) : hr_str_eq(path, route->path);
}

const struct hr_consumer *hr_routes_match(const struct hr_routes *routes, enum hr_ctx_kind kind,
                                          struct hr_str channel, struct hr_str path)
{
    for (size_t i = 0; i < routes->n_rows; i++) {
        const struct hr_route *route = &routes->rows[i];
        if (route->kind != kind || !route_takes_path(route, path))
            continue;
        if (kind != HR_CTX_PLAIN || route_takes_channel(route, channel))
            return route->row;
    }
    return NULL;
}

/* ---- listening */

static bool config_takes_clients(const struct hr_worker_config *config)
{
    return config->n_paths > 0 || config->n_channels == 0;
}

static bool config_takes_channels(const struct hr_worker_config *config)
{
    return config->n_channels > 0 || config->n_paths == 0;
}

static int listen_to(struct hr_layer *layer, struct hr_str pattern)
{
    int r = hr_layer_listen(layer, pattern);
    return r == HR_LAYER_FULL ? hr_raise(HR_ERR_FULL) : hr_trace(r);
}

/* Globs are compared as text here: '*' matches any run, a '*' included. */
static int listen_within(struct hr_layer *layer, struct hr_str channel, struct hr_str given)
{
    if (hr_str_glob(given, channel))
        return hr_trace(listen_to(layer, channel));
    if (hr_str_glob(channel, given))
        return hr_trace(listen_to(layer, given));
    return 0;
}

static bool listen_is_others(const struct hr_worker_config *config, struct hr_str channel)
{
    for (size_t i = 0; i < config->n_without; i++) {
        struct hr_str theirs = hr_str_of(config->without[i]);
        if (hr_str_glob(theirs, channel))
            return true;
        if (hr_str_glob(channel, theirs))
            hr_log(HR_EV_CONFIG,
                   "pool=%s channel=%.*s text=\"its consumer also takes '%s', which "
                   "another pool is for\"",
                   config->pool, HR_STR(channel), config->without[i]);
    }
    return false;
}

static int listen_plain(const struct hr_worker_config *config, struct hr_layer *layer,
                        struct hr_str channel)
{
    if (config->n_channels == 0)
        return listen_is_others(config, channel) ? 0 : hr_trace(listen_to(layer, channel));
    int r = 0;
    for (size_t i = 0; i < config->n_channels && r == 0; i++)
        r = listen_within(layer, channel, hr_str_of(config->channels[i]));
    return hr_trace(r);
}

int hr_routes_listen(const struct hr_routes *routes, const struct hr_worker_config *config,
                     struct hr_layer *layer)
{
    int r = 0;
    for (size_t i = 0; i < routes->n_rows && r == 0; i++) {
        const struct hr_route *route = &routes->rows[i];
        if (route->kind != HR_CTX_PLAIN && config_takes_clients(config))
            r = listen_to(layer, routes->pool_channel[route->kind]);
        else if (route->kind == HR_CTX_PLAIN && config_takes_channels(config))
            r = listen_plain(config, layer, route->channel);
    }
    return hr_trace(r);
}

/* ---- the pool's record */

static void record_pack_paths(struct hr_pack *pack, const struct hr_worker_config *config)
{
    hr_pack_cstr(pack, "paths");
    if (config->n_paths > 0) {
        hr_pack_list(pack, (uint32_t)config->n_paths);
        for (size_t i = 0; i < config->n_paths; i++)
            hr_pack_cstr(pack, config->paths[i]);
    } else if (config_takes_clients(config)) {
        hr_pack_list(pack, 1); /* all that no longer prefix takes */
        hr_pack_cstr(pack, "/");
    } else {
        hr_pack_list(pack, 0);
    }
}

static void record_pack_events(struct hr_pack *pack, const struct hr_routes *routes,
                               const struct hr_worker_config *config)
{
    uint32_t n = 0;
    bool takes_clients = config_takes_clients(config);
    for (size_t i = 0; i < HR_CTX_N_POOL_KINDS; i++)
        n += takes_clients && routes->consumes[i];
    hr_pack_cstr(pack, "events");
    hr_pack_list(pack, n);
    for (size_t i = 0; i < HR_CTX_N_POOL_KINDS; i++)
        if (takes_clients && routes->consumes[i])
            hr_pack_cstr(pack, kind_names[i]);
}

static void record_pack_time(struct hr_pack *pack, const char *key, hr_time span)
{
    hr_pack_cstr(pack, key);
    hr_pack_int(pack, span / HR_MS);
}

static void record_pack_text(struct hr_pack *pack, const char *key, const char *text)
{
    hr_pack_cstr(pack, key);
    hr_pack_cstr(pack, text);
}

/* All but the pid, which is last: so what was there can be compared. */
static void record_pack(struct hr_pack *pack, const struct hr_routes *routes,
                        const struct hr_worker_config *config)
{
    hr_pack_map(pack, 10);
    record_pack_text(pack, "name", config->pool);
    record_pack_paths(pack, config);
    record_pack_events(pack, routes, config);
    record_pack_time(pack, "queue_timeout", config->queue_timeout);
    record_pack_time(pack, "timeout", config->timeout);
    record_pack_time(pack, "event_timeout", config->event_timeout);
    record_pack_text(pack, "retry", config->retry);
    record_pack_text(pack, "on_crash", config->on_crash);
    record_pack_text(pack, "body", "stream"); /* whole ones are put together here, see body.c */
    hr_pack_cstr(pack, "pid");
}

static bool record_find(struct hr_layer *layer, struct hr_str key, struct hr_record *out)
{
    uint32_t cursor = 0;
    while (hr_layer_record_next(layer, &cursor, out))
        if (hr_str_eq(key, hr_str_of(out->key)))
            return true;
    return false;
}

static int record_put(struct hr_layer *layer, const char *pool, const struct hr_pack *pack)
{
    char key[HR_RECORD_KEY_MAX + 1];
    (void)snprintf(key, sizeof(key), "pool:%s", pool);
    int r = hr_pack_done(pack);
    if (r == 0)
        r = hr_layer_record_put(layer, hr_str_of(key), pack->base, hr_pack_len(pack));
    if (r == HR_LAYER_FULL)
        return hr_raise(HR_ERR_FULL);
    return r == HR_LAYER_TOO_BIG ? hr_raise(HR_ERR_TOO_BIG) : hr_trace(r);
}

int hr_worker_announce(const struct hr_worker_config *config, struct hr_layer *layer)
{
    uint8_t data[HR_RECORD_MAX];
    struct hr_pack pack;
    if (!config_takes_clients(config))
        return 0;
    hr_pack_init(&pack, data, sizeof(data));
    hr_pack_map(&pack, 3);
    record_pack_text(&pack, "name", config->pool);
    record_pack_paths(&pack, config);
    hr_pack_cstr(&pack, "booting");
    hr_pack_bool(&pack, true);
    return hr_trace(record_put(layer, config->pool, &pack));
}

/* Does it say something else than the same worker would? An announcement says nothing yet. */
static bool record_differs(const struct hr_record *old, const uint8_t *data, size_t len)
{
    struct hr_msg msg;
    bool is_announced =
        hr_msg_check(old->data, old->len, &msg) == 0 && hr_msg_bool(&msg, "booting", false);
    return !is_announced && (old->len < len || memcmp(old->data, data, len) != 0);
}

int hr_routes_publish(const struct hr_routes *routes, const struct hr_worker_config *config,
                      struct hr_layer *layer)
{
    uint8_t data[HR_RECORD_MAX];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof(data));
    record_pack(&pack, routes, config);
    size_t settings_bytes = hr_pack_len(&pack);
    hr_pack_int(&pack, getpid());

    char key[HR_RECORD_KEY_MAX + 1];
    struct hr_record old;
    (void)snprintf(key, sizeof(key), "pool:%s", config->pool);
    if (record_find(layer, hr_str_of(key), &old) && record_differs(&old, data, settings_bytes))
        hr_log(HR_EV_CONFIG,
               "pool=%s text=\"its paths, events or timeouts are no longer what they "
               "were; the newest hold\"",
               config->pool);
    return hr_trace(record_put(layer, config->pool, &pack));
}
