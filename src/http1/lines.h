/* lines.h - the shape of HTTP's lines, checked before llhttp reads them.
 *
 * Heads, chunk sizes and trailers are lines. Every byte of them passes here
 * first, so that what a line is never depends on the version and build of
 * llhttp: it ends in CRLF, holds no other CR or LF and no control character
 * but the tab, and does not begin with white space (RFC 9112 2.2, 5.2; RFC
 * 9110 5.5). An empty line ends a section.
 *
 * Threads: none. Memory: none.
 */
#ifndef HR_HTTP1_LINES_H
#define HR_HTTP1_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: at the start of a line. */
struct hr_lines {
    uint8_t state;
    uint8_t refusal; /* BAD: an enum hr_http1_refusal */
    bool has_tab;    /* there was one */
};

enum hr_lines_outcome {
    HR_LINES_MORE = 1, /* all used, within a line */
    HR_LINES_LINE,     /* up to the end of a line that is not empty */
    HR_LINES_END,      /* up to the end of an empty line */
    HR_LINES_BAD,      /* up to, not with, a byte that must not stand there */
};

/* At the start of a line? */
static inline bool hr_lines_is_between(const struct hr_lines *lines)
{
    return lines->state == 0;
}

/* Reads on to the end of the line; *n_out says how far it came. */
enum hr_lines_outcome hr_lines_read(struct hr_lines *lines, const char *data, size_t len,
                                    size_t *n_out);

#endif /* HR_HTTP1_LINES_H */
