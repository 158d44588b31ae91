/* parser.c - the engine: states, memory, heads, and llhttp between two guards.
 *
 *     BETWEEN ──first byte──► HEAD ──┬── a length, or no body ──► LENGTH ──┐
 *        ▲                           │                                     │
 *        │                           └── chunked ──► CHUNK_SIZE ◄──┐       │
 *        │                                            │      │     │ CRLF  │
 *        │                                      last, │      ▼     │       │
 *        │                                     size 0 │    CHUNK_DATA      │
 *        │                                            ▼                    │
 *        │                                         TRAILERS ──────────┐    │
 *        │                                                            ▼    ▼
 *        └───────────────────── hr_http1_next() ─────────────────────── DONE
 *     and from anywhere: REFUSED
 *
 * Whatever is made of lines (head, chunk sizes, trailers) passes lines.c
 * first and llhttp second. A head is collected until it is complete and then
 * read in one go: so nothing can depend on how it was cut into packets, its
 * spans are simply places in our copy, and our own rules (target.c, fields.c)
 * can use the raw lines. Going over the lines first costs 25 ns of a
 * small request's 180. Where both readers have read the same thing and differ, the
 * request is refused. Bodies are in body.c.
 *
 * One block per request, exactly large enough when the head came in one piece:
 *
 *     struct hr_http1_parser | text: the head | pad | header table
 *
 * It is 1 KiB at least, which malloc's per-thread cache takes and gives in
 * 20 ns (4 KiB: 65 ns); a free list of ours would save nothing worth a rule.
 *
 * llhttp's API is used as it is in 8.1 and in 9.2 and later: init, execute,
 * resume, error_pos, error_reason, and pausing by returning HPE_PAUSED from
 * those callbacks that may (on_headers_complete, on_chunk_header,
 * on_chunk_complete, on_message_complete; not from the span callbacks). Each
 * request has a fresh llhttp, so nothing of one request is left for the next;
 * what it would do about upgrades and keep-alive after a message is never
 * reached.
 */
#include "http1/parser.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { PARSER_MIN_BLOCK = 1024 };

/* Bytes that a request line has around its target: method and version, more than any we know. */
enum { LINE_AROUND_TARGET = 64 };

static const struct {
    uint16_t status;
    const char *reason;
} refusals[] = {
    [HR_HTTP1_ACCEPTED] = {0, ""},
#define HR_REFUSAL(name, status, reason, why) [HR_HTTP1_REFUSED_##name] = {status, reason},
#include "http1/refusals.def"
#undef HR_REFUSAL
};

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
static enum hr_lines_outcome scan_head(struct hr_http1 *h, const struct hr_http1_input *in,
                                       size_t *n_out)
{
    const struct hr_http1_limits *limits = h->limits;
    size_t n_before = h->parser ? h->parser->n_text : 0, n_in = (size_t)(in->end - in->at);
    size_t max_line =
        hr_http1_min((size_t)limits->max_target + LINE_AROUND_TARGET, limits->max_head);

    for (*n_out = 0;;) {
        size_t room = (h->n_lines == 0 ? max_line : limits->max_head) - n_before - *n_out, n;
        enum hr_lines_outcome got =
            hr_lines_read(&h->lines, in->at + *n_out, hr_http1_min(n_in - *n_out, room), &n);
        *n_out += n;
        if (got == HR_LINES_MORE && *n_out < n_in) {
            hr_http1_refuse(h, h->n_lines == 0 ? HR_HTTP1_REFUSED_TARGET_LONG
                                               : HR_HTTP1_REFUSED_HEAD_LARGE);
            return HR_LINES_BAD;
        }
        if (got == HR_LINES_BAD)
            hr_http1_refuse(h, (enum hr_http1_refusal)h->lines.refusal);
        if (got != HR_LINES_LINE)
            return got;
        /* The first line is the request line. */
        if (h->n_lines++ > limits->max_headers) {
            hr_http1_refuse(h, HR_HTTP1_REFUSED_HEADERS_MANY);
            return HR_LINES_BAD;
        }
    }
}

/* RFC 9110 5.5: white space behind a value does not belong to it. To llhttp 8 a tab there is a part
 * of Content-Length and of Transfer-Encoding. */
static void blank_tabs(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\r')
            continue;
        for (size_t k = i; k > 0 && (text[k - 1] == ' ' || text[k - 1] == '\t'); k--)
            text[k - 1] = ' ';
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
    if (h->lines.has_tab)
        blank_tabs(p->text + line.len, p->n_text - line.len);
    if (why == HR_HTTP1_ACCEPTED)
        why = run_llhttp(p);
    if (why == HR_HTTP1_ACCEPTED)
        why = hr_http1_read_headers(p->text, p->headers, p->n_headers, h->limits, &p->request);
    if (why == HR_HTTP1_ACCEPTED && !readings_agree(p))
        why = HR_HTTP1_REFUSED_DISAGREE;
    return why;
}

static int read_head(struct hr_http1 *h, struct hr_http1_input *in)
{
    size_t n_text = h->parser ? h->parser->n_text : 0, n, n_table = 0;
    enum hr_lines_outcome got = scan_head(h, in, &n);

    if (got == HR_LINES_BAD || n == 0)
        return got == HR_LINES_BAD ? HR_HTTP1_AGAIN : HR_HTTP1_MORE;
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
        return hr_http1_refuse(h, why);
    h->state = p->request.is_chunked ? HR_HTTP1_STATE_CHUNK_SIZE : HR_HTTP1_STATE_LENGTH;
    h->n_lines = 0;
    p->n_left = p->request.content_length;
    return HR_HTTP1_HEAD;
}

/* RFC 9112 2.2: empty lines before a request line are ignored, a few. */
static int read_between(struct hr_http1 *h, struct hr_http1_input *in)
{
    while (in->at < in->end) {
        if (hr_lines_is_between(&h->lines) && *in->at != '\r' && *in->at != '\n') {
            h->state = HR_HTTP1_STATE_HEAD;
            return HR_HTTP1_AGAIN;
        }
        size_t n;
        enum hr_lines_outcome got = hr_lines_read(&h->lines, in->at, 1, &n);
        in->at += n;
        if (got == HR_LINES_BAD)
            return hr_http1_refuse(h, (enum hr_http1_refusal)h->lines.refusal);
        if (got == HR_LINES_END && ++h->n_empty_lines > HR_HTTP1_MAX_EMPTY_LINES)
            return hr_http1_refuse(h, HR_HTTP1_REFUSED_EMPTY_LINES);
    }
    return HR_HTTP1_MORE;
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

static int step(struct hr_http1 *h, struct hr_http1_input *in, struct hr_http1_result *out)
{
    switch ((enum hr_http1_state)h->state) {
    case HR_HTTP1_STATE_BETWEEN:
        return read_between(h, in);
    case HR_HTTP1_STATE_HEAD:
        return read_head(h, in);
    case HR_HTTP1_STATE_LENGTH:
        return hr_http1_read_length(h, in, out);
    case HR_HTTP1_STATE_CHUNK_SIZE:
        return hr_http1_read_chunk_size(h, in);
    case HR_HTTP1_STATE_CHUNK_DATA:
        return hr_http1_read_chunk_data(h, in, out);
    case HR_HTTP1_STATE_TRAILERS:
        return hr_http1_read_trailers(h, in);
    case HR_HTTP1_STATE_REFUSED:
        return say_refusal(h, out);
    case HR_HTTP1_STATE_DONE:
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
    h->state = HR_HTTP1_STATE_BETWEEN;
}

int hr_http1_feed(struct hr_http1 *h, const void *data, size_t len, struct hr_http1_result *out)
{
    const char *start = data ? data : ""; /* NULL + 0 is not defined */
    struct hr_http1_input in = {start, start + len};
    int r;

    *out = (struct hr_http1_result){0};
    do
        r = step(h, &in, out);
    while (r == HR_HTTP1_AGAIN);
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
    return h->state == HR_HTTP1_STATE_BETWEEN && hr_lines_is_between(&h->lines);
}

void hr_http1_next(struct hr_http1 *h)
{
    hr_assert(h->state == HR_HTTP1_STATE_DONE);
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
