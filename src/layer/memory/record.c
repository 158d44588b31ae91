/* record.c - the board of records. */
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "layer/memory/store.h"

static struct hr_mem_record **find_row(struct hr_mem_store *store, struct hr_str key)
{
    for (uint32_t i = 0; i < HR_MEM_MAX_RECORDS; i++)
        if (store->records[i] && hr_str_eq(hr_str_of(store->records[i]->key), key))
            return &store->records[i];
    return NULL;
}

static struct hr_mem_record **free_row(struct hr_mem_store *store)
{
    for (uint32_t i = 0; i < HR_MEM_MAX_RECORDS; i++)
        if (!store->records[i])
            return &store->records[i];
    return NULL;
}

int hr_mem_record_put(struct hr_mem_store *store, struct hr_str key, const void *data, size_t len)
{
    struct hr_mem_record **row = find_row(store, key);
    if (!row)
        row = free_row(store);
    if (!row)
        return hr_layer_refuse(HR_FULL_COUNT);
    if (!*row)
        *row = hr_calloc(1, sizeof **row);
    if (!*row)
        return hr_layer_refuse(HR_FULL_MEMORY);

    hr_str_copy((*row)->key, sizeof(*row)->key, key);
    if (len > 0)
        memcpy((*row)->data, data, len);
    (*row)->len = len;
    store->records_version++;
    return 0;
}

void hr_mem_record_remove(struct hr_mem_store *store, struct hr_str key)
{
    struct hr_mem_record **row = find_row(store, key);
    if (!row)
        return;
    *row = hr_free(*row);
    store->records_version++;
}

bool hr_mem_record_next(const struct hr_mem_store *store, uint32_t *cursor, struct hr_record *out)
{
    while (*cursor < HR_MEM_MAX_RECORDS && !store->records[*cursor])
        ++*cursor;
    if (*cursor >= HR_MEM_MAX_RECORDS)
        return false;
    const struct hr_mem_record *row = store->records[(*cursor)++];
    *out = (struct hr_record){.len = row->len};
    memcpy(out->key, row->key, sizeof out->key);
    memcpy(out->data, row->data, row->len);
    return true;
}
