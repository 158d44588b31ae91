/* descriptors.c - see descriptors.h for the contract.
 *
 * A supervisor holds two pipes for each child, a socket for each listener and
 * server, its loop and its layer; LEAST lets a small site start.
 */
#include "cli/descriptors.h"

#include <sys/resource.h>

#include "cli/attach.h"

enum { LEAST = 64 };

bool hr_descriptors_prepare(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return true;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what it may be it is; else it stays as it was */
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= LEAST)
        return true;
    hr_complain("only %lu open files are allowed, and each connection is one.\n"
                "  Raise the limit: ulimit -n 65536, or LimitNOFILE= in the service's unit.",
                (unsigned long)limit.rlim_cur);
    return false;
}
