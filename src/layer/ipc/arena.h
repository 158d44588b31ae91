/* arena.h - one arena as this process sees it: mapped, checked, measured.
 *
 * The geometry is copied out of the header once, checked, and everything is
 * computed from the copy. A changed header can therefore not move a pointer.
 *
 * Threads: constant after ipc_arena_open(), but for the shared memory itself.
 * Memory:  ipc_arena_close() unmaps; every pointer below dies with it.
 */
#ifndef HR_LAYER_IPC_ARENA_H
#define HR_LAYER_IPC_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "layer/ipc/layout.h"

/* Blocks of one size. Numbers run on through the classes, then through those of each segment. */
struct ipc_class {
    uint32_t first;  /* number of its first block; in a segment: counted from the segment's first */
    uint32_t n;      /* blocks */
    uint32_t n_open; /* of these, open to all; the rest is the reserve for control */
    uint32_t stride; /* bytes from block to block */
    uint8_t *data;   /* in the first segment */
};

/* Where a slot's tables begin: in entries, connection words, interest words. */
struct ipc_slot_tables {
    enum hr_role role;
    uint32_t ring, connections, interests;
};

struct ipc_arena {
    uint8_t *base; /* the mapping */
    size_t mapped; /* bytes, as far as the arena may grow; those behind the file's end must not be
                      touched */
    size_t bytes;  /* without segments */
    struct hr_geometry geometry; /* our own copy */
    uint32_t n_slots, n_queues, n_directory, n_ring;
    uint32_t n_base_blocks, n_segment_blocks; /* of the first part; of each segment */
    uint32_t max_segments;
    _Atomic uint32_t n_blocks, n_parts; /* that we know to exist: see ipc_arena_refresh() */
    uint64_t layer_id;

    struct ipc_header *header;
    struct ipc_slot *slots;
    struct ipc_queue *queues;    /* [0, n_slots) inboxes, then channels */
    struct ipc_name *names;      /* by channel number */
    _Atomic uint32_t *directory; /* by hash of the name */
    _Atomic uint64_t *named;     /* group hash:40 | channel + 1 */
    struct ipc_record *records;
    uint64_t *counters;
    _Atomic uint64_t *connections, *interests, *ring, *words;
    struct ipc_interest_count *interest_counts;
    struct ipc_class classes[IPC_N_CLASSES], segment_classes[IPC_N_CLASSES];

    /* Of each role: its first slot, and where that slot's tables begin. */
    uint32_t role_slot[3];
    struct ipc_slot_tables role_tables[3];
};

/* Bytes of the whole message that a block of `class` carries. */
static inline uint32_t ipc_class_payload(const struct ipc_class *class)
{
    return class->stride - (uint32_t)sizeof(struct ipc_block);
}

/* The smallest size of an arena with these tables, in whole pages; its own is
 * not looked at. 0: there is none, too many slots or channels or a table out of bounds. */
uint64_t ipc_geometry_bytes(const struct hr_geometry *geometry);

/* Makes `name` in the directory `dir_fd`: complete before it gets its name,
 * allocated in full. Errors: HR_ERR_SYS (ENOSPC, EROFS, ...), HR_ERR_INVALID.
 * Finding that somebody else has made it meanwhile is success. */
HR_MUST_CHECK int ipc_arena_create(int dir_fd, const char *name,
                                   const struct hr_geometry *geometry);

/* Maps and checks an arena file, for reading only when `read_only`.
 * HR_ERR_VERSION, HR_ERR_CORRUPT, HR_ERR_NOT_FOUND (from before a reboot: to
 * be made anew), HR_ERR_SYS; *arena is then safe to close. */
HR_MUST_CHECK int ipc_arena_open(struct ipc_arena *arena, int fd, bool read_only);

/* The same on memory that is already there, which the caller keeps (tests,
 * fuzzers). */
HR_MUST_CHECK int ipc_arena_adopt(struct ipc_arena *arena, void *base, size_t bytes);
void ipc_arena_close(struct ipc_arena *arena);

/* Looks for segments that have come. Not trusting their number: each is tried
 * by a system call, which fails where a load would end us. True when there are more blocks. */
bool ipc_arena_refresh(struct ipc_arena *arena);
/* Adds a segment to the arena, which is the open file `fd`; false when it may
 * not grow further or the file system is full. */
bool ipc_arena_grow(struct ipc_arena *arena, int fd);
/* Blocks that we know to exist. */
static inline uint32_t ipc_n_blocks(const struct ipc_arena *arena)
{
    return atomic_load_explicit(&arena->n_blocks, memory_order_relaxed);
}
/* Is there a block `number`? */
static inline bool ipc_block_exists(struct ipc_arena *arena, uint32_t number)
{
    return number < ipc_n_blocks(arena) ||
           (ipc_arena_refresh(arena) && number < ipc_n_blocks(arena));
}

/* Rings of inboxes are at least IPC_MIN_RING long, whatever their capacity. */
static inline uint32_t ipc_inbox_ring(const struct hr_geometry_row *row)
{
    return row->inbox < IPC_MIN_RING ? IPC_MIN_RING : row->inbox;
}

/* Of `slot`; n_slots gives the ends of all tables. */
static inline struct ipc_slot_tables ipc_slot_tables(const struct ipc_arena *arena, uint32_t slot)
{
    int role = slot < arena->role_slot[1] ? 0 : slot < arena->role_slot[2] ? 1 : 2;
    const struct ipc_slot_tables *first = &arena->role_tables[role];
    const struct hr_geometry_row *row = &arena->geometry.role[role];
    uint32_t n = slot - arena->role_slot[role];
    return (struct ipc_slot_tables){.role = (enum hr_role)role,
                                    .ring = first->ring + n * ipc_inbox_ring(row),
                                    .connections = first->connections + n * row->connections,
                                    .interests = first->interests + n * row->interests};
}

enum ipc_poison {
    IPC_POISON_ENTRY = 1, /* a ring holds an entry that no step of ours can leave */
    IPC_POISON_WORD,      /* a queued block's word does not fit its entry */
    IPC_POISON_CURSOR,    /* head and tail contradict each other */
    IPC_POISON_FENCE,     /* a dead slot's process could not be shown to be dead */
};
/* Ends the arena for everybody: all calls return HR_ERR_CORRUPT from now on. */
void ipc_poison(struct ipc_arena *arena, enum ipc_poison why);
static inline bool ipc_is_poisoned(const struct ipc_arena *arena)
{
    return atomic_load_explicit(&arena->header->poisoned, memory_order_relaxed) != 0;
}
const char *ipc_poison_text(uint32_t why);

#endif /* HR_LAYER_IPC_ARENA_H */
