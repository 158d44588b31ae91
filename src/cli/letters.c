/* letters.c - see letters.h for the contract. */
#include "cli/letters.h"

bool hr_letters_is_of(struct hr_str channel, const char *at, const struct hr_letter *letter)
{
    return channel.len == 0 || hr_str_eq(channel, hr_str_of(at)) ||
           hr_str_eq(channel, hr_str_of(letter->from));
}

struct sum {
    struct hr_letter_group *groups;
    uint32_t n;
    enum hr_letters_by by;
};

static struct hr_letter_group *group_of(struct sum *sum, const char *channel,
                                        const struct hr_letter *letter)
{
    for (uint32_t i = 0; i < sum->n; i++) {
        struct hr_letter_group *group = &sum->groups[i];
        if (strcmp(group->channel, channel) == 0 && strcmp(group->from, letter->from) == 0 &&
            (sum->by == HR_LETTERS_BY_CHANNEL || group->reason == letter->reason))
            return group;
    }
    if (sum->n == HR_LETTERS_MAX_GROUPS)
        return NULL;
    struct hr_letter_group *group = &sum->groups[sum->n++];
    *group = (struct hr_letter_group){.reason = letter->reason, .oldest = letter->sent_at};
    hr_str_copy(group->channel, sizeof group->channel, hr_str_of(channel));
    hr_str_copy(group->from, sizeof group->from, hr_str_of(letter->from));
    return group;
}

static void add_letter(struct sum *sum, const char *channel, const struct hr_letter *letter)
{
    struct hr_letter_group *group = group_of(sum, channel, letter);
    if (!group)
        return;
    group->n++;
    if (letter->attempts > group->attempts)
        group->attempts = letter->attempts;
    if (letter->sent_at < group->oldest)
        group->oldest = letter->sent_at;
}

uint32_t hr_letters_add_up(struct hr_layer *layer, struct hr_str channel, enum hr_letters_by by,
                           struct hr_letter_group out[HR_LETTERS_MAX_GROUPS])
{
    struct sum sum = {.groups = out, .by = by};
    struct hr_channel_stats stats;
    struct hr_letter letter;
    for (uint32_t i = 0; hr_layer_channel_stats(layer, i, &stats); i++) {
        uint64_t cursor = 0;
        while (stats.is_dead_letter &&
               hr_layer_letter_next(layer, hr_str_of(stats.name), &cursor, NULL, 0, &letter))
            if (hr_letters_is_of(channel, stats.name, &letter))
                add_letter(&sum, stats.name, &letter);
    }
    return sum.n;
}
