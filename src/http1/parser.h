/* parser.h - within http1: the engine's inside, shared by parser.c (heads) and body.c. */
#ifndef HR_HTTP1_PARSER_H
#define HR_HTTP1_PARSER_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "http1/head.h"
#include "http1/http1.h"

/* parser.c draws how they follow each other. */
enum hr_http1_state {
    HR_HTTP1_STATE_BETWEEN,
    HR_HTTP1_STATE_HEAD,
    HR_HTTP1_STATE_LENGTH,
    HR_HTTP1_STATE_CHUNK_SIZE,
    HR_HTTP1_STATE_CHUNK_DATA,
    HR_HTTP1_STATE_TRAILERS,
    HR_HTTP1_STATE_DONE,
    HR_HTTP1_STATE_REFUSED,
};

/* Where in a chunk's size line we are. */
enum hr_http1_extension {
    HR_HTTP1_EXTENSION_NONE,
    HR_HTTP1_EXTENSION_PLAIN,
    HR_HTTP1_EXTENSION_QUOTED,
    HR_HTTP1_EXTENSION_ESCAPED, /* behind a backslash in a quoted string */
};

/* What a state's function returns beside events and errors: look again. */
enum { HR_HTTP1_AGAIN = 0 };

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
    enum hr_http1_extension extension;
    size_t n_text, cap; /* bytes behind this struct: used by the head; there */
    alignas(struct hr_header) char text[];
};

/* The input still to be used. */
struct hr_http1_input {
    const char *at, *end;
};

/* Each reads what its state is about, moves in->at on, and gives an event,
 * HR_HTTP1_AGAIN or an error. */
HR_MUST_CHECK int hr_http1_read_length(struct hr_http1 *h, struct hr_http1_input *in,
                                       struct hr_http1_result *out);
HR_MUST_CHECK int hr_http1_read_chunk_size(struct hr_http1 *h, struct hr_http1_input *in);
HR_MUST_CHECK int hr_http1_read_chunk_data(struct hr_http1 *h, struct hr_http1_input *in,
                                           struct hr_http1_result *out);
HR_MUST_CHECK int hr_http1_read_trailers(struct hr_http1 *h, struct hr_http1_input *in);

/* The peer is wrong: from now on there is only BAD. Gives HR_HTTP1_AGAIN. */
static inline int hr_http1_refuse(struct hr_http1 *h, enum hr_http1_refusal why)
{
    h->state = HR_HTTP1_STATE_REFUSED;
    h->refusal = (uint8_t)why;
    return HR_HTTP1_AGAIN;
}

static inline size_t hr_http1_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif /* HR_HTTP1_PARSER_H */
