/* dead.c - `headrace dead list|show|retry|drop`: what failed too often, and what becomes of it.
 *
 * CHANNEL is where the letters lie (dead.jobs) or where they failed (jobs).
 * What changes something wants numbers or --all: nobody drops everything by
 * leaving out a word.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/time.h"
#include "cli/attach.h"
#include "cli/channels.h"
#include "cli/exit.h"
#include "cli/json.h"
#include "cli/letters.h"
#include "cli/nearest.h"
#include "cli/units.h"
#include "cli/verbs.h"

struct wanted {
    uint32_t number;
    bool is_found;
};

struct dead_call {
    struct hr_layer *layer;
    struct hr_str channel;  /* empty: every one */
    struct wanted *numbers; /* owned; n_numbers 0: all of the channel */
    uint32_t n_numbers;
    char place[HR_NAME_MAX + 1]; /* where the letters that were found lie */
    bool has_places;             /* in more channels than one */
    enum hr_letter_fate fate;
    bool is_json;
};

static bool is_wanted(const struct dead_call *call, const char *at, const struct hr_letter *letter)
{
    if (!hr_letters_is_of(call->channel, at, letter))
        return false;
    for (uint32_t i = 0; i < call->n_numbers; i++)
        if (call->numbers[i].number == letter->number)
            return true;
    return call->n_numbers == 0;
}

/* ---- looking */

typedef int (*letter_visit_fn)(struct dead_call *call, const char *at,
                               const struct hr_letter *letter);

/* Calls `visit` with each letter that is wanted, until it returns an exit code. */
static int visit_letters(struct dead_call *call, void *buffer, size_t size, letter_visit_fn visit)
{
    struct hr_channel_stats stats;
    struct hr_letter letter;
    for (uint32_t i = 0; hr_layer_channel_stats(call->layer, i, &stats); i++) {
        struct hr_str name = hr_str_of(stats.name);
        uint64_t cursor = 0;
        while (stats.is_dead_letter &&
               hr_layer_letter_next(call->layer, name, &cursor, buffer, size, &letter)) {
            int code = is_wanted(call, stats.name, &letter) ? visit(call, stats.name, &letter) : 0;
            if (code)
                return code;
        }
    }
    return 0;
}

static int note_place(struct dead_call *call, const char *at, const struct hr_letter *letter)
{
    call->has_places |= call->place[0] && strcmp(call->place, at) != 0;
    hr_str_copy(call->place, sizeof call->place, hr_str_of(at));
    for (uint32_t i = 0; i < call->n_numbers; i++)
        call->numbers[i].is_found |= call->numbers[i].number == letter->number;
    return 0;
}

/* Are the letters that were asked for there, and is it clear which ones are
 * meant? Else the exit code, with the complaint printed. */
static int check_wanted(struct dead_call *call)
{
    int code = visit_letters(call, NULL, 0, note_place);
    for (uint32_t i = 0; code == 0 && i < call->n_numbers; i++) {
        if (call->numbers[i].is_found)
            continue;
        hr_complain("there is no dead letter %" PRIu32
                    " on '%.*s'; 'headrace dead list %.*s' lists "
                    "them.",
                    call->numbers[i].number, HR_STR(call->channel), HR_STR(call->channel));
        return HR_EXIT_SETTINGS;
    }
    if (call->n_numbers > 0 && call->has_places) {
        hr_complain(
            "the dead letters of '%.*s' lie in several channels, so a number alone does not "
            "say which; 'headrace dead list %.*s' names the channels.",
            HR_STR(call->channel), HR_STR(call->channel));
        return HR_EXIT_USAGE;
    }
    if (!call->place[0] && call->channel.len > 0) {
        hr_complain("there are no dead letters on '%.*s'; 'headrace dead list' shows where there "
                    "are.",
                    HR_STR(call->channel));
        return HR_EXIT_SETTINGS;
    }
    return code;
}

/* ---- list */

static const char *age_of(hr_time since, char out[HR_UNITS_TEXT_MAX])
{
    hr_time age = hr_time_now() - since;
    hr_units_about_duration(age > 0 ? age : 0, out);
    return out;
}

static int list_one(struct dead_call *call, const char *at, const struct hr_letter *letter)
{
    char age[HR_UNITS_TEXT_MAX];
    if (!call->place[0])
        printf("%-7s %-28s %-8s %-28s %-9s %-14s %s\n", "NUMBER", "CHANNEL", "AGE", "FAILED IN",
               "ATTEMPTS", "REASON", "BYTES");
    hr_str_copy(call->place, sizeof call->place, hr_str_of(at));
    printf("%-7" PRIu32 " %-28s %-8s %-28s %-9" PRIu32 " %-14s %zu\n", letter->number, at,
           age_of(letter->sent_at, age), letter->from[0] ? letter->from : "-", letter->attempts,
           letter->from[0] ? hr_reason_name(letter->reason) : "-", letter->len);
    return 0;
}

static int list_one_json(struct dead_call *call, const char *at, const struct hr_letter *letter)
{
    hr_str_copy(call->place, sizeof call->place, hr_str_of(at));
    printf("{\"number\": %" PRIu32 ", \"channel\": ", letter->number);
    hr_json_put_string(stdout, hr_str_of(at));
    printf(", \"failed_in\": ");
    hr_json_put_string(stdout, hr_str_of(letter->from));
    printf(", \"attempts\": %" PRIu32 ", \"reason\": \"%s\", \"age\": %.3f, \"bytes\": %zu}\n",
           letter->attempts, letter->from[0] ? hr_reason_name(letter->reason) : "",
           (double)(hr_time_now() - letter->sent_at) / (double)HR_SECOND, letter->len);
    return 0;
}

static void list_groups(const struct dead_call *call)
{
    struct hr_letter_group groups[HR_LETTERS_MAX_GROUPS];
    char age[HR_UNITS_TEXT_MAX];
    uint32_t n = hr_letters_add_up(call->layer, call->channel, HR_LETTERS_BY_REASON, groups);
    if (n == 0)
        puts("no dead letters");
    else
        printf("%-28s %-7s %-8s %-28s %-9s %s\n", "CHANNEL", "COUNT", "OLDEST", "FAILED IN",
               "ATTEMPTS", "REASON");
    for (uint32_t i = 0; i < n; i++)
        printf("%-28s %-7" PRIu32 " %-8s %-28s %-9" PRIu32 " %s\n", groups[i].channel, groups[i].n,
               age_of(groups[i].oldest, age), groups[i].from[0] ? groups[i].from : "-",
               groups[i].attempts, groups[i].from[0] ? hr_reason_name(groups[i].reason) : "-");
}

/* Without a channel a line for each sort, with one a line for each letter. */
static int dead_list(struct dead_call *call)
{
    if (call->is_json)
        return visit_letters(call, NULL, 0, list_one_json);
    if (call->channel.len == 0) {
        list_groups(call);
        return HR_EXIT_OK;
    }
    int code = visit_letters(call, NULL, 0, list_one);
    if (!call->place[0])
        printf("no dead letters on %.*s\n", HR_STR(call->channel));
    return code;
}

/* ---- show */

static int show_one(struct dead_call *call, const char *at, const struct hr_letter *letter)
{
    struct hr_msg msg;
    (void)call;
    if (!letter->data || hr_msg_check(letter->data, letter->len, &msg) != 0) {
        hr_complain("dead letter %" PRIu32 " on '%s' holds %zu bytes that are no message",
                    letter->number, at, letter->len);
        return HR_EXIT_SETTINGS;
    }
    hr_json_put_message(stdout, &msg);
    putchar('\n');
    return 0;
}

static int dead_show(struct dead_call *call)
{
    size_t size = hr_layer_max_message(call->layer);
    int code = check_wanted(call);
    if (code)
        return code;
    void *buffer = hr_alloc(size);
    if (!buffer) {
        hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
        return HR_EXIT_SETTINGS;
    }
    code = visit_letters(call, buffer, size, show_one);
    hr_free(buffer);
    return code;
}

/* ---- retry and drop */

static int decide(void *arg, const struct hr_letter *letter)
{
    const struct dead_call *call = arg;
    return is_wanted(call, call->place, letter) ? (int)call->fate : HR_LETTER_KEEP;
}

static int decide_everywhere(struct dead_call *call, struct hr_letter_fates *sum)
{
    struct hr_channel_stats stats;
    for (uint32_t i = 0; hr_layer_channel_stats(call->layer, i, &stats); i++) {
        struct hr_letter_fates fates;
        if (!stats.is_dead_letter || stats.depth == 0)
            continue;
        hr_str_copy(call->place, sizeof call->place, hr_str_of(stats.name));
        int r = hr_layer_letters_decide(call->layer, hr_str_of(stats.name), decide, call, &fates);
        if (r < 0)
            return hr_send_complain(call->layer, stats.name, r);
        sum->n_retried += fates.n_retried;
        sum->n_dropped += fates.n_dropped;
        sum->n_full += fates.n_full;
        sum->n_homeless += fates.n_homeless;
    }
    return 0;
}

static int dead_change(struct dead_call *call)
{
    struct hr_letter_fates sum = {0};
    int code = check_wanted(call);
    if (code == 0)
        code = decide_everywhere(call, &sum);
    if (code)
        return code;
    bool is_retry = call->fate == HR_LETTER_RETRY;
    uint32_t n = is_retry ? sum.n_retried : sum.n_dropped;
    printf("%s %" PRIu32 " dead letter%s\n", is_retry ? "retried" : "dropped", n,
           n == 1 ? "" : "s");
    if (sum.n_full > 0)
        hr_complain("%" PRIu32
                    " stay: the channel where they failed is full. Try again when it has "
                    "room.",
                    sum.n_full);
    if (sum.n_homeless > 0)
        hr_complain("%" PRIu32 " stay: they did not fail anywhere, somebody sent them there.",
                    sum.n_homeless);
    return sum.n_full + sum.n_homeless > 0 ? HR_EXIT_SETTINGS : HR_EXIT_OK;
}

static int dead_retry(struct dead_call *call)
{
    call->fate = HR_LETTER_RETRY;
    return dead_change(call);
}

static int dead_drop(struct dead_call *call)
{
    call->fate = HR_LETTER_DROP;
    return dead_change(call);
}

/* ---- the verb */

static const struct action {
    const char *word, *usage;
    enum hr_role role;
    bool changes;
    int (*fn)(struct dead_call *call);
} actions[] = {
    {"list", "list [CHANNEL] [--json]", HR_ROLE_OBSERVER, false, dead_list},
    {"show", "show CHANNEL [NUMBER...]", HR_ROLE_OBSERVER, false, dead_show},
    {"retry", "retry CHANNEL NUMBER... | retry [CHANNEL] --all", HR_ROLE_CLIENT, true, dead_retry},
    {"drop", "drop CHANNEL NUMBER... | drop [CHANNEL] --all", HR_ROLE_CLIENT, true, dead_drop},
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static const struct action *find_action(const char *word)
{
    struct hr_nearest nearest = {.word = hr_str_of(word)};
    for (int i = 0; i < N_ACTIONS; i++) {
        if (strcmp(word, actions[i].word) == 0)
            return &actions[i];
        hr_nearest_offer(&nearest, hr_str_of(actions[i].word));
    }
    if (nearest.best[0])
        hr_complain("there is no 'headrace dead %s'; did you mean 'headrace dead %s'?", word,
                    nearest.best);
    else
        hr_complain("there is no 'headrace dead %s'; there are list, show, retry and drop", word);
    return NULL;
}

/* What stands behind the channel. False when it is no number, with the complaint printed. */
static bool read_numbers(const struct hr_args *args, struct dead_call *call)
{
    uint64_t number;
    call->numbers = hr_calloc(args->n_operands, sizeof *call->numbers);
    for (uint32_t i = 2; call->numbers && i < args->n_operands; i++) {
        if (!hr_str_u64(hr_str_of(args->operands[i]), &number) || number == 0 ||
            number > UINT32_MAX) {
            hr_complain("'%s' is no number of a dead letter; 'headrace dead list %s' shows them",
                        args->operands[i], args->operands[1]);
            return false;
        }
        call->numbers[call->n_numbers++].number = (uint32_t)number;
    }
    if (!call->numbers)
        hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
    return call->numbers != NULL;
}

/* Does it say which letters? Listing and showing need no more than a channel. */
static bool says_which(const struct action *action, const struct hr_args *args)
{
    bool is_all = hr_args_option(args, HR_OPT_ALL) != NULL, has_numbers = args->n_operands > 2;
    if (action->changes)
        return is_all != has_numbers;
    return !is_all && (action->fn == dead_list ? !has_numbers : args->n_operands > 1);
}

int hr_verb_dead(const struct hr_args *args)
{
    struct hr_visit visit;
    const struct action *action = find_action(args->operands[0]);
    struct dead_call call = {.is_json = hr_args_option(args, HR_OPT_JSON) != NULL};
    if (!action)
        return HR_EXIT_USAGE;
    if (!says_which(action, args)) {
        hr_complain("it is: headrace dead %s", action->usage);
        return HR_EXIT_USAGE;
    }
    if (args->n_operands > 1)
        call.channel = hr_str_of(args->operands[1]);
    int code = HR_EXIT_USAGE;
    if (read_numbers(args, &call)) {
        code = hr_visit_begin(args, action->role, &visit);
        call.layer = visit.layer;
        if (code == 0)
            code = action->fn(&call);
        hr_visit_end(&visit);
    }
    hr_free(call.numbers);
    return code;
}
