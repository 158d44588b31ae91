/* args.c - see args.h for the contract.
 *
 * Not getopt_long: it guesses abbreviations, which makes every new flag a
 * possible break, and cannot say what was meant.
 */
#include "cli/args.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/nearest.h"

const struct hr_verb hr_verbs[HR_N_VERBS] = {
#define HR_VERB(name, verb_word, taken, operand_text, least_n, most_n, summary_text, text)         \
    {.word = verb_word,                                                                            \
     .settings = taken,                                                                            \
     .operands = operand_text,                                                                     \
     .least = least_n,                                                                             \
     .most = most_n,                                                                               \
     .summary = summary_text,                                                                      \
     .manual = text},
#include "tables/commands.def"
};

const struct hr_option hr_options[HR_N_OPTIONS] = {
#define HR_OPTION(name, words, arg, verb_words, text)                                              \
    {.spellings = words, .argument = arg, .verbs = verb_words, .manual = text},
#include "tables/commands.def"
};

bool hr_verb_takes_section(enum hr_verb_id verb, enum hr_section_kind kind)
{
    return strchr(hr_verbs[verb].settings, hr_section_word(kind)[0]) != NULL;
}

bool hr_verb_takes_option(enum hr_verb_id verb, const struct hr_option *option)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", hr_verbs[verb].word);
    return strcmp(option->verbs, " * ") == 0 || strstr(option->verbs, word);
}

/* ---- finding a flag by its spelling ------------------------------------------------------------
 */

static bool is_spelled(const char *spellings, struct hr_str spelling)
{
    struct hr_str rest = hr_str_of(spellings), word;
    while (hr_str_next(&rest, ' ', &word))
        if (hr_str_eq(word, spelling))
            return true;
    return false;
}

static const struct hr_option *find_option(enum hr_verb_id verb, struct hr_str spelling)
{
    for (size_t i = 0; i < HR_N_OPTIONS; i++)
        if (hr_verb_takes_option(verb, &hr_options[i]) &&
            is_spelled(hr_options[i].spellings, spelling))
            return &hr_options[i];
    return NULL;
}

static const struct hr_setting *find_setting(enum hr_verb_id verb, struct hr_str spelling)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++)
        if (hr_verb_takes_section(verb, hr_settings_table[i].section) &&
            is_spelled(hr_settings_table[i].flags, spelling))
            return &hr_settings_table[i];
    return NULL;
}

static bool verb_knows(enum hr_verb_id verb, struct hr_str spelling)
{
    return find_option(verb, spelling) || find_setting(verb, spelling);
}

static void offer_spellings(struct hr_nearest *nearest, const char *spellings)
{
    struct hr_str rest = hr_str_of(spellings), word;
    while (hr_str_next(&rest, ' ', &word))
        if (word.len > 2) /* "-w" is near to everything */
            hr_nearest_offer(nearest, word);
}

static int unknown_flag(enum hr_verb_id verb, struct hr_str spelling, struct hr_diag *diag)
{
    struct hr_nearest nearest = {.word = spelling};
    const char *own = hr_verbs[verb].word;

    for (size_t i = 0; i < HR_N_OPTIONS; i++)
        if (hr_verb_takes_option(verb, &hr_options[i]) && hr_options[i].manual)
            offer_spellings(&nearest, hr_options[i].spellings);
    for (size_t i = 0; i < HR_N_SETTINGS; i++)
        if (hr_verb_takes_section(verb, hr_settings_table[i].section))
            offer_spellings(&nearest, hr_settings_table[i].flags);
    if (nearest.best[0])
        return hr_diag_say(diag, "unknown flag %.*s; did you mean %s?", HR_STR(spelling),
                           nearest.best);
    for (int other = 0; other < HR_N_VERBS; other++)
        if (verb_knows((enum hr_verb_id)other, spelling))
            return hr_diag_say(diag, "%.*s is no flag of 'headrace %s'; it is one of 'headrace %s'",
                               HR_STR(spelling), own, hr_verbs[other].word);
    return hr_diag_say(diag, "unknown flag %.*s; 'headrace %s --help' lists them", HR_STR(spelling),
                       own);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

struct reader {
    char **at; /* the next argument */
    struct hr_args *args;
    struct hr_diag *diag;
};

/* Splits "--flag=value", "-wvalue" and "--flag" into spelling and value, whose ptr is NULL when
 * none is attached. */
static void split_flag(const char *text, struct hr_str *spelling, struct hr_str *value)
{
    struct hr_str whole = hr_str_of(text);
    *value = (struct hr_str){0};
    *spelling = whole;
    if (text[1] != '-') {
        spelling->len = 2;
        if (whole.len > 2)
            *value = (struct hr_str){text + 2, whole.len - 2};
        return;
    }
    const char *equals = memchr(whole.ptr, '=', whole.len);
    if (equals) {
        spelling->len = (size_t)(equals - whole.ptr);
        *value = hr_str_of(equals + 1);
    }
}

/* What a flag without a value stands for: NULL when it needs one. */
static const char *implied_value(const struct hr_flag *flag)
{
    if (flag->option)
        return flag->option->argument ? NULL : "";
    if (flag->row->type != HR_SETTING_TYPE_BOOL)
        return NULL;
    return strncmp(flag->spelling, "--no-", 5) == 0 ? "no" : "yes";
}

static int read_flag(struct reader *reader)
{
    struct hr_args *args = reader->args;
    struct hr_str spelling, value;
    split_flag(*reader->at++, &spelling, &value);

    struct hr_flag flag = {.option = find_option(args->verb, spelling)};
    if (!flag.option)
        flag.row = find_setting(args->verb, spelling);
    if (!flag.option && !flag.row)
        return hr_trace(unknown_flag(args->verb, spelling, reader->diag));
    hr_str_copy(flag.spelling, sizeof flag.spelling, spelling);
    const char *implied = implied_value(&flag);
    if (implied && value.ptr)
        return hr_diag_say(reader->diag, "%s takes no value", flag.spelling);
    flag.value = implied ? implied : value.ptr;
    if (!flag.value)
        flag.value = *reader->at ? *reader->at++ : NULL;
    if (!flag.value)
        return hr_diag_say(reader->diag, "%s needs a value", flag.spelling);
    args->flags[args->n_flags++] = flag;
    return 0;
}

static bool is_flag(const char *text)
{
    return text[0] == '-' && text[1] != '\0'; /* "-" is standard input */
}

static int find_verb(const char *word, enum hr_verb_id *out, struct hr_diag *diag)
{
    struct hr_nearest nearest = {.word = hr_str_of(word)};
    for (int i = 0; i < HR_N_VERBS; i++) {
        if (strcmp(word, hr_verbs[i].word) == 0) {
            *out = (enum hr_verb_id)i;
            return 0;
        }
        hr_nearest_offer(&nearest, hr_str_of(hr_verbs[i].word));
    }
    if (nearest.best[0])
        return hr_diag_say(diag, "there is no 'headrace %s'; did you mean 'headrace %s'?", word,
                           nearest.best);
    return hr_diag_say(diag, "there is no 'headrace %s'; 'headrace --help' lists what there is",
                       word);
}

static int check_operands(const struct hr_args *args, struct hr_diag *diag)
{
    const struct hr_verb *verb = &hr_verbs[args->verb];
    if (hr_args_option(args, HR_OPT_HELP))
        return 0;
    if ((int)args->n_operands < verb->least)
        return hr_diag_say(diag, "'headrace %s' needs %s", verb->word, verb->operands);
    if (verb->most >= 0 && (int)args->n_operands > verb->most)
        return hr_diag_say(diag, "'%s' is too much; 'headrace %s' takes %s",
                           args->operands[verb->most], verb->word,
                           verb->most ? verb->operands : "flags only");
    return 0;
}

int hr_args_read(int argc, char **argv, struct hr_args *out, struct hr_diag *diag)
{
    *out = (struct hr_args){0};
    hr_assert(argc > 1);
    int r = find_verb(argv[1], &out->verb, diag);
    if (r < 0)
        return hr_trace(r);
    out->flags = hr_calloc((size_t)argc, sizeof *out->flags);
    out->operands = hr_calloc((size_t)argc, sizeof *out->operands);
    if (!out->flags || !out->operands)
        return hr_raise(HR_ERR_NOMEM);

    struct reader reader = {.at = argv + 2, .args = out, .diag = diag};
    bool may_be_flag = true;
    while (*reader.at) {
        if (may_be_flag && strcmp(*reader.at, "--") == 0) {
            may_be_flag = false;
            reader.at++;
        } else if (may_be_flag && is_flag(*reader.at)) {
            r = read_flag(&reader);
            if (r < 0)
                return hr_trace(r);
        } else {
            out->operands[out->n_operands++] = *reader.at++;
        }
    }
    return hr_trace(check_operands(out, diag));
}

void hr_args_fini(struct hr_args *args)
{
    args->flags = hr_free(args->flags);
    args->operands = hr_free(args->operands);
    args->n_flags = args->n_operands = 0;
}

const char *hr_args_option(const struct hr_args *args, enum hr_option_id id)
{
    const char *value = NULL;
    for (uint32_t i = 0; i < args->n_flags; i++)
        if (args->flags[i].option == &hr_options[id])
            value = args->flags[i].value;
    return value;
}

const char *hr_args_pool(const struct hr_args *args)
{
    const char *name = NULL;
    for (uint32_t i = 0; i < args->n_flags; i++)
        if (args->flags[i].option == &hr_options[HR_OPT_POOL] && !strchr(args->flags[i].value, '='))
            name = args->flags[i].value;
    return name;
}
