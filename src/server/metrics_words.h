/* metrics_words.h - within metrics: how counts lie in a slot's words.
 *
 *     a server's 2048                           a supervisor's 64
 *     0     SERVER_MAGIC                        0     CLIENT_MAGIC
 *     1..7  gauges and plain counters           2..63 pairs: key, count
 *     8..   512 pairs: key, count
 *     1032  72 histograms of 14 words: key, 12 buckets, sum in microseconds
 *
 * A key of 0 is a free row. Keys:
 *     request      hash of the pool (40 bits) | status (16) | reason (8)
 *     redelivered  hash of the pool (40 bits) | 0xffff      | 0
 *     exit         hash of the pool (40 bits) | 0xffff      | why (8)
 *     histogram    hash of the pool (40 bits) | 0           | 1 + enum hr_kind, or RUN
 *
 * Written by the slot's owner alone, relaxed; a reader may see a new row
 * before its first count, which adds nothing.
 */
#ifndef HR_SERVER_METRICS_WORDS_H
#define HR_SERVER_METRICS_WORDS_H

#include <assert.h>
#include <stdint.h>

#include "base/str.h"

enum {
    WORD_MAGIC = 0,
    WORD_HTTP = 1,
    WORD_WEBSOCKET = 2,
    WORD_LAG = 3, /* nanoseconds */
    PAIRS_AT = 8,
    N_PAIRS = 512,
    HISTOGRAMS_AT = PAIRS_AT + 2 * N_PAIRS,
    N_HISTOGRAMS = 72,
    N_BUCKETS = 12, /* the last is +Inf */
    HISTOGRAM_WORDS = 1 + N_BUCKETS + 1,
    CLIENT_PAIRS_AT = 2,
    N_CLIENT_PAIRS = 31,
    KIND_RUN = 0x80,
    NO_STATUS = 0xffff,
};

#define SERVER_MAGIC UINT64_C(0x68726d6574723031) /* "hrmetr01" */
#define CLIENT_MAGIC UINT64_C(0x68726d6574723032)

static_assert(HISTOGRAMS_AT + N_HISTOGRAMS * HISTOGRAM_WORDS <= 2048, "fits a server's slot");
static_assert(CLIENT_PAIRS_AT + 2 * N_CLIENT_PAIRS <= 64, "fits a client's slot");

extern const double hr_metrics_bounds[N_BUCKETS - 1]; /* seconds */

static inline uint64_t word_get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline void word_set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* FNV-1a, 40 bits of it: names are the operator's, nobody floods the table. */
static inline uint64_t pool_hash(struct hr_str name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (uint8_t)name.ptr[i]) * UINT64_C(0x100000001b3);
    return (hash ^ hash >> 40) & UINT64_C(0xffffffffff);
}
static inline uint64_t metrics_key(struct hr_str pool, uint16_t middle, uint8_t low)
{
    return pool_hash(pool) << 24 | (uint64_t)middle << 8 | low;
}
static inline uint16_t metrics_key_status(uint64_t key)
{
    return (uint16_t)(key >> 8);
}

#endif /* HR_SERVER_METRICS_WORDS_H */
