/* app.h - an application's shared object: found, copied, mapped.
 *
 * What is mapped is a private copy, since a build writes into the file it
 * built before, and a mapped file that is overwritten crashes whoever runs it.
 *
 * Threads: the loop's. Memory: what is mapped stays mapped until
 * hr_app_file_fini(), which nothing of the application may outlive.
 */
#ifndef HR_WORKER_APP_H
#define HR_WORKER_APP_H

#include <stdbool.h>
#include <stddef.h>

#include <headrace/worker.h>

#include "base/error.h"

struct hr_app_file {
    void *handle; /* of dlopen(); NULL: none */
    int fd;       /* of the very bytes that are mapped; -1: none */
    int (*entry)(struct hr_worker *worker);
};

/* Where an application is. */
struct hr_app_source {
    const char *path; /* as it was named */
    int fd;           /* its bytes, which nobody writes any more; taken. 0: read `path` */
    bool is_direct;   /* map `path` itself, not a private copy */
};

/* Maps an application and finds its hr_app(). Returns 0, or HR_ERR_NOT_FOUND
 * with what was tried, why it failed and what to do in `why`, *file being safe
 * to finish either way. */
HR_MUST_CHECK int hr_app_file_init(struct hr_app_file *file, const struct hr_app_source *source,
                                   char *why, size_t why_size);

/* A file's bytes in memory that nobody can write to any more; -1 with errno.
 * The caller closes it. */
HR_MUST_CHECK int hr_app_copy(const char *path);
void hr_app_file_fini(struct hr_app_file *file);

#endif /* HR_WORKER_APP_H */
