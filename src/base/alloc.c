/* alloc.c - see alloc.h for the contract.
 *
 * malloc with two counters. Both are relaxed atomics: they order nothing, and
 * whoever reads them in a test has joined its threads before.
 */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t n_live;   /* blocks given out and not freed */
static _Atomic uint64_t fail_at; /* allocations until the one that fails; 0: none does */

static bool alloc_must_fail(void)
{
    uint64_t left = atomic_load_explicit(&fail_at, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak_explicit(&fail_at, &left, left - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return left == 1;
    }
    return false;
}

static void *alloc_count(void *ptr)
{
    if (ptr)
        atomic_fetch_add_explicit(&n_live, 1, memory_order_relaxed);
    return ptr;
}

/* malloc(0) may give NULL, which would read as out of memory. */
static size_t alloc_size(size_t size)
{
    return size > 0 ? size : 1;
}

void *hr_alloc(size_t size)
{
    return alloc_must_fail() ? NULL : alloc_count(malloc(alloc_size(size)));
}

void *hr_calloc(size_t n, size_t size)
{
    size_t bytes;
    if (alloc_must_fail() || __builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return alloc_count(calloc(1, alloc_size(bytes)));
}

void *hr_realloc(void *old, size_t size)
{
    if (!old)
        return hr_alloc(size);
    return alloc_must_fail() ? NULL : realloc(old, alloc_size(size));
}

char *hr_strndup(const char *text, size_t len)
{
    char *copy = len < SIZE_MAX ? hr_alloc(len + 1) : NULL;
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void *hr_free(void *ptr)
{
    if (ptr)
        atomic_fetch_sub_explicit(&n_live, 1, memory_order_relaxed);
    free(ptr);
    return NULL;
}

void hr_alloc_fail_at(uint64_t n)
{
    atomic_store_explicit(&fail_at, n, memory_order_relaxed);
}

int64_t hr_alloc_live(void)
{
    return atomic_load_explicit(&n_live, memory_order_relaxed);
}
