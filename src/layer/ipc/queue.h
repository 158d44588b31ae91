/* queue.h - the rings: committing a message to a queue and taking one out.
 *
 * Both are lock-free: whoever is stopped or killed in the middle hinders
 * nobody by more than its own entry. words.h shows the life of an entry.
 *
 * Threads: safe. Memory: the arena's.
 */
#ifndef HR_LAYER_IPC_QUEUE_H
#define HR_LAYER_IPC_QUEUE_H

#include "layer/ipc/block.h"

/* A queue's ring, checked. */
struct ipc_ring {
    struct ipc_queue *queue;
    _Atomic uint64_t *entries;
    uint32_t log2;
    uint32_t max_messages;
};

/* Outcomes. */
enum { IPC_QUEUE_FULL = 1, IPC_QUEUE_EMPTY = 2 };

/* False when queue `number` has no ring (not registered, or damaged). */
static inline bool ipc_ring_of(const struct ipc_arena *a, uint32_t number, struct ipc_ring *out)
{
    struct ipc_queue *q = &a->queues[number];
    out->queue = q;
    if (number < a->n_slots) {
        struct ipc_slot_tables tables = ipc_slot_tables(a, number);
        const struct hr_geometry_row *row = &a->geometry.role[tables.role];
        out->max_messages = row->inbox;
        out->log2 = (uint32_t)__builtin_ctz(ipc_inbox_ring(row));
        out->entries = &a->ring[tables.ring];
        return true;
    }
    uint32_t first = q->ring, log2 = q->size_log2;
    if (log2 < 7 || log2 > 20 || first > a->n_ring || (UINT32_C(1) << log2) > a->n_ring - first)
        return false;
    uint32_t max_messages = atomic_load_explicit(&q->max_messages, memory_order_relaxed);
    out->log2 = log2;
    out->entries = &a->ring[first];
    out->max_messages = max_messages < UINT32_C(1) << log2 ? max_messages : UINT32_C(1) << log2;
    return true;
}

static inline _Atomic uint64_t *ipc_ring_entry(const struct ipc_ring *ring, uint64_t position)
{
    return &ring->entries[position & ((UINT64_C(1) << ring->log2) - 1)];
}

/* Moves a cursor from `from` to the next position unless somebody has. */
static inline void ipc_cursor_help(_Atomic uint64_t *cursor, uint64_t from)
{
    /* release: who reads the new cursor (acquire) sees the entry behind it. */
    atomic_compare_exchange_strong_explicit(cursor, &from, from + 1, memory_order_release,
                                            memory_order_relaxed);
}

/* Commits `block`, which `slot` owns. `limit` is the most messages the queue
 * may then hold. Returns 0 or IPC_QUEUE_FULL (unchanged).
 *
 * Here is what nearly always happens, the place at the tail is free and nobody
 * else wants it; all else is in queue.c. */
HR_MUST_CHECK int ipc_queue_put_slowly(struct ipc_arena *arena, const struct ipc_ring *ring,
                                       uint32_t slot, uint32_t block, uint32_t limit);
HR_MUST_CHECK static inline int ipc_queue_put(struct ipc_arena *a, const struct ipc_ring *ring,
                                              uint32_t slot, uint32_t block, uint32_t limit)
{
    struct ipc_queue *q = ring->queue;
    /* acquire: both pair with ipc_cursor_help(). */
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t empty = ipc_entry_cycle(tail, ring->log2);
    uint64_t ready =
        empty | ipc_entry_pack((struct ipc_entry){.gen = ipc_word_tag(ipc_word_raw(a, block)),
                                                  .state = IPC_READY,
                                                  .owner = slot,
                                                  .block = block});
    /* The commit. Release pairs with the acquire in ipc_queue_take();
     * seq_cst with who is about to sleep, see ready_to_sleep(). */
    if (tail - head < limit &&
        atomic_compare_exchange_strong(ipc_ring_entry(ring, tail), &empty, ready)) {
        ipc_cursor_help(&q->tail, tail);
        return 0;
    }
    return ipc_queue_put_slowly(a, ring, slot, block, limit);
}

/* Takes the oldest message for `slot`; when `only` is not 0, only if its entry
 * reads exactly so. Its block is not yet ours: read its header, label its word,
 * then call ipc_queue_release(). Returns 0 or IPC_QUEUE_EMPTY. */
struct ipc_taken {
    uint64_t position;
    uint32_t block;
    uint64_t word; /* the block's, as the sender left it */
};
HR_MUST_CHECK int ipc_queue_take_slowly(struct ipc_arena *arena, const struct ipc_ring *ring,
                                        uint32_t slot, uint64_t only, struct ipc_taken *out);
/* The taken entry's block, checked against its word; damage poisons. */
HR_MUST_CHECK static inline int ipc_queue_taken(struct ipc_arena *a, uint64_t entry,
                                                uint64_t position, struct ipc_taken *out)
{
    uint32_t block = entry & 0xFFFFFF;
    if (ipc_block_exists(a, block)) {
        uint64_t w = ipc_word_raw(a, block);
        out->position = position;
        out->block = block;
        out->word = w;
        if (ipc_word_tag(w) == (entry >> 36 & 0xF) && ipc_word_owner(w) != IPC_FREE &&
            ipc_word_owner(w) != IPC_OWNER_CHAIN)
            return 0;
    }
    ipc_poison(a, IPC_POISON_WORD);
    return IPC_QUEUE_EMPTY;
}
HR_MUST_CHECK static inline int ipc_queue_take(struct ipc_arena *a, const struct ipc_ring *ring,
                                               uint32_t slot, uint64_t only, struct ipc_taken *out)
{
    struct ipc_queue *q = ring->queue;
    /* acquire: pairs with ipc_cursor_help() and with the commit in ipc_queue_put(). */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    _Atomic uint64_t *entry = ipc_ring_entry(ring, head);
    uint64_t raw = atomic_load_explicit(entry, memory_order_acquire);
    uint64_t cycle = ipc_entry_cycle(head, ring->log2);
    if (raw == cycle) /* EMPTY */
        return IPC_QUEUE_EMPTY;
    uint64_t others = UINT64_C(0xFFFFFF) << 40 | IPC_ENTRY_STATE;
    if ((raw & others) == (cycle | (uint64_t)IPC_READY << 34) && (only == 0 || raw == only)) {
        uint64_t taken = (raw & ~(IPC_ENTRY_STATE | IPC_ENTRY_TAKER)) | (uint64_t)IPC_TAKEN << 34 |
                         (uint64_t)slot << 24;
        /* acq_rel: sees the sender's block; recovery sees who took it. */
        if (atomic_compare_exchange_strong_explicit(entry, &raw, taken, memory_order_acq_rel,
                                                    memory_order_relaxed)) {
            ipc_cursor_help(&q->head, head);
            return ipc_queue_taken(a, taken, head, out);
        }
    }
    return ipc_queue_take_slowly(a, ring, slot, only, out);
}
static inline void ipc_queue_release(const struct ipc_ring *ring, uint64_t position)
{
    /* release: the block's new word is seen before its entry is free again. EMPTY is no bits. */
    atomic_store_explicit(ipc_ring_entry(ring, position),
                          ipc_entry_cycle(position + (UINT64_C(1) << ring->log2), ring->log2),
                          memory_order_release);
}

/* The entry of the oldest message; false when there is none. */
bool ipc_queue_peek(const struct ipc_ring *ring, uint64_t *entry_out);

/* Is there nothing to take? Asks the entry, not the cursors: a message counts
 * from its commit on, even if its sender stopped before it moved the tail. */
static inline bool ipc_queue_is_empty(const struct ipc_ring *ring)
{
    /* seq_cst: for who is about to sleep, see ready_to_sleep(). */
    uint64_t head = atomic_load(&ring->queue->head);
    uint64_t raw = atomic_load(ipc_ring_entry(ring, head));
    if (raw == ipc_entry_cycle(head, ring->log2))
        return true;
    /* A taker of the last lap is still at it. Anything else is worth a take, which helps the head
     * on if need be. */
    struct ipc_entry e = ipc_entry_unpack(raw);
    return e.state == IPC_TAKEN &&
           e.cycle ==
               (uint32_t)(ipc_entry_cycle(head - (UINT64_C(1) << ring->log2), ring->log2) >> 40);
}

/* Messages in it, by the cursors: for limits and statistics. */
uint32_t ipc_queue_depth(const struct ipc_ring *ring);

/* Moves on the cursors that a death left behind. */
void ipc_queue_straighten(const struct ipc_ring *ring);

#endif /* HR_LAYER_IPC_QUEUE_H */
