/* block.c - see block.h for the contract, words.h for the block word.
 *
 * Order is the proof. Taking a chain: the head first, then each tail as our
 * own, its back reference written, then relabelled CHAIN. Giving it back:
 * tails first, the head last. So a tail that is labelled CHAIN has a living
 * head of the generation it names, or a process died in between, and then
 * recovery finds the tail by exactly that.
 */
#include "layer/ipc/block.h"

#include <string.h>

/* ---- finding */

static inline bool try_take(struct ipc_arena *a, uint32_t number, uint32_t slot)
{
    uint64_t w = ipc_word_raw(a, number);
    uint64_t ours = ((w >> 32) + 1) << 32 | (slot + 1);
    /* acq_rel: sees what the last holder wrote, publishes what we wrote. */
    return ipc_word_owner(w) == IPC_FREE &&
           atomic_compare_exchange_strong_explicit(&a->words[number], &w, ours,
                                                   memory_order_acq_rel, memory_order_acquire);
}

static uint32_t take_recent(struct ipc_arena *a, struct ipc_finder *finder, int c, uint32_t slot)
{
    for (int tries = 0; tries < 2; tries++) {
        uint32_t top = atomic_load_explicit(&finder->class[c].top, memory_order_relaxed) - 1;
        uint32_t hint =
            atomic_load_explicit(&finder->class[c].recent[top % 8], memory_order_relaxed);
        if (hint == 0)
            break;
        atomic_store_explicit(&finder->class[c].recent[top % 8], 0, memory_order_relaxed);
        atomic_store_explicit(&finder->class[c].top, top, memory_order_relaxed);
        if (try_take(a, hint - 1, slot))
            return hint - 1;
    }
    return IPC_NO_BLOCK;
}

/* Searches the `n` blocks from `first`, beginning with the `from`th, once around. */
static uint32_t search(struct ipc_arena *a, uint32_t first, uint32_t n, uint32_t from,
                       uint32_t slot)
{
    for (uint32_t i = 0; i < n; i++, from++) {
        from = from < n ? from : 0;
        if (try_take(a, first + from, slot))
            return first + from;
    }
    return IPC_NO_BLOCK;
}

/* A free block of one class: a recent one, else the next after the last find. */
static uint32_t take_from(struct ipc_arena *a, struct ipc_finder *finder, int c, uint32_t slot,
                          bool is_control)
{
    uint32_t found = take_recent(a, finder, c, slot);
    if (found != IPC_NO_BLOCK)
        return found;

    /* Part 0 is what was there from the beginning, the others are the segments. */
    uint32_t n_parts = atomic_load_explicit(&a->n_parts, memory_order_relaxed);
    uint32_t part = atomic_load_explicit(&finder->class[c].part, memory_order_relaxed);
    uint32_t at = atomic_load_explicit(&finder->class[c].at, memory_order_relaxed);
    for (uint32_t i = 0; i < n_parts; i++, part++, at = 0) {
        part = part < n_parts ? part : 0;
        const struct ipc_class *class = part == 0 ? &a->classes[c] : &a->segment_classes[c];
        uint32_t first = class->first;
        if (part > 0)
            first += a->n_base_blocks + (part - 1) * a->n_segment_blocks;
        found = search(a, first, is_control ? class->n : class->n_open, at, slot);
        if (found == IPC_NO_BLOCK)
            continue;
        atomic_store_explicit(&finder->class[c].part, part, memory_order_relaxed);
        atomic_store_explicit(&finder->class[c].at, found - first + 1, memory_order_relaxed);
        return found;
    }
    return IPC_NO_BLOCK;
}

/* Adds the tails that `len` bytes need behind `head`; false when there are not enough. */
static bool take_tails(struct ipc_arena *a, struct ipc_finder *finder, uint32_t head, size_t len,
                       bool is_control)
{
    uint32_t slot = ipc_word_load(a, head).owner - 1;
    uint32_t head_gen = ipc_word_load(a, head).gen;
    uint32_t payload = ipc_block_payload(a, head);
    uint32_t last = head;
    for (size_t have = payload; have < len; have += payload) {
        uint32_t tail = take_from(a, finder, IPC_N_CLASSES - 1, slot, is_control);
        if (tail == IPC_NO_BLOCK)
            return false;
        struct ipc_block *block = ipc_block_at(a, tail);
        atomic_store_explicit(&block->head, head, memory_order_relaxed);
        atomic_store_explicit(&block->head_gen, head_gen, memory_order_relaxed);
        block->next = 0;
        struct ipc_word w = ipc_word_load(a, tail);
        w.owner = IPC_OWNER_CHAIN;
        ipc_word_store(a, tail, w);
        ipc_block_at(a, last)->next = tail + 1;
        last = tail;
    }
    return true;
}

uint32_t ipc_block_alloc(struct ipc_arena *a, struct ipc_finder *finder, uint32_t slot, size_t len,
                         unsigned how)
{
    bool is_control = how & IPC_ALLOC_CONTROL;
    uint32_t head = IPC_NO_BLOCK;
    int c = 0;
    while (c < IPC_N_CLASSES - 1 && len > ipc_class_payload(&a->classes[c]))
        c++;
    /* When its own class is used up a message goes into a larger one. */
    int end = how & IPC_ALLOC_ANY || c + 2 > IPC_N_CLASSES ? IPC_N_CLASSES : c + 2;
    for (; c < end && head == IPC_NO_BLOCK; c++)
        head = take_from(a, finder, c, slot, is_control);
    if (head == IPC_NO_BLOCK)
        return IPC_NO_BLOCK;

    ipc_block_at(a, head)->next = 0;
    if (len > ipc_block_payload(a, head) && !take_tails(a, finder, head, len, is_control)) {
        ipc_block_free(a, finder, head);
        return IPC_NO_BLOCK;
    }
    return head;
}

/* ---- giving back */

static void give_back(struct ipc_arena *a, struct ipc_finder *finder, uint32_t number, uint32_t gen)
{
    ipc_word_store(a, number, (struct ipc_word){.gen = gen});
    struct ipc_spot spot = ipc_block_spot(a, number);
    if (spot.is_spare) /* not for everybody: a search finds it */
        return;
    int c = spot.class;
    uint32_t top = atomic_load_explicit(&finder->class[c].top, memory_order_relaxed);
    atomic_store_explicit(&finder->class[c].recent[top % 8], number + 1, memory_order_relaxed);
    atomic_store_explicit(&finder->class[c].top, top + 1, memory_order_relaxed);
}

void ipc_block_free(struct ipc_arena *a, struct ipc_finder *finder, uint32_t number)
{
    uint32_t gen = ipc_word_load(a, number).gen;
    uint32_t next = ipc_block_next(a, number);
    for (uint32_t n = 0; next != IPC_NO_BLOCK && n < ipc_n_blocks(a); n++) {
        uint32_t tail = next;
        next = ipc_block_next(a, tail);
        /* A tail that is not this head's is a broken link: leave it to its owner. */
        struct ipc_block *block = ipc_block_at(a, tail);
        struct ipc_word w = ipc_word_load(a, tail);
        if (w.owner != IPC_OWNER_CHAIN ||
            atomic_load_explicit(&block->head, memory_order_relaxed) != number ||
            atomic_load_explicit(&block->head_gen, memory_order_relaxed) != gen)
            break;
        give_back(a, finder, tail, w.gen);
    }
    give_back(a, finder, number, gen);
}

/* ---- reading */

uint32_t ipc_block_next(struct ipc_arena *a, uint32_t number)
{
    uint32_t next = ipc_block_at(a, number)->next;
    return next == 0 || !ipc_block_exists(a, next - 1) ? IPC_NO_BLOCK : next - 1;
}

bool ipc_block_read(struct ipc_arena *a, uint32_t number, void *out, size_t len)
{
    uint8_t *to = out;
    if (len == 0)
        return true;
    for (;;) {
        size_t n = ipc_block_payload(a, number);
        n = n < len ? n : len;
        memcpy(to, ipc_block_data(ipc_block_at(a, number)), n);
        to += n;
        len -= n;
        if (len == 0)
            return true;
        number = ipc_block_next(a, number);
        if (number == IPC_NO_BLOCK)
            return false;
    }
}

void ipc_block_usage(const struct ipc_arena *a, uint64_t *total, uint64_t *used)
{
    *total = *used = 0;
    for (uint32_t i = 0; i < ipc_n_blocks(a); i++) {
        uint64_t stride = a->classes[ipc_block_spot(a, i).class].stride;
        *total += stride;
        *used += ipc_word_owner(ipc_word_raw(a, i)) == IPC_FREE ? 0 : stride;
    }
}

uint64_t ipc_block_limit(const struct ipc_arena *a)
{
    uint64_t total = 0;
    for (int c = 0; c < IPC_N_CLASSES; c++)
        total += (a->classes[c].n + (uint64_t)a->max_segments * a->segment_classes[c].n) *
                 a->classes[c].stride;
    return total;
}
