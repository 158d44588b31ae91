/* channels.h - questions about channels that several verbs ask. */
#ifndef HR_CLI_CHANNELS_H
#define HR_CLI_CHANNELS_H

#include <headrace/layer.h>

#include "cli/nearest.h"

/* Offers every channel that somebody listens to. */
void hr_channels_offer_heard(struct hr_layer *layer, struct hr_nearest *nearest);

/* Says on standard error why a send was not taken; gives the exit code. */
int hr_send_complain(struct hr_layer *layer, const char *channel, int outcome);

#endif /* HR_CLI_CHANNELS_H */
