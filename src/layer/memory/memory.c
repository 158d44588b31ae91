/* memory.c - the table of the memory layer: each call takes the store's lock,
 * reads the clock when it needs it, and does its work in the files beside.
 *
 * The lock is there for sends, which may come from any thread. It is held
 * neither while a handle sleeps nor while a program's callback runs.
 */
#include "layer/memory/memory.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "layer/memory/store.h"

static struct hr_mem_member *member_of(const struct hr_layer *layer)
{
    hr_assert(layer->magic == HR_LAYER_MAGIC && layer->impl == &hr_layer_memory);
    return hr_container_of(hr_layer_mutable(layer), struct hr_mem_member, base);
}

/* The handle's store, locked. */
static struct hr_mem_store *enter(const struct hr_layer *layer)
{
    struct hr_mem_store *store = member_of(layer)->store;
    pthread_mutex_lock(&store->lock);
    return store;
}

static void leave(struct hr_mem_store *store)
{
    pthread_mutex_unlock(&store->lock);
}

void hr_memory_set_clock(struct hr_layer *layer, hr_time (*clock)(void *arg), void *arg)
{
    struct hr_mem_store *store = enter(layer);
    store->clock = clock;
    store->clock_arg = arg;
    leave(store);
}

/* ---- opening and closing */

static int memory_open(struct hr_str where, const struct hr_layer_options *options,
                       struct hr_layer **out)
{
    struct hr_mem_member *member = hr_calloc(1, sizeof *member);
    if (!member)
        return hr_raise(HR_ERR_NOMEM);
    int r = hr_mem_store_join(where, options, member);
    if (r < 0) {
        hr_free(member);
        return hr_trace(r);
    }
    struct hr_mem_store *store = member->store;
    pthread_mutex_lock(&store->lock);
    member->base = (struct hr_layer){
        .magic = HR_LAYER_MAGIC,
        .role = options->role,
        .impl = &hr_layer_memory,
        .id = store->id,
        .max_message = hr_layer_message_limit(store->geometry.bytes),
    };
    r = hr_mem_member_init(member, options, hr_mem_now(store));
    pthread_mutex_unlock(&store->lock);
    *out = &member->base;
    if (r < 0) {
        hr_layer_memory.close(*out);
        *out = NULL;
    }
    return hr_trace(r);
}

static void memory_close(struct hr_layer *layer)
{
    struct hr_mem_member *member = member_of(layer);
    struct hr_mem_store *store = enter(layer);
    hr_mem_member_fini(member, hr_mem_now(store));
    leave(store);
    hr_mem_store_leave(member);
    layer->magic = 0;
    hr_free(member);
}

/* ---- sending */

static int memory_add_channel(struct hr_layer *layer, struct hr_str channel)
{
    struct hr_mem_channel *ignored;
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_channel_get(store, channel, &ignored);
    leave(store);
    return r;
}

static int memory_draft(struct hr_layer *layer, struct hr_str channel, size_t size,
                        struct hr_draft *draft)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_draft(store, channel, size, draft);
    leave(store);
    return r;
}

static int memory_draft_to(struct hr_layer *layer, const struct hr_addr *to, size_t size,
                           struct hr_draft *draft)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_draft_to(store, to, size, draft);
    leave(store);
    return r;
}

static int memory_draft_send(struct hr_draft *draft)
{
    struct hr_mem_store *store = enter(draft->layer);
    int r = hr_mem_draft_send(draft, hr_mem_now(store));
    leave(store);
    return r;
}

static void memory_draft_cancel(struct hr_draft *draft)
{
    struct hr_mem_store *store = enter(draft->layer);
    hr_mem_draft_cancel(draft);
    leave(store);
}

static struct hr_ticket_info memory_ticket(struct hr_layer *layer, const struct hr_ticket *ticket)
{
    struct hr_ticket_info info = {.state = HR_TICKET_GONE};
    struct hr_mem_store *store = enter(layer);
    const struct hr_mem_block *block = hr_mem_block_of(store, ticket->word[0]);
    if (block && block->holder) {
        info.state = HR_TICKET_HELD;
        info.slot = block->holder->base.slot;
        info.slot_gen = block->holder->base.slot_gen;
        info.since = block->taken_at;
    } else if (block) {
        info.state = HR_TICKET_QUEUED;
    }
    leave(store);
    return info;
}

/* ---- receiving */

static int memory_listen(struct hr_layer *layer, struct hr_str pattern)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_listen(member_of(layer), pattern);
    leave(store);
    return r;
}

static void memory_unlisten(struct hr_layer *layer, struct hr_str pattern)
{
    struct hr_mem_store *store = enter(layer);
    hr_mem_unlisten(member_of(layer), pattern);
    leave(store);
}

static int memory_receive(struct hr_layer *layer, enum hr_receive_from from,
                          struct hr_delivery *out)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_receive(member_of(layer), from, hr_mem_now(store), out);
    leave(store);
    return r;
}

/* Goes to sleep unless there is something; says how long at most. */
static bool fall_asleep(struct hr_layer *layer, enum hr_receive_from from, hr_time *sleep_out)
{
    struct hr_mem_member *member = member_of(layer);
    struct hr_mem_store *store = enter(layer);
    hr_time now = hr_mem_now(store);
    hr_mem_end_leases(store, now);
    bool is_asleep = !hr_mem_has_any(member, from, now);
    if (is_asleep)
        member->asleep_for = from;
    hr_time due = hr_mem_next_due(member);
    *sleep_out = due == HR_NEVER ? HR_NEVER : due - now;
    leave(store);
    return is_asleep;
}

static void memory_dispatch(struct hr_layer *layer)
{
    struct hr_mem_store *store = enter(layer);
    hr_mem_silence(member_of(layer));
    hr_mem_end_leases(store, hr_mem_now(store));
    leave(store);
}

static int sleep_on(int fd, hr_time timeout)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct timespec span = {.tv_sec = timeout / HR_SECOND, .tv_nsec = timeout % HR_SECOND};
    return ppoll(&poll_fd, 1, timeout == HR_NEVER ? NULL : &span, NULL);
}

static int memory_wait(struct hr_layer *layer, enum hr_receive_from from, hr_time timeout)
{
    hr_time deadline = hr_time_add(hr_time_now(), timeout);
    hr_time longest = HR_NEVER;

    while (fall_asleep(layer, from, &longest)) {
        hr_time left = deadline == HR_NEVER ? HR_NEVER : deadline - hr_time_now();
        int n = left <= 0 ? 0 : sleep_on(member_of(layer)->fd, left < longest ? left : longest);
        int saved_errno = errno;
        memory_dispatch(layer);
        if (n < 0) {
            errno = saved_errno;
            return hr_raise(HR_ERR_SYS);
        }
        if (left <= 0)
            return HR_LAYER_EMPTY;
    }
    return 0;
}

static int memory_fd(struct hr_layer *layer)
{
    return member_of(layer)->fd;
}

static int memory_prepare(struct hr_layer *layer, enum hr_receive_from from)
{
    hr_time ignored = 0;
    return fall_asleep(layer, from, &ignored) ? 0 : 1;
}

static hr_time memory_poll_timeout(const struct hr_layer *layer)
{
    struct hr_mem_store *store = enter(layer);
    hr_time due = hr_mem_next_due(member_of(layer));
    hr_time now = hr_mem_now(store);
    leave(store);
    if (due == HR_NEVER)
        return HR_NEVER;
    return due > now ? due - now : 0;
}

/* The block of a lease that this member still holds, or NULL. */
static struct hr_mem_block *held_block(struct hr_mem_store *store, struct hr_layer *layer,
                                       const struct hr_lease *lease)
{
    hr_mem_end_leases(store, hr_mem_now(store));
    struct hr_mem_block *block = hr_mem_block_of(store, lease->word[0]);
    bool is_ours = block && block->holder == member_of(layer) && block->n_taken == lease->word[1];
    return is_ours ? block : NULL;
}

static int memory_ack(struct hr_layer *layer, const struct hr_lease *lease)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_block *block = held_block(store, layer, lease);
    if (block) {
        hr_mem_unhold(block);
        hr_mem_block_end_lease(block);
        hr_mem_block_unref(block);
    }
    leave(store);
    return block ? 0 : HR_LAYER_LOST;
}

static int memory_nack(struct hr_layer *layer, const struct hr_lease *lease, enum hr_reason reason,
                       hr_time delay)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_block *block = held_block(store, layer, lease);
    hr_time now = hr_mem_now(store);
    if (block && delay < 0)
        delay = block->channel
                    ? hr_policy_backoff(block->channel->policy.backoff, block->attempts + 1)
                    : 0;
    if (block)
        hr_mem_give_back(block, reason, now, hr_time_add(now, delay));
    leave(store);
    return block ? 0 : HR_LAYER_LOST;
}

/* ---- addresses */

static int memory_address_open(struct hr_layer *layer, struct hr_addr *out)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_conn_open(member_of(layer), out);
    leave(store);
    return r;
}

static void memory_address_renew(struct hr_layer *layer, struct hr_addr *addr)
{
    struct hr_mem_store *store = enter(layer);
    hr_mem_conn_renew(member_of(layer), addr);
    leave(store);
}

static void memory_address_close(struct hr_layer *layer, const struct hr_addr *addr)
{
    struct hr_mem_store *store = enter(layer);
    hr_mem_conn_close(member_of(layer), addr);
    leave(store);
}

static void memory_address_set_full(struct hr_layer *layer, const struct hr_addr *addr,
                                    bool is_full)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_conn *conn = hr_mem_conn_find(store, addr);
    if (conn)
        conn->is_full = is_full;
    leave(store);
}

static bool memory_address_alive(struct hr_layer *layer, const struct hr_addr *addr)
{
    struct hr_mem_store *store = enter(layer);
    bool is_alive = hr_mem_conn_find(store, addr) != NULL;
    leave(store);
    return is_alive;
}

/* ---- groups */

static int memory_group_add(struct hr_layer *layer, struct hr_str group, const struct hr_addr *addr,
                            struct hr_str name)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_group_add(store, group, addr, name);
    leave(store);
    return r;
}

static int memory_group_discard(struct hr_layer *layer, struct hr_str group,
                                const struct hr_addr *addr, struct hr_str name)
{
    struct hr_mem_store *store = enter(layer);
    hr_mem_group_discard(store, group, addr, name);
    leave(store);
    return 0;
}

static int memory_group_send(struct hr_layer *layer, struct hr_str group, const void *data,
                             size_t len, uint32_t *n_skipped)
{
    struct hr_mem_store *store = enter(layer);
    *n_skipped = hr_mem_group_send(store, group, (struct hr_str){data, len}, hr_mem_now(store));
    leave(store);
    return 0;
}

static size_t memory_group_count(struct hr_layer *layer, struct hr_str group, bool *is_partial)
{
    (void)is_partial; /* never */
    struct hr_mem_store *store = enter(layer);
    size_t n = hr_mem_group_count(store, group);
    leave(store);
    return n;
}

/* The lock is given back around `fn`, which may use the layer. */
static void list_members(struct hr_mem_member *member, struct hr_str group, hr_name_fn fn,
                         void *arg)
{
    struct hr_member_cursor cursor = {0};
    struct hr_addr addr = {
        .layer = member->base.id, .slot = member->base.slot, .slot_gen = member->base.slot_gen};
    char text[HR_ADDR_TEXT_MAX];

    while (hr_members_next(&member->groups, group, &cursor, &addr.conn)) {
        addr.conn_gen = member->conns[addr.conn].gen;
        size_t len = hr_addr_format(&addr, text);
        leave(member->store);
        fn(arg, (struct hr_str){text, len});
        enter(&member->base);
    }
}

static void memory_group_channels(struct hr_layer *layer, struct hr_str group, hr_name_fn fn,
                                  void *arg, bool *is_partial)
{
    (void)is_partial;
    struct hr_mem_store *store = enter(layer);
    hr_list_foreach (node, &store->all)
        list_members(hr_container_of(node, struct hr_mem_member, node), group, fn, arg);

    struct hr_member_cursor cursor = {0};
    uint32_t number = 0;
    while (hr_members_next(&store->plain, group, &cursor, &number)) {
        struct hr_str name = store->channels[number]->name;
        leave(store);
        fn(arg, name);
        enter(layer);
    }
    leave(store);
}

static bool memory_member_next(struct hr_layer *layer, struct hr_str group,
                               struct hr_member_cursor *cursor, struct hr_addr *out)
{
    struct hr_mem_member *member = member_of(layer);
    struct hr_mem_store *store = enter(layer);
    uint32_t number = 0;
    bool is_there = hr_members_next(&member->groups, group, cursor, &number);
    if (is_there)
        *out = (struct hr_addr){
            .layer = layer->id,
            .slot = layer->slot,
            .slot_gen = layer->slot_gen,
            .conn = number,
            .conn_gen = member->conns[number].gen,
        };
    leave(store);
    return is_there;
}

/* ---- policy, housekeeping, statistics */

static int memory_set_policies(struct hr_layer *layer, const struct hr_channel_policy *rows,
                               size_t n_rows)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_set_policies(store, rows, n_rows);
    leave(store);
    return r;
}

static int memory_flush(struct hr_layer *layer, struct hr_str name)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    if (channel || name.len == 0)
        hr_mem_flush(store, channel);
    leave(store);
    return 0;
}

static int memory_pause(struct hr_layer *layer, struct hr_str name, bool is_paused)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    if (channel)
        hr_mem_pause(store, channel, is_paused, hr_mem_now(store));
    leave(store);
    return channel ? 0 : hr_raise(HR_ERR_NOT_FOUND);
}

static void memory_count_drop(struct hr_layer *layer, struct hr_str name, enum hr_reason reason)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_channel *channel = NULL;
    /* With no room for another name the loss is at least counted somewhere. */
    if (hr_mem_channel_get(store, name, &channel) != 0)
        channel = hr_mem_inbox_channel(store);
    channel->n_dropped[reason]++;
    leave(store);
}

static bool memory_channel_stats(struct hr_layer *layer, uint32_t index,
                                 struct hr_channel_stats *out)
{
    struct hr_mem_store *store = enter(layer);
    bool is_there = index < store->n_channels;
    if (is_there)
        hr_mem_channel_stats(store, store->channels[index], hr_mem_now(store), out);
    leave(store);
    return is_there;
}

static bool memory_channel_find(struct hr_layer *layer, struct hr_str name, uint32_t *index_out)
{
    struct hr_mem_store *store = enter(layer);
    const struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    if (channel)
        *index_out = channel->index;
    leave(store);
    return channel != NULL;
}

static void memory_arena_stats(struct hr_layer *layer, struct hr_arena_stats *out)
{
    struct hr_mem_store *store = enter(layer);
    *out = (struct hr_arena_stats){
        .bytes_total = store->max_bytes,
        .bytes_limit = store->max_bytes,
        .bytes_used = store->bytes,
        .n_slots = store->n_slots,
        .n_channels = store->n_channels,
        .max_channels = store->geometry.n_channels,
        .created_at = store->created_at,
    };
    for (uint32_t i = 0; i < store->n_slots; i++)
        out->n_live += store->slots[i].member != NULL;
    leave(store);
}

/* ---- letters */

static bool memory_letter_next(struct hr_layer *layer, struct hr_str name, uint64_t *cursor,
                               struct hr_letter *letter)
{
    struct hr_mem_store *store = enter(layer);
    const struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    bool is_there = channel && hr_mem_letter_next(channel, cursor, letter);
    leave(store);
    return is_there;
}

static int memory_letters_decide(struct hr_layer *layer, struct hr_str name, hr_letter_fn decide,
                                 void *arg, struct hr_letter_fates *out)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    if (channel)
        hr_mem_letters_decide(channel, decide, arg, hr_mem_now(store), out);
    leave(store);
    return channel ? 0 : hr_raise(HR_ERR_NOT_FOUND);
}

/* ---- members, counters, records */

static bool memory_member(struct hr_layer *layer, uint32_t number, struct hr_member *out)
{
    struct hr_mem_store *store = enter(layer);
    bool is_there = number < store->n_slots;
    if (is_there) {
        const struct hr_mem_slot *slot = &store->slots[number];
        *out = (struct hr_member){
            .slot = number,
            .slot_gen = slot->gen,
            .role = slot->role,
            .is_live = slot->member != NULL,
            .pid = slot->pid,
            .flags = slot->flags,
            .inbox_depth = slot->member ? slot->member->inbox.n : 0,
            .since = slot->since,
        };
        hr_str_copy(out->label, sizeof out->label, hr_str_of(slot->label));
    }
    leave(store);
    return is_there;
}

static void memory_set_ready(struct hr_layer *layer, bool is_ready)
{
    struct hr_mem_store *store = enter(layer);
    uint32_t *flags = &member_of(layer)->slot->flags;
    *flags &= ~(uint32_t)HR_MEMBER_READY;
    if (is_ready)
        *flags |= HR_MEMBER_READY;
    leave(store);
}

static void memory_retire(struct hr_layer *layer, uint32_t number, uint32_t slot_gen)
{
    struct hr_mem_store *store = enter(layer);
    struct hr_mem_slot *slot = number < store->n_slots ? &store->slots[number] : NULL;
    if (slot && slot->member && slot->gen == slot_gen) {
        slot->flags |= HR_MEMBER_RETIRE;
        hr_mem_ring(slot->member, HR_RECEIVE_ALL);
    }
    leave(store);
}

static bool memory_is_retiring(const struct hr_layer *layer)
{
    struct hr_mem_store *store = enter(layer);
    bool is_retiring = member_of(layer)->slot->flags & HR_MEMBER_RETIRE;
    leave(store);
    return is_retiring;
}

static uint64_t *memory_counters(struct hr_layer *layer, uint32_t number, uint32_t *n_out)
{
    struct hr_mem_store *store = enter(layer);
    uint64_t *counters = number < store->n_slots ? store->slots[number].counters : NULL;
    if (counters)
        *n_out =
            store->slots[number].role == HR_ROLE_SERVER ? HR_COUNTERS_SERVER : HR_COUNTERS_OTHER;
    leave(store);
    return counters;
}

static int memory_record_put(struct hr_layer *layer, struct hr_str key, const void *data,
                             size_t len)
{
    struct hr_mem_store *store = enter(layer);
    int r = hr_mem_record_put(store, key, data, len);
    leave(store);
    return r;
}

static void memory_record_remove(struct hr_layer *layer, struct hr_str key)
{
    struct hr_mem_store *store = enter(layer);
    hr_mem_record_remove(store, key);
    leave(store);
}

static bool memory_record_next(struct hr_layer *layer, uint32_t *cursor, struct hr_record *out)
{
    struct hr_mem_store *store = enter(layer);
    bool is_there = hr_mem_record_next(store, cursor, out);
    leave(store);
    return is_there;
}

static uint64_t memory_records_version(const struct hr_layer *layer)
{
    struct hr_mem_store *store = enter(layer);
    uint64_t version = store->records_version;
    leave(store);
    return version;
}

const struct hr_layer_impl hr_layer_memory = {
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .add_channel = memory_add_channel,
    .draft = memory_draft,
    .draft_to = memory_draft_to,
    .draft_send = memory_draft_send,
    .draft_cancel = memory_draft_cancel,
    .ticket = memory_ticket,
    .listen = memory_listen,
    .unlisten = memory_unlisten,
    .receive = memory_receive,
    .wait = memory_wait,
    .fd = memory_fd,
    .prepare = memory_prepare,
    .dispatch = memory_dispatch,
    .poll_timeout = memory_poll_timeout,
    .ack = memory_ack,
    .nack = memory_nack,
    .address_open = memory_address_open,
    .address_renew = memory_address_renew,
    .address_close = memory_address_close,
    .address_set_full = memory_address_set_full,
    .address_alive = memory_address_alive,
    .group_add = memory_group_add,
    .group_discard = memory_group_discard,
    .group_send = memory_group_send,
    .group_count = memory_group_count,
    .group_channels = memory_group_channels,
    .member_next = memory_member_next,
    .set_policies = memory_set_policies,
    .flush = memory_flush,
    .pause = memory_pause,
    .count_drop = memory_count_drop,
    .channel_stats = memory_channel_stats,
    .channel_find = memory_channel_find,
    .arena_stats = memory_arena_stats,
    .letter_next = memory_letter_next,
    .letters_decide = memory_letters_decide,
    .member = memory_member,
    .set_ready = memory_set_ready,
    .retire = memory_retire,
    .is_retiring = memory_is_retiring,
    .counters = memory_counters,
    .record_put = memory_record_put,
    .record_remove = memory_record_remove,
    .record_next = memory_record_next,
    .records_version = memory_records_version,
};
