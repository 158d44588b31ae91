/* forwarded.c - see forwarded.h for the contract.
 *
 * Every proxy adds what it saw at the right end. So the walk goes from the
 * right, and each step is believed because of the one before:
 *
 *     X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2        peer: 10.0.0.1
 *                         │          │           │                   │
 *                    never read   client     trusted, so  ◄──── trusted, so
 *                                            it is read on      it is read
 *
 * The first that is not trusted is the client, wherever else it claims to come
 * from; if all are trusted, the left-most is. What is no address ("unknown",
 * a name, rubbish) ends the walk, and the hop that told of it is the client.
 *
 * Quotes are matched from the right too: a client may leave one open, and what
 * our proxies have added behind it is still read as they meant it.
 *
 * X-Forwarded-Proto, -Host and -Port belong to hops only by their place: the
 * value as far from the right as the client's address stands is taken, the
 * left-most if there are fewer. Proxies that append and proxies that set the
 * header once both come out right.
 *
 * A request with any of the X-Forwarded headers has its Forwarded ignored. Most
 * proxies know the former and pass the latter on as the client sent it.
 */
#include "server/forwarded.h"

#include <string.h>

enum list_kind {
    LIST_PLAIN,  /* X-Forwarded-*: no quoting, a quote is a byte like others */
    LIST_QUOTED, /* RFC 9110 5.6.4 */
};

/* The elements of a header, its lines as one list (RFC 9110 5.3), from the right. */
struct list {
    const struct hr_http1_request *request;
    struct hr_str name;
    enum list_kind kind;
    uint32_t n_lines; /* headers that are still to be looked at */
    struct hr_str line;
};

static struct list list_of(const struct hr_http1_request *request, struct hr_str name,
                           enum list_kind kind)
{
    return (struct list){request, name, kind, request->n_headers, {0}};
}

/* RFC 9110 5.6.4: after an odd number of backslashes a quote is only text. */
static bool is_escaped(struct hr_str line, size_t at)
{
    size_t n = 0;
    while (n < at && line.ptr[at - 1 - n] == '\\')
        n++;
    return n % 2 == 1;
}

/* Where the last part of `line` begins that `separator` divides, outside of quotes. */
static size_t last_part(struct hr_str line, char separator, enum list_kind kind)
{
    bool is_inside = false;
    size_t at = line.len;
    for (; at > 0; at--) {
        char c = line.ptr[at - 1];
        if (c == separator && !is_inside)
            break;
        if (c == '"' && kind == LIST_QUOTED && !is_escaped(line, at - 1))
            is_inside = !is_inside;
    }
    return at;
}

/* Takes the last part off *line, trimmed, and the separator before it. */
static struct hr_str cut_last(struct hr_str *line, char separator, enum list_kind kind)
{
    size_t at = last_part(*line, separator, kind);
    struct hr_str part = {line->ptr + at, line->len - at};
    line->len = at > 0 ? at - 1 : 0;
    return hr_str_trim(part);
}

/* The next element to the left; false when there is none. RFC 9110 5.6.1: empty ones do not
 * count. */
static bool list_back(struct list *list, struct hr_str *out)
{
    for (;;) {
        while (list->line.len > 0) {
            *out = cut_last(&list->line, ',', list->kind);
            if (out->len > 0)
                return true;
        }
        do {
            if (list->n_lines == 0)
                return false;
            list->n_lines--;
        } while (!hr_str_eq(list->request->headers[list->n_lines].name, list->name));
        list->line = list->request->headers[list->n_lines].value;
    }
}

/* The element `n` places from the right, or the left-most; empty if there is none. */
static struct hr_str list_at(const struct hr_http1_request *request, struct hr_str name, uint32_t n)
{
    struct list list = list_of(request, name, LIST_PLAIN);
    struct hr_str found = {0}, element;
    for (uint32_t i = 0; i <= n && list_back(&list, &element); i++)
        found = element;
    return found;
}

static bool is_trusted(const struct hr_network *trusted, size_t n, const struct hr_peer *peer)
{
    for (size_t i = 0; i < n; i++)
        if (hr_network_has(&trusted[i], peer))
            return true;
    return false;
}

static void take_scheme(struct hr_via *via, struct hr_str word)
{
    via->is_secure = hr_str_eq_nocase(word, HR_LIT("https")) || /* ws, wss: by some for sockets */
                     hr_str_eq_nocase(word, HR_LIT("wss"));
}

static void take_host(struct hr_via *via, struct hr_str host)
{
    via->host = host.len > 0 && hr_http1_host_ok(host) ? host : (struct hr_str){0};
}

/* ---- X-Forwarded-* */

static void read_x_forwarded(const struct hr_http1_request *request,
                             const struct hr_network *trusted, size_t n_trusted, struct hr_via *via)
{
    struct list hops = list_of(request, HR_LIT("x-forwarded-for"), LIST_PLAIN);
    struct hr_str hop;
    struct hr_peer peer;
    uint64_t port;
    uint32_t n = 0;
    while (is_trusted(trusted, n_trusted, &via->client) && list_back(&hops, &hop) &&
           hr_peer_parse(hop, &peer)) {
        via->client = peer;
        n++;
    }
    n = n > 0 ? n - 1 : 0; /* the client's place */
    take_scheme(via, list_at(request, HR_LIT("x-forwarded-proto"), n));
    take_host(via, list_at(request, HR_LIT("x-forwarded-host"), n));
    if (hr_str_u64(list_at(request, HR_LIT("x-forwarded-port"), n), &port) && port <= UINT16_MAX)
        via->port = (uint16_t)port;
}

/* ---- Forwarded */

/* RFC 7239 4: the parameters of one element. */
struct hop {
    struct hr_str node, proto, host;
};

/* RFC 7239 4, 6: none of the values we read has anything to escape. */
static struct hr_str unquoted(struct hr_str value)
{
    bool is_quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
    return is_quoted ? (struct hr_str){value.ptr + 1, value.len - 2} : value;
}

static struct hop parse_hop(struct hr_str element)
{
    struct hop hop = {0};
    while (element.len > 0) {
        struct hr_str value = cut_last(&element, ';', LIST_QUOTED), name;
        if (!hr_str_next(&value, '=', &name))
            continue;
        if (hr_str_eq_nocase(name, HR_LIT("for")))
            hop.node = unquoted(value);
        else if (hr_str_eq_nocase(name, HR_LIT("proto")))
            hop.proto = unquoted(value);
        else if (hr_str_eq_nocase(name, HR_LIT("host")))
            hop.host = unquoted(value);
    }
    return hop;
}

static void read_forwarded(const struct hr_http1_request *request, const struct hr_network *trusted,
                           size_t n_trusted, struct hr_via *via)
{
    struct list hops = list_of(request, HR_LIT("forwarded"), LIST_QUOTED);
    struct hr_str element;
    while (is_trusted(trusted, n_trusted, &via->client) && list_back(&hops, &element)) {
        struct hop hop = parse_hop(element);
        struct hr_peer peer;
        take_scheme(via, hop.proto);
        take_host(via, hop.host);
        if (!hr_peer_parse(hop.node, &peer))
            break;
        via->client = peer;
    }
}

void hr_forwarded_read(const struct hr_http1_request *request, const struct hr_network *trusted,
                       size_t n_trusted, struct hr_via *via)
{
    bool has_x = false, has_standard = false;
    if (!is_trusted(trusted, n_trusted, &via->client))
        return;
    for (uint32_t i = 0; i < request->n_headers; i++) {
        struct hr_str name = request->headers[i].name;
        has_standard = has_standard || hr_str_eq(name, HR_LIT("forwarded"));
        has_x = has_x || hr_str_starts(name, HR_LIT("x-forwarded-"));
    }
    if (has_x)
        read_x_forwarded(request, trusted, n_trusted, via);
    else if (has_standard)
        read_forwarded(request, trusted, n_trusted, via);
}
