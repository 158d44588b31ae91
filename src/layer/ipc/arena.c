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
 */
#include "layer/ipc/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

/* Cuts the blocks' memory, `room` bytes at `at`, into classes. */
static void plan_classes(struct ipc_arena *a, uint64_t at, uint64_t room)
{
    uint32_t first = 0;
    for (int i = 0; i < IPC_N_CLASSES; i++) {
        struct ipc_class *class = &a->classes[i];
        uint64_t share = room / 16 * class_plan[i].share;
        class->stride = class_plan[i].stride;
        class->n = (uint32_t)(share / (class->stride + sizeof(uint64_t)));
        class->n_open = class->n - class->n / 20;
        class->first = first;
        first += class->n;
    }
    a->n_blocks = first;
    a->words = (_Atomic uint64_t *)(void *)(a->base + at);
    at = round_up(at + first * sizeof(uint64_t), IPC_LINE);
    for (int i = 0; i < IPC_N_CLASSES; i++) {
        a->classes[i].data = a->base + at;
        at += (uint64_t)a->classes[i].n * a->classes[i].stride;
    }
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

/* Computes where everything lies; the geometry is one that can be. */
static void plan(struct ipc_arena *a)
{
    uint64_t at = plan_tables(a);
    plan_classes(a, at, a->bytes - at - IPC_LINE);
    hr_assert(a->n_blocks < IPC_MAX_BLOCKS);
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
    return tables ? round_up(tables + IPC_LINE + least_room(), PAGE) : 0;
}

static bool geometry_ok(const struct hr_geometry *g)
{
    uint64_t least = ipc_geometry_bytes(g);
    return least > 0 && g->bytes >= least && g->bytes <= IPC_MAX_BYTES && g->bytes % PAGE == 0;
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

static int check_header(struct ipc_arena *a)
{
    struct ipc_header *h = (struct ipc_header *)(void *)a->base;
    if (a->bytes < sizeof *h || h->magic != IPC_MAGIC)
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

    a->geometry = h->geometry;
    a->layer_id = h->layer_id;
    if (a->geometry.bytes != a->bytes || a->layer_id == 0 || !geometry_ok(&a->geometry))
        return hr_raise(HR_ERR_CORRUPT);
    plan(a);
    return 0;
}

int ipc_arena_adopt(struct ipc_arena *a, void *base, size_t bytes)
{
    *a = (struct ipc_arena){.base = base, .bytes = bytes};
    return hr_trace(check_header(a));
}

int ipc_arena_open(struct ipc_arena *a, int fd, bool read_only)
{
    *a = (struct ipc_arena){0};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return hr_raise(HR_ERR_SYS);
    if (!S_ISREG(st.st_mode) || st.st_size < PAGE)
        return hr_raise(HR_ERR_CORRUPT);
    int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *base = mmap(NULL, (size_t)st.st_size, protection, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return hr_raise(HR_ERR_SYS);
    return hr_trace(ipc_arena_adopt(a, base, (size_t)st.st_size));
}

void ipc_arena_close(struct ipc_arena *a)
{
    if (a->base)
        munmap(a->base, a->bytes);
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
