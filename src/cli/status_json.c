/* status_json.c - status for programs. Keys are API: they are added to, never renamed. */
#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/json.h"
#include "cli/status.h"

static double seconds(hr_time duration)
{
    return duration > 0 ? (double)duration / (double)HR_SECOND : 0;
}

static void put_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, "\"%s\": ", key);
    hr_json_put_string(out, hr_str_of(text));
}

static void print_pool(FILE *out, const struct hr_status_pool *pool)
{
    fprintf(out, "    {");
    put_text(out, "name", pool->name);
    fprintf(out,
            ", \"processes\": %" PRIu32 ", \"ready\": %" PRIu32 ", \"live\": %" PRIu32
            ", \"busy\": %" PRIu32 ", \"stuck\": %" PRIu32 ", \"queued\": %" PRIu64
            ", \"oldest\": %.3f, \"wait_p99\": %.6f, \"run_p99\": %.6f, "
            "\"exits_1h\": %" PRIu32 ", ",
            pool->n_wanted, pool->n_ready, pool->n_live, pool->n_busy, pool->n_stuck,
            pool->n_queued, seconds(pool->oldest), seconds(pool->wait_p99), seconds(pool->run_p99),
            pool->n_exits);
    put_text(out, "last_exit", pool->last_exit);
    fprintf(out, ", \"refused_1h\": %" PRIu64 ", ", pool->n_refused);
    put_text(out, "refused_reason", pool->n_refused ? hr_reason_name(pool->refused_reason) : "");
    fprintf(out,
            ", \"redelivered_1h\": %" PRIu64 ", \"lost_1h\": %" PRIu64 ", \"redelivered\": %" PRIu64
            ", \"lost\": %" PRIu64 "}",
            pool->n_redelivered, pool->n_lost, pool->n_redelivered_ever, pool->n_lost_ever);
}

static void print_channel(FILE *out, const struct hr_channel_stats *stats)
{
    bool is_first = true;
    fprintf(out, "    {");
    put_text(out, "name", stats->name);
    fprintf(out,
            ", \"waiting\": %" PRIu32 ", \"capacity\": %" PRIu32 ", \"bytes\": %" PRIu64
            ", \"oldest\": %.3f, \"listeners\": %" PRIu32 ", \"sent\": %" PRIu64
            ", \"received\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"dropped\": {",
            stats->depth, stats->max_messages, stats->bytes, seconds(stats->oldest),
            stats->n_listeners, stats->n_sent, stats->n_received, stats->n_full);
    for (int reason = 0; reason < HR_N_REASONS; reason++) {
        if (stats->n_dropped[reason] == 0)
            continue;
        fprintf(out, "%s\"%s\": %" PRIu64, is_first ? "" : ", ",
                hr_reason_name((enum hr_reason)reason), stats->n_dropped[reason]);
        is_first = false;
    }
    fprintf(out, "}, \"paused\": %.3f, \"dead_letters\": %s}",
            stats->paused_at ? seconds(hr_time_now() - stats->paused_at) : 0.0,
            stats->is_dead_letter ? "true" : "false");
}

static void print_channels(FILE *out, struct hr_layer *layer)
{
    struct hr_channel_stats stats;
    fprintf(out, ",\n  \"channels\": [");
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++) {
        fputs(i ? ",\n" : "\n", out);
        print_channel(out, &stats);
    }
    fprintf(out, "\n  ]");
}

static void print_members(FILE *out, struct hr_layer *layer)
{
    static const char *const roles[] = {"server", "worker", "client", "observer"};
    struct hr_member member;
    bool is_first = true;
    fprintf(out, ",\n  \"members\": [");
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++) {
        if (!member.is_live)
            continue;
        fprintf(out, "%s\n    {", is_first ? "" : ",");
        put_text(out, "label", member.label);
        fprintf(
            out,
            ", \"pid\": %d, \"role\": \"%s\", \"ready\": %s, \"retiring\": %s, \"inbox\": %" PRIu32
            ", \"up\": %.3f}",
            (int)member.pid, roles[member.role], member.flags & HR_MEMBER_READY ? "true" : "false",
            member.flags & HR_MEMBER_RETIRE ? "true" : "false", member.inbox_depth,
            seconds(hr_time_now() - member.since));
        is_first = false;
    }
    fprintf(out, "\n  ]");
}

void hr_status_print_json(FILE *out, const struct hr_status *status, struct hr_layer *layer,
                          bool is_all)
{
    fprintf(out, "{\n  ");
    put_text(out, "name", status->name);
    fprintf(out, ",\n  ");
    put_text(out, "layer", status->url);
    fprintf(out,
            ",\n  \"supervisor\": %" PRId64 ",\n  \"servers\": %" PRIu32
            ",\n  \"workers\": %" PRIu32 ",\n  \"up_since\": %.3f,\n",
            status->is_supervised ? status->supervisor_pid : 0, status->n_servers,
            status->n_workers, seconds(status->up_since));
    fprintf(out,
            "  \"bytes_used\": %" PRIu64 ",\n  \"bytes_total\": %" PRIu64
            ",\n  \"bytes_limit\": %" PRIu64 ",\n  \"connections\": {\"http\": %" PRIu64
            ", \"websocket\": %" PRIu64 "},\n  \"recovered\": %" PRIu64 ",\n  \"pools\": [",
            status->arena.bytes_used, status->arena.bytes_total, status->arena.bytes_limit,
            status->connections.n_http, status->connections.n_websocket, status->arena.n_recovered);
    for (uint32_t i = 0; i < status->n_pools; i++) {
        fputs(i ? ",\n" : "\n", out);
        print_pool(out, &status->pools[i]);
    }
    fprintf(out, "\n  ]");
    if (is_all) {
        print_channels(out, layer);
        print_members(out, layer);
    }
    fprintf(out, "\n}\n");
}
