/* assert.c - see assert.h for the contract. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void hr_assert_failed(const char *what, const char *file, int line, const char *function)
{
    /* No stdio buffers and no locks: the failed assert may sit in any thread, in any state. */
    char text[512];
    int len = snprintf(text, sizeof text, "headrace: assertion failed: %s (%s:%d %s)\n", what, file,
                       line, function);
    if (len > 0) {
        size_t n = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
        if (write(STDERR_FILENO, text, n) < 0)
            abort(); /* nobody listens: as good a reason as the one at hand */
    }
    abort();
}
