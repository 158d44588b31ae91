/* help.h - `--help`, from the tables. */
#ifndef HR_CLI_HELP_H
#define HR_CLI_HELP_H

#include "cli/args.h"

void hr_help_print(void);
void hr_help_print_verb(enum hr_verb_id verb);

#endif /* HR_CLI_HELP_H */
