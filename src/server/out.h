/* out.h - what waits to be written to one client, in order.
 *
 * A queue of pieces: bytes of its own, frames shared with other queues (a
 * broadcast is encoded once), and spans of files. A queue that is empty owns
 * nothing but its struct; pieces and their memory come from a pool per server
 * and go back to it, so that answering allocates nothing in the steady state.
 *
 * Threads: none.
 * Memory:  pieces belong to the queue until they are written or the queue is
 *          finished; a frame lives until its last reference goes.
 */
#ifndef HR_SERVER_OUT_H
#define HR_SERVER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

struct hr_out_piece;

/* Bytes that several queues may hold. */
struct hr_frame {
    uint32_t n_refs;
    size_t len;
    uint8_t data[];
};
struct hr_frame *hr_frame_new(size_t len); /* with one reference; NULL when out of memory */
struct hr_frame *hr_frame_unref(struct hr_frame *frame); /* returns NULL; NULL is allowed */

/* Pieces at rest, and the bytes that wait in all queues of one server. */
struct hr_out_pool {
    struct hr_out_piece *bufs;   /* with memory */
    struct hr_out_piece *plains; /* without */
    uint32_t n_bufs, n_plains;
    uint64_t n_unsent;
};
void hr_out_pool_fini(struct hr_out_pool *pool);

struct hr_out {
    struct hr_out_piece *head, *tail;
    size_t bytes;     /* waiting; of a broadcast each queue counts its own */
    size_t committed; /* bytes of the tail piece that count already */
};

/* Drops what waits. Safe on a zeroed queue. */
void hr_out_fini(struct hr_out *out, struct hr_out_pool *pool);

/* Lends the buffer to append to, NULL when out of memory; what was appended
 * counts from hr_out_commit() on, or is taken back by hr_out_rollback(). */
struct hr_buf *hr_out_begin(struct hr_out *out, struct hr_out_pool *pool);
void hr_out_commit(struct hr_out *out, struct hr_out_pool *pool);
void hr_out_rollback(struct hr_out *out);

/* Appends a shared frame, of which it keeps a reference. */
HR_MUST_CHECK int hr_out_frame(struct hr_out *out, struct hr_out_pool *pool,
                               struct hr_frame *frame);

/* Appends `len` bytes of a file from `offset`; takes the descriptor, also on error. */
HR_MUST_CHECK int hr_out_file(struct hr_out *out, struct hr_out_pool *pool, int fd, off_t offset,
                              uint64_t len);

enum hr_out_outcome {
    HR_OUT_BLOCKED = 1, /* the socket takes no more for now */
    HR_OUT_MORE,        /* it might, but this turn's share is used up */
};

/* Writes to a socket what it takes, at most about HR_OUT_SHARE bytes, so that
 * one fast reader of a large file does not hold up the loop. Returns 0 when
 * nothing waits any more, an outcome, or HR_ERR_SYS: the connection is lost,
 * or a file became shorter than announced (errno 0). */
enum { HR_OUT_SHARE = 1 << 20 };
HR_MUST_CHECK int hr_out_write(struct hr_out *out, struct hr_out_pool *pool, int socket_fd);

#endif /* HR_SERVER_OUT_H */
