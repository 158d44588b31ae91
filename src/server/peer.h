/* peer.h - who is at the other end, and the sets of those that are trusted.
 *
 * Threads: none.
 */
#ifndef HR_SERVER_PEER_H
#define HR_SERVER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/str.h"

/* Unix sockets have no address: family 0. */
struct hr_peer {
    uint8_t ip[16];
    uint16_t port;  /* 0: not known */
    uint8_t family; /* 0, 4 or 6; an IPv4 address in IPv6's clothes is 4 */
};

struct hr_peer hr_peer_of(const struct sockaddr_storage *address);

enum { HR_PEER_TEXT_MAX = 46 };
/* The address without the port; empty for family 0. */
size_t hr_peer_format(const struct hr_peer *peer, char out[HR_PEER_TEXT_MAX]);

/* Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. A port
 * that is no number is taken for none (RFC 7239 6.3). False when it is no address. */
HR_MUST_CHECK bool hr_peer_parse(struct hr_str text, struct hr_peer *out);

/* The same address, whatever the ports? */
bool hr_peer_eq(const struct hr_peer *a, const struct hr_peer *b);

/* Peers that begin with the same bits. */
struct hr_network {
    struct hr_peer base;
    uint8_t n_bits;
    bool is_everyone;
};

/* Reads an address, a network (`10.0.0.0/8`), `unix`, or `*` for everyone. False when it is none.
 */
HR_MUST_CHECK bool hr_network_parse(struct hr_str text, struct hr_network *out);
bool hr_network_has(const struct hr_network *network, const struct hr_peer *peer);

#endif /* HR_SERVER_PEER_H */
