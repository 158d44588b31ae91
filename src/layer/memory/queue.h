/* queue.h - the messages of one channel or inbox, oldest first.
 *
 * A queue links blocks; it allocates nothing, and limits are its owner's to
 * check. Messages whose time has not come stand apart, in the order of their
 * times, and join the end of the line when it has: until then nobody waits
 * behind them.
 *
 * Threads: none. Memory: a queue has one reference to each of its blocks.
 */
#ifndef HR_LAYER_MEMORY_QUEUE_H
#define HR_LAYER_MEMORY_QUEUE_H

#include <stdint.h>

#include "base/list.h"
#include "base/time.h"

struct hr_mem_block;

struct hr_mem_queue {
    struct hr_list ready;
    struct hr_list delayed; /* by due, soonest first */
    uint32_t n;             /* in both */
    uint64_t bytes;         /* of the messages in both */
};

void hr_mem_queue_init(struct hr_mem_queue *queue);

/* Appends, taking the caller's reference. */
void hr_mem_queue_push(struct hr_mem_queue *queue, struct hr_mem_block *block, hr_time now);

/* The oldest block whose time has come, or NULL; it stays in the queue. */
struct hr_mem_block *hr_mem_queue_peek(struct hr_mem_queue *queue, hr_time now);

/* Takes one out; the caller has its reference. */
void hr_mem_queue_remove(struct hr_mem_queue *queue, struct hr_mem_block *block);

/* Takes any one out, delayed or not, or NULL. */
struct hr_mem_block *hr_mem_queue_remove_any(struct hr_mem_queue *queue);

/* When the first of the delayed is due; HR_NEVER. */
hr_time hr_mem_queue_next_due(const struct hr_mem_queue *queue);

/* When the oldest message was sent; HR_NEVER when empty. */
hr_time hr_mem_queue_oldest(const struct hr_mem_queue *queue);

#endif /* HR_LAYER_MEMORY_QUEUE_H */
