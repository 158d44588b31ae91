/* verbs.h - one function a verb; each returns the program's exit code. */
#ifndef HR_CLI_VERBS_H
#define HR_CLI_VERBS_H

#include "cli/args.h"

int hr_verb_run(const struct hr_args *args);
int hr_verb_serve(const struct hr_args *args);
int hr_verb_work(const struct hr_args *args);
int hr_verb_send(const struct hr_args *args);
int hr_verb_group(const struct hr_args *args);
int hr_verb_status(const struct hr_args *args);
int hr_verb_stack(const struct hr_args *args);
int hr_verb_dead(const struct hr_args *args);
int hr_verb_pause(const struct hr_args *args);
int hr_verb_resume(const struct hr_args *args);
int hr_verb_close(const struct hr_args *args);
int hr_verb_reload(const struct hr_args *args);
int hr_verb_check(const struct hr_args *args);
int hr_verb_flush(const struct hr_args *args);
int hr_verb_version(const struct hr_args *args);

#endif /* HR_CLI_VERBS_H */
