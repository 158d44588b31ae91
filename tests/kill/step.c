/* step.c - a process is killed at every instruction of a layer call.
 *
 * A child attaches to a tiny arena, brings it into a state, and is then
 * single-stepped through one call. After each instruction that changed the
 * arena, the image as a kill would leave it is copied, the child's slot is
 * recovered in the copy, and the copy is checked: the arena is in order
 * (fsck.h), nothing leaked, every message that had been committed is there
 * exactly once and in order, the one under way at most once, and the next 1000
 * sends and receives work. In between the child is really killed instead, and
 * the real arena checked the same way.
 *
 * usage: step        every image, one real kill a call
 *        step all    every image, a real kill at every change
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "layer/ipc/fsck.h"
#include "layer/ipc/handle.h"

/* Four slots: the checker's (a client), the victim's and a peer's (workers), a server's. */
static const struct hr_geometry tiny = {
    .bytes = 2 << 20,
    .max_bytes = (2 << 20) + IPC_SEGMENT,
    .n_channels = 6,
    .role = {[HR_ROLE_SERVER] = {.n_slots = 1, .inbox = 64, .connections = 8, .interests = 4},
             [HR_ROLE_WORKER] = {.n_slots = 2, .inbox = 64, .connections = 8, .interests = 4},
             [HR_ROLE_CLIENT] = {.n_slots = 1, .inbox = 64, .connections = 8, .interests = 4}},
};

static char directory[64];
static struct hr_layer *server; /* the parent's member: owns the reply address */
static struct hr_addr reply;

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "step: %s: %s\n", what, detail);
    exit(1);
}

static struct hr_layer *join(enum hr_role role, const char *label)
{
    char url[80];
    struct hr_layer *l;
    snprintf(url, sizeof url, "ipc:%s", directory);
    struct hr_layer_options options = {
        .role = role, .create = true, .geometry = &tiny, .label = label};
    if (hr_layer_open(url, &options, &l))
        fail("open", hr_layer_open_error());
    return l;
}

static void remove_layer(void)
{
    DIR *dir = opendir(directory);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(directory);
}

/* ---- messages: a number each, in order; large ones fill a chain of two blocks */

enum { SMALL = 40, LARGE = 70000, NEW = 1000, DELAYED = 1001 };
static const struct hr_str channel = {"work", 4};
static uint8_t payload[LARGE];

static int send_number(struct hr_layer *l, uint32_t number, size_t len, bool is_leased)
{
    struct hr_send_options options = {.seq = number, .expires_in = HR_NEVER};
    if (is_leased)
        options.reply = reply;
    if (number == DELAYED)
        options.delay = HR_SECOND;
    memcpy(payload, &number, sizeof number);
    return hr_layer_send(l, channel, payload, len, &options);
}

static void must(int r, const char *what)
{
    if (r)
        fail(what, hr_error_name(r));
}

/* ---- states and calls of the victim */

struct victim {
    struct hr_layer *layer;
    struct hr_addr own;
    struct hr_delivery delivery;
};

static uint32_t state_len; /* SMALL or LARGE messages */
static bool state_leased;
static uint32_t state_queued;

/* Before the parent fills the queue. */
static void listens(struct victim *v)
{
    must(hr_layer_listen(v->layer, channel), "listen");
}

/* Brings the ring near its wrap. */
static void turn_ring(struct victim *v)
{
    struct hr_delivery d;
    listens(v);
    for (int i = 0; i < IPC_MIN_RING - 1; i++) {
        must(send_number(v->layer, 0, SMALL, false), "turn");
        must(hr_layer_receive(v->layer, HR_RECEIVE_ALL, &d), "turn");
    }
    must(hr_layer_prepare(v->layer, HR_RECEIVE_ALL), "let go");
}

/* After it. */
static void nothing(struct victim *v)
{
    (void)v;
}
static void take_one(struct victim *v)
{
    must(hr_layer_receive(v->layer, HR_RECEIVE_ALL, &v->delivery), "take");
}

static void call_send(struct victim *v)
{
    (void)!send_number(v->layer, NEW, state_len, state_leased);
}
static void call_send_delayed(struct victim *v)
{
    (void)!send_number(v->layer, DELAYED, state_len, state_leased);
}
static void call_receive(struct victim *v)
{
    (void)!hr_layer_receive(v->layer, HR_RECEIVE_ALL, &v->delivery);
}
static void call_ack(struct victim *v)
{
    (void)!hr_layer_ack(v->layer, &v->delivery.lease);
}
static void call_nack(struct victim *v)
{
    (void)!hr_layer_nack(v->layer, &v->delivery.lease, HR_REASON_APP);
}
static void call_nack_later(struct victim *v)
{
    (void)!hr_layer_nack_after(v->layer, &v->delivery.lease, HR_REASON_APP, HR_SECOND);
}
static void call_join(struct victim *v)
{
    (void)!hr_layer_group_add_addr(v->layer, HR_LIT("room"), &reply);
}
static void call_leave(struct victim *v)
{
    (void)!hr_layer_group_discard_addr(v->layer, HR_LIT("room"), &reply);
}
static void call_group_send(struct victim *v)
{
    (void)!hr_layer_group_send(v->layer, HR_LIT("room"), payload, SMALL, NULL);
}
static void call_connect(struct victim *v)
{
    (void)!hr_layer_address_open(v->layer, &v->own);
    must(hr_layer_group_add_addr(v->layer, HR_LIT("own"), &v->own), "own group");
    hr_layer_address_close(v->layer, &v->own);
}
static void call_detach(struct victim *v)
{
    hr_layer_close(v->layer);
}
static void join_room(struct victim *v)
{
    call_join(v);
}

/* Two messages fail as often as allowed; the first is then retried, the second stays. */
static void bury_two(struct victim *v)
{
    for (int i = 0; i < 2; i++) {
        take_one(v);
        must(hr_layer_nack(v->layer, &v->delivery.lease, HR_REASON_APP), "bury");
    }
}
/* Owns every block there is. */
static void use_up(struct victim *v)
{
    struct ipc_layer *l = ipc_of(v->layer);
    while (ipc_block_alloc(&l->arena, &l->finder, l->layer.slot, 0,
                           IPC_ALLOC_CONTROL | IPC_ALLOC_ANY) != IPC_NO_BLOCK)
        ;
}

static int retry_the_first(void *arg, const struct hr_letter *letter)
{
    (void)arg;
    return letter->number == 1 ? HR_LETTER_RETRY : HR_LETTER_KEEP;
}
static void call_retry(struct victim *v)
{
    struct hr_letter_fates fates;
    (void)!hr_layer_letters_decide(v->layer, HR_LIT("dead.work"), retry_the_first, NULL, &fates);
}

/* What it will take is its own. */
static void fill_itself(struct victim *v)
{
    for (uint32_t i = 1; i <= state_queued; i++)
        must(send_number(v->layer, i, state_len, state_leased), "fill");
}

/* A peer takes a message and keeps it for longer than its lease. */
static void let_a_peer_dawdle(struct victim *v)
{
    (void)v;
    pid_t peer = fork();
    if (peer == 0) {
        struct hr_delivery d;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct hr_layer *l = join(HR_ROLE_WORKER, "peer");
        must(hr_layer_listen(l, channel), "listen");
        must(hr_layer_receive(l, HR_RECEIVE_ALL, &d), "peer takes");
        raise(SIGSTOP);
    }
    waitpid(peer, NULL, WUNTRACED);
    usleep(30000);
}
static void call_sweep(struct victim *v)
{
    struct ipc_layer *l = ipc_of(v->layer);
    l->next_sweep = 0;
    atomic_store(&l->arena.header->last_sweep, 0);
    ipc_sweep(l, hr_time_now());
}

/* A peer takes a message (and sends an unfinished one) and is killed; the
 * victim is to recover it. */
static void kill_a_peer(struct victim *v)
{
    (void)v;
    pid_t peer = fork();
    if (peer == 0) {
        struct hr_layer *l = join(HR_ROLE_WORKER, "peer");
        struct hr_draft draft;
        struct hr_delivery d;
        must(hr_layer_listen(l, channel), "listen");
        must(hr_layer_receive(l, HR_RECEIVE_ALL, &d), "peer takes");
        must(hr_layer_draft(l, channel, LARGE, NULL, &draft), "peer drafts");
        raise(SIGKILL);
    }
    waitpid(peer, NULL, 0);
}
static void call_recover(struct victim *v)
{
    ipc_bury(ipc_of(v->layer), 2);
}

static const struct scenario {
    const char *name;
    void (*before)(struct victim *v);
    void (*after)(struct victim *v);
    void (*call)(struct victim *v);
    uint32_t n_queued;
    uint32_t len;
    bool is_leased;
    bool takes;        /* the head of the queue may be gone */
    bool sends;        /* message 1000 may be there */
    bool returns;      /* the head may come back to the server */
    bool acks;         /* and may be done with */
    uint32_t attempts; /* not 0: at-least-once, so often */
    bool has_letters;  /* the second message is among the dead letters, which are at-most-once */
    bool fills;        /* the victim fills the queue itself */
} scenarios[] = {
    {"send to an empty queue", listens, nothing, call_send, 0, SMALL, false, .sends = true},
    {"send to a full queue", listens, nothing, call_send, 100, SMALL, false, .sends = false},
    {"send at the ring's wrap", turn_ring, nothing, call_send, 2, SMALL, false, .sends = true},
    {"send a chain", listens, nothing, call_send, 1, LARGE, false, .sends = true},
    {"send leased", listens, nothing, call_send, 1, SMALL, true, .sends = true},
    {"send to an arena that grows", listens, use_up, call_send, 1, SMALL, false, .sends = true},
    {"send a chain, growing", listens, use_up, call_send, 1, LARGE, false, .sends = true},
    {"receive", listens, nothing, call_receive, 3, SMALL, false, .takes = true},
    {"receive from an empty queue", listens, nothing, call_receive, 0, SMALL, false,
     .sends = false},
    {"receive at the ring's wrap", turn_ring, nothing, call_receive, 3, SMALL, false,
     .takes = true},
    {"receive a chain", listens, nothing, call_receive, 2, LARGE, false, .takes = true},
    {"receive leased", listens, nothing, call_receive, 2, SMALL, true, .takes = true,
     .returns = true},
    {"receive a leased chain", listens, nothing, call_receive, 2, LARGE, true, .takes = true,
     .returns = true},
    {"ack", listens, take_one, call_ack, 2, SMALL, true, .takes = true, .returns = true,
     .acks = true},
    {"ack a chain", listens, take_one, call_ack, 2, LARGE, true, .takes = true, .returns = true,
     .acks = true},
    {"nack", listens, take_one, call_nack, 2, SMALL, true, .takes = true, .returns = true},
    {"join", listens, nothing, call_join, 1, SMALL, false, .sends = false},
    {"leave", listens, join_room, call_leave, 1, SMALL, false, .sends = false},
    {"group send", listens, join_room, call_group_send, 1, SMALL, false, .sends = false},
    {"open and close an address", listens, nothing, call_connect, 1, SMALL, false, .sends = false},
    {"recover a dead peer", listens, kill_a_peer, call_recover, 3, SMALL, true, .takes = true,
     .returns = true},
    {"receive our own", listens, fill_itself, call_receive, 3, SMALL, false, .takes = true,
     .fills = true},
    {"receive our own, leased", listens, fill_itself, call_receive, 3, SMALL, true, .takes = true,
     .returns = true, .fills = true},
    {"send delayed", listens, nothing, call_send_delayed, 1, SMALL, false, .sends = true},
    {"receive at-least-once", listens, nothing, call_receive, 3, SMALL, false, .attempts = 3},
    {"ack at-least-once", listens, take_one, call_ack, 3, SMALL, false, .takes = true, .acks = true,
     .attempts = 3},
    {"nack to redelivery", listens, take_one, call_nack, 3, SMALL, false, .attempts = 3},
    {"nack to the dead letters", listens, take_one, call_nack, 3, SMALL, false, .attempts = 1},
    {"nack to a later time", listens, take_one, call_nack_later, 3, SMALL, false, .attempts = 3},
    {"retry a dead letter", listens, bury_two, call_retry, 3, SMALL, false, .attempts = 1,
     .has_letters = true},
    {"retry a chain", listens, bury_two, call_retry, 3, LARGE, false, .attempts = 1,
     .has_letters = true},
    {"a lease that ends", listens, let_a_peer_dawdle, call_sweep, 3, SMALL, false, .attempts = 3},
    {"the last lease ends", listens, let_a_peer_dawdle, call_sweep, 3, SMALL, false, .attempts = 1},
    {"detach", listens, take_one, call_detach, 2, SMALL, true, .takes = true, .returns = true},
};

/* ---- checking an image */

enum { VICTIM_SLOT = 1, PEER_SLOT = 2, CHECKER_SLOT = 3 };

/* A member that works on an image in our own memory. */
static void checker_init(struct ipc_layer *c, void *image, size_t bytes)
{
    memset(c, 0, sizeof *c);
    c->layer = (struct hr_layer){.magic = HR_LAYER_MAGIC,
                                 .role = HR_ROLE_CLIENT,
                                 .impl = &hr_layer_ipc,
                                 .slot = CHECKER_SLOT,
                                 .slot_gen = 1,
                                 .max_message = tiny.bytes / 8};
    c->dir_fd = c->bell_fd = c->poll_fd = -1;
    c->in_hand = IPC_NO_BLOCK;
    c->has_admin = true;
    for (int i = 0; i < IPC_MAX_SLOTS; i++)
        atomic_store(&c->ring_fds[i], -1);
    must(ipc_arena_adopt(&c->arena, image, bytes), "adopt");
    c->layer.id = c->arena.layer_id;
    static struct ipc_source sources[3];
    static uint16_t n_delayed[64];
    c->n_delayed = n_delayed;
    c->next_collection = INT64_MAX;
    c->lock = ipc_of(server)->lock;
    c->sources = sources;
    sources[0].number = CHECKER_SLOT;
    c->n_sources = 1;
    static _Atomic uint32_t mark = 1;
    c->layer.fork_mark = &mark;
    struct ipc_slot *slot = &c->arena.slots[CHECKER_SLOT];
    atomic_store(&slot->state, IPC_SLOT_LIVE);
    atomic_store(&slot->gen, 1);
}

static const struct scenario *current;
static char where[96];

static void violation(const char *what, uint32_t detail)
{
    fprintf(stderr, "step: %s, after instruction %s: %s (%u)\n", current->name, where, what,
            detail);
    exit(1);
}

static uint32_t number_of(const struct hr_delivery *d)
{
    uint32_t number = 0;
    memcpy(&number, d->data, sizeof number);
    return number;
}

/* The channel and, where there are any, its dead letters. */
static void find_sources(struct ipc_layer *c)
{
    static const struct hr_str names[] = {{"work", 4}, {"dead.work", 9}};
    c->n_sources = 1;
    for (int i = 0; i < 2; i++) {
        struct ipc_source *source = &c->sources[c->n_sources];
        source->number = ipc_channel_find(&c->arena, names[i]);
        if (source->number != IPC_NO_QUEUE &&
            !ipc_ring_of(&c->arena, source->number, &source->ring))
            violation("the channel has no ring", source->number);
        c->n_sources += source->number != IPC_NO_QUEUE;
    }
    c->n_seen = atomic_load(&c->arena.header->n_channels);
}

/* The queue must hold what was committed, once and, but for redeliveries, in
 * order. Returns how many are not there. */
static uint32_t check_messages(struct ipc_layer *c)
{
    struct hr_delivery d;
    uint32_t expected = 1, n_gone = current->n_queued;
    bool seen[128] = {false}, saw_new = false;
    find_sources(c);
    while (ipc_receive(&c->layer, HR_RECEIVE_CHANNELS, &d) == 0) {
        uint32_t number = number_of(&d);
        if (d.len != current->len)
            violation("a message has another length", (uint32_t)d.len);
        if (hr_lease_is_set(&d.lease))
            must(ipc_ack(&c->layer, &d.lease), "ack of a checked message");
        if (number >= NEW) {
            if (saw_new || !current->sends)
                violation("the new message is there twice", number);
            saw_new = true;
            continue;
        }
        if (number > current->n_queued || seen[number])
            violation("a message is there twice", number);
        /* The first is the one that may come back. */
        bool is_redelivered = current->attempts > 0 && (number == 1 || current->has_letters);
        if (!is_redelivered && (saw_new || number < expected))
            violation("a message is out of order", number);
        seen[number] = true;
        n_gone--;
        expected = is_redelivered ? expected : number + 1;
    }
    ipc_let_go(c);
    if (n_gone > (current->takes ? 1u : 0u))
        violation("committed messages are lost", n_gone);
    return n_gone;
}

static uint32_t count_died(const struct ipc_layer *c)
{
    const struct ipc_queue *q = &c->arena.queues[ipc_channel_find(&c->arena, channel)];
    return (uint32_t)atomic_load(&q->n_dropped[HR_REASON_WORKER_DIED]);
}

static void check_order(struct ipc_arena *a, bool must_be_empty)
{
    struct ipc_fsck report;
    must(ipc_fsck(a, &report), "fsck");
    if (report.n_errors)
        violation(report.first, report.n_errors);
    char text[96];
    snprintf(text, sizeof text, "leaked: %u queued, %u held, %u tails, %u with the layer",
             report.n_queued, report.n_held, report.n_tails, report.n_with_layer);
    uint32_t n = report.n_queued + report.n_held + report.n_tails + report.n_with_layer;
    if (must_be_empty && n > 0)
        violation(text, n);
}

/* Their own dead letters are a channel too many: nothing may be buried twice. */
static void check_buried_once(const struct ipc_layer *c)
{
    if (ipc_channel_find(&c->arena, HR_LIT("dead.dead.work")) != IPC_NO_QUEUE)
        violation("a dead letter was buried again", 0);
}

/* Empties the server's inbox in the image: returned leases, joins, broadcasts. */
static uint32_t check_server_inbox(struct ipc_layer *c)
{
    struct ipc_ring inbox;
    struct ipc_taken taken;
    uint32_t n_returned = 0;
    if (!ipc_ring_of(&c->arena, 0, &inbox))
        violation("the server's inbox is gone", 0);
    while (ipc_queue_take(&c->arena, &inbox, CHECKER_SLOT, 0, &taken) == 0) {
        n_returned += ipc_block_at(&c->arena, taken.block)->kind == IPC_LEASE_LOST;
        ipc_word_store_raw(&c->arena, taken.block, ipc_word_label(taken.word, 0, CHECKER_SLOT + 1));
        ipc_queue_release(&inbox, taken.position);
        ipc_block_free(&c->arena, &c->finder, taken.block);
    }
    if (n_returned > (current->returns ? 1u : 0u))
        violation("a lease came back more than once", n_returned);
    return n_returned;
}

static void check_next_thousand(struct ipc_layer *c)
{
    struct hr_delivery d;
    for (uint32_t i = 0; i < 1000; i++) {
        if (send_number(&c->layer, i, SMALL, false))
            violation("a send fails afterwards", i);
        if (ipc_receive(&c->layer, HR_RECEIVE_CHANNELS, &d) || number_of(&d) != i)
            violation("a receive fails afterwards", i);
        if (hr_lease_is_set(&d.lease))
            must(ipc_ack(&c->layer, &d.lease), "ack afterwards");
    }
    ipc_let_go(c);
}

/* What the layer holds, delayed or not to be handed back at once, is due now. */
static void sweep_all(struct ipc_layer *c)
{
    for (uint32_t i = 0; i < ipc_n_blocks(&c->arena); i++)
        if (ipc_word_load(&c->arena, i).owner == IPC_OWNER_LAYER)
            atomic_store(&ipc_block_at(&c->arena, i)->taken, 0);
    c->next_sweep = 0;
    atomic_store(&c->arena.header->last_sweep, 0);
    ipc_sweep(c, hr_time_now());
}

static void check_image(void *image, size_t bytes)
{
    static struct ipc_layer c;
    checker_init(&c, image, bytes);
    for (uint32_t slot = 0; slot < CHECKER_SLOT; slot++)
        if (atomic_load(&c.arena.slots[slot].state) != IPC_SLOT_FREE &&
            !(atomic_load(&c.arena.header->live[0]) >> slot & 1))
            violation("no sweep would find the slot", slot);
    ipc_recover_slot(&c, VICTIM_SLOT);
    ipc_recover_slot(&c, PEER_SLOT);
    sweep_all(&c);
    check_order(&c.arena, false);
    uint32_t n_gone = check_messages(&c), n_returned = check_server_inbox(&c);
    if (!current->acks && n_gone != n_returned + count_died(&c))
        violation("a message is lost in silence", n_gone);
    check_buried_once(&c);
    check_order(&c.arena, true);
    check_next_thousand(&c);
    check_order(&c.arena, true);
}

/* ---- stepping */

static void victim_main(void)
{
    static struct victim v;
    v.layer = join(HR_ROLE_WORKER, "victim");
    current->before(&v);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP); /* the parent fills the queue */
    current->after(&v);
    raise(SIGSTOP); /* the parent begins to step */
    current->call(&v);
    raise(SIGSTOP);
    pause();
}

/* The arena as the parent sees it, with room to grow. */
static uint8_t *map_arena(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/arena.v%d", directory, IPC_LAYOUT);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("open", path);
    void *map = mmap(NULL, tiny.max_bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return map;
}

static size_t arena_bytes(void)
{
    char path[96];
    struct stat st;
    snprintf(path, sizeof path, "%s/arena.v%d", directory, IPC_LAYOUT);
    if (stat(path, &st))
        fail("stat", path);
    return (size_t)st.st_size;
}

/* Has an instruction changed a fact? The bytes that a block carries are private
 * to its owner until it is queued and are not looked at: that makes a step cheap. */
static bool has_changed(struct ipc_arena *now, const uint8_t *before)
{
    const uint8_t *base = now->base;
    ipc_arena_refresh(now);
    size_t tables = (size_t)((uintptr_t)now->named - (uintptr_t)base);
    size_t from = (size_t)((uintptr_t)now->connections - (uintptr_t)base);
    size_t words = (size_t)((uintptr_t)&now->words[ipc_n_blocks(now)] - (uintptr_t)base);
    if (memcmp(base, before, tables) != 0 || memcmp(base + from, before + from, words - from) != 0)
        return true;
    for (uint32_t i = 0; i < ipc_n_blocks(now); i++) {
        size_t at = (size_t)((const uint8_t *)ipc_block_at(now, i) - base);
        if (memcmp(base + at, before + at, sizeof(struct ipc_block)) != 0)
            return true;
    }
    return false;
}

static bool step(pid_t pid)
{
    int status;
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status))
        fail("victim", "ended by itself");
    if (WSTOPSIG(status) == SIGSTOP)
        return false; /* the call has returned */
    if (WSTOPSIG(status) != SIGTRAP)
        fail("victim", strsignal(WSTOPSIG(status)));
    return true;
}

/* The victim is gone for good: bury it in the real arena and compare. */
static void check_real_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    size_t bytes = arena_bytes();
    struct hr_layer *undertaker = join(HR_ROLE_CLIENT, "undertaker");
    ipc_bury(ipc_of(undertaker), VICTIM_SLOT);
    ipc_bury(ipc_of(undertaker), PEER_SLOT);
    hr_layer_close(undertaker);
    uint8_t *arena = map_arena();
    uint8_t *image = aligned_alloc(4096, bytes);
    memcpy(image, arena, bytes);
    check_image(image, bytes);
    free(image);
    munmap(arena, tiny.max_bytes);
}

/* Steps through one scenario; a victim that is to die does so after `kill_after`
 * changes (0: never). Returns the number of changes. */
static unsigned run(const struct scenario *s, unsigned kill_after)
{
    unsigned n_steps = 0, n_changes = 0;
    current = s;
    snprintf(directory, sizeof directory, "/dev/shm/headrace-step-%ld", (long)getpid());
    remove_layer();
    server = join(HR_ROLE_SERVER, "server");
    must(hr_layer_address_open(server, &reply), "address");

    state_len = current->len;
    state_leased = current->is_leased;
    state_queued = current->n_queued;
    struct hr_channel_policy policy = {.pattern = "*", /* the dead letters too */
                                       .max_messages = 100,
                                       .delivery = HR_AT_LEAST_ONCE,
                                       .lease = 10 * HR_MS,
                                       .attempts = current->attempts};
    if (current->has_letters)
        hr_str_copy(policy.pattern, sizeof policy.pattern, channel);
    if (current->attempts > 0)
        must(hr_layer_set_policies(server, &policy, 1), "policies");

    pid_t pid = fork();
    if (pid == 0)
        victim_main();
    waitpid(pid, NULL, 0);
    /* Sent by a process that lives on: what the victim takes is not its own. */
    for (uint32_t i = 1; i <= current->n_queued && !current->fills; i++)
        must(send_number(server, i, state_len, state_leased), "fill");
    int status = 0;
    do { /* other signals, of a peer that died, pass by */
        ptrace(PTRACE_CONT, pid, NULL, NULL);
        waitpid(pid, &status, 0);
    } while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP);
    uint8_t *arena = map_arena();
    uint8_t *before = calloc(1, tiny.max_bytes), *image = aligned_alloc(4096, tiny.max_bytes);
    memcpy(before, arena, tiny.bytes);
    bool is_dead = false;
    struct ipc_arena view;
    must(ipc_arena_adopt(&view, arena, tiny.max_bytes), "adopt");
    while (step(pid)) {
        n_steps++;
        if (!has_changed(&view, before))
            continue;
        size_t bytes = arena_bytes();
        memcpy(before, arena, bytes);
        snprintf(where, sizeof where, "%u (change %u)", n_steps, ++n_changes);
        if (kill_after == n_changes) {
            check_real_kill(pid);
            is_dead = true;
            break;
        }
        if (kill_after == 0) {
            memcpy(image, arena, bytes);
            check_image(image, bytes);
        }
    }
    if (!is_dead) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    munmap(arena, tiny.max_bytes);
    free(before);
    free(image);
    hr_layer_close(server);
    remove_layer();
    return n_changes;
}

/* `rep movsb` traps once a byte under single-stepping; plain moves are enough. */
static void avoid_slow_copies(char **argv)
{
    if (getenv("GLIBC_TUNABLES"))
        return;
    setenv("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=100000000", 1);
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    bool is_whole = argc > 1 && strcmp(argv[1], "all") == 0;
    unsigned n_images = 0, n_kills = 0;
    avoid_slow_copies(argv);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        unsigned n = run(&scenarios[i], 0);
        unsigned every = is_whole ? 1 : n / 2 + 1;
        for (unsigned k = every; k <= n; k += every, n_kills++)
            run(&scenarios[i], k);
        printf("%-28s %4u changes\n", scenarios[i].name, n);
        fflush(stdout);
        n_images += n;
    }
    printf("%u images and %u kills checked, 0 violations\n", n_images, n_kills);
    return 0;
}
