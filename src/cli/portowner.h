/* portowner.h - who listens on a port of this host, for error messages. */
#ifndef HR_CLI_PORTOWNER_H
#define HR_CLI_PORTOWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "nginx (pid 812)". False when nobody does, or it is another user's process
 * and the kernel does not tell. */
bool hr_port_owner(uint16_t port, char *out, size_t size);

#endif /* HR_CLI_PORTOWNER_H */
