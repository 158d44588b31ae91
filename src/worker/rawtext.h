/* rawtext.h - text put together in a signal handler: no allocation, no stdio.
 *
 * What does not fit is cut. Values come from messages, so what would look like
 * the end of a value there is shown as '?'.
 */
#ifndef HR_WORKER_RAWTEXT_H
#define HR_WORKER_RAWTEXT_H

#include <string.h>

#include <headrace/types.h>

enum {
    HR_RAWTEXT_SIZE = 4096, /* what a pipe takes in one piece */
    HR_RAWTEXT_VALUE = 200, /* bytes of one value */
};

/* Zeroed is empty. */
struct hr_rawtext {
    size_t len;
    char text[HR_RAWTEXT_SIZE];
};

static inline void hr_rawtext_add(struct hr_rawtext *out, const char *text, size_t len)
{
    size_t room = sizeof(out->text) - 1 - out->len; /* the last line feed */
    if (len > room)
        len = room;
    memcpy(out->text + out->len, text, len);
    out->len += len;
}

static inline void hr_rawtext_str(struct hr_rawtext *out, const char *text)
{
    hr_rawtext_add(out, text, strlen(text));
}

static inline void hr_rawtext_number(struct hr_rawtext *out, uint64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    hr_rawtext_add(out, digits + n, sizeof(digits) - n);
}

/* Quotes, spaces and control characters would make a second value of it. */
static inline void hr_rawtext_value(struct hr_rawtext *out, struct hr_str value)
{
    size_t len = value.len < HR_RAWTEXT_VALUE ? value.len : HR_RAWTEXT_VALUE;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        char shown = (char)(c <= ' ' || c == '"' || c == '\\' || c == 0x7f ? '?' : c);
        hr_rawtext_add(out, &shown, 1);
    }
}

#endif /* HR_WORKER_RAWTEXT_H */
