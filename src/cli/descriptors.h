/* descriptors.h - how many open files this process may have.
 *
 * Every connection is one. The soft limit is a default from the days of
 * select(2); the hard limit is what the administrator means.
 */
#ifndef HR_CLI_DESCRIPTORS_H
#define HR_CLI_DESCRIPTORS_H

#include <stdbool.h>

/* Raises the limit as far as it may be. False, with a complaint, when that
 * leaves fewer than a site needs to start. */
bool hr_descriptors_prepare(void);

#endif /* HR_CLI_DESCRIPTORS_H */
