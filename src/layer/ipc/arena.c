/* arena.c - see arena.h for the contract, layout.h for the picture.
 *
 * Half of the arena or more is blocks: what the tables leave. The classes
 * share it so that small messages are many and one message of the largest
 * size still fits: their shares are in `class_plan`. The last 5 % of each
 * class are the reserve for control messages: a partition instead of a count,
 * because a count would drift with every death.
 *
 * The largest class carries a body chunk of 64 KiB and the map around it in
 * one block.
 *
 * Segments are cut in the same way, without the words.
 */
#include "layer/ipc/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/random.h"
#include "base/time.h"
#include "layer/layer_impl.h"

static const struct {
    uint32_t stride;
    uint32_t share; /* of 16 */
} class_plan[IPC_N_CLASSES] = {
    {256, 3}, {1024, 4}, {4096, 2}, {16384, 1}, {68 << 10, 6},
};

enum { PAGE = 4096, MAX_ROLE_SLOTS = 1023, MAX_TABLE = 1 << 20 };

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* Changes whenever a structure or the machine's way of storing it does. */
static uint32_t layout_shape(void)
{
    const uint16_t order = 1;
    uint32_t sum = *(const uint8_t *)&order;
    const size_t sizes[] = {sizeof(struct ipc_header),
                            sizeof(struct ipc_slot),
                            sizeof(struct ipc_queue),
                            sizeof(struct ipc_name),
                            sizeof(struct ipc_record),
                            sizeof(struct ipc_block),
                            sizeof(struct ipc_interest_count),
                            sizeof(struct hr_geometry),
                            HR_N_REASONS,
                            IPC_NAME_HASH};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        sum = sum * 31 + (uint32_t)sizes[i];
    return sum;
}

/* ---- geometry */

static bool row_ok(const struct hr_geometry_row *row)
{
    return row->n_slots <= MAX_ROLE_SLOTS && is_power_of_two(row->inbox) && row->inbox >= 64 &&
           row->inbox <= MAX_TABLE && row->connections >= 2 && row->connections <= MAX_TABLE &&
           is_power_of_two(row->interests) && row->interests <= MAX_TABLE;
}

/* Entries for the rings of channels: 3 times the smallest ring for each. */
static uint32_t channel_ring_entries(const struct hr_geometry *g)
{
    return g->n_channels * 3 * IPC_MIN_RING;
}

/* Cuts `room` bytes, of which each block takes `extra` more, into classes; gives their blocks. */
static uint32_t cut_classes(struct ipc_class *classes, uint64_t room, size_t extra)
{
    uint32_t first = 0;
    for (int i = 0; i < IPC_N_CLASSES; i++) {
        struct ipc_class *class = &classes[i];
        uint64_t share = room / 16 * class_plan[i].share;
        class->stride = class_plan[i].stride;
        class->n = (uint32_t)(share / (class->stride + extra));
        class->n_open = class->n - class->n / 20;
        class->first = first;
        first += class->n;
    }
    return first;
}

static uint64_t place_classes(struct ipc_class *classes, uint8_t *base, uint64_t at)
{
    for (int i = 0; i < IPC_N_CLASSES; i++) {
        classes[i].data = base + at;
        at += (uint64_t)classes[i].n * classes[i].stride;
    }
    return at;
}

static uint32_t max_segments(const struct hr_geometry *g, uint64_t bytes)
{
    return g->max_bytes > bytes ? (uint32_t)((g->max_bytes - bytes) / IPC_SEGMENT) : 0;
}

static void set_segments(struct ipc_arena *a, uint32_t n)
{
    atomic_store_explicit(&a->n_blocks, a->n_base_blocks + n * a->n_segment_blocks,
                          memory_order_relaxed);
    atomic_store_explicit(&a->n_parts, 1 + n, memory_order_relaxed);
}

/* Words come first, those of all segments too: a segment is nothing but blocks. */
static void plan_classes(struct ipc_arena *a, uint64_t at)
{
    a->n_segment_blocks = cut_classes(a->segment_classes, IPC_SEGMENT, 0);
    place_classes(a->segment_classes, a->base, a->bytes);
    a->max_segments = max_segments(&a->geometry, a->bytes);
    uint64_t n_later = (uint64_t)a->max_segments * a->n_segment_blocks;
    uint64_t room = a->bytes - at - IPC_LINE - n_later * sizeof(uint64_t);
    a->n_base_blocks = cut_classes(a->classes, room, sizeof(uint64_t));
    a->words = (_Atomic uint64_t *)(void *)(a->base + at);
    at = round_up(at + (a->n_base_blocks + n_later) * sizeof(uint64_t), IPC_LINE);
    place_classes(a->classes, a->base, at);
    hr_assert(a->n_base_blocks + n_later < IPC_MAX_BLOCKS);
    set_segments(a, 0);
}

/* A run of `n` things of `size` bytes, taken off at *at, on a line of its own. */
static void *place(const struct ipc_arena *a, uint64_t *at, uint64_t n, size_t size)
{
    void *here = a->base + *at;
    *at = round_up(*at + n * size, IPC_LINE);
    return here;
}

/* Computes where the tables lie. Gives the offset behind them; 0: more rings than can be. */
static uint64_t plan_tables(struct ipc_arena *a)
{
    const struct hr_geometry *g = &a->geometry;
    uint64_t connections = 0, interests = 0, ring = 0, counters = 0;
    a->n_slots = 0;
    for (int role = 0; role < 3; role++) {
        const struct hr_geometry_row *row = &g->role[role];
        a->role_slot[role] = a->n_slots;
        a->role_tables[role] = (struct ipc_slot_tables){.role = (enum hr_role)role,
                                                        .ring = (uint32_t)ring,
                                                        .connections = (uint32_t)connections,
                                                        .interests = (uint32_t)interests};
        a->n_slots += row->n_slots;
        connections += (uint64_t)row->n_slots * row->connections;
        interests += (uint64_t)row->n_slots * row->interests;
        ring += (uint64_t)row->n_slots * ipc_inbox_ring(row);
        counters += (uint64_t)row->n_slots *
                    (role == HR_ROLE_SERVER ? HR_COUNTERS_SERVER : HR_COUNTERS_OTHER);
    }
    ring += channel_ring_entries(g);
    a->n_queues = a->n_slots + g->n_channels;
    a->n_directory = 2;
    while (a->n_directory < 2 * g->n_channels)
        a->n_directory *= 2;
    a->n_ring = (uint32_t)ring;

    uint64_t at = round_up(sizeof(struct ipc_header), IPC_LINE);
    a->header = (struct ipc_header *)(void *)a->base;
    a->slots = place(a, &at, a->n_slots, sizeof *a->slots);
    a->queues = place(a, &at, a->n_queues, sizeof *a->queues);
    a->names = place(a, &at, g->n_channels, sizeof *a->names);
    a->directory = place(a, &at, a->n_directory, sizeof *a->directory);
    a->named = place(a, &at, IPC_N_NAMED, sizeof *a->named);
    a->records = place(a, &at, IPC_N_RECORDS, sizeof *a->records);
    a->counters = place(a, &at, counters, sizeof *a->counters);
    a->connections = place(a, &at, connections, sizeof *a->connections);
    a->interests = place(a, &at, interests, sizeof *a->interests);
    a->interest_counts = place(a, &at, interests, sizeof *a->interest_counts);
    a->ring = place(a, &at, ring, sizeof *a->ring);
    return ring > UINT32_MAX ? 0 : at;
}

/* Room in which every class has a block and its word, or the arena is no use. */
static uint64_t least_room(void)
{
    uint64_t least = 0;
    for (int i = 0; i < IPC_N_CLASSES; i++) {
        uint64_t one = class_plan[i].stride + sizeof(uint64_t);
        uint64_t room = 16 * ((one + class_plan[i].share - 1) / class_plan[i].share);
        least = room > least ? room : least;
    }
    return least;
}

uint64_t ipc_geometry_bytes(const struct hr_geometry *g)
{
    uint32_t n_slots = 0;
    for (int role = 0; role < 3; role++) {
        if (!row_ok(&g->role[role]))
            return 0;
        n_slots += g->role[role].n_slots;
    }
    if (n_slots == 0 || n_slots > IPC_MAX_SLOTS || g->n_channels == 0 ||
        g->n_channels > IPC_MAX_CHANNELS)
        return 0;
    static uint8_t nowhere[1]; /* plan_tables() computes pointers only */
    struct ipc_arena trial = {.base = nowhere, .geometry = *g};
    uint64_t tables = plan_tables(&trial);
    uint64_t later =
        (uint64_t)max_segments(g, 0) * cut_classes(trial.segment_classes, IPC_SEGMENT, 0);
    return tables ? round_up(tables + later * sizeof(uint64_t) + IPC_LINE + least_room(), PAGE) : 0;
}

static bool geometry_ok(const struct hr_geometry *g)
{
    uint64_t least = ipc_geometry_bytes(g);
    return least > 0 && g->bytes >= least && g->bytes <= IPC_MAX_BYTES && g->bytes % PAGE == 0 &&
           g->max_bytes <= IPC_MAX_BYTES;
}

static int fail_geometry(const struct hr_geometry *g)
{
    uint64_t least = ipc_geometry_bytes(g);
    if (least > g->bytes)
        hr_layer_explain("the layer's tables do not fit into %llu bytes; the least is %llu",
                         (unsigned long long)g->bytes, (unsigned long long)least);
    else
        hr_layer_explain("no layer can be that large: at most %d slots, %d channels and %d GiB in "
                         "whole pages",
                         IPC_MAX_SLOTS, IPC_MAX_CHANNELS, (int)(IPC_MAX_BYTES >> 30));
    return hr_raise(HR_ERR_INVALID);
}

/* ---- creating */

static void read_boot_id(uint8_t out[16])
{
    char text[64] = {0};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    memset(out, 0, 16);
    for (ssize_t i = 0; i < n; i++)
        out[i % 16] = (uint8_t)(out[i % 16] * 31 + text[i]);
}

static void fill_header(struct ipc_header *header, const struct hr_geometry *geometry)
{
    *header = (struct ipc_header){
        .magic = IPC_MAGIC,
        .layout = IPC_LAYOUT,
        .shape = layout_shape(),
        .bytes = geometry->bytes,
        .created_wall = hr_time_wall(),
        .geometry = *geometry,
    };
    do
        hr_random(&header->layer_id, sizeof header->layer_id);
    while (header->layer_id == 0);
    read_boot_id(header->boot_id);
}

int ipc_arena_create(int dir_fd, const char *name, const struct hr_geometry *geometry)
{
    if (!geometry_ok(geometry))
        return fail_geometry(geometry);
    char tmp[64];
    snprintf(tmp, sizeof tmp, "arena.tmp.%ld", (long)getpid());
    unlinkat(dir_fd, tmp, 0); /* of an earlier process with our pid */
    int fd = openat(dir_fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return hr_raise(HR_ERR_SYS);

    /* Allocated, not just sized: a full tmpfs must say so here, not by SIGBUS later. */
    struct ipc_header header;
    fill_header(&header, geometry);
    int failed;
    do
        failed = posix_fallocate(fd, 0, (off_t)geometry->bytes);
    while (failed == EINTR);
    if (!failed && pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        failed = errno;
    if (!failed && linkat(dir_fd, tmp, dir_fd, name, 0) < 0 && errno != EEXIST)
        failed = errno;
    close(fd);
    unlinkat(dir_fd, tmp, 0);
    errno = failed;
    return failed ? hr_raise(HR_ERR_SYS) : 0;
}

/* ---- opening */

static int check_header(const struct ipc_header *h)
{
    if (h->magic != IPC_MAGIC)
        return hr_raise(HR_ERR_CORRUPT);
    if (h->layout != IPC_LAYOUT || h->shape != layout_shape())
        return hr_raise(HR_ERR_VERSION);
    uint8_t boot_id[16];
    read_boot_id(boot_id);
    /* All zeros: could not be read, here or there; then it proves nothing. */
    static const uint8_t unknown[16];
    if (memcmp(boot_id, h->boot_id, sizeof boot_id) != 0 &&
        memcmp(boot_id, unknown, sizeof unknown) != 0 &&
        memcmp(h->boot_id, unknown, sizeof unknown) != 0)
        return hr_raise(HR_ERR_NOT_FOUND);

    if (h->layer_id == 0 || h->bytes != h->geometry.bytes || !geometry_ok(&h->geometry))
        return hr_raise(HR_ERR_CORRUPT);
    return 0;
}

/* The arena behind a header that was checked. */
static int settle(struct ipc_arena *a, const struct ipc_header *header, void *base, size_t mapped)
{
    *a = (struct ipc_arena){.base = base,
                            .mapped = mapped,
                            .bytes = header->bytes,
                            .geometry = header->geometry,
                            .layer_id = header->layer_id};
    if (mapped < a->bytes)
        return hr_raise(HR_ERR_CORRUPT);
    plan_classes(a, plan_tables(a));
    ipc_arena_refresh(a);
    return 0;
}

int ipc_arena_adopt(struct ipc_arena *a, void *base, size_t bytes)
{
    struct ipc_header header;
    *a = (struct ipc_arena){0};
    if (bytes < sizeof header)
        return hr_raise(HR_ERR_CORRUPT);
    memcpy(&header, base, sizeof header);
    int r = check_header(&header);
    return r ? hr_trace(r) : hr_trace(settle(a, &header, base, bytes));
}

int ipc_arena_open(struct ipc_arena *a, int fd, bool read_only)
{
    struct ipc_header header;
    struct stat st;
    *a = (struct ipc_arena){0};
    if (fstat(fd, &st) < 0)
        return hr_raise(HR_ERR_SYS);
    if (!S_ISREG(st.st_mode) || pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return hr_raise(HR_ERR_CORRUPT);
    int r = check_header(&header);
    if (r)
        return hr_trace(r);
    if ((uint64_t)st.st_size < header.bytes)
        return hr_raise(HR_ERR_CORRUPT);
    /* Room for all segments that may come: nobody ever has to map anew. */
    size_t length =
        header.bytes + (size_t)max_segments(&header.geometry, header.bytes) * IPC_SEGMENT;
    int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *base = mmap(NULL, length, protection, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return hr_raise(HR_ERR_SYS);
    r = settle(a, &header, base, length);
    if (r)
        munmap(base, length);
    return hr_trace(r);
}

/* ---- growing */

/* Is there memory at this address? A load would raise SIGBUS; the kernel's own
 * load, of a word that cannot be waited for, just fails. */
static bool is_backed(const void *address)
{
    static const struct timespec at_once;
    return syscall(SYS_futex, address, FUTEX_WAIT, 0, &at_once, NULL, 0) == 0 || errno != EFAULT;
}

bool ipc_arena_refresh(struct ipc_arena *a)
{
    /* acquire: pairs with ipc_arena_grow(): what is counted is allocated. */
    uint32_t n = atomic_load_explicit(&a->header->n_segments, memory_order_acquire);
    uint32_t known = atomic_load_explicit(&a->n_parts, memory_order_relaxed) - 1, old = known;
    while (known < n && known < a->max_segments) {
        size_t end = a->bytes + (size_t)(known + 1) * IPC_SEGMENT;
        if (end > a->mapped || !is_backed(a->base + end - PAGE))
            break;
        known++;
    }
    if (known == old)
        return false;
    /* relaxed: threads that still see the old number look for themselves. */
    set_segments(a, known);
    return true;
}

bool ipc_arena_grow(struct ipc_arena *a, int fd)
{
    uint32_t n = atomic_load_explicit(&a->header->n_segments, memory_order_acquire);
    uint64_t at = a->bytes + (uint64_t)n * IPC_SEGMENT;
    struct rlimit limit;
    if (n >= a->max_segments)
        return false;
    /* Beyond this limit the answer would be a signal. */
    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || at + IPC_SEGMENT > limit.rlim_cur)
        return false;
    int failed;
    do
        failed = posix_fallocate(fd, (off_t)at, IPC_SEGMENT);
    while (failed == EINTR);
    if (failed)
        return false;
    /* Of several who did the same one counts it. Who dies here is followed by one who does it
     * again. */
    atomic_compare_exchange_strong_explicit(&a->header->n_segments, &n, n + 1, memory_order_release,
                                            memory_order_relaxed);
    return true;
}

void ipc_arena_close(struct ipc_arena *a)
{
    if (a->base)
        munmap(a->base, a->mapped);
    *a = (struct ipc_arena){0};
}

/* ---- poison */

void ipc_poison(struct ipc_arena *a, enum ipc_poison why)
{
    uint32_t healthy = 0;
    atomic_compare_exchange_strong(&a->header->poisoned, &healthy, (uint32_t)why);
}

const char *ipc_poison_text(uint32_t why)
{
    switch (why) {
    case IPC_POISON_ENTRY:
        return "a queue holds an entry that makes no sense";
    case IPC_POISON_WORD:
        return "a queued message does not fit its entry";
    case IPC_POISON_CURSOR:
        return "a queue's head and tail contradict each other";
    case IPC_POISON_FENCE:
        return "a member lost its lock and could not be shown to be dead";
    default:
        return "it is damaged";
    }
}
