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

/* Hands up to `max` bytes of framing lines to the guard and what it lets pass
 * to llhttp, which must pause where `stop` is met and nowhere else. */
static enum hr_lines_outcome pass_lines(struct hr_http1 *h, struct hr_http1_input *in, size_t max,
                                        enum hr_lines_outcome stop)
{
    struct hr_http1_parser *p = h->parser;
    size_t n = hr_http1_min((size_t)(in->end - in->at), max - p->n_line);
    enum hr_lines_outcome got = hr_lines_read(&h->lines, in->at, n, &n);

    if (n == 0)
        return got;
    llhttp_errno_t e = llhttp_execute(&p->llhttp, in->at, n);
    p->n_line += n;
    in->at += n;
    if (e != (got == stop ? HPE_PAUSED : HPE_OK))
        return HR_LINES_BAD;
    if (e == HPE_PAUSED && llhttp_get_error_pos(&p->llhttp) != in->at)
        return HR_LINES_BAD;
    llhttp_resume(&p->llhttp);
    return got;
}

int hr_http1_read_chunk_size(struct hr_http1 *h, struct hr_http1_input *in)
{
    struct hr_http1_parser *p = h->parser;
    enum hr_lines_outcome got = pass_lines(h, in, HR_HTTP1_MAX_CHUNK_LINE, HR_LINES_LINE);

    if (got == HR_LINES_MORE)
        return in->at == in->end ? HR_HTTP1_MORE : hr_http1_refuse(h, HR_HTTP1_REFUSED_CHUNK_LINE);
    if (got != HR_LINES_LINE)
        return hr_http1_refuse(h, HR_HTTP1_REFUSED_CHUNK_SIZE);

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
        got = pass_lines(h, in, h->limits->max_head, HR_LINES_END);
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
