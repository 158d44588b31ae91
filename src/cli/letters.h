/* letters.h - the dead letters of a layer, added up for people. */
#ifndef HR_CLI_LETTERS_H
#define HR_CLI_LETTERS_H

#include <headrace/layer.h>

#include "base/str.h"

enum { HR_LETTERS_MAX_GROUPS = 64 };

/* Letters of one channel that failed in the same one (and, if asked for, for the same reason). */
struct hr_letter_group {
    char channel[HR_NAME_MAX + 1];
    char from[HR_NAME_MAX + 1]; /* empty: they were sent there */
    uint32_t n;
    uint32_t attempts; /* the most that one of them had */
    enum hr_reason reason;
    hr_time oldest; /* when it was sent, CLOCK_MONOTONIC */
};

enum hr_letters_by { HR_LETTERS_BY_CHANNEL, HR_LETTERS_BY_REASON };

/* Adds up all dead letters, or those of `channel`: where they lie, or where
 * they failed. Gives how many groups; what does not fit is not in them. */
uint32_t hr_letters_add_up(struct hr_layer *layer, struct hr_str channel, enum hr_letters_by by,
                           struct hr_letter_group out[HR_LETTERS_MAX_GROUPS]);

/* Is the letter one of `channel`'s? It lies in `at`. Every one is the empty channel's. */
bool hr_letters_is_of(struct hr_str channel, const char *at, const struct hr_letter *letter);

#endif /* HR_CLI_LETTERS_H */
