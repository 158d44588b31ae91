/* pause.c - `headrace pause CHANNEL...` and `headrace resume CHANNEL...`.
 *
 * The fact stands in the channel itself: it needs no supervisor, and holds
 * whoever comes and goes. A glob means the channels that there are.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/attach.h"
#include "cli/channels.h"
#include "cli/exit.h"
#include "cli/nearest.h"
#include "cli/units.h"
#include "cli/verbs.h"

static void say_waiting(const char *what, const struct hr_channel_stats *stats)
{
    char age[HR_UNITS_TEXT_MAX];
    printf("%s %s: %" PRIu32 " message%s wait%s", what, stats->name, stats->depth,
           stats->depth == 1 ? "" : "s", stats->depth == 1 ? "s" : "");
    if (stats->paused_at && stats->expiry != HR_NEVER) {
        hr_units_about_duration(stats->expiry, age);
        printf("; each expires after %s", age);
    }
    putchar('\n');
}

static int set_one(struct hr_layer *layer, const struct hr_channel_stats *stats, bool is_paused)
{
    struct hr_str name = hr_str_of(stats->name);
    struct hr_channel_stats now;
    int r = hr_layer_pause(layer, name, is_paused);
    if (r < 0)
        return hr_send_complain(layer, stats->name, r);
    if ((stats->paused_at != 0) == is_paused)
        printf("%s was %s\n", stats->name, is_paused ? "paused already" : "not paused");
    else if (hr_layer_channel_find(layer, name, &now))
        say_waiting(is_paused ? "paused" : "resumed", &now);
    return 0;
}

static int complain_unknown(struct hr_layer *layer, const char *pattern)
{
    struct hr_nearest nearest = {.word = hr_str_of(pattern)};
    struct hr_channel_stats stats;
    for (uint32_t i = 1; hr_layer_channel_stats(layer, i, &stats); i++)
        hr_nearest_offer(&nearest, hr_str_of(stats.name));
    if (nearest.best[0])
        hr_complain("there is no channel '%s'; did you mean '%s'?", pattern, nearest.best);
    else
        hr_complain("there is no channel '%s'; 'headrace status --all' lists them.", pattern);
    return HR_EXIT_SETTINGS;
}

static int set_matching(struct hr_layer *layer, const char *pattern, bool is_paused)
{
    struct hr_channel_stats stats;
    bool is_known = false;
    int code = 0;
    /* Channel 0 is no queue: replies are counted there. */
    for (uint32_t i = 1; code == 0 && hr_layer_channel_stats(layer, i, &stats); i++) {
        if (!hr_str_glob(hr_str_of(pattern), hr_str_of(stats.name)))
            continue;
        is_known = true;
        code = set_one(layer, &stats, is_paused);
    }
    return is_known ? code : complain_unknown(layer, pattern);
}

static int set_paused(const struct hr_args *args, bool is_paused)
{
    struct hr_visit visit;
    int code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    for (uint32_t i = 0; code == 0 && i < args->n_operands; i++)
        code = set_matching(visit.layer, args->operands[i], is_paused);
    hr_visit_end(&visit);
    return code;
}

int hr_verb_pause(const struct hr_args *args)
{
    return set_paused(args, true);
}

int hr_verb_resume(const struct hr_args *args)
{
    return set_paused(args, false);
}
