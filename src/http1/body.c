/* body.c - bodies: counted, or chunked and through the guard and llhttp.
 *
 * A body with a length needs no parser: bytes are counted. A chunked one goes
 * on through the llhttp that read the head, in three states. CHUNK_SIZE and
 * TRAILERS are lines: lines.c sees every byte first, and llhttp must pause
 * exactly where a line or the section ends, or the request is refused.
 * CHUNK_DATA is llhttp's alone; it pauses after each chunk's CRLF, so one call
 * of it lends at most one span.
 *
 * Trailers are bounded like a head and dropped: nothing in them may mean what
 * it would in the head (RFC 9110 6.5.1).
 */
#include "http1/parser.h"

#include "base/assert.h"

static int finish(struct hr_http1 *h)
{
    h->state = HR_HTTP1_STATE_DONE;
    return HR_HTTP1_END;
}

int hr_http1_read_length(struct hr_http1 *h, struct hr_http1_input *in, struct hr_http1_result *out)
{
    struct hr_http1_parser *p = h->parser;
    size_t n = (size_t)(in->end - in->at);

    if (p->n_left == 0)
        return finish(h);
    if (n == 0)
        return HR_HTTP1_MORE;
    n = p->n_left < n ? (size_t)p->n_left : n;
    out->body = (struct hr_str){in->at, n};
    in->at += n;
    p->n_left -= n;
    return HR_HTTP1_BODY;
}

/* Hands bytes that the guard lets pass to llhttp, which must pause at their end when `is_stop` and
 * nowhere else. */
static bool pass(struct hr_http1_parser *p, const char *data, size_t n, bool is_stop)
{
    llhttp_errno_t e = llhttp_execute(&p->llhttp, data, n);
    if (e != (is_stop ? HPE_PAUSED : HPE_OK))
        return false;
    if (is_stop && llhttp_get_error_pos(&p->llhttp) != data + n)
        return false;
    llhttp_resume(&p->llhttp);
    return true;
}

static enum hr_http1_extension extension_next(enum hr_http1_extension at, char byte)
{
    switch (at) {
    case HR_HTTP1_EXTENSION_NONE:
        return byte == ';' ? HR_HTTP1_EXTENSION_PLAIN : at;
    case HR_HTTP1_EXTENSION_PLAIN:
        return byte == '"' ? HR_HTTP1_EXTENSION_QUOTED : at;
    case HR_HTTP1_EXTENSION_QUOTED:
        if (byte == '"')
            return HR_HTTP1_EXTENSION_PLAIN;
        return byte == '\\' ? HR_HTTP1_EXTENSION_ESCAPED : at;
    case HR_HTTP1_EXTENSION_ESCAPED:
        return HR_HTTP1_EXTENSION_QUOTED;
    }
    HR_UNREACHABLE("no such extension");
}

/* A chunk's size line. RFC 9112 7.1.1: extensions are ignored, so llhttp, whose versions differ on
 * them, does not see any. A quoted string that is open at the line's end goes on behind it for
 * some, and is refused. */
static enum hr_lines_outcome pass_size(struct hr_http1 *h, struct hr_http1_input *in)
{
    struct hr_http1_parser *p = h->parser;
    size_t n = hr_http1_min((size_t)(in->end - in->at), HR_HTTP1_MAX_CHUNK_LINE - p->n_line);
    size_t n_size = 0;
    enum hr_lines_outcome got = hr_lines_read(&h->lines, in->at, n, &n);

    for (size_t i = 0; i < n; i++) {
        p->extension = extension_next(p->extension, in->at[i]);
        n_size += p->extension == HR_HTTP1_EXTENSION_NONE;
    }
    bool has_extension = p->extension != HR_HTTP1_EXTENSION_NONE;
    bool is_passed = pass(p, in->at, n_size, got == HR_LINES_LINE && !has_extension);
    p->n_line += n;
    in->at += n;
    if (is_passed && got == HR_LINES_LINE && has_extension)
        is_passed = p->extension == HR_HTTP1_EXTENSION_PLAIN && pass(p, "\r\n", 2, true);
    return is_passed ? got : HR_LINES_BAD;
}

int hr_http1_read_chunk_size(struct hr_http1 *h, struct hr_http1_input *in)
{
    struct hr_http1_parser *p = h->parser;
    enum hr_lines_outcome got = pass_size(h, in);

    if (got == HR_LINES_MORE)
        return in->at == in->end ? HR_HTTP1_MORE : hr_http1_refuse(h, HR_HTTP1_REFUSED_CHUNK_LINE);
    if (got != HR_LINES_LINE)
        return hr_http1_refuse(h, HR_HTTP1_REFUSED_CHUNK_SIZE);

    p->extension = HR_HTTP1_EXTENSION_NONE;
    p->n_line = 0;
    if (p->llhttp.content_length > h->limits->max_body - p->n_body)
        return hr_http1_refuse(h, HR_HTTP1_REFUSED_BODY_LARGE);
    p->n_body += p->llhttp.content_length;
    p->in_trailers = p->llhttp.content_length == 0;
    h->state = p->in_trailers ? HR_HTTP1_STATE_TRAILERS : HR_HTTP1_STATE_CHUNK_DATA;
    return HR_HTTP1_AGAIN;
}

int hr_http1_read_chunk_data(struct hr_http1 *h, struct hr_http1_input *in,
                             struct hr_http1_result *out)
{
    struct hr_http1_parser *p = h->parser;
    size_t n = (size_t)(in->end - in->at);

    if (n == 0)
        return HR_HTTP1_MORE;
    p->body = (struct hr_str){NULL, 0};
    llhttp_errno_t e = llhttp_execute(&p->llhttp, in->at, n);
    if (e == HPE_PAUSED) {
        n = (size_t)(llhttp_get_error_pos(&p->llhttp) - in->at);
        llhttp_resume(&p->llhttp);
        h->state = HR_HTTP1_STATE_CHUNK_SIZE;
    } else if (e != HPE_OK) {
        /* What came before the fault is still given: llhttp repeats the error when called again. */
        if (p->body.len == 0)
            return hr_http1_refuse(h, HR_HTTP1_REFUSED_CHUNK_END);
        n = (size_t)(p->body.ptr - in->at) + p->body.len;
    }
    in->at += n;
    if (p->body.len == 0)
        return HR_HTTP1_AGAIN;
    out->body = p->body;
    return HR_HTTP1_BODY;
}

static enum hr_lines_outcome pass_trailers(struct hr_http1 *h, struct hr_http1_input *in)
{
    struct hr_http1_parser *p = h->parser;
    size_t n = hr_http1_min((size_t)(in->end - in->at), h->limits->max_head - p->n_line);
    enum hr_lines_outcome got = hr_lines_read(&h->lines, in->at, n, &n);
    bool is_passed = pass(p, in->at, n, got == HR_LINES_END);

    p->n_line += n;
    in->at += n;
    return is_passed ? got : HR_LINES_BAD;
}

/* RFC 9112 7.1.2: read, bounded like a head, and discarded; nothing in them can
 * be trusted to mean what it would in the head. */
int hr_http1_read_trailers(struct hr_http1 *h, struct hr_http1_input *in)
{
    struct hr_http1_parser *p = h->parser;
    enum hr_lines_outcome got;

    do {
        /* RFC 9110 5.1: a name is a token. llhttp lets an empty one pass. */
        if (hr_lines_is_between(&h->lines) && in->at < in->end && *in->at == ':')
            return hr_http1_refuse(h, HR_HTTP1_REFUSED_TRAILERS);
        got = pass_trailers(h, in);
    } while (got == HR_LINES_LINE && h->n_lines++ < h->limits->max_headers);

    switch (got) {
    case HR_LINES_END:
        /* RFC 9110 6.5.1: a trailer must not frame. llhttp 8 lets this one pass, 9 does not. */
        if (p->llhttp.flags & F_CONTENT_LENGTH)
            return hr_http1_refuse(h, HR_HTTP1_REFUSED_TRAILERS);
        return finish(h);
    case HR_LINES_MORE:
        if (in->at == in->end)
            return HR_HTTP1_MORE;
        return hr_http1_refuse(h, HR_HTTP1_REFUSED_TRAILERS_LARGE);
    case HR_LINES_LINE:
        return hr_http1_refuse(h, HR_HTTP1_REFUSED_TRAILERS_LARGE);
    case HR_LINES_BAD:
        break;
    }
    return hr_http1_refuse(h, HR_HTTP1_REFUSED_TRAILERS);
}
