/* settings_load.h - the settings of this run: presets, file, environment, flags, in that order. */
#ifndef HR_CLI_SETTINGS_LOAD_H
#define HR_CLI_SETTINGS_LOAD_H

#include "cli/args.h"
#include "cli/settings.h"

/* Reads and checks everything that decides. Gives *out. Returns 0,
 * HR_ERR_NOMEM, or HR_ERR_CONFIG with the complaint in *diag.
 * The file is -c FILE, HEADRACE_CONFIG, or ./headrace.ini when there is one.
 * A child of the supervisor (--as) takes the flags alone: they hold all that
 * its supervisor had read. */
HR_MUST_CHECK int hr_settings_load(const struct hr_args *args, struct hr_settings **out,
                                   struct hr_diag *diag);

/* Reads one file over what is there. */
HR_MUST_CHECK int hr_settings_read_file(struct hr_settings *settings, const char *path,
                                        struct hr_diag *diag);

/* Reads the environment over what is there: HEADRACE_* and the variables that
 * other programs have made customary. */
HR_MUST_CHECK int hr_settings_read_environment(struct hr_settings *settings, struct hr_diag *diag);

/* Calls `fn` with each HEADRACE_* variable that is no setting. They are not
 * errors: orchestrators put variables of that form into every container. */
void hr_settings_unknown_variables(const struct hr_settings *settings,
                                   void (*fn)(const char *variable));

/* Fills in what follows from other values and checks what no single row can. */
HR_MUST_CHECK int hr_settings_finish(struct hr_settings *settings, struct hr_diag *diag);

#endif /* HR_CLI_SETTINGS_LOAD_H */
