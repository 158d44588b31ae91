/* help.c - see help.h for the contract. */
#include "cli/help.h"

#include <stdio.h>

#include <headrace/version.h>

enum { FLAG_WIDTH = 34, TEXT_WIDTH = 62, PAGE_WIDTH = 96 };

/* The manual's backticks are for the reference; a terminal does without. */
static struct hr_str without_backticks(const char *text, char *out, size_t size)
{
    size_t len = 0;
    for (; *text && len < size; text++)
        if (*text != '`')
            out[len++] = *text;
    return (struct hr_str){out, len};
}

/* Prints text in lines of at most `width`, all but the first indented. */
static void print_wrapped(const char *text, int indent, size_t width)
{
    char plain[1024];
    struct hr_str rest = without_backticks(text, plain, sizeof plain);
    while (rest.len > 0) {
        struct hr_str line = rest;
        if (line.len > width) {
            line.len = width;
            while (line.len > 0 && line.ptr[line.len] != ' ')
                line.len--;
            if (line.len == 0)
                line.len = width; /* one long word */
        }
        printf("%.*s\n", HR_STR(line));
        rest = (struct hr_str){rest.ptr + line.len, rest.len - line.len};
        while (rest.len > 0 && rest.ptr[0] == ' ')
            rest = (struct hr_str){rest.ptr + 1, rest.len - 1};
        if (rest.len > 0)
            printf("%*s", indent, "");
    }
}

/* "-b, --bind ADDRESS" */
static void format_flag(const char *spellings, const char *argument, char *out, size_t size)
{
    struct hr_str rest = hr_str_of(spellings), word;
    size_t len = 0;
    out[0] = '\0';
    while (hr_str_next(&rest, ' ', &word) && len < size)
        len += (size_t)snprintf(out + len, size - len, "%s%.*s", len ? ", " : "", HR_STR(word));
    if (argument && len < size)
        snprintf(out + len, size - len, " %s", argument);
}

static void print_flag(const char *spellings, const char *argument, const char *manual)
{
    char flag[128];
    format_flag(spellings, argument, flag, sizeof flag);
    if (strlen(flag) > FLAG_WIDTH - 2)
        printf("  %s\n  %*s", flag, FLAG_WIDTH, "");
    else
        printf("  %-*s", FLAG_WIDTH, flag);
    print_wrapped(manual, FLAG_WIDTH + 2, TEXT_WIDTH);
}

static const char *argument_of(const struct hr_setting *row)
{
    switch (row->type) {
    case HR_SETTING_TYPE_BOOL:
        return NULL;
    case HR_SETTING_TYPE_COUNT:
        return "N";
    case HR_SETTING_TYPE_PROCESSES:
        return "N|auto";
    case HR_SETTING_TYPE_SIZE:
        return "SIZE";
    case HR_SETTING_TYPE_DURATION:
        return "TIME";
    case HR_SETTING_TYPE_CHOICE:
        return "WORD";
    case HR_SETTING_TYPE_TEXT:
    case HR_SETTING_TYPE_LIST:
        return row->unit;
    }
    return NULL;
}

/* The first sentence; the reference has the rest. */
static void print_setting(const struct hr_setting *row)
{
    char text[512];
    const char *end = strstr(row->manual, ". ");
    struct hr_str first = hr_str_of(row->manual);
    if (end)
        first.len = (size_t)(end - row->manual) + 1;
    bool has_preset = row->preset[0] && row->type != HR_SETTING_TYPE_BOOL;
    snprintf(text, sizeof text, "%.*s%s%s%s", HR_STR(first), has_preset ? " [" : "",
             has_preset ? row->preset : "", has_preset ? "]" : "");
    print_flag(row->flags, argument_of(row), text);
}

static void print_settings_of(enum hr_section_kind kind)
{
    bool has_title = false;
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        if (row->section != kind || !row->flags)
            continue;
        if (!has_title)
            printf("\n[%s]%s\n", hr_section_word(kind),
                   kind == HR_SECTION_POOL ? "  (of the default pool)" : "");
        has_title = true;
        print_setting(row);
    }
}

void hr_help_print_verb(enum hr_verb_id verb)
{
    const struct hr_verb *row = &hr_verbs[verb];
    printf("usage: headrace %s [flags]%s%s\n\n", row->word, row->operands[0] ? " " : "",
           row->operands);
    print_wrapped(row->manual, 0, PAGE_WIDTH);
    puts("");
    for (size_t i = 0; i < HR_N_OPTIONS; i++)
        if (hr_options[i].manual && hr_verb_takes_option(verb, &hr_options[i]))
            print_flag(hr_options[i].spellings, hr_options[i].argument, hr_options[i].manual);
    for (int kind = 0; kind < HR_N_SECTIONS; kind++)
        if (hr_verb_takes_section(verb, (enum hr_section_kind)kind))
            print_settings_of((enum hr_section_kind)kind);
    if (hr_verb_takes_section(verb, HR_SECTION_SERVER))
        puts("\nEvery setting has a place in headrace.ini, a variable HEADRACE_..., and --set. A "
             "flag goes "
             "before a\nvariable, a variable before the file. docs/reference/settings.md has them "
             "all.");
}

void hr_help_print(void)
{
    puts("headrace " HR_VERSION
         " - an application server: sockets here, workers there, a channel layer "
         "between\n\nusage: headrace VERB [flags] [operands]\n");
    for (int i = 0; i < HR_N_VERBS; i++)
        printf("  %-9s %s\n", hr_verbs[i].word, hr_verbs[i].summary);
    puts("\nFirst steps:  headrace run --reload ./app.so      headrace status\n"
         "More:         headrace VERB --help               man headrace");
}
