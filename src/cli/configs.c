/* configs.c - see configs.h for the contract. */
#include "cli/configs.h"

#include "base/alloc.h"

/* ---- the interface server
 * ------------------------------------------------------------------------ */

static enum hr_origins origins_kind(const struct hr_words *origins)
{
    if (origins->n == 1 && strcmp(origins->item[0], "any") == 0)
        return HR_ORIGINS_ANY;
    if (origins->n == 0 || (origins->n == 1 && strcmp(origins->item[0], "same") == 0))
        return HR_ORIGINS_SAME;
    return HR_ORIGINS_LIST;
}

static enum hr_slow_reader slow_reader_kind(const char *word)
{
    if (strcmp(word, "close") == 0)
        return HR_SLOW_CLOSES;
    return strcmp(word, "drop") == 0 ? HR_SLOW_MISSES : HR_SLOW_WAITS;
}

/* Sizes that the config has in 32 bits; none stays none. */
static uint32_t narrow(uint64_t size)
{
    return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

static void set_limits(struct hr_server_config *config, const struct hr_settings_server *server)
{
    config->max_head = narrow(server->max_head);
    config->max_headers = server->max_headers;
    config->max_target = narrow(server->max_target);
    config->max_body = server->max_body;
    config->head_timeout = server->head_timeout;
    config->body_timeout = server->body_timeout;
    config->keep_alive = server->keep_alive;
    config->write_timeout = server->write_timeout;
    config->window = narrow(server->window);
    config->max_unsent = server->max_unsent;
    config->max_connections = server->max_connections;
    config->max_message = server->max_message;
    config->handshake_timeout = server->handshake_timeout;
    config->ping_interval = server->ping_interval;
    config->ping_timeout = server->ping_timeout;
    config->close_timeout = server->close_timeout;
    config->max_queued = narrow(server->max_queued);
    config->slow_reader = slow_reader_kind(server->slow_reader);
    config->slow_timeout = server->slow_timeout;
    config->queue_timeout = server->queue_timeout;
    config->timeout = server->timeout;
    config->event_timeout = server->event_timeout;
}

static void set_routes(struct hr_server_parts *parts, const struct hr_words *words)
{
    for (uint32_t i = 0; i < words->n; i++) {
        struct hr_str dir = hr_str_of(words->item[i]), prefix;
        if (hr_str_next(&dir, '=', &prefix)) /* dir ends with the text, so it is NUL-terminated */
            parts->routes[parts->config.n_routes++] =
                (struct hr_static_route){.prefix = prefix, .dir = dir.ptr};
    }
}

/* hr_settings_finish() has read them before. */
static void set_proxies(struct hr_server_parts *parts, const struct hr_settings_server *server)
{
    const struct hr_words *words = &server->forwarded_allow_ips;
    struct hr_server_config *config = &parts->config;
    config->trusted = parts->trusted;
    for (uint32_t i = 0; server->proxy_headers && i < words->n; i++)
        if (hr_network_parse(hr_str_of(words->item[i]), &parts->trusted[config->n_trusted]))
            config->n_trusted++;
}

int hr_server_parts_init(struct hr_server_parts *parts, const struct hr_settings *settings,
                         const char *label, size_t n_listeners)
{
    const struct hr_settings_server *server = &settings->server;
    *parts = (struct hr_server_parts){
        .listeners = hr_calloc(n_listeners + 1, sizeof *parts->listeners),
        .routes = hr_calloc(server->static_.n + 1, sizeof *parts->routes),
        .origins = hr_calloc(server->origins.n + 1, sizeof *parts->origins),
        .trusted = hr_calloc(server->forwarded_allow_ips.n + 1, sizeof *parts->trusted),
    };
    if (!parts->listeners || !parts->routes || !parts->origins || !parts->trusted)
        return hr_raise(HR_ERR_NOMEM);

    struct hr_server_config *config = &parts->config;
    config->name = settings->headrace.name;
    config->label = label;
    config->listeners = parts->listeners;
    set_limits(config, server);
    config->origins = origins_kind(&server->origins);
    for (uint32_t i = 0; i < server->origins.n; i++)
        parts->origins[i] = hr_str_of(server->origins.item[i]);
    config->origin_list = parts->origins;
    config->n_origins = server->origins.n;
    config->routes = parts->routes;
    set_routes(parts, &server->static_);
    set_proxies(parts, server);
    config->root_path = server->root_path;
    config->access_log = server->access_log;
    config->expose_reason = server->expose_reason;
    return 0;
}

void hr_server_parts_add(struct hr_server_parts *parts, const struct hr_listener_config *listener)
{
    parts->listeners[parts->config.n_listeners++] = *listener;
}

void hr_server_parts_add_admin(struct hr_server_parts *parts,
                               const struct hr_listener_config *listener)
{
    parts->admin = *listener;
    parts->config.admin = &parts->admin;
}

void hr_server_parts_fini(struct hr_server_parts *parts)
{
    parts->listeners = hr_free(parts->listeners);
    parts->routes = hr_free(parts->routes);
    parts->origins = hr_free(parts->origins);
    parts->trusted = hr_free(parts->trusted);
}

/* ---- the worker
 * ---------------------------------------------------------------------------------- */

static int list_others(struct hr_worker_parts *parts, const struct hr_settings *settings,
                       const struct hr_settings_pool *own)
{
    size_t n = 0;
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        n += pool == own ? 0 : pool->channels.n;
    parts->without = hr_calloc(n + 1, sizeof *parts->without);
    if (!parts->without)
        return hr_raise(HR_ERR_NOMEM);
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        for (uint32_t i = 0; pool != own && i < pool->channels.n; i++)
            parts->without[parts->config.n_without++] = pool->channels.item[i];
    parts->config.without = parts->without;
    return 0;
}

/* A zeroed field of the config means its default: a drain of 0s is said as a nanosecond. */
int hr_worker_parts_init(struct hr_worker_parts *parts, const struct hr_settings *settings,
                         const struct hr_settings_pool *pool, const char *label,
                         const char *layer_url)
{
    *parts = (struct hr_worker_parts){.config = {
                                          .layer_url = layer_url,
                                          .pool = pool->section.name,
                                          .label = label,
                                          .app_path = pool->app,
                                          .paths = pool->paths.item,
                                          .n_paths = pool->paths.n,
                                          .channels = pool->channels.item,
                                          .n_channels = pool->channels.n,
                                          .timeout = pool->timeout,
                                          .event_timeout = pool->event_timeout,
                                          .queue_timeout = pool->queue_timeout,
                                          .drain = pool->drain > 0 ? pool->drain : 1,
                                          .retry = pool->retry,
                                          .on_crash = pool->on_crash,
                                          .max_kept = pool->max_kept,
                                      }};
    return hr_trace(list_others(parts, settings, pool));
}

void hr_worker_parts_fini(struct hr_worker_parts *parts)
{
    parts->without = hr_free(parts->without);
}
