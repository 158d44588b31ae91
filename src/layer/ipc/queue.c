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

uint32_t ipc_queue_depth(const struct ipc_ring *ring)
{
    /* acquire: pairs with ipc_cursor_help(). Head first, so that the difference is never below the
     * truth by both. */
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_acquire);
    uint64_t depth = tail - head;
    uint64_t most = UINT64_C(1) << ring->log2;
    if ((int64_t)depth < 0)
        return 0;
    return (uint32_t)(depth < most ? depth : most);
}

/* Is the place at this position of the lap filled, taken or past? */
static bool is_past(const struct ipc_ring *ring, uint64_t position, enum ipc_entry_state least)
{
    struct ipc_entry e = ipc_entry_unpack(
        atomic_load_explicit(ipc_ring_entry(ring, position), memory_order_acquire));
    uint32_t cycle = cycle_of(position, ring->log2);
    return (e.cycle == cycle && e.state >= least) || e.cycle == ((cycle + 1) & 0xFFFFFF);
}

void ipc_queue_straighten(const struct ipc_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_acquire);
    if (is_past(ring, tail, IPC_READY))
        ipc_cursor_help(&ring->queue->tail, tail);
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    if (is_past(ring, head, IPC_TAKEN))
        ipc_cursor_help(&ring->queue->head, head);
}

bool ipc_queue_peek(const struct ipc_ring *ring, uint64_t *entry_out)
{
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    *entry_out = atomic_load_explicit(ipc_ring_entry(ring, head), memory_order_acquire);
    struct ipc_entry e = ipc_entry_unpack(*entry_out);
    return e.state == IPC_READY && e.cycle == cycle_of(head, ring->log2);
}

int ipc_queue_put_slowly(struct ipc_arena *a, const struct ipc_ring *ring, uint32_t slot,
                         uint32_t block, uint32_t limit)
{
    struct ipc_queue *q = ring->queue;
    struct ipc_entry ready = {.state = IPC_READY,
                              .gen = ipc_word_tag(ipc_word_raw(a, block)),
                              .owner = slot,
                              .block = block};
    for (uint32_t spins = 0; spins < MAX_SPINS; spins++) {
        /* acquire: pairs with ipc_cursor_help() and with the entry's release below. */
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
        uint64_t raw = atomic_load_explicit(ipc_ring_entry(ring, tail), memory_order_acquire);
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
            if (atomic_compare_exchange_strong(ipc_ring_entry(ring, tail), &raw,
                                               ipc_entry_pack(ready))) {
                ipc_cursor_help(&q->tail, tail);
                return 0;
            }
        } else if (e.cycle == cycle || e.cycle == ((cycle + 1) & 0xFFFFFF)) {
            ipc_cursor_help(&q->tail, tail);
        } else if (atomic_load_explicit(&q->tail, memory_order_acquire) == tail) {
            if (is_lagging(e, cycle) || is_full_lap(e, cycle))
                return IPC_QUEUE_FULL;
            break;
        }
    }
    ipc_poison(a, IPC_POISON_ENTRY);
    return IPC_QUEUE_FULL;
}

int ipc_queue_take_slowly(struct ipc_arena *a, const struct ipc_ring *ring, uint32_t slot,
                          uint64_t only, struct ipc_taken *out)
{
    struct ipc_queue *q = ring->queue;
    for (uint32_t spins = 0; spins < MAX_SPINS; spins++) {
        /* acquire: pairs with ipc_cursor_help() and with the commit in ipc_queue_put(). */
        uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
        uint64_t raw = atomic_load_explicit(ipc_ring_entry(ring, head), memory_order_acquire);
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
            if (atomic_compare_exchange_strong_explicit(ipc_ring_entry(ring, head), &raw,
                                                        ipc_entry_pack(taken), memory_order_acq_rel,
                                                        memory_order_relaxed)) {
                ipc_cursor_help(&q->head, head);
                return ipc_queue_taken(a, raw, head, out);
            }
        } else if (e.cycle == cycle || e.cycle == ((cycle + 1) & 0xFFFFFF)) {
            ipc_cursor_help(&q->head, head);
        } else if (atomic_load_explicit(&q->head, memory_order_acquire) == head) {
            break;
        }
    }
    ipc_poison(a, IPC_POISON_ENTRY);
    return IPC_QUEUE_EMPTY;
}
