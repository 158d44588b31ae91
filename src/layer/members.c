/* members.c - see members.h for the contract.
 *
 *   by_name --> group {id, head, tail, n} --> node <-> node <-> node   in order of serial
 *   first[conn] ----------------------------> node <-> node            the connection's groups
 *   index[hash(conn, group id)] ------------> node                     is it a member already?
 *
 * A node stands in two lists, linked by 32-bit numbers instead of pointers,
 * which is what keeps a membership at 32 bytes. Nodes live in chunks that
 * never move; number 0 is nobody.
 *
 * Every join draws a serial number that is never drawn again, and a group's
 * list is in the order of its serials. A cursor keeps the serial of the member
 * it gave last, and number and serial of the next one. If that still stands
 * there, the step is one comparison; if it has left (the number may be
 * somebody else's by now, the serial tells), the list is searched for the
 * first serial past the last one given. The cursor's limit is the serial drawn
 * last when the walk began, so a walk in which everybody joins again ends.
 */
#include "layer/members.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    CHUNK_NODES = 1024,
    NOBODY = 0,
};

struct hr_members_node {
    uint64_t serial; /* 0 while free */
    uint32_t conn;
    uint32_t group;                /* id */
    uint32_t conn_next, conn_prev; /* the connection's other groups; conn_next links free nodes */
    uint32_t group_next, group_prev;
};
_Static_assert(sizeof(struct hr_members_node) == 32, "what a membership costs");

struct hr_members_group {
    uint32_t id;
    uint32_t head, tail;
    uint32_t n;
    struct hr_str name; /* points behind the struct */
};

/* Words of struct hr_member_cursor. */
enum { CURSOR_LIMIT, CURSOR_LAST, CURSOR_NEXT_SERIAL, CURSOR_NEXT_NODE };

static struct hr_members_node *node_at(const struct hr_members *m, uint32_t number)
{
    hr_assert(number != NOBODY && number <= m->n_nodes);
    return &m->chunks[(number - 1) / CHUNK_NODES][(number - 1) % CHUNK_NODES];
}

static struct hr_members_group *find_group(const struct hr_members *m, struct hr_str name)
{
    return hr_table_get(&m->by_name, name);
}

/* ---- the index: open addressing, linear probing, at most three quarters full */

static uint32_t index_hash(uint32_t conn, uint32_t group)
{
    /* Connection numbers and ids are small and ours, nobody chooses them: a
     * multiplication (Fibonacci hashing) spreads them well enough. */
    uint64_t key = (uint64_t)group << 32 | conn;
    return (uint32_t)((key ^ key >> 29) * 0x9e3779b97f4a7c15u >> 32);
}

/* The slot of (conn, group), or the free one where it would go. */
static uint32_t index_find(const struct hr_members *m, uint32_t conn, uint32_t group)
{
    uint32_t mask = m->n_index - 1;
    uint32_t at = index_hash(conn, group) & mask;
    while (m->index[at] != NOBODY) {
        const struct hr_members_node *node = node_at(m, m->index[at]);
        if (node->conn == conn && node->group == group)
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static uint32_t find_node(const struct hr_members *m, uint32_t conn, uint32_t group)
{
    return m->n_index ? m->index[index_find(m, conn, group)] : (uint32_t)NOBODY;
}

/* Closes the gap that a removal leaves, so that there are no tombstones:
 * whatever stands behind it and hashes to it or before it moves up. */
static void index_remove(struct hr_members *m, uint32_t conn, uint32_t group)
{
    uint32_t mask = m->n_index - 1;
    uint32_t gap = index_find(m, conn, group);
    hr_assert(m->index[gap] != NOBODY);

    for (uint32_t at = (gap + 1) & mask; m->index[at] != NOBODY; at = (at + 1) & mask) {
        const struct hr_members_node *node = node_at(m, m->index[at]);
        uint32_t home = index_hash(node->conn, node->group) & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            m->index[gap] = m->index[at];
            gap = at;
        }
    }
    m->index[gap] = NOBODY;
}

static int index_reserve(struct hr_members *m)
{
    if ((uint64_t)m->n_members + 1 <= (uint64_t)m->n_index * 3 / 4)
        return 0;

    uint32_t *old = m->index;
    uint32_t n_old = m->n_index;
    uint32_t *grown = hr_calloc(n_old ? (size_t)n_old * 2 : 16, sizeof *grown);
    if (!grown)
        return hr_raise(HR_ERR_NOMEM);
    m->index = grown;
    m->n_index = n_old ? n_old * 2 : 16;
    for (uint32_t i = 0; i < n_old; i++) {
        if (old[i] == NOBODY)
            continue;
        const struct hr_members_node *node = node_at(m, old[i]);
        m->index[index_find(m, node->conn, node->group)] = old[i];
    }
    hr_free(old);
    return 0;
}

/* ---- nodes */

static int nodes_reserve(struct hr_members *m)
{
    if (m->free_node != NOBODY || m->n_nodes < m->n_chunks * CHUNK_NODES)
        return 0;

    struct hr_members_node **chunks =
        hr_realloc(m->chunks, (m->n_chunks + 1) * sizeof(struct hr_members_node *));
    if (!chunks)
        return hr_raise(HR_ERR_NOMEM);
    m->chunks = chunks;
    chunks[m->n_chunks] = hr_alloc(CHUNK_NODES * sizeof(struct hr_members_node));
    if (!chunks[m->n_chunks])
        return hr_raise(HR_ERR_NOMEM);
    m->n_chunks++;
    return 0;
}

static uint32_t node_take(struct hr_members *m)
{
    uint32_t number = m->free_node;
    if (number == NOBODY)
        return ++m->n_nodes;
    m->free_node = node_at(m, number)->conn_next;
    return number;
}

static int first_reserve(struct hr_members *m, uint32_t conn)
{
    if (conn < m->n_first)
        return 0;
    uint32_t n = m->n_first ? m->n_first : 64;
    while (n <= conn)
        n *= 2;
    uint32_t *first = hr_realloc(m->first, n * sizeof *first);
    if (!first)
        return hr_raise(HR_ERR_NOMEM);
    memset(first + m->n_first, 0, (n - m->n_first) * sizeof *first);
    m->first = first;
    m->n_first = n;
    return 0;
}

/* ---- groups */

/* Room for one more id, and for giving all of them back. */
static int groups_reserve(struct hr_members *m)
{
    if (m->n_free_groups > 0 || m->n_groups < m->max_groups)
        return 0;
    uint32_t n = m->max_groups ? m->max_groups * 2 : 16;
    struct hr_members_group **groups = hr_realloc(m->groups, n * sizeof(struct hr_members_group *));
    if (!groups)
        return hr_raise(HR_ERR_NOMEM);
    m->groups = groups;
    uint32_t *ids = hr_realloc(m->free_groups, n * sizeof *ids);
    if (!ids)
        return hr_raise(HR_ERR_NOMEM);
    m->free_groups = ids;
    m->max_groups = n;
    return 0;
}

static int group_new(struct hr_members *m, struct hr_str name, struct hr_members_group **out)
{
    int r = groups_reserve(m);
    if (r < 0)
        return hr_trace(r);
    struct hr_members_group *group = hr_calloc(1, sizeof *group + name.len);
    if (!group)
        return hr_raise(HR_ERR_NOMEM);
    r = hr_table_put(&m->by_name, name, group);
    if (r < 0) {
        hr_free(group);
        return hr_trace(r);
    }
    char *copy = (char *)(group + 1);
    memcpy(copy, name.ptr, name.len);
    group->name = (struct hr_str){copy, name.len};
    group->id = m->n_free_groups > 0 ? m->free_groups[--m->n_free_groups] : m->n_groups++;
    m->groups[group->id] = group;
    *out = group;
    return 0;
}

/* The hook sees the name while the table has forgotten the group already. */
static void group_end(struct hr_members *m, struct hr_members_group *group)
{
    hr_assert(group->n == 0);
    hr_table_remove(&m->by_name, group->name);
    m->groups[group->id] = NULL;
    m->free_groups[m->n_free_groups++] = group->id;
    if (m->left)
        m->left(m->arg, group->name, 0);
    hr_free(group);
}

/* ---- joining and leaving */

/* Everything a join may have to allocate, before anything is changed. */
static int join_reserve(struct hr_members *m, uint32_t conn)
{
    int r = nodes_reserve(m);
    if (r == 0)
        r = index_reserve(m);
    if (r == 0)
        r = first_reserve(m, conn);
    return hr_trace(r);
}

static void link_node(struct hr_members *m, struct hr_members_group *group, uint32_t conn)
{
    uint32_t number = node_take(m);
    struct hr_members_node *node = node_at(m, number);
    *node = (struct hr_members_node){
        .serial = ++m->last_serial,
        .conn = conn,
        .group = group->id,
        .conn_next = m->first[conn],
        .group_prev = group->tail,
    };
    if (node->conn_next != NOBODY)
        node_at(m, node->conn_next)->conn_prev = number;
    m->first[conn] = number;
    if (group->tail != NOBODY)
        node_at(m, group->tail)->group_next = number;
    else
        group->head = number;
    group->tail = number;
    group->n++;
    m->n_members++;
    m->index[index_find(m, conn, group->id)] = number;
}

static void unlink_node(struct hr_members *m, uint32_t number)
{
    struct hr_members_node *node = node_at(m, number);
    struct hr_members_group *group = m->groups[node->group];
    hr_assert(node->serial != 0 && group->n > 0);

    index_remove(m, node->conn, node->group);
    if (node->conn_next != NOBODY)
        node_at(m, node->conn_next)->conn_prev = node->conn_prev;
    if (node->conn_prev != NOBODY)
        node_at(m, node->conn_prev)->conn_next = node->conn_next;
    else
        m->first[node->conn] = node->conn_next;
    if (node->group_next != NOBODY)
        node_at(m, node->group_next)->group_prev = node->group_prev;
    else
        group->tail = node->group_prev;
    if (node->group_prev != NOBODY)
        node_at(m, node->group_prev)->group_next = node->group_next;
    else
        group->head = node->group_next;

    node->serial = 0;
    node->conn_next = m->free_node;
    m->free_node = number;
    m->n_members--;
    if (--group->n == 0)
        group_end(m, group);
    else if (m->left)
        m->left(m->arg, group->name, group->n);
}

int hr_members_join(struct hr_members *m, struct hr_str name, uint32_t conn)
{
    struct hr_members_group *group = find_group(m, name);
    if (group && find_node(m, conn, group->id) != NOBODY)
        return HR_MEMBERS_SAME;
    if (m->n_members == HR_MEMBERS_MAX)
        return HR_MEMBERS_FULL;

    int r = join_reserve(m, conn);
    if (r == 0 && !group)
        r = group_new(m, name, &group);
    if (r < 0)
        return hr_trace(r);
    hr_assert(group);
    link_node(m, group, conn);
    return 0;
}

bool hr_members_leave(struct hr_members *m, struct hr_str name, uint32_t conn)
{
    const struct hr_members_group *group = find_group(m, name);
    uint32_t number = group ? find_node(m, conn, group->id) : (uint32_t)NOBODY;
    if (number == NOBODY)
        return false;
    unlink_node(m, number);
    return true;
}

void hr_members_drop(struct hr_members *m, uint32_t conn)
{
    while (conn < m->n_first && m->first[conn] != NOBODY)
        unlink_node(m, m->first[conn]);
}

void hr_members_clear(struct hr_members *m)
{
    for (uint32_t conn = 0; conn < m->n_first; conn++)
        hr_members_drop(m, conn);
}

void hr_members_fini(struct hr_members *m)
{
    for (uint32_t i = 0; i < m->n_groups; i++)
        hr_free(m->groups[i]);
    for (uint32_t i = 0; i < m->n_chunks; i++)
        hr_free(m->chunks[i]);
    hr_table_fini(&m->by_name);
    hr_free(m->groups);
    hr_free(m->free_groups);
    hr_free(m->chunks);
    hr_free(m->index);
    hr_free(m->first);
    *m = (struct hr_members){0};
}

/* ---- looking */

bool hr_members_has(const struct hr_members *m, struct hr_str name, uint32_t conn)
{
    const struct hr_members_group *group = find_group(m, name);
    return group && find_node(m, conn, group->id) != NOBODY;
}

uint32_t hr_members_count(const struct hr_members *m, struct hr_str name)
{
    const struct hr_members_group *group = find_group(m, name);
    return group ? group->n : 0;
}

/* The first member of the group past `serial`. */
static uint32_t search_past(const struct hr_members *m, struct hr_str name, uint64_t serial)
{
    const struct hr_members_group *group = find_group(m, name);
    uint32_t number = group ? group->head : (uint32_t)NOBODY;
    while (number != NOBODY && node_at(m, number)->serial <= serial)
        number = node_at(m, number)->group_next;
    return number;
}

/* The node a cursor is to give next, or NOBODY. */
static uint32_t cursor_node(const struct hr_members *m, struct hr_str name,
                            struct hr_member_cursor *cursor)
{
    uint64_t *word = cursor->word;
    if (word[CURSOR_LIMIT] == 0) {
        /* + 1 so that a walk that has begun is never 0. */
        word[CURSOR_LIMIT] = m->last_serial + 1;
        return search_past(m, name, 0);
    }
    uint32_t number = (uint32_t)word[CURSOR_NEXT_NODE];
    if (number == NOBODY || node_at(m, number)->serial == word[CURSOR_NEXT_SERIAL])
        return number;
    return search_past(m, name, word[CURSOR_LAST]);
}

bool hr_members_next(const struct hr_members *m, struct hr_str name,
                     struct hr_member_cursor *cursor, uint32_t *conn_out)
{
    uint64_t *word = cursor->word;
    uint32_t number = cursor_node(m, name, cursor);
    if (number == NOBODY || node_at(m, number)->serial >= word[CURSOR_LIMIT]) {
        word[CURSOR_NEXT_NODE] = NOBODY;
        return false;
    }
    const struct hr_members_node *node = node_at(m, number);
    word[CURSOR_LAST] = node->serial;
    word[CURSOR_NEXT_NODE] = node->group_next;
    word[CURSOR_NEXT_SERIAL] =
        node->group_next != NOBODY ? node_at(m, node->group_next)->serial : 0;
    *conn_out = node->conn;
    return true;
}

bool hr_members_next_group(const struct hr_members *m, uint32_t *cursor, struct hr_str *name_out,
                           uint32_t *count_out)
{
    const struct hr_members_group *group = hr_table_next(&m->by_name, cursor, name_out);
    *count_out = group ? group->n : 0;
    return group != NULL;
}
