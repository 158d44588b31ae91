/* recover.c - after a death: finishing, returning, freeing.
 *
 * A dead member's words still name it. Under the admin lock, while all others
 * go on, ending its slot is:
 *
 *   1. The slot is DEAD and its generation moves on: addresses to it are gone.
 *   2. Entries it had TAKEN and not released: label their blocks with it (the
 *      step it may have missed), release the entries; move cursors on.
 *   3. List the blocks whose words name it.
 *   4. Mark every block that stands in a ring.
 *   5. What is listed, not marked and still labelled as it was, is the dead
 *      one's own: a leased message goes back (ipc_return_lease()), one in hand
 *      is counted as lost, a draft is freed.
 *   6. Tails whose head is gone are freed.
 *   7. Its inbox is emptied, its interests and waiter bits go; the slot is FREE.
 *
 * Why 3 before 4: a message it had sent, queued at 3, may be taken by a living
 * receiver at any moment; then its word changes and the CAS of 5 fails. What
 * is in no ring at 4 and still names the dead can never get into one.
 *
 * Every step may be repeated. A recoverer that dies leaves the lock to the
 * kernel and the slot DEAD, and blocks that it had claimed name itself.
 *
 * Blocks that can go nowhere at the moment (a full inbox) are left with the
 * layer: labelled IPC_OWNER_LAYER, found by sweeps while `has_limbo` is set.
 * Delayed messages wait in the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/process.h"
#include "base/str.h"
#include "layer/ipc/handle.h"

static const hr_time sweep_every = 50 * HR_MS;
enum { FENCE_MS = 1000, SWEEP_EXPIRED = 64 };

/* ---- leases that came back */

static void set_word(struct ipc_layer *l, uint32_t block, uint32_t flags, uint32_t owner)
{
    struct ipc_word w = ipc_word_load(&l->arena, block);
    w.flags = flags;
    w.owner = owner;
    ipc_word_store(&l->arena, block, w);
}

/* Leaves a block to the sweeps. The flag after the label: a sweep that clears
 * it has not yet looked, or sees the block. */
static void leave_to_layer(struct ipc_layer *l, uint32_t block, uint32_t flags)
{
    set_word(l, block, flags, IPC_OWNER_LAYER);
    atomic_store_explicit(&l->arena.header->has_limbo, 1, memory_order_release);
}

static void give_up(struct ipc_layer *l, uint32_t number, enum hr_reason reason)
{
    uint32_t queue = ipc_block_at(&l->arena, number)->queue;
    if (queue < l->arena.n_queues) {
        ipc_count_drop(&l->arena, queue, reason, false);
        atomic_fetch_add_explicit(
            &l->arena.queues[queue < l->arena.n_slots ? ipc_inbox_counter(&l->arena) : queue]
                 .n_lost,
            1, memory_order_relaxed);
    }
    set_word(l, number, 0, l->layer.slot + 1);
    ipc_block_free(&l->arena, &l->finder, number);
}

void ipc_put_back(struct ipc_layer *l, uint32_t number, uint32_t flags)
{
    const struct ipc_block *block = ipc_block_at(&l->arena, number);
    bool to_sender = block->kind == IPC_LEASE_LOST;
    uint32_t queue = to_sender ? block->reply_slot : block->queue;
    uint32_t len = block->len; /* which is somebody else's once it is queued */
    struct ipc_ring ring;
    if (queue >= l->arena.n_queues || !ipc_ring_of(&l->arena, queue, &ring))
        give_up(l, number, HR_REASON_STALE);
    else if (ipc_post(l, queue, number, to_sender ? 0 : ring.max_messages))
        leave_to_layer(l, number, flags);
    else if (!to_sender && flags != IPC_DELAYED) /* whose bytes were never taken off */
        atomic_fetch_add_explicit(&ring.queue->bytes, len, memory_order_relaxed);
}

/* A lease with a reply address goes there, as it is, if it still stands. */
static void return_to_sender(struct ipc_layer *l, uint32_t number, enum hr_reason reason)
{
    struct ipc_block *block = ipc_block_at(&l->arena, number);
    struct hr_addr to = {.layer = l->arena.layer_id,
                         .slot = block->reply_slot,
                         .slot_gen = block->reply_slot_gen,
                         .conn = block->reply_conn,
                         .conn_gen = block->reply_conn_gen};
    if (!ipc_addr_stands(&l->arena, &to)) {
        give_up(l, number, HR_REASON_STALE);
        return;
    }
    if (block->kind != IPC_LEASE_LOST) /* else it only waited for room, and keeps its reason */
        block->reason = (uint8_t)reason;
    block->flags &= (uint8_t)~IPC_BLOCK_LEASE;
    block->slot_gen = to.slot_gen;
    block->conn = to.conn;
    block->conn_gen = to.conn_gen;
    block->expires_ms = 0;
    block->kind = IPC_LEASE_LOST;
    ipc_put_back(l, number, IPC_RETURNING);
}

/* All in one store: no death falls between them. */
void ipc_readdress(const struct ipc_layer *l, struct ipc_block *block, struct ipc_place to)
{
    bool is_leased = atomic_load_explicit(&l->arena.queues[to.queue].flags, memory_order_relaxed) &
                     IPC_QUEUE_LEASED;
    struct ipc_block copy = *block;
    uint64_t last;
    copy.queue = (uint16_t)to.queue;
    copy.flags =
        (uint8_t)((copy.flags & ~(IPC_BLOCK_LEASE | IPC_BLOCK_BURIED)) |
                  (to.is_buried ? IPC_BLOCK_BURIED : 0) | (is_leased ? IPC_BLOCK_LEASE : 0));
    copy.attempts = (uint8_t)to.attempts;
    copy.reason = (uint8_t)to.reason;
    memcpy(&last, &copy.reply_slot, sizeof last);
    __atomic_store_n((uint64_t *)(void *)&block->reply_slot, last, __ATOMIC_RELAXED);
}

/* To the dead letters, which are registered when the first message needs
 * them. BURIED goes last: without it a successor of ours comes here again,
 * with it the message is only put where it now belongs. */
static void bury_letter(struct ipc_layer *l, uint32_t number, uint32_t from, enum hr_reason reason)
{
    struct ipc_block *block = ipc_block_at(&l->arena, number);
    char name[HR_NAME_MAX + 1];
    uint32_t queue;
    ipc_dead_letter_name(&l->arena, from, name);
    int r = l->has_admin ? ipc_channel_get_locked(l, hr_str_of(name), &queue)
                         : ipc_channel_get(l, hr_str_of(name), &queue);
    if (r) {
        give_up(l, number, HR_REASON_ATTEMPTS);
        return;
    }
    ipc_count_drop(&l->arena, from, HR_REASON_ATTEMPTS, false);
    atomic_fetch_add_explicit(&l->arena.queues[from].n_lost, 1, memory_order_relaxed);
    block->expires_ms = 0;
    block->conn = from + 1;
    block->conn_gen =
        atomic_fetch_add_explicit(&l->arena.queues[queue].n_letters, 1, memory_order_relaxed) + 1;
    ipc_readdress(
        l, block,
        (struct ipc_place){
            .queue = queue, .attempts = block->attempts, .reason = reason, .is_buried = true});
    ipc_put_back(l, number, IPC_RETURNING);
}

/* Where a RETURNING message belongs follows from its header alone, so that
 * this may be done again by whoever finds it in a dead one's hands. */
static void settle(struct ipc_layer *l, uint32_t number, enum hr_reason reason)
{
    const struct ipc_block *block = ipc_block_at(&l->arena, number);
    uint32_t queue = block->queue;
    if (queue >= l->arena.n_queues) {
        give_up(l, number, reason);
        return;
    }
    const struct ipc_queue *q = &l->arena.queues[queue];
    bool is_leased_queue = atomic_load_explicit(&q->flags, memory_order_relaxed) & IPC_QUEUE_LEASED;
    uint32_t most = atomic_load_explicit(&q->attempts, memory_order_relaxed);
    bool is_buried = block->flags & IPC_BLOCK_BURIED, is_leased = block->flags & IPC_BLOCK_LEASE;
    if (block->reply_slot_gen != 0)
        return_to_sender(l, number, reason);
    else if (is_leased_queue && !is_buried && (!is_leased || block->attempts >= most))
        bury_letter(l, number, queue, reason);
    else if (is_leased_queue || is_buried || !is_leased)
        ipc_put_back(l, number, IPC_RETURNING);
    else
        give_up(l, number, reason); /* the channel has become at-most-once meanwhile */
}

void ipc_return_lease(struct ipc_layer *l, uint32_t number, enum hr_reason reason)
{
    struct ipc_block *block = ipc_block_at(&l->arena, number);
    if (block->reply_slot_gen == 0 && block->attempts < UINT8_MAX)
        block->attempts++;
    block->flags &= (uint8_t)~IPC_BLOCK_BURIED; /* it has arrived there, and comes from there */
    settle(l, number, reason);
}

bool ipc_postpone(struct ipc_layer *l, uint32_t number, hr_time delay)
{
    struct ipc_block *block = ipc_block_at(&l->arena, number);
    if (block->queue < l->arena.n_slots || block->queue >= l->arena.n_queues)
        return false;
    struct ipc_queue *q = &l->arena.queues[block->queue];
    uint32_t attempts = block->attempts + 1u;
    if (delay < 0)
        delay = hr_policy_backoff(
            atomic_load_explicit(&q->backoff_ms, memory_order_relaxed) * HR_MS, attempts);
    if (delay == 0 || block->reply_slot_gen != 0 ||
        !(atomic_load_explicit(&q->flags, memory_order_relaxed) & IPC_QUEUE_LEASED) ||
        attempts >= atomic_load_explicit(&q->attempts, memory_order_relaxed))
        return false;
    block->attempts = (uint8_t)attempts;
    block->flags &= (uint8_t)~IPC_BLOCK_BURIED;
    atomic_store_explicit(&block->taken, hr_time_add(hr_time_now(), delay), memory_order_relaxed);
    atomic_fetch_add_explicit(&q->bytes, block->len, memory_order_relaxed);
    leave_to_layer(l, number, IPC_DELAYED);
    atomic_fetch_add_explicit(&q->n_delayed, 1, memory_order_relaxed);
    return true;
}

/* ---- what a ring holds */

typedef void (*entry_fn)(struct ipc_layer *l, const struct ipc_ring *ring, uint64_t position,
                         struct ipc_entry e, void *arg);

/* Visits the entries of all rings that were ever used and are not EMPTY. */
static void visit_entries(struct ipc_layer *l, entry_fn fn, void *arg)
{
    struct ipc_arena *a = &l->arena;
    for (uint32_t queue = 0; queue < a->n_queues; queue++) {
        struct ipc_ring ring;
        uint64_t tail = atomic_load_explicit(&a->queues[queue].tail, memory_order_acquire);
        if (!ipc_ring_of(a, queue, &ring))
            continue;
        /* One beyond the tail: a sender may have died before it moved it. */
        uint64_t size = UINT64_C(1) << ring.log2;
        uint64_t end = tail + 1 < size ? tail + 1 : size;
        for (uint64_t i = 0; i < end; i++) {
            struct ipc_entry e =
                ipc_entry_unpack(atomic_load_explicit(&ring.entries[i], memory_order_acquire));
            if (e.state != IPC_EMPTY)
                fn(l, &ring, (uint64_t)e.cycle << ring.log2 | i, e, arg);
        }
    }
}

/* Step 2: an entry the dead one took and did not release. */
static void finish_taking(struct ipc_layer *l, const struct ipc_ring *ring, uint64_t position,
                          struct ipc_entry e, void *arg)
{
    uint32_t slot = *(const uint32_t *)arg;
    if (e.state != IPC_TAKEN || e.owner != slot)
        return;
    if (ipc_block_exists(&l->arena, e.block)) {
        struct ipc_word w = ipc_word_load(&l->arena, e.block);
        /* Labelled already, by the dead one or after a lease was taken from it;
         * or another tag, for the same reason. The owner alone tells nothing:
         * it may have taken what it had sent. */
        bool is_labelled = w.flags & (IPC_LEASED | IPC_IN_HAND);
        if (ipc_word_tag(ipc_word_pack(w)) == e.gen && w.owner != IPC_FREE && !is_labelled) {
            uint8_t flags = ipc_block_at(&l->arena, e.block)->flags;
            /* A dead letter that nobody has read yet goes back where it was. */
            w.flags = flags & IPC_BLOCK_BURIED  ? IPC_RETURNING
                      : flags & IPC_BLOCK_LEASE ? IPC_LEASED
                                                : IPC_IN_HAND;
            w.owner = slot + 1;
            ipc_word_store(&l->arena, e.block, w);
        }
    }
    ipc_queue_release(ring, position);
}

/* The cursors it had not yet moved. */
static void straighten_all(struct ipc_layer *l)
{
    struct ipc_ring ring;
    for (uint32_t queue = 0; queue < l->arena.n_queues; queue++)
        if (ipc_ring_of(&l->arena, queue, &ring))
            ipc_queue_straighten(&ring);
}

/* Step 4. Of a message that was sent on since by who took its lease away, the
 * entry of its first taking may still be there, unreleased: the tag tells. */
struct marks {
    uint32_t n_blocks; /* looked at; more may come */
    uint8_t *bits;
};
static void mark(struct ipc_layer *l, const struct ipc_ring *ring, uint64_t position,
                 struct ipc_entry e, void *arg)
{
    const struct marks *marks = arg;
    (void)ring;
    (void)position;
    if (e.block < marks->n_blocks && ipc_word_tag(ipc_word_raw(&l->arena, e.block)) == e.gen)
        marks->bits[e.block / 8] |= (uint8_t)(1 << e.block % 8);
}

/* ---- what the dead one held */

/* Step 5 for one block that still reads `w`. */
static void reclaim(struct ipc_layer *l, uint32_t number, struct ipc_word w)
{
    uint32_t flags = w.flags & (IPC_RETURNING | IPC_DELAYED);
    struct ipc_word ours = {.gen = w.gen,
                            .tries = w.tries + (w.flags & IPC_LEASED ? 1 : 0),
                            .flags = w.flags & IPC_LEASED ? IPC_RETURNING : flags,
                            .owner = l->layer.slot + 1};
    uint32_t queue = ipc_block_at(&l->arena, number)->queue;
    if (!ipc_word_cas(&l->arena, number, w, ours))
        return;
    if (w.flags & IPC_LEASED) {
        ipc_return_lease(l, number, HR_REASON_WORKER_DIED);
        return;
    }
    if (flags & IPC_RETURNING) {
        settle(l, number, HR_REASON_WORKER_DIED);
        return;
    }
    if (flags & IPC_DELAYED) {
        leave_to_layer(l, number, IPC_DELAYED);
        return;
    }
    if (w.flags & IPC_IN_HAND && queue < l->arena.n_queues)
        ipc_count_drop(&l->arena, queue, HR_REASON_WORKER_DIED, true);
    ipc_block_free(&l->arena, &l->finder, number);
}

/* Steps 3 to 5. False when there was no memory for it: the slot stays DEAD. */
static bool reclaim_all(struct ipc_layer *l, uint32_t slot)
{
    struct ipc_arena *a = &l->arena;
    ipc_arena_refresh(a); /* it may have known of more than we */
    struct marks marks = {.n_blocks = ipc_n_blocks(a)};
    uint64_t *seen = hr_calloc(marks.n_blocks, sizeof *seen);
    marks.bits = hr_calloc(marks.n_blocks / 8 + 1, 1);
    if (seen && marks.bits) {
        for (uint32_t i = 0; i < marks.n_blocks; i++) {
            uint64_t w = atomic_load_explicit(&a->words[i], memory_order_acquire);
            seen[i] = ipc_word_unpack(w).owner == slot + 1 ? w : 0;
        }
        visit_entries(l, mark, &marks);
        for (uint32_t i = 0; i < marks.n_blocks; i++)
            if (seen[i] && !(marks.bits[i / 8] >> i % 8 & 1))
                reclaim(l, i, ipc_word_unpack(seen[i]));
    }
    bool is_done = seen && marks.bits;
    hr_free(seen);
    hr_free(marks.bits);
    return is_done;
}

/* Step 6. */
static void free_orphans(struct ipc_layer *l)
{
    struct ipc_arena *a = &l->arena;
    for (uint32_t i = 0; i < ipc_n_blocks(a); i++) {
        struct ipc_word w = ipc_word_load(a, i);
        if (w.owner != IPC_OWNER_CHAIN)
            continue;
        struct ipc_block *tail = ipc_block_at(a, i);
        uint32_t head = atomic_load_explicit(&tail->head, memory_order_relaxed);
        uint32_t gen = atomic_load_explicit(&tail->head_gen, memory_order_relaxed);
        struct ipc_word of_head =
            head < ipc_n_blocks(a) ? ipc_word_load(a, head) : (struct ipc_word){0};
        if (of_head.owner == IPC_FREE || of_head.gen != gen)
            ipc_word_cas(a, i, w, (struct ipc_word){.gen = w.gen});
    }
}

/* ---- ending a slot */

static void clear_live(struct ipc_arena *a, uint32_t slot)
{
    atomic_fetch_and_explicit(&a->header->live[slot / 64], ~(UINT64_C(1) << (slot % 64)),
                              memory_order_release);
}

void ipc_recover_slot(struct ipc_layer *l, uint32_t slot)
{
    struct ipc_arena *a = &l->arena;
    struct ipc_slot *s = &a->slots[slot];
    if (atomic_load_explicit(&s->state, memory_order_acquire) == IPC_SLOT_FREE)
        return;
    atomic_store_explicit(&s->state, IPC_SLOT_DEAD, memory_order_release);
    atomic_fetch_add_explicit(&s->gen, 1, memory_order_release);
    atomic_store_explicit(&s->bell, IPC_AWAKE, memory_order_relaxed);
    ipc_clear_waiter(a, slot);

    visit_entries(l, finish_taking, &slot);
    straighten_all(l);
    if (!reclaim_all(l, slot))
        return;
    free_orphans(l);
    ipc_drain(l, slot, HR_REASON_STALE, true);
    ipc_interest_clear(a, slot);
    /* It may have been sweeping: let somebody look again. */
    atomic_store_explicit(&a->header->has_limbo, 1, memory_order_release);
    atomic_store_explicit(&s->flags, 0, memory_order_relaxed);
    atomic_store_explicit(&s->state, IPC_SLOT_FREE, memory_order_release);
    /* Last: by its bit sweeps find the slot again if we die in the middle. */
    clear_live(a, slot);
    ipc_wake_all(l);
}

/* Waits until the process behind `pidfd` has ended. */
static bool has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, FENCE_MS) == 1;
}

/* From another pid namespace: does nobody hold the slot's bell? */
static bool bell_is_free(const struct ipc_layer *l, uint32_t slot)
{
    char name[24];
    snprintf(name, sizeof name, "bell.%u", slot);
    int fd = openat(l->dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    bool is_free = fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (fd >= 0)
        close(fd);
    return is_free;
}

/* Is this line of a maps file our arena's? "from-to perms offset major:minor inode path", proc(5).
 */
static bool line_is_arena(const struct ipc_layer *l, const char *line)
{
    struct hr_str rest = hr_str_of(line), field = {0};
    uint64_t inode;
    for (int i = 0; i < 5; i++)
        if (!hr_str_next(&rest, ' ', &field))
            return false;
    return hr_str_u64(field, &inode) && inode == l->arena_ino;
}

/* Does the process have our arena mapped? One that has exec'd since has not.
 * By the inode alone: overlay and btrfs show another device there than stat(2). */
static bool maps_arena(const struct ipc_layer *l, pid_t pid)
{
    char path[32], line[512];
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)pid);
    FILE *maps = fopen(path, "re");
    bool found = false;
    while (maps && !found && fgets(line, sizeof line, maps))
        found = line_is_arena(l, line);
    if (maps)
        fclose(maps);
    return found || !maps; /* not to be seen: assume the worst */
}

/* Makes sure that the slot's process, whose lock is free, writes no more: it
 * may have lost the lock by a stray close() and live on. */
static bool fence(const struct ipc_layer *l, uint32_t slot)
{
    const struct ipc_slot *s = &l->arena.slots[slot];
    if (s->pid_namespace != hr_process_pid_namespace())
        return bell_is_free(l, slot);
    /* Our own handles' slots look alive (lock.h): it was ours before an exec. */
    if ((pid_t)s->pid == getpid())
        return true;
    int pidfd = hr_process_pidfd((pid_t)s->pid);
    if (pidfd < 0)
        return errno == ESRCH;
    bool is_dead =
        hr_process_start_time((pid_t)s->pid) != s->start_time || !maps_arena(l, (pid_t)s->pid);
    if (!is_dead)
        is_dead = hr_process_pidfd_kill(pidfd, SIGKILL) < 0 ? errno == ESRCH : has_ended(pidfd);
    close(pidfd);
    return is_dead;
}

static bool looks_dead(const struct ipc_layer *l, uint32_t slot)
{
    return atomic_load_explicit(&l->arena.slots[slot].state, memory_order_acquire) !=
               IPC_SLOT_FREE &&
           !ipc_lock_is_held(l->lock, slot);
}

bool ipc_bury_locked(struct ipc_layer *l, uint32_t slot)
{
    if (!looks_dead(l, slot))
        return false;
    /* DEAD is only ever said by who knows: there is nobody to be fenced off. */
    bool is_known =
        atomic_load_explicit(&l->arena.slots[slot].state, memory_order_acquire) == IPC_SLOT_DEAD;
    if (!is_known && !fence(l, slot)) {
        /* In another pid namespace a forked child may hold on to its parent's
         * bell: wait for it, that costs only what the dead one held. */
        if (l->arena.slots[slot].pid_namespace == hr_process_pid_namespace())
            ipc_poison(&l->arena, IPC_POISON_FENCE);
        return false;
    }
    l->has_admin = true;
    ipc_recover_slot(l, slot);
    l->has_admin = false;
    /* Without memory it is still DEAD, and nobody's to have. */
    if (atomic_load_explicit(&l->arena.slots[slot].state, memory_order_relaxed) != IPC_SLOT_FREE)
        return false;
    atomic_fetch_add_explicit(&l->arena.header->n_recovered, 1, memory_order_relaxed);
    return true;
}

bool ipc_bury(struct ipc_layer *l, uint32_t slot)
{
    if (!looks_dead(l, slot) || ipc_lock_admin(l->lock, 100 * HR_MS))
        return false;
    bool is_buried = ipc_bury_locked(l, slot);
    ipc_unlock_admin(l->lock);
    return is_buried;
}

/* ---- sweeping */

/* A message that the layer holds: due, or to be handed back once more. */
static void take_up(struct ipc_layer *l, uint32_t number, struct ipc_word w, hr_time now)
{
    struct ipc_block *block = ipc_block_at(&l->arena, number);
    if (w.flags & IPC_DELAYED && atomic_load_explicit(&block->taken, memory_order_relaxed) > now) {
        l->n_delayed[block->queue % l->arena.n_queues]++;
        atomic_store_explicit(&l->arena.header->has_limbo, 1, memory_order_release);
        return;
    }
    struct ipc_word ours = w;
    ours.owner = l->layer.slot + 1;
    if (!ipc_word_cas(&l->arena, number, w, ours))
        return;
    if (w.flags & IPC_DELAYED) {
        block->sent = now; /* its expiry counts from now */
        ipc_put_back(l, number, IPC_DELAYED);
    } else
        settle(l, number, HR_REASON_WORKER_DIED);
}

static void sweep_limbo(struct ipc_layer *l, hr_time now)
{
    if (!atomic_exchange_explicit(&l->arena.header->has_limbo, 0, memory_order_acq_rel))
        return;
    memset(l->n_delayed, 0, l->arena.n_queues * sizeof *l->n_delayed);
    for (uint32_t i = 0; i < ipc_n_blocks(&l->arena); i++) {
        struct ipc_word w = ipc_word_load(&l->arena, i);
        if (w.owner == IPC_OWNER_LAYER)
            take_up(l, i, w, now);
    }
    for (uint32_t i = 0; i < l->arena.n_queues; i++)
        atomic_store_explicit(&l->arena.queues[i].n_delayed, l->n_delayed[i], memory_order_relaxed);
}

void ipc_drop_delayed(struct ipc_layer *l, uint32_t queue, enum hr_reason reason)
{
    for (uint32_t i = 0; i < ipc_n_blocks(&l->arena); i++) {
        struct ipc_word w = ipc_word_load(&l->arena, i), ours = w;
        struct ipc_block *block = ipc_block_at(&l->arena, i);
        ours.owner = l->layer.slot + 1;
        ours.flags = 0;
        if (w.owner != IPC_OWNER_LAYER || !(w.flags & IPC_DELAYED) || block->queue != queue ||
            !ipc_word_cas(&l->arena, i, w, ours))
            continue;
        struct ipc_queue *q = &l->arena.queues[queue];
        atomic_fetch_sub_explicit(&q->n_delayed, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&q->bytes, block->len, memory_order_relaxed);
        atomic_fetch_add_explicit(&q->n_lost, 1, memory_order_relaxed);
        ipc_count_drop(&l->arena, queue, reason, false);
        ipc_block_free(&l->arena, &l->finder, i);
    }
    /* A sweep may have counted at the same time: let the next one count anew. */
    atomic_store_explicit(&l->arena.header->has_limbo, 1, memory_order_release);
}

/* Takes leases of at-least-once channels from holders that had them too long. */
static void sweep_leases(struct ipc_layer *l, hr_time now)
{
    struct ipc_arena *a = &l->arena;
    if (!atomic_load_explicit(&a->header->has_leases, memory_order_relaxed))
        return;
    for (uint32_t i = 0; i < ipc_n_blocks(a); i++) {
        struct ipc_word w = ipc_word_load(a, i);
        if (!(w.flags & IPC_LEASED) || w.owner == IPC_FREE || w.owner > a->n_slots)
            continue;
        struct ipc_block *block = ipc_block_at(a, i);
        uint32_t queue = block->queue;
        if (queue >= a->n_queues || queue < a->n_slots || block->reply_slot_gen != 0)
            continue;
        uint32_t lease = atomic_load_explicit(&a->queues[queue].lease_ms, memory_order_relaxed);
        if (lease == 0 ||
            now - atomic_load_explicit(&block->taken, memory_order_relaxed) < lease * HR_MS)
            continue;
        struct ipc_word ours = w;
        ours.tries++;
        ours.flags = IPC_RETURNING;
        ours.owner = l->layer.slot + 1;
        if (ipc_word_cas(a, i, w, ours))
            ipc_return_lease(l, i, HR_REASON_TIMEOUT);
    }
}

/* A channel's account of bytes drifts when a process dies between its two
 * steps. Whenever the channel is empty, and was at the last sweep with nothing
 * sent since, the account is 0. */
static void heal_bytes(const struct ipc_ring *ring)
{
    struct ipc_queue *q = ring->queue;
    int64_t tail = (int64_t)atomic_load_explicit(&q->tail, memory_order_acquire);
    int64_t bytes = atomic_load_explicit(&q->bytes, memory_order_relaxed);
    if (bytes == 0 || !ipc_queue_is_empty(ring) ||
        atomic_load_explicit(&q->n_delayed, memory_order_relaxed) != 0) /* whose bytes count */
        return;
    if (atomic_exchange_explicit(&q->idle_mark, tail, memory_order_relaxed) == tail)
        atomic_compare_exchange_strong_explicit(&q->bytes, &bytes, 0, memory_order_relaxed,
                                                memory_order_relaxed);
}

static void sweep_channels(struct ipc_layer *l, hr_time now)
{
    struct ipc_arena *a = &l->arena;
    uint32_t n = atomic_load_explicit(&a->header->n_channels, memory_order_acquire);
    for (uint32_t i = 1; i < n && i < a->geometry.n_channels; i++) {
        struct ipc_ring ring;
        if (!ipc_ring_of(a, a->n_slots + i, &ring))
            continue;
        heal_bytes(&ring);
        for (int k = 0; k < SWEEP_EXPIRED && ipc_drop_expired(l, a->n_slots + i, now); k++)
            ;
    }
}

static void sweep_deaths(struct ipc_layer *l)
{
    for (uint32_t word = 0; word < 16; word++) {
        uint64_t live = atomic_load_explicit(&l->arena.header->live[word], memory_order_acquire);
        for (; live; live &= live - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(live);
            if (slot < l->arena.n_slots && looks_dead(l, slot))
                ipc_bury(l, slot);
        }
    }
}

void ipc_sweep(struct ipc_layer *l, hr_time now)
{
    if (now < l->next_sweep || ipc_is_poisoned(&l->arena))
        return;
    l->next_sweep = now + sweep_every;
    ipc_arena_refresh(&l->arena);
    ipc_group_collect(l, now);
    ipc_watch_members(l);
    /* One sweep for all. A clock that jumped (never CLOCK_MONOTONIC's) or a
     * damaged mark must not stop them for ever. */
    int64_t last = atomic_load_explicit(&l->arena.header->last_sweep, memory_order_relaxed);
    hr_time since = (hr_time)((uint64_t)now - (uint64_t)last);
    /* Clocks of members differ by a coarse tick. */
    if ((since < sweep_every && since > -sweep_every) ||
        !atomic_compare_exchange_strong(&l->arena.header->last_sweep, &last, now))
        return;
    sweep_deaths(l);
    sweep_limbo(l, now);
    sweep_leases(l, now);
    sweep_channels(l, now);
}
