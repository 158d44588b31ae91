/* handle.h - one member of an ipc layer: its handle, and what the files of this folder offer each
 * other.
 *
 *   attach.c   becoming a member and ceasing to be one; forks
 *   channel.c  channel names, policies, statistics
 *   send.c     drafts, commits, tickets
 *   receive.c  taking, leases, what is listened to
 *   bell.c     sleeping and waking
 *   group.c    interests, joins, broadcasts
 *   letter.c   what waits, one by one: dead letters
 *   record.c   the board
 *   recover.c  after deaths: finishing, returning leases, sweeping
 *   ipc.c      the table of layer_impl.h and the small calls
 *
 * Threads: what send.c, channel_find and group_send use is safe for all
 *          threads (the finder's hints and the bell descriptors are atomic,
 *          all else there is constant); the rest is the owner thread's.
 */
#ifndef HR_LAYER_IPC_HANDLE_H
#define HR_LAYER_IPC_HANDLE_H

#include "layer/ipc/arena.h"
#include "layer/ipc/block.h"
#include "layer/ipc/lock.h"
#include "layer/ipc/queue.h"
#include "layer/layer_impl.h"
#include "layer/members.h"
#include "layer/policy.h"

/* One thing listened to: a name's queue, or a glob over all of them. */
struct ipc_listen {
    char pattern[HR_NAME_MAX + 1];
    bool is_glob;
};

/* A queue we receive from, found once. */
struct ipc_source {
    uint32_t number;
    struct ipc_ring ring;
    uint32_t name_len; /* of the channel; 0 for our inbox */
    char name[HR_NAME_MAX + 1];
};

struct ipc_layer {
    struct hr_layer layer; /* first: a handle is its struct hr_layer */
    char *directory;
    int dir_fd;
    uint64_t arena_ino;          /* of the file, to find it in a process's maps */
    _Atomic hr_time next_growth; /* relaxed: after a failure, when to try again */
    struct ipc_lock *lock;
    struct ipc_arena arena;
    char label[HR_LABEL_MAX + 1];
    struct ipc_slot_tables tables; /* where our slot's tables begin */
    struct ipc_finder finder;

    /* bell.c */
    int bell_fd;                         /* our own FIFO */
    int poll_fd;                         /* epoll over it and the watched members' pidfds */
    _Atomic int ring_fds[IPC_MAX_SLOTS]; /* other members' FIFOs, opened when first rung; -1 */
    _Atomic uint32_t last_rung;          /* fairness among sleeping receivers */
    struct ipc_watch *watches;           /* servers: a pidfd per worker slot; else NULL */
    bool is_waiting;                     /* our waiter bits are set */
    bool may_be_rung;                    /* we slept since we last passed on the baton */
    bool is_asleep;       /* prepare() let us sleep, dispatch() has not yet been called */
    hr_time last_hearing; /* when deaths were last asked for */

    /* receive.c */
    struct ipc_listen listens[HR_LAYER_MAX_LISTENS];
    uint32_t n_listens;
    struct ipc_source *sources; /* what to receive from, our inbox first */
    uint32_t n_sources;
    uint32_t n_seen;      /* channels that were registered when `sources` was made */
    uint32_t next_source; /* where the next receive begins */
    uint32_t
        in_hand;     /* block of the message last received, when it has no lease; or IPC_NO_BLOCK */
    uint8_t *buffer; /* the message last received */
    size_t buffer_size;
    char channel_name[HR_NAME_MAX + 1], group_name[HR_NAME_MAX + 1];

    /* addresses */
    uint32_t *free_connections;                 /* stack of closed numbers */
    uint32_t n_free_connections, n_connections; /* n_connections: numbers ever used */

    /* group.c */
    struct hr_members members;
    uint64_t *idle_interests; /* interest words that had no member at the last collection */
    bool has_idle;            /* some of these are not 0 */
    uint16_t *n_delayed;      /* of each queue, while a sweep counts them */
    hr_time next_collection;
    hr_time next_sweep;
    bool has_admin; /* we hold the admin lock */
};

static inline struct ipc_layer *ipc_of(struct hr_layer *layer)
{
    return (struct ipc_layer *)(void *)layer;
}
static inline const struct ipc_layer *ipc_of_const(const struct hr_layer *layer)
{
    return (const struct ipc_layer *)(const void *)layer;
}

/* ---- channel.c */
HR_MUST_CHECK int ipc_set_policies(struct hr_layer *layer, const struct hr_channel_policy *rows,
                                   size_t n_rows);
bool ipc_channel_stats(struct hr_layer *layer, uint32_t index, struct hr_channel_stats *out);
bool ipc_channel_index(struct hr_layer *layer, struct hr_str name, uint32_t *index_out);
HR_MUST_CHECK int ipc_pause(struct hr_layer *layer, struct hr_str channel, bool is_paused);
static inline bool ipc_is_paused(const struct ipc_queue *queue)
{
    /* seq_cst: for who is about to sleep, and for who has put a message in;
     * ipc_pause() rings everybody after it has cleared the word. */
    return atomic_load(&queue->paused_at) != 0;
}
void ipc_count_drop_by_name(struct hr_layer *layer, struct hr_str channel, enum hr_reason reason);
/* Where the messages of queue `queue` go when they failed too often. */
void ipc_dead_letter_name(const struct ipc_arena *arena, uint32_t queue, char out[HR_NAME_MAX + 1]);
#define IPC_NO_QUEUE UINT32_MAX
/* The queue of a channel; IPC_NO_QUEUE when it is not registered. Lock-free. */
uint32_t ipc_channel_find(const struct ipc_arena *arena, struct hr_str name);
/* The same, registering it if need be. FULL with CHANNELS, HR_ERR_UNAVAILABLE. */
HR_MUST_CHECK int ipc_channel_get(struct ipc_layer *l, struct hr_str name, uint32_t *queue_out);
/* The same for who holds the admin lock. */
HR_MUST_CHECK int ipc_channel_get_locked(struct ipc_layer *l, struct hr_str name,
                                         uint32_t *queue_out);
/* The name of channel queue `queue`, copied with a NUL; its length, 0 when it has none. */
size_t ipc_channel_name(const struct ipc_arena *arena, uint32_t queue, char out[HR_NAME_MAX + 1]);
/* The queue under which inbox messages are counted. */
static inline uint32_t ipc_inbox_counter(const struct ipc_arena *arena)
{
    return arena->n_slots;
}
/* Counts `n` drops of queue `queue` (an inbox's: under HR_INBOX_CHANNEL); `was_queued`: its head
 * moved past them. */
void ipc_count_drop(const struct ipc_arena *arena, uint32_t queue, enum hr_reason reason,
                    bool was_queued);

/* ---- send.c */
HR_MUST_CHECK int ipc_add_channel(struct hr_layer *layer, struct hr_str channel);
HR_MUST_CHECK int ipc_draft(struct hr_layer *layer, struct hr_str channel, size_t size,
                            struct hr_draft *draft);
HR_MUST_CHECK int ipc_draft_to(struct hr_layer *layer, const struct hr_addr *to, size_t size,
                               struct hr_draft *draft);
HR_MUST_CHECK int ipc_draft_send(struct hr_draft *draft);
HR_MUST_CHECK int ipc_draft_send_kind(struct hr_draft *draft, enum ipc_kind kind);
void ipc_draft_cancel(struct hr_draft *draft);
struct hr_ticket_info ipc_ticket(struct hr_layer *layer, const struct hr_ticket *ticket);
/* Puts a block that we own into a queue and wakes a receiver. `limit` 0: as
 * far as the ring goes. Returns 0 or IPC_QUEUE_FULL (block still ours). */
HR_MUST_CHECK int ipc_post(struct ipc_layer *l, uint32_t queue, uint32_t block, uint32_t limit);
/* Does the address stand? Its connection word too, unless it is a control address. */
bool ipc_addr_stands(const struct ipc_arena *arena, const struct hr_addr *addr);
/* A small message of a kind of ours, with `text` as payload, into a member's inbox as control. */
HR_MUST_CHECK int ipc_post_kind(struct ipc_layer *l, enum ipc_kind kind, const struct hr_addr *to,
                                struct hr_str text);

/* ---- receive.c */
/* Empties a queue (an inbox of ours or of the dead, any channel): what has a
 * reply address goes back there as a lost lease when `gives_back`, all else is
 * dropped for `reason`. */
void ipc_drain(struct ipc_layer *l, uint32_t queue, enum hr_reason reason, bool gives_back);
/* Drops the message at the head of a channel if it has expired; false when not. */
bool ipc_drop_expired(struct ipc_layer *l, uint32_t queue, hr_time now);
/* Frees the message that was lent by the last receive. */
void ipc_let_go(struct ipc_layer *l);
/* Makes `sources` anew when channels were registered since. */
HR_MUST_CHECK int ipc_refresh_sources(struct ipc_layer *l);
/* Sets or clears our waiter bits in all channels listened to. */
void ipc_set_waiters(struct ipc_layer *l, bool on);
HR_MUST_CHECK int ipc_listen(struct hr_layer *layer, struct hr_str pattern);
void ipc_unlisten(struct hr_layer *layer, struct hr_str pattern);
HR_MUST_CHECK int ipc_receive(struct hr_layer *layer, enum hr_receive_from from,
                              struct hr_delivery *out);
HR_MUST_CHECK int ipc_ack(struct hr_layer *layer, const struct hr_lease *lease);
HR_MUST_CHECK int ipc_nack(struct hr_layer *layer, const struct hr_lease *lease,
                           enum hr_reason reason, hr_time delay);

/* ---- bell.c */
HR_MUST_CHECK int ipc_bell_open(struct ipc_layer *l);
void ipc_bell_close(struct ipc_layer *l);
/* Does anyone sleep who would take from the queue? All loads are seq_cst:
 * after our entry; they pair with ready_to_sleep(). */
static inline bool ipc_has_sleeper(const struct ipc_arena *a, uint32_t queue)
{
    if (queue < a->n_slots)
        return atomic_load(&a->slots[queue].bell) != IPC_AWAKE;
    const struct ipc_queue *q = &a->queues[queue];
    uint32_t words = atomic_load(&q->waiter_words) & 0xFFFF;
    for (; words; words &= words - 1) {
        uint32_t word = (uint32_t)__builtin_ctz(words);
        uint64_t bits = atomic_load(&q->waiters[word]);
        for (; bits; bits &= bits - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (slot < a->n_slots && atomic_load(&a->slots[slot].bell) != IPC_AWAKE)
                return true;
        }
    }
    return false;
}
/* Wakes one sleeping receiver of the queue, if one sleeps. */
void ipc_ring_sleeper(struct ipc_layer *l, uint32_t queue);
static inline void ipc_ring(struct ipc_layer *l, uint32_t queue)
{
    if (ipc_has_sleeper(&l->arena, queue))
        ipc_ring_sleeper(l, queue);
}
/* Wakes the member in `slot`, if it sleeps. True when it did. */
bool ipc_ring_slot(struct ipc_layer *l, uint32_t slot);
void ipc_ring_all(struct ipc_layer *l);
/* The same after a death, and those whom the dead one rang and did not wake. */
void ipc_wake_all(struct ipc_layer *l);
void ipc_clear_waiter(const struct ipc_arena *arena, uint32_t slot);
/* Servers: watch the processes of members that came, forget those that went. */
void ipc_watch_members(struct ipc_layer *l);
HR_MUST_CHECK int ipc_wait(struct hr_layer *layer, enum hr_receive_from from, hr_time timeout);
int ipc_fd(struct hr_layer *layer);
HR_MUST_CHECK int ipc_prepare(struct hr_layer *layer, enum hr_receive_from from);
void ipc_dispatch(struct hr_layer *layer);
hr_time ipc_poll_timeout(const struct hr_layer *layer);

/* ---- group.c */
void ipc_group_init(struct ipc_layer *l);
HR_MUST_CHECK int ipc_group_add(struct hr_layer *layer, struct hr_str group,
                                const struct hr_addr *addr, struct hr_str name);
HR_MUST_CHECK int ipc_group_discard(struct hr_layer *layer, struct hr_str group,
                                    const struct hr_addr *addr, struct hr_str name);
HR_MUST_CHECK int ipc_group_send(struct hr_layer *layer, struct hr_str group, const void *data,
                                 size_t len, uint32_t *n_skipped);
size_t ipc_group_count(struct hr_layer *layer, struct hr_str group, bool *is_partial);
void ipc_group_channels(struct hr_layer *layer, struct hr_str group, hr_name_fn fn, void *arg,
                        bool *is_partial);
bool ipc_member_next(struct hr_layer *layer, struct hr_str group, struct hr_member_cursor *cursor,
                     struct hr_addr *out);
/* A JOIN or DISCARD from the inbox; FLUSH forgets all groups. */
void ipc_group_handle(struct ipc_layer *l, enum ipc_kind kind, uint32_t conn, uint32_t conn_gen,
                      struct hr_str group);
void ipc_group_drop(struct ipc_layer *l, uint32_t conn); /* a connection of ours closed */
/* When the inbox is empty: counts are exact, idle interests can go. */
void ipc_group_collect(struct ipc_layer *l, hr_time now);
void ipc_group_clear_named(struct ipc_layer *l); /* admin lock held */
void ipc_interest_clear(const struct ipc_arena *arena,
                        uint32_t slot); /* of a slot that is over; admin lock held */

/* ---- letter.c */
bool ipc_letter_next(struct hr_layer *layer, struct hr_str channel, uint64_t *cursor,
                     struct hr_letter *letter);
HR_MUST_CHECK int ipc_letters_decide(struct hr_layer *layer, struct hr_str channel,
                                     hr_letter_fn decide, void *arg, struct hr_letter_fates *out);

/* ---- record.c */
HR_MUST_CHECK int ipc_record_put(struct hr_layer *layer, struct hr_str key, const void *data,
                                 size_t len);
void ipc_record_remove(struct hr_layer *layer, struct hr_str key);
bool ipc_record_next(struct hr_layer *layer, uint32_t *cursor, struct hr_record *out);
/* Reads one record by key; false when there is none. */
bool ipc_record_get(const struct ipc_arena *arena, struct hr_str key, struct hr_record *out);
HR_MUST_CHECK int ipc_record_put_locked(struct ipc_arena *arena, struct hr_str key,
                                        const void *data, size_t len);

/* ---- recover.c */
/* Ends slot `slot`, whose process is gone (or is we ourselves, leaving):
 * finishes its steps, returns its leases, frees its blocks, its inbox, its
 * interests. The admin lock is held; idempotent. */
void ipc_recover_slot(struct ipc_layer *l, uint32_t slot);
/* The same for a slot that looks dead: makes sure first. True when recovered. */
bool ipc_bury(struct ipc_layer *l, uint32_t slot);
bool ipc_bury_locked(struct ipc_layer *l, uint32_t slot); /* admin lock held */
/* Looks for deaths, ended leases, due messages, at most every 50 ms for the whole layer. */
void ipc_sweep(struct ipc_layer *l, hr_time now);
/* Drops the messages of a channel that are not yet due. */
void ipc_drop_delayed(struct ipc_layer *l, uint32_t queue, enum hr_reason reason);
/* What becomes of a message whose lease was taken from its holder. `number` is
 * ours, RETURNING, its `tries` already counted. */
void ipc_return_lease(struct ipc_layer *l, uint32_t number, enum hr_reason reason);
/* The same, but it is delivered again only after `delay`. False, and nothing done, when
 * it will not be delivered again. */
bool ipc_postpone(struct ipc_layer *l, uint32_t number, hr_time delay);
/* Puts a message that we hold into its queue, or leaves it to the layer under
 * the same flags. Until then a death leaves it flagged, to be put there again. */
void ipc_put_back(struct ipc_layer *l, uint32_t number, uint32_t flags);
/* Moves a message that we hold to another channel, with what it is there. */
struct ipc_place {
    uint32_t queue;
    uint32_t attempts;
    enum hr_reason reason;
    bool is_buried;
};
void ipc_readdress(const struct ipc_layer *l, struct ipc_block *block, struct ipc_place to);

/* ---- attach.c */
HR_MUST_CHECK int ipc_open(struct hr_str where, const struct hr_layer_options *options,
                           struct hr_layer **out);
void ipc_close(struct hr_layer *layer);
void ipc_touch(struct hr_layer *layer);
/* Makes the arena larger, or finds that somebody has. False when it is as
 * large as it may be or the file system is full. Any thread. */
bool ipc_grow(struct ipc_layer *l);

enum { IPC_ADMIN_PATIENCE_MS = 5000 };

#endif /* HR_LAYER_IPC_HANDLE_H */
