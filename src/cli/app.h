/* app.h - what APP is, and whether it is there: asked before anything is started. */
#ifndef HR_CLI_APP_H
#define HR_CLI_APP_H

#include <stddef.h>

#include "cli/settings.h"

enum hr_app_kind {
    HR_APP_NONE,   /* nothing was named */
    HR_APP_C,      /* a file: ./app.so */
    HR_APP_PYTHON, /* module, module:attribute, file.py */
};
enum hr_app_kind hr_app_kind(const char *app);

/* Looks at the application of every pool. Returns 0, or the exit code 4 with
 * what was looked for, why it failed and what to type in `why`. */
HR_MUST_CHECK int hr_app_check_all(const struct hr_settings *settings, char *why, size_t size);

/* The same for one application of a process that runs in `dir` ("": here). */
HR_MUST_CHECK int hr_app_check(const char *app, const char *dir, char *why, size_t size);

/* Keeps each pool's application as it is now with the settings: every worker
 * that is started with them runs this build, also one that is started later,
 * when another build has been refused or is half written. Where that cannot be
 * had workers read the file themselves. */
void hr_app_take_builds(const struct hr_settings *settings);

#endif /* HR_CLI_APP_H */
