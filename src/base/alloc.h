/* alloc.h - the one door to the heap.
 *
 * Failure injection and accounting live here: hr_alloc_fail_at(n) makes the
 * nth allocation from now fail, once (tests only).
 *
 * Threads: safe.
 */
#ifndef HR_BASE_ALLOC_H
#define HR_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *hr_alloc(size_t size);                    /* uninitialised; NULL when out of memory */
void *hr_calloc(size_t n, size_t size);         /* zeroed; NULL on overflow too */
void *hr_realloc(void *old, size_t size);       /* `old` unchanged when it fails */
char *hr_strndup(const char *text, size_t len); /* with a NUL */
void *hr_free(void *ptr);                       /* returns NULL */

/* The nth allocation from now on fails (1 is the next); 0 switches it off. */
void hr_alloc_fail_at(uint64_t n);
/* Blocks given out and not freed, for leak checks in tests. */
int64_t hr_alloc_live(void);

#endif /* HR_BASE_ALLOC_H */
