/* send.c - `headrace send CHANNEL`: one message into a queue, or to a reply channel. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/attach.h"
#include "cli/payload.h"
#include "cli/channels.h"
#include "cli/exit.h"
#include "cli/units.h"
#include "cli/verbs.h"

static const char *limit_words(enum hr_full_reason reason)
{
    switch (reason) {
    case HR_FULL_COUNT:
        return "as many messages wait as it may hold (reason=queue_full)";
    case HR_FULL_BYTES:
        return "as many bytes wait as it may hold (reason=queue_full)";
    case HR_FULL_MEMORY:
        return "the layer's memory is used up (reason=arena_full)";
    case HR_FULL_CHANNELS:
        return "the layer can register no further channel (reason=arena_full)";
    case HR_FULL_CONNECTION:
        return "its client reads too slowly (reason=limit)";
    }
    return "it is full";
}

int hr_send_complain(struct hr_layer *layer, const char *channel, int outcome)
{
    switch (outcome) {
    case HR_LAYER_FULL:
        hr_complain("'%s' took nothing: %s.\n  See: headrace status", channel,
                    limit_words(hr_layer_full_reason()));
        return HR_EXIT_SETTINGS;
    case HR_LAYER_GONE:
        hr_complain("'%s' is nobody's any more: its client has left.", channel);
        return HR_EXIT_SETTINGS;
    case HR_LAYER_TOO_BIG:
        hr_complain("the message is larger than the %zu KiB that this layer carries.",
                    hr_layer_max_message(layer) >> 10);
        return HR_EXIT_SETTINGS;
    case HR_ERR_NAME:
        hr_complain("'%s' is no name: 1 to %d of A-Z a-z 0-9 . _ -", channel, HR_NAME_MAX);
        return HR_EXIT_USAGE;
    default:
        hr_complain("%s", hr_error_text(outcome));
        return HR_EXIT_LAYER;
    }
}

/* Sent is sent, but a name that nobody listens to is often a slip of the pen. */
static void warn_if_unheard(struct hr_layer *layer, const char *channel)
{
    struct hr_channel_stats stats;
    struct hr_nearest nearest = {.word = hr_str_of(channel)};
    if (!hr_layer_channel_find(layer, hr_str_of(channel), &stats) || stats.n_listeners > 0)
        return;
    hr_channels_offer_heard(layer, &nearest);
    if (nearest.best[0])
        hr_complain("sent, but nobody listens on '%s'; did you mean '%s'?", channel, nearest.best);
    else
        hr_complain("sent, but nobody listens on '%s' yet.", channel);
}

static bool read_delay(const struct hr_args *args, hr_time *out)
{
    const char *delay = hr_args_option(args, HR_OPT_DELAY);
    if (!delay || hr_units_duration(hr_str_of(delay), out))
        return true;
    hr_complain("'%s' is no time: write 30s, 5m, 1h30m", delay);
    return false;
}

int hr_verb_send(const struct hr_args *args)
{
    struct hr_visit visit = {0};
    struct hr_payload body;
    struct hr_send_options options = {0};
    const char *channel = args->operands[0];
    if (!read_delay(args, &options.delay))
        return HR_EXIT_USAGE;
    int code = hr_payload_read(args, 1, &body);
    if (code == 0)
        code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    if (code == 0) {
        int r = hr_layer_send(visit.layer, hr_str_of(channel), body.data, body.len, &options);
        if (r != 0)
            code = hr_send_complain(visit.layer, channel, r);
        else
            warn_if_unheard(visit.layer, channel);
    }
    hr_visit_end(&visit);
    hr_payload_fini(&body);
    return code;
}
