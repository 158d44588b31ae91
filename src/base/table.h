/* table.h - hash table from short byte strings to pointers.
 *
 * Open addressing; keys are copied in. The hash is SipHash-1-3 under a key
 * drawn per process, since clients choose channel and group names.
 *
 * Threads: none. Memory: values are the caller's; hr_table_fini() frees the
 * keys and slots, not the values.
 */
#ifndef HR_BASE_TABLE_H
#define HR_BASE_TABLE_H

#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct hr_table_slot;
struct hr_table {
    struct hr_table_slot *slots; /* owned, NULL while empty */
    uint32_t n_slots;            /* a power of two */
    uint32_t n_used;
    uint32_t n_dead; /* removed, not yet reused */
};

void hr_table_fini(struct hr_table *table); /* safe on a zeroed table */
void *hr_table_get(const struct hr_table *table, struct hr_str key);
/* Sets or replaces. `value` is not NULL. Returns 0 or HR_ERR_NOMEM (unchanged). */
HR_MUST_CHECK int hr_table_put(struct hr_table *table, struct hr_str key, void *value);
/* Removes; gives the value or NULL. */
void *hr_table_remove(struct hr_table *table, struct hr_str key);
/* Walks: *cursor starts at 0; NULL at the end. Removing the entry just given
 * is allowed, putting is not. */
void *hr_table_next(const struct hr_table *table, uint32_t *cursor, struct hr_str *key_out);

uint64_t hr_siphash13(const uint8_t key[16], const void *data, size_t len);

#endif /* HR_BASE_TABLE_H */
