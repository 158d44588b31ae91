/* table.c - see table.h for the contract.
 *
 * Linear probing over a power of two of slots, at most three quarters of them
 * not free. A slot is free (value NULL, hash 0), dead (value NULL, hash 1) or
 * used. A search ends at the first free slot, so removing leaves a dead one
 * behind, except where the next slot is free and no search would go on: there
 * the slot, and the dead ones right before it, become free at once. It follows
 * that no dead slot stands right before a free one, and that an empty table
 * has no dead slots.
 *
 * Each slot keeps its full hash: growing needs no hashing, and keys are
 * compared only when all 64 bits agree.
 */
#include "base/table.h"

#include <endian.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/random.h"

enum {
    TABLE_MIN = 8,
    TABLE_KEEP = 64, /* an emptied table with more slots gives its memory back */
};

struct hr_table_slot {
    uint64_t hash;
    char *key; /* owned */
    size_t key_len;
    void *value; /* NULL: free or dead */
};

/* ---- hash */

static uint64_t rotate(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t sip_load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

/* The last `n` < 8 bytes, with the length on top. */
static uint64_t sip_load_last(const uint8_t *at, size_t n, size_t len)
{
    uint64_t word = (uint64_t)len << 56;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)at[i] << 8 * i;
    return word;
}

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one round a
 * word and three at the end, as in CPython, Ruby and Rust. */
uint64_t hr_siphash13(const uint8_t key[16], const void *data, size_t len)
{
    uint64_t k0 = sip_load(key), k1 = sip_load(key + 8);
    uint64_t v[4] = {
        k0 ^ 0x736f6d6570736575u,
        k1 ^ 0x646f72616e646f6du,
        k0 ^ 0x6c7967656e657261u,
        k1 ^ 0x7465646279746573u,
    };
    const uint8_t *at = data;
    size_t left = len;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word = sip_load(at);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = sip_load_last(at, left, len);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint8_t table_key[16];

static void table_draw_key(void)
{
    hr_random(table_key, sizeof table_key);
}

static uint64_t table_hash(struct hr_str key)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, table_draw_key);
    return hr_siphash13(table_key, key.ptr, key.len);
}

/* ---- slots */

static bool slot_is_free(const struct hr_table_slot *slot)
{
    return !slot->value && slot->hash == 0;
}

static bool slot_is_dead(const struct hr_table_slot *slot)
{
    return !slot->value && slot->hash != 0;
}

static bool slot_has(const struct hr_table_slot *slot, uint64_t hash, struct hr_str key)
{
    return slot->value && slot->hash == hash &&
           hr_str_eq((struct hr_str){slot->key, slot->key_len}, key);
}

static struct hr_table_slot *table_find(const struct hr_table *table, uint64_t hash,
                                        struct hr_str key)
{
    if (table->n_used == 0)
        return NULL;
    uint32_t mask = table->n_slots - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        struct hr_table_slot *slot = &table->slots[i];
        if (slot_has(slot, hash, key))
            return slot;
        if (slot_is_free(slot))
            return NULL;
    }
}

/* The first slot on the key's path that holds nothing; the key is not in the table. */
static struct hr_table_slot *table_find_room(const struct hr_table *table, uint64_t hash)
{
    uint32_t mask = table->n_slots - 1;
    uint32_t i = (uint32_t)hash & mask;
    while (table->slots[i].value)
        i = (i + 1) & mask;
    return &table->slots[i];
}

/* Makes sure that one more slot may be used; drops all dead slots when it moves. */
static int table_make_room(struct hr_table *table)
{
    uint64_t taken = (uint64_t)table->n_used + table->n_dead + 1;
    if (taken * 4 <= (uint64_t)table->n_slots * 3)
        return 0;

    /* Mostly dead slots: the same size does. */
    uint64_t n_slots = table->n_slots ? table->n_slots : TABLE_MIN;
    if ((uint64_t)table->n_used * 2 >= n_slots)
        n_slots *= 2;
    if (n_slots > UINT32_MAX / 2)
        return hr_raise(HR_ERR_NOMEM);
    struct hr_table bigger = {
        .slots = hr_calloc(n_slots, sizeof(struct hr_table_slot)),
        .n_slots = (uint32_t)n_slots,
        .n_used = table->n_used,
    };
    if (!bigger.slots)
        return hr_raise(HR_ERR_NOMEM);
    for (uint32_t i = 0; i < table->n_slots; i++)
        if (table->slots[i].value)
            *table_find_room(&bigger, table->slots[i].hash) = table->slots[i];
    hr_free(table->slots);
    *table = bigger;
    return 0;
}

/* ---- the contract */

void hr_table_fini(struct hr_table *table)
{
    for (uint32_t i = 0; i < table->n_slots; i++)
        if (table->slots[i].value)
            hr_free(table->slots[i].key);
    hr_free(table->slots);
    *table = (struct hr_table){0};
}

void *hr_table_get(const struct hr_table *table, struct hr_str key)
{
    if (table->n_used == 0)
        return NULL;
    struct hr_table_slot *slot = table_find(table, table_hash(key), key);
    return slot ? slot->value : NULL;
}

int hr_table_put(struct hr_table *table, struct hr_str key, void *value)
{
    hr_assert(value);
    uint64_t hash = table_hash(key);
    struct hr_table_slot *slot = table_find(table, hash, key);
    if (slot) {
        slot->value = value;
        return 0;
    }

    int r = table_make_room(table);
    if (r < 0)
        return hr_trace(r);
    char *copy = hr_strndup(key.ptr, key.len);
    if (!copy)
        return hr_raise(HR_ERR_NOMEM);
    slot = table_find_room(table, hash);
    if (slot_is_dead(slot))
        table->n_dead--;
    *slot = (struct hr_table_slot){hash, copy, key.len, value};
    table->n_used++;
    return 0;
}

/* Turns the slot `i`, which has just been emptied, into a free or a dead one. */
static void table_bury(struct hr_table *table, uint32_t i)
{
    uint32_t mask = table->n_slots - 1;
    table->slots[i] = (struct hr_table_slot){.hash = 1};
    table->n_dead++;
    if (!slot_is_free(&table->slots[(i + 1) & mask]))
        return;
    for (; slot_is_dead(&table->slots[i]); i = (i - 1) & mask) {
        table->slots[i].hash = 0;
        table->n_dead--;
    }
}

void *hr_table_remove(struct hr_table *table, struct hr_str key)
{
    if (table->n_used == 0)
        return NULL;
    struct hr_table_slot *slot = table_find(table, table_hash(key), key);
    if (!slot)
        return NULL;

    void *value = slot->value;
    hr_free(slot->key);
    table->n_used--;
    table_bury(table, (uint32_t)(slot - table->slots));
    hr_dassert(table->n_used > 0 || table->n_dead == 0);
    if (table->n_used == 0 && table->n_slots > TABLE_KEEP)
        hr_table_fini(table);
    return value;
}

void *hr_table_next(const struct hr_table *table, uint32_t *cursor, struct hr_str *key_out)
{
    while (*cursor < table->n_slots) {
        const struct hr_table_slot *slot = &table->slots[(*cursor)++];
        if (slot->value) {
            if (key_out)
                *key_out = (struct hr_str){slot->key, slot->key_len};
            return slot->value;
        }
    }
    return NULL;
}
