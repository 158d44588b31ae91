/* channels.h - questions about channels that several verbs ask. */
#ifndef HR_CLI_CHANNELS_H
#define HR_CLI_CHANNELS_H

#include <headrace/layer.h>

#include "cli/nearest.h"

/* What a pool takes: the events of its clients, and plain channels by name or glob. */
struct hr_pool_takes {
    struct hr_str name;
    const char *const *globs;
    uint32_t n_globs;
};
bool hr_channel_is_taken_by(const char *channel, const struct hr_pool_takes *pool);
/* Is it some pool's own channel of events ("http.request.web")? */
bool hr_channel_is_of_events(const char *channel);

/* Offers every channel that somebody listens to. */
void hr_channels_offer_heard(struct hr_layer *layer, struct hr_nearest *nearest);

/* Says on standard error why a send was not taken; gives the exit code. */
int hr_send_complain(struct hr_layer *layer, const char *channel, int outcome);

#endif /* HR_CLI_CHANNELS_H */
