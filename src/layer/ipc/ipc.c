/* ipc.c - the table of layer_impl.h, and the calls too small for a file of their own:
 * addresses, members, counters, flush.
 */
#include <string.h>

#include "base/process.h"
#include "base/str.h"
#include "layer/ipc/handle.h"

/* ---- addresses. The words of a slot's connections are written by its owner only. */

static _Atomic uint64_t *conn_word(const struct ipc_layer *l, uint32_t conn)
{
    return &l->arena.connections[l->tables.connections + conn];
}

/* Moves a connection on to its next generation; 0 is never one. */
static uint32_t next_generation(struct ipc_layer *l, uint32_t conn, uint32_t flags)
{
    uint32_t gen = ipc_conn_gen(atomic_load_explicit(conn_word(l, conn), memory_order_relaxed)) + 1;
    gen = gen ? gen : 1;
    /* release: pairs with the acquire in ipc_addr_stands(). */
    atomic_store_explicit(conn_word(l, conn), ipc_conn_pack(gen, flags), memory_order_release);
    return gen;
}

static bool is_current(const struct ipc_layer *l, const struct hr_addr *addr)
{
    return addr->conn != 0 && ipc_addr_stands(&l->arena, addr);
}

static int address_open(struct hr_layer *layer, struct hr_addr *out)
{
    struct ipc_layer *l = ipc_of(layer);
    uint32_t conn;
    if (l->n_free_connections > 0)
        conn = l->free_connections[--l->n_free_connections];
    else if (l->n_connections < l->arena.geometry.role[layer->role].connections)
        conn = l->n_connections++;
    else
        return hr_layer_refuse(HR_FULL_COUNT);
    *out = (struct hr_addr){.layer = layer->id,
                            .slot = layer->slot,
                            .slot_gen = layer->slot_gen,
                            .conn = conn,
                            .conn_gen = next_generation(l, conn, 0)};
    return 0;
}

static void address_renew(struct hr_layer *layer, struct hr_addr *addr)
{
    struct ipc_layer *l = ipc_of(layer);
    if (is_current(l, addr))
        addr->conn_gen = next_generation(l, addr->conn, 0);
}

static void address_close(struct hr_layer *layer, const struct hr_addr *addr)
{
    struct ipc_layer *l = ipc_of(layer);
    if (!is_current(l, addr))
        return;
    next_generation(l, addr->conn, IPC_CONN_CLOSED);
    ipc_group_drop(l, addr->conn);
    l->free_connections[l->n_free_connections++] = addr->conn;
}

static void address_set_full(struct hr_layer *layer, const struct hr_addr *addr, bool is_full)
{
    struct ipc_layer *l = ipc_of(layer);
    if (is_current(l, addr))
        atomic_store_explicit(conn_word(l, addr->conn),
                              ipc_conn_pack(addr->conn_gen, is_full ? IPC_CONN_FULL : 0),
                              memory_order_release);
}

static bool address_alive(struct hr_layer *layer, const struct hr_addr *addr)
{
    return ipc_addr_stands(&ipc_of(layer)->arena, addr);
}

/* ---- members */

static bool member(struct hr_layer *layer, uint32_t slot, struct hr_member *out)
{
    const struct ipc_layer *l = ipc_of(layer);
    const struct ipc_slot *s = &l->arena.slots[slot];
    struct ipc_ring inbox;
    if (slot >= l->arena.n_slots)
        return false;
    out->slot = slot;
    out->slot_gen = atomic_load_explicit(&s->gen, memory_order_acquire);
    out->role = ipc_slot_tables(&l->arena, slot).role;
    /* A slot whose lock is free is a corpse that nobody has found yet. */
    out->is_live = atomic_load_explicit(&s->state, memory_order_acquire) == IPC_SLOT_LIVE &&
                   ipc_lock_is_held(l->lock, slot);
    out->pid = (pid_t)s->pid;
    out->is_foreign = s->pid_namespace != hr_process_pid_namespace();
    out->flags = atomic_load_explicit(&s->flags, memory_order_relaxed);
    out->since = s->since;
    memcpy(out->label, s->label, sizeof out->label);
    out->label[sizeof out->label - 1] = '\0';
    if (ipc_ring_of(&l->arena, slot, &inbox))
        out->inbox_depth = ipc_queue_depth(&inbox);
    return true;
}

static void set_ready(struct hr_layer *layer, bool is_ready)
{
    _Atomic uint32_t *flags = &ipc_of(layer)->arena.slots[layer->slot].flags;
    if (is_ready)
        atomic_fetch_or(flags, HR_MEMBER_READY);
    else
        atomic_fetch_and(flags, ~(uint32_t)HR_MEMBER_READY);
}

static void retire(struct hr_layer *layer, uint32_t slot, uint32_t slot_gen)
{
    struct ipc_layer *l = ipc_of(layer);
    if (slot >= l->arena.n_slots || atomic_load(&l->arena.slots[slot].gen) != slot_gen)
        return;
    atomic_fetch_or(&l->arena.slots[slot].flags, HR_MEMBER_RETIRE);
    ipc_ring_slot(l, slot);
}

static bool is_retiring(const struct hr_layer *layer)
{
    const struct ipc_layer *l = ipc_of_const(layer);
    return atomic_load_explicit(&l->arena.slots[layer->slot].flags, memory_order_relaxed) &
           HR_MEMBER_RETIRE;
}

static uint64_t *counters(struct hr_layer *layer, uint32_t slot, uint32_t *n_out)
{
    const struct ipc_arena *a = &ipc_of(layer)->arena;
    uint32_t n_servers = a->geometry.role[HR_ROLE_SERVER].n_slots;
    *n_out = 0;
    if (slot >= a->n_slots)
        return NULL;
    *n_out = slot < n_servers ? HR_COUNTERS_SERVER : HR_COUNTERS_OTHER;
    return slot < n_servers ? &a->counters[(size_t)slot * HR_COUNTERS_SERVER]
                            : &a->counters[(size_t)n_servers * HR_COUNTERS_SERVER +
                                           (size_t)(slot - n_servers) * HR_COUNTERS_OTHER];
}

static uint64_t records_version(const struct hr_layer *layer)
{
    return atomic_load_explicit(&ipc_of_const(layer)->arena.header->records_version,
                                memory_order_acquire);
}

/* ---- the whole arena */

static void flush_channel(struct ipc_layer *l, uint32_t queue)
{
    ipc_drain(l, queue, HR_REASON_FLUSHED, false);
    ipc_drop_delayed(l, queue, HR_REASON_FLUSHED);
}

static void flush_all(struct ipc_layer *l, uint32_t n_channels)
{
    for (uint32_t i = 1; i < n_channels; i++)
        flush_channel(l, l->arena.n_slots + i);
    for (uint32_t slot = 0; slot < l->arena.n_slots; slot++) {
        const struct ipc_slot *s = &l->arena.slots[slot];
        struct hr_addr to = {.layer = l->layer.id, .slot = slot, .slot_gen = atomic_load(&s->gen)};
        if (slot == l->layer.slot)
            ipc_group_handle(l, IPC_FLUSH, 0, 0, (struct hr_str){0});
        else if (atomic_load_explicit(&s->state, memory_order_acquire) == IPC_SLOT_LIVE &&
                 ipc_post_kind(l, IPC_FLUSH, &to, (struct hr_str){0}))
            ipc_count_drop(&l->arena, slot, HR_REASON_QUEUE_FULL, false);
    }
}

static int flush(struct hr_layer *layer, struct hr_str channel)
{
    struct ipc_layer *l = ipc_of(layer);
    uint32_t n = atomic_load_explicit(&l->arena.header->n_channels, memory_order_acquire);
    n = n < l->arena.geometry.n_channels ? n : l->arena.geometry.n_channels;
    if (channel.len > 0) {
        uint32_t queue = ipc_channel_find(&l->arena, channel);
        if (queue != IPC_NO_QUEUE && queue != ipc_inbox_counter(&l->arena))
            flush_channel(l, queue);
        return 0;
    }
    if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS))
        return hr_raise(HR_ERR_UNAVAILABLE);
    ipc_group_clear_named(l);
    ipc_unlock_admin(l->lock);
    flush_all(l, n);
    return 0;
}

static void arena_stats(struct hr_layer *layer, struct hr_arena_stats *out)
{
    struct ipc_arena *a = &ipc_of(layer)->arena;
    ipc_arena_refresh(a);
    ipc_block_usage(a, &out->bytes_total, &out->bytes_used);
    out->bytes_limit = ipc_block_limit(a);
    out->n_slots = a->n_slots;
    for (uint32_t i = 0; i < a->n_slots; i++)
        out->n_live +=
            atomic_load_explicit(&a->slots[i].state, memory_order_acquire) == IPC_SLOT_LIVE;
    out->n_channels = atomic_load_explicit(&a->header->n_channels, memory_order_acquire);
    out->max_channels = a->geometry.n_channels;
    out->n_recovered = atomic_load_explicit(&a->header->n_recovered, memory_order_relaxed);
    out->created_at = a->header->created_wall;
}

const struct hr_layer_impl hr_layer_ipc = {
    .scheme = "ipc",
    .open = ipc_open,
    .close = ipc_close,
    .touch = ipc_touch,
    .add_channel = ipc_add_channel,
    .draft = ipc_draft,
    .draft_to = ipc_draft_to,
    .draft_send = ipc_draft_send,
    .draft_cancel = ipc_draft_cancel,
    .ticket = ipc_ticket,
    .listen = ipc_listen,
    .unlisten = ipc_unlisten,
    .receive = ipc_receive,
    .wait = ipc_wait,
    .fd = ipc_fd,
    .prepare = ipc_prepare,
    .dispatch = ipc_dispatch,
    .poll_timeout = ipc_poll_timeout,
    .ack = ipc_ack,
    .nack = ipc_nack,
    .address_open = address_open,
    .address_renew = address_renew,
    .address_close = address_close,
    .address_set_full = address_set_full,
    .address_alive = address_alive,
    .group_add = ipc_group_add,
    .group_discard = ipc_group_discard,
    .group_send = ipc_group_send,
    .group_count = ipc_group_count,
    .group_channels = ipc_group_channels,
    .member_next = ipc_member_next,
    .set_policies = ipc_set_policies,
    .flush = flush,
    .pause = ipc_pause,
    .count_drop = ipc_count_drop_by_name,
    .channel_stats = ipc_channel_stats,
    .channel_find = ipc_channel_index,
    .arena_stats = arena_stats,
    .letter_next = ipc_letter_next,
    .letters_decide = ipc_letters_decide,
    .member = member,
    .set_ready = set_ready,
    .retire = retire,
    .is_retiring = is_retiring,
    .counters = counters,
    .record_put = ipc_record_put,
    .record_remove = ipc_record_remove,
    .record_next = ipc_record_next,
    .records_version = records_version,
};
