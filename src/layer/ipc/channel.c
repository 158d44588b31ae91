/* channel.c - channel names, their policies, what is known about them.
 *
 * Names stand by number; the directory, an open-addressing table of numbers,
 * finds one by its name. Both only grow: a name, once registered, keeps its number for the arena's
 * life, so that look-ups need no lock and a number no generation. Registering is serialised by the
 * admin lock; a channel's queue is complete before its number is published.
 *
 * The first channel is HR_INBOX_CHANNEL, a name for counting inbox messages;
 * its own queue is never used.
 *
 * Rings are cut from the ring area one behind the other. Where the next one
 * begins is computed from the channels there are, so that a death while
 * registering wastes nothing. The smallest ring is kept for each channel to
 * come, so that as many can be registered as the geometry says; of what is
 * left one channel gets no more than half.
 */
#include <string.h>

#include "base/str.h"
#include "layer/ipc/handle.h"

/* Eight bytes at a time; the last ones may be read twice. Not keyed: names
 * come from the application, and the table is bounded. Every process must
 * find the same: IPC_NAME_HASH is part of the layout's shape. */
static uint64_t mix(uint64_t h, uint64_t bytes)
{
    h = (h ^ bytes) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

static uint64_t load64(const char *from)
{
    uint64_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

static uint32_t hash_name(struct hr_str name)
{
    uint64_t h = name.len, last = 0;
    const char *at = name.ptr;
    size_t left = name.len;
    for (; left > 8; at += 8, left -= 8)
        h = mix(h, load64(at));
    if (name.len >= 8)
        last = load64(name.ptr + name.len - 8);
    else
        for (size_t i = 0; i < left; i++)
            last = last << 8 | (uint8_t)at[i];
    return (uint32_t)mix(h, last);
}

/* The directory's cell of `name`, or the free one where it belongs; NULL when it is full. */
static _Atomic uint32_t *find_cell(const struct ipc_arena *a, struct hr_str name)
{
    uint32_t mask = a->n_directory - 1, at = hash_name(name);
    for (uint32_t i = 0; i < a->n_directory; i++, at++) {
        _Atomic uint32_t *cell = &a->directory[at & mask];
        /* acquire: pairs with the release in publish(): the name is complete. */
        uint32_t number = atomic_load_explicit(cell, memory_order_acquire);
        if (number == 0)
            return cell;
        if (number > a->geometry.n_channels)
            continue;
        const struct ipc_name *known = &a->names[number - 1];
        if (known->len == name.len && memcmp(known->name, name.ptr, name.len) == 0)
            return cell;
    }
    return NULL;
}

uint32_t ipc_channel_find(const struct ipc_arena *a, struct hr_str name)
{
    const _Atomic uint32_t *cell = find_cell(a, name);
    uint32_t number = cell ? atomic_load_explicit(cell, memory_order_acquire) : 0;
    return number == 0 || number > a->geometry.n_channels ? IPC_NO_QUEUE : a->n_slots + number - 1;
}

size_t ipc_channel_name(const struct ipc_arena *a, uint32_t queue, char out[HR_NAME_MAX + 1])
{
    /* acquire: pairs with publish(). */
    uint32_t n = atomic_load_explicit(&a->header->n_channels, memory_order_acquire);
    uint32_t number = queue - a->n_slots;
    if (number >= n || number >= a->geometry.n_channels)
        return 0;
    const struct ipc_name *known = &a->names[number];
    uint32_t len = known->len <= HR_NAME_MAX ? known->len : HR_NAME_MAX;
    memcpy(out, known->name, len);
    out[len] = '\0';
    return len;
}

/* ---- policies */

static size_t load_rows(const struct ipc_arena *a,
                        struct hr_channel_policy rows[HR_POLICY_MAX_ROWS])
{
    struct hr_record record;
    size_t n = 0;
    if (!ipc_record_get(a, HR_LIT(HR_POLICY_RECORD), &record) ||
        hr_policy_decode(record.data, record.len, rows, &n))
        return 0;
    return n;
}

static uint32_t as_ms(hr_time t)
{
    return t >= UINT32_MAX * HR_MS ? 0 : (uint32_t)(t / HR_MS);
}

/* Writes a policy into a queue; capacity is cut to the ring. A dead-letter
 * channel is registered when the first message needs it. */
static void apply_policy(struct ipc_arena *a, struct ipc_queue *q, const struct hr_policy *p)
{
    uint32_t ring = q->size_log2 ? UINT32_C(1) << (q->size_log2 & 31) : UINT32_MAX;
    uint32_t most = p->max_messages < ring ? p->max_messages : ring;
    uint32_t flags = (p->delivery == HR_AT_LEAST_ONCE ? IPC_QUEUE_LEASED : 0) |
                     (p->is_dead_letter ? IPC_QUEUE_DEAD_LETTER : 0);
    atomic_store_explicit(&q->max_messages, most, memory_order_relaxed);
    atomic_store_explicit(&q->max_bytes, p->max_bytes, memory_order_relaxed);
    atomic_store_explicit(&q->expiry_ms, as_ms(p->expiry), memory_order_relaxed);
    atomic_store_explicit(&q->lease_ms, as_ms(p->lease), memory_order_relaxed);
    atomic_store_explicit(&q->attempts, p->attempts, memory_order_relaxed);
    atomic_store_explicit(&q->backoff_ms, as_ms(p->backoff), memory_order_relaxed);
    atomic_store_explicit(&q->flags, flags, memory_order_relaxed);
    if (flags & IPC_QUEUE_LEASED)
        atomic_store_explicit(&a->header->has_leases, 1, memory_order_relaxed);
}

int ipc_set_policies(struct hr_layer *layer, const struct hr_channel_policy *rows, size_t n_rows)
{
    struct ipc_layer *l = ipc_of(layer);
    struct ipc_arena *a = &l->arena;
    uint8_t record[HR_RECORD_MAX];
    size_t len;
    if (hr_policy_encode(rows, n_rows, record, &len))
        return HR_LAYER_TOO_BIG;
    int r = ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS);
    if (r)
        return hr_raise(HR_ERR_UNAVAILABLE);
    r = ipc_record_put_locked(a, HR_LIT(HR_POLICY_RECORD), record, len);
    uint32_t n = atomic_load_explicit(&a->header->n_channels, memory_order_relaxed);
    for (uint32_t i = 1; r == 0 && i < n && i < a->geometry.n_channels; i++) {
        char name[HR_NAME_MAX + 1];
        struct hr_policy policy;
        if (!ipc_channel_name(a, a->n_slots + i, name))
            continue;
        hr_policy_resolve(rows, n_rows, hr_str_of(name), hr_geometry_limit(&a->geometry), &policy);
        apply_policy(a, &a->queues[a->n_slots + i], &policy);
    }
    ipc_unlock_admin(l->lock);
    return hr_trace(r);
}

void ipc_dead_letter_name(const struct ipc_arena *a, uint32_t queue, char out[HR_NAME_MAX + 1])
{
    struct hr_channel_policy rows[HR_POLICY_MAX_ROWS];
    struct hr_policy policy;
    char name[HR_NAME_MAX + 1];
    size_t n = load_rows(a, rows);
    if (ipc_channel_name(a, queue, name) == 0)
        name[0] = '\0';
    hr_policy_resolve(rows, n, hr_str_of(name), hr_geometry_limit(&a->geometry), &policy);
    memcpy(out, policy.dead_letter, sizeof policy.dead_letter);
}

/* ---- pausing */

int ipc_pause(struct hr_layer *layer, struct hr_str channel, bool is_paused)
{
    struct ipc_layer *l = ipc_of(layer);
    uint32_t queue = ipc_channel_find(&l->arena, channel);
    int64_t before = 0;
    if (queue == IPC_NO_QUEUE)
        return hr_raise(HR_ERR_NOT_FOUND);
    _Atomic int64_t *paused_at = &l->arena.queues[queue].paused_at;
    if (is_paused) /* it keeps the time of the first pause */
        atomic_compare_exchange_strong(paused_at, &before, hr_time_now());
    else if (atomic_exchange(paused_at, 0) != 0)
        ipc_ring_all(l);
    return 0;
}

/* ---- registering */

/* The most entries that the ring of channel `number` may have, with `used` gone before it. */
static uint32_t ring_limit(const struct ipc_arena *a, uint32_t number, uint32_t used)
{
    uint32_t left = used < a->n_ring ? a->n_ring - used : 0;
    uint32_t kept = (a->geometry.n_channels - number) * IPC_MIN_RING; /* this one's too */
    return left < kept ? left : IPC_MIN_RING + (left - kept) / 2;
}

/* A ring for `max_messages`, or the largest that may be; false when there is no room for any. */
static bool cut_ring(const struct ipc_arena *a, uint32_t number, uint32_t max_messages,
                     struct ipc_queue *q)
{
    uint32_t log2 = 7, used = 0;
    for (uint32_t role = 0, n = 0; role < 3; role++) {
        n += a->geometry.role[role].n_slots;
        used = ipc_slot_tables(a, n).ring;
    }
    for (uint32_t i = 1; i < number; i++) {
        const struct ipc_queue *other = &a->queues[a->n_slots + i];
        uint32_t end = other->ring + (UINT32_C(1) << (other->size_log2 & 31));
        used = end > used ? end : used;
    }
    while ((UINT32_C(1) << log2) < max_messages && log2 < 20)
        log2++;
    uint32_t limit = ring_limit(a, number, used);
    while (log2 >= 7 && (UINT32_C(1) << log2) > limit)
        log2--;
    if (log2 < 7)
        return false;
    q->ring = used;
    q->size_log2 = log2;
    return true;
}

static void publish(struct ipc_arena *a, _Atomic uint32_t *cell, struct hr_str name,
                    uint32_t number)
{
    memcpy(a->names[number].name, name.ptr, name.len);
    a->names[number].len = (uint32_t)name.len;
    /* release: pairs with the acquires of find_cell() and ipc_channel_name().
     * The count first: a death in between leaves a channel without a cell,
     * which the next registration of that name makes up for. */
    atomic_store(&a->header->n_channels, number + 1); /* seq_cst: see has_work() */
    atomic_store_explicit(cell, number + 1, memory_order_release);
}

int ipc_channel_get_locked(struct ipc_layer *l, struct hr_str name, uint32_t *queue_out)
{
    struct ipc_arena *a = &l->arena;
    uint32_t n = atomic_load_explicit(&a->header->n_channels, memory_order_relaxed);
    *queue_out = ipc_channel_find(a, name);
    if (*queue_out != IPC_NO_QUEUE)
        return 0;
    _Atomic uint32_t *cell = find_cell(a, name);
    if (!cell || n >= a->geometry.n_channels)
        return hr_layer_refuse(HR_FULL_CHANNELS);

    struct ipc_queue *q = &a->queues[a->n_slots + n];
    if (n > 0) {
        struct hr_channel_policy rows[HR_POLICY_MAX_ROWS];
        struct hr_policy policy;
        hr_policy_resolve(rows, load_rows(a, rows), name, hr_geometry_limit(&a->geometry), &policy);
        if (!cut_ring(a, n, policy.max_messages, q))
            return hr_layer_refuse(HR_FULL_CHANNELS);
        apply_policy(a, q, &policy);
    }
    publish(a, cell, name, n);
    *queue_out = a->n_slots + n;
    return 0;
}

int ipc_channel_get(struct ipc_layer *l, struct hr_str name, uint32_t *queue_out)
{
    *queue_out = ipc_channel_find(&l->arena, name);
    if (*queue_out == ipc_inbox_counter(&l->arena))
        return hr_raise(HR_ERR_NAME); /* nobody can listen there */
    if (*queue_out != IPC_NO_QUEUE)
        return 0;
    if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS))
        return hr_raise(HR_ERR_UNAVAILABLE);
    int r = ipc_channel_get_locked(l, name, queue_out);
    ipc_unlock_admin(l->lock);
    ipc_ring_all(l); /* somebody may sleep on a glob that it matches */
    return r;
}

/* ---- statistics */

void ipc_count_drop(const struct ipc_arena *a, uint32_t queue, enum hr_reason reason,
                    bool was_queued)
{
    struct ipc_queue *q = &a->queues[queue < a->n_slots ? ipc_inbox_counter(a) : queue];
    atomic_fetch_add_explicit(&q->n_dropped[reason], 1, memory_order_relaxed);
    if (was_queued)
        atomic_fetch_add_explicit(&q->n_dropped_queued, 1, memory_order_relaxed);
}

void ipc_count_drop_by_name(struct hr_layer *layer, struct hr_str channel, enum hr_reason reason)
{
    struct ipc_layer *l = ipc_of(layer);
    uint32_t queue;
    if (channel.len == 0 || memchr(channel.ptr, '!', channel.len))
        queue = ipc_inbox_counter(&l->arena);
    else if (ipc_channel_get(l, channel, &queue))
        return;
    ipc_count_drop(&l->arena, queue, reason, false);
}

/* Age of the message at the head, 0 when there is none. Racy reads of a block
 * that may be gone: the answer is then some age, no harm. */
static hr_time oldest_age(const struct ipc_arena *a, const struct ipc_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    uint64_t mask = (UINT64_C(1) << ring->log2) - 1;
    struct ipc_entry e =
        ipc_entry_unpack(atomic_load_explicit(&ring->entries[head & mask], memory_order_acquire));
    if (e.state != IPC_READY || e.block >= ipc_n_blocks(a))
        return 0;
    hr_time age = hr_time_now() - ipc_block_at(a, e.block)->sent;
    return age > 0 ? age : 1;
}

static uint32_t count_listeners(const struct ipc_queue *q)
{
    uint32_t n = 0;
    for (int i = 0; i < 16; i++)
        n += (uint32_t)__builtin_popcountll(
            atomic_load_explicit(&q->waiters[i], memory_order_relaxed));
    return n;
}

/* Adds what went through one queue. */
static void add_flow(const struct ipc_ring *ring, struct hr_channel_stats *out)
{
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_acquire);
    uint32_t depth = ipc_queue_depth(ring);
    out->depth += depth;
    out->n_received += head;
    out->n_sent += head + depth;
}

bool ipc_channel_stats(struct hr_layer *layer, uint32_t index, struct hr_channel_stats *out)
{
    const struct ipc_arena *a = &ipc_of(layer)->arena;
    struct ipc_ring ring;
    uint32_t n = atomic_load_explicit(&a->header->n_channels, memory_order_acquire);
    if (index >= n || index >= a->geometry.n_channels)
        return false;
    const struct ipc_queue *q = &a->queues[a->n_slots + index];
    ipc_channel_name(a, a->n_slots + index, out->name);
    if (index == 0) {
        for (uint32_t slot = 0; slot < a->n_slots; slot++)
            if (ipc_ring_of(a, slot, &ring))
                add_flow(&ring, out);
    } else if (ipc_ring_of(a, a->n_slots + index, &ring)) {
        uint32_t n_delayed = atomic_load_explicit(&q->n_delayed, memory_order_relaxed);
        add_flow(&ring, out);
        out->depth += n_delayed;
        out->n_sent += n_delayed;
        out->oldest = oldest_age(a, &ring);
        out->max_messages = ring.max_messages;
        out->max_bytes = atomic_load_explicit(&q->max_bytes, memory_order_relaxed);
        uint32_t expiry_ms = atomic_load_explicit(&q->expiry_ms, memory_order_relaxed);
        out->expiry = expiry_ms ? expiry_ms * HR_MS : HR_NEVER;
        out->paused_at = atomic_load_explicit(&q->paused_at, memory_order_relaxed);
        out->is_dead_letter =
            atomic_load_explicit(&q->flags, memory_order_relaxed) & IPC_QUEUE_DEAD_LETTER;
        int64_t bytes = atomic_load_explicit(&q->bytes, memory_order_relaxed);
        out->bytes = bytes > 0 ? (uint64_t)bytes : 0;
        out->n_listeners = count_listeners(q);
    }
    out->n_full = atomic_load_explicit(&q->n_full, memory_order_relaxed);
    for (int i = 0; i < HR_N_REASONS; i++)
        out->n_dropped[i] = atomic_load_explicit(&q->n_dropped[i], memory_order_relaxed);
    /* Drops in the queue moved its head but were received by nobody; leases
     * that went nowhere count as sent once more. */
    uint64_t queued = atomic_load_explicit(&q->n_dropped_queued, memory_order_relaxed);
    out->n_received -= queued < out->n_received ? queued : out->n_received;
    out->n_sent += atomic_load_explicit(&q->n_lost, memory_order_relaxed);
    return true;
}

bool ipc_channel_index(struct hr_layer *layer, struct hr_str name, uint32_t *index_out)
{
    const struct ipc_arena *a = &ipc_of(layer)->arena;
    uint32_t queue = ipc_channel_find(a, name);
    *index_out = queue - a->n_slots;
    return queue != IPC_NO_QUEUE;
}
