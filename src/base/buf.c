/* buf.c - see buf.h for the contract.
 *
 *     data          data+start          data+end           data+cap
 *      | consumed    | live              | room             |
 *
 * Room is made in this order: at the end; by moving the live bytes to the
 * front, when they are no more than what was consumed, so that each byte is
 * moved at most once for each byte consumed; by doubling.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { BUF_MIN = 512 };

void hr_buf_fini(struct hr_buf *buf)
{
    hr_free(buf->data);
    *buf = (struct hr_buf){0};
}

static int buf_grow(struct hr_buf *buf, size_t n)
{
    size_t len = hr_buf_len(buf);
    if (n > SIZE_MAX / 2 - len) /* so that doubling cannot wrap */
        return hr_raise(HR_ERR_NOMEM);

    size_t cap = buf->data ? buf->cap * 2 : BUF_MIN;
    while (cap < len + n)
        cap *= 2;
    uint8_t *data = hr_realloc(buf->data, cap);
    if (!data)
        return hr_raise(HR_ERR_NOMEM);
    buf->data = data;
    buf->cap = cap;
    return 0;
}

static int buf_make_room(struct hr_buf *buf, size_t n)
{
    size_t len = hr_buf_len(buf);
    bool fits = buf->data && n <= buf->cap - len && len <= buf->start;
    if (!fits) {
        int r = buf_grow(buf, n);
        if (r < 0)
            return hr_trace(r);
    }
    if (buf->start > 0) {
        memmove(buf->data, buf->data + buf->start, len);
        buf->start = 0;
        buf->end = len;
    }
    return 0;
}

int hr_buf_reserve(struct hr_buf *buf, size_t n, uint8_t **out)
{
    hr_dassert(buf->start <= buf->end && buf->end <= buf->cap);
    if (n > buf->cap - buf->end || !buf->data) {
        int r = buf_make_room(buf, n);
        if (r < 0)
            return hr_trace(r);
    }
    *out = buf->data + buf->end;
    return 0;
}

void hr_buf_commit(struct hr_buf *buf, size_t n)
{
    hr_assert(n <= buf->cap - buf->end);
    buf->end += n;
}

int hr_buf_append(struct hr_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    uint8_t *room;
    int r = hr_buf_reserve(buf, len, &room);
    if (r < 0)
        return hr_trace(r);
    memcpy(room, data, len);
    buf->end += len;
    return 0;
}

static int HR_PRINTF(3, 0)
    buf_print(struct hr_buf *buf, size_t room, const char *format, va_list args)
{
    uint8_t *out;
    int r = hr_buf_reserve(buf, room, &out);
    if (r < 0)
        return hr_trace(r);
    int n = vsnprintf((char *)out, room, format, args);
    hr_assert(n >= 0);
    return n;
}

int hr_buf_printf(struct hr_buf *buf, const char *format, ...)
{
    enum { FIRST_TRY = 128 }; /* most header lines and log fields fit */
    va_list args;
    va_start(args, format);
    int n = buf_print(buf, FIRST_TRY, format, args);
    va_end(args);

    if (n >= FIRST_TRY) {
        va_start(args, format);
        n = buf_print(buf, (size_t)n + 1, format, args);
        va_end(args);
    }
    if (n < 0)
        return hr_trace(n);
    hr_buf_commit(buf, (size_t)n);
    return 0;
}

void hr_buf_consume(struct hr_buf *buf, size_t n)
{
    hr_assert(n <= hr_buf_len(buf));
    buf->start += n;
    if (buf->start == buf->end)
        buf->start = buf->end = 0;
}

void hr_buf_release(struct hr_buf *buf, size_t keep)
{
    if (hr_buf_len(buf) == 0 && buf->cap > keep)
        hr_buf_fini(buf);
}
