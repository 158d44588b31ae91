/* letter.c - what waits in a channel, one by one: dead letters, for whoever
 * looks into them and decides what becomes of each.
 *
 * Looking takes nothing. A message stands still as long as its entry does: its
 * header and bytes are copied, and the copy is good if the entry reads the
 * same afterwards.
 *
 * Deciding goes once around the ring. Each message is taken from the head and
 * labelled RETURNING, so that whoever finds it in our dead hands puts it back
 * (recover.c), and then goes to the tail, to where it failed, or nowhere. So
 * the others keep their order and nothing but the usual steps of a queue is
 * needed. The admin lock keeps two who decide apart.
 *
 * A dead letter knows the queue where it failed and has a number, given by
 * bury_letter(). Numbers are not reused, so that `drop 5` after a look means
 * the 5 that was seen.
 */
#include <string.h>

#include "base/str.h"
#include "layer/ipc/handle.h"

static void describe(const struct ipc_arena *a, const struct ipc_block *block,
                     struct hr_letter *out)
{
    *out = (struct hr_letter){
        .attempts = block->attempts,
        .reason = block->reason < HR_N_REASONS ? (enum hr_reason)block->reason : HR_REASON_NONE,
        .sent_at = block->sent,
        .len = block->len,
    };
    if (block->conn != 0 && ipc_channel_name(a, block->conn - 1, out->from))
        out->number = block->conn_gen;
}

/* ---- looking */

static uint64_t entry_load(const struct ipc_ring *ring, uint64_t position)
{
    uint64_t mask = (UINT64_C(1) << ring->log2) - 1;
    /* acquire: pairs with the commit; the block behind it is complete. */
    return atomic_load_explicit(&ring->entries[position & mask], memory_order_acquire);
}

/* Is there still a message at this position? */
static bool is_waiting(const struct ipc_ring *ring, uint64_t position, uint64_t raw)
{
    struct ipc_entry e = ipc_entry_unpack(raw);
    return e.state == IPC_READY && e.cycle == ((uint32_t)(position >> ring->log2) & 0xFFFFFF);
}

static bool read_letter(struct ipc_arena *a, const struct ipc_ring *ring, uint64_t position,
                        struct hr_letter *letter)
{
    uint8_t *buffer = letter->data;
    size_t size = letter->len;
    struct ipc_block block;
    uint64_t raw = entry_load(ring, position);
    uint32_t number = ipc_entry_unpack(raw).block;
    if (!is_waiting(ring, position, raw) || !ipc_block_exists(a, number))
        return false;
    memcpy(&block, ipc_block_at(a, number), sizeof block);
    describe(a, &block, letter);
    if (buffer && letter->len <= size && ipc_block_read(a, number, buffer, letter->len))
        letter->data = buffer;
#ifndef __SANITIZE_THREAD__ /* it knows no fences */
    /* acquire fence: the copies above happen before this second look. */
    atomic_thread_fence(memory_order_acquire);
#endif
    return entry_load(ring, position) == raw;
}

bool ipc_letter_next(struct hr_layer *layer, struct hr_str channel, uint64_t *cursor,
                     struct hr_letter *letter)
{
    struct ipc_arena *a = &ipc_of(layer)->arena;
    const struct hr_letter given = *letter; /* the caller's buffer */
    struct ipc_ring ring;
    uint32_t queue = ipc_channel_find(a, channel);
    if (queue == IPC_NO_QUEUE || !ipc_ring_of(a, queue, &ring))
        return false;
    uint64_t head = atomic_load_explicit(&ring.queue->head, memory_order_acquire);
    uint64_t end = head + ipc_queue_depth(&ring);
    if (*cursor < head)
        *cursor = head;
    while (*cursor < end) {
        *letter = given;
        if (read_letter(a, &ring, (*cursor)++, letter))
            return true;
    }
    return false;
}

/* ---- deciding */

/* Takes the oldest; it is ours, and returning. */
static bool take_letter(struct ipc_layer *l, const struct ipc_ring *ring, uint32_t *number_out)
{
    struct ipc_taken t;
    if (ipc_queue_take(&l->arena, ring, l->layer.slot, 0, &t))
        return false;
    struct ipc_word returning = ipc_word_unpack(t.word);
    returning.tries++;
    returning.flags = IPC_RETURNING;
    returning.owner = l->layer.slot + 1;
    ipc_word_store(&l->arena, t.block, returning);
    ipc_queue_release(ring, t.position);
    atomic_fetch_sub_explicit(&ring->queue->bytes, ipc_block_at(&l->arena, t.block)->len,
                              memory_order_relaxed);
    *number_out = t.block;
    return true;
}

static void drop(struct ipc_layer *l, uint32_t queue, uint32_t number)
{
    struct ipc_word w = ipc_word_load(&l->arena, number);
    w.flags = 0; /* ours without a lease: from here on a death just frees it */
    ipc_word_store(&l->arena, number, w);
    ipc_count_drop(&l->arena, queue, HR_REASON_FLUSHED, true);
    ipc_block_free(&l->arena, &l->finder, number);
}

/* Moves it to where it failed, as if it had just been sent. False when there is no room. */
static bool send_home(struct ipc_layer *l, uint32_t number)
{
    struct ipc_block *block = ipc_block_at(&l->arena, number);
    struct ipc_ring ring;
    uint32_t home = block->conn - 1;
    if (!ipc_ring_of(&l->arena, home, &ring))
        return false;
    uint64_t n = (uint64_t)ipc_queue_depth(&ring) +
                 atomic_load_explicit(&ring.queue->n_delayed, memory_order_relaxed);
    if (n >= ring.max_messages)
        return false;
    block->sent = hr_time_now();
    ipc_readdress(l, block, (struct ipc_place){.queue = home});
    /* Only now: among the dead letters it does not expire. */
    block->expires_ms = atomic_load_explicit(&ring.queue->expiry_ms, memory_order_relaxed);
    block->conn = block->conn_gen = 0;
    ipc_put_back(l, number, IPC_RETURNING);
    return true;
}

static void decide_one(struct ipc_layer *l, uint32_t queue, uint32_t number,
                       enum hr_letter_fate fate, struct hr_letter_fates *out)
{
    bool has_home = ipc_block_at(&l->arena, number)->conn != 0;
    if (fate == HR_LETTER_DROP) {
        drop(l, queue, number);
        out->n_dropped++;
        return;
    }
    if (fate == HR_LETTER_RETRY && has_home && send_home(l, number)) {
        out->n_retried++;
        return;
    }
    if (fate == HR_LETTER_RETRY && has_home)
        out->n_full++;
    else if (fate == HR_LETTER_RETRY)
        out->n_homeless++;
    ipc_put_back(l, number, IPC_RETURNING);
}

int ipc_letters_decide(struct hr_layer *layer, struct hr_str channel, hr_letter_fn decide,
                       void *arg, struct hr_letter_fates *out)
{
    struct ipc_layer *l = ipc_of(layer);
    struct ipc_ring ring;
    struct hr_letter letter;
    uint32_t number, queue = ipc_channel_find(&l->arena, channel);
    if (queue == IPC_NO_QUEUE || !ipc_ring_of(&l->arena, queue, &ring))
        return hr_raise(HR_ERR_NOT_FOUND);
    if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS))
        return hr_raise(HR_ERR_UNAVAILABLE);
    for (uint32_t n = ipc_queue_depth(&ring); n > 0 && take_letter(l, &ring, &number); n--) {
        describe(&l->arena, ipc_block_at(&l->arena, number), &letter);
        decide_one(l, queue, number, (enum hr_letter_fate)decide(arg, &letter), out);
    }
    ipc_unlock_admin(l->lock);
    return ipc_is_poisoned(&l->arena) ? hr_raise(HR_ERR_CORRUPT) : 0;
}
