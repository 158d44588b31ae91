/* manual.c - writes docs/reference/settings.md and headrace.1 from the tables.
 *
 * A program of the build, not of the installation: `manual settings` and
 * `manual man` print, and a test compares that with what is checked in.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <headrace/version.h>

#include "cli/args.h"

/* ---- settings.md
 * ---------------------------------------------------------------------------------- */

static const char *const type_words[] = {
    [HR_SETTING_TYPE_TEXT] = "text",
    [HR_SETTING_TYPE_LIST] = "list",
    [HR_SETTING_TYPE_BOOL] = "yes or no",
    [HR_SETTING_TYPE_COUNT] = "number",
    [HR_SETTING_TYPE_PROCESSES] = "number or `auto`",
    [HR_SETTING_TYPE_SIZE] = "size",
    [HR_SETTING_TYPE_DURATION] = "duration",
    [HR_SETTING_TYPE_CHOICE] = "one of",
};

static void print_bounds(const struct hr_setting *row)
{
    switch (row->type) {
    case HR_SETTING_TYPE_CHOICE:
        printf(" `%s`", row->least);
        break;
    case HR_SETTING_TYPE_COUNT:
    case HR_SETTING_TYPE_PROCESSES:
    case HR_SETTING_TYPE_SIZE:
    case HR_SETTING_TYPE_DURATION:
        if (strcmp(row->most, "none") == 0)
            printf(", at least %s, or `none`", row->least);
        else
            printf(", %s to %s", row->least, row->most);
        break;
    case HR_SETTING_TYPE_TEXT:
    case HR_SETTING_TYPE_LIST:
    case HR_SETTING_TYPE_BOOL:
        break;
    }
    bool is_counted = row->type == HR_SETTING_TYPE_COUNT && row->unit[0];
    if (is_counted)
        printf(" (%s)", row->unit);
}

static void print_flags_md(const char *flags)
{
    struct hr_str rest = hr_str_of(flags), word;
    bool is_first = true;
    while (hr_str_next(&rest, ' ', &word)) {
        printf("%s`%.*s`", is_first ? " · " : " ", HR_STR(word));
        is_first = false;
    }
}

static void print_setting_md(const struct hr_setting *row)
{
    struct hr_str key = hr_setting_key(row);
    printf("\n**`%.*s`** · %s", HR_STR(key), type_words[row->type]);
    print_bounds(row);
    if (row->preset[0])
        printf(" · default `%s`", row->preset);
    print_flags_md(row->flags);
    printf("\n: %s\n", row->manual);
}

static void print_settings(void)
{
    static const char *const titles[HR_N_SECTIONS] = {"[headrace]", "[server]", "[layer]",
                                                      "[pool NAME]", "[channel PATTERN]"};
    puts("# Settings\n\n"
         "<!-- Written by the build from src/tables/settings.def. ./dev lint --fix writes it anew. "
         "-->\n\n"
         "The file is `-c FILE`, `HEADRACE_CONFIG`, or `./headrace.ini`. A flag goes before a "
         "variable, a\n"
         "variable before the file, the file before the default; `headrace check --print` shows "
         "each value\n"
         "and where it came from.\n\n"
         "| where | how |\n|---|---|\n"
         "| file | `[server]`, then `max_body = 8MiB`; long lists over several lines, the further "
         "ones indented |\n"
         "| environment | `HEADRACE_NAME`, `HEADRACE_SERVER_MAX_BODY`, `HEADRACE_POOL_WEB_TIMEOUT` "
         "|\n"
         "| command line | the flags below, or `--set server.max_body=8MiB`, `--pool "
         "web.timeout=5s` |\n\n"
         "Also honoured: `PORT` (on every interface), `WEB_CONCURRENCY` (processes of the default "
         "pool),\n"
         "`LISTEN_FDS`, `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `RUNTIME_DIRECTORY`, `XDG_RUNTIME_DIR`, "
         "`NO_COLOR`.\n\n"
         "Durations: `250ms`, `30s`, `5m`, `1h30m`, `2d`. Sizes: `512KiB`, `8MiB`, `1GiB`. Where "
         "`none` is\n"
         "allowed it switches the limit off.");
    for (int kind = 0; kind < HR_N_SECTIONS; kind++) {
        printf("\n## %s\n", titles[kind]);
        for (size_t i = 0; i < HR_N_SETTINGS; i++)
            if ((int)hr_settings_table[i].section == kind)
                print_setting_md(&hr_settings_table[i]);
    }
}

/* ---- headrace.1
 * ------------------------------------------------------------------------------------- */

/* troff: a backslash and a hyphen are written with one before them, and so is
 * a full stop or quote at the start of a line. */
static void put_troff(struct hr_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (i == 0 && (c == '.' || c == '\''))
            fputs("\\&", stdout);
        if (c == '-')
            fputs("\\-", stdout);
        else if (c == '\\')
            fputs("\\e", stdout);
        else if (c != '`')
            putchar(c);
    }
}

static void put_troff_line(const char *text)
{
    put_troff(hr_str_of(text));
    putchar('\n');
}

static void put_flag_troff(const char *spellings, const char *argument, const char *manual)
{
    struct hr_str rest = hr_str_of(spellings), word;
    bool is_first = true;
    fputs(".TP\n", stdout);
    while (hr_str_next(&rest, ' ', &word)) {
        fputs(is_first ? "\\fB" : ", \\fB", stdout);
        put_troff(word);
        fputs("\\fR", stdout);
        is_first = false;
    }
    if (argument) {
        fputs(" \\fI", stdout);
        put_troff(hr_str_of(argument));
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_troff_line(manual);
}

static void print_verbs_troff(void)
{
    puts(".SH VERBS");
    for (int i = 0; i < HR_N_VERBS; i++) {
        printf(".SS headrace %s ", hr_verbs[i].word);
        put_troff_line(hr_verbs[i].operands);
        put_troff_line(hr_verbs[i].manual);
        for (size_t k = 0; k < HR_N_OPTIONS; k++)
            if (hr_options[k].manual && k != HR_OPT_HELP &&
                hr_verb_takes_option((enum hr_verb_id)i, &hr_options[k]))
                put_flag_troff(hr_options[k].spellings, hr_options[k].argument,
                               hr_options[k].manual);
    }
}

static void print_settings_troff(void)
{
    puts(".SH SETTINGS\nA flag goes before a variable, a variable before the file, the file before "
         "the "
         "default.");
    for (int kind = 0; kind < HR_N_SECTIONS; kind++) {
        printf(".SS [%s%s]\n", hr_section_word((enum hr_section_kind)kind),
               kind == HR_SECTION_POOL      ? " NAME"
               : kind == HR_SECTION_CHANNEL ? " PATTERN"
                                            : "");
        for (size_t i = 0; i < HR_N_SETTINGS; i++) {
            const struct hr_setting *row = &hr_settings_table[i];
            if ((int)row->section != kind)
                continue;
            char spellings[128];
            struct hr_str key = hr_setting_key(row);
            snprintf(spellings, sizeof spellings, "%.*s %s", HR_STR(key),
                     row->flags ? row->flags : "");
            put_flag_troff(spellings, row->preset[0] ? row->preset : NULL, row->manual);
        }
    }
}

static void print_man(void)
{
    puts(".\\\" Written by the build from src/tables/commands.def and settings.def.\n"
         ".TH HEADRACE 1 \"\" \"headrace " HR_VERSION "\" \"User Commands\"\n"
         ".SH NAME\nheadrace \\- an application server: interface servers, a channel layer, "
         "workers\n"
         ".SH SYNOPSIS\n\\fBheadrace\\fR \\fIVERB\\fR [flags] [operands]\n"
         ".SH DESCRIPTION\nInterface servers hold the network, workers run the application, and a "
         "channel "
         "layer carries events between them. A worker can be killed, replaced or missing, and no "
         "client "
         "loses its connection.");
    print_verbs_troff();
    print_settings_troff();
    puts(".SH SIGNALS\nTo the supervisor: TERM drains and ends. INT drains, a second INT ends at "
         "once. HUP "
         "reloads settings and code. USR1 opens the log anew.\n"
         ".SH EXIT STATUS\n0 done. 1 a setting is wrong. 2 the command line is. 3 the application "
         "failed at "
         "boot. 4 it was not found. 5 an address cannot be listened on. 6 the channel layer cannot "
         "be "
         "reached, or the site runs already. 7 TLS.\n"
         ".SH FILES\n\\fI./headrace.ini\\fR, \\fI/run/headrace/NAME\\fR, "
         "\\fI$XDG_RUNTIME_DIR/headrace/NAME\\fR, \\fI/dev/shm/headrace\\-UID/NAME\\fR");
}

int main(int argc, char **argv)
{
    bool is_man = argc == 2 && strcmp(argv[1], "man") == 0;
    if (!is_man && (argc != 2 || strcmp(argv[1], "settings") != 0)) {
        fputs("usage: manual settings|man\n", stderr);
        return 2;
    }
    if (is_man)
        print_man();
    else
        print_settings();
    return 0;
}
