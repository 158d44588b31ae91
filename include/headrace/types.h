/* types.h - the few types that every header of Headrace shares. */
#ifndef HEADRACE_TYPES_H
#define HEADRACE_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define HR_API __attribute__((visibility("default")))
#define HR_MUST_CHECK __attribute__((warn_unused_result))
#define HR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define HR_API
#define HR_MUST_CHECK
#define HR_PRINTF(fmt, args)
#endif

/* Nanoseconds: a point of CLOCK_MONOTONIC, or a span. */
typedef int64_t hr_time;
#define HR_NEVER INT64_MAX
#define HR_US ((hr_time)1000)
#define HR_MS ((hr_time)1000000)
#define HR_SECOND ((hr_time)1000000000)

/* A span of characters or bytes, not NUL-terminated. ptr may be NULL when len is 0. */
struct hr_str {
    const char *ptr;
    size_t len;
};

/* For printf's "%.*s". */
#define HR_STR(s) ((int)(s).len), ((s).ptr ? (s).ptr : "")

/* A hr_str of a string literal, as an expression. */
#ifdef __cplusplus
#define HR_LIT(literal) (hr_str{(literal), sizeof(literal) - 1})
#else
#define HR_LIT(literal) ((struct hr_str){(literal), sizeof(literal) - 1})
#endif

#endif /* HEADRACE_TYPES_H */
