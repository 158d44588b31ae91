/* out.c - see out.h for the contract.
 *
 * Each piece is one of three: BYTES own a buffer, a FRAME refers to shared
 * bytes, a FILE owns a descriptor. Only a tail of BYTES is appended to, and
 * only up to PIECE_FULL, so that growing never copies much.
 *
 *     out.head -> [bytes] -> [frame] -> [bytes] <- out.tail
 *                                        committed | uncommitted
 *
 * Pieces at rest are bounded: BUFS_KEPT * BUF_KEPT_MAX is 4 MiB a process.
 */
#include "server/out.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    PIECE_FULL = 64 << 10,
    BUF_KEPT_MAX = 16 << 10,
    BUFS_KEPT = 256,
    PLAINS_KEPT = 4096,
    IOV_SHARE = 64, /* pieces in one system call */
};

enum piece_kind { PIECE_BYTES, PIECE_FRAME, PIECE_FILE };

struct hr_out_piece {
    struct hr_out_piece *next;
    enum piece_kind kind;
    int fd; /* FILE */
    union {
        struct hr_buf buf; /* BYTES */
        struct {
            struct hr_frame *frame;
            size_t at; /* written so far */
        } shared;      /* FRAME */
        struct {
            off_t offset;
            uint64_t left;
        } file; /* FILE */
    } as;
};

struct hr_frame *hr_frame_new(size_t len)
{
    struct hr_frame *frame = hr_alloc(sizeof *frame + len);
    if (frame)
        *frame = (struct hr_frame){.n_refs = 1, .len = len};
    return frame;
}

struct hr_frame *hr_frame_unref(struct hr_frame *frame)
{
    if (frame && --frame->n_refs == 0)
        hr_free(frame);
    return NULL;
}

/* ---- pieces */

static void pool_free_list(struct hr_out_piece *piece, bool with_memory)
{
    while (piece) {
        struct hr_out_piece *next = piece->next;
        if (with_memory)
            hr_buf_fini(&piece->as.buf);
        hr_free(piece);
        piece = next;
    }
}

void hr_out_pool_fini(struct hr_out_pool *pool)
{
    pool_free_list(pool->bufs, true);
    pool_free_list(pool->plains, false);
    *pool = (struct hr_out_pool){0};
}

static struct hr_out_piece *piece_new(struct hr_out_pool *pool, enum piece_kind kind)
{
    struct hr_out_piece **rest = kind == PIECE_BYTES ? &pool->bufs : &pool->plains;
    struct hr_out_piece *piece = *rest;
    if (piece) {
        *rest = piece->next;
        kind == PIECE_BYTES ? pool->n_bufs-- : pool->n_plains--;
    } else {
        piece = hr_calloc(1, sizeof *piece);
        if (!piece)
            return NULL;
    }
    piece->next = NULL;
    piece->kind = kind;
    return piece;
}

static void piece_rest(struct hr_out_pool *pool, struct hr_out_piece *piece)
{
    bool has_memory = piece->kind == PIECE_BYTES && piece->as.buf.cap > 0;
    if (has_memory && piece->as.buf.cap <= BUF_KEPT_MAX && pool->n_bufs < BUFS_KEPT) {
        piece->as.buf.start = piece->as.buf.end = 0;
        piece->next = pool->bufs;
        pool->bufs = piece;
        pool->n_bufs++;
        return;
    }
    if (piece->kind == PIECE_BYTES)
        hr_buf_fini(&piece->as.buf);
    if (pool->n_plains >= PLAINS_KEPT) {
        hr_free(piece);
        return;
    }
    piece->next = pool->plains;
    pool->plains = piece;
    pool->n_plains++;
}

static void piece_free(struct hr_out_pool *pool, struct hr_out_piece *piece)
{
    if (piece->kind == PIECE_FRAME)
        hr_frame_unref(piece->as.shared.frame);
    else if (piece->kind == PIECE_FILE)
        close(piece->fd);
    piece_rest(pool, piece);
}

static uint64_t piece_len(const struct hr_out_piece *piece)
{
    switch (piece->kind) {
    case PIECE_BYTES:
        return hr_buf_len(&piece->as.buf);
    case PIECE_FRAME:
        return piece->as.shared.frame->len - piece->as.shared.at;
    case PIECE_FILE:
        return piece->as.file.left;
    }
    HR_UNREACHABLE("a kind of piece");
}

/* ---- the queue */

static void out_link(struct hr_out *out, struct hr_out_piece *piece)
{
    if (out->tail)
        out->tail->next = piece;
    else
        out->head = piece;
    out->tail = piece;
    out->committed = 0;
}

static void out_count(struct hr_out *out, struct hr_out_pool *pool, uint64_t n)
{
    out->bytes += n;
    pool->n_unsent += n;
}

static void out_drop_head(struct hr_out *out, struct hr_out_pool *pool)
{
    struct hr_out_piece *piece = out->head;
    out->head = piece->next;
    if (!out->head) {
        out->tail = NULL;
        out->committed = 0;
    }
    piece_free(pool, piece);
}

void hr_out_fini(struct hr_out *out, struct hr_out_pool *pool)
{
    while (out->head)
        out_drop_head(out, pool);
    pool->n_unsent -= out->bytes;
    *out = (struct hr_out){0};
}

struct hr_buf *hr_out_begin(struct hr_out *out, struct hr_out_pool *pool)
{
    struct hr_out_piece *tail = out->tail;
    if (!tail || tail->kind != PIECE_BYTES || hr_buf_len(&tail->as.buf) >= PIECE_FULL) {
        tail = piece_new(pool, PIECE_BYTES);
        if (!tail)
            return NULL;
        out_link(out, tail);
    }
    hr_dassert(out->committed == hr_buf_len(&tail->as.buf));
    return &tail->as.buf;
}

void hr_out_commit(struct hr_out *out, struct hr_out_pool *pool)
{
    size_t len = hr_buf_len(&out->tail->as.buf);
    hr_assert(len >= out->committed);
    out_count(out, pool, len - out->committed);
    out->committed = len;
}

void hr_out_rollback(struct hr_out *out)
{
    struct hr_buf *buf = &out->tail->as.buf;
    buf->end = buf->start + out->committed;
}

int hr_out_frame(struct hr_out *out, struct hr_out_pool *pool, struct hr_frame *frame)
{
    struct hr_out_piece *piece = piece_new(pool, PIECE_FRAME);
    if (!piece)
        return hr_raise(HR_ERR_NOMEM);
    frame->n_refs++;
    piece->as.shared.frame = frame;
    piece->as.shared.at = 0;
    out_link(out, piece);
    out_count(out, pool, frame->len);
    return 0;
}

int hr_out_file(struct hr_out *out, struct hr_out_pool *pool, int fd, off_t offset, uint64_t len)
{
    struct hr_out_piece *piece = len > 0 ? piece_new(pool, PIECE_FILE) : NULL;
    if (!piece) {
        close(fd);
        return len > 0 ? hr_raise(HR_ERR_NOMEM) : 0; /* MSG_MORE would wait for an empty one */
    }
    piece->fd = fd;
    piece->as.file.offset = offset;
    piece->as.file.left = len;
    out_link(out, piece);
    out_count(out, pool, len);
    return 0;
}

/* ---- writing */

/* `n` bytes from the head on have been written. */
static void out_advance(struct hr_out *out, struct hr_out_pool *pool, uint64_t n)
{
    hr_assert(n <= out->bytes);
    out->bytes -= n;
    pool->n_unsent -= n;
    for (;;) {
        struct hr_out_piece *head = out->head;
        uint64_t len = head ? piece_len(head) : 0;
        if (!head || n < len)
            break;
        n -= len;
        out_drop_head(out, pool);
    }
    if (n == 0)
        return;
    struct hr_out_piece *head = out->head;
    hr_assert(head);
    if (head->kind == PIECE_FRAME) {
        head->as.shared.at += n;
    } else {
        hr_assert(head->kind == PIECE_BYTES);
        hr_buf_consume(&head->as.buf, n);
        if (head == out->tail)
            out->committed -= n;
    }
}

static int out_write_bytes(struct hr_out *out, struct hr_out_pool *pool, int socket_fd)
{
    struct iovec iov[IOV_SHARE];
    size_t n_iov = 0, n_bytes = 0;
    struct hr_out_piece *piece = out->head;
    for (; piece && piece->kind != PIECE_FILE && n_iov < IOV_SHARE; piece = piece->next) {
        uint8_t *data = piece->kind == PIECE_BYTES
                            ? hr_buf_ptr(&piece->as.buf)
                            : piece->as.shared.frame->data + piece->as.shared.at;
        iov[n_iov++] = (struct iovec){.iov_base = data, .iov_len = piece_len(piece)};
        n_bytes += piece_len(piece);
    }
    /* MSG_MORE: the head of an answer and the file behind it share a packet. */
    int flags = MSG_NOSIGNAL | (piece && piece->kind == PIECE_FILE ? MSG_MORE : 0);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
    ssize_t n = sendmsg(socket_fd, &msg, flags);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? HR_OUT_BLOCKED : hr_raise(HR_ERR_SYS);
    out_advance(out, pool, (uint64_t)n);
    return (size_t)n < n_bytes ? HR_OUT_BLOCKED : 0;
}

static int out_write_file(struct hr_out *out, struct hr_out_pool *pool, int socket_fd)
{
    struct hr_out_piece *head = out->head;
    size_t want = head->as.file.left < HR_OUT_SHARE ? (size_t)head->as.file.left : HR_OUT_SHARE;
    ssize_t n = sendfile(socket_fd, head->fd, &head->as.file.offset, want);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? HR_OUT_BLOCKED : hr_raise(HR_ERR_SYS);
    if (n == 0) { /* truncated under us: the announced length cannot be kept */
        errno = 0;
        return hr_raise(HR_ERR_SYS);
    }
    head->as.file.left -= (uint64_t)n;
    out->bytes -= (size_t)n;
    pool->n_unsent -= (uint64_t)n;
    if (head->as.file.left == 0)
        out_drop_head(out, pool);
    return 0;
}

int hr_out_write(struct hr_out *out, struct hr_out_pool *pool, int socket_fd)
{
    size_t before = out->bytes;
    while (out->head) {
        if (before - out->bytes >= HR_OUT_SHARE)
            return HR_OUT_MORE;
        int r = out->head->kind == PIECE_FILE ? out_write_file(out, pool, socket_fd)
                                              : out_write_bytes(out, pool, socket_fd);
        if (r != 0)
            return hr_trace(r);
    }
    return 0;
}
