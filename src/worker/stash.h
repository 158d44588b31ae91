/* stash.h - memory that is given out piece by piece and taken back all at once.
 *
 * Each context has one. The first block is the context's own and is used
 * again for the next event, so that a small event touches the heap not at
 * all; what does not fit goes into blocks that hr_stash_fini() frees.
 *
 * Threads: none. Memory: pieces live until hr_stash_fini().
 */
#ifndef HR_WORKER_STASH_H
#define HR_WORKER_STASH_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/types.h>

#include "base/error.h"

struct hr_stash_block;
struct hr_stash {
    uint8_t *cur, *end;            /* what is free of the newest block */
    struct hr_stash_block *blocks; /* beyond the first; owned */
};

/* `first` is lent until hr_stash_fini() and aligned for any type. */
void hr_stash_init(struct hr_stash *stash, void *first, size_t size);
void hr_stash_fini(struct hr_stash *stash); /* safe on a zeroed stash */

/* Aligned for any type, uninitialised; NULL when out of memory. */
void *hr_stash_alloc(struct hr_stash *stash, size_t size);

/* A copy of `text` followed by a NUL. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_stash_copy(struct hr_stash *stash, struct hr_str text, struct hr_str *out);

/* Printed text, followed by a NUL. Returns 0, HR_ERR_NOMEM, or HR_ERR_INVALID
 * when printf refuses the format. */
HR_MUST_CHECK int hr_stash_vprintf(struct hr_stash *stash, struct hr_str *out, const char *format,
                                   va_list args) HR_PRINTF(3, 0);

#endif /* HR_WORKER_STASH_H */
