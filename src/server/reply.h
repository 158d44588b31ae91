/* reply.h - from a worker's messages to the bytes of an HTTP answer.
 *
 * Messages come in order and are written at once: http.response.start makes
 * the head, each body its part in the framing that the head announced. Every
 * byte of them is another process's word: what makes no sense is a 500, or
 * cuts the answer when it has begun, and is counted under reason `app`.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_REPLY_H
#define HR_SERVER_REPLY_H

#include "server/event.h"
#include "server/http.h"

/* Of the source of an HTTP request, or of a handshake that waits. */
extern const struct hr_source_ops hr_reply_ops;

/* The application's mistake: logged, counted, and answered with 500, or the answer is cut. */
void hr_reply_fail(struct hr_http *http, const char *what);

/* Tells the holder of a streaming answer how much of it the client's socket
 * has taken, when that is news worth a message. */
void hr_reply_credit(struct hr_http *http);

/* Appends the headers of a list that an application gave, less those that are
 * ours to write. The list was found well-formed by hr_reply_check_headers(). */
struct hr_reply_headers {
    struct hr_value list;
    bool is_close;   /* Connection: close */
    bool has_length; /* Content-Length */
    uint64_t length;
};
/* Reads msg's `headers`, which may be missing. False when they cannot be sent. */
HR_MUST_CHECK bool hr_reply_check_headers(const struct hr_msg *msg, struct hr_reply_headers *out);
HR_MUST_CHECK int hr_reply_put_headers(struct hr_buf *buf, const struct hr_reply_headers *headers);

/* Writes the head of an answer of our own and enters STREAM; the body and
 * hr_http_finish() are the caller's. `length` bytes will follow, unless the
 * request was HEAD or the status has no body: then returns HR_REPLY_NO_BODY.
 * Other returns: 0, HR_ERR_NOMEM (the connection is cut). */
enum { HR_REPLY_NO_BODY = 1 };
HR_MUST_CHECK int hr_reply_own(struct hr_http *http, uint16_t status, uint64_t length,
                               const struct hr_header *headers, size_t n_headers);

#endif /* HR_SERVER_REPLY_H */
