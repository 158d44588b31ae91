/* str.c - see str.h for the contract. */
#include "base/str.h"

#include "base/assert.h"

static unsigned char ascii_lower(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte | 0x20) : byte;
}

bool hr_str_eq_nocase(struct hr_str a, struct hr_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    return true;
}

bool hr_str_starts(struct hr_str text, struct hr_str prefix)
{
    return text.len >= prefix.len && hr_str_eq((struct hr_str){text.ptr, prefix.len}, prefix);
}

bool hr_str_ends(struct hr_str text, struct hr_str suffix)
{
    if (text.len < suffix.len)
        return false;
    return suffix.len == 0 || memcmp(text.ptr + text.len - suffix.len, suffix.ptr, suffix.len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct hr_str hr_str_trim(struct hr_str text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

bool hr_str_next(struct hr_str *rest, char separator, struct hr_str *part)
{
    *part = *rest;
    if (rest->len == 0)
        return false;
    const char *found = memchr(rest->ptr, separator, rest->len);
    if (!found) {
        *rest = (struct hr_str){rest->ptr + rest->len, 0};
        return true;
    }
    part->len = (size_t)(found - rest->ptr);
    *rest = (struct hr_str){found + 1, rest->len - part->len - 1};
    return true;
}

bool hr_str_u64(struct hr_str text, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return text.len > 0;
}

/* Only the last star met is ever tried again: what an earlier one could take
 * further on, the last one can take as well. */
bool hr_str_glob(struct hr_str pattern, struct hr_str text)
{
    size_t p = 0, t = 0;
    size_t after_star = SIZE_MAX, star_end = 0; /* the star has taken text up to star_end */

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            after_star = ++p;
            star_end = t;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
            p++;
            t++;
        } else if (after_star != SIZE_MAX) {
            p = after_star;
            t = ++star_end;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

ptrdiff_t hr_str_percent_decode(struct hr_str text, bool is_form, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+' && is_form) {
            c = ' ';
        } else if (c == '%') {
            int high = text.len - i > 2 ? hex_digit(text.ptr[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
            if (low < 0)
                return -1;
            c = (char)(unsigned char)(high << 4 | low);
            i += 2;
        }
        out[n++] = c; /* n <= i: safe when `out` is the text itself */
    }
    return (ptrdiff_t)n;
}

bool hr_str_copy(char *out, size_t size, struct hr_str text)
{
    hr_assert(size > 0);
    size_t n = text.len < size ? text.len : size - 1;
    if (n > 0)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
    return n == text.len;
}
