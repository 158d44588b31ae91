/* logfile.h - where the log goes, and opening it anew at SIGUSR1. */
#ifndef HR_CLI_LOGFILE_H
#define HR_CLI_LOGFILE_H

#include "cli/settings.h"

/* Opens `log_file`, or takes `inherited_fd`, or standard error (-1), and sets
 * the log up as [headrace] says. From then on SIGUSR1 opens the file anew
 * under the same descriptor. Returns the descriptor, or -1 with errno. */
HR_MUST_CHECK int hr_logfile_open(const struct hr_settings_headrace *site, int inherited_fd);

/* Opens the file anew now; for whoever handles SIGUSR1 itself. */
void hr_logfile_reopen(void);

#endif /* HR_CLI_LOGFILE_H */
