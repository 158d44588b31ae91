/* members.h - which of this process's connections are in which groups.
 *
 * Groups live where the sockets live: the layer knows only that somebody here
 * is interested in a group, this table knows who. A broadcast walks it, often
 * over very many members, while the walk itself may close connections.
 *
 * Members are connection numbers; generations are the owner's business, since
 * a renewed address keeps its groups.
 *
 * Threads: none; belongs to the thread that owns the layer's handle.
 * Memory:  32 bytes a membership and 5 to 11 more in the index; a group about
 *          100 and its name. Cursors hold no memory.
 */
#ifndef HR_LAYER_MEMBERS_H
#define HR_LAYER_MEMBERS_H

#include <headrace/layer.h>

#include "base/error.h"
#include "base/table.h"

/* Memberships one process can hold, all groups together: stops a program that
 * joins in a loop at some 200 MB. */
enum { HR_MEMBERS_MAX = 4 << 20 };

enum hr_members_outcome {
    HR_MEMBERS_SAME = 1, /* it was a member already */
    HR_MEMBERS_FULL,     /* HR_MEMBERS_MAX */
};

struct hr_members_node;
struct hr_members_group;

/* A zeroed struct is an empty table. Fields are private to members.c, but for
 * the hook, which the owner sets before the first join. */
struct hr_members {
    struct hr_table by_name;          /* name -> struct hr_members_group */
    struct hr_members_group **groups; /* by id; free ids chain through free_group */
    uint32_t n_groups, max_groups;
    uint32_t *free_groups; /* stack of ids that were given back */
    uint32_t n_free_groups;

    struct hr_members_node **chunks; /* nodes, by number; never moved */
    uint32_t n_nodes;                /* nodes ever made; 0 is none */
    uint32_t n_chunks;
    uint32_t free_node;
    uint32_t n_members;

    uint32_t *index; /* hash of (connection, group) -> node number, 0 free */
    uint32_t n_index;

    uint32_t *first; /* connection -> its first node */
    uint32_t n_first;

    uint64_t last_serial;

    /* Called when a member has left, with how many remain; when none does, the
     * group is gone by then. */
    void (*left)(void *arg, struct hr_str group, uint32_t n_left);
    void *arg;
};

void hr_members_fini(struct hr_members *m);

/* Returns 0, HR_MEMBERS_SAME, HR_MEMBERS_FULL or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_members_join(struct hr_members *m, struct hr_str name, uint32_t conn);
/* True when it was a member. */
bool hr_members_leave(struct hr_members *m, struct hr_str name, uint32_t conn);
/* Leaves all groups. */
void hr_members_drop(struct hr_members *m, uint32_t conn);
/* Everybody leaves everything; cursors stay valid. */
void hr_members_clear(struct hr_members *m);

bool hr_members_has(const struct hr_members *m, struct hr_str name, uint32_t conn);
uint32_t hr_members_count(const struct hr_members *m, struct hr_str name);

/* Walks a group in the order of joining; the cursor starts zeroed. Whoever
 * joins after the first step is not visited. Constant time a step, unless
 * precisely the member that comes next left since the last one. */
bool hr_members_next(const struct hr_members *m, struct hr_str name,
                     struct hr_member_cursor *cursor, uint32_t *conn_out);

/* Walks the groups; *cursor starts at 0. No join or leave between steps. */
bool hr_members_next_group(const struct hr_members *m, uint32_t *cursor, struct hr_str *name_out,
                           uint32_t *count_out);

#endif /* HR_LAYER_MEMBERS_H */
