/* queue.c - see queue.h for the contract.
 *
 * Entry i of a ring of 2^n stands for the positions i, i + 2^n, ...; its cycle
 * says for which of them it stands now. A sender commits by one CAS on the
 * entry at tail, a receiver takes by one CAS on the entry at head. The cursors
 * only help to find the place: anyone who meets an entry that is already past
 * its cursor moves the cursor on, so a death between the two steps delays
 * nobody.
 *
 * What can be read at a cursor p of cycle c, and what it means:
 *   EMPTY c      the place is free (tail) / the queue is empty (head)
 *   READY c      filled: help tail on / take it
 *   TAKEN c      filled and taken: help the cursor on
 *   EMPTY c + 1  filled, taken, released: help the cursor on
 *   TAKEN c - 1  a taker of the last lap is still at it: full (tail) / empty (head)
 *   READY c - 1  not yet taken since the last lap: full (tail)
 * Anything else with the cursor unchanged is damage and poisons the arena.
 */
#include "layer/ipc/queue.h"

enum { MAX_SPINS = 1 << 20 }; /* a loop that makes no progress for so long reads garbage */

static uint32_t cycle_of(uint64_t position, uint32_t log2)
{
    return (uint32_t)(position >> log2) & 0xFFFFFF;
}

/* Is a taker of the lap before this cycle still at the entry? */
static bool is_lagging(struct ipc_entry e, uint32_t cycle)
{
    return e.state == IPC_TAKEN && e.cycle == ((cycle - 1) & 0xFFFFFF);
}

/* Is the message of the lap before still there? The ring is full to the last entry. */
static bool is_full_lap(struct ipc_entry e, uint32_t cycle)
{
    return e.state == IPC_READY && e.cycle == ((cycle - 1) & 0xFFFFFF);
}

static _Atomic uint64_t *entry_at(const struct ipc_ring *ring, uint64_t position)
{
    return &ring->entries[position & ((UINT64_C(1) << ring->log2) - 1)];
}

/* Moves a cursor from `from` to the next position unless somebody has. */
static void help(_Atomic uint64_t *cursor, uint64_t from)
{
    /* release: who reads the new cursor (acquire) sees the entry behind it. */
    atomic_compare_exchange_strong_explicit(cursor, &from, from + 1, memory_order_release,
                                            memory_order_relaxed);
}

bool ipc_ring_of(const struct ipc_arena *a, uint32_t number, struct ipc_ring *out)
{
    struct ipc_queue *q = &a->queues[number];
    *out = (struct ipc_ring){.queue = q};
    if (number < a->n_slots) {
        struct ipc_slot_tables tables = ipc_slot_tables(a, number);
        out->max_messages = a->geometry.role[tables.role].inbox;
        uint32_t size = out->max_messages < IPC_MIN_RING ? IPC_MIN_RING : out->max_messages;
        out->log2 = (uint32_t)__builtin_ctz(size);
        out->entries = &a->ring[tables.ring];
        return true;
    }
    uint32_t first = q->ring, log2 = q->size_log2;
    if (log2 < 7 || log2 > 20 || first > a->n_ring || (UINT32_C(1) << log2) > a->n_ring - first)
        return false;
    out->log2 = log2;
    out->entries = &a->ring[first];
    out->max_messages = atomic_load_explicit(&q->max_messages, memory_order_relaxed);
    if (out->max_messages > UINT32_C(1) << log2)
        out->max_messages = UINT32_C(1) << log2;
    return true;
}

uint32_t ipc_queue_depth(const struct ipc_ring *ring)
{
    /* acquire: pairs with help(). Head first, so that the difference is never below the truth by
     * both. */
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_acquire);
    uint64_t depth = tail - head;
    uint64_t most = UINT64_C(1) << ring->log2;
    if ((int64_t)depth < 0)
        return 0;
    return (uint32_t)(depth < most ? depth : most);
}

bool ipc_queue_is_empty(const struct ipc_ring *ring)
{
    /* seq_cst: for who is about to sleep, see ready_to_sleep(). */
    uint64_t head = atomic_load(&ring->queue->head);
    struct ipc_entry e = ipc_entry_unpack(atomic_load(entry_at(ring, head)));
    uint32_t cycle = cycle_of(head, ring->log2);
    /* Anything but a place nobody has filled is worth a take, which helps the head on if need be.
     */
    return (e.state == IPC_EMPTY && e.cycle == cycle) || is_lagging(e, cycle);
}

/* Is the place at this position of the lap filled, taken or past? */
static bool is_past(const struct ipc_ring *ring, uint64_t position, enum ipc_entry_state least)
{
    struct ipc_entry e =
        ipc_entry_unpack(atomic_load_explicit(entry_at(ring, position), memory_order_acquire));
    uint32_t cycle = cycle_of(position, ring->log2);
    return (e.cycle == cycle && e.state >= least) || e.cycle == ((cycle + 1) & 0xFFFFFF);
}

void ipc_queue_straighten(const struct ipc_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_acquire);
    if (is_past(ring, tail, IPC_READY))
        help(&ring->queue->tail, tail);
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    if (is_past(ring, head, IPC_TAKEN))
        help(&ring->queue->head, head);
}

bool ipc_queue_peek(const struct ipc_ring *ring, uint64_t *entry_out)
{
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    *entry_out = atomic_load_explicit(entry_at(ring, head), memory_order_acquire);
    struct ipc_entry e = ipc_entry_unpack(*entry_out);
    return e.state == IPC_READY && e.cycle == cycle_of(head, ring->log2);
}

int ipc_queue_put(struct ipc_arena *a, const struct ipc_ring *ring, uint32_t slot, uint32_t block,
                  uint32_t limit)
{
    struct ipc_queue *q = ring->queue;
    struct ipc_entry ready = {.state = IPC_READY,
                              .gen = ipc_word_tag(ipc_word_load(a, block)),
                              .owner = slot,
                              .block = block};
    for (uint32_t spins = 0; spins < MAX_SPINS; spins++) {
        /* acquire: pairs with help() and with the entry's release below. */
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
        uint64_t raw = atomic_load_explicit(entry_at(ring, tail), memory_order_acquire);
        struct ipc_entry e = ipc_entry_unpack(raw);
        uint32_t cycle = cycle_of(tail, ring->log2);

        if (e.cycle == cycle && e.state == IPC_EMPTY) {
            uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
            if ((int64_t)(tail - head) < 0)
                continue; /* tail is old news */
            if (tail - head >= limit)
                return IPC_QUEUE_FULL;
            ready.cycle = cycle;
            /* The commit. Release pairs with the acquire in ipc_queue_take();
             * seq_cst with who is about to sleep, see ready_to_sleep(). */
            if (atomic_compare_exchange_strong(entry_at(ring, tail), &raw, ipc_entry_pack(ready))) {
                help(&q->tail, tail);
                return 0;
            }
        } else if (e.cycle == cycle || e.cycle == ((cycle + 1) & 0xFFFFFF)) {
            help(&q->tail, tail);
        } else if (atomic_load_explicit(&q->tail, memory_order_acquire) == tail) {
            if (is_lagging(e, cycle) || is_full_lap(e, cycle))
                return IPC_QUEUE_FULL;
            break;
        }
    }
    ipc_poison(a, IPC_POISON_ENTRY);
    return IPC_QUEUE_FULL;
}

/* The taken entry's block, checked against its word; damage poisons. */
static bool taken_block(struct ipc_arena *a, struct ipc_entry e, uint64_t position,
                        struct ipc_taken *out)
{
    if (e.block < a->n_blocks) {
        struct ipc_word w = ipc_word_load(a, e.block);
        *out = (struct ipc_taken){.position = position, .block = e.block, .word = w};
        if (ipc_word_tag(w) == e.gen && w.owner != IPC_FREE && w.owner != IPC_OWNER_CHAIN)
            return true;
    }
    ipc_poison(a, IPC_POISON_WORD);
    return false;
}

int ipc_queue_take(struct ipc_arena *a, const struct ipc_ring *ring, uint32_t slot, uint64_t only,
                   struct ipc_taken *out)
{
    struct ipc_queue *q = ring->queue;
    for (uint32_t spins = 0; spins < MAX_SPINS; spins++) {
        /* acquire: pairs with help() and with the commit in ipc_queue_put(). */
        uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
        uint64_t raw = atomic_load_explicit(entry_at(ring, head), memory_order_acquire);
        struct ipc_entry e = ipc_entry_unpack(raw);
        uint32_t cycle = cycle_of(head, ring->log2);

        if ((e.cycle == cycle && e.state == IPC_EMPTY) || is_lagging(e, cycle))
            return IPC_QUEUE_EMPTY;
        if (e.cycle == cycle && e.state == IPC_READY) {
            if (only && raw != only)
                return IPC_QUEUE_EMPTY;
            struct ipc_entry taken = e;
            taken.state = IPC_TAKEN;
            taken.owner = slot;
            /* acq_rel: sees the sender's block; recovery sees who took it. */
            if (atomic_compare_exchange_strong_explicit(entry_at(ring, head), &raw,
                                                        ipc_entry_pack(taken), memory_order_acq_rel,
                                                        memory_order_relaxed)) {
                help(&q->head, head);
                return taken_block(a, e, head, out) ? 0 : IPC_QUEUE_EMPTY;
            }
        } else if (e.cycle == cycle || e.cycle == ((cycle + 1) & 0xFFFFFF)) {
            help(&q->head, head);
        } else if (atomic_load_explicit(&q->head, memory_order_acquire) == head) {
            break;
        }
    }
    ipc_poison(a, IPC_POISON_ENTRY);
    return IPC_QUEUE_EMPTY;
}

void ipc_queue_release(const struct ipc_ring *ring, uint64_t position)
{
    struct ipc_entry empty = {.cycle = cycle_of(position, ring->log2) + 1, .state = IPC_EMPTY};
    /* release: the block's new word is seen before its entry is free again. */
    atomic_store_explicit(entry_at(ring, position), ipc_entry_pack(empty), memory_order_release);
}
