/* status.h - what `headrace status` knows: gathered once, then shown as a table or as JSON. */
#ifndef HR_CLI_STATUS_H
#define HR_CLI_STATUS_H

#include <stdio.h>

#include <headrace/layer.h>

#include "cli/figures.h"
#include "cli/settings.h"

struct hr_status_pool {
    char name[HR_POOL_NAME_MAX + 1];
    uint32_t n_wanted; /* by its supervisor; 0 when it has none */
    uint32_t n_ready, n_live;
    uint32_t n_busy;  /* live, with an event open or in the application */
    uint32_t n_stuck; /* in the same call for over 30 s */
    uint64_t n_queued;
    hr_time oldest;
    uint32_t n_exits; /* of the last hour */
    char last_exit[64];
    struct hr_pool_sums base;  /* the sums as they were: history.h */
    hr_time wait_p99, run_p99; /* of the last five minutes */
    uint64_t n_refused;        /* these: of the last hour */
    enum hr_reason refused_reason;
    uint64_t n_redelivered, n_lost;
    uint64_t n_redelivered_ever, n_lost_ever;            /* since the layer was made */
    char globs[HR_CREW_SHOWN_CHANNELS][HR_NAME_MAX + 1]; /* plain channels it takes */
    uint32_t n_globs;
};

struct hr_status {
    const char *url;
    char name[32];
    bool is_supervised;  /* its supervisor lives */
    bool had_supervisor; /* or it did not end by itself */
    int64_t supervisor_pid;
    hr_time up_since; /* CLOCK_REALTIME: of the supervisor, else of the layer */
    uint32_t n_servers, n_workers;
    struct hr_arena_stats arena;
    struct hr_connection_figures connections;
    struct hr_status_pool pools[HR_SETTINGS_MAX_POOLS];
    uint32_t n_pools;
};

/* What is looked at and how. */
struct hr_status_view {
    struct hr_layer *layer; /* an observer's */
    const char *url;
    struct hr_status *status; /* room for it */
    bool is_json, is_all;
};
/* Gathers and prints. */
void hr_status_show(const struct hr_status_view *view, FILE *out);
/* The same every second, until `q`, a signal, or nobody reads any more. */
void hr_status_watch(const struct hr_status_view *view);

/* Prints it; `is_all`: every channel and every process too. */
void hr_status_print_text(FILE *out, const struct hr_status *status, struct hr_layer *layer,
                          bool is_all);
void hr_status_print_json(FILE *out, const struct hr_status *status, struct hr_layer *layer,
                          bool is_all);

#endif /* HR_CLI_STATUS_H */
