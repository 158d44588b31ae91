/* routes.h - which consumer takes an event, and which channels the pool listens to.
 *
 * Threads: the loop's. Memory: the application's tables are borrowed for as
 * long as the worker lives.
 */
#ifndef HR_WORKER_ROUTES_H
#define HR_WORKER_ROUTES_H

#include "worker/context.h"
#include "worker/runtime.h"

enum {
    HR_ROUTES_MAX = 1024,
    HR_POOL_NAME_MAX = 58, /* "pool:NAME" fits a record's key */
};

struct hr_route {
    const struct hr_consumer *row;
    enum hr_ctx_kind kind;
    struct hr_str channel; /* plain: name or glob */
    struct hr_str path;    /* without the '*' of a prefix */
    bool has_path, is_prefix, is_glob;
};

struct hr_routes {
    struct hr_route *rows; /* owned */
    size_t n_rows;
    bool consumes[HR_CTX_N_POOL_KINDS];
    struct hr_str pool_channel[HR_CTX_N_POOL_KINDS]; /* "http.request.web"; into `names` */
    char names[HR_CTX_N_POOL_KINDS][HR_NAME_MAX + 1];
};

/* Returns 0, or HR_ERR_NAME when no channel can be called after this pool. */
HR_MUST_CHECK int hr_routes_init(struct hr_routes *routes, const char *pool);
void hr_routes_fini(struct hr_routes *routes);

/* Adds a table's rows. Returns 0, HR_ERR_NAME, HR_ERR_INVALID (a row without
 * function, too many rows), HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_routes_add(struct hr_routes *routes, const struct hr_consumer *consumers);

/* What kind of event comes on this channel. */
enum hr_ctx_kind hr_routes_kind(const struct hr_routes *routes, struct hr_str channel);

/* "http.request" and so on; empty for PLAIN. */
struct hr_str hr_ctx_kind_name(enum hr_ctx_kind kind);

/* The first row that takes the event; NULL: none. */
const struct hr_consumer *hr_routes_match(const struct hr_routes *routes, enum hr_ctx_kind kind,
                                          struct hr_str channel, struct hr_str path);

/* Listens to everything that this pool takes of what its consumers name. */
HR_MUST_CHECK int hr_routes_listen(const struct hr_routes *routes,
                                   const struct hr_worker_config *config, struct hr_layer *layer);

/* Puts the pool's record where interface servers find it. */
HR_MUST_CHECK int hr_routes_publish(const struct hr_routes *routes,
                                    const struct hr_worker_config *config, struct hr_layer *layer);

#endif /* HR_WORKER_ROUTES_H */
