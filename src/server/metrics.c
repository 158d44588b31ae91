/* metrics.c - counting: see metrics.h for the contract and metrics_words.h for the layout.
 *
 * A request costs one probe of the table of pairs. When the table is full,
 * which takes more combinations of pool, status and reason than a sane site
 * has, further ones count as one row of no pool.
 */
#include "server/metrics.h"

#include <assert.h>

#include "base/assert.h"
#include "base/time.h"
#include "server/http.h"
#include "server/metrics_words.h"

static_assert(HISTOGRAMS_AT + N_HISTOGRAMS * HISTOGRAM_WORDS <= (int)HR_COUNTERS_SERVER,
              "a server's slot has room");

const double hr_metrics_bounds[N_BUCKETS - 1] = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3,
                                                 1,     3,     10,   30,   60};

static void word_add(uint64_t *word, uint64_t n)
{
    word_set(word, word_get(word) + n); /* one writer: no read-modify-write is needed */
}

void hr_metrics_init(struct hr_metrics *metrics, struct hr_layer *layer)
{
    uint32_t n = 0;
    uint64_t *words = hr_layer_counters(layer, hr_layer_slot(layer), &n);
    metrics->words = NULL;
    if (!words || n < (uint32_t)HR_COUNTERS_SERVER)
        return;
    metrics->words = words;
    word_set(&words[WORD_HTTP], 0);
    word_set(&words[WORD_WEBSOCKET], 0);
    word_set(&words[WORD_LAG], 0);
    word_set(&words[WORD_MAGIC], SERVER_MAGIC);
}

/* The count of `key` among `n` pairs, made when it is new; NULL when there is no room. */
static uint64_t *pair_find(uint64_t *pairs, uint32_t n, uint64_t key)
{
    uint32_t at = (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % n;
    for (uint32_t i = 0; i < n; i++, at = (at + 1) % n) {
        uint64_t found = word_get(&pairs[2 * at]);
        if (found == 0)
            word_set(&pairs[2 * at], key);
        if (found == 0 || found == key)
            return &pairs[2 * at + 1];
    }
    return NULL;
}

void hr_metrics_request(struct hr_metrics *metrics, const struct hr_http *http)
{
    const struct hr_pool *pool = http->source.pool;
    struct hr_str name = pool ? pool->name : HR_LIT("");
    if (!metrics->words || hr_listener_is_admin(http->conn->listener))
        return;
    uint64_t *pairs = &metrics->words[PAIRS_AT];
    uint64_t key = metrics_key(name, http->ex.answer.status, (uint8_t)http->ex.reason);
    uint64_t *count = pair_find(pairs, N_PAIRS - 1, key);
    if (!count) { /* the last pair is kept for the rest */
        word_set(&pairs[2 * (N_PAIRS - 1)], metrics_key(HR_LIT(""), 999, HR_REASON_LIMIT));
        count = &pairs[2 * (N_PAIRS - 1) + 1];
    }
    word_add(count, 1);
}

void hr_metrics_redelivered(struct hr_metrics *metrics, struct hr_str pool)
{
    if (!metrics->words)
        return;
    uint64_t *count =
        pair_find(&metrics->words[PAIRS_AT], N_PAIRS - 1, metrics_key(pool, NO_STATUS, 0));
    if (count)
        word_add(count, 1);
}

static void observe(struct hr_metrics *metrics, struct hr_str pool, uint8_t kind, hr_time span)
{
    uint64_t key = metrics_key(pool, 0, kind);
    uint64_t *row = &metrics->words[HISTOGRAMS_AT];
    for (int i = 0; i < N_HISTOGRAMS; i++, row += HISTOGRAM_WORDS) {
        uint64_t found = word_get(row);
        if (found != 0 && found != key)
            continue;
        if (found == 0)
            word_set(row, key);
        int bucket = 0;
        double seconds = (double)span / (double)HR_SECOND;
        while (bucket < N_BUCKETS - 1 && seconds > hr_metrics_bounds[bucket])
            bucket++;
        word_add(&row[1 + bucket], 1);
        word_add(&row[1 + N_BUCKETS], (uint64_t)(span / HR_US));
        return;
    }
}

void hr_metrics_event(struct hr_metrics *metrics, const struct hr_source *source)
{
    hr_time now = hr_time_now(), taken = source->taken_at;
    if (!metrics->words || taken == 0)
        return;
    /* The worker's clock is the same, but what it says is only likely. */
    hr_time queued = taken > source->sent_at ? taken - source->sent_at : 0;
    hr_time run = now > taken ? now - taken : 0;
    observe(metrics, source->pool->name, (uint8_t)(1 + source->kind), queued);
    observe(metrics, source->pool->name, KIND_RUN, run);
}

void hr_metrics_connections(struct hr_metrics *metrics, uint32_t n_http, uint32_t n_websocket)
{
    if (!metrics->words)
        return;
    word_set(&metrics->words[WORD_HTTP], n_http);
    word_set(&metrics->words[WORD_WEBSOCKET], n_websocket);
}

void hr_metrics_turn(struct hr_metrics *metrics, hr_time busy)
{
    if (!metrics->words)
        return;
    /* The recent worst: it fades over some hundred turns. */
    uint64_t *word = &metrics->words[WORD_LAG], worst = word_get(word);
    uint64_t span = busy > 0 ? (uint64_t)busy : 0;
    word_set(word, span > worst ? span : worst - worst / 128);
}

const char *hr_exit_name(enum hr_exit why)
{
    static const char *const names[HR_N_EXITS] = {
        [HR_EXIT_ASKED] = "asked", [HR_EXIT_ERROR] = "error",     [HR_EXIT_SIGNAL] = "signal",
        [HR_EXIT_OOM] = "oom",     [HR_EXIT_TIMEOUT] = "timeout", [HR_EXIT_BOOT] = "boot",
    };
    hr_assert(why < HR_N_EXITS);
    return names[why];
}

void hr_metrics_count_exit(struct hr_layer *layer, struct hr_str pool, enum hr_exit why)
{
    uint32_t n = 0;
    uint64_t *words = hr_layer_counters(layer, hr_layer_slot(layer), &n);
    if (!words || n < CLIENT_PAIRS_AT + 2 * N_CLIENT_PAIRS)
        return;
    word_set(&words[WORD_MAGIC], CLIENT_MAGIC);
    uint64_t *count = pair_find(&words[CLIENT_PAIRS_AT], N_CLIENT_PAIRS,
                                metrics_key(pool, NO_STATUS, (uint8_t)why));
    if (count)
        word_add(count, 1);
}
