/* random.c - see random.h for the contract. */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/assert.h"

void hr_random(void *out, size_t len)
{
    char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        hr_assert(n > 0); /* keys and ids must not be guessable: without randomness we do not run */
        at += n;
        len -= (size_t)n;
    }
}
