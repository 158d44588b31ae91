/* group.c - groups: each member of the layer knows its own addresses, the store
 * knows the plain channels, whose "connection" is their number. */
#include <string.h>

#include "base/str.h"
#include "layer/memory/store.h"

static int join(struct hr_members *members, struct hr_str group, uint32_t number)
{
    int r = hr_members_join(members, group, number);
    return r == 0 || r == HR_MEMBERS_SAME ? 0 : hr_layer_refuse(HR_FULL_MEMORY);
}

int hr_mem_group_add(struct hr_mem_store *store, struct hr_str group, const struct hr_addr *addr,
                     struct hr_str name)
{
    if (addr) {
        if (!hr_mem_conn_find(store, addr))
            return HR_LAYER_GONE;
        return join(&hr_mem_conn_owner(store, addr)->groups, group, addr->conn);
    }
    struct hr_mem_channel *channel = NULL;
    int r = hr_mem_channel_get(store, name, &channel);
    return r ? r : join(&store->plain, group, channel->index);
}

void hr_mem_group_discard(struct hr_mem_store *store, struct hr_str group,
                          const struct hr_addr *addr, struct hr_str name)
{
    if (addr) {
        if (hr_mem_conn_find(store, addr))
            hr_members_leave(&hr_mem_conn_owner(store, addr)->groups, group, addr->conn);
        return;
    }
    const struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    if (channel)
        hr_members_leave(&store->plain, group, channel->index);
}

/* A block with a copy of the message and, behind it, `group`. */
static int copy_message(struct hr_mem_channel *counted, struct hr_mem_store *store, bool is_leased,
                        struct hr_str message, struct hr_str group, struct hr_mem_block **out)
{
    struct hr_mem_block *block = NULL;
    int r = hr_mem_block_new(store, message.len + group.len, false, is_leased, &block);
    if (r) {
        counted->n_full++;
        return r;
    }
    if (message.len > 0)
        memcpy(block->data, message.ptr, message.len);
    block->len = message.len;
    if (group.len > 0)
        memcpy(block->data + message.len, group.ptr, group.len);
    block->group = (struct hr_str){(const char *)block->data + message.len, group.len};
    *out = block;
    return 0;
}

static int send_to_inbox(struct hr_mem_member *member, struct hr_str group, struct hr_str message,
                         hr_time now)
{
    struct hr_mem_block *block = NULL;
    int r = hr_mem_inbox_admit(member, false);
    if (r == 0)
        r = copy_message(hr_mem_inbox_channel(member->store), member->store, false, message, group,
                         &block);
    if (r)
        return r;
    block->kind = HR_DELIVERY_GROUP;
    block->sent_at = now;
    block->to = (struct hr_addr){
        .layer = member->base.id, .slot = member->base.slot, .slot_gen = member->base.slot_gen};
    hr_mem_put_inbox(member, block, now);
    return 0;
}

static int send_to_channel(struct hr_mem_store *store, struct hr_mem_channel *channel,
                           struct hr_str message, hr_time now)
{
    struct hr_mem_block *block = NULL;
    int r = hr_mem_channel_admit(channel, message.len, now);
    if (r == 0)
        r = copy_message(channel, store, channel->policy.delivery == HR_AT_LEAST_ONCE, message,
                         (struct hr_str){0}, &block);
    if (r)
        return r;
    block->sent_at = now;
    block->expires_at = hr_time_add(now, channel->policy.expiry);
    hr_mem_put_channel(channel, block, now);
    return 0;
}

uint32_t hr_mem_group_send(struct hr_mem_store *store, struct hr_str group, struct hr_str message,
                           hr_time now)
{
    uint32_t n_skipped = 0, number = 0;
    hr_list_foreach (node, &store->all) {
        struct hr_mem_member *member = hr_container_of(node, struct hr_mem_member, node);
        if (hr_members_count(&member->groups, group) > 0)
            n_skipped += send_to_inbox(member, group, message, now) != 0;
    }
    struct hr_member_cursor cursor = {0};
    while (hr_members_next(&store->plain, group, &cursor, &number))
        n_skipped += send_to_channel(store, store->channels[number], message, now) != 0;
    return n_skipped;
}

size_t hr_mem_group_count(const struct hr_mem_store *store, struct hr_str group)
{
    size_t n = hr_members_count(&store->plain, group);
    hr_list_foreach (node, &store->all)
        n += hr_members_count(&hr_container_of(node, struct hr_mem_member, node)->groups, group);
    return n;
}
