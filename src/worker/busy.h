/* busy.h - what a worker tells of itself in its slot's counters, for status.
 *
 * Words, written by the worker alone with relaxed stores, read by anyone:
 *     0  HR_BUSY_MAGIC
 *     1  events that are open, as of the end of its last turn
 *     2  since when the application has had the loop, CLOCK_MONOTONIC; 0 while it has not
 *     3  the slot's generation when it answers `headrace stack` (stack.h); else the
 *        signal would kill it
 */
#ifndef HR_WORKER_BUSY_H
#define HR_WORKER_BUSY_H

#include <headrace/layer.h>

enum { HR_BUSY_OPEN = 1, HR_BUSY_SINCE = 2, HR_BUSY_STACK = 3, HR_BUSY_WORDS };
#define HR_BUSY_MAGIC UINT64_C(0x68726275737930) /* "hrbusy0" */

/* Begins to tell. Gives the words, or NULL where there are none. */
static inline uint64_t *hr_busy_begin(struct hr_layer *layer)
{
    uint32_t n = 0;
    uint64_t *words = hr_layer_counters(layer, hr_layer_slot(layer), &n);
    if (!words || n < HR_BUSY_WORDS)
        return NULL;
    /* An earlier owner of the slot may have left something. */
    __atomic_store_n(&words[HR_BUSY_OPEN], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&words[HR_BUSY_SINCE], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&words[HR_BUSY_STACK], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&words[0], HR_BUSY_MAGIC, __ATOMIC_RELAXED);
    return words;
}

static inline void hr_busy_set(uint64_t *words, int word, uint64_t value)
{
    if (words)
        __atomic_store_n(&words[word], value, __ATOMIC_RELAXED);
}

#endif /* HR_WORKER_BUSY_H */
