/* bind.c - see bind.h for the contract. */
#include "cli/bind.h"

#include <inttypes.h>
#include <stdio.h>

static int parse_unix(struct hr_str path, struct hr_bind *out, struct hr_diag *diag)
{
    out->kind = HR_BIND_UNIX;
    if (path.len == 0)
        return hr_diag_say(diag, "'unix:' needs a path");
    if (!hr_str_copy(out->path, sizeof out->path, path))
        return hr_diag_say(diag, "the path of a unix socket can have %zu bytes, not %zu: %.*s",
                           sizeof out->path - 1, path.len, HR_STR(path));
    return 0;
}

static int parse_fd(struct hr_str number, struct hr_bind *out, struct hr_diag *diag)
{
    uint64_t fd;
    out->kind = HR_BIND_FD;
    if (!hr_str_u64(number, &fd) || fd > INT32_MAX)
        return hr_diag_say(diag, "'fd://%.*s' is no descriptor; write fd://3", HR_STR(number));
    out->fd = (int)fd;
    return 0;
}

static int parse_port(struct hr_str whole, struct hr_str digits, uint16_t *out,
                      struct hr_diag *diag)
{
    uint64_t port;
    if (!hr_str_u64(digits, &port) || port > UINT16_MAX)
        return hr_diag_say(diag,
                           "'%.*s' is no address; write HOST:PORT, [::1]:PORT, unix:PATH or fd://N",
                           HR_STR(whole));
    *out = (uint16_t)port;
    return 0;
}

/* RFC 3986 3.2.2: an IPv6 address stands in brackets, for its colons. */
static int parse_tcp(struct hr_str text, struct hr_bind *out, struct hr_diag *diag)
{
    struct hr_str host = text, port = {0};
    const char *bracket = text.len && text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len) : NULL;
    if (bracket) {
        host = (struct hr_str){text.ptr + 1, (size_t)(bracket - text.ptr) - 1};
        port = (struct hr_str){bracket + 1, text.len - host.len - 2};
    } else {
        const char *colon = memrchr(text.ptr, ':', text.len);
        host.len = colon ? (size_t)(colon - text.ptr) : text.len;
        port = (struct hr_str){text.ptr + host.len, text.len - host.len};
        if (memchr(host.ptr, ':', host.len))
            return hr_diag_say(diag, "an IPv6 address stands in brackets: [%.*s]:8000",
                               HR_STR(text));
    }
    if (!hr_str_copy(out->host, sizeof out->host, host))
        return hr_diag_say(diag, "'%.*s' is no host name", HR_STR(host));
    if (port.len == 0)
        return 0;
    port.ptr++; /* over the colon */
    port.len--;
    return hr_trace(parse_port(text, port, &out->port, diag));
}

int hr_bind_parse(struct hr_str text, uint16_t port, struct hr_bind *out, struct hr_diag *diag)
{
    *out = (struct hr_bind){.kind = HR_BIND_TCP, .port = port, .fd = -1};
    struct hr_str unix_scheme = HR_LIT("unix:"), fd_scheme = HR_LIT("fd://");
    if (hr_str_starts(text, unix_scheme))
        return hr_trace(parse_unix(
            (struct hr_str){text.ptr + unix_scheme.len, text.len - unix_scheme.len}, out, diag));
    if (hr_str_starts(text, fd_scheme))
        return hr_trace(parse_fd(
            (struct hr_str){text.ptr + fd_scheme.len, text.len - fd_scheme.len}, out, diag));
    return hr_trace(parse_tcp(text, out, diag));
}

void hr_bind_format(const struct hr_bind *bind, char out[HR_BIND_TEXT_MAX])
{
    switch (bind->kind) {
    case HR_BIND_TCP:
        snprintf(out, HR_BIND_TEXT_MAX,
                 strchr(bind->host, ':') ? "http://[%s]:%" PRIu16 : "http://%s:%" PRIu16,
                 bind->host[0] ? bind->host : "*", bind->port);
        break;
    case HR_BIND_UNIX:
        snprintf(out, HR_BIND_TEXT_MAX, "unix:%s", bind->path);
        break;
    case HR_BIND_FD:
        snprintf(out, HR_BIND_TEXT_MAX, "fd://%d", bind->fd);
        break;
    }
}
