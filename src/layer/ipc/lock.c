/* lock.c - see lock.h for the contract.
 *
 * After a fork the child holds none of the parent's locks; the registry knows
 * by pid and starts anew, leaving the parent's descriptor open in the child
 * (closing it there would not touch the parent's locks, but the child's own
 * later ones).
 */
#include "layer/ipc/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "layer/ipc/layout.h"

struct ipc_lock {
    struct ipc_lock *next;
    int fd;
    int n_refs;
    pid_t pid; /* of the process that opened it */
    dev_t dev;
    ino_t ino;
    pthread_mutex_t admin; /* record locks do not exclude threads of one process */
    uint64_t held[16];     /* slots of this process; under `registry_mutex` */
};

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ipc_lock *registry;

/* A child whose parent forked while another thread was in here could never enter. */
static void before_fork(void)
{
    pthread_mutex_lock(&registry_mutex);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&registry_mutex);
}

static void guard_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

static struct ipc_lock *registry_find(const struct stat *st)
{
    for (struct ipc_lock *l = registry; l; l = l->next)
        if (l->dev == st->st_dev && l->ino == st->st_ino && l->pid == getpid())
            return l;
    return NULL;
}

static int registry_add(int dir_fd, const struct stat *st, struct ipc_lock **out)
{
    struct ipc_lock *lock = hr_calloc(1, sizeof *lock);
    if (!lock)
        return hr_raise(HR_ERR_NOMEM);
    lock->fd = openat(dir_fd, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (lock->fd < 0) {
        hr_free(lock);
        return hr_raise(HR_ERR_SYS);
    }
    lock->pid = getpid();
    lock->dev = st->st_dev;
    lock->ino = st->st_ino;
    pthread_mutex_init(&lock->admin, NULL);
    lock->next = registry;
    registry = lock;
    *out = lock;
    return 0;
}

int ipc_lock_ref(int dir_fd, bool create, struct ipc_lock **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct stat st;
    *out = NULL;
    pthread_once(&once, guard_forks);
    /* Never open an existing file here: its close would drop our locks. */
    if (create && mknodat(dir_fd, "lock", S_IFREG | 0600, 0) < 0 && errno != EEXIST)
        return hr_raise(HR_ERR_SYS);
    if (fstatat(dir_fd, "lock", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return hr_raise(HR_ERR_SYS);

    pthread_mutex_lock(&registry_mutex);
    *out = registry_find(&st);
    int r = *out ? 0 : registry_add(dir_fd, &st, out);
    if (r == 0)
        (*out)->n_refs++;
    pthread_mutex_unlock(&registry_mutex);
    return hr_trace(r);
}

struct ipc_lock *ipc_lock_unref(struct ipc_lock *lock)
{
    if (!lock || lock->pid != getpid())
        return NULL; /* a forked child leaves its parent's alone */
    pthread_mutex_lock(&registry_mutex);
    if (--lock->n_refs == 0) {
        struct ipc_lock **at = &registry;
        while (*at != lock)
            at = &(*at)->next;
        *at = lock->next;
        close(lock->fd);
        pthread_mutex_destroy(&lock->admin);
        hr_free(lock);
    }
    pthread_mutex_unlock(&registry_mutex);
    return NULL;
}

/* One try for byte `at`: 0, 1 when another process has it, or an error. */
static int lock_byte(const struct ipc_lock *lock, uint32_t at, short type)
{
    struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
    while (fcntl(lock->fd, F_SETLK, &f) < 0) {
        if (errno == EACCES || errno == EAGAIN)
            return 1;
        if (errno != EINTR)
            return hr_raise(HR_ERR_SYS);
    }
    return 0;
}

int ipc_lock_admin(struct ipc_lock *lock, hr_time patience)
{
    hr_time deadline = hr_time_add(hr_time_now(), patience);
    struct timespec pause = {.tv_nsec = 200 * HR_US};
    /* Waiting in steps, since a holder that is stopped would hold us for ever. */
    for (;;) {
        int r = pthread_mutex_trylock(&lock->admin) == 0 ? 0 : 1;
        if (r == 0) {
            r = lock_byte(lock, 0, F_WRLCK);
            if (r == 0)
                return 0;
            pthread_mutex_unlock(&lock->admin);
            if (r < 0)
                return hr_trace(r);
        }
        if (hr_time_now() >= deadline)
            return hr_raise(HR_ERR_TIMEOUT);
        nanosleep(&pause, NULL);
    }
}

void ipc_unlock_admin(struct ipc_lock *lock)
{
    int r = lock_byte(lock, 0, F_UNLCK);
    hr_assert(r == 0);
    pthread_mutex_unlock(&lock->admin);
}

static bool is_ours(struct ipc_lock *lock, uint32_t slot)
{
    return lock->held[slot / 64] >> (slot % 64) & 1;
}

int ipc_lock_slot(struct ipc_lock *lock, uint32_t slot)
{
    hr_assert(slot < IPC_MAX_SLOTS);
    pthread_mutex_lock(&registry_mutex);
    int r = is_ours(lock, slot) ? 1 : lock_byte(lock, 1 + slot, F_WRLCK);
    if (r == 0)
        lock->held[slot / 64] |= UINT64_C(1) << (slot % 64);
    pthread_mutex_unlock(&registry_mutex);
    return r;
}

void ipc_unlock_slot(struct ipc_lock *lock, uint32_t slot)
{
    pthread_mutex_lock(&registry_mutex);
    lock->held[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    int r = lock_byte(lock, 1 + slot, F_UNLCK);
    pthread_mutex_unlock(&registry_mutex);
    hr_assert(r == 0);
}

bool ipc_lock_is_held(struct ipc_lock *lock, uint32_t slot)
{
    pthread_mutex_lock(&registry_mutex);
    bool ours = is_ours(lock, slot);
    pthread_mutex_unlock(&registry_mutex);
    if (ours)
        return true;
    struct flock f = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(1 + slot), .l_len = 1};
    /* A failing probe counts as held: recovery must never act on a doubt. */
    return fcntl(lock->fd, F_GETLK, &f) < 0 || f.l_type != F_UNLCK;
}
