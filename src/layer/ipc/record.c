/* record.c - the board of records: written under the admin lock, read without.
 *
 * A row's `seq` is odd while it is written; a reader takes a copy and keeps it
 * only when seq was even and the same before and after. A writer that dies in
 * the middle leaves it odd: readers skip the row, the next writer reuses it.
 */
#include <string.h>

#include "base/str.h"
#include "layer/ipc/handle.h"

static bool key_is(const struct ipc_record *row, struct hr_str key)
{
    hr_assert(row);
    return hr_str_eq((struct hr_str){row->key, strnlen(row->key, sizeof row->key)}, key);
}

/* A consistent copy of a row; false when it is free or being written. */
static bool read_row(const struct ipc_record *row, struct hr_record *out)
{
    for (int tries = 0; tries < 8; tries++) {
        /* acquire: pairs with the release at the end of write_row(). */
        uint32_t seq = atomic_load_explicit(&row->seq, memory_order_acquire);
        uint32_t len = atomic_load_explicit(&row->len, memory_order_relaxed);
        if (seq % 2 != 0 || len == 0 || len - 1 > sizeof row->data)
            return false;
        memcpy(out->key, row->key, sizeof out->key);
        memcpy(out->data, row->data, len - 1);
        out->key[sizeof out->key - 1] = '\0';
        out->len = len - 1;
        /* acquire fence: the copies above happen before this second look. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&row->seq, memory_order_relaxed) == seq)
            return true;
    }
    return false;
}

/* Rewrites a row under the admin lock; `data` NULL frees it. `len` in the row counts from 1. */
static void write_row(struct ipc_arena *a, struct ipc_record *row, struct hr_str key,
                      const void *data, size_t len)
{
    uint32_t seq = atomic_load_explicit(&row->seq, memory_order_relaxed) | 1;
    atomic_store_explicit(&row->seq, seq, memory_order_relaxed);
    /* release fence: the odd seq is seen before any byte changes. */
    atomic_thread_fence(memory_order_release);
    memset(row->key, 0, sizeof row->key);
    if (data) {
        memcpy(row->key, key.ptr, key.len);
        memcpy(row->data, data, len);
    }
    atomic_store_explicit(&row->len, data ? (uint32_t)len + 1 : 0, memory_order_relaxed);
    /* release: pairs with the acquire in read_row(). */
    atomic_store_explicit(&row->seq, seq + 1, memory_order_release);
    atomic_fetch_add_explicit(&a->header->records_version, 1, memory_order_release);
}

/* The row of `key`; else, when `or_free`, one that can be used. Admin lock held. */
static struct ipc_record *find_row(struct ipc_arena *a, struct hr_str key, bool or_free)
{
    struct ipc_record *usable = NULL;
    for (uint32_t i = 0; i < IPC_N_RECORDS; i++) {
        struct ipc_record *row = &a->records[i];
        bool is_whole = atomic_load_explicit(&row->seq, memory_order_relaxed) % 2 == 0;
        bool is_used = atomic_load_explicit(&row->len, memory_order_relaxed) != 0;
        if (is_whole && is_used && key_is(row, key))
            return row;
        if (!usable && (!is_whole || !is_used))
            usable = row;
    }
    return or_free ? usable : NULL;
}

int ipc_record_put_locked(struct ipc_arena *a, struct hr_str key, const void *data, size_t len)
{
    if (len > sizeof a->records->data)
        return HR_LAYER_TOO_BIG;
    struct ipc_record *row = find_row(a, key, true);
    if (!row)
        return hr_layer_refuse(HR_FULL_COUNT);
    write_row(a, row, key, data ? data : "", len);
    return 0;
}

int ipc_record_put(struct hr_layer *layer, struct hr_str key, const void *data, size_t len)
{
    struct ipc_layer *l = ipc_of(layer);
    if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS))
        return hr_raise(HR_ERR_UNAVAILABLE);
    int r = ipc_record_put_locked(&l->arena, key, data, len);
    ipc_unlock_admin(l->lock);
    return r;
}

void ipc_record_remove(struct hr_layer *layer, struct hr_str key)
{
    struct ipc_layer *l = ipc_of(layer);
    if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS))
        return;
    struct ipc_record *row = find_row(&l->arena, key, false);
    if (row)
        write_row(&l->arena, row, key, NULL, 0);
    ipc_unlock_admin(l->lock);
}

bool ipc_record_next(struct hr_layer *layer, uint32_t *cursor, struct hr_record *out)
{
    const struct ipc_arena *a = &ipc_of(layer)->arena;
    while (*cursor < IPC_N_RECORDS)
        if (read_row(&a->records[(*cursor)++], out))
            return true;
    return false;
}

bool ipc_record_get(const struct ipc_arena *a, struct hr_str key, struct hr_record *out)
{
    for (uint32_t i = 0; i < IPC_N_RECORDS; i++)
        if (read_row(&a->records[i], out) && hr_str_eq(hr_str_of(out->key), key))
            return true;
    return false;
}
