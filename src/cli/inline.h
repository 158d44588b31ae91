/* inline.h - `headrace run --layer memory:`: everything in one process and one thread. */
#ifndef HR_CLI_INLINE_H
#define HR_CLI_INLINE_H

#include "cli/sockets.h"
#include "cli/settings.h"

/* Runs an interface server and a worker for each pool on one loop until it is
 * told to stop. Returns the exit code, with any complaint printed. */
HR_MUST_CHECK int hr_inline_run(const struct hr_settings *settings,
                                const struct hr_sockets *listeners, const char *layer_url);

#endif /* HR_CLI_INLINE_H */
