/* diag.h - where a mistake in the settings is, and what it is: for people.
 *
 * Functions that take a struct hr_diag fill it when they return HR_ERR_CONFIG
 * and leave it alone otherwise.
 */
#ifndef HR_CLI_DIAG_H
#define HR_CLI_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct hr_diag {
    char file[256];    /* a file, "HEADRACE_NAME" or "--flag"; empty: no place of its own */
    uint32_t line;     /* of the file, from 1; 0: none */
    uint32_t column;   /* from 1; 0: the whole line */
    bool is_usage;     /* the command line's fault: exit 2, not 1 */
    char message[512]; /* what is wrong and what to write instead */
};

/* Fills in the message and returns HR_ERR_CONFIG; the place is set by whoever knows it. */
int hr_diag_say(struct hr_diag *diag, const char *format, ...) HR_PRINTF(2, 3);

/* "headrace.ini:12: timeout: ..." into `out`; cut to `size`. */
void hr_diag_format(const struct hr_diag *diag, char *out, size_t size);

#endif /* HR_CLI_DIAG_H */
