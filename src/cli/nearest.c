/* nearest.c - see nearest.h for the contract.
 *
 * The distance is Levenshtein's with neighbours swapped counted as one
 * (optimal string alignment), over the last three rows of its table.
 */
#include "cli/nearest.h"

#include "base/assert.h"

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t distance(struct hr_str a, struct hr_str b)
{
    uint32_t rows[3][HR_NEAREST_MAX + 1];
    uint32_t *before = rows[0], *above = rows[1], *row = rows[2];
    hr_assert(a.len <= HR_NEAREST_MAX && b.len <= HR_NEAREST_MAX);

    for (uint32_t j = 0; j <= b.len; j++)
        above[j] = before[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t cost = a.ptr[i - 1] != b.ptr[j - 1];
            row[j] = least_of(above[j - 1] + cost, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                row[j] = least_of(row[j], before[j - 2] + 1);
        }
        uint32_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b.len];
}

void hr_nearest_offer(struct hr_nearest *nearest, struct hr_str candidate)
{
    struct hr_str word = nearest->word;
    if (word.len == 0 || word.len > HR_NEAREST_MAX || candidate.len > HR_NEAREST_MAX)
        return;
    uint32_t d = distance(word, candidate);
    /* A third of the letters may be wrong, one in a short word. */
    uint32_t bound = (uint32_t)(word.len < 6 ? 1 : word.len / 3);
    if (d <= bound && (!nearest->best[0] || d < nearest->distance)) {
        hr_str_copy(nearest->best, sizeof nearest->best, candidate);
        nearest->distance = d;
    }
}
