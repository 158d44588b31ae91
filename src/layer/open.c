/* open.c - choosing the implementation by URL, and saying why opening failed. */
#include "layer/layer_impl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

static const struct hr_layer_impl *const implementations[] = {
    &hr_layer_memory,
#ifdef HR_WITH_IPC
    &hr_layer_ipc,
#endif
};
enum { N_IMPLEMENTATIONS = sizeof implementations / sizeof implementations[0] };

static _Thread_local struct {
    char text[2048];
    size_t len;
} explanation;

void hr_layer_explain(const char *format, ...)
{
    size_t room = sizeof explanation.text - explanation.len;
    va_list args;

    va_start(args, format);
    int n = vsnprintf(explanation.text + explanation.len, room, format, args);
    va_end(args);
    if (n > 0)
        explanation.len += (size_t)n < room ? (size_t)n : room - 1;
}

const char *hr_layer_open_error(void)
{
    return explanation.text;
}

static const struct hr_layer_impl *find_implementation(struct hr_str scheme)
{
    for (size_t i = 0; i < N_IMPLEMENTATIONS; i++)
        if (hr_str_eq(scheme, hr_str_of(implementations[i]->scheme)))
            return implementations[i];
    return NULL;
}

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool geometry_ok(const struct hr_geometry *geometry)
{
    bool is_ok = geometry->n_channels >= 2 && geometry->bytes >= 64 << 10;
    for (int role = HR_ROLE_SERVER; role < HR_ROLE_OBSERVER; role++) {
        const struct hr_geometry_row *row = &geometry->role[role];
        is_ok = is_ok && row->inbox >= 64 && is_power_of_two(row->inbox) && row->connections >= 2 &&
                is_power_of_two(row->interests);
    }
    return is_ok;
}

static int open_url(const char *url, const struct hr_layer_options *options, struct hr_layer **out)
{
    struct hr_str where = hr_str_of(url), scheme = {0};
    const struct hr_layer_impl *impl = NULL;
    if (url && memchr(url, ':', where.len) && hr_str_next(&where, ':', &scheme))
        impl = find_implementation(scheme);
    if (!impl) {
        hr_layer_explain("'%s' names no channel layer; write memory:NAME or ipc:DIRECTORY",
                         url ? url : "");
        return hr_raise(HR_ERR_INVALID);
    }
    if ((unsigned)options->role > HR_ROLE_OBSERVER) {
        hr_layer_explain("%s: %d is no role", url, (int)options->role);
        return hr_raise(HR_ERR_INVALID);
    }
    if (options->geometry && !geometry_ok(options->geometry)) {
        hr_layer_explain(
            "%s: the geometry is not possible: inboxes and interests are powers of two, "
            "inboxes at least 64, connections at least 2",
            url);
        return hr_raise(HR_ERR_INVALID);
    }

    char label[HR_LABEL_MAX + 1];
    hr_str_copy(label, sizeof label, hr_str_of(options->label));
    struct hr_layer_options complete = *options;
    complete.label = label;
    if (!complete.geometry)
        complete.geometry = &hr_geometry_default;
    return hr_trace(impl->open(where, &complete, out));
}

int hr_layer_open(const char *url, const struct hr_layer_options *options, struct hr_layer **out)
{
    *out = NULL;
    explanation.len = 0;
    explanation.text[0] = '\0';

    int r = open_url(url, options, out);
    if (r < 0 && explanation.len == 0)
        hr_layer_explain("%s: %s", url, hr_error_text(r));
    hr_assert((r == 0) == (*out != NULL));
    return r;
}
