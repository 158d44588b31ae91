/* attach.h - opening the channel layer for a verb, with the errors that users see. */
#ifndef HR_CLI_ATTACH_H
#define HR_CLI_ATTACH_H

#include <headrace/layer.h>

#include "cli/args.h"
#include "cli/layerpath.h"
#include "cli/settings.h"

/* Prints "headrace: TEXT" to standard error. */
void hr_complain(const char *format, ...) HR_PRINTF(1, 2);
/* Prints what is wrong with the settings; gives the exit code, 1 or 2. */
int hr_complain_of_settings(const struct hr_diag *diag, int error);

/* Opens the layer at `url` with these settings. Returns 0 or the exit code 6,
 * with the complaint printed. */
HR_MUST_CHECK int hr_attach(const struct hr_settings *settings, const char *url,
                            const struct hr_layer_options *options, struct hr_layer **out);

/* Sets what [channel] says for the whole layer. Returns 0 or an error. */
HR_MUST_CHECK int hr_attach_policies(const struct hr_settings *settings, struct hr_layer *layer);

/* What the supervisor that runs, or last ran and did not end by itself, says of itself:
 * control.c. *out points into *record. */
#define HR_SUPERVISOR_RECORD "supervisor"
bool hr_find_supervisor(struct hr_layer *layer, struct hr_record *record, struct hr_msg *out);

/* What the small verbs begin with: reads the settings, finds the layer,
 * becomes its owner if root, opens it. */
struct hr_visit {
    struct hr_settings *settings;
    struct hr_layer *layer;
    char url[HR_LAYER_URL_MAX];
};
/* Returns 0 or an exit code, with the complaint printed. Finish it either way. */
HR_MUST_CHECK int hr_visit_begin(const struct hr_args *args, enum hr_role role,
                                 struct hr_visit *out);
void hr_visit_end(struct hr_visit *visit);

#endif /* HR_CLI_ATTACH_H */
