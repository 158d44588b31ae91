/* head.h - within http1: what a complete head must be like, apart from its grammar.
 *
 * parser.c collects a head and has llhttp read it; these functions decide
 * what it means and refuse what RFC 9110 and 9112 forbid. Each returns
 * HR_HTTP1_ACCEPTED or the first refusal found; the rows of refusals.def say
 * status and rule.
 *
 * Threads: none. Memory: all spans point into the head.
 */
#ifndef HR_HTTP1_HEAD_H
#define HR_HTTP1_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "http1/http1.h"

enum hr_http1_refusal {
    HR_HTTP1_ACCEPTED,
#define HR_REFUSAL(name, status, reason, why) HR_HTTP1_REFUSED_##name,
#include "http1/refusals.def"
#undef HR_REFUSAL
};

/* RFC 9110 5.6.2: the lower case of a token's character, 0 for any other byte. */
extern const uint8_t hr_http1_token[256];
bool hr_http1_is_token(struct hr_str text); /* not empty */

/* Reads the request line, given without its CRLF: method, target, raw_path,
 * query, minor, and `host` when the target carries one. */
enum hr_http1_refusal hr_http1_read_request_line(struct hr_str line, uint32_t max_target,
                                                 struct hr_http1_request *out);

/* Reads the header lines that llhttp found in `text`, in place: names become lower
 * case, values lose the white space around them, names with `_` are dropped.
 * The table has room for one more entry than *n. Fills in all of the request
 * that hr_http1_read_request_line() has not. */
enum hr_http1_refusal hr_http1_read_headers(char *text, struct hr_header *headers, uint32_t n,
                                            const struct hr_http1_limits *limits,
                                            struct hr_http1_request *out);

#endif /* HR_HTTP1_HEAD_H */
