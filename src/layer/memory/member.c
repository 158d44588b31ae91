/* member.c - a handle: its slot, its connections, what it listens to, its bell. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "layer/memory/store.h"

enum { CONTROL_CONN = 0, CONNS_AT_FIRST = 16 };

/* ---- the slot */

static struct hr_mem_slot *find_free_slot(struct hr_mem_store *store, enum hr_role role)
{
    for (uint32_t i = 0; i < store->n_slots; i++)
        if (store->slots[i].role == role && !store->slots[i].member)
            return &store->slots[i];
    return NULL;
}

static int take_slot(struct hr_mem_member *member, const struct hr_layer_options *options,
                     hr_time now)
{
    struct hr_mem_slot *slot = find_free_slot(member->store, options->role);
    if (!slot) {
        hr_layer_explain("memory:%s: all %u slots of this role are taken", member->store->name,
                         member->store->geometry.role[options->role].n_slots);
        return hr_raise(HR_ERR_NO_SLOT);
    }
    uint32_t n_counters = options->role == HR_ROLE_SERVER ? HR_COUNTERS_SERVER : HR_COUNTERS_OTHER;
    if (!slot->counters)
        slot->counters = hr_calloc(n_counters, sizeof *slot->counters);
    if (!slot->counters)
        return hr_raise(HR_ERR_NOMEM);

    slot->gen++;
    slot->member = member;
    slot->pid = getpid();
    slot->flags = 0;
    slot->since = now;
    hr_str_copy(slot->label, sizeof slot->label, hr_str_of(options->label));
    member->slot = slot;
    member->base.slot = slot->number;
    member->base.slot_gen = slot->gen;
    return 0;
}

static int make_room(struct hr_mem_member *member, const struct hr_geometry_row *row)
{
    member->max_inbox = row->inbox;
    member->max_conns = row->connections;
    member->channels =
        hr_calloc(member->store->geometry.n_channels, sizeof(struct hr_mem_channel *));
    member->conns = hr_calloc(CONNS_AT_FIRST, sizeof *member->conns);
    if (!member->channels || !member->conns)
        return hr_raise(HR_ERR_NOMEM);
    member->n_conns = 1;
    member->conns[CONTROL_CONN].is_open = true;
    return 0;
}

int hr_mem_member_init(struct hr_mem_member *member, const struct hr_layer_options *options,
                       hr_time now)
{
    hr_mem_queue_init(&member->inbox);
    hr_list_init(&member->held);
    member->fd = -1;
    if (options->role == HR_ROLE_OBSERVER)
        return 0;
    member->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (member->fd < 0) {
        hr_layer_explain("memory:%s: no file descriptor to be had (errno %d)", member->store->name,
                         errno);
        return hr_raise(HR_ERR_SYS);
    }
    int r = make_room(member, &member->store->geometry.role[options->role]);
    if (r == 0)
        r = take_slot(member, options, now);
    return hr_trace(r);
}

void hr_mem_member_fini(struct hr_mem_member *member, hr_time now)
{
    /* Our own addresses end first: what we hold must not come back to ourselves. */
    if (member->slot)
        member->slot->member = NULL;
    member->asleep_for = 0;
    hr_members_fini(&member->groups);
    while (!hr_list_is_empty(&member->held))
        hr_mem_give_back(hr_list_first(&member->held, struct hr_mem_block, node),
                         HR_REASON_WORKER_DIED, now, now);
    struct hr_mem_block *block;
    while ((block = hr_mem_queue_remove_any(&member->inbox)) != NULL)
        hr_mem_drop(block, HR_REASON_STALE);
    if (member->lent)
        hr_mem_block_unref(member->lent);
    if (member->fd >= 0)
        close(member->fd);
    hr_free(member->channels);
    hr_free(member->conns);
    /* A thread that sends may still meet us in the store's list. */
    member->n_listens = member->n_channels = 0;
}

/* ---- connections */

struct hr_mem_member *hr_mem_conn_owner(const struct hr_mem_store *store,
                                        const struct hr_addr *addr)
{
    return store->slots[addr->slot].member;
}

struct hr_mem_conn *hr_mem_conn_find(const struct hr_mem_store *store, const struct hr_addr *addr)
{
    if (addr->layer != store->id || addr->slot >= store->n_slots)
        return NULL;
    const struct hr_mem_slot *slot = &store->slots[addr->slot];
    if (!slot->member || slot->gen != addr->slot_gen || addr->conn >= slot->member->n_conns)
        return NULL;
    struct hr_mem_conn *conn = &slot->member->conns[addr->conn];
    return conn->is_open && conn->gen == addr->conn_gen ? conn : NULL;
}

static int conns_grow(struct hr_mem_member *member)
{
    if (member->n_conns == member->max_conns)
        return hr_layer_refuse(HR_FULL_COUNT);
    /* Room is CONNS_AT_FIRST times a power of two, and used up when n_conns is that. */
    uint32_t n = member->n_conns;
    if (n >= CONNS_AT_FIRST && (n & (n - 1)) == 0) {
        struct hr_mem_conn *conns = hr_realloc(member->conns, (size_t)n * 2 * sizeof *conns);
        if (!conns)
            return hr_layer_refuse(HR_FULL_MEMORY);
        member->conns = conns;
    }
    member->conns[n] = (struct hr_mem_conn){.next_free = CONTROL_CONN};
    member->free_conn = member->n_conns++;
    return 0;
}

/* Generations skip 0, which is the control address's. */
static void conn_next_gen(struct hr_mem_conn *conn)
{
    if (++conn->gen == 0)
        conn->gen = 1;
}

int hr_mem_conn_open(struct hr_mem_member *member, struct hr_addr *out)
{
    if (member->free_conn == CONTROL_CONN) { /* which is never free: none */
        int r = conns_grow(member);
        if (r)
            return r;
    }
    uint32_t number = member->free_conn;
    struct hr_mem_conn *conn = &member->conns[number];
    member->free_conn = conn->next_free;
    conn_next_gen(conn);
    conn->is_open = true;
    *out = (struct hr_addr){
        .layer = member->base.id,
        .slot = member->base.slot,
        .slot_gen = member->base.slot_gen,
        .conn = number,
        .conn_gen = conn->gen,
    };
    return 0;
}

void hr_mem_conn_renew(struct hr_mem_member *member, struct hr_addr *addr)
{
    struct hr_mem_conn *conn = hr_mem_conn_find(member->store, addr);
    if (!conn)
        return;
    conn_next_gen(conn);
    addr->conn_gen = conn->gen;
}

void hr_mem_conn_close(struct hr_mem_member *member, const struct hr_addr *addr)
{
    struct hr_mem_conn *conn = hr_mem_conn_find(member->store, addr);
    if (!conn)
        return;
    conn->is_open = false;
    conn->is_full = false;
    conn->next_free = member->free_conn;
    member->free_conn = addr->conn;
    hr_members_drop(&member->groups, addr->conn);
}

/* ---- listening */

static bool matches(const struct hr_mem_member *member, const struct hr_mem_channel *channel)
{
    for (uint32_t i = 0; i < member->n_listens; i++)
        if (hr_str_glob(member->listens[i].pattern, channel->name))
            return true;
    return false;
}

static void find_channels(struct hr_mem_member *member)
{
    member->n_channels = 0;
    for (uint32_t i = 0; i < member->store->n_channels; i++)
        if (matches(member, member->store->channels[i]))
            member->channels[member->n_channels++] = member->store->channels[i];
    member->next_source = 0;
}

static uint32_t find_listen(const struct hr_mem_member *member, struct hr_str pattern)
{
    uint32_t i = 0;
    while (i < member->n_listens && !hr_str_eq(member->listens[i].pattern, pattern))
        i++;
    return i;
}

int hr_mem_listen(struct hr_mem_member *member, struct hr_str pattern)
{
    if (find_listen(member, pattern) < member->n_listens)
        return 0;
    if (member->n_listens == HR_LAYER_MAX_LISTENS)
        return hr_layer_refuse(HR_FULL_COUNT);
    struct hr_mem_channel *channel = NULL;
    if (!hr_pattern_is_glob(pattern) && hr_mem_channel_get(member->store, pattern, &channel) != 0)
        return HR_LAYER_FULL;

    struct hr_listen *row = &member->listens[member->n_listens++];
    hr_str_copy(row->text, sizeof row->text, pattern);
    row->pattern = (struct hr_str){row->text, pattern.len};
    find_channels(member);
    return 0;
}

void hr_mem_unlisten(struct hr_mem_member *member, struct hr_str pattern)
{
    uint32_t at = find_listen(member, pattern);
    if (at == member->n_listens)
        return;
    for (member->n_listens--; at < member->n_listens; at++) {
        struct hr_listen *row = &member->listens[at];
        row->pattern.len = member->listens[at + 1].pattern.len;
        memcpy(row->text, member->listens[at + 1].text, sizeof row->text);
    }
    find_channels(member);
}

bool hr_mem_is_listening(const struct hr_mem_member *member, const struct hr_mem_channel *channel)
{
    for (uint32_t i = 0; i < member->n_channels; i++)
        if (member->channels[i] == channel)
            return true;
    return false;
}

void hr_mem_listen_new(struct hr_mem_store *store, struct hr_mem_channel *channel)
{
    hr_list_foreach (node, &store->all) {
        struct hr_mem_member *member = hr_container_of(node, struct hr_mem_member, node);
        if (matches(member, channel))
            member->channels[member->n_channels++] = channel;
    }
}

/* ---- the bell */

void hr_mem_ring(struct hr_mem_member *member, enum hr_receive_from from)
{
    if (!(member->asleep_for & from))
        return;
    member->asleep_for = 0;
    member->is_rung = true;
    uint64_t one = 1;
    ssize_t n = write(member->fd, &one, sizeof one);
    hr_assert(n == sizeof one); /* a counter of 1 cannot overflow */
}

void hr_mem_ring_listeners(const struct hr_mem_store *store, const struct hr_mem_channel *channel)
{
    hr_list_foreach (node, &store->all) {
        struct hr_mem_member *member = hr_container_of(node, struct hr_mem_member, node);
        if (member->asleep_for && hr_mem_is_listening(member, channel))
            hr_mem_ring(member, HR_RECEIVE_CHANNELS);
    }
}

void hr_mem_silence(struct hr_mem_member *member)
{
    member->asleep_for = 0;
    if (!member->is_rung)
        return;
    uint64_t count;
    ssize_t n = read(member->fd, &count, sizeof count);
    hr_assert(n == sizeof count);
    member->is_rung = false;
}

void hr_mem_renew_bell(struct hr_mem_member *member)
{
    int fd = member->fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return;
    dup3(fd, member->fd, O_CLOEXEC);
    close(fd);
    member->is_rung = false;
}
