/* block.h - the arena's memory: blocks, chains of them, and writing and reading through a chain.
 *
 * A block is taken by one CAS on its word and given back by one store. A
 * message larger than the largest block is a chain: a head and tails. Only
 * the head is queued, leased and owned; a tail names its head and lives as
 * long as the head does (recover.c frees tails whose head is gone).
 *
 * Threads: safe, as shared memory is. Memory: the arena's.
 */
#ifndef HR_LAYER_IPC_BLOCK_H
#define HR_LAYER_IPC_BLOCK_H

#include "base/assert.h"
#include "layer/ipc/arena.h"
#include "layer/ipc/words.h"

#define IPC_NO_BLOCK UINT32_MAX

/* Where this process looks first: blocks it freed a moment ago, which are
 * still in its cache, then a place of its own to search from. Hints only; the
 * CAS decides. */
struct ipc_finder {
    struct {
        _Atomic uint32_t part, at;  /* relaxed: where the last search ended */
        _Atomic uint32_t top;       /* relaxed: of `recent` */
        _Atomic uint32_t recent[8]; /* relaxed: block + 1, 0 none */
    } class[IPC_N_CLASSES];
};

/* Where block `number` lies. */
struct ipc_spot {
    int class;      /* as an index */
    bool is_spare;  /* of the reserve for control */
    uint8_t *block; /* its header */
};
static inline struct ipc_spot ipc_block_spot(const struct ipc_arena *arena, uint32_t number)
{
    const struct ipc_class *class = arena->classes;
    size_t behind = 0;
    if (number >= arena->n_base_blocks) {
        uint32_t n = number - arena->n_base_blocks;
        class = arena->segment_classes;
        behind = (size_t)(n / arena->n_segment_blocks) * IPC_SEGMENT;
        number = n % arena->n_segment_blocks;
    }
    int c = 0;
    while (number >= class[c].first + class[c].n)
        c++;
    number -= class[c].first;
    return (struct ipc_spot){.class = c,
                             .is_spare = number >= class[c].n_open,
                             .block = class[c].data + behind + (size_t)number * class[c].stride};
}

/* The header of block `number`, which must exist. */
static inline struct ipc_block *ipc_block_at(const struct ipc_arena *arena, uint32_t number)
{
    hr_assert(number < ipc_n_blocks(arena));
    return (struct ipc_block *)(void *)ipc_block_spot(arena, number).block;
}
static inline uint8_t *ipc_block_data(struct ipc_block *block)
{
    return (uint8_t *)(block + 1);
}
/* Bytes it carries. */
static inline uint32_t ipc_block_payload(const struct ipc_arena *arena, uint32_t number)
{
    return ipc_class_payload(&arena->classes[ipc_block_spot(arena, number).class]);
}

static inline uint64_t ipc_word_raw(const struct ipc_arena *arena, uint32_t number)
{
    /* acquire: pairs with the release of whoever labelled the block, so that its header is seen. */
    return atomic_load_explicit(&arena->words[number], memory_order_acquire);
}
static inline struct ipc_word ipc_word_load(const struct ipc_arena *arena, uint32_t number)
{
    return ipc_word_unpack(ipc_word_raw(arena, number));
}
static inline void ipc_word_store_raw(const struct ipc_arena *arena, uint32_t number, uint64_t w)
{
    /* release: pairs with the acquire in ipc_word_raw(). */
    atomic_store_explicit(&arena->words[number], w, memory_order_release);
}
static inline void ipc_word_store(const struct ipc_arena *arena, uint32_t number, struct ipc_word w)
{
    ipc_word_store_raw(arena, number, ipc_word_pack(w));
}
static inline bool ipc_word_cas(const struct ipc_arena *arena, uint32_t number,
                                struct ipc_word from, struct ipc_word to)
{
    uint64_t expected = ipc_word_pack(from);
    /* acq_rel: sees what the last holder wrote, publishes what we wrote. */
    return atomic_compare_exchange_strong_explicit(&arena->words[number], &expected,
                                                   ipc_word_pack(to), memory_order_acq_rel,
                                                   memory_order_acquire);
}

/* Takes a block or a chain for `len` bytes, owned by `slot`; all or nothing.
 * IPC_NO_BLOCK when there is none. */
enum {
    IPC_ALLOC_CONTROL = 1, /* may use the reserve */
    IPC_ALLOC_ANY = 2,     /* may use a block however large; else of the next class at most */
};
uint32_t ipc_block_alloc(struct ipc_arena *arena, struct ipc_finder *finder, uint32_t slot,
                         size_t len, unsigned how);

/* Gives back a block, with its tails, that the caller owns without a lease. */
void ipc_block_free(struct ipc_arena *arena, struct ipc_finder *finder, uint32_t number);

/* The block after `number` in its chain, checked; IPC_NO_BLOCK at the end or when the link is
 * broken. */
uint32_t ipc_block_next(struct ipc_arena *arena, uint32_t number);

/* Copies a message of `len` bytes out of a chain; false when the chain is shorter. */
bool ipc_block_read(struct ipc_arena *arena, uint32_t number, void *out, size_t len);

/* Bytes of block memory and how many of them are taken (a scan). */
void ipc_block_usage(const struct ipc_arena *arena, uint64_t *total, uint64_t *used);

/* Bytes of block memory when the arena has grown as far as it may. */
uint64_t ipc_block_limit(const struct ipc_arena *arena);

#endif /* HR_LAYER_IPC_BLOCK_H */
