/* http1.h - HTTP/1.0 and 1.1, server side, as an engine without I/O.
 *
 * Bytes in, events out. The grammar is llhttp's in its strict form; on top
 * stand our own guards, always on: no folded header lines, exactly one Host
 * in HTTP/1.1, a checked request target, limits on count and size of headers
 * (RFC 9110, RFC 9112). What a peer does wrong is an outcome with the status
 * to answer, never an error of ours.
 *
 * A request's head is copied into one buffer that grows up to the limit and
 * is freed by hr_http1_next(): an idle connection holds none. Body bytes are
 * lent straight from the input.
 *
 * Threads: none. Memory: hr_http1_fini() frees the head.
 */
#ifndef HR_HTTP1_HTTP1_H
#define HR_HTTP1_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct hr_http1_limits {
    uint32_t max_head;    /* bytes of request line and headers */
    uint32_t max_headers; /* lines */
    uint32_t max_target;  /* bytes of the request target */
    uint64_t max_body;    /* bytes, after chunked decoding */
};

struct hr_header {
    struct hr_str name; /* lower case */
    struct hr_str value;
};

enum hr_http1_event {
    HR_HTTP1_MORE = 1, /* all input used; feed more */
    HR_HTTP1_HEAD,     /* `request` is complete */
    HR_HTTP1_BODY,     /* `body` lends some of it */
    HR_HTTP1_END,      /* the request is complete; bytes after it belong to the next one */
    HR_HTTP1_BAD,      /* answer `status` with `reason` and close; the engine is finished */
};

struct hr_http1_request {
    struct hr_str method; /* upper case */
    struct hr_str target; /* as received: raw path and query */
    struct hr_str raw_path, query;
    uint8_t minor; /* HTTP/1.minor */
    const struct hr_header *headers;
    uint32_t n_headers;
    bool has_body; /* a Content-Length above 0, or chunked */
    bool is_chunked;
    uint64_t content_length; /* when not chunked */
    bool keep_alive;         /* as the peer wishes it */
    bool expects_continue;   /* Expect: 100-continue */
    bool wants_websocket; /* a complete RFC 6455 upgrade: method, version, Upgrade, Connection, key,
                             version 13 */
    struct hr_str websocket_key;
    struct hr_str host; /* empty in HTTP/1.0 without one */
};

/* Private; about 120 bytes while idle. */
struct hr_http1 {
    void *parser; /* llhttp and the head being read; NULL between requests */
    const struct hr_http1_limits *limits;
    uint64_t n_body;
    bool is_bad;
};

void hr_http1_init(struct hr_http1 *h, const struct hr_http1_limits *limits);
void hr_http1_fini(struct hr_http1 *h);

struct hr_http1_result {
    size_t n_used;      /* bytes of the input that are done with */
    struct hr_str body; /* BODY: lent from the input */
    uint16_t status;    /* BAD: 400, 408, 413, 414, 417, 431, 501, 505 */
    const char *reason; /* BAD: static */
};

/* Feeds input and gives the next event. Call again with what is left after
 * n_used until MORE (or until the head or the body is to be held back: input
 * not fed is simply kept by the caller). Returns an event or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_http1_feed(struct hr_http1 *h, const void *data, size_t len,
                                struct hr_http1_result *out);

/* The head; valid from HEAD until hr_http1_next(). */
const struct hr_http1_request *hr_http1_request(const struct hr_http1 *h);

/* True between requests with not one byte of the next one read. */
bool hr_http1_is_idle(const struct hr_http1 *h);

/* Forgets the request after END and frees its head. */
void hr_http1_next(struct hr_http1 *h);

struct hr_str hr_http1_header(const struct hr_http1_request *request,
                              const char *name); /* first; empty */

/* Checks what is to be answered: header names are tokens, values have no CR,
 * LF or NUL, status is 200..999 (RFC 9110 5.1, 5.5). */
bool hr_http1_header_ok(struct hr_str name, struct hr_str value);

/* ---- answers */

enum hr_http1_framing {
    HR_FRAMING_NONE,    /* no body: HEAD, 204, 304 */
    HR_FRAMING_LENGTH,  /* Content-Length */
    HR_FRAMING_CHUNKED, /* Transfer-Encoding: chunked */
    HR_FRAMING_CLOSE,   /* HTTP/1.0 and unknown length: ends with the connection */
};

struct hr_http1_answer {
    uint16_t status;
    enum hr_http1_framing framing;
    uint64_t content_length; /* LENGTH; and NONE to a HEAD when has_length */
    bool has_length;
    bool keep_alive;
    uint8_t minor; /* of the request */
    hr_time wall;  /* for Date; CLOCK_REALTIME */
};

/* Appends the status line, Date, Connection and framing headers. Then append
 * the application's headers one by one with hr_http1_put_header() (which
 * refuses nothing: check before), then hr_http1_put_end(). */
HR_MUST_CHECK int hr_http1_put_start(struct hr_buf *out, const struct hr_http1_answer *answer);
HR_MUST_CHECK int hr_http1_put_header(struct hr_buf *out, struct hr_str name, struct hr_str value);
HR_MUST_CHECK int hr_http1_put_end(struct hr_buf *out);

/* Appends a part of the body in its framing; a last empty chunk when `is_last`. */
HR_MUST_CHECK int hr_http1_put_body(struct hr_buf *out, enum hr_http1_framing framing,
                                    const void *data, size_t len, bool is_last);

const char *hr_http1_status_text(uint16_t status); /* "Not Found"; "" when unknown */

#endif /* HR_HTTP1_HTTP1_H */
