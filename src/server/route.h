/* route.h - which pool takes a request: the pool records of the layer, as a table.
 *
 * Workers put a record when they attach (a MessagePack map, key "pool:NAME");
 * it outlives them. A supervisor announces its pools before it starts anybody,
 * by records with `booting`: what would go there waits. The table follows the records' version. A
 * pool once seen keeps its struct until the server ends, so that connections may point to it.
 *
 * The longest path prefix wins; a pool without paths takes what no other
 * takes. Records are input: what makes no sense in them is left out.
 *
 * Threads: the loop's. Memory: hr_router_fini() frees the pools.
 */
#ifndef HR_SERVER_ROUTE_H
#define HR_SERVER_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include <headrace/layer.h>

#include "base/error.h"
#include "base/list.h"
#include "base/str.h"

enum {
    HR_MAX_POOLS = 64,      /* rows of the layer's board */
    HR_MAX_POOL_PATHS = 64, /* the rest of a record's paths is left out */
    HR_MAX_POOL_NAME = HR_NAME_MAX - (int)sizeof "websocket.disconnect." + 1,
};

/* What happens to clients, as events. */
enum hr_kind { HR_KIND_REQUEST, HR_KIND_CONNECT, HR_KIND_RECEIVE, HR_KIND_DISCONNECT, HR_N_KINDS };

enum { HR_WEBSOCKET_KINDS = 1 << HR_KIND_CONNECT | 1 << HR_KIND_RECEIVE | 1 << HR_KIND_DISCONNECT };

struct hr_pool_path {
    struct hr_str prefix; /* within the pool's text */
    uint8_t kinds;        /* bits: REQUEST, CONNECT */
};

struct hr_pool {
    struct hr_str name;
    bool is_here;      /* its record stands */
    bool is_booting;   /* announced: its workers have yet to say what it consumes */
    uint8_t kinds;     /* bits by enum hr_kind that it consumes */
    bool retries_safe; /* retry = safe */
    bool redelivers;   /* on_crash = redeliver */
    bool wants_whole;  /* body = whole */
    hr_time queue_timeout, timeout, event_timeout;
    struct hr_str channels[HR_N_KINDS];
    struct hr_pool_path paths[HR_MAX_POOL_PATHS];
    uint32_t n_paths;
    struct hr_list refused; /* hr_source.refused: its channel was full, their events wait */
    char names[HR_N_KINDS][HR_NAME_MAX + 1];
    char text[HR_RECORD_MAX]; /* the paths */
};

static inline bool hr_pool_takes(const struct hr_pool *pool, enum hr_kind kind)
{
    return pool->kinds & 1 << kind;
}

struct hr_server_config;

struct hr_router {
    const struct hr_server_config *config; /* timeouts where a record has none */
    struct hr_pool *pools[HR_MAX_POOLS];
    uint32_t n_pools;
    uint64_t version;
    bool is_read;
};

/* Reads the records again if they have changed; true when they had. */
bool hr_router_refresh(struct hr_router *router, struct hr_layer *layer);
void hr_router_fini(struct hr_router *router);

enum hr_route_outcome {
    HR_ROUTE_NOBODY = 1, /* the pool has yet to boot, or no pool of clients was heard of at all */
    HR_ROUTE_NO_MATCH,
};
/* `kind` is REQUEST or CONNECT. Returns 0 with *out, or an outcome. */
HR_MUST_CHECK int hr_router_find(const struct hr_router *router, enum hr_kind kind,
                                 struct hr_str path, struct hr_pool **out);

#endif /* HR_SERVER_ROUTE_H */
