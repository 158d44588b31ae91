/* diag.c - see diag.h for the contract. */
#include "cli/diag.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int hr_diag_say(struct hr_diag *diag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(diag->message, sizeof diag->message, format, args);
    va_end(args);
    return hr_raise(HR_ERR_CONFIG);
}

void hr_diag_format(const struct hr_diag *diag, char *out, size_t size)
{
    char place[sizeof diag->file + 32] = "";
    if (diag->line > 0 && diag->column > 0)
        snprintf(place, sizeof place, "%s:%" PRIu32 ":%" PRIu32 ": ", diag->file, diag->line,
                 diag->column);
    else if (diag->line > 0)
        snprintf(place, sizeof place, "%s:%" PRIu32 ": ", diag->file, diag->line);
    else if (diag->file[0])
        snprintf(place, sizeof place, "%s: ", diag->file);
    snprintf(out, size, "%s%s", place, diag->message);
}
