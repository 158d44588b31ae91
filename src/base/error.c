/* error.c - see error.h and headrace/error.h for the contract.
 *
 * A trace is a ring of the last 16 hops. hr_raise() empties it, hr_trace()
 * adds to it; both only store pointers to literals of the compiler's, so
 * noting a hop costs a few stores and can be done anywhere. errno is saved
 * where an error is born, since whatever runs between there and the log line
 * may change it.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <headrace/layer.h>

#include "base/assert.h"

enum { TRACE_HOPS = 16 };

struct trace_hop {
    const char *file, *function;
    int line;
};

static _Thread_local struct {
    struct trace_hop hops[TRACE_HOPS]; /* hop i of the trace is hops[i % TRACE_HOPS] */
    unsigned n_hops;                   /* since the error was raised */
    int error;
    int saved_errno;
} trace;

struct error_row {
    int number, http, websocket;
    const char *name, *text;
};

static const struct error_row error_rows[] = {
#define HR_ERROR(name, number, http, websocket, python, text)                                      \
    {number, http, websocket, "HR_ERR_" #name, text},
#include <headrace/errors.def>
#undef HR_ERROR
};

static const struct error_row error_unknown = {0, 500, 1011, "HR_ERR_UNKNOWN", "an unknown error"};

static const struct error_row *error_find(int error)
{
    for (size_t i = 0; i < sizeof error_rows / sizeof error_rows[0]; i++)
        if (error_rows[i].number == error)
            return &error_rows[i];
    return &error_unknown;
}

const char *hr_error_name(int error)
{
    return error_find(error)->name;
}

const char *hr_error_text(int error)
{
    return error_find(error)->text;
}

int hr_error_http(int error)
{
    return error_find(error)->http;
}

int hr_error_websocket(int error)
{
    return error_find(error)->websocket;
}

const char *hr_reason_name(enum hr_reason reason)
{
    static const char *const names[] = {
#define HR_REASON(name, text, meaning) text,
#include <headrace/reasons.def>
#undef HR_REASON
    };
    return (unsigned)reason < HR_N_REASONS ? names[reason] : "unknown";
}

void hr_error_note(int error, bool is_new, const char *file, int line, const char *function)
{
    hr_assert(error < 0);
    /* An error that was not raised here (it comes from foreign code) begins its trace as it is
     * first passed on. */
    if (is_new || trace.error != error) {
        trace.n_hops = 0;
        trace.error = error;
        trace.saved_errno = errno;
    }
    trace.hops[trace.n_hops++ % TRACE_HOPS] = (struct trace_hop){file, function, line};
}

/* The compiler's paths depend on the build directory; their last part does not. */
static const char *trace_file(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

/* snprintf's return value for a text that is built in steps: appends at *len, which may
 * already be past the end of the buffer. */
static void HR_PRINTF(4, 5) format_add(char *buf, size_t size, size_t *len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t at = *len < size ? *len : size;
    int n = vsnprintf(size > at ? buf + at : NULL, size - at, format, args);
    va_end(args);
    hr_assert(n >= 0);
    *len += (size_t)n;
}

int hr_error_format(char *buf, size_t size, int error)
{
    size_t len = 0;
    format_add(buf, size, &len, "%s", hr_error_name(error));
    if (error >= 0 || trace.error != error)
        return (int)len;

    if (error == HR_ERR_SYS) {
        const char *name = strerrorname_np(trace.saved_errno);
        format_add(buf, size, &len, " (%s)", name ? name : "errno unknown");
    }
    unsigned first = trace.n_hops > TRACE_HOPS ? trace.n_hops - TRACE_HOPS : 0;
    format_add(buf, size, &len, first > 0 ? " at ..., " : " at ");
    for (unsigned i = first; i < trace.n_hops; i++) {
        const struct trace_hop *hop = &trace.hops[i % TRACE_HOPS];
        format_add(buf, size, &len, "%s%s:%d %s", i > first ? ", " : "", trace_file(hop->file),
                   hop->line, hop->function);
    }
    return (int)len;
}
