/* check.c - `headrace check`: are the settings right, and where does each come from? */
#include <inttypes.h>
#include <stdio.h>

#include "cli/app.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/settings_load.h"
#include "cli/verbs.h"

static void print_origin(const struct hr_origin *origin)
{
    switch (origin->kind) {
    case HR_FROM_PRESET:
        printf("default");
        break;
    case HR_FROM_FILE:
        printf("%s:%" PRIu32, origin->where, origin->line);
        break;
    case HR_FROM_ENVIRONMENT:
    case HR_FROM_FLAG:
        printf("%s", origin->where);
        break;
    }
}

static void print_row(const struct hr_section *section, size_t index)
{
    const struct hr_setting *row = &hr_settings_table[index];
    struct hr_str key = hr_setting_key(row);
    char value[4200], name[160], line[8192] = "";
    size_t len = 0;
    for (uint32_t i = 0; hr_settings_format(section, row, i, value, sizeof value); i++) {
        int n = snprintf(line + len, sizeof line - len, "%s%s", i ? ", " : "", value);
        len = n > 0 && (size_t)n < sizeof line - len ? len + (size_t)n : len;
    }
    snprintf(name, sizeof name, "%s%s%s.%.*s", hr_section_word(section->kind),
             section->name[0] ? "." : "", section->name, HR_STR(key));
    printf("%-32s = %-28s  ", name, line);
    print_origin(&section->origin[index]);
    putchar('\n');
}

static void print_section(const struct hr_section *section)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++)
        if (hr_settings_table[i].section == section->kind)
            print_row(section, i);
}

static void print_all(const struct hr_settings *settings)
{
    print_section(&settings->headrace.section);
    print_section(&settings->server.section);
    print_section(&settings->layer.section);
    for (const struct hr_section *pool = settings->pools; pool; pool = pool->next)
        print_section(pool);
    for (const struct hr_section *channel = settings->channels; channel; channel = channel->next)
        print_section(channel);
}

static void print_unknown(const char *variable)
{
    hr_complain("note: %s is set, but is no setting", variable);
}

int hr_verb_check(const struct hr_args *args)
{
    struct hr_diag diag = {0};
    struct hr_settings *settings;
    char why[1024];
    int code = HR_EXIT_OK;
    int r = hr_settings_load(args, &settings, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r);
    if (hr_args_option(args, HR_OPT_PRINT))
        print_all(settings);
    hr_settings_unknown_variables(settings, print_unknown);
    const struct hr_settings_pool *pool = hr_pool_default(settings);
    if (pool->app[0]) { /* a file may leave the application to the command line */
        code = hr_app_check_all(settings, why, sizeof why);
        if (code != 0)
            hr_complain("%s", why);
    }
    if (code == HR_EXIT_OK && !hr_args_option(args, HR_OPT_PRINT))
        printf("%s: in order (%" PRIu32 " pool%s)\n",
               settings->file ? settings->file : "no settings file", settings->n_pools,
               settings->n_pools == 1 ? "" : "s");
    hr_settings_unref(settings);
    return code;
}
