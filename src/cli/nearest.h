/* nearest.h - "did you mean ...?": the known word that is closest to a mistyped one. */
#ifndef HR_CLI_NEAREST_H
#define HR_CLI_NEAREST_H

#include <stdint.h>

#include "base/str.h"

enum { HR_NEAREST_MAX = 100 }; /* bytes of a word: what is longer was not mistyped but pasted */

/* Start zeroed but for `word`; offer every candidate; `best` is then the
 * nearest, or empty when none is near enough to be worth a question. */
struct hr_nearest {
    struct hr_str word;
    char best[HR_NEAREST_MAX + 1];
    uint32_t distance;
};
void hr_nearest_offer(struct hr_nearest *nearest, struct hr_str candidate);

#endif /* HR_CLI_NEAREST_H */
