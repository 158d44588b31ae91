/* settings_value.h - the values of settings: read from text, written as text.
 *
 * Threads: none keep state. Memory: texts are copied into the settings.
 */
#ifndef HR_CLI_SETTINGS_VALUE_H
#define HR_CLI_SETTINGS_VALUE_H

#include "cli/settings.h"

struct hr_value_reader {
    struct hr_settings *settings; /* owns the copies */
    const struct hr_setting *row;
    void *field;    /* of the row's type, in its section's struct */
    bool is_append; /* a list: keep what is there */
    struct hr_diag *diag;
};

/* Reads `text` as the row's type, within the row's bounds, into the field,
 * which is unchanged on error. Returns 0, HR_ERR_CONFIG or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_value_read(const struct hr_value_reader *reader, struct hr_str text);

#endif /* HR_CLI_SETTINGS_VALUE_H */
