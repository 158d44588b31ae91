/* settings_check.c - what no single row can say; see hr_settings_finish() in settings_load.h. */
#include "cli/settings_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/bind.h"
#include "layer/ipc/arena.h"
#include "layer/policy.h"
#include "server/peer.h"

/* ---- values that follow from others ------------------------------------------------------------
 */

static bool name_char_ok(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* The current directory's name, made legal; "headrace" in the root directory. */
static void name_of_directory(char out[32])
{
    char cwd[4096];
    const char *base = getcwd(cwd, sizeof cwd) ? strrchr(cwd, '/') : NULL;
    hr_str_copy(out, 32, hr_str_of(base && base[1] ? base + 1 : "headrace"));
    for (char *at = out; *at; at++)
        if (!name_char_ok(*at) || (at == out && *at == '.'))
            *at = '-';
}

static int finish_name(struct hr_settings *settings, struct hr_diag *diag)
{
    struct hr_settings_headrace *site = &settings->headrace;
    if (!site->name[0]) {
        char name[32];
        name_of_directory(name);
        site->name = hr_settings_keep(settings, hr_str_of(name));
        return site->name ? 0 : hr_raise(HR_ERR_NOMEM);
    }
    bool is_ok = site->name[0] != '.';
    for (const char *at = site->name; *at; at++)
        is_ok = is_ok && name_char_ok(*at);
    if (is_ok)
        return 0;
    hr_settings_blame(&site->section, HR_SET_HEADRACE_name, diag);
    return hr_diag_say(diag,
                       "name: '%s' has other characters than A-Z a-z 0-9 . _ - or begins with a "
                       "dot",
                       site->name);
}

/* `host` and `port` stand in for `bind` when they were said more strongly: a
 * --port on the command line goes before a bind in the file. */
static int finish_bind(struct hr_settings *settings, struct hr_diag *diag)
{
    struct hr_settings_server *server = &settings->server;
    struct hr_origin *origins = server->section.origin;
    const struct hr_origin *host = &origins[HR_SET_SERVER_host],
                           *port = &origins[HR_SET_SERVER_port];
    const struct hr_origin *stronger = host->kind > port->kind ? host : port;
    if (stronger->kind <= origins[HR_SET_SERVER_bind].kind)
        return 0;

    char text[300];
    bool is_v6 = strchr(server->host, ':') && server->host[0] != '[';
    snprintf(text, sizeof text, is_v6 ? "[%s]:%" PRIu32 : "%s:%" PRIu32, server->host,
             server->port);
    server->bind.n = 0;
    struct hr_origin origin = *stronger;
    return hr_trace(hr_settings_set(settings, &server->section,
                                    &hr_settings_table[HR_SET_SERVER_bind], hr_str_of(text),
                                    &origin, diag));
}

static void finish_apps(struct hr_settings *settings)
{
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool)) {
        if (pool->app[0])
            continue;
        pool->app = settings->headrace.app;
        pool->section.origin[HR_SET_POOL_app] =
            settings->headrace.section.origin[HR_SET_HEADRACE_app];
    }
}

void hr_settings_geometry(const struct hr_settings *settings, struct hr_geometry *out)
{
    enum { PAGE = 4096 };
    const struct hr_settings_layer *layer = &settings->layer;
    *out = (struct hr_geometry){
        .bytes = (layer->size + PAGE - 1) / PAGE * PAGE,
        .max_bytes = layer->max_size,
        .n_channels = layer->channels,
        .role[HR_ROLE_SERVER] = {.n_slots = layer->server_slots,
                                 .inbox = layer->server_inbox,
                                 .connections = layer->server_connections,
                                 .interests = layer->server_interests},
        .role[HR_ROLE_WORKER] = {.n_slots = layer->worker_slots,
                                 .inbox = layer->worker_inbox,
                                 .connections = layer->worker_connections,
                                 .interests = layer->worker_interests},
        .role[HR_ROLE_CLIENT] = {.n_slots = layer->client_slots,
                                 .inbox = layer->client_inbox,
                                 .connections = layer->client_connections,
                                 .interests = layer->client_interests},
    };
}

static struct hr_channel_policy policy_of(const struct hr_settings_channel *channel)
{
    bool is_sure = strcmp(channel->delivery, "at-least-once") == 0;
    struct hr_channel_policy policy = {
        .max_messages = channel->capacity,
        .max_bytes = channel->max_bytes,
        .expiry = channel->expiry,
        .delivery = is_sure ? HR_AT_LEAST_ONCE : HR_AT_MOST_ONCE,
        .lease = channel->lease,
        .attempts = channel->attempts,
        .backoff = channel->backoff,
    };
    hr_str_copy(policy.pattern, sizeof policy.pattern, hr_str_of(channel->section.name));
    hr_str_copy(policy.dead_letter, sizeof policy.dead_letter, hr_str_of(channel->dead_letter));
    return policy;
}

void hr_settings_policies(const struct hr_settings *settings, struct hr_channel_policy *rows)
{
    for (struct hr_settings_channel *channel = hr_channel_first(settings); channel;
         channel = hr_channel_next(channel))
        *rows++ = policy_of(channel);
}

/* ---- checks -----------------------------------------------------------------------------------
 */

static int check_addresses(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_server *server = &settings->server;
    struct hr_bind bind;

    hr_settings_blame(&server->section, HR_SET_SERVER_bind, diag);
    for (uint32_t i = 0; i < server->bind.n; i++) {
        int r = hr_bind_parse(hr_str_of(server->bind.item[i]), (uint16_t)server->port, &bind, diag);
        if (r < 0)
            return hr_trace(r);
    }
    if (!server->admin[0])
        return 0;
    hr_settings_blame(&server->section, HR_SET_SERVER_admin, diag);
    return hr_trace(hr_bind_parse(hr_str_of(server->admin), 9091, &bind, diag));
}

static int check_routes(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_server *server = &settings->server;
    hr_settings_blame(&server->section, HR_SET_SERVER_static_, diag);
    for (uint32_t i = 0; i < server->static_.n; i++) {
        struct hr_str dir = hr_str_of(server->static_.item[i]), prefix;
        if (!hr_str_next(&dir, '=', &prefix) || dir.len == 0 ||
            !hr_str_starts(prefix, HR_LIT("/")) || !hr_str_ends(prefix, HR_LIT("/")))
            return hr_diag_say(diag, "static: '%s' is no /prefix/=DIRECTORY",
                               server->static_.item[i]);
    }
    return 0;
}

static int check_origins(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_server *server = &settings->server;
    hr_settings_blame(&server->section, HR_SET_SERVER_origins, diag);
    for (uint32_t i = 0; i < server->origins.n && server->origins.n > 1; i++)
        if (strcmp(server->origins.item[i], "same") == 0 ||
            strcmp(server->origins.item[i], "any") == 0)
            return hr_diag_say(diag, "origins: '%s' stands alone or not at all",
                               server->origins.item[i]);
    return 0;
}

static int check_proxies(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_server *server = &settings->server;
    struct hr_network network;
    hr_settings_blame(&server->section, HR_SET_SERVER_forwarded_allow_ips, diag);
    for (uint32_t i = 0; i < server->forwarded_allow_ips.n; i++)
        if (!hr_network_parse(hr_str_of(server->forwarded_allow_ips.item[i]), &network))
            return hr_diag_say(
                diag, "forwarded_allow_ips: '%s' is no address, no network, and neither unix nor *",
                server->forwarded_allow_ips.item[i]);
    return 0;
}

static int check_layer(const struct hr_settings *settings, struct hr_diag *diag)
{
    struct hr_str url = hr_str_of(settings->headrace.layer);
    hr_settings_blame(&settings->headrace.section, HR_SET_HEADRACE_layer, diag);
    if (url.len > 0 && !hr_str_starts(url, HR_LIT("memory:")) &&
        (!hr_str_starts(url, HR_LIT("ipc:")) || url.len == 4))
        return hr_diag_say(
            diag, "layer: '%s' is neither ipc:DIRECTORY nor memory:", settings->headrace.layer);
    return 0;
}

static int check_powers(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_layer *layer = &settings->layer;
    const struct {
        uint32_t value;
        enum hr_setting_id id;
    } powers[] = {
        {layer->server_inbox, HR_SET_LAYER_server_inbox},
        {layer->server_interests, HR_SET_LAYER_server_interests},
        {layer->worker_inbox, HR_SET_LAYER_worker_inbox},
        {layer->worker_interests, HR_SET_LAYER_worker_interests},
        {layer->client_inbox, HR_SET_LAYER_client_inbox},
        {layer->client_interests, HR_SET_LAYER_client_interests},
    };
    for (size_t i = 0; i < sizeof powers / sizeof *powers; i++) {
        if ((powers[i].value & (powers[i].value - 1)) == 0)
            continue;
        hr_settings_blame(&layer->section, powers[i].id, diag);
        return hr_diag_say(diag, "%s: %" PRIu32 " is no power of two",
                           hr_settings_table[powers[i].id].raw_key, powers[i].value);
    }
    return 0;
}

/* Do the tables fit into the layer, and leave room for messages? */
static int check_size(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_layer *layer = &settings->layer;
    uint32_t n_slots = layer->server_slots + layer->worker_slots + layer->client_slots;
    struct hr_geometry geometry;
    hr_settings_geometry(settings, &geometry);
    uint64_t least = ipc_geometry_bytes(&geometry);

    if (n_slots > IPC_MAX_SLOTS)
        return hr_diag_say(diag,
                           "server_slots, worker_slots and client_slots are %" PRIu32
                           " together; a layer has at most %d",
                           n_slots, IPC_MAX_SLOTS);
    if (geometry.bytes >= least)
        return 0;
    hr_settings_blame(&layer->section, HR_SET_LAYER_size, diag);
    return hr_diag_say(
        diag,
        "size: the slots, inboxes, connections and channels of [layer] need at least "
        "%" PRIu64 "MiB; make it larger or them fewer",
        (least + (1 << 20) - 1) >> 20);
}

/* The channels that are known before anything runs: the inboxes', the events of each pool that
 * takes any, and plain ones named outright. */
static int check_channels(const struct hr_settings *settings, struct hr_diag *diag)
{
    enum { EVENT_KINDS = 4 };
    uint32_t n = 1;
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool)) {
        n += pool->paths.n > 0 || hr_pool_takes_all(pool) ? EVENT_KINDS : 0;
        for (uint32_t i = 0; i < pool->channels.n; i++)
            n += !strpbrk(pool->channels.item[i], "*?");
    }
    if (n <= settings->layer.channels)
        return 0;
    hr_settings_blame(&settings->layer.section, HR_SET_LAYER_channels, diag);
    return hr_diag_say(diag, "channels: %" PRIu32 " are too few, the pools alone need %" PRIu32,
                       settings->layer.channels, n);
}

static int check_geometry(const struct hr_settings *settings, struct hr_diag *diag)
{
    int r = check_powers(settings, diag);
    if (r == 0)
        r = check_size(settings, diag);
    return hr_trace(r == 0 ? check_channels(settings, diag) : r);
}

static int check_dead_letters(const struct hr_settings *settings, struct hr_diag *diag)
{
    for (struct hr_settings_channel *channel = hr_channel_first(settings); channel;
         channel = hr_channel_next(channel)) {
        hr_settings_blame(&channel->section, HR_SET_CHANNEL_dead_letter, diag);
        if (channel->dead_letter[0] && !hr_group_name_ok(hr_str_of(channel->dead_letter)))
            return hr_diag_say(diag, "dead_letter: '%s' cannot be a channel's name",
                               channel->dead_letter);
    }
    *diag = (struct hr_diag){0};
    return 0;
}

/* Do they fit into the layer's record of them? */
static int check_policies(const struct hr_settings *settings, struct hr_diag *diag)
{
    uint8_t record[HR_RECORD_MAX];
    size_t len;
    int r = check_dead_letters(settings, diag);
    if (r < 0 || settings->n_channels == 0)
        return hr_trace(r);
    struct hr_channel_policy *rows = hr_calloc(settings->n_channels, sizeof *rows);
    if (!rows)
        return hr_raise(HR_ERR_NOMEM);
    hr_settings_policies(settings, rows);
    r = hr_policy_encode(rows, settings->n_channels, record, &len);
    hr_free(rows);
    return r == 0
               ? 0
               : hr_diag_say(diag,
                             "%" PRIu32 " [channel] sections are more than a layer keeps; a glob "
                             "may stand for several",
                             settings->n_channels);
}

static bool path_ok(struct hr_str path)
{
    struct hr_str rest = path, scheme;
    if (hr_str_starts(path, HR_LIT("/")))
        return true;
    return hr_str_next(&rest, ':', &scheme) && hr_str_starts(rest, HR_LIT("/")) &&
           (hr_str_eq(scheme, HR_LIT("http")) || hr_str_eq(scheme, HR_LIT("websocket")));
}

static int check_pool(const struct hr_settings_pool *pool, struct hr_diag *diag)
{
    hr_settings_blame(&pool->section, HR_SET_POOL_paths, diag);
    for (uint32_t i = 0; i < pool->paths.n; i++)
        if (!path_ok(hr_str_of(pool->paths.item[i])))
            return hr_diag_say(diag, "paths: '%s' is none of /path, http:/path, websocket:/path",
                               pool->paths.item[i]);
    hr_settings_blame(&pool->section, HR_SET_POOL_channels, diag);
    for (uint32_t i = 0; i < pool->channels.n; i++)
        if (hr_str_starts(hr_str_of(pool->channels.item[i]), HR_LIT("http.")) ||
            hr_str_starts(hr_str_of(pool->channels.item[i]), HR_LIT("websocket.")))
            return hr_diag_say(diag, "channels: '%s' is what `paths` is for",
                               pool->channels.item[i]);
    return 0;
}

/* One pool may take what no other does; every worker needs a slot, a roll some more. */
static int check_pools(const struct hr_settings *settings, struct hr_diag *diag)
{
    const struct hr_settings_pool *takes_all = NULL;
    uint32_t n_workers = 0, most_overlap = 0;

    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool)) {
        int r = check_pool(pool, diag);
        if (r < 0)
            return hr_trace(r);
        *diag = (struct hr_diag){0};
        if (hr_pool_takes_all(pool) && takes_all)
            return hr_diag_say(
                diag,
                "pools '%s' and '%s' both take everything; give one of them paths or "
                "channels",
                takes_all->section.name, pool->section.name);
        if (hr_pool_takes_all(pool))
            takes_all = pool;
        n_workers += pool->processes;
        if (pool->processes > 0 && pool->overlap > most_overlap)
            most_overlap = pool->overlap;
    }
    if (n_workers + most_overlap > settings->layer.worker_slots)
        return hr_diag_say(
            diag,
            "%" PRIu32 " workers and %" PRIu32
            " more during a reload do not fit into the layer's worker_slots = %" PRIu32,
            n_workers, most_overlap, settings->layer.worker_slots);
    if (settings->server.processes > settings->layer.server_slots)
        return hr_diag_say(diag,
                           "%" PRIu32
                           " interface servers do not fit into the layer's server_slots = %" PRIu32,
                           settings->server.processes, settings->layer.server_slots);
    return 0;
}

int hr_settings_finish(struct hr_settings *settings, struct hr_diag *diag)
{
    int r = finish_name(settings, diag);
    if (r == 0)
        r = finish_bind(settings, diag);
    if (r == 0)
        r = check_addresses(settings, diag);
    if (r == 0)
        r = check_routes(settings, diag);
    if (r == 0)
        r = check_origins(settings, diag);
    if (r == 0)
        r = check_proxies(settings, diag);
    if (r == 0)
        r = check_layer(settings, diag);
    if (r == 0)
        r = check_geometry(settings, diag);
    if (r == 0)
        r = check_policies(settings, diag);
    if (r < 0)
        return hr_trace(r);
    finish_apps(settings);
    return hr_trace(check_pools(settings, diag));
}
