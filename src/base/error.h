/* error.h - raising, passing and printing errors.
 *
 * The return rule stands in headrace/error.h. An error is born with
 * hr_raise() and passed on with hr_trace(); both keep the last 16 hops (file,
 * line, function) of this thread, which are printed once, where the error is
 * logged. On success neither is reached, so the trace costs nothing.
 *
 * Threads: each has its own trace.
 */
#ifndef HR_BASE_ERROR_H
#define HR_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include <headrace/error.h>

/* `return hr_raise(HR_ERR_NOMEM);` starts a new trace. */
#define hr_raise(error) hr_error_raise((error), __FILE__, __LINE__, __func__)
/* `return hr_trace(r);` adds a hop when r is negative; passes every value. */
#define hr_trace(r) hr_error_pass((r), __FILE__, __LINE__, __func__)

void hr_error_note(int error, bool is_new, const char *file, int line, const char *function);
static inline int hr_error_raise(int error, const char *file, int line, const char *function)
{
    hr_error_note(error, true, file, line, function);
    return error;
}
static inline int hr_error_pass(int r, const char *file, int line, const char *function)
{
    if (r < 0)
        hr_error_note(r, false, file, line, function);
    return r;
}

/* Writes the trace as one line, "HR_ERR_SYS (ENOSPC) at a.c:12 f, b.c:3 g",
 * into `buf`; returns what snprintf would. */
int hr_error_format(char *buf, size_t size, int error);

/* HTTP status and WebSocket close code that tell a client of this error. */
int hr_error_http(int error);
int hr_error_websocket(int error);

#endif /* HR_BASE_ERROR_H */
