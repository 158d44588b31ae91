/* orphans.h - what a supervisor that died has left behind, for the next one to take over.
 *
 * Servers and workers go on without a supervisor. They are members of the
 * layer; each is identified by its label there and by its title, and held by a
 * pidfd from then on, so that no other process is ever taken for it. Processes
 * that were started by hand are left alone.
 *
 * Threads: none. Memory: hr_orphans_fini() frees, and lets go of the pidfds.
 */
#ifndef HR_CLI_ORPHANS_H
#define HR_CLI_ORPHANS_H

#include <headrace/layer.h>

#include "cli/settings.h"
#include "cli/sockets.h"

struct hr_supervisor;

struct hr_orphan {
    pid_t pid;
    int pidfd;       /* -1 once it was adopted */
    uint32_t flags;  /* enum hr_member_flag */
    uint32_t number; /* of its seat */
    bool is_server;
    char label[32];                  /* "web.3" */
    char crew[HR_POOL_NAME_MAX + 1]; /* "web", "server" */
};

struct hr_orphans {
    struct hr_orphan *items; /* owned */
    uint32_t n;
    char strange[256]; /* one that cannot be identified, in words; empty: none */
};

/* Finds them. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_orphans_find(struct hr_layer *layer, struct hr_orphans *out);
void hr_orphans_fini(struct hr_orphans *orphans);

/* Has the servers among them hand over what they listen on; *out stays empty when there is no
 * server. Returns 0, or HR_ERR_UNAVAILABLE when none of them does. */
HR_MUST_CHECK int hr_orphans_take_sockets(const struct hr_orphans *orphans, const char *directory,
                                          struct hr_sockets *out);

/* Puts them into the seats of the supervisor's crews, which are there and empty; whom there is no
 * seat for is asked to leave. Returns 0, HR_ERR_NOMEM or HR_ERR_SYS. */
HR_MUST_CHECK int hr_orphans_adopt(struct hr_orphans *orphans, struct hr_supervisor *supervisor);

/* The same with a member that nobody knows: one that had been started, and was not a member yet,
 * when the old supervisor died. */
void hr_orphans_adopt_late(struct hr_supervisor *supervisor, const struct hr_member *member);

#endif /* HR_CLI_ORPHANS_H */
