/* group.c - `headrace group add|discard|send|list|count GROUP ...` */
#include <stdio.h>

#include "cli/attach.h"
#include "cli/payload.h"
#include "cli/channels.h"
#include "cli/exit.h"
#include "cli/verbs.h"

struct group_call {
    const struct hr_args *args;
    struct hr_layer *layer;
    const struct hr_payload *body;
    struct hr_str group;
};

static int fail(const struct group_call *call, const char *name, int r)
{
    return r == 0 ? HR_EXIT_OK : hr_send_complain(call->layer, name, r);
}

static int group_add(const struct group_call *call)
{
    const char *channel = call->args->operands[2];
    return fail(call, channel, hr_layer_group_add(call->layer, call->group, hr_str_of(channel)));
}

static int group_discard(const struct group_call *call)
{
    const char *channel = call->args->operands[2];
    return fail(call, channel,
                hr_layer_group_discard(call->layer, call->group, hr_str_of(channel)));
}

static int group_send(const struct group_call *call)
{
    uint32_t n_skipped = 0;
    int r = hr_layer_group_send(call->layer, call->group, call->body->data, call->body->len,
                                &n_skipped);
    if (r == 0 && n_skipped > 0)
        hr_complain("sent, but %u members' queues were full; 'headrace status' counts them.",
                    (unsigned)n_skipped);
    return fail(call, call->args->operands[1], r);
}

static void print_name(void *arg, struct hr_str name)
{
    (void)arg;
    printf("%.*s\n", HR_STR(name));
}

static int group_list(const struct group_call *call)
{
    bool is_partial = false;
    hr_layer_group_channels(call->layer, call->group, print_name, NULL, &is_partial);
    if (is_partial)
        hr_complain("only part of the group can be listed; 'headrace group count' counts all.");
    return HR_EXIT_OK;
}

static int group_count(const struct group_call *call)
{
    bool is_partial = false;
    size_t n = hr_layer_group_count(call->layer, call->group, &is_partial);
    printf("%zu\n", n);
    if (is_partial)
        hr_complain("some process tracks more groups than it can tell apart: there may be more.");
    return HR_EXIT_OK;
}

static const struct {
    const char *word;
    uint32_t n_operands; /* exactly, but for `send` */
    const char *usage;
    int (*fn)(const struct group_call *call);
} actions[] = {
    {"add", 3, "add GROUP CHANNEL", group_add},
    {"discard", 3, "discard GROUP CHANNEL", group_discard},
    {"send", 2, "send GROUP KEY=VALUE... | --json TEXT", group_send},
    {"list", 2, "list GROUP", group_list},
    {"count", 2, "count GROUP", group_count},
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static int find_action(const struct hr_args *args)
{
    struct hr_nearest nearest = {.word = hr_str_of(args->operands[0])};
    for (int i = 0; i < N_ACTIONS; i++) {
        if (strcmp(args->operands[0], actions[i].word) == 0)
            return i;
        hr_nearest_offer(&nearest, hr_str_of(actions[i].word));
    }
    if (nearest.best[0])
        hr_complain("there is no 'headrace group %s'; did you mean 'headrace group %s'?",
                    args->operands[0], nearest.best);
    else
        hr_complain("there is no 'headrace group %s'; there are add, discard, send, list and count",
                    args->operands[0]);
    return -1;
}

int hr_verb_group(const struct hr_args *args)
{
    struct hr_visit visit = {0};
    struct hr_payload body = {0};
    int action = find_action(args);
    if (action < 0)
        return HR_EXIT_USAGE;
    bool is_send = actions[action].fn == group_send;
    if (args->n_operands < actions[action].n_operands ||
        (!is_send && args->n_operands > actions[action].n_operands)) {
        hr_complain("it is: headrace group %s", actions[action].usage);
        return HR_EXIT_USAGE;
    }
    struct group_call call = {.args = args, .body = &body, .group = hr_str_of(args->operands[1])};
    if (!hr_group_name_ok(call.group)) {
        hr_complain("'%s' is no group's name: 1 to %d of A-Z a-z 0-9 . _ -", args->operands[1],
                    HR_NAME_MAX);
        return HR_EXIT_USAGE;
    }
    int code = is_send ? hr_payload_read(args, 2, &body) : 0;
    if (code == 0)
        code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    call.layer = visit.layer;
    if (code == 0)
        code = actions[action].fn(&call);
    hr_visit_end(&visit);
    hr_payload_fini(&body);
    return code;
}
