/* forwarded.h - whom a request really comes from, as trusted proxies tell.
 *
 * A proxy in front hides the client's address, and TLS that ends there hides
 * the scheme. It says both in headers: Forwarded (RFC 7239), or the older
 * X-Forwarded-For, -Proto, -Host and -Port. Anybody can send such headers, so
 * they are read only when the peer of the connection is trusted, and only as
 * far as each hop that is told of is trusted in its turn.
 *
 * Promises: a client that is not trusted decides nothing but what it is
 * itself. Whatever cannot be read ends the search; nothing is refused for it.
 *
 * Threads: none. Memory: what is found is lent from the request's head.
 */
#ifndef HR_SERVER_FORWARDED_H
#define HR_SERVER_FORWARDED_H

#include "http1/http1.h"
#include "server/peer.h"

struct hr_via {
    struct hr_peer client;
    struct hr_str host; /* that the client asked for, perhaps with a port; empty: not told */
    uint16_t port;      /* that it connected to; 0: not told */
    bool is_secure;
};

/* Begin with the connection's peer in `via->client`, the rest zeroed. */
void hr_forwarded_read(const struct hr_http1_request *request, const struct hr_network *trusted,
                       size_t n_trusted, struct hr_via *via);

#endif /* HR_SERVER_FORWARDED_H */
