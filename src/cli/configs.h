/* configs.h - from settings to what the interface server and the worker runtime take. */
#ifndef HR_CLI_CONFIGS_H
#define HR_CLI_CONFIGS_H

#include "cli/settings.h"
#include "server/peer.h"
#include "server/server.h"
#include "worker/runtime.h"

/* What a server config points to besides the settings. */
struct hr_server_parts {
    struct hr_server_config config;
    struct hr_listener_config *listeners; /* owned */
    struct hr_listener_config admin;
    struct hr_static_route *routes; /* owned */
    struct hr_str *origins;         /* owned */
    struct hr_network *trusted;     /* owned */
};

/* Fills in all but the listeners, for which there is room for `n_listeners`.
 * Returns 0 or HR_ERR_NOMEM; finish it either way. */
HR_MUST_CHECK int hr_server_parts_init(struct hr_server_parts *parts,
                                       const struct hr_settings *settings, const char *label,
                                       size_t n_listeners);
void hr_server_parts_add(struct hr_server_parts *parts, const struct hr_listener_config *listener);
void hr_server_parts_add_admin(struct hr_server_parts *parts,
                               const struct hr_listener_config *listener);
void hr_server_parts_fini(struct hr_server_parts *parts);

struct hr_worker_parts {
    struct hr_worker_config config;
    const char **without; /* owned: channels of the other pools */
};
/* Returns 0 or HR_ERR_NOMEM; finish it either way. */
HR_MUST_CHECK int hr_worker_parts_init(struct hr_worker_parts *parts,
                                       const struct hr_settings *settings,
                                       const struct hr_settings_pool *pool, const char *label,
                                       const char *layer_url);
void hr_worker_parts_fini(struct hr_worker_parts *parts);

#endif /* HR_CLI_CONFIGS_H */
