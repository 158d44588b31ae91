/* memory.h - the channel layer within one process, `memory:` or `memory:NAME`.
 *
 * The whole contract of headrace/layer.h for handles of one process: for
 * `--layer memory:` (gdb, valgrind), for tests, and for programs that need no
 * second process. A layer ends with its last handle.
 *
 * A forked child has a copy of the layer as it was, apart from its parent's:
 * what the one sends the other never sees.
 */
#ifndef HR_LAYER_MEMORY_MEMORY_H
#define HR_LAYER_MEMORY_MEMORY_H

#include <headrace/layer.h>

/* Lets tests decide what time it is, for all handles of this layer: expiry,
 * delays and leases then need no sleep. NULL: CLOCK_MONOTONIC again.
 * hr_layer_wait() still sleeps in real time. */
void hr_memory_set_clock(struct hr_layer *layer, hr_time (*clock)(void *arg), void *arg);

#endif /* HR_LAYER_MEMORY_MEMORY_H */
