/* policy.h - what holds for a channel: capacity, expiry, delivery.
 *
 * Users write rows of patterns with fields left at 0; the first row whose
 * pattern matches decides, and what it leaves open takes the defaults of its
 * kind of channel:
 *
 *   name          messages  expiry   why
 *   http.*        8192      never    shed by age in the interface server
 *   websocket.*   8192      never    FULL keeps the event on its connection
 *   dead letters  10 000    never    kept until somebody looks
 *   at-least-once 10 000    never    lease 60 s, 5 attempts
 *   all others    100       60 s     Channels' defaults
 *
 * Dead letters are `dead.*` and every name that some row calls its
 * dead_letter. A quarter of the arena is everybody's capacity in bytes.
 *
 * The rows as a MessagePack record are how a layer with many processes keeps
 * them: under the key HR_POLICY_RECORD, at most HR_RECORD_MAX bytes.
 *
 * Threads: none of these keeps state. Memory: nothing allocates.
 */
#ifndef HR_LAYER_POLICY_H
#define HR_LAYER_POLICY_H

#include <headrace/layer.h>

#define HR_POLICY_RECORD "policies"

enum {
    HR_POLICY_MAX_ROWS = 64,          /* bounds the look-up when a channel is registered */
    HR_POLICY_MAX_MESSAGES = 1 << 20, /* a channel's capacity; more would be a database */
    HR_POLICY_MAX_ATTEMPTS = 1000,
};

/* What holds for one channel: no field left open. */
struct hr_policy {
    uint32_t max_messages;
    uint64_t max_bytes;
    hr_time expiry; /* HR_NEVER: none */
    enum hr_delivery_mode delivery;
    hr_time lease;     /* at-least-once only, else HR_NEVER */
    uint32_t attempts; /* at-least-once only */
    hr_time backoff;   /* at-least-once only */
    bool is_dead_letter;
    char dead_letter[HR_NAME_MAX + 1];
};

enum hr_policy_outcome {
    HR_POLICY_TOO_BIG = 1, /* more rows than a record holds */
    HR_POLICY_MALFORMED,   /* the record holds no rows */
};

/* May a user set this row? */
bool hr_policy_ok(const struct hr_channel_policy *row);

/* The policy of `channel` under these rows, in an arena of that size. */
void hr_policy_resolve(const struct hr_channel_policy *rows, size_t n_rows, struct hr_str channel,
                       uint64_t arena_bytes, struct hr_policy *out);

/* How long a message waits that was nacked at its delivery `attempt`, the
 * first being 1: the back-off, doubled with each, an hour at most. */
hr_time hr_policy_backoff(hr_time backoff, uint32_t attempt);

/* Writes the rows as a record. Returns 0 with *len_out set, or TOO_BIG. */
HR_MUST_CHECK int hr_policy_encode(const struct hr_channel_policy *rows, size_t n_rows,
                                   uint8_t out[HR_RECORD_MAX], size_t *len_out);

/* Reads a record, which is validated. Returns 0 with *n_out rows, at most
 * HR_POLICY_MAX_ROWS, or MALFORMED. */
HR_MUST_CHECK int hr_policy_decode(const void *data, size_t len,
                                   struct hr_channel_policy rows[HR_POLICY_MAX_ROWS],
                                   size_t *n_out);

#endif /* HR_LAYER_POLICY_H */
