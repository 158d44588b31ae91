/* error.h - the error numbers of Headrace and what they are called.
 *
 * One return rule holds in every function of this library: 0 is done, a
 * negative number is one of the errors below (forward it or end the
 * operation), a positive number is an outcome that the function's own comment
 * names and that the caller handles on the spot.
 *
 * Numbers are stable for ever and never reused. A failed system call travels
 * as HR_ERR_SYS with errno left as it was.
 */
#ifndef HEADRACE_ERROR_H
#define HEADRACE_ERROR_H

#include <headrace/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum hr_error {
#define HR_ERROR(name, number, http, websocket, python, text) HR_ERR_##name = number,
#include <headrace/errors.def>
#undef HR_ERROR
};

/* "HR_ERR_FULL" for HR_ERR_FULL; "HR_ERR_UNKNOWN" for a number that is none.
 * The string is static. */
HR_API const char *hr_error_name(int error);

/* One sentence for people, without a full stop. The string is static. */
HR_API const char *hr_error_text(int error);

#ifdef __cplusplus
}
#endif

#endif /* HEADRACE_ERROR_H */
