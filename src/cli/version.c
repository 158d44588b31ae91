/* version.c - `headrace version`. */
#include <stdio.h>

#include <headrace/version.h>

#include "cli/exit.h"
#include "cli/verbs.h"

int hr_verb_version(const struct hr_args *args)
{
    (void)args;
    puts("headrace " HR_VERSION);
    return HR_EXIT_OK;
}
