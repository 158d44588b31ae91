/* units.c - see units.h for the contract.
 *
 * Both readers take digits, then letters, and look the letters up. What could
 * wrap around is compared with what is left first.
 */
#include "cli/units.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

struct time_unit {
    const char *word;
    hr_time span;
};
/* Largest first: formatting takes them in this order. */
static const struct time_unit time_units[] = {
    {"d", 86400 * HR_SECOND}, {"h", 3600 * HR_SECOND}, {"m", 60 * HR_SECOND},
    {"s", HR_SECOND},         {"ms", HR_MS},
};
enum { N_TIME_UNITS = sizeof time_units / sizeof *time_units };

static const char *const size_units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
enum { N_SIZE_UNITS = sizeof size_units / sizeof *size_units };

/* Cuts the digits and then the letters off *rest. */
static bool take_number(struct hr_str *rest, uint64_t *number, struct hr_str *letters)
{
    struct hr_str digits = {rest->ptr, 0};
    while (digits.len < rest->len && rest->ptr[digits.len] >= '0' && rest->ptr[digits.len] <= '9')
        digits.len++;
    size_t end = digits.len;
    while (end < rest->len && !(rest->ptr[end] >= '0' && rest->ptr[end] <= '9'))
        end++;
    *letters = (struct hr_str){rest->ptr + digits.len, end - digits.len};
    *rest = (struct hr_str){rest->ptr + end, rest->len - end};
    return hr_str_u64(digits, number);
}

static const struct time_unit *find_time_unit(struct hr_str word)
{
    if (word.len == 0)
        word = HR_LIT("s");
    for (size_t i = 0; i < N_TIME_UNITS; i++)
        if (hr_str_eq(word, hr_str_of(time_units[i].word)))
            return &time_units[i];
    return NULL;
}

bool hr_units_duration(struct hr_str text, hr_time *out)
{
    struct hr_str rest = text;
    hr_time sum = 0;

    do {
        uint64_t number;
        struct hr_str letters;
        if (!take_number(&rest, &number, &letters))
            return false;
        const struct time_unit *unit = find_time_unit(letters);
        /* HR_NEVER itself is not a duration that can be written. */
        if (!unit || number > (uint64_t)((HR_NEVER - 1 - sum) / unit->span))
            return false;
        sum += (hr_time)number * unit->span;
    } while (rest.len > 0);
    *out = sum;
    return true;
}

/* "K" and "KiB", in any case; the shift in bits, or -1. */
static int size_shift(struct hr_str word)
{
    if (word.len == 0)
        return 0;
    for (int i = 0; i < N_SIZE_UNITS; i++) {
        struct hr_str unit = hr_str_of(size_units[i]);
        struct hr_str letter = {unit.ptr, 1};
        if (hr_str_eq_nocase(word, unit) || hr_str_eq_nocase(word, letter))
            return 10 * i;
    }
    return -1;
}

bool hr_units_size(struct hr_str text, uint64_t *out)
{
    uint64_t number;
    struct hr_str rest = text, letters;
    if (!take_number(&rest, &number, &letters) || rest.len > 0)
        return false;
    int shift = size_shift(letters);
    if (shift < 0 || number > UINT64_MAX >> shift)
        return false;
    *out = number << shift;
    return true;
}

void hr_units_format_duration(hr_time duration, char out[HR_UNITS_TEXT_MAX])
{
    hr_assert(duration >= 0);
    size_t len = 0;
    hr_time rest = duration;

    for (size_t i = 0; i < N_TIME_UNITS && rest > 0; i++) {
        hr_time n = rest / time_units[i].span;
        rest %= time_units[i].span;
        if (n > 0)
            len += (size_t)snprintf(out + len, HR_UNITS_TEXT_MAX - len, "%" PRId64 "%s", n,
                                    time_units[i].word);
        hr_assert(len < HR_UNITS_TEXT_MAX);
    }
    if (len == 0)
        snprintf(out, HR_UNITS_TEXT_MAX, "0s");
}

void hr_units_format_size(uint64_t size, char out[HR_UNITS_TEXT_MAX])
{
    int unit = 0;
    while (size > 0 && size % 1024 == 0 && unit < N_SIZE_UNITS - 1) {
        size /= 1024;
        unit++;
    }
    snprintf(out, HR_UNITS_TEXT_MAX, "%" PRIu64 "%s", size, unit ? size_units[unit] : "");
}

/* One decimal below ten, none above: "9.8 s", "41 d". */
static void about(double number, const char *unit, char out[HR_UNITS_TEXT_MAX])
{
    bool is_whole = number >= 9.95 || number == (double)(int64_t)number;
    snprintf(out, HR_UNITS_TEXT_MAX, is_whole ? "%.0f %s" : "%.1f %s", number, unit);
}

void hr_units_about_duration(hr_time duration, char out[HR_UNITS_TEXT_MAX])
{
    const struct time_unit *unit = &time_units[N_TIME_UNITS - 1];
    for (size_t i = 0; i < N_TIME_UNITS; i++) {
        /* Two minutes rather than "1.4 m" of something; a tenth of a second rather than "100 ms".
         */
        hr_time least = time_units[i].span == HR_SECOND ? HR_SECOND / 10 : 2 * time_units[i].span;
        if (duration >= least) {
            unit = &time_units[i];
            break;
        }
    }
    about((double)duration / (double)unit->span, strcmp(unit->word, "m") == 0 ? "min" : unit->word,
          out);
}

void hr_units_about_size(uint64_t size, char out[HR_UNITS_TEXT_MAX])
{
    int unit = 0;
    double number = (double)size;
    while (number >= 1024 && unit < N_SIZE_UNITS - 1) {
        number /= 1024;
        unit++;
    }
    about(number, size_units[unit], out);
}
