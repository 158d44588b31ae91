/* half.h - what `serve` and `work` begin with: settings, log, title, directory. */
#ifndef HR_CLI_HALF_H
#define HR_CLI_HALF_H

#include "cli/args.h"
#include "cli/children.h"
#include "cli/layerpath.h"
#include "cli/settings.h"

struct hr_half {
    struct hr_settings *settings;
    const struct hr_settings_pool *pool; /* of --pool, else the default one */
    bool is_child;                       /* a supervisor has started us */
    char label[HR_LABEL_SIZE];
    char url[HR_LAYER_URL_MAX];
};

/* `kind` is "server" or "worker". Returns 0 or an exit code, with the
 * complaint printed. End it either way. */
HR_MUST_CHECK int hr_half_begin(const struct hr_args *args, const char *kind, struct hr_half *out);
void hr_half_end(struct hr_half *half);

#endif /* HR_CLI_HALF_H */
