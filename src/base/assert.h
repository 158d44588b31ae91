/* assert.h - what we guarantee ourselves, checked in every build.
 *
 * Asserts state what this program promises. What a peer, a file or another
 * process gives is validated instead. A failed assert prints the place and
 * aborts; it does not depend on NDEBUG.
 */
#ifndef HR_BASE_ASSERT_H
#define HR_BASE_ASSERT_H

#include <stddef.h>
#include <stdint.h>

#define hr_assert(x) ((x) ? (void)0 : hr_assert_failed(#x, __FILE__, __LINE__, __func__))

/* For costly checks: on only in debug and sanitizer builds. */
#ifdef HR_DEBUG
#define hr_dassert(x) hr_assert(x)
#else
#define hr_dassert(x) ((void)sizeof((x) ? 1 : 0))
#endif

#define HR_UNREACHABLE(why) hr_assert_failed("unreachable: " why, __FILE__, __LINE__, __func__)

_Noreturn void hr_assert_failed(const char *what, const char *file, int line, const char *function);

/* Objects that travel through `void *` begin with `uint32_t magic`. */
#define HR_MAGIC(a, b, c, d)                                                                       \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
static inline void *hr_cast_check(void *object, uint32_t magic)
{
    hr_assert(object && *(const uint32_t *)object == magic);
    return object;
}
/* `struct hr_conn *conn = HR_CAST(struct hr_conn, arg, HR_CONN_MAGIC);` */
#define HR_CAST(type, ptr, magic) ((type *)hr_cast_check((ptr), (magic)))

/* The struct of `type` whose member `member` is at `ptr`. */
#define hr_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif /* HR_BASE_ASSERT_H */
