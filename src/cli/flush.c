/* flush.c - `headrace flush`: drops what waits. Never everything by accident. */
#include "cli/attach.h"
#include "cli/channels.h"
#include "cli/exit.h"
#include "cli/verbs.h"

int hr_verb_flush(const struct hr_args *args)
{
    struct hr_visit visit;
    bool is_all = hr_args_option(args, HR_OPT_ALL) != NULL;
    if (is_all == (args->n_operands > 0)) {
        hr_complain(
            "say which: 'headrace flush CHANNEL', or 'headrace flush --all' for every channel "
            "and group.");
        return HR_EXIT_USAGE;
    }
    int code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    if (code == 0) {
        struct hr_channel_stats stats;
        struct hr_str channel = is_all ? (struct hr_str){0} : hr_str_of(args->operands[0]);
        bool is_known = is_all || hr_layer_channel_find(visit.layer, channel, &stats);
        int r = is_known ? hr_layer_flush(visit.layer, channel) : HR_ERR_NOT_FOUND;
        if (r == HR_ERR_NOT_FOUND) {
            hr_complain("there is no channel '%s'; 'headrace status --all' lists them.",
                        args->operands[0]);
            code = HR_EXIT_SETTINGS;
        } else if (r != 0) {
            code = hr_send_complain(visit.layer, is_all ? "--all" : args->operands[0], r);
        }
    }
    hr_visit_end(&visit);
    return code;
}
