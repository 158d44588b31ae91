/* siblings.h - the other interface servers' sockets, accepted on while their owner is not there.
 *
 * Of the sockets that share a port the kernel gives each its part of the
 * connections, whether anybody accepts on it or not. So every server has all
 * of them, and takes over those of a sibling that is dead, not up yet, or
 * draining. One that is stopped (SIGSTOP, a debugger) is neither: what the
 * kernel has given to it waits until it goes on, as its open connections do.
 *
 * Threads: the loop's.
 */
#ifndef HR_CLI_SIBLINGS_H
#define HR_CLI_SIBLINGS_H

#include <headrace/layer.h>

#include "base/loop.h"
#include "cli/children.h"
#include "server/server.h"

enum { HR_SIBLINGS_MAX = 256 }; /* sockets: as many as a child is handed descriptors */

struct hr_siblings {
    struct {
        char label[HR_LABEL_SIZE];
        size_t listener; /* its number in the server's config */
        bool is_adopted;
    } items[HR_SIBLINGS_MAX];
    uint32_t n;
    struct hr_loop *loop;
    struct hr_layer *layer;
    struct hr_server *server;
    struct hr_timer timer;
};

/* `text` begins with the sibling's label and a '='. */
void hr_siblings_add(struct hr_siblings *siblings, const char *text, size_t listener);

/* Looks ten times a second who is there. */
void hr_siblings_watch(struct hr_siblings *siblings, struct hr_loop *loop, struct hr_layer *layer,
                       struct hr_server *server);
void hr_siblings_unwatch(struct hr_siblings *siblings);

#endif /* HR_CLI_SIBLINGS_H */
