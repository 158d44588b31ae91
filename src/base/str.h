/* str.h - spans of text: comparing, splitting, reading numbers. Nothing allocates. */
#ifndef HR_BASE_STR_H
#define HR_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <headrace/types.h>

static inline struct hr_str hr_str_of(const char *text)
{
    return (struct hr_str){text, text ? strlen(text) : 0};
}

static inline bool hr_str_eq(struct hr_str a, struct hr_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool hr_str_eq_nocase(struct hr_str a, struct hr_str b); /* ASCII */
bool hr_str_starts(struct hr_str text, struct hr_str prefix);
bool hr_str_ends(struct hr_str text, struct hr_str suffix);
struct hr_str hr_str_trim(struct hr_str text); /* spaces and tabs */

/* Cuts the part before the first `separator` off *rest and gives it; false
 * when *rest is used up. "a,,b" gives "a", "", "b". */
bool hr_str_next(struct hr_str *rest, char separator, struct hr_str *part);

/* The whole of `text` as a decimal number, no sign, no spaces. */
bool hr_str_u64(struct hr_str text, uint64_t *out);

/* `*` matches any run, `?` one byte. At most pattern times text steps. */
bool hr_str_glob(struct hr_str pattern, struct hr_str text);

/* Decodes %XX (and '+' as a space when `is_form`) into `out`, which has room
 * for text.len bytes and may be text's own. Returns the length, or -1 on a
 * broken escape. */
ptrdiff_t hr_str_percent_decode(struct hr_str text, bool is_form, char *out);

/* Copies with a NUL, cut to `size`; true when it fitted. */
bool hr_str_copy(char *out, size_t size, struct hr_str text);

bool hr_utf8_ok(const void *data, size_t len);

/* UTF-8 checked in pieces: *state starts at 0; hr_utf8_feed() returns false
 * as soon as the bytes cannot become valid, and at the end of the text *state
 * must be HR_UTF8_COMPLETE again. */
enum { HR_UTF8_COMPLETE = 0 };
bool hr_utf8_feed(uint32_t *state, const void *data, size_t len);

#endif /* HR_BASE_STR_H */
