/* request.c - reading a request: its line, headers, query, form and cookies.
 *
 * Values are given as they stand in the message when nothing in them is
 * escaped, which is the usual case; else they are decoded into the stash of
 * the context that the message belongs to. What is escaped badly is given as
 * it stands: "100%" is what somebody typed.
 */
#include <string.h>

#include "message/asgi.h"
#include "worker/worker_impl.h"

enum { NAME_MAX_ESCAPED = 256 }; /* bytes of a parameter's name as it stands in a query */

struct hr_str hr_http_method(const struct hr_msg *msg)
{
    return hr_msg_str(msg, "method");
}

/* The event in hand has been routed by it: no need to look for it again. */
struct hr_str hr_http_path(const struct hr_msg *msg)
{
    bool is_in_hand = hr_in_hand && msg == &hr_in_hand->msg;
    return is_in_hand ? hr_in_hand->path : hr_msg_str(msg, "path");
}

struct hr_str hr_http_body(const struct hr_msg *msg)
{
    return hr_msg_bytes(msg, "body");
}

/* ---- headers */

static struct hr_walk request_headers(const struct hr_msg *msg)
{
    struct hr_value headers = {.type = HR_TYPE_LIST};
    if (!hr_msg_get(msg, "headers", &headers))
        headers = (struct hr_value){.type = HR_TYPE_LIST};
    return hr_walk(&headers);
}

/* The next header of that name. Names are lower case in messages. */
static bool header_next(struct hr_walk *walk, struct hr_str wanted, struct hr_str *value)
{
    struct hr_str name;
    int r;
    while ((r = hr_header_next(walk, &name, value)) != HR_HEADER_END)
        if (r == 0 && hr_str_eq_nocase(name, wanted))
            return true;
    return false;
}

struct hr_str hr_http_header(const struct hr_msg *msg, const char *name)
{
    struct hr_walk walk = request_headers(msg);
    struct hr_str value;
    return header_next(&walk, hr_str_of(name), &value) ? value : (struct hr_str){0};
}

/* ---- decoding */

static struct hr_str value_decode(const struct hr_msg *msg, struct hr_str value, bool is_form)
{
    bool is_escaped = value.len > 0 && (memchr(value.ptr, '%', value.len) ||
                                        (is_form && memchr(value.ptr, '+', value.len)));
    struct hr_ctx *ctx = is_escaped ? hr_ctx_of(msg) : NULL;
    char *out = ctx ? hr_ctx_alloc(ctx, value.len) : NULL;
    if (!out)
        return value;
    ptrdiff_t len = hr_str_percent_decode(value, is_form, out);
    return len < 0 ? value : (struct hr_str){out, (size_t)len};
}

static bool name_is(struct hr_str escaped, struct hr_str wanted)
{
    char name[NAME_MAX_ESCAPED];
    if (hr_str_eq(escaped, wanted))
        return true;
    if (escaped.len > sizeof(name) || escaped.len < wanted.len)
        return false; /* decoding never makes a name longer */
    ptrdiff_t len = hr_str_percent_decode(escaped, true, name);
    return len >= 0 && hr_str_eq((struct hr_str){name, (size_t)len}, wanted);
}

static bool pair_split(struct hr_str pair, struct hr_str *name, struct hr_str *value)
{
    const char *equals = pair.len > 0 ? memchr(pair.ptr, '=', pair.len) : NULL;
    size_t len = equals ? (size_t)(equals - pair.ptr) : pair.len;
    *name = (struct hr_str){pair.ptr, len};
    *value = equals ? (struct hr_str){equals + 1, pair.len - len - 1} : (struct hr_str){0};
    return equals != NULL;
}

/* application/x-www-form-urlencoded, which queries are too. */
static struct hr_str form_get(const struct hr_msg *msg, struct hr_str form, const char *wanted)
{
    struct hr_str pair, name, value;
    while (hr_str_next(&form, '&', &pair)) {
        pair_split(pair, &name, &value);
        if (name_is(name, hr_str_of(wanted)))
            return value_decode(msg, value, true);
    }
    return (struct hr_str){0};
}

struct hr_str hr_http_query(const struct hr_msg *msg, const char *name)
{
    return form_get(msg, hr_msg_bytes(msg, "query_string"), name);
}

struct hr_str hr_http_form(const struct hr_msg *msg, const char *name)
{
    struct hr_str type = hr_http_header(msg, "content-type"), media;
    struct hr_str wanted = HR_LIT("application/x-www-form-urlencoded");
    if (!hr_str_next(&type, ';', &media) || !hr_str_eq_nocase(hr_str_trim(media), wanted))
        return (struct hr_str){0};
    return form_get(msg, hr_http_body(msg), name);
}

/* ---- cookies */

/* RFC 6265 5.4: pairs are separated by "; "; a value may stand in quotes. */
static bool cookie_find(struct hr_str header, struct hr_str wanted, struct hr_str *out)
{
    struct hr_str pair, name, value;
    while (hr_str_next(&header, ';', &pair)) {
        if (!pair_split(hr_str_trim(pair), &name, &value) || !hr_str_eq(name, wanted))
            continue;
        bool is_quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
        *out = is_quoted ? (struct hr_str){value.ptr + 1, value.len - 2} : value;
        return true;
    }
    return false;
}

struct hr_str hr_http_cookie(const struct hr_msg *msg, const char *name)
{
    struct hr_walk walk = request_headers(msg);
    struct hr_str header, value;
    while (header_next(&walk, HR_LIT("cookie"), &header))
        if (cookie_find(header, hr_str_of(name), &value))
            return value_decode(msg, value, false);
    return (struct hr_str){0};
}
