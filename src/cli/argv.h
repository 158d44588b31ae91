/* argv.h - the command line of a child: every setting as a flag. */
#ifndef HR_CLI_ARGV_H
#define HR_CLI_ARGV_H

#include "cli/settings.h"

struct hr_argv {
    char **items; /* owned, as are its texts; ends in NULL */
    uint32_t n, max;
    int error; /* the first failure, sticky */
};

void hr_argv_add(struct hr_argv *argv, const char *format, ...) HR_PRINTF(2, 3);
/* "--set SECTION.KEY=VALUE" for every value that somebody has set. */
void hr_argv_add_settings(struct hr_argv *argv, const struct hr_settings *settings);
void hr_argv_fini(struct hr_argv *argv);

#endif /* HR_CLI_ARGV_H */
