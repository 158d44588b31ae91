/* layout.h - what lies in the arena, and who may write it.
 *
 * The arena is one file, mapped by every member. It holds facts of two kinds:
 *
 *   Facts that change while others run are single 64-bit words that name
 *   their owner and change by one compare-and-swap (words.h). When a process
 *   is killed, at any instruction, its words still name it, and recover.c
 *   finishes or undoes its last step.
 *
 *   Facts that change rarely are written under the admin lock (lock.h), which
 *   the kernel frees when its holder dies, and are published by one store.
 *
 * Nothing here is a pointer. All-zero memory is a valid, empty arena behind
 * its header: a zero entry is EMPTY, a zero block word is free.
 *
 *   header | slots | queues | names | directory | named members | records | counters |
 *   connections | interests | rings | block words | blocks || segment | segment | ...
 *
 * Segments come when the blocks are used up, while everybody goes on: the file
 * is allocated further, then n_segments counts it. All have the address space
 * for them from the beginning, and their words lie with the others.
 *
 * Where each part lies follows from the geometry alone (arena.c); no offset is
 * ever read from shared memory. Everything that is read is taken once into a
 * local and checked before use.
 *
 * "Owner" below is the member that holds the slot; "taker" and "sender" are
 * whoever holds the block; "admin" is whoever holds the admin lock.
 */
#ifndef HR_LAYER_IPC_LAYOUT_H
#define HR_LAYER_IPC_LAYOUT_H

#include <assert.h> /* static_assert */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/layer.h>

enum {
    IPC_LAYOUT = 1,          /* in the file's name; another number is another world and refused */
    IPC_MAX_SLOTS = 1023,    /* fits the owner field of an entry */
    IPC_MAX_CHANNELS = 4096, /* bounds a geometry read from a file */
    IPC_MIN_RING = 128,      /* entries; smaller rings wrap their cycle too soon */
    IPC_N_CLASSES = 5,
    IPC_MAX_BLOCKS = 1 << 24, /* fits the block field of an entry */
    IPC_N_NAMED = 4096,       /* group members that are plain channels; a power of two */
    IPC_N_RECORDS = 64,
    IPC_NAME_HASH = 2, /* which way names are hashed, see channel.c; counts in the shape */
    IPC_WINDOW = 64,   /* cells probed for one group: bounds a look-up, see interest.c */
    IPC_LINE = 64,
    IPC_SEGMENT = 4 << 20, /* bytes by which an arena grows, all of them blocks */
};

/* Of an arena: of more, blocks of the smallest class alone would be IPC_MAX_BLOCKS. */
#define IPC_MAX_BYTES (UINT64_C(15) << 30)

#define IPC_MAGIC UINT64_C(0x3165636172646568) /* "hedrace1" */

/* ---- the header: written by the creator before the file gets its name, but for the atomics */
struct ipc_header {
    uint64_t magic;
    uint32_t layout, shape; /* shape: a sum over the sizes of everything below and the byte order */
    uint64_t bytes;         /* of the file */
    uint64_t layer_id;      /* random */
    uint8_t boot_id[16];
    int64_t created_wall;
    struct hr_geometry geometry;

    _Alignas(IPC_LINE) _Atomic uint32_t
        poisoned;                     /* 0, or an ipc_poison reason; any member sets it, for good */
    _Atomic uint32_t n_channels;      /* admin, release: channels below it are complete */
    _Atomic uint32_t n_named;         /* admin: rows in use, a hint that 0 means none */
    _Atomic uint64_t records_version; /* admin */
    _Atomic uint64_t n_recovered;     /* admin */
    _Atomic uint32_t n_segments; /* by which the file has grown; whoever grew it adds, by CAS */
    _Atomic uint32_t
        has_limbo; /* set by whoever leaves a block with the layer; cleared by a sweep */
    _Atomic uint32_t has_leases; /* admin: some channel is at-least-once, sweeps look at leases */
    _Atomic int64_t last_sweep;  /* whoever moves it on by CAS does the sweep */
    _Alignas(IPC_LINE) _Atomic uint64_t
        live[16]; /* admin: a bit per slot in use, so that nobody walks all slots */
};

/* ---- slots */
enum ipc_slot_state { IPC_SLOT_FREE, IPC_SLOT_LIVE, IPC_SLOT_DEAD };
enum ipc_bell { IPC_AWAKE, IPC_ASLEEP_FUTEX, IPC_ASLEEP_POLL };

struct ipc_slot {
    _Atomic uint32_t state; /* admin, release last on attach */
    _Atomic uint32_t gen;   /* admin: +1 at each attach and death; part of every address */
    _Atomic uint32_t flags; /* enum hr_member_flag: READY by the owner, RETIRE by anyone */
    _Atomic uint32_t
        catch_all; /* anyone sets: interests did not fit, send every group; the owner clears */
    uint32_t pid;  /* these: admin, before state */
    uint32_t role;
    uint64_t pid_namespace, start_time;
    int64_t since;
    char label[32];
    _Alignas(
        IPC_LINE) _Atomic uint32_t bell; /* the owner puts it to sleep, ringers CAS it to AWAKE */
};

/* ---- queues: the inboxes, one a slot, then the channels */
struct ipc_queue {
    _Alignas(IPC_LINE) _Atomic uint64_t head; /* position of the oldest; advanced by any receiver */
    _Alignas(
        IPC_LINE) _Atomic uint64_t tail; /* position after the newest; advanced by any sender */
    _Alignas(IPC_LINE) uint32_t ring;    /* first entry in the ring area; admin, once */
    uint32_t size_log2;                  /* entries of the ring; admin, once */
    _Atomic uint32_t max_messages;       /* these: admin, at any time */
    _Atomic uint32_t flags;              /* enum ipc_queue_flag */
    _Atomic uint64_t max_bytes;
    _Atomic uint32_t expiry_ms, lease_ms, attempts; /* expiry 0: never */
    _Atomic uint32_t dead_letter;                   /* queue number, 0: none yet */
    _Atomic int64_t idle_mark;   /* sweeps: the tail seen empty last time, see ipc_heal_bytes() */
    _Atomic int64_t paused_at;   /* anyone; 0: it gives its messages out */
    _Atomic uint32_t backoff_ms; /* admin, at any time */
    _Atomic uint32_t n_letters;  /* whoever buries here adds: numbers given to dead letters */
    _Alignas(IPC_LINE) _Atomic int64_t
        bytes; /* payload queued; senders add, receivers subtract; a death between heals */
    _Atomic uint32_t n_delayed; /* with the layer until due; senders add, every sweep counts anew */
    _Atomic uint64_t n_full;    /* anyone: these counters */
    _Atomic uint64_t n_dropped[HR_N_REASONS];
    _Atomic uint64_t
        n_dropped_queued;    /* of those: were in the queue, so that head counts them too */
    _Atomic uint64_t n_lost; /* of those: leases that came back and went nowhere */
    _Alignas(IPC_LINE) _Atomic uint32_t
        waiter_words;             /* a bit per word of `waiters` ever used; as these */
    _Atomic uint64_t waiters[16]; /* a bit per slot that wants its messages; its owner, or admin */
};
enum ipc_queue_flag {
    IPC_QUEUE_LEASED = 1,      /* at-least-once */
    IPC_QUEUE_DEAD_LETTER = 2, /* others' failures go there */
};

/* ---- channel names, by channel number; the directory finds a number by name */
struct ipc_name {
    uint32_t len; /* admin, before the directory and n_channels name it; never again */
    char name[HR_NAME_MAX + 1];
    uint32_t reserved[6];
};
/* directory: _Atomic uint32_t cells, open addressing, append only: channel + 1, 0 free. admin,
 * release */

/* ---- records */
struct ipc_record {
    _Atomic uint32_t seq; /* odd while it is written. admin */
    _Atomic uint32_t len; /* 0: free */
    char key[HR_RECORD_KEY_MAX + 1];
    uint8_t data[HR_RECORD_MAX];
};

/* ---- blocks: a head carries a message or its beginning, tails the rest */
enum ipc_kind { IPC_MESSAGE, IPC_GROUP, IPC_LEASE_LOST, IPC_JOIN, IPC_DISCARD, IPC_FLUSH };
enum ipc_block_flag {
    IPC_BLOCK_LEASE = 1,
    IPC_BLOCK_CONTROL = 2,
    IPC_BLOCK_BURIED = 4, /* on its way to the dead letters: `queue` is theirs already */
};

/* Written by the sender before the commit that queues the block; afterwards
 * only by whoever holds it, never while it is queued. `taken` and the tails'
 * back reference are also read by others (tickets, recovery) at any time. */
struct ipc_block {
    union {
        uint32_t len;          /* head: bytes of the whole message */
        _Atomic uint32_t head; /* tail: number of its head */
    };
    uint32_t next; /* number + 1 of the next block of the chain, 0 none */
    uint32_t seq;
    uint32_t expires_ms; /* after `sent`; 0: never */
    int64_t sent;
    _Atomic int64_t taken; /* when it was taken; while delayed: when it is due */
    uint32_t reply_slot_gen, reply_conn, reply_conn_gen;
    union {
        uint32_t slot_gen;         /* head, inbox messages: for which owner of the slot */
        _Atomic uint32_t head_gen; /* tail: its head's generation */
    };
    /* Inbox messages: for which connection. Dead letters: the queue where they
     * failed + 1, and their number; see letter.c. */
    uint32_t conn, conn_gen;
    uint16_t reply_slot;
    uint16_t queue; /* where it was sent */
    uint8_t kind, flags, attempts, reason;
};
static_assert(sizeof(struct ipc_block) == 64, "one line");
static_assert(offsetof(struct ipc_block, reply_slot) == 56, "its last 8 bytes, see bury_at()");
static_assert(sizeof(struct ipc_name) == 128, "two lines");
static_assert(sizeof(struct ipc_record) == 2048, "half a page");
static_assert(sizeof(struct ipc_slot) == 192, "three lines");
static_assert(IPC_MAX_SLOTS + IPC_MAX_CHANNELS < UINT16_MAX, "a queue number fits 16 bits");

/* Beside an interest word. The inbox's owner says how many members there are
 * and how many JOINs and DISCARDs it has handled; group_count adds the joins
 * still ahead (the word's epoch counts all) and takes off the leaves. */
struct ipc_interest_count {
    _Atomic uint32_t members, joins_handled, leaves_handled; /* owner */
    _Atomic uint32_t leaves;                                 /* whoever sent a DISCARD adds */
};

#endif /* HR_LAYER_IPC_LAYOUT_H */
