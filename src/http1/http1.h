/* http1.h - HTTP/1.0 and 1.1, server side, as an engine without I/O.
 *
 * Bytes in, events out. The grammar is llhttp's in its strict form; around it
 * stand our own guards, always on: the shape of lines, exactly one Host in
 * HTTP/1.1, a checked request target, one unambiguous framing, limits on
 * count and size of everything (RFC 9110, RFC 9112). refusals.def lists them.
 * What a peer does wrong is an outcome with the status to answer, never an
 * error of ours.
 *
 * Every request gives HEAD, any number of BODY, END. However the input is cut
 * into pieces, the events are the same, but for where one BODY ends and the
 * next begins.
 *
 * A request's head, llhttp's state and the header table are one block, taken
 * at the request's first byte and freed by hr_http1_next(): an idle connection
 * holds none. Body bytes are lent straight from the input.
 *
 * Threads: none. Memory: hr_http1_fini() frees the block.
 */
#ifndef HR_HTTP1_HTTP1_H
#define HR_HTTP1_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "base/time.h"
#include "http1/lines.h"

enum {
    HR_HTTP1_MAX_EMPTY_LINES =
        2, /* before a request line; more would keep a connection from idling */
    HR_HTTP1_MAX_CHUNK_LINE = 256, /* bytes of a chunk's size line; stops endless extensions */
};

struct hr_http1_parser;

struct hr_http1_limits {
    uint32_t max_head;    /* bytes of request line and headers; and of trailers */
    uint32_t max_headers; /* lines; and of trailers */
    uint32_t max_target;  /* bytes of the request target */
    uint64_t max_body;    /* bytes, after chunked decoding */
};

struct hr_header {
    struct hr_str name; /* lower case */
    struct hr_str value;
};

enum hr_http1_event {
    HR_HTTP1_MORE = 1, /* all input used; feed more */
    HR_HTTP1_HEAD,     /* hr_http1_request() can be read */
    HR_HTTP1_BODY,     /* `body` lends some of it, never nothing */
    HR_HTTP1_END,      /* the request is complete; bytes after it belong to the next one, or to
                          the protocol it asked for */
    HR_HTTP1_BAD,      /* answer `status` with `reason` and close; may come instead of HEAD or after
                          it. The engine is finished: BAD again whatever is fed */
};

struct hr_http1_request {
    struct hr_str method; /* one that llhttp knows, never CONNECT; upper case */
    struct hr_str target; /* as received */
    struct hr_str
        raw_path;        /* begins with '/', or is "*" for OPTIONS; its escapes are well-formed */
    struct hr_str query; /* without the '?' */
    uint8_t minor;       /* HTTP/1.minor: 0 or 1 */
    /* In order. Names with '_' are not among them: in CGI's and WSGI's
     * variables they would pass for those with '-' (CVE-2015-0219). */
    const struct hr_header *headers;
    uint32_t n_headers;
    bool has_body; /* a Content-Length above 0, or chunked */
    bool is_chunked;
    uint64_t content_length; /* when not chunked */
    bool keep_alive;         /* as the peer wishes it */
    bool expects_continue;   /* waits for 100 before it sends its body */
    bool wants_websocket;    /* a complete RFC 6455 upgrade: END follows HEAD, and then frames */
    uint16_t
        websocket_refusal; /* wants one, but wrongly: 400, or 426 for another version; else 0 */
    struct hr_str websocket_key;
    /* With its port, checked. An absolute target's, which then also stands in
     * the header (RFC 9112 3.2.2); empty in HTTP/1.0 without one. */
    struct hr_str host;
};

/* Private. */
struct hr_http1 {
    struct hr_http1_parser *parser; /* NULL between requests */
    const struct hr_http1_limits *limits;
    uint32_t n_lines; /* of the head, or of the trailers */
    uint8_t state, n_empty_lines, refusal;
    struct hr_lines lines;
};

/* The limits are borrowed until fini. */
void hr_http1_init(struct hr_http1 *h, const struct hr_http1_limits *limits);
void hr_http1_fini(struct hr_http1 *h); /* at any time; safe on zeroed and finished ones */

struct hr_http1_result {
    size_t n_used;      /* bytes of the input that are done with */
    struct hr_str body; /* BODY: lent from the input */
    uint16_t status;    /* BAD: 400, 413, 414, 417, 431, 501, 505 */
    const char *reason; /* BAD: static */
};

/* Feeds input and gives the next event. Call again with what is left after
 * n_used, even if that is nothing, until MORE or END (or until the head or the
 * body is to be held back: input not fed is simply kept by the caller). After
 * END comes hr_http1_next(), before anything else is fed. Returns an event, or
 * HR_ERR_NOMEM, after which only hr_http1_fini() is left. */
HR_MUST_CHECK int hr_http1_feed(struct hr_http1 *h, const void *data, size_t len,
                                struct hr_http1_result *out);

/* The head; valid from HEAD until hr_http1_next(), also after a BAD in between. */
const struct hr_http1_request *hr_http1_request(const struct hr_http1 *h);

/* RFC 3986 3.2.2, 3.2.3: a host with or without a port. */
HR_MUST_CHECK bool hr_http1_host_ok(struct hr_str host);

/* True between requests with not one byte of the next one read (empty lines
 * before it do not count). */
bool hr_http1_is_idle(const struct hr_http1 *h);

/* Forgets the request after END and frees its block, also when more input
 * waits: taking the next one costs 20 ns, keeping it would need a rule. */
void hr_http1_next(struct hr_http1 *h);

/* The first header of that name, which is lower case; empty when there is none. */
struct hr_str hr_http1_header(const struct hr_http1_request *request, const char *name);

/* ---- answers */

/* May a header be sent: the name is a token, the value has no control
 * character but the tab (RFC 9110 5.1, 5.5)? */
bool hr_http1_header_ok(struct hr_str name, struct hr_str value);

enum hr_http1_framing {
    HR_FRAMING_NONE,    /* no body: to HEAD; 1xx, 204, 304 */
    HR_FRAMING_LENGTH,  /* Content-Length */
    HR_FRAMING_CHUNKED, /* Transfer-Encoding: chunked */
    HR_FRAMING_CLOSE,   /* HTTP/1.0 and unknown length: ends with the connection */
};

/* The framing for an answer to `request` (RFC 9112 6.3). */
enum hr_http1_framing hr_http1_framing_for(const struct hr_http1_request *request, uint16_t status,
                                           bool has_length);

struct hr_http1_answer {
    uint16_t status; /* 100..999; those without a body (1xx, 204, 304) only with NONE */
    enum hr_http1_framing framing; /* CHUNKED only to HTTP/1.1, CLOSE only without keep_alive */
    uint64_t content_length;       /* LENGTH; and NONE to a HEAD when has_length */
    bool has_length;
    bool keep_alive;
    uint8_t minor; /* of the request */
    hr_time wall;  /* for Date; CLOCK_REALTIME */
};

/* Appends the status line, Date, Connection and framing headers; so the
 * application's own date, connection, keep-alive, transfer-encoding and
 * content-length are not to be put. Then append its other headers one by one with
 * hr_http1_put_header() (which refuses nothing: check before), then
 * hr_http1_put_end(). Each returns 0 or HR_ERR_NOMEM with `out` unchanged. */
HR_MUST_CHECK int hr_http1_put_start(struct hr_buf *out, const struct hr_http1_answer *answer);
HR_MUST_CHECK int hr_http1_put_header(struct hr_buf *out, struct hr_str name, struct hr_str value);
HR_MUST_CHECK int hr_http1_put_end(struct hr_buf *out);

/* Appends a part of the body in its framing (nothing in NONE); a last empty
 * chunk when `is_last`. That LENGTH's parts add up is the caller's to see to.
 * Returns 0 or HR_ERR_NOMEM with `out` unchanged. */
HR_MUST_CHECK int hr_http1_put_body(struct hr_buf *out, enum hr_http1_framing framing,
                                    const void *data, size_t len, bool is_last);

/* Appends a complete "100 Continue". Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_http1_put_continue(struct hr_buf *out);

const char *hr_http1_status_text(uint16_t status); /* "Not Found"; "" when unknown */

#endif /* HR_HTTP1_HTTP1_H */
