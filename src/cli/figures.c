/* figures.c - see figures.h for the contract. */
#include "cli/figures.h"

#include <assert.h> /* static_assert, for metrics_words.h too */

#include "base/str.h"
#include "cli/channels.h"
#include "server/metrics_words.h"

static_assert(HR_FIGURES_BUCKETS == (int)N_BUCKETS, "figures.h has their number");

/* The words of the server that has or had `slot`; NULL when it is no server's. */
static const uint64_t *server_words(struct hr_layer *layer, uint32_t slot)
{
    uint32_t n = 0;
    const uint64_t *words = hr_layer_counters(layer, slot, &n);
    if (!words || n < HISTOGRAMS_AT + N_HISTOGRAMS * HISTOGRAM_WORDS ||
        word_get(&words[WORD_MAGIC]) != SERVER_MAGIC)
        return NULL;
    return words;
}

static void add_requests(const uint64_t *words, uint64_t hash, struct hr_pool_sums *out)
{
    for (int i = 0; i < N_PAIRS; i++) {
        uint64_t key = word_get(&words[PAIRS_AT + 2 * i]);
        uint64_t count = word_get(&words[PAIRS_AT + 2 * i + 1]);
        uint64_t reason = key & 0xff;
        if (key == 0 || key >> 24 != hash)
            continue;
        if (metrics_key_status(key) == NO_STATUS)
            out->n[HR_SUM_REDELIVERED] += count;
        else if (reason < HR_N_REASONS)
            out->n[HR_SUM_REFUSED + reason] += count;
    }
}

static void add_histograms(const uint64_t *words, uint64_t hash, struct hr_pool_sums *out)
{
    for (int i = 0; i < N_HISTOGRAMS; i++) {
        const uint64_t *row = &words[HISTOGRAMS_AT + i * HISTOGRAM_WORDS];
        uint64_t key = word_get(row);
        if (key == 0 || key >> 24 != hash)
            continue;
        uint64_t *buckets = &out->n[(key & 0xff) == KIND_RUN ? HR_SUM_RUN : HR_SUM_WAIT];
        for (int k = 0; k < N_BUCKETS; k++)
            buckets[k] += word_get(&row[1 + k]);
    }
}

void hr_figures_of_pool(struct hr_layer *layer, const struct hr_pool_takes *pool,
                        struct hr_pool_sums *out)
{
    struct hr_channel_stats stats;
    struct hr_member member;
    uint64_t hash = pool_hash(pool->name);
    *out = (struct hr_pool_sums){0};
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++)
        if (hr_channel_is_taken_by(stats.name, pool))
            out->n[HR_SUM_LOST] += stats.n_dropped[HR_REASON_WORKER_DIED];
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++) {
        const uint64_t *words = server_words(layer, slot);
        if (!words)
            continue;
        add_requests(words, hash, out);
        add_histograms(words, hash, out);
    }
}

void hr_figures_subtract(struct hr_pool_sums *sums, const struct hr_pool_sums *base)
{
    for (int i = 0; i < HR_N_SUMS; i++)
        sums->n[i] -= base->n[i] < sums->n[i] ? base->n[i] : sums->n[i];
}

void hr_figures_of_queue(struct hr_layer *layer, const struct hr_pool_takes *pool,
                         struct hr_queue_figures *out)
{
    struct hr_channel_stats stats;
    *out = (struct hr_queue_figures){0};
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++) {
        if (!hr_channel_is_taken_by(stats.name, pool))
            continue;
        out->n += stats.depth;
        out->oldest = stats.oldest > out->oldest ? stats.oldest : out->oldest;
    }
}

void hr_figures_of_connections(struct hr_layer *layer, struct hr_connection_figures *out)
{
    struct hr_member member;
    *out = (struct hr_connection_figures){0};
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++) {
        const uint64_t *words = member.is_live ? server_words(layer, slot) : NULL;
        if (!words)
            continue;
        out->n_http += word_get(&words[WORD_HTTP]);
        out->n_websocket += word_get(&words[WORD_WEBSOCKET]);
    }
}

hr_time hr_figures_p99(const uint64_t buckets[HR_FIGURES_BUCKETS])
{
    uint64_t all = 0, sum = 0;
    for (int i = 0; i < HR_FIGURES_BUCKETS; i++)
        all += buckets[i];
    double wanted = 0.99 * (double)all;
    for (int i = 0; i < HR_FIGURES_BUCKETS; i++) {
        sum += buckets[i];
        if (all == 0 || (double)sum < wanted)
            continue;
        double low = i > 0 ? hr_metrics_bounds[i - 1] : 0;
        /* Beyond the last bound nothing more is known than that. */
        double high = i < HR_FIGURES_BUCKETS - 1 ? hr_metrics_bounds[i] : low;
        double before = (double)(sum - buckets[i]);
        double seconds = low + (high - low) * (wanted - before) / (double)buckets[i];
        return (hr_time)(seconds * (double)HR_SECOND);
    }
    return 0;
}

uint64_t hr_figures_refused(const struct hr_pool_sums *sums, enum hr_reason *most)
{
    uint64_t sum = 0, best = 0;
    *most = HR_REASON_NONE;
    for (int reason = HR_REASON_NONE + 1; reason < HR_N_REASONS; reason++) {
        uint64_t n = sums->n[HR_SUM_REFUSED + reason];
        sum += n;
        if (n > best) {
            best = n;
            *most = (enum hr_reason)reason;
        }
    }
    return sum;
}
