/* argv.c - see argv.h for the contract. */
#include "cli/argv.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

static bool make_room(struct hr_argv *argv)
{
    if (argv->n + 1 < argv->max)
        return true;
    uint32_t max = argv->max ? 2 * argv->max : 64;
    char **items = hr_realloc(argv->items, max * sizeof *items);
    if (!items)
        return false;
    argv->items = items;
    argv->max = max;
    return true;
}

void hr_argv_add(struct hr_argv *argv, const char *format, ...)
{
    char text[8192]; /* a TEXT setting is at most 4095 */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);

    if (n < 0 || (size_t)n >= sizeof text)
        argv->error = argv->error ? argv->error : hr_raise(HR_ERR_TOO_BIG);
    if (argv->error)
        return;
    char *copy = hr_strndup(text, (size_t)n);
    if (!copy || !make_room(argv)) {
        hr_free(copy);
        argv->error = hr_raise(HR_ERR_NOMEM);
        return;
    }
    argv->items[argv->n++] = copy;
    argv->items[argv->n] = NULL;
}

static void add_section(struct hr_argv *argv, const struct hr_section *section)
{
    char value[4096 + 1];
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        if (row->section != section->kind || section->origin[i].kind == HR_FROM_PRESET)
            continue;
        for (uint32_t item = 0; hr_settings_format(section, row, item, value, sizeof value);
             item++) {
            struct hr_str key = hr_setting_key(row);
            hr_argv_add(argv, "--set");
            hr_argv_add(argv, "%s.%s%s%.*s=%s", hr_section_word(section->kind), section->name,
                        section->name[0] ? "." : "", HR_STR(key), value);
        }
    }
}

void hr_argv_add_settings(struct hr_argv *argv, const struct hr_settings *settings)
{
    add_section(argv, &settings->headrace.section);
    add_section(argv, &settings->server.section);
    add_section(argv, &settings->layer.section);
    for (const struct hr_section *pool = settings->pools; pool; pool = pool->next)
        add_section(argv, pool);
    for (const struct hr_section *channel = settings->channels; channel; channel = channel->next)
        add_section(argv, channel);
}

void hr_argv_fini(struct hr_argv *argv)
{
    for (uint32_t i = 0; i < argv->n; i++)
        hr_free(argv->items[i]);
    argv->items = hr_free(argv->items);
    argv->n = argv->max = 0;
}
