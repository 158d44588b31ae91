/* sites.h - which sites run on this host, for whoever looked in the wrong place. */
#ifndef HR_CLI_SITES_H
#define HR_CLI_SITES_H

#include <stddef.h>

/* Says which layers are in use on this host and how to reach one, in lines
 * indented by two, for the end of an error message. */
void hr_sites_list(char *out, size_t size);

#endif /* HR_CLI_SITES_H */
