/* args.h - the command line: a verb, flags, operands.
 *
 * What there is stands in tables/commands.def and, as flags of settings, in
 * tables/settings.def. A mistake is answered with the nearest thing known.
 *
 * Threads: none. Memory: struct hr_args borrows argv, which must stay.
 */
#ifndef HR_CLI_ARGS_H
#define HR_CLI_ARGS_H

#include "cli/settings.h"

struct hr_args;

enum hr_verb_id {
#define HR_VERB(name, ...) HR_VERB_##name,
#include "tables/commands.def"
    HR_N_VERBS
};

struct hr_verb {
    const char *word;
    const char *settings; /* letters of the sections whose flags it takes */
    const char *operands;
    int least, most;
    const char *summary, *manual;
};
extern const struct hr_verb hr_verbs[HR_N_VERBS];

enum hr_option_id {
#define HR_OPTION(name, ...) HR_OPT_##name,
#include "tables/commands.def"
    HR_N_OPTIONS
};

struct hr_option {
    const char *spellings;
    const char *argument; /* NULL: takes none */
    const char *verbs;
    const char *manual; /* NULL: not shown */
};
extern const struct hr_option hr_options[HR_N_OPTIONS];

/* One flag as it was given. */
struct hr_flag {
    const struct hr_option *option; /* or ... */
    const struct hr_setting *row;   /* ... a setting's */
    char spelling[64];              /* "--bind" */
    const char *value;              /* "" when it takes none */
};

struct hr_args {
    enum hr_verb_id verb;
    struct hr_flag *flags; /* owned, in the order given */
    uint32_t n_flags;
    const char **operands; /* owned array of borrowed texts */
    uint32_t n_operands;
};

bool hr_verb_takes_section(enum hr_verb_id verb, enum hr_section_kind kind);
bool hr_verb_takes_option(enum hr_verb_id verb, const struct hr_option *option);

/* Reads everything after the program's name. Returns 0, HR_ERR_NOMEM, or
 * HR_ERR_CONFIG with the complaint in *diag. `out` is to be finished either way. */
HR_MUST_CHECK int hr_args_read(int argc, char **argv, struct hr_args *out, struct hr_diag *diag);
void hr_args_fini(struct hr_args *args);

/* The last value given, "" for a flag without one; NULL when it was not given. */
const char *hr_args_option(const struct hr_args *args, enum hr_option_id id);

/* The pool that `--pool NAME` names, without a key of it; NULL: none. */
const char *hr_args_pool(const struct hr_args *args);

#endif /* HR_CLI_ARGS_H */
