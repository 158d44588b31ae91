/* capture.h - what a child writes to stdout or stderr, line by line.
 *
 * Threads: the loop's. Memory: the capture is its owner's until `closed`.
 */
#ifndef HR_CLI_CAPTURE_H
#define HR_CLI_CAPTURE_H

#include "base/loop.h"
#include "base/str.h"

enum {
    HR_CAPTURE_LINE = 2048
}; /* bytes; longer lines come in pieces: a child cannot fill our memory */

struct hr_capture {
    struct hr_io io;
    int fd; /* owned; -1: closed */
    bool is_open;
    char line[HR_CAPTURE_LINE];
    size_t len;
    void (*fn)(struct hr_capture *capture, struct hr_str line); /* without the line feed */
    void (*closed)(struct hr_capture *capture);
};

/* Takes the pipe's reading end. On error the descriptor is still the caller's. */
HR_MUST_CHECK int hr_capture_open(struct hr_loop *loop, struct hr_capture *capture, int fd,
                                  void (*fn)(struct hr_capture *capture, struct hr_str line));
/* Its child has ended: reads what is there, which is all there will be from it, and gives the
 * unfinished line too. */
void hr_capture_finish(struct hr_capture *capture);
/* Closes; `closed` is called on a later turn of the loop. */
void hr_capture_close(struct hr_capture *capture, void (*closed)(struct hr_capture *capture));

#endif /* HR_CLI_CAPTURE_H */
