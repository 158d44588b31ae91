/* target.c - the request line: method, target in its four forms, version.
 *
 * Read here and by llhttp; parser.c compares the two. Our own reading exists
 * for the right status codes (llhttp knows only "malformed") and because the
 * target is ours to judge: llhttp's tables of characters differ between
 * versions, and forms that do not go with the method pass it.
 */
#include "http1/head.h"

#include <string.h>

#include "base/str.h"

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, digits, and what else names are made of. RFC 3986 3.2.2 would also
 * allow escapes and sub-delims; no name that resolves has them, a comma is
 * what two Host lines look like once somebody joined them, and all of them end
 * up in the links that applications build from Host. */
static bool is_host_character(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Printable ASCII but '#'. That is more than RFC 3986 allows (browsers leave
 * '"', '^', '`', '{', '|', '}' and others unescaped) and nothing that two
 * readers would end or split differently. */
static bool target_ok(struct hr_str target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
            return false;
    return true;
}

/* Every '%' is followed by two hex digits (RFC 3986 2.1). */
static bool escapes_ok(struct hr_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '%')
            continue;
        if (path.len - i < 3 || !is_hex(path.ptr[i + 1]) || !is_hex(path.ptr[i + 2]))
            return false;
    }
    return true;
}

/* Cuts off what comes before the first of either byte, or all. */
static struct hr_str cut(struct hr_str *rest, char stop, char other)
{
    struct hr_str part = {rest->ptr, 0};

    while (part.len < rest->len && rest->ptr[part.len] != stop && rest->ptr[part.len] != other)
        part.len++;
    rest->ptr += part.len;
    rest->len -= part.len;
    return part;
}

/* "[...]" with an address in it; zones and future versions are not for Host. */
static bool ipv6_ok(struct hr_str literal)
{
    bool has_colon = false;

    if (literal.len < 4 || literal.len > sizeof("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]"))
        return false;
    for (size_t i = 1; i < literal.len - 1; i++) {
        char c = literal.ptr[i];
        if (!is_hex(c) && c != ':' && c != '.')
            return false;
        has_colon |= c == ':';
    }
    return has_colon && literal.ptr[literal.len - 1] == ']';
}

bool hr_http1_host_ok(struct hr_str host)
{
    struct hr_str rest = host, name;

    if (host.len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        if (!end)
            return false;
        name = (struct hr_str){host.ptr, (size_t)(end - host.ptr) + 1};
        rest = (struct hr_str){end + 1, host.len - name.len};
        if (!ipv6_ok(name))
            return false;
    } else {
        name = cut(&rest, ':', ':');
        /* RFC 9110 4.2.1: an http URI with an empty host must be rejected. */
        if (name.len == 0)
            return false;
        for (size_t i = 0; i < name.len; i++)
            if (!is_host_character(name.ptr[i]))
                return false;
    }

    /* RFC 3986 3.2.3: ":" and perhaps digits. */
    if (rest.len > sizeof(":65535") - 1 || (rest.len > 0 && rest.ptr[0] != ':'))
        return false;
    for (size_t i = 1; i < rest.len; i++)
        if (!is_digit(rest.ptr[i]))
            return false;
    return true;
}

static void split_path(struct hr_str target, struct hr_http1_request *out)
{
    out->raw_path = cut(&target, '?', '?');
    out->query = target.len > 0 ? (struct hr_str){target.ptr + 1, target.len - 1} : target;
}

/* RFC 9112 3.2.2: "http://host/path"; the host in it counts, not the header. */
static enum hr_http1_refusal read_absolute(struct hr_str target, bool is_options,
                                           struct hr_http1_request *out)
{
    struct hr_str scheme = cut(&target, ':', ':');

    if (!hr_str_starts(target, HR_LIT("://")) ||
        (!hr_str_eq_nocase(scheme, HR_LIT("http")) && !hr_str_eq_nocase(scheme, HR_LIT("https"))))
        return HR_HTTP1_REFUSED_TARGET_FORM;
    cut(&target, '/', '/');
    target = (struct hr_str){target.ptr + 2, target.len - 2};
    out->host = cut(&target, '/', '?');
    if (!hr_http1_host_ok(out->host))
        return HR_HTTP1_REFUSED_TARGET_AUTHORITY;

    split_path(target, out);
    /* RFC 9110 4.2.3: no path is "/"; RFC 9112 3.2.4: OPTIONS without one is for the server. */
    if (out->raw_path.len == 0)
        out->raw_path = is_options && target.len == 0 ? HR_LIT("*") : HR_LIT("/");
    return HR_HTTP1_ACCEPTED;
}

static enum hr_http1_refusal read_target(struct hr_http1_request *out)
{
    enum hr_http1_refusal why = HR_HTTP1_ACCEPTED;
    bool is_options = hr_str_eq(out->method, HR_LIT("OPTIONS"));

    if (!target_ok(out->target))
        return HR_HTTP1_REFUSED_TARGET_CHARACTER;
    if (hr_str_eq(out->method, HR_LIT("CONNECT")))
        return HR_HTTP1_REFUSED_CONNECT;
    if (out->target.ptr[0] == '/')
        split_path(out->target, out); /* RFC 9112 3.2.1 */
    else if (is_options && hr_str_eq(out->target, HR_LIT("*")))
        out->raw_path = out->target; /* RFC 9112 3.2.4 */
    else
        why = read_absolute(out->target, is_options, out);
    if (why == HR_HTTP1_ACCEPTED && !escapes_ok(out->raw_path))
        why = HR_HTTP1_REFUSED_TARGET_ESCAPE;
    return why;
}

/* RFC 9112 2.3: "HTTP/" DIGIT "." DIGIT, case-sensitive. */
static enum hr_http1_refusal read_version(struct hr_str version, struct hr_http1_request *out)
{
    if (version.len != sizeof("HTTP/1.1") - 1 || !hr_str_starts(version, HR_LIT("HTTP/")) ||
        !is_digit(version.ptr[5]) || version.ptr[6] != '.' || !is_digit(version.ptr[7]))
        return HR_HTTP1_REFUSED_VERSION_FORM;
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return HR_HTTP1_REFUSED_VERSION;
    out->minor = (uint8_t)(version.ptr[7] - '0');
    return HR_HTTP1_ACCEPTED;
}

enum hr_http1_refusal hr_http1_read_request_line(struct hr_str line, uint32_t max_target,
                                                 struct hr_http1_request *out)
{
    struct hr_str rest = line;

    /* RFC 9112 3: method SP request-target SP HTTP-version, single spaces. */
    out->method = cut(&rest, ' ', ' ');
    if (!hr_http1_is_token(out->method))
        return HR_HTTP1_REFUSED_METHOD;
    if (rest.len == 0)
        return HR_HTTP1_REFUSED_REQUEST_LINE;
    rest = (struct hr_str){rest.ptr + 1, rest.len - 1};
    out->target = cut(&rest, ' ', ' ');
    if (out->target.len == 0 || rest.len == 0)
        return HR_HTTP1_REFUSED_REQUEST_LINE;
    if (out->target.len > max_target)
        return HR_HTTP1_REFUSED_TARGET_LONG;

    rest = (struct hr_str){rest.ptr + 1, rest.len - 1};
    enum hr_http1_refusal why = read_version(rest, out);
    return why ? why : read_target(out);
}
