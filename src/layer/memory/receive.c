/* receive.c - taking messages, fairly.
 *
 * A member's sources are its inbox and the channels it listens to, in a ring.
 * A receive begins at the source after the one that gave the last message and
 * takes one: whoever has messages is served once a round.
 */
#include "layer/memory/store.h"

enum { INBOX_SOURCE = 0 };

static struct hr_mem_queue *source_queue(struct hr_mem_member *member, uint32_t source)
{
    return source == INBOX_SOURCE ? &member->inbox : &member->channels[source - 1]->queue;
}

static bool is_wanted(const struct hr_mem_member *member, uint32_t source,
                      enum hr_receive_from from)
{
    if (source == INBOX_SOURCE)
        return from & HR_RECEIVE_INBOX;
    return from & HR_RECEIVE_CHANNELS && !member->channels[source - 1]->paused_at;
}

static struct hr_mem_block *take_next(struct hr_mem_member *member, enum hr_receive_from from,
                                      hr_time now)
{
    uint32_t n_sources = member->n_channels + 1;
    for (uint32_t i = 0; i < n_sources; i++) {
        uint32_t source = (member->next_source + i) % n_sources;
        if (!is_wanted(member, source, from))
            continue;
        struct hr_mem_block *block = hr_mem_take(source_queue(member, source), now);
        if (block) {
            member->next_source = (source + 1) % n_sources;
            return block;
        }
    }
    return NULL;
}

static void describe(const struct hr_mem_block *block, struct hr_delivery *out)
{
    *out = (struct hr_delivery){
        .kind = block->kind,
        .to = block->to,
        .reply = block->reply,
        .group = block->group,
        .data = block->data,
        .len = block->len,
        .seq = block->seq,
        .attempts = block->attempts,
        .reason = block->reason,
        .sent_at = block->sent_at,
        .taken_at = block->taken_at,
    };
    if (block->channel)
        out->channel = block->channel->name;
}

int hr_mem_receive(struct hr_mem_member *member, enum hr_receive_from from, hr_time now,
                   struct hr_delivery *out)
{
    if (member->lent)
        hr_mem_block_unref(member->lent);
    member->lent = NULL;
    hr_mem_end_leases(member->store, now);

    struct hr_mem_block *block = take_next(member, from, now);
    if (!block)
        return HR_LAYER_EMPTY;
    describe(block, out);
    if (block->cell) {
        hr_mem_block_ref(block);
        hr_mem_hold(member, block, now);
        out->lease = (struct hr_lease){{hr_mem_block_word(block), block->n_taken}};
    }
    member->lent = block;
    return 0;
}

bool hr_mem_has_any(struct hr_mem_member *member, enum hr_receive_from from, hr_time now)
{
    for (uint32_t source = 0; source <= member->n_channels; source++)
        if (is_wanted(member, source, from) && hr_mem_queue_peek(source_queue(member, source), now))
            return true;
    return false;
}

hr_time hr_mem_next_due(const struct hr_mem_member *member)
{
    hr_time due = member->store->next_lease_end;
    hr_time inbox_due = hr_mem_queue_next_due(&member->inbox);
    if (inbox_due < due)
        due = inbox_due;
    for (uint32_t i = 0; i < member->n_channels; i++) {
        hr_time channel_due = hr_mem_queue_next_due(&member->channels[i]->queue);
        if (channel_due < due && !member->channels[i]->paused_at)
            due = channel_due;
    }
    return due;
}
