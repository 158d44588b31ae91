/* letter.c - the messages that wait in a channel, one by one. See store.h.
 *
 * Under the store's lock nothing moves, so a letter's place in the list is
 * cursor enough.
 */
#include <string.h>

#include "base/str.h"
#include "layer/memory/store.h"

static void describe(const struct hr_mem_block *block, struct hr_letter *out)
{
    *out = (struct hr_letter){
        .number = block->letter,
        .attempts = block->attempts,
        .reason = block->reason,
        .sent_at = block->sent_at,
        .len = block->len,
    };
    if (block->failed_in)
        hr_str_copy(out->from, sizeof out->from, block->failed_in->name);
}

bool hr_mem_letter_next(const struct hr_mem_channel *channel, uint64_t *cursor,
                        struct hr_letter *letter)
{
    uint64_t at = 0;
    hr_list_foreach (node, &channel->queue.ready) {
        const struct hr_mem_block *block = hr_container_of(node, struct hr_mem_block, node);
        if (at++ < *cursor)
            continue;
        uint8_t *buffer = letter->data;
        size_t size = letter->len;
        *cursor = at;
        describe(block, letter);
        if (buffer && block->len <= size)
            letter->data = memcpy(buffer, block->data, block->len);
        return true;
    }
    return false;
}

/* Back to where it failed, as if it had just been sent. 0 or FULL. */
static int retry(struct hr_mem_block *block, hr_time now)
{
    struct hr_mem_channel *home = block->failed_in;
    int r = hr_mem_channel_admit(home, block->len, now);
    if (r)
        return r;
    /* What was leased before it died has lost its cell if the dead letters are not. */
    if (home->policy.delivery == HR_AT_LEAST_ONCE && !hr_mem_block_lease(block))
        return hr_layer_refuse(HR_FULL_MEMORY);
    hr_mem_queue_remove(&block->channel->queue, block);
    block->counted->n_received++;
    block->failed_in = NULL;
    block->letter = block->attempts = 0;
    block->reason = HR_REASON_NONE;
    block->sent_at = now;
    block->due = 0;
    block->expires_at = hr_time_add(now, home->policy.expiry);
    hr_mem_put_channel(home, block, now);
    return 0;
}

void hr_mem_letters_decide(struct hr_mem_channel *channel, hr_letter_fn decide, void *arg,
                           hr_time now, struct hr_letter_fates *out)
{
    hr_list_foreach (node, &channel->queue.ready) {
        struct hr_mem_block *block = hr_container_of(node, struct hr_mem_block, node);
        struct hr_letter letter;
        describe(block, &letter);
        enum hr_letter_fate fate = (enum hr_letter_fate)decide(arg, &letter);
        if (fate == HR_LETTER_DROP) {
            hr_mem_queue_remove(&channel->queue, block);
            hr_mem_drop(block, HR_REASON_FLUSHED);
            out->n_dropped++;
        } else if (fate == HR_LETTER_RETRY && !block->failed_in) {
            out->n_homeless++;
        } else if (fate == HR_LETTER_RETRY && retry(block, now)) {
            out->n_full++;
        } else if (fate == HR_LETTER_RETRY) {
            out->n_retried++;
        }
    }
}
