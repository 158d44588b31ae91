/* queue.c - see queue.h for the contract. */
#include "layer/memory/queue.h"

#include "layer/memory/store.h"

static struct hr_mem_block *block_at(struct hr_list *node)
{
    return hr_container_of(node, struct hr_mem_block, node);
}

void hr_mem_queue_init(struct hr_mem_queue *queue)
{
    *queue = (struct hr_mem_queue){0};
    hr_list_init(&queue->ready);
    hr_list_init(&queue->delayed);
}

/* Behind everything that is due no later, searched from the end: delays are
 * mostly alike, and then the place is the last. */
static void insert_delayed(struct hr_mem_queue *queue, struct hr_mem_block *block)
{
    struct hr_list *after = queue->delayed.prev;
    while (after != &queue->delayed && block_at(after)->due > block->due)
        after = after->prev;
    hr_list_push_back(after->next, &block->node);
}

void hr_mem_queue_push(struct hr_mem_queue *queue, struct hr_mem_block *block, hr_time now)
{
    if (block->due > now)
        insert_delayed(queue, block);
    else
        hr_list_push_back(&queue->ready, &block->node);
    queue->n++;
    queue->bytes += block->len;
}

struct hr_mem_block *hr_mem_queue_peek(struct hr_mem_queue *queue, hr_time now)
{
    while (hr_mem_queue_next_due(queue) <= now && !hr_list_is_empty(&queue->delayed)) {
        struct hr_list *node = queue->delayed.next;
        hr_list_remove(node);
        hr_list_push_back(&queue->ready, node);
    }
    return hr_list_is_empty(&queue->ready) ? NULL : block_at(queue->ready.next);
}

void hr_mem_queue_remove(struct hr_mem_queue *queue, struct hr_mem_block *block)
{
    hr_assert(queue->n > 0 && queue->bytes >= block->len);
    hr_list_remove(&block->node);
    queue->n--;
    queue->bytes -= block->len;
}

struct hr_mem_block *hr_mem_queue_remove_any(struct hr_mem_queue *queue)
{
    struct hr_list *from = hr_list_is_empty(&queue->ready) ? &queue->delayed : &queue->ready;
    if (hr_list_is_empty(from))
        return NULL;
    struct hr_mem_block *block = block_at(from->next);
    hr_mem_queue_remove(queue, block);
    return block;
}

hr_time hr_mem_queue_next_due(const struct hr_mem_queue *queue)
{
    return hr_list_is_empty(&queue->delayed) ? HR_NEVER : block_at(queue->delayed.next)->due;
}

hr_time hr_mem_queue_oldest(const struct hr_mem_queue *queue)
{
    hr_time oldest = HR_NEVER;
    if (!hr_list_is_empty(&queue->ready))
        oldest = block_at(queue->ready.next)->sent_at;
    else if (!hr_list_is_empty(&queue->delayed))
        oldest = block_at(queue->delayed.next)->sent_at;
    return oldest;
}
