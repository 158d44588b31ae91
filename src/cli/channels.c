/* channels.c - see channels.h for the contract. */
#include "cli/channels.h"

void hr_channels_offer_heard(struct hr_layer *layer, struct hr_nearest *nearest)
{
    struct hr_channel_stats stats;
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++)
        if (stats.n_listeners > 0)
            hr_nearest_offer(nearest, hr_str_of(stats.name));
}
