/* store.c - named stores, their channels and policies. See store.h.
 *
 * The list of stores is the one thing that all handles of the process share;
 * it has a lock of its own, which is taken before a store's.
 */
#include "layer/memory/store.h"

#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/str.h"

static pthread_mutex_t stores_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hr_list stores = {&stores, &stores};

static void store_free(struct hr_mem_store *store)
{
    for (uint32_t i = 0; i < store->n_channels; i++) {
        struct hr_mem_block *block;
        while ((block = hr_mem_queue_remove_any(&store->channels[i]->queue)) != NULL)
            hr_mem_block_unref(block);
        hr_free(store->channels[i]);
    }
    hr_assert(store->bytes == 0);
    for (uint32_t i = 0; i < store->n_slots; i++)
        hr_free(store->slots[i].counters);
    for (uint32_t i = 0; i < HR_MEM_MAX_RECORDS; i++)
        hr_free(store->records[i]);
    hr_members_fini(&store->plain);
    hr_table_fini(&store->by_name);
    hr_free(store->channels);
    hr_free(store->slots);
    hr_free(store->cells);
    hr_free(store->name);
    pthread_mutex_destroy(&store->lock);
    hr_free(store);
}

/* Slots by number: the servers', the workers', the clients'. */
static int make_slots(struct hr_mem_store *store)
{
    for (int role = HR_ROLE_SERVER; role < HR_ROLE_OBSERVER; role++)
        store->n_slots += store->geometry.role[role].n_slots;
    store->slots = hr_calloc(store->n_slots, sizeof *store->slots);
    if (!store->slots) {
        store->n_slots = 0;
        return hr_raise(HR_ERR_NOMEM);
    }
    uint32_t number = 0;
    for (int role = HR_ROLE_SERVER; role < HR_ROLE_OBSERVER; role++)
        for (uint32_t i = 0; i < store->geometry.role[role].n_slots; i++, number++)
            store->slots[number] =
                (struct hr_mem_slot){.role = (enum hr_role)role, .number = number};
    return 0;
}

static int fill_store(struct hr_mem_store *store, struct hr_str name)
{
    struct hr_mem_channel *inboxes = NULL;
    int r = make_slots(store);
    if (r < 0)
        return hr_trace(r);
    store->name = hr_strndup(name.ptr, name.len);
    store->channels = hr_calloc(store->geometry.n_channels, sizeof(struct hr_mem_channel *));
    if (!store->name || !store->channels ||
        hr_mem_channel_get(store, HR_LIT(HR_INBOX_CHANNEL), &inboxes) != 0)
        return hr_raise(HR_ERR_NOMEM);
    return 0;
}

static int store_new(struct hr_str name, const struct hr_geometry *geometry,
                     struct hr_mem_store **out)
{
    struct hr_mem_store *store = hr_calloc(1, sizeof *store);
    *out = NULL;
    if (!store)
        return hr_raise(HR_ERR_NOMEM);
    pthread_mutex_init(&store->lock, NULL);
    hr_list_init(&store->all);
    store->geometry = *geometry;
    store->max_bytes = geometry->bytes / 2; /* what an arena of that size has for blocks */
    if (geometry->max_bytes > geometry->bytes)
        store->max_bytes += geometry->max_bytes - geometry->bytes;
    store->created_at = hr_time_wall();
    store->next_lease_end = HR_NEVER;
    hr_random(&store->id, sizeof store->id);

    int r = fill_store(store, name);
    if (r < 0) {
        store_free(store);
        return hr_trace(r);
    }
    hr_list_push_back(&stores, &store->node);
    *out = store;
    return 0;
}

static struct hr_mem_store *find_store(struct hr_str name)
{
    hr_list_foreach (node, &stores) {
        struct hr_mem_store *store = hr_container_of(node, struct hr_mem_store, node);
        if (hr_str_eq(hr_str_of(store->name), name))
            return store;
    }
    return NULL;
}

static int find_or_make(struct hr_str name, const struct hr_layer_options *options,
                        struct hr_mem_store **out)
{
    *out = find_store(name);
    if (*out)
        return 0;
    if (!options->create) {
        hr_layer_explain("no channel layer memory:%.*s in this process; whoever opens it first "
                         "must create it",
                         HR_STR(name));
        return hr_raise(HR_ERR_UNAVAILABLE);
    }
    return hr_trace(store_new(name, options->geometry, out));
}

/* In a forked child: bells of its own, or it would swallow its parent's. */
static void renew_bells(void)
{
    hr_list_foreach (at, &stores) {
        struct hr_mem_store *store = hr_container_of(at, struct hr_mem_store, node);
        hr_list_foreach (node, &store->all)
            hr_mem_renew_bell(hr_container_of(node, struct hr_mem_member, node));
    }
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, renew_bells);
}

int hr_mem_store_join(struct hr_str name, const struct hr_layer_options *options,
                      struct hr_mem_member *member)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct hr_mem_store *store = NULL;

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&stores_lock);
    int r = find_or_make(name, options, &store);
    if (store) {
        pthread_mutex_lock(&store->lock);
        member->store = store;
        hr_list_push_back(&store->all, &member->node);
        pthread_mutex_unlock(&store->lock);
    }
    pthread_mutex_unlock(&stores_lock);
    return hr_trace(r);
}

void hr_mem_store_leave(struct hr_mem_member *member)
{
    struct hr_mem_store *store = member->store;
    pthread_mutex_lock(&stores_lock);
    pthread_mutex_lock(&store->lock);
    hr_list_remove(&member->node);
    bool was_last = hr_list_is_empty(&store->all);
    pthread_mutex_unlock(&store->lock);
    if (was_last) {
        hr_list_remove(&store->node);
        store_free(store);
    }
    pthread_mutex_unlock(&stores_lock);
}

hr_time hr_mem_now(const struct hr_mem_store *store)
{
    return store->clock ? store->clock(store->clock_arg) : hr_time_now();
}

/* ---- channels */

struct hr_mem_channel *hr_mem_channel_find(const struct hr_mem_store *store, struct hr_str name)
{
    return hr_table_get(&store->by_name, name);
}

static void resolve_policy(const struct hr_mem_store *store, struct hr_mem_channel *channel)
{
    hr_policy_resolve(store->policies, store->n_policies, channel->name,
                      hr_geometry_limit(&store->geometry), &channel->policy);
}

int hr_mem_channel_get(struct hr_mem_store *store, struct hr_str name, struct hr_mem_channel **out)
{
    *out = hr_mem_channel_find(store, name);
    if (*out)
        return 0;
    if (store->n_channels == store->geometry.n_channels)
        return hr_layer_refuse(HR_FULL_CHANNELS);
    struct hr_mem_channel *channel = hr_calloc(1, sizeof *channel);
    if (!channel)
        return hr_layer_refuse(HR_FULL_MEMORY);
    if (hr_table_put(&store->by_name, name, channel) < 0) {
        hr_free(channel);
        return hr_layer_refuse(HR_FULL_MEMORY);
    }

    hr_str_copy(channel->text, sizeof channel->text, name);
    channel->name = hr_str_of(channel->text);
    channel->index = store->n_channels;
    hr_mem_queue_init(&channel->queue);
    resolve_policy(store, channel);
    store->channels[store->n_channels++] = channel;
    hr_mem_listen_new(store, channel);
    *out = channel;
    return 0;
}

int hr_mem_set_policies(struct hr_mem_store *store, const struct hr_channel_policy *rows,
                        size_t n_rows)
{
    /* Not kept as a record here, but what would not fit one elsewhere must not fit here. */
    uint8_t record[HR_RECORD_MAX];
    size_t len = 0;
    if (hr_policy_encode(rows, n_rows, record, &len) != 0)
        return HR_LAYER_TOO_BIG;
    if (n_rows > 0)
        memcpy(store->policies, rows, n_rows * sizeof *rows);
    store->n_policies = n_rows;
    for (uint32_t i = 0; i < store->n_channels; i++)
        resolve_policy(store, store->channels[i]);
    return 0;
}

void hr_mem_pause(struct hr_mem_store *store, struct hr_mem_channel *channel, bool is_paused,
                  hr_time now)
{
    if (is_paused == (channel->paused_at != 0))
        return;
    channel->paused_at = is_paused ? now : 0;
    if (!is_paused)
        hr_mem_ring_listeners(store, channel);
}

static void flush_queue(struct hr_mem_queue *queue)
{
    struct hr_mem_block *block;
    while ((block = hr_mem_queue_remove_any(queue)) != NULL)
        hr_mem_drop(block, HR_REASON_FLUSHED);
}

static void flush_groups(struct hr_mem_store *store)
{
    hr_members_clear(&store->plain);
    hr_list_foreach (node, &store->all)
        hr_members_clear(&hr_container_of(node, struct hr_mem_member, node)->groups);
}

void hr_mem_flush(struct hr_mem_store *store, struct hr_mem_channel *channel)
{
    if (channel) {
        flush_queue(&channel->queue);
        return;
    }
    for (uint32_t i = 0; i < store->n_channels; i++)
        flush_queue(&store->channels[i]->queue);
    flush_groups(store);
}

/* The inboxes together are what the first channel shows. */
static void add_inboxes(const struct hr_mem_store *store, struct hr_channel_stats *out,
                        hr_time *sent_at)
{
    hr_list_foreach (node, &store->all) {
        const struct hr_mem_member *member = hr_container_of(node, struct hr_mem_member, node);
        hr_time oldest = hr_mem_queue_oldest(&member->inbox);
        out->depth += member->inbox.n;
        out->bytes += member->inbox.bytes;
        if (oldest < *sent_at)
            *sent_at = oldest;
    }
}

static uint32_t count_listeners(const struct hr_mem_store *store,
                                const struct hr_mem_channel *channel)
{
    uint32_t n = 0;
    hr_list_foreach (node, &store->all)
        n += hr_mem_is_listening(hr_container_of(node, struct hr_mem_member, node), channel);
    return n;
}

void hr_mem_channel_stats(const struct hr_mem_store *store, const struct hr_mem_channel *channel,
                          hr_time now, struct hr_channel_stats *out)
{
    hr_time sent_at = hr_mem_queue_oldest(&channel->queue);

    hr_str_copy(out->name, sizeof out->name, channel->name);
    out->depth = channel->queue.n;
    out->bytes = channel->queue.bytes;
    out->max_messages = channel->policy.max_messages;
    out->max_bytes = channel->policy.max_bytes;
    out->expiry = channel->policy.expiry;
    out->paused_at = channel->paused_at;
    out->is_dead_letter = channel->policy.is_dead_letter;
    out->n_listeners = count_listeners(store, channel);
    out->n_sent = channel->n_sent;
    out->n_received = channel->n_received;
    out->n_full = channel->n_full;
    memcpy(out->n_dropped, channel->n_dropped, sizeof out->n_dropped);
    if (channel == hr_mem_inbox_channel(store))
        add_inboxes(store, out, &sent_at);
    if (sent_at != HR_NEVER)
        out->oldest = now - sent_at;
}
