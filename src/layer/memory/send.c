/* send.c - drafts: a block that is still its writer's.
 *
 * What can be told before a message is written is told then, so that nobody
 * encodes what will be refused; it is asked again when the message is sent,
 * with its true length.
 */
#include "base/str.h"
#include "layer/memory/store.h"

/* The words of hr_draft.priv. */
enum { DRAFT_BLOCK };

static struct hr_mem_block *block_of(const struct hr_draft *draft)
{
    return (struct hr_mem_block *)(uintptr_t)draft->priv[DRAFT_BLOCK];
}

/* May it go to this address? 0, GONE or FULL. */
static int address_admit(struct hr_mem_store *store, const struct hr_addr *to, bool is_control)
{
    const struct hr_mem_conn *conn = hr_mem_conn_find(store, to);
    if (!conn)
        return HR_LAYER_GONE;
    if (conn->is_full && !is_control) {
        hr_mem_inbox_channel(store)->n_full++;
        return hr_layer_refuse(HR_FULL_CONNECTION);
    }
    return hr_mem_inbox_admit(hr_mem_conn_owner(store, to), is_control);
}

/* Makes the block; `counted` is where a refusal is counted. */
static int start(struct hr_mem_channel *counted, size_t size, bool is_leased,
                 struct hr_draft *draft, struct hr_mem_store *store)
{
    const struct hr_send_options *options = &draft->options;
    struct hr_mem_block *block = NULL;
    int r = hr_mem_block_new(store, size, options->is_control, is_leased, &block);
    if (r) {
        counted->n_full++;
        return r;
    }
    block->counted = counted;
    block->reply = options->reply;
    block->seq = options->seq;
    block->attempts = options->attempts;
    hr_pack_init(&draft->pack, block->data, size);
    draft->priv[DRAFT_BLOCK] = (uintptr_t)block;
    return 0;
}

int hr_mem_draft(struct hr_mem_store *store, struct hr_str name, size_t size,
                 struct hr_draft *draft)
{
    struct hr_mem_channel *channel = hr_mem_channel_find(store, name);
    if (!channel)
        return HR_LAYER_UNKNOWN;
    int r = hr_mem_channel_admit(channel, 0, hr_mem_now(store));
    if (r)
        return r;
    bool is_leased =
        hr_addr_is_set(&draft->options.reply) || channel->policy.delivery == HR_AT_LEAST_ONCE;
    r = start(channel, size, is_leased, draft, store);
    if (r == 0)
        block_of(draft)->channel = channel;
    return r;
}

int hr_mem_draft_to(struct hr_mem_store *store, const struct hr_addr *to, size_t size,
                    struct hr_draft *draft)
{
    int r = address_admit(store, to, draft->options.is_control);
    if (r == 0)
        r = start(hr_mem_inbox_channel(store), size, hr_addr_is_set(&draft->options.reply), draft,
                  store);
    if (r == 0)
        block_of(draft)->to = *to;
    return r;
}

/* Age counts from when it may be delivered: a long delay must not eat a short expiry. */
static void stamp(struct hr_mem_block *block, const struct hr_send_options *options, hr_time now)
{
    hr_time expiry = options->expires_in;
    if (expiry == 0)
        expiry = block->channel ? block->channel->policy.expiry : HR_NEVER;
    block->sent_at = now;
    block->due = options->delay > 0 ? hr_time_add(now, options->delay) : 0;
    block->expires_at = hr_time_add(block->due ? block->due : now, expiry);
}

int hr_mem_draft_send(struct hr_draft *draft, hr_time now)
{
    struct hr_mem_block *block = block_of(draft);
    block->len = hr_pack_len(&draft->pack);
    block = hr_mem_block_trim(block);

    int r = block->channel ? hr_mem_channel_admit(block->channel, block->len, now)
                           : address_admit(block->store, &block->to, draft->options.is_control);
    if (r) {
        hr_mem_block_unref(block);
        return r;
    }
    stamp(block, &draft->options, now);
    if (block->cell && draft->options.ticket)
        draft->options.ticket->word[0] = hr_mem_block_word(block);
    if (block->channel)
        hr_mem_put_channel(block->channel, block, now);
    else
        hr_mem_put_inbox(hr_mem_conn_owner(block->store, &block->to), block, now);
    return 0;
}

void hr_mem_draft_cancel(struct hr_draft *draft)
{
    hr_mem_block_unref(block_of(draft));
}
