/* receive.c - taking messages, leases, what is listened to.
 *
 * Taking is: entry READY -> TAKEN (ours from here on), read the header, label
 * the block's word with us, entry -> EMPTY, copy the message out. The block
 * then stays labelled LEASED until the ack, or IN_HAND until the next receive.
 * The message itself is copied before anyone looks at it.
 *
 * Sources (our inbox and every queue listened to) are visited in turn, one
 * message a visit, so that a busy one starves no other.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "layer/ipc/handle.h"

enum { KEEP_BUFFER = 256 << 10 }; /* a receive buffer larger than this is not kept */

/* ---- what is listened to */

static bool is_listened(const struct ipc_layer *l, const char *name)
{
    for (uint32_t i = 0; i < l->n_listens; i++)
        if (l->listens[i].is_glob ? hr_str_glob(hr_str_of(l->listens[i].pattern), hr_str_of(name))
                                  : strcmp(l->listens[i].pattern, name) == 0)
            return true;
    return false;
}

/* Our waiter bit in a channel: a sender then finds us when we sleep. */
static void set_waiter(struct ipc_layer *l, uint32_t queue, bool on)
{
    _Atomic uint64_t *word = &l->arena.queues[queue].waiters[l->layer.slot / 64];
    uint64_t bit = UINT64_C(1) << (l->layer.slot % 64);
    if (((atomic_load_explicit(word, memory_order_relaxed) & bit) != 0) == on)
        return;
    /* seq_cst: seen by every ring() that does not see us awake later. */
    if (on) {
        atomic_fetch_or(word, bit);
        atomic_fetch_or(&l->arena.queues[queue].waiter_words, UINT32_C(1) << l->layer.slot / 64);
    } else {
        atomic_fetch_and(word, ~bit);
    }
}

void ipc_set_waiters(struct ipc_layer *l, bool on)
{
    if (l->is_waiting == on)
        return;
    for (uint32_t i = 1; i < l->n_sources; i++) {
        set_waiter(l, l->sources[i].number, on);
        /* The baton: we may have been rung for what we now do not take. */
        if (!on && !ipc_queue_is_empty(&l->sources[i].ring))
            ipc_ring(l, l->sources[i].number);
    }
    l->is_waiting = on;
}

static int rebuild_sources(struct ipc_layer *l, uint32_t n_channels)
{
    struct ipc_arena *a = &l->arena;
    if (n_channels > a->geometry.n_channels)
        n_channels = a->geometry.n_channels;
    ipc_set_waiters(l, false); /* of the old ones */
    struct ipc_source *sources = hr_realloc(l->sources, (1 + n_channels) * sizeof *sources);
    if (!sources)
        return hr_raise(HR_ERR_NOMEM);
    l->sources = sources;
    l->n_sources = 1;
    for (uint32_t i = 1; i < n_channels; i++) {
        struct ipc_source *source = &l->sources[l->n_sources];
        source->number = a->n_slots + i;
        source->name_len = (uint32_t)ipc_channel_name(a, source->number, source->name);
        if (source->name_len > 0 && is_listened(l, source->name) &&
            ipc_ring_of(a, source->number, &source->ring))
            l->n_sources++;
    }
    l->n_seen = n_channels;
    ipc_set_waiters(l, true);
    return 0;
}

int ipc_refresh_sources(struct ipc_layer *l)
{
    /* acquire: pairs with publish(): channels below are complete. */
    uint32_t n = atomic_load_explicit(&l->arena.header->n_channels, memory_order_acquire);
    if (n == l->n_seen || n > l->arena.geometry.n_channels)
        return 0;
    return hr_trace(rebuild_sources(l, n));
}

int ipc_listen(struct hr_layer *layer, struct hr_str pattern)
{
    struct ipc_layer *l = ipc_of(layer);
    struct ipc_listen row = {.is_glob = hr_pattern_is_glob(pattern)};
    hr_str_copy(row.pattern, sizeof row.pattern, pattern);
    for (uint32_t i = 0; i < l->n_listens; i++)
        if (strcmp(l->listens[i].pattern, row.pattern) == 0)
            return 0;
    if (l->n_listens == HR_LAYER_MAX_LISTENS)
        return hr_layer_refuse(HR_FULL_COUNT);
    uint32_t queue;
    int r = row.is_glob ? 0 : ipc_channel_get(l, pattern, &queue);
    if (r)
        return hr_trace(r);
    l->listens[l->n_listens++] = row;
    r = rebuild_sources(l,
                        atomic_load_explicit(&l->arena.header->n_channels, memory_order_acquire));
    if (r)
        l->n_listens--;
    return hr_trace(r);
}

void ipc_unlisten(struct hr_layer *layer, struct hr_str pattern)
{
    struct ipc_layer *l = ipc_of(layer);
    for (uint32_t i = 0; i < l->n_listens; i++)
        if (hr_str_eq(hr_str_of(l->listens[i].pattern), pattern)) {
            l->listens[i] = l->listens[--l->n_listens];
            /* Only out of memory fails, and then we go on receiving what we did. */
            if (rebuild_sources(l, l->n_seen) < 0)
                return;
        }
}

/* ---- taking one message */

struct taken {
    struct ipc_taken at;
    struct ipc_block block; /* a private copy of the header */
    uint64_t word;          /* as labelled by us */
    bool is_leased;
    hr_time now;
};

static struct hr_addr reply_of(const struct ipc_layer *l, const struct ipc_block *block)
{
    return (struct hr_addr){.layer = l->arena.layer_id,
                            .slot = block->reply_slot,
                            .slot_gen = block->reply_slot_gen,
                            .conn = block->reply_conn,
                            .conn_gen = block->reply_conn_gen};
}

/* Takes the oldest message of a queue and labels its block with us. `only`,
 * when not 0, is the entry it must be. */
static inline int take(struct ipc_layer *l, const struct ipc_ring *ring, uint64_t only,
                       struct taken *out)
{
    int r = ipc_queue_take(&l->arena, ring, l->layer.slot, only, &out->at);
    if (r)
        return r;
    struct ipc_block *block = ipc_block_at(&l->arena, out->at.block);
    memcpy(&out->block, block, sizeof out->block);
    out->is_leased = out->block.flags & IPC_BLOCK_LEASE;
    out->word =
        ipc_word_label(out->at.word, out->is_leased ? IPC_LEASED : IPC_IN_HAND, l->layer.slot + 1);
    out->now = hr_time_now_coarse();
    /* relaxed: published by the word's release, read by tickets. */
    atomic_store_explicit(&block->taken, out->now, memory_order_relaxed);
    ipc_word_store_raw(&l->arena, out->at.block, out->word);
    ipc_queue_release(ring, out->at.position);
    if (ring->queue >= &l->arena.queues[l->arena.n_slots])
        atomic_fetch_sub_explicit(&ring->queue->bytes, out->block.len, memory_order_relaxed);
    return 0;
}

/* Gives up a block we hold, leased or not. */
static void discard(struct ipc_layer *l, struct taken *t)
{
    ipc_word_store_raw(&l->arena, t->at.block, ipc_word_label(t->word, 0, l->layer.slot + 1));
    ipc_block_free(&l->arena, &l->finder, t->at.block);
}

void ipc_drain(struct ipc_layer *l, uint32_t queue, enum hr_reason reason, bool gives_back)
{
    struct ipc_ring ring;
    struct taken t;
    if (!ipc_ring_of(&l->arena, queue, &ring))
        return;
    /* Bounded, since senders may be faster than we are. */
    for (uint32_t n = UINT32_C(2) << ring.log2; n > 0 && take(l, &ring, 0, &t) == 0; n--) {
        if (gives_back && t.is_leased) {
            struct ipc_word returning = ipc_word_unpack(t.word);
            returning.flags = IPC_RETURNING;
            returning.tries++;
            ipc_word_store(&l->arena, t.at.block, returning);
            ipc_return_lease(l, t.at.block, reason);
            continue;
        }
        ipc_count_drop(&l->arena, queue, reason, true);
        discard(l, &t);
    }
}

bool ipc_drop_expired(struct ipc_layer *l, uint32_t queue, hr_time now)
{
    struct ipc_ring ring;
    struct taken t;
    uint64_t raw;
    if (!ipc_ring_of(&l->arena, queue, &ring) || !ipc_queue_peek(&ring, &raw))
        return false;
    /* The header of a message that somebody may take at this moment; only if
     * the very same entry is still there is it taken. */
    uint32_t number = ipc_entry_unpack(raw).block;
    if (!ipc_block_exists(&l->arena, number))
        return false;
    const struct ipc_block *b = ipc_block_at(&l->arena, number);
    if (b->expires_ms == 0 || now - b->sent < b->expires_ms * HR_MS || take(l, &ring, raw, &t))
        return false;
    ipc_count_drop(&l->arena, queue, HR_REASON_EXPIRED, true);
    discard(l, &t);
    return true;
}

void ipc_let_go(struct ipc_layer *l)
{
    if (l->in_hand != IPC_NO_BLOCK)
        ipc_block_free(&l->arena, &l->finder, l->in_hand);
    l->in_hand = IPC_NO_BLOCK;
}

/* Why this message is not delivered, or NONE. */
static enum hr_reason refusal(const struct ipc_layer *l, const struct taken *t, bool is_inbox)
{
    const struct ipc_block *b = &t->block;
    if (b->expires_ms != 0 && t->now - b->sent >= b->expires_ms * HR_MS)
        return HR_REASON_EXPIRED;
    /* Of whatever kind: it was meant for the slot's last owner. */
    if (is_inbox && b->slot_gen != l->layer.slot_gen)
        return HR_REASON_STALE;
    if (is_inbox && (b->kind == IPC_MESSAGE || b->kind == IPC_LEASE_LOST)) {
        struct hr_addr to = {.layer = l->arena.layer_id,
                             .slot = l->layer.slot,
                             .slot_gen = b->slot_gen,
                             .conn = b->conn,
                             .conn_gen = b->conn_gen};
        if (!ipc_addr_stands(&l->arena, &to))
            return HR_REASON_STALE;
    }
    if (b->reply_slot_gen != 0 && b->kind == IPC_MESSAGE) {
        struct hr_addr reply = reply_of(l, b);
        if (!ipc_addr_stands(&l->arena, &reply))
            return HR_REASON_STALE;
    }
    return HR_REASON_NONE;
}

/* ---- delivering it */

/* Makes the buffer fit a message of `len` bytes. */
static bool fit_buffer(struct ipc_layer *l, size_t len)
{
    size_t want = len > KEEP_BUFFER ? len : l->buffer_size > KEEP_BUFFER ? KEEP_BUFFER : len;
    if (len > l->layer.max_message + HR_NAME_MAX + 1)
        return false;
    want = want < 4096 ? 4096 : want;
    uint8_t *buffer = hr_realloc(l->buffer, want);
    if (!buffer)
        return false;
    l->buffer = buffer;
    l->buffer_size = want;
    return true;
}

static inline bool copy_out(struct ipc_layer *l, const struct taken *t)
{
    size_t len = t->block.len;
    bool fits = len <= l->buffer_size && l->buffer_size <= KEEP_BUFFER;
    return (fits || fit_buffer(l, len)) && ipc_block_read(&l->arena, t->at.block, l->buffer, len);
}

/* Fills what the header tells. */
static inline void describe(struct ipc_layer *l, const struct taken *t,
                            const struct ipc_source *source, struct hr_delivery *out)
{
    const struct ipc_block *b = &t->block;
    bool is_inbox = source->number < l->arena.n_slots;
    const struct hr_addr none = {0};
    out->kind = HR_DELIVERY_MESSAGE;
    out->channel = (struct hr_str){source->name, source->name_len};
    out->to = none;
    if (is_inbox)
        out->to = (struct hr_addr){.layer = l->arena.layer_id,
                                   .slot = l->layer.slot,
                                   .slot_gen = b->slot_gen,
                                   .conn = b->conn,
                                   .conn_gen = b->conn_gen};
    out->reply = b->reply_slot_gen != 0 ? reply_of(l, b) : none;
    out->group = (struct hr_str){0};
    out->data = l->buffer;
    out->len = b->len;
    out->lease = (struct hr_lease){{0}};
    if (t->is_leased)
        out->lease = (struct hr_lease){{t->word, t->at.block + 1}};
    out->seq = b->seq;
    out->attempts = b->attempts;
    out->reason = HR_REASON_NONE;
    out->sent_at = b->sent;
    out->taken_at = t->now;
    if (b->kind != IPC_LEASE_LOST)
        return;
    out->kind = HR_DELIVERY_LEASE_LOST;
    out->reason = b->reason < HR_N_REASONS ? (enum hr_reason)b->reason : HR_REASON_NONE;
    if (b->queue < l->arena.n_queues && b->queue >= l->arena.n_slots)
        out->channel = (struct hr_str){l->channel_name,
                                       ipc_channel_name(&l->arena, b->queue, l->channel_name)};
}

/* Splits the group's name off: length byte, name, message. False when it is garbled. */
static bool split_group(struct ipc_layer *l, size_t len, struct hr_str *name)
{
    size_t n = len > 0 ? l->buffer[0] : 0;
    *name = (struct hr_str){(const char *)l->buffer + 1, n};
    return n > 0 && n < len && hr_group_name_ok(*name);
}

/* The layer's own kinds. False when it was no delivery, and is dealt with. */
static bool deliver_kind(struct ipc_layer *l, const struct taken *t, struct hr_delivery *out)
{
    struct hr_str group = {(const char *)l->buffer, t->block.len};
    switch (t->block.kind) {
    case IPC_MESSAGE:
    case IPC_LEASE_LOST:
        return true;
    case IPC_GROUP:
        if (!split_group(l, t->block.len, &group))
            return false;
        memcpy(l->group_name, group.ptr, group.len);
        out->kind = HR_DELIVERY_GROUP;
        out->group = (struct hr_str){l->group_name, group.len};
        out->data += 1 + group.len;
        out->len -= 1 + group.len;
        return hr_members_count(&l->members, out->group) > 0;
    default:
        ipc_group_handle(l, (enum ipc_kind)t->block.kind, t->block.conn, t->block.conn_gen, group);
        return false;
    }
}

/* Turns a taken message into a delivery. False when it was the layer's own or
 * no good, and is dealt with. */
static inline bool deliver(struct ipc_layer *l, struct taken *t, const struct ipc_source *source,
                           struct hr_delivery *out)
{
    bool is_inbox = source->number < l->arena.n_slots;
    enum hr_reason why = refusal(l, t, is_inbox);
    if (why == HR_REASON_NONE && !copy_out(l, t))
        why = HR_REASON_LIMIT;
    if (why != HR_REASON_NONE) {
        ipc_count_drop(&l->arena, source->number, why, true);
        discard(l, t);
        return false;
    }
    describe(l, t, source, out);
    /* What was taken from a channel without a lease stays labelled with us
     * until the next receive, so that our death is counted as its loss. */
    if (!t->is_leased && is_inbox)
        ipc_block_free(&l->arena, &l->finder, t->at.block);
    else if (!t->is_leased)
        l->in_hand = t->at.block;
    return t->block.kind == IPC_MESSAGE || deliver_kind(l, t, out);
}

/* One visit to one source: 0 delivered, EMPTY nothing there, 1 + something dropped. */
enum { VISIT_EMPTY = 1, VISIT_DROPPED = 2 };
static int visit(struct ipc_layer *l, const struct ipc_source *source, struct hr_delivery *out)
{
    struct taken t;
    if (ipc_is_paused(source->ring.queue) || take(l, &source->ring, 0, &t))
        return VISIT_EMPTY;
    return deliver(l, &t, source, out) ? 0 : VISIT_DROPPED;
}

/* The baton: a sleeper is rung for one message and may take another, of any
 * queue. Whoever slept wakes one more for what it leaves behind, once: while
 * it is awake others are rung. tests/models/bell.pml. */
static void pass_baton(struct ipc_layer *l)
{
    l->may_be_rung = false;
    for (uint32_t i = 1; i < l->n_sources; i++)
        if (!ipc_queue_is_empty(&l->sources[i].ring))
            ipc_ring(l, l->sources[i].number);
}

int ipc_receive(struct hr_layer *layer, enum hr_receive_from from, struct hr_delivery *out)
{
    struct ipc_layer *l = ipc_of(layer);
    if (ipc_is_poisoned(&l->arena))
        return hr_raise(HR_ERR_CORRUPT);
    ipc_let_go(l);
    int r = ipc_refresh_sources(l);
    if (r)
        return hr_trace(r);

    for (uint32_t n_empty = 0; n_empty < l->n_sources;) {
        uint32_t i = l->next_source < l->n_sources ? l->next_source : 0;
        bool is_wanted = i == 0 ? from & HR_RECEIVE_INBOX : from & HR_RECEIVE_CHANNELS;
        l->next_source = i + 1;
        r = is_wanted ? visit(l, &l->sources[i], out) : VISIT_EMPTY;
        if (r == 0) {
            if (l->may_be_rung)
                pass_baton(l);
            return 0;
        }
        n_empty = r == VISIT_EMPTY ? n_empty + 1 : 0;
    }
    return ipc_is_poisoned(&l->arena) ? hr_raise(HR_ERR_CORRUPT) : HR_LAYER_EMPTY;
}

/* ---- leases */

/* Ends our lease if it still is: the word moves to `to`. */
static bool end_lease(struct ipc_layer *l, const struct hr_lease *lease, struct ipc_word to)
{
    uint64_t number = lease->word[1];
    struct ipc_word from = ipc_word_unpack(lease->word[0]);
    if (number == 0 || number > ipc_n_blocks(&l->arena) || from.owner != l->layer.slot + 1)
        return false;
    return ipc_word_cas(&l->arena, (uint32_t)number - 1, from, to);
}

int ipc_ack(struct hr_layer *layer, const struct hr_lease *lease)
{
    struct ipc_layer *l = ipc_of(layer);
    ipc_touch(layer); /* a forked child does not end its parent's leases */
    struct ipc_word done = ipc_word_unpack(lease->word[0]);
    done.flags = 0; /* ours without a lease: from here on a death just frees it */
    if (!end_lease(l, lease, done))
        return HR_LAYER_LOST;
    ipc_block_free(&l->arena, &l->finder, (uint32_t)lease->word[1] - 1);
    return 0;
}

int ipc_nack(struct hr_layer *layer, const struct hr_lease *lease, enum hr_reason reason,
             hr_time delay)
{
    struct ipc_layer *l = ipc_of(layer);
    ipc_touch(layer);
    struct ipc_word lost = ipc_word_unpack(lease->word[0]);
    lost.tries++;
    lost.flags = IPC_RETURNING;
    if (!end_lease(l, lease, lost))
        return HR_LAYER_LOST;
    uint32_t number = (uint32_t)lease->word[1] - 1;
    if (!ipc_postpone(l, number, delay))
        ipc_return_lease(l, number, reason);
    return 0;
}
