/* metrics_text.c - all counts of the layer as Prometheus text; see metrics.h.
 *
 * Rows of all slots are gathered into one array, sorted by key and added up.
 * Nothing here is on a hot path: it runs when somebody asks.
 *
 * Bounds: 200 channels by name, the rest as `other` (STYLE: a metric whose
 * labels clients choose must not grow without end).
 */
#include "server/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/time.h"
#include "server/metrics_words.h"
#include "server/route.h"

enum { MAX_NAMED_CHANNELS = 200, MAX_NAMES = HR_MAX_POOLS };

enum metric {
#define HR_METRIC(name, text, kind, labels, help) METRIC_##name,
#include "tables/metrics.def"
#undef HR_METRIC
    N_METRICS
};

static const struct {
    const char *name, *kind, *help;
} metrics[N_METRICS] = {
#define HR_METRIC(name, text, kind, labels, help) [METRIC_##name] = {text, kind, help},
#include "tables/metrics.def"
#undef HR_METRIC
};

/* A key and what was counted under it; of a histogram all its words. */
struct row {
    uint64_t key;
    uint64_t values[N_BUCKETS + 1];
};

struct text {
    struct hr_layer *layer;
    struct hr_buf *out;
    int error; /* the first */
    struct hr_str names[MAX_NAMES];
    char name_text[MAX_NAMES][HR_RECORD_KEY_MAX + 1];
    uint32_t n_names;
    struct row *rows;
    size_t n_rows, max_rows;
};

#define put(t, ...)                                                                                \
    do {                                                                                           \
        if ((t)->error == 0)                                                                       \
            (t)->error = hr_buf_printf((t)->out, __VA_ARGS__);                                     \
    } while (0)

static void put_header(struct text *t, enum metric m)
{
    put(t, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help, metrics[m].name,
        metrics[m].kind);
}

/* ---- names of pools, by the hash that keys have */

static void read_names(struct text *t)
{
    struct hr_record record;
    uint32_t cursor = 0;
    while (t->n_names < MAX_NAMES && hr_layer_record_next(t->layer, &cursor, &record)) {
        struct hr_str key = hr_str_of(record.key);
        if (!hr_str_starts(key, HR_LIT("pool:")))
            continue;
        struct hr_str name = {key.ptr + 5, key.len - 5};
        if (!hr_group_name_ok(name))
            continue;
        memcpy(t->name_text[t->n_names], name.ptr, name.len);
        t->names[t->n_names] = (struct hr_str){t->name_text[t->n_names], name.len};
        t->n_names++;
    }
}

static struct hr_str name_of(const struct text *t, uint64_t key)
{
    if (key >> 24 == pool_hash(HR_LIT("")))
        return HR_LIT("");
    for (uint32_t i = 0; i < t->n_names; i++)
        if (key >> 24 == pool_hash(t->names[i]))
            return t->names[i];
    return HR_LIT("other"); /* its record was removed */
}

/* ---- rows of all slots */

static void row_add(struct text *t, uint64_t key, const uint64_t *values, size_t n)
{
    if (t->n_rows == t->max_rows) {
        size_t max = t->max_rows ? t->max_rows * 2 : 256;
        struct row *rows = hr_realloc(t->rows, max * sizeof *rows);
        if (!rows) {
            t->error = hr_raise(HR_ERR_NOMEM);
            return;
        }
        t->rows = rows;
        t->max_rows = max;
    }
    struct row *row = &t->rows[t->n_rows++];
    *row = (struct row){.key = key};
    for (size_t i = 0; i < n; i++)
        row->values[i] = word_get(&values[i]);
}

static int row_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct row *)a)->key, y = ((const struct row *)b)->key;
    return (x > y) - (x < y);
}

/* Adds up rows of the same key. */
static void rows_merge(struct text *t)
{
    size_t n = 0;
    if (t->n_rows == 0)
        return;
    qsort(t->rows, t->n_rows, sizeof *t->rows, row_compare);
    for (size_t i = 1; i < t->n_rows; i++) {
        if (t->rows[i].key != t->rows[n].key) {
            t->rows[++n] = t->rows[i];
            continue;
        }
        for (int k = 0; k < N_BUCKETS + 1; k++)
            t->rows[n].values[k] += t->rows[i].values[k];
    }
    t->n_rows = n + 1;
}

typedef void (*slot_fn)(struct text *t, uint64_t *words, const struct hr_member *member);

/* Calls `fn` for each slot, also of the dead, whose words begin with `magic`. */
static void each_slot(struct text *t, uint64_t magic, slot_fn fn)
{
    struct hr_member member;
    uint32_t n_words = 0;
    t->n_rows = 0;
    for (uint32_t slot = 0; hr_layer_member(t->layer, slot, &member); slot++) {
        uint32_t least = magic == SERVER_MAGIC ? HISTOGRAMS_AT : CLIENT_PAIRS_AT;
        uint64_t *words = hr_layer_counters(t->layer, slot, &n_words);
        if (words && n_words >= least && word_get(&words[WORD_MAGIC]) == magic)
            fn(t, words, &member);
    }
    rows_merge(t);
}

static void add_pairs(struct text *t, uint64_t *words, const struct hr_member *member)
{
    bool is_server = word_get(&words[WORD_MAGIC]) == SERVER_MAGIC;
    uint64_t *pairs = &words[is_server ? PAIRS_AT : CLIENT_PAIRS_AT];
    (void)member;
    for (int i = 0; i < (is_server ? N_PAIRS : N_CLIENT_PAIRS); i++)
        if (word_get(&pairs[2 * i]) != 0)
            row_add(t, word_get(&pairs[2 * i]), &pairs[2 * i + 1], 1);
}

static void add_histograms(struct text *t, uint64_t *words, const struct hr_member *member)
{
    uint64_t *row = &words[HISTOGRAMS_AT];
    (void)member;
    for (int i = 0; i < N_HISTOGRAMS; i++, row += HISTOGRAM_WORDS)
        if (word_get(row) != 0)
            row_add(t, word_get(row), row + 1, N_BUCKETS + 1);
}

/* ---- one function a family */

static const char *reason_name(uint64_t reason)
{
    return reason < HR_N_REASONS ? hr_reason_name((enum hr_reason)reason) : "none";
}

static void put_requests(struct text *t)
{
    put_header(t, METRIC_REQUESTS);
    each_slot(t, SERVER_MAGIC, add_pairs);
    for (size_t i = 0; i < t->n_rows; i++) {
        uint64_t key = t->rows[i].key, reason = key & 0xff;
        if (metrics_key_status(key) == NO_STATUS)
            continue;
        put(t, "headrace_requests_total{pool=\"%.*s\",code=\"%u\",reason=\"%s\"} %" PRIu64 "\n",
            HR_STR(name_of(t, key)), (unsigned)metrics_key_status(key),
            reason == HR_REASON_NONE ? "" : reason_name(reason), t->rows[i].values[0]);
    }
    put_header(t, METRIC_REDELIVERED);
    for (size_t i = 0; i < t->n_rows; i++)
        if (metrics_key_status(t->rows[i].key) == NO_STATUS)
            put(t, "headrace_redelivered_total{pool=\"%.*s\"} %" PRIu64 "\n",
                HR_STR(name_of(t, t->rows[i].key)), t->rows[i].values[0]);
}

static void put_histogram(struct text *t, const char *name, const char *label,
                          const struct row *row)
{
    uint64_t n = 0;
    for (int i = 0; i < N_BUCKETS - 1; i++) {
        n += row->values[i];
        put(t, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, label, hr_metrics_bounds[i], n);
    }
    n += row->values[N_BUCKETS - 1];
    put(t, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, label, n);
    put(t, "%s_sum{%s} %.6f\n", name, label, (double)row->values[N_BUCKETS] / 1e6);
    put(t, "%s_count{%s} %" PRIu64 "\n", name, label, n);
}

static void put_histograms(struct text *t)
{
    static const char *const kinds[HR_N_KINDS] = {"http.request", "websocket.connect",
                                                  "websocket.receive", "websocket.disconnect"};
    each_slot(t, SERVER_MAGIC, add_histograms);
    for (int is_run = 0; is_run < 2; is_run++) {
        enum metric m = is_run ? METRIC_RUN_SECONDS : METRIC_QUEUE_SECONDS;
        put_header(t, m);
        for (size_t i = 0; i < t->n_rows; i++) {
            uint64_t kind = t->rows[i].key & 0xff;
            struct hr_str pool = name_of(t, t->rows[i].key);
            char label[HR_NAME_MAX + 32];
            if ((kind == KIND_RUN) != is_run || (!is_run && (kind < 1 || kind > HR_N_KINDS)))
                continue;
            if (is_run)
                snprintf(label, sizeof label, "pool=\"%.*s\"", HR_STR(pool));
            else
                snprintf(label, sizeof label, "channel=\"%s.%.*s\"", kinds[kind - 1], HR_STR(pool));
            put_histogram(t, metrics[m].name, label, &t->rows[i]);
        }
    }
}

/* Channels by number; from the 201st on they are one, named `other`. */
static bool next_channel(struct text *t, uint32_t *index, struct hr_channel_stats *out)
{
    struct hr_channel_stats more;
    if (!hr_layer_channel_stats(t->layer, *index, out))
        return false;
    if (++*index <= MAX_NAMED_CHANNELS)
        return true;
    while (hr_layer_channel_stats(t->layer, (*index)++, &more)) {
        out->depth += more.depth;
        out->oldest = more.oldest > out->oldest ? more.oldest : out->oldest;
        for (int i = 0; i < HR_N_REASONS; i++)
            out->n_dropped[i] += more.n_dropped[i];
        out->n_full += more.n_full;
    }
    hr_str_copy(out->name, sizeof out->name, HR_LIT("other"));
    return true;
}

/* The channel where they failed; what has a name of its own may be of several. */
static const char *letters_of(const struct hr_channel_stats *stats)
{
    return stats->name + (strncmp(stats->name, "dead.", 5) == 0 ? 5 : 0);
}

static void put_channel_gauges(struct text *t)
{
    struct hr_channel_stats stats;
    put_header(t, METRIC_CHANNEL_DEPTH);
    for (uint32_t i = 0; next_channel(t, &i, &stats);)
        put(t, "headrace_channel_depth{channel=\"%s\"} %" PRIu32 "\n", stats.name, stats.depth);
    put_header(t, METRIC_CHANNEL_OLDEST);
    for (uint32_t i = 0; next_channel(t, &i, &stats);)
        put(t, "headrace_channel_oldest_seconds{channel=\"%s\"} %.3f\n", stats.name,
            (double)stats.oldest / (double)HR_SECOND);
    put_header(t, METRIC_DEAD_LETTERS);
    for (uint32_t i = 0; next_channel(t, &i, &stats);)
        if (stats.is_dead_letter)
            put(t, "headrace_dead_letters{channel=\"%s\"} %" PRIu32 "\n", letters_of(&stats),
                stats.depth);
}

static void put_dropped(struct text *t)
{
    struct hr_channel_stats stats;
    put_header(t, METRIC_DROPPED);
    for (uint32_t i = 0; next_channel(t, &i, &stats);) {
        stats.n_dropped[HR_REASON_QUEUE_FULL] += stats.n_full;
        for (int k = 0; k < HR_N_REASONS; k++)
            if (stats.n_dropped[k] > 0)
                put(t, "headrace_dropped_total{channel=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                    stats.name, hr_reason_name((enum hr_reason)k), stats.n_dropped[k]);
    }
}

/* "web" of "web.3". */
static struct hr_str pool_of_label(const char *label)
{
    const char *dot = strrchr(label, '.');
    return (struct hr_str){label, dot ? (size_t)(dot - label) : strlen(label)};
}

static int worker_state(const struct hr_member *member)
{
    if (member->flags & HR_MEMBER_RETIRE)
        return 2;
    return member->flags & HR_MEMBER_READY ? 1 : 0;
}

static void put_workers(struct text *t)
{
    static const char *const states[] = {"starting", "ready", "retiring"};
    struct hr_member member;
    put_header(t, METRIC_WORKERS);
    for (uint32_t i = 0; i < t->n_names; i++) {
        uint32_t n[3] = {0};
        for (uint32_t slot = 0; hr_layer_member(t->layer, slot, &member); slot++)
            if (member.role == HR_ROLE_WORKER && member.is_live &&
                hr_str_eq(pool_of_label(member.label), t->names[i]))
                n[worker_state(&member)]++;
        for (int k = 0; k < 3; k++)
            put(t, "headrace_workers{pool=\"%.*s\",state=\"%s\"} %" PRIu32 "\n",
                HR_STR(t->names[i]), states[k], n[k]);
    }
}

static void put_exits(struct text *t)
{
    put_header(t, METRIC_WORKER_EXITS);
    each_slot(t, CLIENT_MAGIC, add_pairs);
    for (size_t i = 0; i < t->n_rows; i++) {
        uint64_t why = t->rows[i].key & 0xff;
        if (why < HR_N_EXITS)
            put(t, "headrace_worker_exits_total{pool=\"%.*s\",reason=\"%s\"} %" PRIu64 "\n",
                HR_STR(name_of(t, t->rows[i].key)), hr_exit_name((enum hr_exit)why),
                t->rows[i].values[0]);
    }
}

static void add_connections(struct text *t, uint64_t *words, const struct hr_member *member)
{
    if (member->is_live)
        row_add(t, 1, &words[WORD_HTTP], 2);
}

static void put_lag(struct text *t, uint64_t *words, const struct hr_member *member)
{
    char label[2 * sizeof member->label];
    size_t n = 0;
    for (const char *c = member->label; *c; c++) {
        if (*c == '"' || *c == '\\')
            label[n++] = '\\';
        label[n++] = *c;
    }
    label[n] = '\0';
    if (member->is_live)
        put(t, "headrace_loop_lag_seconds{process=\"%s\"} %.6f\n", label,
            (double)word_get(&words[WORD_LAG]) / (double)HR_SECOND);
}

static void put_gauges(struct text *t)
{
    struct hr_arena_stats arena;
    put_header(t, METRIC_CONNECTIONS);
    each_slot(t, SERVER_MAGIC, add_connections);
    uint64_t n_http = t->n_rows ? t->rows[0].values[0] : 0;
    uint64_t n_websocket = t->n_rows ? t->rows[0].values[1] : 0;
    put(t, "headrace_connections{protocol=\"http\"} %" PRIu64 "\n", n_http);
    put(t, "headrace_connections{protocol=\"websocket\"} %" PRIu64 "\n", n_websocket);
    put_header(t, METRIC_ARENA_BYTES);
    hr_layer_arena_stats(t->layer, &arena);
    uint64_t used = arena.bytes_used < arena.bytes_total ? arena.bytes_used : arena.bytes_total;
    put(t, "headrace_arena_bytes{state=\"used\"} %" PRIu64 "\n", used);
    put(t, "headrace_arena_bytes{state=\"free\"} %" PRIu64 "\n", arena.bytes_total - used);
    put_header(t, METRIC_LOOP_LAG);
    each_slot(t, SERVER_MAGIC, put_lag);
}

int hr_metrics_write(struct hr_layer *layer, struct hr_buf *out)
{
    struct text *t = hr_calloc(1, sizeof *t);
    if (!t)
        return hr_raise(HR_ERR_NOMEM);
    t->layer = layer;
    t->out = out;
    read_names(t);
    put_requests(t);
    put_histograms(t);
    put_channel_gauges(t);
    put_dropped(t);
    put_workers(t);
    put_exits(t);
    put_gauges(t);
    int r = t->error;
    hr_free(t->rows);
    hr_free(t);
    return hr_trace(r);
}
