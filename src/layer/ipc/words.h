/* words.h - the 64-bit words of which each is one fact, and how they read.
 *
 * Entry of a ring, at position p of a ring of 2^n entries:
 *   cycle:24 | gen:4 | state:2 | owner:10 | block:24     cycle = p >> n
 *   EMPTY(c) --sender--> READY(c, sender, block) --taker--> TAKEN(c, taker, block) --taker-->
 * EMPTY(c+1) gen is the block's, to tell its message from a later one in the same block.
 *
 * Block word:
 *   gen:32 | tries:8 | flags:8 | owner:16                owner = slot + 1, 0: free
 *   free(g) --CAS--> (g+1, sender) ... queued, still naming the sender ...
 *   --taker stores--> (g+1, taker, LEASED or IN_HAND) --> free(g+1)
 *   A lease that is taken away (holder dead or too slow) becomes RETURNING and
 *   adds one to `tries`, so that a late ack fails; the generation stays for
 *   the tails' sake.
 *   A tail's owner is IPC_OWNER_CHAIN: it lives as long as its head does.
 *
 * Connection word, written by the inbox's owner only:
 *   gen:32 | closed:1 | full:1
 *
 * Interest word, "inbox X has members in a group of this hash":
 *   hash:40 | epoch:24                                   0: free, 1: removed
 *   Joiners insert it or add one to its epoch; the owner removes it by CAS.
 */
#ifndef HR_LAYER_IPC_WORDS_H
#define HR_LAYER_IPC_WORDS_H

#include <stdbool.h>
#include <stdint.h>

enum ipc_entry_state { IPC_EMPTY, IPC_READY, IPC_TAKEN };

struct ipc_entry {
    uint32_t cycle; /* 24 bits */
    uint32_t gen;   /* 4 bits */
    enum ipc_entry_state state;
    uint32_t owner; /* slot */
    uint32_t block;
};

static inline uint64_t ipc_entry_pack(struct ipc_entry e)
{
    return (uint64_t)(e.cycle & 0xFFFFFF) << 40 | (uint64_t)(e.gen & 0xF) << 36 |
           (uint64_t)e.state << 34 | (uint64_t)(e.owner & 0x3FF) << 24 | (e.block & 0xFFFFFF);
}

static inline struct ipc_entry ipc_entry_unpack(uint64_t w)
{
    return (struct ipc_entry){.cycle = (uint32_t)(w >> 40),
                              .gen = (uint32_t)(w >> 36) & 0xF,
                              .state = (enum ipc_entry_state)(w >> 34 & 3),
                              .owner = (uint32_t)(w >> 24) & 0x3FF,
                              .block = (uint32_t)w & 0xFFFFFF};
}

/* The same by bits, for the one comparison that the hot paths make. */
#define IPC_ENTRY_STATE (UINT64_C(3) << 34)
#define IPC_ENTRY_TAKER (UINT64_C(0x3FF) << 24)
static inline uint64_t ipc_entry_cycle(uint64_t position, uint32_t log2)
{
    return (position >> log2 & 0xFFFFFF) << 40;
}

enum {
    IPC_FREE = 0,
    IPC_OWNER_LAYER = 0xFFFE, /* nobody's: waits for a sweep (limbo or delayed) */
    IPC_OWNER_CHAIN = 0xFFFD, /* a tail */
};
enum ipc_word_flag {
    IPC_LEASED = 1,  /* taken with a lease */
    IPC_DELAYED = 2, /* with the layer until it is due */
    IPC_RETURNING =
        8, /* on its way back into a queue: whoever dies with it, the next one hands it back */
    IPC_IN_HAND =
        4, /* taken without a lease and being handled: lost with its holder, and counted */
};

struct ipc_word {
    uint32_t gen;
    uint32_t tries; /* 8 bits */
    uint32_t flags; /* 8 bits */
    uint32_t owner; /* slot + 1 */
};

static inline uint64_t ipc_word_pack(struct ipc_word w)
{
    return (uint64_t)w.gen << 32 | (uint64_t)(w.tries & 0xFF) << 24 |
           (uint64_t)(w.flags & 0xFF) << 16 | (w.owner & 0xFFFF);
}

static inline struct ipc_word ipc_word_unpack(uint64_t w)
{
    return (struct ipc_word){.gen = (uint32_t)(w >> 32),
                             .tries = (uint32_t)(w >> 24) & 0xFF,
                             .flags = (uint32_t)(w >> 16) & 0xFF,
                             .owner = (uint32_t)w & 0xFFFF};
}

/* By bits: owner; the tag by which an entry knows the message in its block
 * from an earlier or later one; the same message in other hands. */
static inline uint32_t ipc_word_owner(uint64_t w)
{
    return (uint32_t)w & 0xFFFF;
}
static inline uint32_t ipc_word_tag(uint64_t w)
{
    return (uint32_t)((w >> 32) + (w >> 24)) & 0xF;
}
static inline uint64_t ipc_word_label(uint64_t w, uint32_t flags, uint32_t owner)
{
    return (w & ~UINT64_C(0xFFFFFF)) | (uint64_t)flags << 16 | owner;
}

enum { IPC_CONN_CLOSED = 2, IPC_CONN_FULL = 1 };

static inline uint64_t ipc_conn_pack(uint32_t gen, uint32_t flags)
{
    return (uint64_t)gen << 32 | flags;
}
static inline uint32_t ipc_conn_gen(uint64_t w)
{
    return (uint32_t)(w >> 32);
}

enum { IPC_INTEREST_FREE = 0, IPC_INTEREST_REMOVED = 1 };
#define IPC_EPOCH_MASK UINT64_C(0xFFFFFF)

static inline uint64_t ipc_interest_hash(uint64_t w)
{
    return w >> 24;
}

#endif /* HR_LAYER_IPC_WORDS_H */
