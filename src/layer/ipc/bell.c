/* bell.c - sleeping and waking.
 *
 * Each member has one bell: a word in its slot, AWAKE or ASLEEP in one of two
 * ways, and a FIFO beside the arena for those that sleep in a poll. Who is
 * about to sleep stores ASLEEP and then looks at its queues once more; who has
 * put a message in looks at the bell afterwards. All four steps are seq_cst,
 * so that one of them sees the other. Ringing is the CAS back to
 * AWAKE, so each sleep costs exactly one system call of one ringer, and none
 * while the receiver is awake.
 *
 * A ringer that dies between the CAS and the wake-up leaves a sleeper behind
 * that nobody rings again: hence recovery wakes everybody, whatever their
 * bells say, and no sleep is longer than ipc_poll_timeout().
 *
 * Channels carry a bit per member that wants to be woken for them. The bits
 * stay set across sleeps; they go when a member stops taking from channels.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/process.h"
#include "layer/ipc/handle.h"

/* A worker's process, watched by a server so that its death is known at once. */
struct ipc_watch {
    uint32_t gen; /* of the slot, 0: not watched */
    int pidfd;
};

#define BELL_EVENT UINT32_MAX

/* While somebody's lease or a delayed message may end, and for servers always
 * (they look for deaths); else only against wake-ups that a death swallowed. */
static const hr_time short_sleep = 50 * HR_MS, long_sleep = HR_SECOND;

/* ---- our own bell */

static void bell_name(char out[24], uint32_t slot)
{
    snprintf(out, 24, "bell.%u", slot);
}

/* Watches the FIFO and the workers' pidfds through one descriptor. */
static int open_watches(struct ipc_layer *l)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = BELL_EVENT};
    l->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->poll_fd < 0 || epoll_ctl(l->poll_fd, EPOLL_CTL_ADD, l->bell_fd, &event) < 0)
        return hr_raise(HR_ERR_SYS);
    l->watches = hr_calloc(l->arena.n_slots, sizeof *l->watches);
    return l->watches ? 0 : hr_raise(HR_ERR_NOMEM);
}

static void hear_bell(struct ipc_layer *l)
{
    uint8_t sink[64];
    while (read(l->bell_fd, sink, sizeof sink) == (ssize_t)sizeof sink)
        ;
}

int ipc_bell_open(struct ipc_layer *l)
{
    char name[24];
    bell_name(name, l->layer.slot);
    if (mkfifoat(l->dir_fd, name, 0600) < 0 && errno != EEXIST)
        return hr_raise(HR_ERR_SYS);
    /* Open for both, here and in ring_fd(): nobody ever meets ENXIO, or SIGPIPE
     * from ringing the dead. */
    l->bell_fd = openat(l->dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (l->bell_fd < 0)
        return hr_raise(HR_ERR_SYS);
    /* A second sign of life, which no stray close() of the lock file can drop
     * and which can be tried from another pid namespace: see fence(). */
    flock(l->bell_fd, LOCK_EX | LOCK_NB);
    hear_bell(l); /* what was rung for the slot's last owner */
    return l->layer.role == HR_ROLE_SERVER ? hr_trace(open_watches(l)) : 0;
}

void ipc_bell_close(struct ipc_layer *l)
{
    for (uint32_t i = 0; l->watches && i < l->arena.n_slots; i++)
        if (l->watches[i].gen != 0)
            close(l->watches[i].pidfd);
    l->watches = hr_free(l->watches);
    for (uint32_t i = 0; i < IPC_MAX_SLOTS; i++) {
        int fd = atomic_exchange(&l->ring_fds[i], -1);
        if (fd >= 0)
            close(fd);
    }
    if (l->poll_fd >= 0)
        close(l->poll_fd);
    if (l->bell_fd >= 0)
        close(l->bell_fd);
    l->poll_fd = l->bell_fd = -1;
}

/* ---- ringing */

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static int ring_fd(struct ipc_layer *l, uint32_t slot)
{
    int fd = atomic_load_explicit(&l->ring_fds[slot], memory_order_relaxed);
    if (fd >= 0)
        return fd;
    char name[24];
    bell_name(name, slot);
    fd = openat(l->dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    int before = -1;
    if (fd >= 0 && !atomic_compare_exchange_strong(&l->ring_fds[slot], &before, fd)) {
        close(fd); /* another thread was faster */
        return before;
    }
    return fd;
}

bool ipc_ring_slot(struct ipc_layer *l, uint32_t slot)
{
    _Atomic uint32_t *bell = &l->arena.slots[slot].bell;
    /* seq_cst: after our entry; pairs with ready_to_sleep(). */
    uint32_t state = atomic_load(bell);
    if (state == IPC_AWAKE ||
        !atomic_compare_exchange_strong_explicit(bell, &state, IPC_AWAKE, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    if (state == IPC_ASLEEP_FUTEX) {
        futex(bell, FUTEX_WAKE, 1, NULL);
    } else {
        /* A full FIFO wakes as well; a vanished owner needs no waking. Without
         * a descriptor of our own the sleeper finds out by its time-out. */
        int fd = ring_fd(l, slot);
        if (fd >= 0 && write(fd, "", 1) < 0 && errno == EBADF)
            atomic_store(&l->ring_fds[slot], -1);
    }
    return true;
}

/* Wakes a sleeper among the slots of one word of waiter bits; true when one slept. */
static bool ring_word(struct ipc_layer *l, const struct ipc_queue *q, uint32_t word, uint64_t mask)
{
    uint64_t bits = atomic_load(&q->waiters[word]) & mask;
    for (; bits; bits &= bits - 1) {
        uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
        if (slot < l->arena.n_slots && ipc_ring_slot(l, slot)) {
            atomic_store_explicit(&l->last_rung, slot, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

void ipc_ring_sleeper(struct ipc_layer *l, uint32_t queue)
{
    if (queue < l->arena.n_slots) {
        ipc_ring_slot(l, queue);
        return;
    }
    /* Once around, from the slot after the last one rung, so that sleepers take turns. */
    const struct ipc_queue *q = &l->arena.queues[queue];
    if (ipc_is_paused(q)) /* who resumes it rings */
        return;
    uint32_t start = atomic_load_explicit(&l->last_rung, memory_order_relaxed) + 1;
    uint32_t first = start / 64 % 16, words = atomic_load(&q->waiter_words) & 0xFFFF;
    uint64_t later = ~UINT64_C(0) << (start % 64);
    if (words >> first & 1 && ring_word(l, q, first, later))
        return;
    uint32_t around = (words >> first | words << (16 - first)) & 0xFFFE;
    for (; around; around &= around - 1)
        if (ring_word(l, q, (first + (uint32_t)__builtin_ctz(around)) % 16, ~UINT64_C(0)))
            return;
    if (words >> first & 1)
        ring_word(l, q, first, ~later);
}

void ipc_ring_all(struct ipc_layer *l)
{
    for (uint32_t slot = 0; slot < l->arena.n_slots; slot++)
        ipc_ring_slot(l, slot);
}

/* Whatever the bell says: its ringer may have died before the wake-up. The
 * descriptor is not kept, they may be many. */
static void wake_slot(struct ipc_layer *l, uint32_t slot)
{
    _Atomic uint32_t *bell = &l->arena.slots[slot].bell;
    /* seq_cst: as ringing; who goes to sleep after it looks at its queues after it. */
    atomic_store(bell, IPC_AWAKE);
    futex(bell, FUTEX_WAKE, 1, NULL);
    char name[24];
    bell_name(name, slot);
    int fd = openat(l->dir_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "", 1); /* a full FIFO wakes as well */
    (void)n;
    close(fd);
}

void ipc_wake_all(struct ipc_layer *l)
{
    for (uint32_t word = 0; word < 16; word++) {
        /* acquire: pairs with attach. */
        uint64_t live = atomic_load_explicit(&l->arena.header->live[word], memory_order_acquire);
        for (; live; live &= live - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(live);
            if (slot < l->arena.n_slots)
                wake_slot(l, slot);
        }
    }
}

void ipc_clear_waiter(const struct ipc_arena *a, uint32_t slot)
{
    uint32_t n = atomic_load_explicit(&a->header->n_channels, memory_order_acquire);
    for (uint32_t i = 1; i < n && i < a->geometry.n_channels; i++)
        atomic_fetch_and_explicit(&a->queues[a->n_slots + i].waiters[slot / 64],
                                  ~(UINT64_C(1) << (slot % 64)), memory_order_relaxed);
}

/* ---- sleeping */

static bool has_work(struct ipc_layer *l, enum hr_receive_from from)
{
    uint32_t first = from & HR_RECEIVE_INBOX ? 0 : 1;
    uint32_t end = from & HR_RECEIVE_CHANNELS ? l->n_sources : 1;
    for (uint32_t i = first; i < end; i++)
        if (!ipc_queue_is_empty(&l->sources[i].ring) && !ipc_is_paused(l->sources[i].ring.queue))
            return true;
    /* seq_cst, after our bell: who registers a channel rings everybody after it. */
    uint32_t n_channels = atomic_load(&l->arena.header->n_channels);
    bool is_new = n_channels != l->n_seen && n_channels <= l->arena.geometry.n_channels;
    return is_new || ipc_is_poisoned(&l->arena);
}

/* Announces that we sleep and looks once more; false when there is work. */
static bool ready_to_sleep(struct ipc_layer *l, enum hr_receive_from from, enum ipc_bell how)
{
    _Atomic uint32_t *bell = &l->arena.slots[l->layer.slot].bell;
    ipc_let_go(l);
    if (ipc_refresh_sources(l))
        return false;
    ipc_set_waiters(l, from & HR_RECEIVE_CHANNELS);
    /* seq_cst: our bell before their entries, which ipc_queue_is_empty() reads
     * seq_cst too; pairs with the commit in ipc_queue_put() and with ipc_ring(). */
    atomic_store(bell, (uint32_t)how);
    l->may_be_rung = true;
    if (!has_work(l, from))
        return true;
    atomic_store_explicit(bell, IPC_AWAKE, memory_order_relaxed);
    return false;
}

int ipc_wait(struct hr_layer *layer, enum hr_receive_from from, hr_time timeout)
{
    struct ipc_layer *l = ipc_of(layer);
    _Atomic uint32_t *bell = &l->arena.slots[l->layer.slot].bell;
    hr_time now = hr_time_now(), deadline = hr_time_add(now, timeout);
    while (ready_to_sleep(l, from, IPC_ASLEEP_FUTEX)) {
        hr_time nap = ipc_poll_timeout(layer);
        nap = deadline - now < nap ? deadline - now : nap;
        nap = nap > 0 ? nap : 0;
        struct timespec ts = {.tv_sec = nap / HR_SECOND, .tv_nsec = nap % HR_SECOND};
        bool is_interrupted = futex(bell, FUTEX_WAIT, IPC_ASLEEP_FUTEX, &ts) < 0 && errno == EINTR;
        atomic_store_explicit(bell, IPC_AWAKE, memory_order_relaxed);
        now = hr_time_now();
        ipc_sweep(l, now);
        if (is_interrupted) {
            errno = EINTR;
            return hr_raise(HR_ERR_SYS);
        }
        if (now >= deadline)
            return has_work(l, from) ? 0 : HR_LAYER_EMPTY;
    }
    return 0;
}

int ipc_fd(struct hr_layer *layer)
{
    const struct ipc_layer *l = ipc_of(layer);
    return l->poll_fd >= 0 ? l->poll_fd : l->bell_fd;
}

int ipc_prepare(struct hr_layer *layer, enum hr_receive_from from)
{
    struct ipc_layer *l = ipc_of(layer);
    l->is_asleep = ready_to_sleep(l, from, IPC_ASLEEP_POLL);
    return l->is_asleep ? 0 : 1;
}

hr_time ipc_poll_timeout(const struct hr_layer *layer)
{
    const struct ipc_header *h = ipc_of_const(layer)->arena.header;
    return layer->role == HR_ROLE_SERVER ||
                   atomic_load_explicit(&h->has_limbo, memory_order_relaxed) ||
                   atomic_load_explicit(&h->has_leases, memory_order_relaxed)
               ? short_sleep
               : long_sleep;
}

/* ---- waking */

static void unwatch(struct ipc_layer *l, uint32_t slot)
{
    /* Closing alone would leave it in the set while a forked child has a copy. */
    epoll_ctl(l->poll_fd, EPOLL_CTL_DEL, l->watches[slot].pidfd, NULL);
    close(l->watches[slot].pidfd);
    l->watches[slot] = (struct ipc_watch){0};
}

/* Not rung, and yet something may have woken us: a byte of a ringer that was
 * slow to write it, or the end of a watched process. */
static void hear_rest(struct ipc_layer *l)
{
    struct epoll_event events[16];
    int n = l->watches ? epoll_wait(l->poll_fd, events, 16, 0) : 0;
    if (!l->watches)
        hear_bell(l);
    for (int i = 0; i < n; i++) {
        uint32_t slot = events[i].data.u32;
        if (slot == BELL_EVENT) {
            hear_bell(l);
        } else if (l->watches[slot].gen != 0) {
            unwatch(l, slot);
            ipc_bury(l, slot);
        }
    }
}

void ipc_watch_members(struct ipc_layer *l)
{
    uint64_t namespace = hr_process_pid_namespace();
    const struct hr_geometry_row *roles = l->arena.geometry.role;
    uint32_t slot = roles[HR_ROLE_SERVER].n_slots, end = slot + roles[HR_ROLE_WORKER].n_slots;
    for (; l->watches && slot < end; slot++) {
        const struct ipc_slot *member = &l->arena.slots[slot];
        struct ipc_watch *watch = &l->watches[slot];
        uint32_t gen = atomic_load_explicit(&member->gen, memory_order_acquire);
        bool is_live = atomic_load_explicit(&member->state, memory_order_acquire) == IPC_SLOT_LIVE;
        if (watch->gen != 0 && (!is_live || watch->gen != gen))
            unwatch(l, slot);
        if (!is_live || watch->gen == gen || member->pid_namespace != namespace)
            continue;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = slot};
        watch->pidfd = hr_process_pidfd((pid_t)member->pid);
        if (watch->pidfd < 0)
            continue; /* it has just died, or we have no descriptor: the sweep will tell */
        watch->gen = gen;
        if (hr_process_start_time((pid_t)member->pid) != member->start_time ||
            epoll_ctl(l->poll_fd, EPOLL_CTL_ADD, watch->pidfd, &event) < 0)
            unwatch(l, slot);
    }
}

void ipc_dispatch(struct hr_layer *layer)
{
    struct ipc_layer *l = ipc_of(layer);
    hr_time now = hr_time_now_coarse();
    if (l->is_asleep) {
        l->is_asleep = false;
        _Atomic uint32_t *bell = &l->arena.slots[l->layer.slot].bell;
        /* relaxed: what was rung for is found by the acquires of receive. */
        if (atomic_exchange_explicit(bell, IPC_AWAKE, memory_order_relaxed) == IPC_AWAKE)
            hear_bell(l);
        else if (now != l->last_hearing) /* once a clock tick is soon enough */
            hear_rest(l);
        l->last_hearing = now;
    }
    ipc_sweep(l, now);
}
