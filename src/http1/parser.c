/* parser.c - the engine: states, memory, and llhttp between two guards.
 *
 *              first byte          HEAD            (left 0)
 *     BETWEEN ───────────► HEAD ─┬──────► LENGTH ──────────────────► DONE
 *        ▲                       │           size 0                   │ ▲
 *        │                       └► CHUNK_SIZE ──────► TRAILERS ──────┼─┘
 *        │                             ▲  │ size                      │
 *        │                        CRLF │  ▼                           │
 *        │                          CHUNK_DATA                        │
 *        └───────────────────────── hr_http1_next() ──────────────────┘
 *     and from anywhere: REFUSED
 *
 * Whatever is made of lines (head, chunk sizes, trailers) passes lines.c
 * first and llhttp second. A head is collected until it is complete and then
 * read in one go: so nothing can depend on how it was cut into packets, its
 * spans are simply places in our copy, and our own rules (target.c, fields.c)
 * can use the raw lines. Looking at each byte twice costs some 40 ns for a
 * small request; a lost smuggling case costs more. Where both have read the same thing
 * and differ, the request is refused.
 *
 * A body with a length needs no parser: bytes are counted. A chunked one goes
 * on through llhttp, which pauses after each size line and each chunk, so one
 * call of it lends at most one span.
 *
 * One block per request, exactly large enough when the head came in one piece:
 *
 *     struct hr_http1_parser | text: the head | pad | header table
 *
 * It is 1 KiB at least, which malloc's per-thread cache takes and gives in
 * 20 ns (4 KiB: 65 ns); a free list of ours would save nothing worth a rule.
 *
 * llhttp's API is used as it is in 8.1 and in 9.2 and later: init, execute,
 * resume, error_pos, and pausing by returning HPE_PAUSED from those callbacks
 * that may (on_headers_complete, on_chunk_header, on_chunk_complete,
 * on_message_complete; not from the span callbacks). Each request has a fresh llhttp, so
 * nothing of one request is left for the next; what its own idea of upgrade
 * and keep-alive does after a message is never reached.
 */
#include "http1/http1.h"

#include <stdalign.h>
#include <string.h>

#include <llhttp.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "http1/head.h"

enum { PARSER_MIN_BLOCK = 1024 };

/* Bytes that a request line has around its target: a method and a version. More than any we know.
 */
enum { LINE_AROUND_TARGET = 64 };

enum engine_state {
    ENGINE_BETWEEN,
    ENGINE_HEAD,
    ENGINE_LENGTH,
    ENGINE_CHUNK_SIZE,
    ENGINE_CHUNK_DATA,
    ENGINE_TRAILERS,
    ENGINE_DONE,
    ENGINE_REFUSED,
};

/* What a state's function returns beside events and errors: look again. */
enum { ENGINE_AGAIN = 0 };

struct hr_http1_parser {
    llhttp_t llhttp;
    struct hr_http1_request request;
    struct hr_header *headers; /* behind the text */
    uint32_t n_rows;           /* that the table has: one per line */
    uint32_t n_headers;        /* as llhttp found them */
    bool in_value;             /* of the last of them */
    bool in_trailers;
    struct hr_str target; /* as llhttp found it */
    struct hr_str body;   /* lent by llhttp in this call */
    uint64_t n_left;      /* LENGTH: bytes of the body to come */
    uint64_t n_body;      /* CHUNK_*: bytes of the body, the chunk in hand included */
    size_t n_line;        /* bytes of the size line, or of the trailers */
    size_t n_text, cap;   /* bytes behind this struct: used by the head; there */
    alignas(struct hr_header) char text[];
};

/* The input still to be used. */
struct input {
    const char *at, *end;
};

static const struct {
    uint16_t status;
    const char *reason;
} refusals[] = {
    [HR_HTTP1_ACCEPTED] = {0, ""},
#define HR_REFUSAL(name, status, reason, why) [HR_HTTP1_REFUSED_##name] = {status, reason},
#include "http1/refusals.def"
#undef HR_REFUSAL
};

static int refuse(struct hr_http1 *h, enum hr_http1_refusal why)
{
    hr_assert(why != HR_HTTP1_ACCEPTED);
    h->state = ENGINE_REFUSED;
    h->refusal = (uint8_t)why;
    return ENGINE_AGAIN;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- llhttp's callbacks ---------------------------------------------------------------------- */

/* llhttp may give a span in parts; they stand side by side in our copy. */
static void span_add(struct hr_str *span, const char *at, size_t len)
{
    if (!span->ptr)
        span->ptr = at;
    span->len += len;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    struct hr_http1_parser *p = llhttp->data;

    span_add(&p->target, at, len);
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct hr_http1_parser *p = llhttp->data;

    if (p->in_trailers)
        return 0;
    if (p->n_headers == 0 || p->in_value) {
        /* One line is the request line: llhttp must not find more fields than are left. */
        if (p->n_headers + 1 >= p->n_rows)
            return -1;
        p->headers[p->n_headers++] = (struct hr_header){{NULL, 0}, {NULL, 0}};
    }
    p->in_value = false;
    span_add(&p->headers[p->n_headers - 1].name, at, len);
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct hr_http1_parser *p = llhttp->data;

    if (p->in_trailers)
        return 0;
    span_add(&p->headers[p->n_headers - 1].value, at, len);
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct hr_http1_parser *p = llhttp->data;

    p->in_value = true;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct hr_http1_parser *p = llhttp->data;

    hr_assert(p->body.len == 0);
    p->body = (struct hr_str){at, len};
    return 0;
}

/* The last chunk is "complete" only after the trailers, with the message. */
static int on_chunk_complete(llhttp_t *llhttp)
{
    struct hr_http1_parser *p = llhttp->data;

    return p->in_trailers ? 0 : HPE_PAUSED;
}

static int on_pause(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_pause,
    .on_body = on_body,
    .on_chunk_header = on_pause,
    .on_chunk_complete = on_chunk_complete,
    .on_message_complete = on_pause,
};

/* ---- the head -------------------------------------------------------------------------------- */

/* Makes room behind the struct for `n` bytes in all. */
static int parser_reserve(struct hr_http1 *h, size_t n)
{
    struct hr_http1_parser *p = h->parser;

    if (p && n <= p->cap)
        return 0;
    size_t size = sizeof(*p) + n;
    size = size < PARSER_MIN_BLOCK ? PARSER_MIN_BLOCK : size;
    struct hr_http1_parser *grown = hr_realloc(p, size);
    if (!grown)
        return hr_raise(HR_ERR_NOMEM);
    if (!p)
        memset(grown, 0, sizeof(*grown));
    grown->cap = size - sizeof(*p);
    h->parser = grown;
    return 0;
}

/* Where the header table begins behind `n_text` bytes. */
static size_t table_offset(size_t n_text)
{
    return (n_text + alignof(struct hr_header) - 1) & ~(alignof(struct hr_header) - 1);
}

/* Goes over the head's lines in `in` until its end or the input's; *n_out says
 * how far that is. Gives MORE, END or BAD; the refusal is then made. */
static enum hr_lines_outcome scan_head(struct hr_http1 *h, const struct input *in, size_t *n_out)
{
    const struct hr_http1_limits *limits = h->limits;
    size_t n_before = h->parser ? h->parser->n_text : 0, n_in = (size_t)(in->end - in->at);
    size_t max_line = min_size((size_t)limits->max_target + LINE_AROUND_TARGET, limits->max_head);

    for (*n_out = 0;;) {
        size_t room = (h->n_lines == 0 ? max_line : limits->max_head) - n_before - *n_out, n;
        enum hr_lines_outcome got =
            hr_lines_read(&h->lines, in->at + *n_out, min_size(n_in - *n_out, room), &n);
        *n_out += n;
        if (got == HR_LINES_MORE && *n_out < n_in) {
            refuse(h, h->n_lines == 0 ? HR_HTTP1_REFUSED_TARGET_LONG : HR_HTTP1_REFUSED_HEAD_LARGE);
            return HR_LINES_BAD;
        }
        if (got == HR_LINES_BAD)
            refuse(h, (enum hr_http1_refusal)h->lines.refusal);
        if (got != HR_LINES_LINE)
            return got;
        /* The first line is the request line. */
        if (h->n_lines++ > limits->max_headers) {
            refuse(h, HR_HTTP1_REFUSED_HEADERS_MANY);
            return HR_LINES_BAD;
        }
    }
}

/* Has llhttp read the whole head. */
static enum hr_http1_refusal run_llhttp(struct hr_http1_parser *p)
{
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
    p->llhttp.data = p;
    llhttp_errno_t e = llhttp_execute(&p->llhttp, p->text, p->n_text);
    /* Of the constants only the protocol's name is left, for the methods of RTSP and Icecast. */
    if (e == HPE_INVALID_METHOD || e == HPE_INVALID_CONSTANT)
        return HR_HTTP1_REFUSED_METHOD_UNKNOWN;
    if (e != HPE_PAUSED)
        return HR_HTTP1_REFUSED_GRAMMAR;
    /* At on_headers_complete, which must come with the last byte. */
    if (llhttp_get_error_pos(&p->llhttp) != p->text + p->n_text)
        return HR_HTTP1_REFUSED_DISAGREE;
    llhttp_resume(&p->llhttp);
    return HR_HTTP1_ACCEPTED;
}

/* Two readers, one head: they must have understood the same. */
static bool readings_agree(const struct hr_http1_parser *p)
{
    const struct hr_http1_request *request = &p->request;
    const char *method = llhttp_method_name((llhttp_method_t)p->llhttp.method);

    return hr_str_eq(request->method, hr_str_of(method)) && p->target.ptr == request->target.ptr &&
           p->target.len == request->target.len && p->llhttp.http_major == 1 &&
           p->llhttp.http_minor == request->minor && p->n_headers == p->n_rows - 1 &&
           request->is_chunked == ((p->llhttp.flags & F_CHUNKED) != 0) &&
           request->content_length == p->llhttp.content_length;
}

/* Decides what the head in p->text is. */
static enum hr_http1_refusal judge_head(struct hr_http1 *h)
{
    struct hr_http1_parser *p = h->parser;
    const char *line_end = memchr(p->text, '\r', p->n_text);
    struct hr_str line = {p->text, (size_t)(line_end - p->text)};

    hr_assert(line_end);
    enum hr_http1_refusal why =
        hr_http1_read_request_line(line, h->limits->max_target, &p->request);
    if (why == HR_HTTP1_ACCEPTED)
        why = run_llhttp(p);
    if (why == HR_HTTP1_ACCEPTED)
        why = hr_http1_read_headers(p->headers, p->n_headers, h->limits, &p->request);
    if (why == HR_HTTP1_ACCEPTED && !readings_agree(p))
        why = HR_HTTP1_REFUSED_DISAGREE;
    return why;
}

static int read_head(struct hr_http1 *h, struct input *in)
{
    size_t n_text = h->parser ? h->parser->n_text : 0, n, n_table = 0;
    enum hr_lines_outcome got = scan_head(h, in, &n);

    if (got == HR_LINES_BAD || n == 0)
        return got == HR_LINES_BAD ? ENGINE_AGAIN : HR_HTTP1_MORE;
    /* A row per line: the request line's is spare, for a host from the target. */
    if (got == HR_LINES_END)
        n_table = h->n_lines * sizeof(struct hr_header);
    else if (n_text > 0)
        n_table = n_text; /* it comes in pieces: grow by doubling */
    int r = parser_reserve(h, table_offset(n_text + n) + n_table);
    if (r < 0)
        return hr_trace(r);

    struct hr_http1_parser *p = h->parser;
    memcpy(p->text + n_text, in->at, n);
    p->n_text += n;
    in->at += n;
    if (got == HR_LINES_MORE)
        return HR_HTTP1_MORE;

    p->headers = (struct hr_header *)(void *)(p->text + table_offset(p->n_text));
    p->n_rows = h->n_lines;
    enum hr_http1_refusal why = judge_head(h);
    if (why != HR_HTTP1_ACCEPTED)
        return refuse(h, why);
    h->state = p->request.is_chunked ? ENGINE_CHUNK_SIZE : ENGINE_LENGTH;
    h->n_lines = 0;
    p->n_left = p->request.content_length;
    return HR_HTTP1_HEAD;
}

/* RFC 9112 2.2: empty lines before a request line are ignored, a few. */
static int read_between(struct hr_http1 *h, struct input *in)
{
    while (in->at < in->end) {
        if (h->lines.state == 0 && *in->at != '\r' && *in->at != '\n') {
            h->state = ENGINE_HEAD;
            return ENGINE_AGAIN;
        }
        size_t n;
        enum hr_lines_outcome got = hr_lines_read(&h->lines, in->at, 1, &n);
        in->at += n;
        if (got == HR_LINES_BAD)
            return refuse(h, (enum hr_http1_refusal)h->lines.refusal);
        if (got == HR_LINES_END && ++h->n_empty_lines > HR_HTTP1_MAX_EMPTY_LINES)
            return refuse(h, HR_HTTP1_REFUSED_EMPTY_LINES);
    }
    return HR_HTTP1_MORE;
}

/* ---- the body -------------------------------------------------------------------------------- */

static int finish(struct hr_http1 *h)
{
    h->state = ENGINE_DONE;
    return HR_HTTP1_END;
}

static int read_length(struct hr_http1 *h, struct input *in, struct hr_http1_result *out)
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
static enum hr_lines_outcome pass_lines(struct hr_http1 *h, struct input *in, size_t max,
                                        enum hr_lines_outcome stop)
{
    struct hr_http1_parser *p = h->parser;
    size_t n = min_size((size_t)(in->end - in->at), max - p->n_line);
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

static int read_chunk_size(struct hr_http1 *h, struct input *in)
{
    struct hr_http1_parser *p = h->parser;
    enum hr_lines_outcome got = pass_lines(h, in, HR_HTTP1_MAX_CHUNK_LINE, HR_LINES_LINE);

    if (got == HR_LINES_MORE)
        return in->at == in->end ? HR_HTTP1_MORE : refuse(h, HR_HTTP1_REFUSED_CHUNK_LINE);
    if (got != HR_LINES_LINE)
        return refuse(h, HR_HTTP1_REFUSED_CHUNK_SIZE);

    p->n_line = 0;
    if (p->llhttp.content_length > h->limits->max_body - p->n_body)
        return refuse(h, HR_HTTP1_REFUSED_BODY_LARGE);
    p->n_body += p->llhttp.content_length;
    p->in_trailers = p->llhttp.content_length == 0;
    h->state = p->in_trailers ? ENGINE_TRAILERS : ENGINE_CHUNK_DATA;
    return ENGINE_AGAIN;
}

static int read_chunk_data(struct hr_http1 *h, struct input *in, struct hr_http1_result *out)
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
        h->state = ENGINE_CHUNK_SIZE;
    } else if (e != HPE_OK) {
        /* What came before the fault is still given: llhttp repeats the error when called again. */
        if (p->body.len == 0)
            return refuse(h, HR_HTTP1_REFUSED_CHUNK_END);
        n = (size_t)(p->body.ptr - in->at) + p->body.len;
    }
    in->at += n;
    if (p->body.len == 0)
        return ENGINE_AGAIN;
    out->body = p->body;
    return HR_HTTP1_BODY;
}

/* RFC 9112 7.1.2: read, bounded like a head, and discarded; nothing in them can
 * be trusted to mean what it would in the head. */
static int read_trailers(struct hr_http1 *h, struct input *in)
{
    struct hr_http1_parser *p = h->parser;
    enum hr_lines_outcome got;

    do
        got = pass_lines(h, in, h->limits->max_head, HR_LINES_END);
    while (got == HR_LINES_LINE && h->n_lines++ < h->limits->max_headers);

    switch (got) {
    case HR_LINES_END:
        /* RFC 9110 6.5.1: a trailer must not frame. llhttp 8 lets this one pass, 9 does not. */
        if (p->llhttp.flags & F_CONTENT_LENGTH)
            return refuse(h, HR_HTTP1_REFUSED_TRAILERS);
        return finish(h);
    case HR_LINES_MORE:
        if (in->at == in->end)
            return HR_HTTP1_MORE;
        return refuse(h, HR_HTTP1_REFUSED_TRAILERS_LARGE);
    case HR_LINES_LINE:
        return refuse(h, HR_HTTP1_REFUSED_TRAILERS_LARGE);
    case HR_LINES_BAD:
        break;
    }
    return refuse(h, HR_HTTP1_REFUSED_TRAILERS);
}

/* ---- the engine ------------------------------------------------------------------------------ */

static int say_refusal(const struct hr_http1 *h, struct hr_http1_result *out)
{
    out->status = refusals[h->refusal].status;
    out->reason = refusals[h->refusal].reason;
    /* llhttp can be more precise; its reasons are literals. */
    if (h->refusal == HR_HTTP1_REFUSED_GRAMMAR && llhttp_get_error_reason(&h->parser->llhttp))
        out->reason = llhttp_get_error_reason(&h->parser->llhttp);
    return HR_HTTP1_BAD;
}

static int step(struct hr_http1 *h, struct input *in, struct hr_http1_result *out)
{
    switch ((enum engine_state)h->state) {
    case ENGINE_BETWEEN:
        return read_between(h, in);
    case ENGINE_HEAD:
        return read_head(h, in);
    case ENGINE_LENGTH:
        return read_length(h, in, out);
    case ENGINE_CHUNK_SIZE:
        return read_chunk_size(h, in);
    case ENGINE_CHUNK_DATA:
        return read_chunk_data(h, in, out);
    case ENGINE_TRAILERS:
        return read_trailers(h, in);
    case ENGINE_REFUSED:
        return say_refusal(h, out);
    case ENGINE_DONE:
        HR_UNREACHABLE("hr_http1_next() comes before more input");
    }
    HR_UNREACHABLE("no such state");
}

void hr_http1_init(struct hr_http1 *h, const struct hr_http1_limits *limits)
{
    *h = (struct hr_http1){.limits = limits};
}

void hr_http1_fini(struct hr_http1 *h)
{
    h->parser = hr_free(h->parser);
    h->state = ENGINE_BETWEEN;
}

int hr_http1_feed(struct hr_http1 *h, const void *data, size_t len, struct hr_http1_result *out)
{
    const char *start = data ? data : ""; /* NULL + 0 is not defined */
    struct input in = {start, start + len};
    int r;

    *out = (struct hr_http1_result){0};
    do
        r = step(h, &in, out);
    while (r == ENGINE_AGAIN);
    out->n_used = (size_t)(in.at - start);
    return hr_trace(r);
}

const struct hr_http1_request *hr_http1_request(const struct hr_http1 *h)
{
    hr_assert(h->parser);
    return &h->parser->request;
}

bool hr_http1_is_idle(const struct hr_http1 *h)
{
    return h->state == ENGINE_BETWEEN && h->lines.state == 0;
}

void hr_http1_next(struct hr_http1 *h)
{
    hr_assert(h->state == ENGINE_DONE);
    h->parser = hr_free(h->parser);
    *h = (struct hr_http1){.limits = h->limits};
}

struct hr_str hr_http1_header(const struct hr_http1_request *request, const char *name)
{
    struct hr_str wanted = hr_str_of(name);

    for (uint32_t i = 0; i < request->n_headers; i++)
        if (hr_str_eq(request->headers[i].name, wanted))
            return request->headers[i].value;
    return (struct hr_str){NULL, 0};
}
