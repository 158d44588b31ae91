/* channels.c - see channels.h for the contract. */
#include "cli/channels.h"

#include "base/str.h"

/* The pool in the name of a channel of events; empty when it is a plain one. */
static struct hr_str pool_of(const char *channel)
{
    static const char *const kinds[] = {"http.request.", "websocket.connect.", "websocket.receive.",
                                        "websocket.disconnect."};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (hr_str_starts(hr_str_of(channel), hr_str_of(kinds[i])))
            return hr_str_of(channel + strlen(kinds[i]));
    return (struct hr_str){0};
}

bool hr_channel_is_of_events(const char *channel)
{
    return pool_of(channel).len > 0;
}

bool hr_channel_is_taken_by(const char *channel, const struct hr_pool_takes *pool)
{
    struct hr_str its_pool = pool_of(channel);
    if (its_pool.len > 0)
        return hr_str_eq(its_pool, pool->name);
    for (uint32_t i = 0; i < pool->n_globs; i++)
        if (hr_str_glob(hr_str_of(pool->globs[i]), hr_str_of(channel)))
            return true;
    return false;
}

void hr_channels_offer_heard(struct hr_layer *layer, struct hr_nearest *nearest)
{
    struct hr_channel_stats stats;
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++)
        if (stats.n_listeners > 0)
            hr_nearest_offer(nearest, hr_str_of(stats.name));
}
