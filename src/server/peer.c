/* peer.c - see peer.h for the contract. */
#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* Whoever speaks IPv4 to a socket of IPv6 is the same as if he spoke it to one of IPv4. */
static void peer_unmap(struct hr_peer *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 2.5.5.2 */
    if (peer->family != 6 || memcmp(peer->ip, mapped, sizeof mapped) != 0)
        return;
    memmove(peer->ip, peer->ip + 12, 4);
    memset(peer->ip + 4, 0, 12);
    peer->family = 4;
}

struct hr_peer hr_peer_of(const struct sockaddr_storage *address)
{
    struct hr_peer peer = {0};
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        memcpy(peer.ip, &in.sin_addr, 4);
        peer.port = ntohs(in.sin_port);
        peer.family = 4;
    } else if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(peer.ip, &in6.sin6_addr, 16);
        peer.port = ntohs(in6.sin6_port);
        peer.family = 6;
        peer_unmap(&peer);
    }
    return peer;
}

size_t hr_peer_format(const struct hr_peer *peer, char out[HR_PEER_TEXT_MAX])
{
    out[0] = '\0';
    if (peer->family != 0)
        inet_ntop(peer->family == 4 ? AF_INET : AF_INET6, peer->ip, out, HR_PEER_TEXT_MAX);
    return strlen(out);
}

bool hr_peer_eq(const struct hr_peer *a, const struct hr_peer *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static bool parse_ip(struct hr_str text, bool is_v6, struct hr_peer *out)
{
    char copy[HR_PEER_TEXT_MAX];
    *out = (struct hr_peer){.family = is_v6 ? 6 : 4};
    if (memchr(text.ptr, '\0', text.len) || !hr_str_copy(copy, sizeof copy, text) ||
        inet_pton(is_v6 ? AF_INET6 : AF_INET, copy, out->ip) != 1)
        return false;
    peer_unmap(out);
    return true;
}

static uint16_t parse_port(struct hr_str text)
{
    uint64_t port;
    return hr_str_u64(text, &port) && port <= UINT16_MAX ? (uint16_t)port : 0;
}

bool hr_peer_parse(struct hr_str text, struct hr_peer *out)
{
    struct hr_str port = {0};
    if (text.len == 0)
        return false;
    const char *end = text.ptr + text.len, *colon = memchr(text.ptr, ':', text.len);
    bool is_bracketed = text.ptr[0] == '[';
    bool is_v6 = is_bracketed || (colon && memchr(colon + 1, ':', (size_t)(end - colon) - 1));
    if (is_bracketed) {
        const char *close = memchr(text.ptr, ']', text.len);
        colon = close && close + 1 < end ? close + 1 : NULL;
        if (!close || (colon && *colon != ':'))
            return false;
        text = (struct hr_str){text.ptr + 1, (size_t)(close - text.ptr) - 1};
    } else if (colon && !is_v6) {
        text.len = (size_t)(colon - text.ptr);
    }
    if (colon && (is_bracketed || !is_v6))
        port = (struct hr_str){colon + 1, (size_t)(end - colon) - 1};
    if (!parse_ip(text, is_v6, out))
        return false;
    out->port = parse_port(port);
    return true;
}

bool hr_network_parse(struct hr_str text, struct hr_network *out)
{
    struct hr_str rest = text, ip;
    uint64_t n_bits;
    *out = (struct hr_network){.is_everyone = hr_str_eq(text, HR_LIT("*"))};
    if (out->is_everyone || hr_str_eq(text, HR_LIT("unix")))
        return true;
    if (!hr_str_next(&rest, '/', &ip))
        return false;
    bool is_v6 = memchr(ip.ptr, ':', ip.len) != NULL, has_bits = ip.len < text.len;
    if (!parse_ip(ip, is_v6, &out->base))
        return false;
    unsigned most = out->base.family == 4 ? 32 : 128;
    /* "::ffff:10.0.0.0/104" is 10.0.0.0/8. */
    unsigned hidden = is_v6 && most == 32 ? 96 : 0;
    if (!has_bits)
        n_bits = most + hidden;
    else if (!hr_str_u64(rest, &n_bits) || n_bits < hidden || n_bits > most + hidden)
        return false;
    out->n_bits = (uint8_t)(n_bits - hidden);
    return true;
}

bool hr_network_has(const struct hr_network *network, const struct hr_peer *peer)
{
    size_t n_bytes = network->n_bits / 8;
    unsigned mask = 0xff00u >> network->n_bits % 8 & 0xff; /* of the byte behind them */
    if (network->is_everyone)
        return true;
    if (network->base.family != peer->family || memcmp(network->base.ip, peer->ip, n_bytes) != 0)
        return false;
    return mask == 0 || ((network->base.ip[n_bytes] ^ peer->ip[n_bytes]) & mask) == 0;
}
