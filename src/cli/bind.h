/* bind.h - where to listen, as it is written: `HOST:PORT`, `[::1]:PORT`, `:PORT`, `unix:PATH`,
 * `fd://N`. */
#ifndef HR_CLI_BIND_H
#define HR_CLI_BIND_H

#include <stdint.h>

#include "base/str.h"
#include "cli/diag.h"

enum hr_bind_kind { HR_BIND_TCP, HR_BIND_UNIX, HR_BIND_FD };

struct hr_bind {
    enum hr_bind_kind kind;
    char host[256]; /* TCP; empty: every interface */
    uint16_t port;  /* TCP; 0: any free one */
    char path[108]; /* UNIX; as long as a sockaddr_un's */
    int fd;         /* FD */
};

/* Reads one address; one without a port takes `port`. Returns 0 or HR_ERR_CONFIG. */
HR_MUST_CHECK int hr_bind_parse(struct hr_str text, uint16_t port, struct hr_bind *out,
                                struct hr_diag *diag);

enum { HR_BIND_TEXT_MAX = 300 };
/* For people: "http://127.0.0.1:8000", "http://[::1]:8000", "unix:/run/x.sock", "fd://3". */
void hr_bind_format(const struct hr_bind *bind, char out[HR_BIND_TEXT_MAX]);

#endif /* HR_CLI_BIND_H */
