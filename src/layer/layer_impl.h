/* layer_impl.h - what an implementation of the channel layer fills in.
 *
 * layer.c holds the public functions of headrace/layer.h. It checks every
 * argument once, for all implementations, and then calls through a const
 * table. What arrives here is therefore already true:
 *
 * - names, globs and record keys are well formed, roles and reasons in range;
 * - sizes are at most `max_message`; 0 is allowed and sends an empty message;
 * - an address has slot_gen != 0, but may belong to another layer (GONE);
 * - a text name with '!' has been parsed into an address;
 * - out-parameters are not NULL and are zeroed, options->geometry is set,
 *   options->label too, and is cut to 31 bytes.
 *
 * A handle is the implementation's own struct, which begins with `struct
 * hr_layer`; open() fills its common part. An observer has no slot and only
 * reads: what would change the layer never reaches the implementation.
 *
 * What is counted where. A channel's n_sent counts what entered its queue and
 * n_received what was taken from it, redeliveries included; n_full counts
 * refusals, of group copies too. At rest n_sent == n_received + depth +
 * dropped: a lease that comes back and cannot be redelivered (attempts, or a
 * reply address that is gone) counts as sent again and dropped. All that
 * happens to inbox messages is counted under the channel HR_INBOX_CHANNEL,
 * which every layer registers as its first.
 *
 * Threads: as headrace/layer.h says: draft, draft_to, draft_send,
 *          draft_cancel and group_send come from any thread.
 */
#ifndef HR_LAYER_LAYER_IMPL_H
#define HR_LAYER_LAYER_IMPL_H

#include <stdatomic.h>

#include <headrace/layer.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/time.h"

#define HR_LAYER_MAGIC HR_MAGIC('L', 'A', 'Y', 'R')

#define HR_INBOX_CHANNEL "reply"

enum { HR_LAYER_UNKNOWN = 100 }; /* beside enum hr_layer_outcome; never seen outside */

enum { HR_LABEL_MAX = 31 }; /* bytes in a member's label, without NUL */

struct hr_layer_impl {
    const char *scheme; /* "memory" for "memory:..." */

    /* ---- the handle. `where` is what follows the colon in the URL. */
    int (*open)(struct hr_str where, const struct hr_layer_options *options, struct hr_layer **out);
    void (*close)(struct hr_layer *layer); /* and frees it */
    /* After a fork, seen by `fork_mark`, before the identity in struct
     * hr_layer is read: re-attaches. */
    void (*touch)(struct hr_layer *layer);

    /* ---- sending. The draft comes with layer and options set, nothing
     * else; draft() prepares `pack` and keeps what it needs in `priv`.
     * draft_send() is called only when all that was written fitted. FULL is
     * returned through hr_layer_refuse().
     *
     * draft() is called before `channel` has been checked. What it does not
     * know it leaves with HR_LAYER_UNKNOWN; a good name then comes to
     * add_channel(), which registers it, and to draft() once more. */
    int (*add_channel)(struct hr_layer *layer, struct hr_str channel);
    int (*draft)(struct hr_layer *layer, struct hr_str channel, size_t size,
                 struct hr_draft *draft);
    int (*draft_to)(struct hr_layer *layer, const struct hr_addr *to, size_t size,
                    struct hr_draft *draft);
    int (*draft_send)(struct hr_draft *draft);
    void (*draft_cancel)(struct hr_draft *draft);
    struct hr_ticket_info (*ticket)(struct hr_layer *layer, const struct hr_ticket *ticket);

    /* ---- receiving */
    int (*listen)(struct hr_layer *layer, struct hr_str pattern);
    void (*unlisten)(struct hr_layer *layer, struct hr_str pattern);
    int (*receive)(struct hr_layer *layer, enum hr_receive_from from, struct hr_delivery *out);
    int (*wait)(struct hr_layer *layer, enum hr_receive_from from, hr_time timeout);
    int (*fd)(struct hr_layer *layer);
    int (*prepare)(struct hr_layer *layer, enum hr_receive_from from);
    void (*dispatch)(struct hr_layer *layer);
    hr_time (*poll_timeout)(const struct hr_layer *layer);
    int (*ack)(struct hr_layer *layer, const struct hr_lease *lease);
    int (*nack)(struct hr_layer *layer, const struct hr_lease *lease, enum hr_reason reason,
                hr_time delay); /* -1: as the channel's policy says */

    /* ---- addresses; renew, close and set_full get addresses of this member's
     * slot, which may nevertheless be stale: then they do nothing. */
    int (*address_open)(struct hr_layer *layer, struct hr_addr *out);
    void (*address_renew)(struct hr_layer *layer, struct hr_addr *addr);
    void (*address_close)(struct hr_layer *layer, const struct hr_addr *addr);
    void (*address_set_full)(struct hr_layer *layer, const struct hr_addr *addr, bool is_full);
    bool (*address_alive)(struct hr_layer *layer, const struct hr_addr *addr);

    /* ---- groups. A member is an address or, when `addr` is NULL, the plain
     * channel `name`. *is_partial starts out false. */
    int (*group_add)(struct hr_layer *layer, struct hr_str group, const struct hr_addr *addr,
                     struct hr_str name);
    int (*group_discard)(struct hr_layer *layer, struct hr_str group, const struct hr_addr *addr,
                         struct hr_str name);
    int (*group_send)(struct hr_layer *layer, struct hr_str group, const void *data, size_t len,
                      uint32_t *n_skipped);
    size_t (*group_count)(struct hr_layer *layer, struct hr_str group, bool *is_partial);
    void (*group_channels)(struct hr_layer *layer, struct hr_str group, hr_name_fn fn, void *arg,
                           bool *is_partial);
    bool (*member_next)(struct hr_layer *layer, struct hr_str group,
                        struct hr_member_cursor *cursor, struct hr_addr *out);

    /* ---- policy, housekeeping, statistics. An empty channel means all. The
     * rows are the users': hr_policy_resolve() puts the defaults in. */
    int (*set_policies)(struct hr_layer *layer, const struct hr_channel_policy *rows,
                        size_t n_rows);
    int (*flush)(struct hr_layer *layer, struct hr_str channel);
    int (*pause)(struct hr_layer *layer, struct hr_str channel, bool is_paused);
    void (*count_drop)(struct hr_layer *layer, struct hr_str channel, enum hr_reason reason);
    bool (*channel_stats)(struct hr_layer *layer, uint32_t index, struct hr_channel_stats *out);
    bool (*channel_find)(struct hr_layer *layer, struct hr_str name, uint32_t *index_out);
    void (*arena_stats)(struct hr_layer *layer, struct hr_arena_stats *out);

    /* ---- letters. `data` comes in as the caller's buffer, `len` as its size. */
    bool (*letter_next)(struct hr_layer *layer, struct hr_str channel, uint64_t *cursor,
                        struct hr_letter *letter);
    int (*letters_decide)(struct hr_layer *layer, struct hr_str channel, hr_letter_fn decide,
                          void *arg, struct hr_letter_fates *out);

    /* ---- members, counters, records */
    bool (*member)(struct hr_layer *layer, uint32_t slot, struct hr_member *out);
    void (*set_ready)(struct hr_layer *layer, bool is_ready);
    void (*retire)(struct hr_layer *layer, uint32_t slot, uint32_t slot_gen);
    bool (*is_retiring)(const struct hr_layer *layer);
    uint64_t *(*counters)(struct hr_layer *layer, uint32_t slot, uint32_t *n_out);
    int (*record_put)(struct hr_layer *layer, struct hr_str key, const void *data, size_t len);
    void (*record_remove)(struct hr_layer *layer, struct hr_str key);
    bool (*record_next)(struct hr_layer *layer, uint32_t *cursor, struct hr_record *out);
    uint64_t (*records_version)(const struct hr_layer *layer);
};

/* What every handle begins with. An observer has slot_gen 0 and thereby no address. */
struct hr_layer {
    uint32_t magic;
    enum hr_role role;
    const struct hr_layer_impl *impl;
    uint64_t id;
    uint32_t slot, slot_gen; /* ours */
    size_t max_message;      /* bytes */
    _Atomic uint32_t
        *fork_mark; /* reads 0 in a forked child until touch(); NULL: forks do not matter */
};

/* `const` in a public call says that it changes nothing of what the contract
 * is about; the handle itself, which may have to re-attach or take a lock, is
 * always the heap's. */
static inline struct hr_layer *hr_layer_mutable(const struct hr_layer *layer)
{
    const union {
        const struct hr_layer *given;
        struct hr_layer *mutable;
    } same = {layer};
    return same.mutable;
}

extern const struct hr_layer_impl hr_layer_memory;
#ifdef HR_WITH_IPC
extern const struct hr_layer_impl hr_layer_ipc;
#endif

/* Notes which limit made this send refuse; returns HR_LAYER_FULL. */
int hr_layer_refuse(enum hr_full_reason reason);

/* Appends to what hr_layer_open_error() of this thread will say; open starts
 * with it empty. Lines are separated by the caller. */
void hr_layer_explain(const char *format, ...) HR_PRINTF(1, 2);

/* The bytes to which a layer may grow, of which the default policies are shares. */
static inline uint64_t hr_geometry_limit(const struct hr_geometry *geometry)
{
    return geometry->max_bytes > geometry->bytes ? geometry->max_bytes : geometry->bytes;
}

/* The largest message of a layer of this size: an eighth, at most 16 MiB. */
size_t hr_layer_message_limit(uint64_t arena_bytes);

/* What listen() takes: a channel name without '!' in which `*` and `?` may stand. */
bool hr_pattern_ok(struct hr_str pattern);
bool hr_pattern_is_glob(struct hr_str pattern);

#endif /* HR_LAYER_LAYER_IMPL_H */
