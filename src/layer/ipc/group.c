/* group.c - groups by interest.
 *
 * Who is a member stands where the members live, in each process's private
 * table (members.h). The arena knows only which inboxes are interested in
 * which groups: a word of 40 bits of the group's hash per inbox and group. A
 * broadcast is one message to each interested inbox, whatever the number of
 * its members. Two groups that share a hash in one inbox cost a message that
 * nobody there expands, and their counts are each other's, no more.
 *
 * Joining for somebody else: first JOIN into the owner's inbox, then the
 * interest word (insert, or epoch + 1). So a broadcast that follows the join
 * finds the word and queues behind the JOIN. The owner makes sure of the word
 * too when it handles the JOIN, in case the joiner died in between.
 *
 * Removing is the owner's alone, by CAS from a word that had no member at two
 * collections in a row with an empty inbox at both: a JOIN that raced has
 * changed the epoch and the CAS fails.
 *
 * Words are probed within a window of IPC_WINDOW cells, so that a look-up
 * stays cheap however many groups came and went. A window that is full sets
 * the slot's catch_all: it then gets every group's messages, and counts are
 * partial, until its owner finds room for all its groups again.
 *
 * Members that are plain channels stand in a table of their own, hashed the
 * same way and changed under the admin lock.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "layer/ipc/handle.h"

/* 40 bits of the name's hash, never 0: words 0 and 1 mean free and removed. */
static uint64_t hash_group(struct hr_str group)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < group.len; i++)
        h = (h ^ (uint8_t)group.ptr[i]) * UINT64_C(0x100000001b3);
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    h >>= 24;
    return h ? h : 1;
}

/* ---- interest words of one slot */

struct interests {
    _Atomic uint64_t *words;
    struct ipc_interest_count *counts;
    uint32_t n; /* a power of two */
};

static struct interests interests_of(const struct ipc_arena *a, uint32_t slot)
{
    struct ipc_slot_tables t = ipc_slot_tables(a, slot);
    return (struct interests){.words = &a->interests[t.interests],
                              .counts = &a->interest_counts[t.interests],
                              .n = a->geometry.role[t.role].interests};
}

#define NO_CELL UINT32_MAX

/* The i-th cell of a hash's window. */
static uint32_t window_cell(const struct interests *in, uint64_t hash, uint32_t i)
{
    return (uint32_t)(hash + i) & (in->n - 1);
}

static uint32_t window_size(const struct interests *in)
{
    return in->n < IPC_WINDOW ? in->n : IPC_WINDOW;
}

/* The next cell of `hash` in its window from *i on; NO_CELL at the end. There
 * is one, or by a race of two joiners more than one, which does no harm. */
static uint32_t find_interest(const struct interests *in, uint64_t hash, uint32_t *i)
{
    while (*i < window_size(in)) {
        uint32_t cell = window_cell(in, hash, (*i)++);
        /* acquire: pairs with the CAS of ensure_interest(). */
        uint64_t w = atomic_load_explicit(&in->words[cell], memory_order_acquire);
        if (w == IPC_INTEREST_FREE)
            break;
        if (ipc_interest_hash(w) == hash)
            return cell;
    }
    return NO_CELL;
}

/* A cell of the window that a new word can go into. */
static uint32_t find_room(const struct interests *in, uint64_t hash)
{
    for (uint32_t i = 0; i < window_size(in); i++) {
        uint32_t cell = window_cell(in, hash, i);
        if (atomic_load_explicit(&in->words[cell], memory_order_relaxed) <= IPC_INTEREST_REMOVED)
            return cell;
    }
    return NO_CELL;
}

static uint64_t next_epoch(uint64_t w)
{
    return (w & ~IPC_EPOCH_MASK) | ((w + 1) & IPC_EPOCH_MASK);
}

/* Makes sure the slot has a word for the group; `joins` (0 or 1) is added to
 * its epoch. False when the window is full: the slot then catches all. */
static bool ensure_interest(const struct ipc_arena *a, uint32_t slot, uint64_t hash, uint32_t joins)
{
    struct interests in = interests_of(a, slot);
    for (int tries = 0; tries < 1000; tries++) {
        uint32_t i = 0, cell = find_interest(&in, hash, &i);
        bool is_new = cell == NO_CELL;
        if (is_new)
            cell = find_room(&in, hash);
        if (cell == NO_CELL)
            break;
        uint64_t w = atomic_load_explicit(&in.words[cell], memory_order_acquire);
        if (is_new ? w > IPC_INTEREST_REMOVED : ipc_interest_hash(w) != hash)
            continue;
        if (!is_new && joins == 0)
            return true;
        uint64_t to = is_new ? hash << 24 | joins : next_epoch(w);
        /* release: a broadcast that sees the word queues behind our JOIN. */
        if (atomic_compare_exchange_strong_explicit(&in.words[cell], &w, to, memory_order_acq_rel,
                                                    memory_order_relaxed))
            return true;
    }
    /* A count, so that leave_catch_all() sees that it was set once more. */
    atomic_fetch_add_explicit(&a->slots[slot].catch_all, 1, memory_order_release);
    return false;
}

/* No DISCARD is on its way: whatever was sent has been handled. */
static void settle_leaves(struct ipc_interest_count *count)
{
    atomic_store_explicit(&count->leaves_handled,
                          atomic_load_explicit(&count->leaves, memory_order_relaxed),
                          memory_order_relaxed);
}

void ipc_interest_clear(const struct ipc_arena *a, uint32_t slot)
{
    struct interests in = interests_of(a, slot);
    for (uint32_t i = 0; i < in.n; i++) {
        atomic_store_explicit(&in.counts[i].members, 0, memory_order_relaxed);
        atomic_store_explicit(&in.counts[i].joins_handled, 0, memory_order_relaxed);
        settle_leaves(&in.counts[i]);
        atomic_store_explicit(&in.words[i], IPC_INTEREST_FREE, memory_order_release);
    }
    atomic_store_explicit(&a->slots[slot].catch_all, 0, memory_order_relaxed);
}

/* ---- our own memberships */

/* Publishes how many members a group of ours has, and `joins` more handled. In
 * every word of the group, so that none is kept by a count of old. */
static void publish_count(struct ipc_layer *l, struct hr_str group, uint32_t n_members,
                          uint32_t joins)
{
    struct interests in = interests_of(&l->arena, l->layer.slot);
    uint64_t hash = hash_group(group);
    uint32_t i = 0, cell;
    while ((cell = find_interest(&in, hash, &i)) != NO_CELL) {
        atomic_store_explicit(&in.counts[cell].members, n_members, memory_order_relaxed);
        atomic_fetch_add_explicit(&in.counts[cell].joins_handled, joins, memory_order_relaxed);
        joins = 0;
    }
}

/* A DISCARD of ours is in the slot's inbox, or we have handled one of ours. */
enum leave_step { LEAVE_SENT, LEAVE_HANDLED };
static void note_leave(const struct ipc_arena *a, uint32_t slot, struct hr_str group,
                       enum leave_step step)
{
    struct interests in = interests_of(a, slot);
    uint32_t i = 0, cell = find_interest(&in, hash_group(group), &i);
    if (cell == NO_CELL)
        return;
    atomic_fetch_add_explicit(step == LEAVE_SENT ? &in.counts[cell].leaves
                                                 : &in.counts[cell].leaves_handled,
                              1, memory_order_relaxed);
}

/* The hook of members.h: somebody left. */
static void on_left(void *arg, struct hr_str group, uint32_t n_left)
{
    publish_count(arg, group, n_left, 0);
}

void ipc_group_init(struct ipc_layer *l)
{
    l->members = (struct hr_members){.left = on_left, .arg = l};
}

static bool is_open_conn(const struct ipc_layer *l, uint32_t conn, uint32_t conn_gen)
{
    struct hr_addr addr = {.layer = l->arena.layer_id,
                           .slot = l->layer.slot,
                           .slot_gen = l->layer.slot_gen,
                           .conn = conn,
                           .conn_gen = conn_gen};
    return conn != 0 && ipc_addr_stands(&l->arena, &addr);
}

/* `joins`: 1 when a JOIN told us, which somebody has counted in the epoch. */
static int join_own(struct ipc_layer *l, struct hr_str group, uint32_t conn, uint32_t joins)
{
    int r = hr_members_join(&l->members, group, conn);
    if (r == HR_MEMBERS_FULL || r == HR_ERR_NOMEM)
        r = hr_layer_refuse(HR_FULL_MEMORY);
    else
        r = 0;
    ensure_interest(&l->arena, l->layer.slot, hash_group(group), 0);
    publish_count(l, group, hr_members_count(&l->members, group), joins);
    return r;
}

void ipc_group_handle(struct ipc_layer *l, enum ipc_kind kind, uint32_t conn, uint32_t conn_gen,
                      struct hr_str group)
{
    if (kind == IPC_FLUSH) {
        hr_members_clear(&l->members);
        return;
    }
    if (!hr_group_name_ok(group))
        return;
    if (kind == IPC_DISCARD)
        note_leave(&l->arena, l->layer.slot, group, LEAVE_HANDLED);
    if (kind == IPC_DISCARD && is_open_conn(l, conn, conn_gen))
        hr_members_leave(&l->members, group, conn);
    else if (kind == IPC_JOIN && !is_open_conn(l, conn, conn_gen))
        publish_count(l, group, hr_members_count(&l->members, group), 1);
    else if (kind == IPC_JOIN && join_own(l, group, conn, 1) != 0)
        ipc_count_drop(&l->arena, l->layer.slot, HR_REASON_LIMIT, false);
}

void ipc_group_drop(struct ipc_layer *l, uint32_t conn)
{
    hr_members_drop(&l->members, conn);
}

/* ---- collection */

/* When all our groups have a word we need no longer catch everything. `seen`
 * was read before the inbox was empty: whoever joined without finding room
 * until then is a member by now, whoever does so later makes the CAS fail. */
static void leave_catch_all(struct ipc_layer *l, uint32_t seen)
{
    uint32_t cursor = 0, n;
    struct hr_str group;
    if (seen == 0)
        return;
    while (hr_members_next_group(&l->members, &cursor, &group, &n)) {
        if (!ensure_interest(&l->arena, l->layer.slot, hash_group(group), 0))
            return;
        publish_count(l, group, n, 0);
    }
    atomic_compare_exchange_strong(&l->arena.slots[l->layer.slot].catch_all, &seen, 0);
}

/* The words of our groups are not idle, whatever their count says: it is that
 * of the last group to change among those that share a hash. */
static void keep_shared(struct ipc_layer *l)
{
    struct interests in = interests_of(&l->arena, l->layer.slot);
    uint32_t cursor = 0, n, cell;
    struct hr_str group;
    while (hr_members_next_group(&l->members, &cursor, &group, &n)) {
        uint32_t i = 0;
        while ((cell = find_interest(&in, hash_group(group), &i)) != NO_CELL)
            l->idle_interests[cell] = 0;
    }
}

void ipc_group_collect(struct ipc_layer *l, hr_time now)
{
    struct ipc_ring inbox;
    uint32_t catch_all = atomic_load(&l->arena.slots[l->layer.slot].catch_all);
    if (now < l->next_collection || !ipc_ring_of(&l->arena, l->layer.slot, &inbox) ||
        !ipc_queue_is_empty(&inbox))
        return;
    l->next_collection = now + HR_SECOND;
    leave_catch_all(l, catch_all);
    if (l->has_idle)
        keep_shared(l);
    l->has_idle = false;
    struct interests in = interests_of(&l->arena, l->layer.slot);
    for (uint32_t i = 0; i < in.n; i++) {
        uint64_t w = atomic_load_explicit(&in.words[i], memory_order_acquire);
        uint64_t idle = l->idle_interests[i];
        l->idle_interests[i] = 0;
        if (w <= IPC_INTEREST_REMOVED)
            continue;
        settle_leaves(&in.counts[i]);
        /* No JOIN is on its way: whatever the epoch says has been handled. */
        atomic_store_explicit(&in.counts[i].joins_handled, (uint32_t)(w & IPC_EPOCH_MASK),
                              memory_order_relaxed);
        if (atomic_load_explicit(&in.counts[i].members, memory_order_relaxed) != 0)
            continue;
        if (idle != w) {
            l->idle_interests[i] = w;
            l->has_idle = true;
            continue;
        }
        atomic_store_explicit(&in.counts[i].joins_handled, 0, memory_order_relaxed);
        if (!atomic_compare_exchange_strong_explicit(&in.words[i], &w, IPC_INTEREST_REMOVED,
                                                     memory_order_acq_rel, memory_order_relaxed))
            atomic_store_explicit(&in.counts[i].joins_handled, (uint32_t)(idle & IPC_EPOCH_MASK),
                                  memory_order_relaxed);
    }
}

/* ---- members that are plain channels */

static struct interests named_of(const struct ipc_arena *a)
{
    return (struct interests){.words = a->named, .n = IPC_N_NAMED};
}

/* The next channel queue in a group; IPC_NO_QUEUE at the end. */
static uint32_t next_named(const struct ipc_arena *a, uint64_t hash, uint32_t *i)
{
    struct interests in = named_of(a);
    uint32_t cell = find_interest(&in, hash, i);
    if (cell == NO_CELL)
        return IPC_NO_QUEUE;
    uint64_t w = atomic_load_explicit(&in.words[cell], memory_order_relaxed);
    uint32_t number = (uint32_t)(w & IPC_EPOCH_MASK);
    return number < a->geometry.n_channels ? a->n_slots + number : IPC_NO_QUEUE;
}

static int change_named(struct ipc_layer *l, struct hr_str group, struct hr_str name, bool adds)
{
    struct ipc_arena *a = &l->arena;
    struct interests in = named_of(a);
    uint64_t hash = hash_group(group);
    uint32_t queue = ipc_channel_find(a, name), other, i = 0;
    if (queue == IPC_NO_QUEUE && !adds)
        return 0;
    int r = ipc_channel_get(l, name, &queue);
    if (r)
        return hr_trace(r);
    if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS))
        return hr_raise(HR_ERR_UNAVAILABLE);
    while ((other = next_named(a, hash, &i)) != IPC_NO_QUEUE && other != queue)
        ;
    if (adds && other != queue) {
        uint32_t cell = find_room(&in, hash);
        if (cell == NO_CELL) {
            r = hr_layer_refuse(HR_FULL_COUNT);
        } else {
            /* The count first: a death in between must not leave 0 beside a member. */
            atomic_fetch_add_explicit(&a->header->n_named, 1, memory_order_release);
            atomic_store_explicit(&in.words[cell], hash << 24 | (queue - a->n_slots),
                                  memory_order_release);
        }
    } else if (!adds && other == queue) {
        atomic_store_explicit(&in.words[window_cell(&in, hash, i - 1)], IPC_INTEREST_REMOVED,
                              memory_order_release);
        atomic_fetch_sub_explicit(&a->header->n_named, 1, memory_order_release);
    }
    ipc_unlock_admin(l->lock);
    return r;
}

void ipc_group_clear_named(struct ipc_layer *l)
{
    for (uint32_t i = 0; i < IPC_N_NAMED; i++)
        atomic_store_explicit(&l->arena.named[i], IPC_INTEREST_FREE, memory_order_release);
    atomic_store_explicit(&l->arena.header->n_named, 0, memory_order_release);
}

/* ---- adding and discarding */

int ipc_group_add(struct hr_layer *layer, struct hr_str group, const struct hr_addr *addr,
                  struct hr_str name)
{
    struct ipc_layer *l = ipc_of(layer);
    if (!addr)
        return hr_trace(change_named(l, group, name, true));
    if (!ipc_addr_stands(&l->arena, addr))
        return HR_LAYER_GONE;
    if (addr->slot == layer->slot)
        return join_own(l, group, addr->conn, 0);
    int r = ipc_post_kind(l, IPC_JOIN, addr, group);
    if (r == 0)
        ensure_interest(&l->arena, addr->slot, hash_group(group), 1);
    return r;
}

int ipc_group_discard(struct hr_layer *layer, struct hr_str group, const struct hr_addr *addr,
                      struct hr_str name)
{
    struct ipc_layer *l = ipc_of(layer);
    if (!addr)
        return hr_trace(change_named(l, group, name, false));
    if (!ipc_addr_stands(&l->arena, addr))
        return HR_LAYER_GONE;
    if (addr->slot == layer->slot) {
        hr_members_leave(&l->members, group, addr->conn);
        return 0;
    }
    int r = ipc_post_kind(l, IPC_DISCARD, addr, group);
    if (r == 0)
        note_leave(&l->arena, addr->slot, group, LEAVE_SENT);
    return r;
}

/* ---- sending */

static bool is_interested(const struct ipc_arena *a, uint32_t slot, uint64_t hash)
{
    struct interests in = interests_of(a, slot);
    uint32_t i = 0;
    /* acquire, and first: pairs with leave_catch_all(), which sees to the words before. */
    return atomic_load_explicit(&a->slots[slot].catch_all, memory_order_acquire) != 0 ||
           find_interest(&in, hash, &i) != NO_CELL;
}

/* One copy into one inbox: the group's name with its length, then the message. */
static int post_group(struct ipc_layer *l, uint32_t slot, struct hr_str group, const void *data,
                      size_t len)
{
    struct hr_addr to = {.layer = l->arena.layer_id,
                         .slot = slot,
                         .slot_gen = atomic_load(&l->arena.slots[slot].gen)};
    uint8_t n = (uint8_t)group.len;
    struct hr_draft draft = {.layer = &l->layer};
    int r = ipc_draft_to(&l->layer, &to, 1 + group.len + len, &draft);
    if (r)
        return r;
    hr_pack_raw(&draft.pack, &n, 1);
    hr_pack_raw(&draft.pack, group.ptr, group.len);
    hr_pack_raw(&draft.pack, data, len);
    return ipc_draft_send_kind(&draft, IPC_GROUP);
}

int ipc_group_send(struct hr_layer *layer, struct hr_str group, const void *data, size_t len,
                   uint32_t *n_skipped)
{
    struct ipc_layer *l = ipc_of(layer);
    struct ipc_arena *a = &l->arena;
    uint64_t hash = hash_group(group);
    if (ipc_is_poisoned(a))
        return hr_raise(HR_ERR_CORRUPT);
    for (uint32_t word = 0; word < 16; word++) {
        /* acquire: pairs with attach. */
        uint64_t live = atomic_load_explicit(&a->header->live[word], memory_order_acquire);
        for (; live; live &= live - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(live);
            if (slot < a->n_slots && is_interested(a, slot, hash) &&
                post_group(l, slot, group, data, len) == HR_LAYER_FULL)
                ++*n_skipped;
        }
    }
    if (atomic_load_explicit(&a->header->n_named, memory_order_acquire) == 0)
        return 0;
    uint32_t i = 0, queue;
    while ((queue = next_named(a, hash, &i)) != IPC_NO_QUEUE) {
        char name[HR_NAME_MAX + 1];
        if (ipc_channel_name(a, queue, name) &&
            hr_layer_send(layer, hr_str_of(name), data, len, NULL) == HR_LAYER_FULL)
            ++*n_skipped;
    }
    return 0;
}

/* ---- asking */

/* Members in one inbox: those it has told, and what is still ahead of it. */
static size_t count_in(const struct ipc_arena *a, uint32_t slot, uint64_t hash)
{
    struct interests in = interests_of(a, slot);
    size_t n = 0, n_members = 0, n_leaving = 0;
    uint32_t i = 0, cell;
    while ((cell = find_interest(&in, hash, &i)) != NO_CELL) {
        const struct ipc_interest_count *count = &in.counts[cell];
        uint32_t epoch = (uint32_t)(atomic_load_explicit(&in.words[cell], memory_order_acquire) &
                                    IPC_EPOCH_MASK);
        uint32_t joins =
            (epoch - atomic_load_explicit(&count->joins_handled, memory_order_relaxed)) &
            (uint32_t)IPC_EPOCH_MASK;
        uint32_t leaves = atomic_load_explicit(&count->leaves, memory_order_relaxed) -
                          atomic_load_explicit(&count->leaves_handled, memory_order_relaxed);
        /* The same in each word, but for one that has come since. */
        uint32_t members = atomic_load_explicit(&count->members, memory_order_relaxed);
        n_members = members > n_members ? members : n_members;
        /* Handled before it was counted, it shows as less than none for a moment. */
        n += joins < IPC_EPOCH_MASK / 2 ? joins : 0;
        n_leaving += leaves < UINT32_MAX / 2 ? leaves : 0;
    }
    n += n_members;
    return n > n_leaving ? n - n_leaving : 0;
}

size_t ipc_group_count(struct hr_layer *layer, struct hr_str group, bool *is_partial)
{
    const struct ipc_arena *a = &ipc_of(layer)->arena;
    uint64_t hash = hash_group(group);
    size_t n = 0;
    for (uint32_t word = 0; word < 16; word++) {
        uint64_t live = atomic_load_explicit(&a->header->live[word], memory_order_acquire);
        for (; live; live &= live - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(live);
            if (slot >= a->n_slots)
                continue;
            n += count_in(a, slot, hash);
            if (atomic_load_explicit(&a->slots[slot].catch_all, memory_order_relaxed))
                *is_partial = true;
        }
    }
    uint32_t i = 0;
    while (next_named(a, hash, &i) != IPC_NO_QUEUE)
        n++;
    return n;
}

void ipc_group_channels(struct hr_layer *layer, struct hr_str group, hr_name_fn fn, void *arg,
                        bool *is_partial)
{
    struct ipc_layer *l = ipc_of(layer);
    const struct ipc_arena *a = &l->arena;
    struct hr_member_cursor cursor = {0};
    struct hr_addr addr;
    size_t n_told = 0;
    while (ipc_member_next(layer, group, &cursor, &addr)) {
        char text[HR_ADDR_TEXT_MAX];
        size_t len = hr_addr_format(&addr, text);
        fn(arg, (struct hr_str){text, len});
        n_told++;
    }
    uint32_t i = 0, queue;
    while ((queue = next_named(a, hash_group(group), &i)) != IPC_NO_QUEUE) {
        char name[HR_NAME_MAX + 1];
        if (ipc_channel_name(a, queue, name))
            fn(arg, hr_str_of(name));
        n_told++;
    }
    *is_partial = ipc_group_count(layer, group, is_partial) > n_told || *is_partial;
}

bool ipc_member_next(struct hr_layer *layer, struct hr_str group, struct hr_member_cursor *cursor,
                     struct hr_addr *out)
{
    struct ipc_layer *l = ipc_of(layer);
    uint32_t conn;
    if (!hr_members_next(&l->members, group, cursor, &conn))
        return false;
    uint64_t w = atomic_load_explicit(&l->arena.connections[l->tables.connections + conn],
                                      memory_order_relaxed);
    *out = (struct hr_addr){.layer = l->arena.layer_id,
                            .slot = layer->slot,
                            .slot_gen = layer->slot_gen,
                            .conn = conn,
                            .conn_gen = ipc_conn_gen(w)};
    return true;
}
