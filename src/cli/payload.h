/* payload.h - the message that `send` and `group send` are given: KEY=VALUE operands, or --json. */
#ifndef HR_CLI_PAYLOAD_H
#define HR_CLI_PAYLOAD_H

#include "cli/args.h"

struct hr_payload {
    uint8_t *data; /* owned */
    size_t len;
};

/* Reads the operands from `first` on, or --json. Returns 0, or an exit code
 * with the complaint printed. Finish it either way. */
HR_MUST_CHECK int hr_payload_read(const struct hr_args *args, uint32_t first,
                                  struct hr_payload *out);
void hr_payload_fini(struct hr_payload *body);

#endif /* HR_CLI_PAYLOAD_H */
