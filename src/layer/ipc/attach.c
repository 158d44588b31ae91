/* attach.c - becoming a member of an ipc layer, and ceasing to be one.
 *
 * A layer is a directory of one user's: the arena, the lock file, a FIFO per
 * slot. Attaching is done under the admin lock: open or make the arena, find
 * a slot of our role that is free or whose owner is dead (and bury that), take
 * its lock, fill it in, and set its state last.
 *
 * After a fork the child shares the mapping but is nobody: a page that forks
 * wipe tells, and the child attaches anew on first use. What belonged to the
 * parent (slot, addresses, memberships) stays the parent's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/process.h"
#include "base/str.h"
#include "layer/ipc/handle.h"

static const char arena_prefix[] = "arena.v";

static void arena_name(char out[24])
{
    snprintf(out, 24, "%s%d", arena_prefix, IPC_LAYOUT);
}

/* ---- the directory */

static const char *user_name(uid_t uid, char buf[32])
{
    struct passwd pw, *found = NULL;
    char names[1024];
    if (getpwuid_r(uid, &pw, names, sizeof names, &found) == 0 && found)
        snprintf(buf, 32, "%s", pw.pw_name);
    else
        snprintf(buf, 32, "uid %lu", (unsigned long)uid);
    return buf;
}

static int fail_sys(const char *what, const char *directory)
{
    int error = errno;
    hr_layer_explain("cannot %s ipc:%s: %s", what, directory, strerror(error));
    if (error == ENOSPC)
        hr_layer_explain("\n  The file system is too small for the layer; give it room, or choose "
                         "another place with --layer ipc:DIRECTORY.");
    else if (error == EROFS)
        hr_layer_explain("\n  It is read-only; choose another place with --layer ipc:DIRECTORY.");
    else if (error == EMFILE || error == ENFILE)
        hr_layer_explain("\n  Raise the limit of open files (ulimit -n).");
    errno = error;
    return hr_raise(error == EACCES || error == EPERM ? HR_ERR_PERMISSION : HR_ERR_SYS);
}

static int fail_absent(const char *directory)
{
    char user[32];
    hr_layer_explain("no channel layer at ipc:%s (user %s).", directory,
                     user_name(geteuid(), user));
    return hr_raise(HR_ERR_UNAVAILABLE);
}

/* Makes the directory and those above it; there already is fine. */
static int make_directory(const char *directory)
{
    char path[4096];
    if (!hr_str_copy(path, sizeof path, hr_str_of(directory)))
        return hr_raise(HR_ERR_INVALID);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return fail_sys("make the directory of", directory);
        *at = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fail_sys("make the directory of", directory);
    return 0;
}

static int check_owner(const struct ipc_layer *l)
{
    struct stat st;
    char owner[32], us[32];
    if (fstat(l->dir_fd, &st) < 0)
        return fail_sys("look at", l->directory);
    if (st.st_uid != geteuid()) {
        user_name(st.st_uid, owner);
        hr_layer_explain("the channel layer at ipc:%s belongs to %s, and this process runs as %s.\n"
                         "  Run this as %s.",
                         l->directory, owner, user_name(geteuid(), us), owner);
        return hr_raise(HR_ERR_PERMISSION);
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        hr_layer_explain("the directory %s of the channel layer is open to others (mode %04o).\n"
                         "  Close it: chmod 700 %s",
                         l->directory, (unsigned)st.st_mode & 07777, l->directory);
        return hr_raise(HR_ERR_PERMISSION);
    }
    return 0;
}

static int open_directory(struct ipc_layer *l, bool create)
{
    int r = create ? make_directory(l->directory) : 0;
    if (r)
        return hr_trace(r);
    l->dir_fd = open(l->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->dir_fd < 0)
        return errno == ENOENT ? fail_absent(l->directory) : fail_sys("open", l->directory);
    return hr_trace(check_owner(l));
}

/* Another layout's arena in our directory is another world: refuse to make two. */
static int check_other_versions(const struct ipc_layer *l)
{
    char ours[24];
    int r = 0, fd = openat(l->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return fail_sys("list", l->directory);
    arena_name(ours);
    for (struct dirent *e = readdir(dir); e && r == 0; e = readdir(dir))
        if (hr_str_starts(hr_str_of(e->d_name), HR_LIT("arena.v")) &&
            strcmp(e->d_name, ours) != 0) {
            hr_layer_explain("ipc:%s holds a channel layer of another version (%s; this is %s).\n"
                             "  Stop the Headrace that uses it, or remove it: rm %s/%s",
                             l->directory, e->d_name, ours, l->directory, e->d_name);
            r = hr_raise(HR_ERR_VERSION);
        }
    closedir(dir);
    return r;
}

/* ---- the arena */

static int explain_arena(const struct ipc_layer *l, int r)
{
    if (r == HR_ERR_VERSION)
        hr_layer_explain("the channel layer at ipc:%s was made by another version of Headrace.\n"
                         "  Stop it, then remove the directory.",
                         l->directory);
    else if (r == HR_ERR_CORRUPT)
        hr_layer_explain("the channel layer at ipc:%s is damaged.\n"
                         "  Stop what uses it, then remove it: rm -r %s",
                         l->directory, l->directory);
    else if (r == HR_ERR_SYS)
        return fail_sys("map", l->directory);
    return hr_trace(r);
}

static int map_arena(struct ipc_layer *l, const char *name)
{
    bool read_only = l->layer.role == HR_ROLE_OBSERVER;
    struct stat st;
    int fd = openat(l->dir_fd, name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return HR_ERR_NOT_FOUND; /* not an error yet */
    if (fd < 0)
        return fail_sys("open", l->directory);
    int r = ipc_arena_open(&l->arena, fd, read_only);
    if (fstat(fd, &st) == 0)
        l->arena_ino = st.st_ino;
    close(fd);
    if (r == HR_ERR_NOT_FOUND && !read_only) /* who only reads has no admin lock */
        unlinkat(l->dir_fd, name, 0);        /* of before a reboot */
    if (r)
        ipc_arena_close(&l->arena);
    return r == HR_ERR_NOT_FOUND ? r : explain_arena(l, r);
}

bool ipc_grow(struct ipc_layer *l)
{
    hr_time now = hr_time_now_coarse();
    char name[24];
    struct stat st;
    if (ipc_arena_refresh(&l->arena))
        return true;
    if (now < atomic_load_explicit(&l->next_growth, memory_order_relaxed))
        return false;
    arena_name(name);
    int fd = openat(l->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool has_grown = fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == l->arena_ino &&
                     ipc_arena_grow(&l->arena, fd) && ipc_arena_refresh(&l->arena);
    if (fd >= 0)
        close(fd);
    if (!has_grown)
        atomic_store_explicit(&l->next_growth, now + HR_SECOND, memory_order_relaxed);
    return has_grown;
}

/* Opens the arena, making it if need be and allowed; admin lock held. */
static int get_arena(struct ipc_layer *l, const struct hr_layer_options *options)
{
    char name[24];
    arena_name(name);
    int r = check_other_versions(l);
    if (r == 0)
        r = map_arena(l, name);
    if (r != HR_ERR_NOT_FOUND)
        return hr_trace(r);
    if (!options->create)
        return fail_absent(l->directory);
    r = ipc_arena_create(l->dir_fd, name, options->geometry);
    if (r)
        return r == HR_ERR_SYS ? fail_sys("make", l->directory) : hr_trace(r);
    r = map_arena(l, name);
    return r == HR_ERR_NOT_FOUND ? fail_absent(l->directory) : hr_trace(r);
}

/* ---- the slot */

/* Takes a slot of our role; admin lock held. */
static int claim_slot(struct ipc_layer *l)
{
    uint32_t first = 0;
    for (int role = 0; role < (int)l->layer.role; role++)
        first += l->arena.geometry.role[role].n_slots;
    uint32_t n = l->arena.geometry.role[l->layer.role].n_slots;
    for (uint32_t slot = first; slot < first + n; slot++) {
        l->layer.slot = slot; /* burying its last owner goes under the slot's own name */
        if (ipc_lock_is_held(l->lock, slot))
            continue;
        if (atomic_load_explicit(&l->arena.slots[slot].state, memory_order_acquire) !=
                IPC_SLOT_FREE &&
            !ipc_bury_locked(l, slot))
            continue;
        int r = ipc_lock_slot(l->lock, slot);
        if (r == 0)
            return 0;
        if (r < 0)
            return hr_trace(r);
    }
    hr_layer_explain("the channel layer at ipc:%s has no free slot: %u %s run already.",
                     l->directory, n,
                     l->layer.role == HR_ROLE_SERVER   ? "interface servers"
                     : l->layer.role == HR_ROLE_WORKER ? "workers"
                                                       : "clients");
    return hr_raise(HR_ERR_NO_SLOT);
}

/* Writes the slot's record; `state` last makes us a member. */
static void publish_slot(struct ipc_layer *l)
{
    struct ipc_slot *s = &l->arena.slots[l->layer.slot];
    uint32_t gen = atomic_load_explicit(&s->gen, memory_order_relaxed) + 1;
    l->layer.slot_gen = gen ? gen : 1; /* 0 is no address */
    s->pid = (uint32_t)getpid();
    s->role = (uint32_t)l->layer.role;
    s->pid_namespace = hr_process_pid_namespace();
    s->start_time = hr_process_start_time(getpid());
    s->since = hr_time_now();
    memcpy(s->label, l->label, sizeof s->label);
    atomic_store_explicit(&s->flags, 0, memory_order_relaxed);
    atomic_store_explicit(&s->bell, IPC_AWAKE, memory_order_relaxed);
    atomic_store_explicit(&s->gen, l->layer.slot_gen, memory_order_relaxed);
    /* The bit first: by it sweeps find us if we die in between. release: pairs
     * with the acquires of live and of state. */
    atomic_fetch_or_explicit(&l->arena.header->live[l->layer.slot / 64],
                             UINT64_C(1) << (l->layer.slot % 64), memory_order_release);
    atomic_store_explicit(&s->state, IPC_SLOT_LIVE, memory_order_release);
}

/* The first channel is the inboxes' (channel.c); whoever comes first names it. */
static int name_inboxes(struct ipc_layer *l)
{
    uint32_t queue;
    int r = ipc_channel_get_locked(l, HR_LIT(HR_INBOX_CHANNEL), &queue);
    return r ? hr_raise(HR_ERR_CORRUPT) : 0;
}

/* The parts of a handle that belong to its slot. */
static int prepare_slot(struct ipc_layer *l)
{
    const struct hr_geometry_row *row = &l->arena.geometry.role[l->layer.role];
    l->tables = ipc_slot_tables(&l->arena, l->layer.slot);
    l->free_connections = hr_alloc(row->connections * sizeof *l->free_connections);
    l->idle_interests = hr_calloc(row->interests, sizeof *l->idle_interests);
    l->sources = hr_calloc(1, sizeof *l->sources);
    l->n_delayed = hr_calloc(l->arena.n_queues, sizeof *l->n_delayed);
    if (!l->free_connections || !l->idle_interests || !l->sources || !l->n_delayed)
        return hr_raise(HR_ERR_NOMEM);
    l->sources[0].number = l->layer.slot;
    if (!ipc_ring_of(&l->arena, l->layer.slot, &l->sources[0].ring))
        return hr_raise(HR_ERR_CORRUPT);
    l->n_sources = 1;
    l->n_seen = 0;
    l->n_connections = 1; /* 0 is the control address */
    l->n_free_connections = 0;
    for (int c = 0; c < IPC_N_CLASSES; c++)
        atomic_store_explicit(&l->finder.class[c].at, l->layer.slot * 61 % l->arena.classes[c].n,
                              memory_order_relaxed);
    ipc_group_init(l);
    return hr_trace(ipc_bell_open(l));
}

static int attach_locked(struct ipc_layer *l, const struct hr_layer_options *options)
{
    int r = get_arena(l, options);
    if (r)
        return r;
    l->layer.id = l->arena.layer_id;
    l->layer.max_message = hr_layer_message_limit(l->arena.bytes);
    if (l->layer.role == HR_ROLE_OBSERVER)
        return 0;
    if (ipc_is_poisoned(&l->arena)) {
        hr_layer_explain("the channel layer at ipc:%s is poisoned: %s.\n"
                         "  Stop what uses it, then remove it: rm -r %s",
                         l->directory, ipc_poison_text(l->arena.header->poisoned), l->directory);
        return hr_raise(HR_ERR_CORRUPT);
    }
    r = name_inboxes(l);
    if (r == 0)
        r = claim_slot(l);
    if (r)
        return hr_trace(r);
    r = prepare_slot(l);
    if (r) {
        ipc_unlock_slot(l->lock, l->layer.slot);
        return r == HR_ERR_SYS ? fail_sys("attach to", l->directory) : hr_trace(r);
    }
    publish_slot(l);
    return 0;
}

/* Everything from the directory to the slot. */
static int attach(struct ipc_layer *l, const struct hr_layer_options *options)
{
    int r = open_directory(l, options->create);
    if (r)
        return hr_trace(r);
    r = ipc_lock_ref(l->dir_fd, options->create, &l->lock);
    if (r == HR_ERR_NOMEM)
        return hr_trace(r);
    if (r)
        return errno == ENOENT ? fail_absent(l->directory) : fail_sys("open", l->directory);
    if (l->layer.role == HR_ROLE_OBSERVER)
        return attach_locked(l, options); /* only reads, and must not wait for a wedged lock */
    r = ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS);
    if (r) {
        hr_layer_explain("the channel layer at ipc:%s is being changed by a process that does not "
                         "go on; is one stopped?",
                         l->directory);
        return hr_raise(HR_ERR_UNAVAILABLE);
    }
    r = attach_locked(l, options);
    ipc_unlock_admin(l->lock);
    return r;
}

/* ---- handles */

/* Frees what belongs to the process; the slot's facts are not touched. */
static void release_process_part(struct ipc_layer *l)
{
    ipc_bell_close(l);
    l->lock = ipc_lock_unref(l->lock);
    if (l->dir_fd >= 0)
        close(l->dir_fd);
    l->dir_fd = -1;
    l->free_connections = hr_free(l->free_connections);
    l->idle_interests = hr_free(l->idle_interests);
    l->sources = hr_free(l->sources);
    l->n_delayed = hr_free(l->n_delayed);
    l->members.left = NULL;
    hr_members_fini(&l->members);
}

static void free_handle(struct ipc_layer *l)
{
    release_process_part(l);
    ipc_arena_close(&l->arena);
    if (l->layer.fork_mark)
        munmap((void *)(uintptr_t)l->layer.fork_mark, 4096);
    hr_free(l->buffer);
    hr_free(l->directory);
    l->layer.magic = 0;
    hr_free(l);
}

/* A page that reads 0 in a forked child. */
static int mark_process(struct ipc_layer *l)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return hr_raise(HR_ERR_SYS);
    l->layer.fork_mark = page;
    if (madvise(page, 4096, MADV_WIPEONFORK) < 0)
        return hr_raise(HR_ERR_SYS);
    atomic_store_explicit(l->layer.fork_mark, 1, memory_order_relaxed);
    return 0;
}

static struct ipc_layer *new_handle(struct hr_str where, const struct hr_layer_options *options)
{
    struct ipc_layer *l = hr_calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->layer =
        (struct hr_layer){.magic = HR_LAYER_MAGIC, .role = options->role, .impl = &hr_layer_ipc};
    l->dir_fd = l->bell_fd = l->poll_fd = -1;
    l->in_hand = IPC_NO_BLOCK;
    for (uint32_t i = 0; i < IPC_MAX_SLOTS; i++)
        atomic_store_explicit(&l->ring_fds[i], -1, memory_order_relaxed);
    hr_str_copy(l->label, sizeof l->label, hr_str_of(options->label));
    l->directory = hr_strndup(where.ptr, where.len);
    if (!l->directory || mark_process(l)) {
        free_handle(l);
        return NULL;
    }
    return l;
}

int ipc_open(struct hr_str where, const struct hr_layer_options *options, struct hr_layer **out)
{
    if (where.len == 0 || where.ptr[0] != '/') {
        hr_layer_explain("ipc:%.*s: the directory must be an absolute path", HR_STR(where));
        return hr_raise(HR_ERR_INVALID);
    }
    struct ipc_layer *l = new_handle(where, options);
    if (!l)
        return hr_raise(HR_ERR_NOMEM);
    int r = attach(l, options);
    if (r) {
        free_handle(l);
        return hr_trace(r);
    }
    *out = &l->layer;
    return 0;
}

static bool is_forked(const struct ipc_layer *l)
{
    return atomic_load_explicit(l->layer.fork_mark, memory_order_relaxed) == 0;
}

void ipc_close(struct hr_layer *layer)
{
    struct ipc_layer *l = ipc_of(layer);
    if (layer->role != HR_ROLE_OBSERVER && !is_forked(l) && l->lock) {
        ipc_let_go(l);
        /* Leaving is ending our own slot; without the admin lock the others will. */
        if (ipc_lock_admin(l->lock, IPC_ADMIN_PATIENCE_MS * HR_MS) == 0) {
            l->has_admin = true;
            if (!ipc_is_poisoned(&l->arena))
                ipc_recover_slot(l, layer->slot);
            ipc_unlock_slot(l->lock, layer->slot);
            ipc_unlock_admin(l->lock);
        } else {
            /* Said before the lock goes: nobody need fence off the process, which may live on. */
            atomic_store_explicit(&l->arena.slots[layer->slot].state, IPC_SLOT_DEAD,
                                  memory_order_release);
            ipc_unlock_slot(l->lock, layer->slot);
        }
    }
    free_handle(l);
}

/* In a forked child: become a member of our own, in the same arena. When that
 * fails the handle is left as an observer, which can look but not act. */
void ipc_touch(struct hr_layer *layer)
{
    struct ipc_layer *l = ipc_of(layer);
    if (!is_forked(l) || layer->role == HR_ROLE_OBSERVER)
        return;
    struct hr_layer_options options = {.role = layer->role, .label = l->label};
    struct ipc_arena parents = l->arena;
    struct ipc_lock *parents_lock = l->lock;
    atomic_store_explicit(l->layer.fork_mark, 1, memory_order_relaxed);
    l->lock = NULL; /* not ours to give back */
    l->arena = (struct ipc_arena){0};
    release_process_part(l);
    l->n_listens = 0;
    l->is_waiting = l->is_asleep = l->has_admin = false;
    l->in_hand = IPC_NO_BLOCK;
    layer->slot_gen = 0;
    if (attach(l, &options) == 0) {
        ipc_arena_close(&parents);
        return;
    }
    ipc_arena_close(&l->arena);
    l->arena = parents;
    l->lock = l->lock ? l->lock : parents_lock;
    layer->role = HR_ROLE_OBSERVER;
}
