/* handover.h - the listening sockets of a site, from its interface servers to a new supervisor.
 *
 * A supervisor opens the sockets and hands them to its servers. When it has
 * died, the servers are the only ones that still have them. So each of them
 * listens on DIRECTORY/LABEL.sockets, in the layer's directory, which is open
 * to the site's user alone, and gives all of them to whoever connects.
 *
 * Threads: the loop's.
 */
#ifndef HR_CLI_HANDOVER_H
#define HR_CLI_HANDOVER_H

#include "base/loop.h"
#include "cli/children.h"
#include "cli/sockets.h"

enum { HR_HANDOVER_MAX = 252 }; /* sockets: a message carries at most 253 descriptors (unix(7)) */

/* What a server has to give. Zero it first. */
struct hr_handover {
    struct {
        char label[HR_LABEL_SIZE]; /* of the server whose it is; "admin" */
        const char *name;          /* "http://127.0.0.1:8000" */
        int fd;
    } items[HR_HANDOVER_MAX];
    uint32_t n;
    struct hr_io io;
    bool is_open;
    int fd, directory_fd;
    char file[HR_LABEL_SIZE + sizeof ".sockets"];
};

/* More than fit are left out: they are siblings', and the siblings have them. `name` is kept. */
void hr_handover_add(struct hr_handover *handover, struct hr_str label, const char *name, int fd);

/* Listens. Returns 0 or HR_ERR_SYS. */
HR_MUST_CHECK int hr_handover_open(struct hr_handover *handover, struct hr_loop *loop,
                                   const char *directory, const char *label);
void hr_handover_close(struct hr_handover *handover);

/* Asks the server called `label` for all the sockets it has. Gives *out, to be
 * closed even after an error. Returns 0, HR_ERR_NOMEM, HR_ERR_SYS (it is not
 * there, or does not answer in time), or HR_ERR_MESSAGE. */
HR_MUST_CHECK int hr_handover_take(const char *directory, const char *label,
                                   struct hr_sockets *out);

#endif /* HR_CLI_HANDOVER_H */
