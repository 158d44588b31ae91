/* json.h - JSON on the command line: read into a message, written for programs.
 *
 * For operators only; the server never reads JSON.
 *
 * Threads: none keep state.
 */
#ifndef HR_CLI_JSON_H
#define HR_CLI_JSON_H

#include <stdio.h>

#include <headrace/message.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/diag.h"

/* Bytes that a text of `len` bytes needs as a message, at most. */
static inline size_t hr_json_pack_bound(size_t len)
{
    return 3 * len + 64; /* the worst is a list of "1e1,": four bytes that become nine */
}

/* Writes one JSON value to `pack`. Numbers without a fraction that fit become
 * integers, all others doubles. Returns 0, HR_ERR_NOMEM, or HR_ERR_CONFIG with
 * line and column in *diag. */
HR_MUST_CHECK int hr_json_pack(struct hr_str text, struct hr_pack *pack, struct hr_diag *diag);

/* Writes a message on one line. Bytes become {"base64": "..."}, a number that
 * is none null. */
void hr_json_put_message(FILE *file, const struct hr_msg *msg);

/* Writes a string with its quotes. Bytes that are no UTF-8 become '?'. */
void hr_json_put_string(FILE *file, struct hr_str text);

#endif /* HR_CLI_JSON_H */
