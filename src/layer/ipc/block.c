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
    const struct ipc_class *class = &a->classes[c];
    for (int tries = 0; tries < 2; tries++) {
        uint32_t top = atomic_load_explicit(&finder->class[c].top, memory_order_relaxed) - 1;
        uint32_t hint =
            atomic_load_explicit(&finder->class[c].recent[top % 8], memory_order_relaxed);
        if (hint == 0)
            break;
        atomic_store_explicit(&finder->class[c].recent[top % 8], 0, memory_order_relaxed);
        atomic_store_explicit(&finder->class[c].top, top, memory_order_relaxed);
        if (hint - 1 - class->first < class->n_open && try_take(a, hint - 1, slot))
            return hint - 1;
    }
    return IPC_NO_BLOCK;
}

/* A free block of one class: a recent one, else the next after the last find. */
static uint32_t take_from(struct ipc_arena *a, struct ipc_finder *finder, int c, uint32_t slot,
                          bool is_control)
{
    const struct ipc_class *class = &a->classes[c];
    uint32_t found = take_recent(a, finder, c, slot);
    if (found != IPC_NO_BLOCK)
        return found;

    uint32_t n = is_control ? class->n : class->n_open;
    uint32_t at = atomic_load_explicit(&finder->class[c].at, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++, at++) {
        if (at >= n)
            at = 0;
        if (try_take(a, class->first + at, slot)) {
            atomic_store_explicit(&finder->class[c].at, at + 1, memory_order_relaxed);
            return class->first + at;
        }
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
                         bool is_control)
{
    uint32_t head = IPC_NO_BLOCK;
    int c = 0;
    while (c < IPC_N_CLASSES - 1 && len > ipc_class_payload(&a->classes[c]))
        c++;
    /* When its own class is used up a message goes into the next larger one. */
    for (; c < IPC_N_CLASSES && head == IPC_NO_BLOCK; c++)
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
    int c = (int)(ipc_class_of(a, number) - a->classes);
    uint32_t top = atomic_load_explicit(&finder->class[c].top, memory_order_relaxed);
    atomic_store_explicit(&finder->class[c].recent[top % 8], number + 1, memory_order_relaxed);
    atomic_store_explicit(&finder->class[c].top, top + 1, memory_order_relaxed);
}

void ipc_block_free(struct ipc_arena *a, struct ipc_finder *finder, uint32_t number)
{
    uint32_t gen = ipc_word_load(a, number).gen;
    uint32_t next = ipc_block_next(a, number);
    for (uint32_t n = 0; next != IPC_NO_BLOCK && n < a->n_blocks; n++) {
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

uint32_t ipc_block_next(const struct ipc_arena *a, uint32_t number)
{
    uint32_t next = ipc_block_at(a, number)->next;
    return next == 0 || next > a->n_blocks ? IPC_NO_BLOCK : next - 1;
}

bool ipc_block_read(const struct ipc_arena *a, uint32_t number, void *out, size_t len)
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
    for (int c = 0; c < IPC_N_CLASSES; c++) {
        const struct ipc_class *class = &a->classes[c];
        *total += (uint64_t) class->n * class->stride;
        for (uint32_t i = 0; i < class->n; i++)
            if (ipc_word_load(a, class->first + i).owner != IPC_FREE)
                *used += class->stride;
    }
}
