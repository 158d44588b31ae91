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
bool ipc_ring_of(const struct ipc_arena *arena, uint32_t number, struct ipc_ring *out);

/* The tag by which an entry knows the message in its block from an earlier or later one. */
static inline uint32_t ipc_word_tag(struct ipc_word w)
{
    return (w.gen + w.tries) & 0xF;
}

/* Commits `block`, which `slot` owns. `limit` is the most messages the queue
 * may then hold. Returns 0 or IPC_QUEUE_FULL (unchanged). */
HR_MUST_CHECK int ipc_queue_put(struct ipc_arena *arena, const struct ipc_ring *ring, uint32_t slot,
                                uint32_t block, uint32_t limit);

/* Takes the oldest message for `slot`; when `only` is not 0, only if its entry
 * reads exactly so. Its block is not yet ours: read its header, label its word,
 * then call ipc_queue_release(). Returns 0 or IPC_QUEUE_EMPTY. */
struct ipc_taken {
    uint64_t position;
    uint32_t block;
    struct ipc_word word; /* as the sender left it */
};
HR_MUST_CHECK int ipc_queue_take(struct ipc_arena *arena, const struct ipc_ring *ring,
                                 uint32_t slot, uint64_t only, struct ipc_taken *out);
void ipc_queue_release(const struct ipc_ring *ring, uint64_t position);

/* The entry of the oldest message; false when there is none. */
bool ipc_queue_peek(const struct ipc_ring *ring, uint64_t *entry_out);

/* Is there nothing to take? Asks the entry, not the cursors: a message counts
 * from its commit on, even if its sender stopped before it moved the tail. */
bool ipc_queue_is_empty(const struct ipc_ring *ring);

/* Messages in it, by the cursors: for limits and statistics. */
uint32_t ipc_queue_depth(const struct ipc_ring *ring);

/* Moves on the cursors that a death left behind. */
void ipc_queue_straighten(const struct ipc_ring *ring);

#endif /* HR_LAYER_IPC_QUEUE_H */
