/* buf.h - a growable run of bytes, appended at one end and consumed at the other.
 *
 * What connections write into and read from. A buffer that is empty owns no
 * memory after hr_buf_release(), so idle connections hold none.
 *
 * Threads: none. Memory: hr_buf_fini() frees; spans are lent until the next append.
 */
#ifndef HR_BASE_BUF_H
#define HR_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct hr_buf {
    uint8_t *data; /* owned; bytes [start, end) are live */
    size_t start, end, cap;
};

static inline size_t hr_buf_len(const struct hr_buf *buf)
{
    return buf->end - buf->start;
}
static inline uint8_t *hr_buf_ptr(const struct hr_buf *buf)
{
    return buf->data ? buf->data + buf->start : NULL;
}

void hr_buf_fini(struct hr_buf *buf); /* safe on zeroed and finished buffers */

/* Makes room for `n` more bytes and lends it in *out; hr_buf_commit() then
 * says how many were written. Returns 0 or HR_ERR_NOMEM (unchanged). */
HR_MUST_CHECK int hr_buf_reserve(struct hr_buf *buf, size_t n, uint8_t **out);
void hr_buf_commit(struct hr_buf *buf, size_t n);

HR_MUST_CHECK int hr_buf_append(struct hr_buf *buf, const void *data, size_t len);
HR_MUST_CHECK int hr_buf_printf(struct hr_buf *buf, const char *format, ...) HR_PRINTF(2, 3);
void hr_buf_consume(struct hr_buf *buf, size_t n);
/* Frees the memory when empty and larger than `keep` bytes. */
void hr_buf_release(struct hr_buf *buf, size_t keep);

#endif /* HR_BASE_BUF_H */
