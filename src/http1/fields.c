/* fields.c - what the header lines mean for the engine: framing, Host, persistence, upgrade.
 *
 * One pass over the table that llhttp's spans made, then the rules that need
 * more than one field. The few names that matter here are found by length
 * first; everything else is only lower-cased and kept.
 *
 * Names with '_' are dropped, as nginx does: CGI's and WSGI's variables turn
 * '-' into '_', so "x_remote_user" would overwrite what a proxy in front has
 * checked in "x-remote-user" (CVE-2015-0219). It is done here, at the edge,
 * because no worker behind us could tell them apart later.
 */
#include "http1/head.h"

#include <string.h>

#include "base/assert.h"
#include "base/str.h"

enum { WEBSOCKET_KEY_LEN = 24 }; /* RFC 6455 4.1: base64 of 16 bytes */

/* RFC 9110 5.6.2 */
const uint8_t hr_http1_token[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`',   ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',   ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'a', ['B'] = 'b',   ['C'] = 'c',
    ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',   ['J'] = 'j',
    ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',   ['Q'] = 'q',
    ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w',   ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',   ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',   ['l'] = 'l',
    ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',   ['s'] = 's',
    ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',   ['z'] = 'z',
};

bool hr_http1_is_token(struct hr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!hr_http1_token[(unsigned char)text.ptr[i]])
            return false;
    return text.len > 0;
}

/* What has been seen on the way through the table. */
struct fields {
    struct hr_http1_request *out;
    struct hr_header *host; /* its row */
    uint32_t n_hosts, n_lengths, n_codings, n_keys, n_versions;
    bool has_close, has_keep_alive, has_upgrade; /* options of Connection */
    bool names_websocket;                        /* in Upgrade */
    bool is_version_13;
};

/* Calls for each element of a comma-separated list (RFC 9110 5.6.1). */
static bool list_next(struct hr_str *rest, struct hr_str *element)
{
    if (!hr_str_next(rest, ',', element))
        return false;
    *element = hr_str_trim(*element);
    return true;
}

static enum hr_http1_refusal on_host(struct fields *f, struct hr_header *field)
{
    if (f->n_hosts++ > 0)
        return HR_HTTP1_REFUSED_HOST_TWICE;
    f->host = field;
    return hr_http1_host_ok(field->value) ? HR_HTTP1_ACCEPTED : HR_HTTP1_REFUSED_HOST_VALUE;
}

static enum hr_http1_refusal on_content_length(struct fields *f, struct hr_header *field)
{
    /* RFC 9112 6.3: a list, or lines, of the same value may be accepted. We accept one number. */
    if (f->n_lengths++ > 0)
        return HR_HTTP1_REFUSED_LENGTH_TWICE;
    return hr_str_u64(field->value, &f->out->content_length) ? HR_HTTP1_ACCEPTED
                                                             : HR_HTTP1_REFUSED_LENGTH_VALUE;
}

static enum hr_http1_refusal on_transfer_encoding(struct fields *f, struct hr_header *field)
{
    struct hr_str rest = field->value, coding;
    uint32_t n_chunked = 0, n_others = 0;
    bool is_last = false;

    if (f->n_codings++ > 0)
        return HR_HTTP1_REFUSED_CODING_TWICE;
    f->out->is_chunked = hr_str_eq_nocase(field->value, HR_LIT("chunked"));
    if (f->out->is_chunked)
        return HR_HTTP1_ACCEPTED;

    /* RFC 9112 6.1: 501 for what we could decode if only we knew how ("gzip, chunked");
       6.3: 400 where the end cannot be found, and chunked may be applied once. */
    while (list_next(&rest, &coding)) {
        is_last = hr_str_eq_nocase(coding, HR_LIT("chunked"));
        n_chunked += is_last;
        n_others += !is_last && coding.len > 0;
    }
    return is_last && n_chunked == 1 && n_others > 0 ? HR_HTTP1_REFUSED_CODING_UNKNOWN
                                                     : HR_HTTP1_REFUSED_CODING_LAST;
}

static enum hr_http1_refusal on_connection(struct fields *f, struct hr_header *field)
{
    struct hr_str rest = field->value, option;

    while (list_next(&rest, &option)) {
        f->has_close |= hr_str_eq_nocase(option, HR_LIT("close"));
        f->has_keep_alive |= hr_str_eq_nocase(option, HR_LIT("keep-alive"));
        f->has_upgrade |= hr_str_eq_nocase(option, HR_LIT("upgrade"));
    }
    return HR_HTTP1_ACCEPTED;
}

static enum hr_http1_refusal on_expect(struct fields *f, struct hr_header *field)
{
    struct hr_str rest = field->value, expectation;

    while (list_next(&rest, &expectation)) {
        if (!hr_str_eq_nocase(expectation, HR_LIT("100-continue")))
            return HR_HTTP1_REFUSED_EXPECT;
        f->out->expects_continue = true;
    }
    return HR_HTTP1_ACCEPTED;
}

static enum hr_http1_refusal on_upgrade(struct fields *f, struct hr_header *field)
{
    struct hr_str rest = field->value, protocol;

    while (list_next(&rest, &protocol))
        f->names_websocket |= hr_str_eq_nocase(protocol, HR_LIT("websocket"));
    return HR_HTTP1_ACCEPTED;
}

static enum hr_http1_refusal on_websocket_key(struct fields *f, struct hr_header *field)
{
    f->n_keys++;
    f->out->websocket_key = field->value;
    return HR_HTTP1_ACCEPTED;
}

static enum hr_http1_refusal on_websocket_version(struct fields *f, struct hr_header *field)
{
    f->n_versions++;
    f->is_version_13 = hr_str_eq(field->value, HR_LIT("13"));
    return HR_HTTP1_ACCEPTED;
}

/* The header names that concern the engine. */
static const struct {
    size_t len;
    const char *name;
    enum hr_http1_refusal (*fn)(struct fields *f, struct hr_header *field);
} known[] = {
    {4, "host", on_host},
    {6, "expect", on_expect},
    {7, "upgrade", on_upgrade},
    {10, "connection", on_connection},
    {14, "content-length", on_content_length},
    {17, "transfer-encoding", on_transfer_encoding},
    {17, "sec-websocket-key", on_websocket_key},
    {21, "sec-websocket-version", on_websocket_version},
};

static enum hr_http1_refusal read_known(struct fields *f, struct hr_header *field)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (field->name.len == known[i].len &&
            memcmp(field->name.ptr, known[i].name, known[i].len) == 0)
            return known[i].fn(f, field);
    return HR_HTTP1_ACCEPTED;
}

/* Makes the name lower case where it stands; false when it is no token. */
static bool fold_name(char *at, size_t len, bool *has_underscore)
{
    *has_underscore = false;
    for (size_t i = 0; i < len; i++) {
        uint8_t lower = hr_http1_token[(unsigned char)at[i]];
        if (!lower)
            return false;
        at[i] = (char)lower;
        *has_underscore |= lower == '_';
    }
    return len > 0;
}

static enum hr_http1_refusal check_framing(const struct fields *f, uint64_t max_body)
{
    const struct hr_http1_request *out = f->out;

    /* RFC 9112 6.1, 6.3: a sender must not; whoever does confuses somebody on the way. */
    if (f->n_codings > 0 && f->n_lengths > 0)
        return HR_HTTP1_REFUSED_LENGTH_AND_CODING;
    if (f->n_codings > 0 && out->minor == 0)
        return HR_HTTP1_REFUSED_CODING_OLD;
    /* RFC 9110 15.5.14: refused before one byte of it is read. */
    if (out->content_length > max_body)
        return HR_HTTP1_REFUSED_BODY_LARGE;
    return HR_HTTP1_ACCEPTED;
}

/* RFC 9112 3.2, 3.2.2: one Host in HTTP/1.1; what an absolute target says
 * replaces it, in the table too, so that applications see one truth. */
static enum hr_http1_refusal settle_host(struct fields *f, struct hr_header *spare)
{
    struct hr_http1_request *out = f->out;

    if (f->n_hosts == 0 && out->minor > 0)
        return HR_HTTP1_REFUSED_HOST_MISSING;
    if (out->host.len == 0) {
        out->host = f->host ? f->host->value : out->host;
        return HR_HTTP1_ACCEPTED;
    }
    if (!f->host) {
        f->host = spare;
        f->host->name = HR_LIT("host");
        out->n_headers++;
    }
    f->host->value = out->host;
    return HR_HTTP1_ACCEPTED;
}

static bool is_base64(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '/';
}

/* RFC 6455 4.1: 16 bytes in base64. */
static bool websocket_key_ok(struct hr_str key)
{
    if (key.len != WEBSOCKET_KEY_LEN || !hr_str_ends(key, HR_LIT("==")))
        return false;
    for (size_t i = 0; i < WEBSOCKET_KEY_LEN - 2; i++)
        if (!is_base64(key.ptr[i]))
            return false;
    return true;
}

/* RFC 6455 4.2.1. RFC 9110 7.8: Upgrade counts only with Connection's option,
 * and not in HTTP/1.0. A body would stand where frames are expected. */
static void settle_websocket(const struct fields *f)
{
    struct hr_http1_request *out = f->out;

    if (!f->names_websocket || !f->has_upgrade || out->minor == 0 ||
        !hr_str_eq(out->method, HR_LIT("GET")))
        return;
    if (f->n_versions == 1 && !f->is_version_13)
        out->websocket_refusal = 426; /* RFC 6455 4.4 */
    else if (f->n_versions != 1 || f->n_keys != 1 || !websocket_key_ok(out->websocket_key) ||
             out->has_body)
        out->websocket_refusal = 400;
    else
        out->wants_websocket = true;
}

enum hr_http1_refusal hr_http1_read_headers(char *text, struct hr_header *headers, uint32_t n,
                                            const struct hr_http1_limits *limits,
                                            struct hr_http1_request *out)
{
    struct fields f = {.out = out};
    enum hr_http1_refusal why = HR_HTTP1_ACCEPTED;

    out->headers = headers;
    for (uint32_t i = 0; i < n && why == HR_HTTP1_ACCEPTED; i++) {
        struct hr_header *field = &headers[out->n_headers];
        bool has_underscore;
        *field = headers[i];
        char *name = text + (field->name.ptr - text); /* without its const */
        if (!fold_name(name, field->name.len, &has_underscore))
            return HR_HTTP1_REFUSED_NAME;
        field->value = hr_str_trim(field->value);
        if (has_underscore)
            continue;
        out->n_headers++;
        why = read_known(&f, field);
    }
    if (why == HR_HTTP1_ACCEPTED)
        why = check_framing(&f, limits->max_body);
    if (why == HR_HTTP1_ACCEPTED)
        why = settle_host(&f, &headers[out->n_headers]);
    if (why != HR_HTTP1_ACCEPTED)
        return why;

    /* RFC 9112 9.3 */
    out->keep_alive = !f.has_close && (out->minor > 0 || f.has_keep_alive);
    out->has_body = out->is_chunked || out->content_length > 0;
    /* RFC 9110 10.1.1: not of HTTP/1.0, and there is nothing to go on with without a body. */
    out->expects_continue = out->expects_continue && out->minor > 0 && out->has_body;
    settle_websocket(&f);
    return HR_HTTP1_ACCEPTED;
}
