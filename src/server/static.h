/* static.h - files, before any pool is asked.
 *
 * A route maps the paths below a prefix to the files below a directory: GET
 * and HEAD, conditional requests, one range. Nothing outside the directory can
 * be reached, and nothing whose name begins with a dot.
 *
 * Threads: the loop's. Reading may wait for a disk, as in any server of this
 * kind; what is big and cold belongs behind a proxy or a CDN.
 */
#ifndef HR_SERVER_STATIC_H
#define HR_SERVER_STATIC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct hr_http;
struct hr_server;

struct hr_static_routes {
    int *dir_fds; /* one for each route of the config */
    size_t n;
};

/* Opens the directories. Returns 0, HR_ERR_NOMEM, or HR_ERR_CONFIG (logged). */
HR_MUST_CHECK int hr_static_open(struct hr_server *server);
void hr_static_close(struct hr_server *server);

/* Answers the request if its path is below a route's prefix; else false. */
bool hr_static_answer(struct hr_http *http);

#endif /* HR_SERVER_STATIC_H */
