/* fsck.c - see fsck.h for the contract. */
#include "layer/ipc/fsck.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "layer/ipc/queue.h"

static void note(struct ipc_fsck *out, const char *format, ...) HR_PRINTF(2, 3);
static void note(struct ipc_fsck *out, const char *format, ...)
{
    if (out->n_errors++ > 0)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(out->first, sizeof out->first, format, args);
    va_end(args);
}

static bool is_live(const struct ipc_arena *a, uint32_t slot)
{
    return slot < a->n_slots && atomic_load(&a->slots[slot].state) == IPC_SLOT_LIVE;
}

/* One entry at `position`, which lies in [head, head + size). */
static void check_entry(const struct ipc_arena *a, uint32_t queue, const struct ipc_ring *ring,
                        uint64_t position, uint8_t *queued, struct ipc_fsck *out)
{
    uint64_t head = atomic_load(&ring->queue->head), tail = atomic_load(&ring->queue->tail);
    uint64_t mask = (UINT64_C(1) << ring->log2) - 1;
    struct ipc_entry e = ipc_entry_unpack(atomic_load(&ring->entries[position & mask]));
    uint32_t cycle = (uint32_t)(position >> ring->log2) & 0xFFFFFF;
    bool is_last_lap = e.cycle == ((cycle - 1) & 0xFFFFFF);

    if (e.state == IPC_EMPTY && e.cycle == cycle) {
        if (position < tail)
            note(out, "queue %u: empty at %llu before its tail %llu", queue,
                 (unsigned long long)position, (unsigned long long)tail);
    } else if (e.state == IPC_TAKEN && (is_last_lap || position <= head)) {
        if (!is_live(a, e.owner))
            note(out, "queue %u: taken at %llu by slot %u, which is dead", queue,
                 (unsigned long long)position, e.owner);
    } else if (e.state == IPC_READY && e.cycle == cycle && position <= tail) {
        if (e.block >= ipc_n_blocks(a))
            note(out, "queue %u: block %u does not exist", queue, e.block);
        else if (queued[e.block]++)
            note(out, "block %u is queued twice", e.block);
        else if (ipc_word_tag(ipc_word_raw(a, e.block)) != e.gen)
            note(out, "queue %u: block %u is another message by now", queue, e.block);
    } else if (!(e.state == IPC_EMPTY && e.cycle == ((cycle + 1) & 0xFFFFFF) && position <= head)) {
        note(out, "queue %u: entry at %llu reads %u in cycle %u", queue,
             (unsigned long long)position, (unsigned)e.state, e.cycle);
    }
}

static void check_queue(const struct ipc_arena *a, uint32_t queue, uint8_t *queued,
                        struct ipc_fsck *out)
{
    struct ipc_ring ring;
    if (!ipc_ring_of(a, queue, &ring))
        return;
    uint64_t head = atomic_load(&ring.queue->head), tail = atomic_load(&ring.queue->tail);
    uint64_t size = UINT64_C(1) << ring.log2;
    /* A cursor may lag behind its entry by one step of somebody who died. */
    if (tail + 1 < head || tail - head > size)
        note(out, "queue %u: head %llu, tail %llu", queue, (unsigned long long)head,
             (unsigned long long)tail);
    for (uint64_t i = 0; i < size; i++)
        check_entry(a, queue, &ring, head + i, queued, out);
}

static void check_block(const struct ipc_arena *a, uint32_t number, const uint8_t *queued,
                        struct ipc_fsck *out)
{
    struct ipc_word w = ipc_word_load(a, number);
    if (w.owner == IPC_FREE) {
        out->n_free++;
        if (queued[number])
            note(out, "block %u is queued and free", number);
    } else if (w.owner == IPC_OWNER_CHAIN) {
        struct ipc_block *tail = ipc_block_at(a, number);
        uint32_t head = atomic_load(&tail->head);
        struct ipc_word of_head =
            head < ipc_n_blocks(a) ? ipc_word_load(a, head) : (struct ipc_word){0};
        out->n_tails++;
        if (of_head.owner == IPC_FREE || of_head.gen != atomic_load(&tail->head_gen))
            note(out, "block %u is a tail without a head", number);
    } else if (queued[number]) {
        out->n_queued++;
    } else if (w.owner == IPC_OWNER_LAYER) {
        out->n_with_layer++;
    } else {
        out->n_held++;
        if (!is_live(a, w.owner - 1))
            note(out, "block %u is held by slot %u, which is dead", number, w.owner - 1);
    }
}

int ipc_fsck(struct ipc_arena *a, struct ipc_fsck *out)
{
    *out = (struct ipc_fsck){0};
    ipc_arena_refresh(a);
    uint8_t *queued = hr_calloc(ipc_n_blocks(a), 1);
    if (!queued)
        return hr_raise(HR_ERR_NOMEM);
    for (uint32_t queue = 0; queue < a->n_queues; queue++)
        check_queue(a, queue, queued, out);
    for (uint32_t i = 0; i < ipc_n_blocks(a); i++)
        check_block(a, i, queued, out);
    hr_free(queued);
    return 0;
}
