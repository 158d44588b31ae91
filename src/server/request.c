/* request.c - see request.h for the contract.
 *
 * The keys are ASGI's. Room is asked for before writing: the most that can be
 * written, which is the lengths of all spans and a few bytes around each.
 */
#include "server/request.h"

#include <netinet/in.h>
#include <string.h>

#include "base/assert.h"
#include "server/http.h"
#include "websocket/websocket.h"

enum {
    FIXED_ROOM = 640, /* keys, types, numbers, the two addresses, the id, the reply channel */
    HEADER_ROOM = 11, /* around each header: a list and two byte strings of 32 bit length */
    MAX_SUBPROTOCOLS = 32,
};

/* ---- the id */

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/* xoroshiro128+ (Blackman and Vigna), seeded by the kernel: ids need to differ, not to be secret.
 */
static uint64_t next_random(uint64_t state[2])
{
    uint64_t a = state[0], b = state[1], sum = a + b;
    b ^= a;
    state[0] = rotate(a, 24) ^ b ^ (b << 16);
    state[1] = rotate(b, 37);
    return sum;
}

static void put_hex(char *out, uint64_t x)
{
    for (int i = 0; i < 16; i++)
        out[i] = "0123456789abcdef"[x >> (60 - 4 * i) & 15];
}

/* It goes into logs and headers of others: only what needs no quoting anywhere. */
static bool id_is_sane(struct hr_str id)
{
    if (id.len == 0 || id.len > HR_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && (c == '\0' || !strchr("-_.:+/=", c)))
            return false;
    }
    return true;
}

void hr_request_take_id(struct hr_http *http)
{
    struct hr_exchange *ex = &http->ex;
    struct hr_str given = hr_http1_header(hr_http_request(http), "x-request-id");
    if (id_is_sane(given)) {
        memcpy(ex->id, given.ptr, given.len);
        ex->id_len = (uint8_t)given.len;
        return;
    }
    put_hex(ex->id, next_random(http->server->random));
    put_hex(ex->id + 16, next_random(http->server->random));
    ex->id_len = 32;
}

struct hr_str hr_request_id(const struct hr_http *http)
{
    return (struct hr_str){http->ex.id, http->ex.id_len};
}

/* ---- reading the head */

bool hr_request_path(struct hr_http *http, struct hr_str *out)
{
    struct hr_str raw = hr_http_request(http)->raw_path;
    struct hr_buf *scratch = &http->server->scratch;
    uint8_t *room;
    *out = raw;
    if (!memchr(raw.ptr, '%', raw.len))
        return hr_utf8_ok(raw.ptr, raw.len);
    if (hr_buf_reserve(scratch, raw.len, &room) < 0)
        return false;
    ptrdiff_t len = hr_str_percent_decode(raw, false, (char *)room);
    if (len < 0 || !hr_utf8_ok(room, (size_t)len))
        return false;
    *out = (struct hr_str){(char *)room, (size_t)len};
    return true;
}

static struct hr_str without_default_port(struct hr_str host, bool is_secure)
{
    struct hr_str port = is_secure ? HR_LIT(":443") : HR_LIT(":80");
    if (hr_str_ends(host, port))
        host.len -= port.len;
    return host;
}

static bool origin_is_listed(const struct hr_server_config *config, struct hr_str origin,
                             struct hr_str host)
{
    for (size_t i = 0; i < config->n_origins; i++)
        if (hr_str_glob(config->origin_list[i], origin) ||
            hr_str_glob(config->origin_list[i], host))
            return true;
    return false;
}

/* RFC 6455 10.2, RFC 6454 4: what a browser says about the page that opens the socket. */
bool hr_request_origin_ok(const struct hr_http *http)
{
    const struct hr_server_config *config = &http->server->config;
    const struct hr_http1_request *request = hr_http_request(http);
    struct hr_str origin = hr_http1_header(request, "origin");
    if (config->origins == HR_ORIGINS_ANY || origin.len == 0)
        return true;
    bool is_secure = hr_str_starts(origin, HR_LIT("https://"));
    size_t n = is_secure ? 8 : 7;
    if (!is_secure && !hr_str_starts(origin, HR_LIT("http://")))
        return false; /* "null" among others */
    struct hr_str host = {origin.ptr + n, origin.len - n};
    if (config->origins == HR_ORIGINS_LIST)
        return origin_is_listed(config, origin, host);
    return hr_str_eq_nocase(without_default_port(host, is_secure),
                            without_default_port(hr_request_host(http), is_secure));
}

/* The next of the protocols that a handshake offers, in one header or several; false at the end.
 * Start with *row and *rest zeroed. */
static bool next_subprotocol(const struct hr_http1_request *request, uint32_t *row,
                             struct hr_str *rest, struct hr_str *out)
{
    for (;;) {
        if (hr_ws_next_protocol(rest, out))
            return true;
        while (*row < request->n_headers &&
               !hr_str_eq(request->headers[*row].name, HR_LIT("sec-websocket-protocol")))
            ++*row;
        if (*row == request->n_headers)
            return false;
        *rest = request->headers[(*row)++].value;
    }
}

bool hr_request_offers(const struct hr_http *http, struct hr_str protocol)
{
    const struct hr_http1_request *request = hr_http_request(http);
    struct hr_str rest = {0}, offered;
    uint32_t row = 0;
    while (next_subprotocol(request, &row, &rest, &offered))
        if (hr_str_eq(offered, protocol))
            return true;
    return false;
}

/* ---- who talks to whom */

static void name_client(struct hr_http *http)
{
    const struct hr_peer *client = &http->ex.via.client;
    if (http->is_named && hr_peer_eq(&http->named, client))
        return;
    http->named = *client;
    hr_peer_format(client, http->client);
}

static void name_ends(struct hr_http *http)
{
    const struct hr_conn *conn = http->conn;
    struct hr_peer local = conn->listener->local;
    name_client(http);
    if (http->is_named)
        return;
    http->is_named = true;
    if (conn->listener->is_wildcard) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        if (getsockname(conn->fd, (struct sockaddr *)&address, &len) == 0)
            local = hr_peer_of(&address);
    }
    hr_peer_format(&local, http->local);
    http->local_port = local.port;
}

struct hr_str hr_request_client(struct hr_http *http)
{
    name_ends(http);
    return hr_str_of(http->client);
}

struct hr_str hr_request_host(const struct hr_http *http)
{
    struct hr_str told = http->ex.via.host;
    return told.len > 0 ? told : hr_http_request(http)->host;
}

/* ---- writing the message */

static void put_str(struct hr_pack *pack, const char *key, struct hr_str value)
{
    hr_pack_cstr(pack, key);
    hr_pack_str(pack, value.ptr, value.len);
}

static void put_bytes(struct hr_pack *pack, const char *key, struct hr_str value)
{
    hr_pack_cstr(pack, key);
    hr_pack_bytes(pack, value.ptr, value.len);
}

static void put_end(struct hr_pack *pack, const char *key, struct hr_str address, uint64_t port)
{
    hr_pack_cstr(pack, key);
    if (address.len == 0) {
        hr_pack_null(pack);
        return;
    }
    hr_pack_list(pack, 2);
    hr_pack_str(pack, address.ptr, address.len);
    hr_pack_int(pack, (int64_t)port);
}

/* What the client has connected to: our own end, or that of the first proxy. */
static void put_server(struct hr_pack *pack, const struct hr_http *http)
{
    const struct hr_via *via = &http->ex.via;
    struct hr_str host = via->host.len > 0 ? via->host : hr_str_of(http->local);
    uint64_t port = via->host.len > 0 ? (via->is_secure ? 443 : 80) : http->local_port;
    const char *colon = via->host.len > 0 ? memrchr(host.ptr, ':', host.len) : NULL;
    size_t name_len = colon ? (size_t)(colon - host.ptr) : host.len;
    if (via->port > 0)
        port = via->port;
    /* The colons of an IPv6 address are none before a port. */
    if (colon && hr_str_u64((struct hr_str){colon + 1, host.len - name_len - 1}, &port))
        host.len = name_len;
    put_end(pack, "server", host, port);
}

static struct hr_str scheme_of(const struct hr_http *http)
{
    bool is_secure = http->ex.via.is_secure;
    if (http->ex.kind == HR_KIND_CONNECT)
        return is_secure ? HR_LIT("wss") : HR_LIT("ws");
    return is_secure ? HR_LIT("https") : HR_LIT("http");
}

static void put_headers(struct hr_pack *pack, const struct hr_http1_request *request)
{
    hr_pack_cstr(pack, "headers");
    hr_pack_list(pack, request->n_headers);
    for (uint32_t i = 0; i < request->n_headers; i++)
        hr_pack_header(pack, request->headers[i].name, request->headers[i].value);
}

static void put_subprotocols(struct hr_pack *pack, const struct hr_http1_request *request)
{
    struct hr_str offered[MAX_SUBPROTOCOLS], rest = {0};
    uint32_t n = 0, row = 0;
    while (n < MAX_SUBPROTOCOLS && next_subprotocol(request, &row, &rest, &offered[n]))
        n++;
    hr_pack_cstr(pack, "subprotocols");
    hr_pack_list(pack, n);
    for (uint32_t i = 0; i < n; i++)
        hr_pack_str(pack, offered[i].ptr, offered[i].len);
}

enum { COMMON_KEYS = 11 };

/* What both kinds have. */
static void put_common(struct hr_pack *pack, struct hr_http *http, struct hr_str path)
{
    const struct hr_http1_request *request = hr_http_request(http);
    char address[HR_ADDR_TEXT_MAX];
    name_ends(http);
    put_str(pack, "path", path);
    put_bytes(pack, "raw_path", request->raw_path);
    put_bytes(pack, "query_string", request->query);
    put_str(pack, "root_path", hr_str_of(http->server->config.root_path));
    put_headers(pack, request);
    put_str(pack, "scheme", scheme_of(http));
    put_end(pack, "client", hr_str_of(http->client), http->ex.via.client.port);
    put_server(pack, http);
    put_str(pack, "http_version", request->minor ? HR_LIT("1.1") : HR_LIT("1.0"));
    put_str(pack, "reply_channel", hr_source_address(&http->source, address));
    put_str(pack, "request_id", hr_request_id(http));
}

static void put_request(struct hr_pack *pack, struct hr_http *http, struct hr_str path)
{
    struct hr_upload *upload = &http->ex.upload;
    size_t len = hr_buf_len(&upload->fifo);
    bool is_whole = upload->is_ended && upload->spool_len == 0;
    hr_pack_map(pack, COMMON_KEYS + 4);
    hr_pack_type(pack, HR_MSG_TYPE_HTTP_REQUEST);
    put_str(pack, "method", hr_http_request(http)->method);
    put_common(pack, http, path);
    put_bytes(pack, "body", (struct hr_str){len ? (char *)hr_buf_ptr(&upload->fifo) : NULL, len});
    hr_pack_cstr(pack, "more_body");
    hr_pack_bool(pack, !is_whole);
}

static void put_connect(struct hr_pack *pack, struct hr_http *http, struct hr_str path)
{
    hr_pack_map(pack, COMMON_KEYS + 4);
    hr_pack_type(pack, HR_MSG_TYPE_WEBSOCKET_CONNECT);
    put_common(pack, http, path);
    put_subprotocols(pack, hr_http_request(http));
    hr_pack_cstr(pack, "seq");
    hr_pack_int(pack, (int64_t)http->source.seq + 1);
    hr_pack_cstr(pack, "state");
    hr_pack_map(pack, 0);
}

static size_t message_room(const struct hr_http *http, struct hr_str path)
{
    const struct hr_http1_request *request = hr_http_request(http);
    size_t size = FIXED_ROOM + request->target.len + path.len +
                  hr_str_of(http->server->config.root_path).len + http->ex.via.host.len +
                  hr_buf_len(&http->ex.upload.fifo);
    for (uint32_t i = 0; i < request->n_headers; i++) {
        const struct hr_header *header = &request->headers[i];
        size += header->name.len + header->value.len + HEADER_ROOM;
        if (http->ex.kind == HR_KIND_CONNECT)
            size += header->value.len + 5 * MAX_SUBPROTOCOLS; /* it may be the list of them */
    }
    return size;
}

int hr_request_send(struct hr_http *http)
{
    struct hr_upload *upload = &http->ex.upload;
    struct hr_draft draft;
    struct hr_str path;
    if (!hr_request_path(http, &path))
        return hr_raise(HR_ERR_INVALID); /* it was fine when the pool was sought */
    int r = hr_source_draft(&http->source, http->ex.kind, message_room(http, path), &draft);
    if (r != 0)
        return r;
    if (http->ex.kind == HR_KIND_REQUEST)
        put_request(&draft.pack, http, path);
    else
        put_connect(&draft.pack, http, path);
    r = hr_source_send(&http->source, &draft);
    if (r != 0)
        return r;
    upload->n_handed = hr_buf_len(&upload->fifo);
    upload->is_handed = upload->is_ended && upload->spool_len == 0;
    hr_buf_fini(&upload->fifo);
    return 0;
}
