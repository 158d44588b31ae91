/* answer.c - what goes back: status line, framing, headers, chunks.
 *
 * Everything is appended to the connection's buffer in one reservation per
 * call, so a failure leaves no half line behind. The text of Date changes
 * once a second and costs more to make (0.17 us) than the rest of an answer; it
 * is kept per thread.
 */
#include "http1/http1.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "http1/head.h"

enum {
    MAX_NUMBER = 20, /* digits of a uint64_t */
    /* Status line, Date, Connection, Transfer-Encoding or Content-Length with a number. */
    MAX_START = 256,
    MAX_CHUNK_FRAME = 16 + 2 + 2 + 5, /* size CRLF, CRLF, "0" CRLF CRLF */
};

static uint8_t *put(uint8_t *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    return put(at, text, strlen(text));
}

static uint8_t *put_number(uint8_t *at, uint64_t number)
{
    char digits[MAX_NUMBER];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, digits + i, sizeof(digits) - i);
}

/* RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", whatever the locale. */
static uint8_t *put_date(uint8_t *at, hr_time wall)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static _Thread_local struct {
        time_t second;
        int len;
        char text[40];
    } cache = {.second = -1};
    time_t second = (time_t)(wall / HR_SECOND);

    if (second != cache.second) {
        struct tm tm;
        gmtime_r(&second, &tm);
        cache.len =
            snprintf(cache.text, sizeof(cache.text),
                     "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
                     months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        hr_assert(cache.len > 0 && (size_t)cache.len < sizeof(cache.text));
        cache.second = second;
    }
    return put(at, cache.text, (size_t)cache.len);
}

static bool is_informational(uint16_t status)
{
    return status < 200;
}

/* RFC 9112 6.3: these end with their empty line whatever the headers say. */
static bool has_no_body(uint16_t status)
{
    return is_informational(status) || status == 204 || status == 304;
}

enum hr_http1_framing hr_http1_framing_for(const struct hr_http1_request *request, uint16_t status,
                                           bool has_length)
{
    if (has_no_body(status) || hr_str_eq(request->method, HR_LIT("HEAD")))
        return HR_FRAMING_NONE;
    if (has_length)
        return HR_FRAMING_LENGTH;
    return request->minor > 0 ? HR_FRAMING_CHUNKED : HR_FRAMING_CLOSE;
}

static uint8_t *put_connection(uint8_t *at, const struct hr_http1_answer *answer)
{
    /* RFC 9110 7.8: a switch of protocols is announced here; what to is the caller's header. */
    if (answer->status == 101)
        return put_text(at, "Connection: upgrade\r\n");
    if (is_informational(answer->status))
        return at;
    /* RFC 9112 9.3: only what is not the version's default is said. */
    if (!answer->keep_alive)
        return put_text(at, "Connection: close\r\n");
    return answer->minor == 0 ? put_text(at, "Connection: keep-alive\r\n") : at;
}

static uint8_t *put_framing(uint8_t *at, const struct hr_http1_answer *answer)
{
    /* RFC 9110 8.6: no Content-Length in 1xx and 204, whatever is asked. */
    bool may_have_length = !is_informational(answer->status) && answer->status != 204;

    if (answer->framing == HR_FRAMING_CHUNKED)
        return put_text(at, "Transfer-Encoding: chunked\r\n");
    if (answer->framing == HR_FRAMING_LENGTH ||
        (answer->framing == HR_FRAMING_NONE && answer->has_length && may_have_length)) {
        at = put_text(at, "Content-Length: ");
        at = put_number(at, answer->content_length);
        at = put_text(at, "\r\n");
    }
    return at;
}

int hr_http1_put_start(struct hr_buf *out, const struct hr_http1_answer *answer)
{
    uint8_t *start;

    hr_assert(answer->status >= 100 && answer->status <= 999);
    hr_assert(answer->framing == HR_FRAMING_NONE || !has_no_body(answer->status));
    hr_assert(answer->framing != HR_FRAMING_CHUNKED || answer->minor > 0);
    hr_assert(answer->framing != HR_FRAMING_CLOSE || !answer->keep_alive);
    int r = hr_buf_reserve(out, MAX_START, &start);
    if (r < 0)
        return hr_trace(r);

    /* RFC 9112 4: the version is ours, not the request's; the space stays without a reason. */
    uint8_t *at = put_text(start, "HTTP/1.1 ");
    at = put_number(at, answer->status);
    at = put_text(at, " ");
    at = put_text(at, hr_http1_status_text(answer->status));
    at = put_text(at, "\r\n");
    at = put_date(at, answer->wall);
    at = put_connection(at, answer);
    at = put_framing(at, answer);
    hr_assert((size_t)(at - start) <= MAX_START);
    hr_buf_commit(out, (size_t)(at - start));
    return 0;
}

int hr_http1_put_header(struct hr_buf *out, struct hr_str name, struct hr_str value)
{
    uint8_t *start;
    int r = hr_buf_reserve(out, name.len + value.len + 4, &start);
    if (r < 0)
        return hr_trace(r);

    uint8_t *at = put(start, name.ptr, name.len);
    at = put_text(at, ": ");
    if (value.len > 0)
        at = put(at, value.ptr, value.len);
    at = put_text(at, "\r\n");
    hr_buf_commit(out, (size_t)(at - start));
    return 0;
}

int hr_http1_put_end(struct hr_buf *out)
{
    return hr_trace(hr_buf_append(out, "\r\n", 2));
}

int hr_http1_put_continue(struct hr_buf *out)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    return hr_trace(hr_buf_append(out, text, sizeof(text) - 1));
}

static int put_chunk(struct hr_buf *out, const void *data, size_t len, bool is_last)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t *start;
    int r = hr_buf_reserve(out, len + MAX_CHUNK_FRAME, &start);
    if (r < 0)
        return hr_trace(r);

    uint8_t *at = start;
    if (len > 0) {
        int shift = 60;
        while ((uint64_t)len >> shift == 0)
            shift -= 4;
        for (; shift >= 0; shift -= 4)
            *at++ = (uint8_t)hex[(uint64_t)len >> shift & 15];
        at = put_text(at, "\r\n");
        at = put(at, data, len);
        at = put_text(at, "\r\n");
    }
    if (is_last)
        at = put_text(at, "0\r\n\r\n");
    hr_buf_commit(out, (size_t)(at - start));
    return 0;
}

int hr_http1_put_body(struct hr_buf *out, enum hr_http1_framing framing, const void *data,
                      size_t len, bool is_last)
{
    switch (framing) {
    case HR_FRAMING_NONE:
        return 0;
    case HR_FRAMING_CHUNKED:
        return hr_trace(put_chunk(out, data, len, is_last));
    case HR_FRAMING_LENGTH:
    case HR_FRAMING_CLOSE:
        return len == 0 ? 0 : hr_trace(hr_buf_append(out, data, len));
    }
    HR_UNREACHABLE("no such framing");
}

bool hr_http1_header_ok(struct hr_str name, struct hr_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return hr_http1_is_token(name);
}

/* A flat table: IANA's registry (RFC 9110 15 and others). */
const char *hr_http1_status_text(uint16_t status)
{
    switch (status) {
#define HR_STATUS(code, text)                                                                      \
    case code:                                                                                     \
        return text;
#include "http1/statuses.def"
#undef HR_STATUS
    default:
        return "";
    }
}
