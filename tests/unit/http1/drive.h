/* drive.h - runs the HTTP/1 engine over an input cut in some way and writes down what it says.
 *
 * The transcript has one line per event, details indented by two spaces:
 *
 *     head POST /a?b HTTP/1.1
 *       path /a
 *       query b
 *       host example.org
 *       length 3               (or: chunked)
 *       keep-alive             (or: close)
 *       expects 100-continue
 *       websocket KEY          (or: websocket refused 426)
 *       headers 2
 *       header host: example.org
 *       header content-length: 3
 *     body abc                 (all pieces joined, escaped)
 *     end
 *     left ...                 (after the end of a WebSocket request: the bytes not used)
 *     bad 400 no Host
 *     idle                     (input used up between requests; or: more, within one)
 *
 * Each piece is fed from a copy of exactly its size that is freed at once, so
 * that the sanitizers see the engine reach beyond or keep what was lent.
 */
#ifndef HR_TESTS_HTTP1_DRIVE_H
#define HR_TESTS_HTTP1_DRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "http1/http1.h"

enum drive_cut {
    DRIVE_WHOLE,
    DRIVE_BYTES,  /* one by one */
    DRIVE_RANDOM, /* at points that follow from the seed */
    DRIVE_TWO,    /* after `first` bytes */
};

struct drive {
    struct hr_str input;
    struct hr_http1_limits limits;
    enum drive_cut cut;
    uint64_t seed;
    size_t first;
};

/* What the server takes by default, roughly. */
extern const struct hr_http1_limits drive_limits;

/* Gives the transcript, to be freed with free(); aborts when a promise of
 * http1.h is broken that no transcript shows. */
char *drive_run(const struct drive *drive);

/* Does a transcript have this line? */
bool drive_has_line(const char *transcript, const char *line);

/* Writes bytes with \r, \n, \t, \\ and \xHH for what is not printable. */
void drive_put_escaped(FILE *out, struct hr_str bytes);

#endif /* HR_TESTS_HTTP1_DRIVE_H */
