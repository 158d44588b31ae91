/* transfer.c - how blocks enter queues, leave them and come back.
 *
 *           put                take               ack
 *   draft ------> queued ------------> held -----------> freed
 *                   |  ^                |
 *        expired,   |  |  redelivery,   | holder closed, nack, lease over
 *        stale,     |  |  dead letters, |
 *        flushed    v  |  LEASE_LOST    v
 *                 dropped <----------- give_back
 *
 * Each step keeps n_sent == n_received + depth + dropped for the channel in
 * block->counted. A block that comes back is never refused for capacity: it
 * was admitted once, and there is nobody left to tell.
 */
#include "layer/memory/store.h"

#include "base/str.h"

/* ---- entering */

static int refuse(struct hr_mem_channel *counted, enum hr_full_reason reason)
{
    counted->n_full++;
    return hr_layer_refuse(reason);
}

/* Drops the heads that have expired, so that a queue nobody reads does not stay full of them. */
static void drop_expired(struct hr_mem_queue *queue, hr_time now)
{
    struct hr_mem_block *block = NULL;
    while ((block = hr_mem_queue_peek(queue, now)) != NULL && block->expires_at <= now) {
        hr_mem_queue_remove(queue, block);
        hr_mem_drop(block, HR_REASON_EXPIRED);
    }
}

static enum hr_full_reason channel_limit(const struct hr_mem_channel *channel, size_t len)
{
    const struct hr_mem_queue *queue = &channel->queue;
    if (queue->n >= channel->policy.max_messages)
        return HR_FULL_COUNT;
    /* Compared with what is left: the sum could wrap. The policy may have shrunk meanwhile. */
    if (queue->bytes > channel->policy.max_bytes || len > channel->policy.max_bytes - queue->bytes)
        return HR_FULL_BYTES;
    return 0;
}

int hr_mem_channel_admit(struct hr_mem_channel *channel, size_t len, hr_time now)
{
    if (!channel_limit(channel, len))
        return 0;
    drop_expired(&channel->queue, now);
    enum hr_full_reason limit = channel_limit(channel, len);
    return limit ? refuse(channel, limit) : 0;
}

int hr_mem_inbox_admit(struct hr_mem_member *member, bool is_control)
{
    uint32_t limit = member->max_inbox;
    if (!is_control)
        limit -= limit / HR_MEM_INBOX_CONTROL_SHARE;
    if (member->inbox.n < limit)
        return 0;
    return refuse(hr_mem_inbox_channel(member->store), HR_FULL_COUNT);
}

void hr_mem_put_channel(struct hr_mem_channel *channel, struct hr_mem_block *block, hr_time now)
{
    block->channel = block->counted = channel;
    channel->n_sent++;
    hr_mem_queue_push(&channel->queue, block, now);
    if (!channel->paused_at)
        hr_mem_ring_listeners(block->store, channel);
}

void hr_mem_put_inbox(struct hr_mem_member *member, struct hr_mem_block *block, hr_time now)
{
    block->counted = hr_mem_inbox_channel(member->store);
    block->counted->n_sent++;
    hr_mem_queue_push(&member->inbox, block, now);
    hr_mem_ring(member, HR_RECEIVE_INBOX);
}

/* ---- leaving */

void hr_mem_drop(struct hr_mem_block *block, enum hr_reason reason)
{
    block->counted->n_dropped[reason]++;
    hr_mem_block_end_lease(block);
    hr_mem_block_unref(block);
}

/* HR_REASON_NONE when it may be delivered. */
static enum hr_reason why_not(const struct hr_mem_block *block, hr_time now)
{
    if (block->expires_at <= now)
        return HR_REASON_EXPIRED;
    if ((hr_addr_is_set(&block->to) && !hr_mem_conn_find(block->store, &block->to)) ||
        (hr_addr_is_set(&block->reply) && !hr_mem_conn_find(block->store, &block->reply)))
        return HR_REASON_STALE;
    return HR_REASON_NONE;
}

struct hr_mem_block *hr_mem_take(struct hr_mem_queue *queue, hr_time now)
{
    struct hr_mem_block *block = NULL;
    while ((block = hr_mem_queue_peek(queue, now)) != NULL) {
        enum hr_reason reason = why_not(block, now);
        hr_mem_queue_remove(queue, block);
        if (reason == HR_REASON_NONE) {
            block->counted->n_received++;
            block->taken_at = now;
            break;
        }
        hr_mem_drop(block, reason);
    }
    return block;
}

/* ---- leases */

void hr_mem_hold(struct hr_mem_member *member, struct hr_mem_block *block, hr_time now)
{
    struct hr_mem_store *store = member->store;
    block->holder = member;
    block->n_taken++;
    block->lease_end = HR_NEVER;
    if (block->channel && block->channel->policy.delivery == HR_AT_LEAST_ONCE)
        block->lease_end = hr_time_add(now, block->channel->policy.lease);
    if (block->lease_end < store->next_lease_end)
        store->next_lease_end = block->lease_end;
    hr_list_push_back(&member->held, &block->node);
}

void hr_mem_unhold(struct hr_mem_block *block)
{
    hr_assert(block->holder);
    hr_list_remove(&block->node);
    block->holder = NULL;
}

/* Whoever asked decides what becomes of it. */
static void return_to_sender(struct hr_mem_block *block, enum hr_reason reason, hr_time now)
{
    hr_mem_block_end_lease(block);
    block->kind = HR_DELIVERY_LEASE_LOST;
    block->reason = reason;
    block->to = block->reply;
    block->reply = (struct hr_addr){0};
    block->due = 0;
    block->expires_at = HR_NEVER;
    hr_mem_put_inbox(hr_mem_conn_owner(block->store, &block->to), block, now);
}

/* Tried too often. Full dead letters take it all the same: nobody is left to be told. */
static void bury(struct hr_mem_block *block, enum hr_reason reason, hr_time now)
{
    struct hr_mem_channel *from = block->channel, *dead = NULL;
    from->n_sent++;
    from->n_dropped[HR_REASON_ATTEMPTS]++;
    if (hr_mem_channel_get(block->store, hr_str_of(from->policy.dead_letter), &dead) != 0) {
        hr_mem_block_end_lease(block);
        hr_mem_block_unref(block);
        return;
    }
    if (dead->policy.delivery != HR_AT_LEAST_ONCE)
        hr_mem_block_end_lease(block);
    block->due = 0;
    block->expires_at = hr_time_add(now, dead->policy.expiry);
    block->reason = reason;
    block->failed_in = from;
    block->letter = ++dead->n_letters;
    hr_mem_put_channel(dead, block, now);
}

void hr_mem_give_back(struct hr_mem_block *block, enum hr_reason reason, hr_time now, hr_time due)
{
    hr_mem_unhold(block);
    bool has_reply = hr_addr_is_set(&block->reply);
    if (has_reply && hr_mem_conn_find(block->store, &block->reply)) {
        return_to_sender(block, reason, now);
    } else if (has_reply || block->channel->policy.delivery != HR_AT_LEAST_ONCE) {
        block->counted->n_sent++;
        hr_mem_drop(block, has_reply ? HR_REASON_STALE : reason);
    } else if (++block->attempts >= block->channel->policy.attempts) {
        bury(block, reason, now);
    } else {
        block->due = due;
        hr_mem_put_channel(block->channel, block, now);
    }
}

void hr_mem_end_leases(struct hr_mem_store *store, hr_time now)
{
    if (now < store->next_lease_end)
        return;
    store->next_lease_end = HR_NEVER;
    hr_list_foreach (at, &store->all) {
        struct hr_mem_member *member = hr_container_of(at, struct hr_mem_member, node);
        hr_list_foreach (node, &member->held) {
            struct hr_mem_block *block = hr_container_of(node, struct hr_mem_block, node);
            if (block->lease_end <= now)
                hr_mem_give_back(block, HR_REASON_TIMEOUT, now, now);
            else if (block->lease_end < store->next_lease_end)
                store->next_lease_end = block->lease_end;
        }
    }
}
