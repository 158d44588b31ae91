/* settings_value.c - see settings_value.h for the contract.
 *
 * One function a type; nothing else in the program knows how a duration or a
 * list is written. Bounds come from the row, as text, in the type's own
 * spelling, so that the table reads as people write.
 */
#include "cli/settings_value.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/units.h"

static int read_text(const struct hr_value_reader *reader, struct hr_str text)
{
    uint64_t least = 0, most = 0;
    bool is_bounded = hr_str_u64(hr_str_of(reader->row->least), &least) &&
                      hr_str_u64(hr_str_of(reader->row->most), &most);
    hr_assert(is_bounded);
    if (text.len < least)
        return hr_diag_say(reader->diag, "must not be empty");
    if (text.len > most)
        return hr_diag_say(reader->diag, "is longer than %s characters", reader->row->most);
    const char *kept = hr_settings_keep(reader->settings, text);
    if (!kept)
        return hr_raise(HR_ERR_NOMEM);
    *(const char **)reader->field = kept;
    return 0;
}

static int list_append(const struct hr_value_reader *reader, struct hr_str text)
{
    struct hr_words *words = reader->field;
    const char *kept = NULL;
    struct hr_value_reader item = *reader;
    item.field = &kept;

    if (words->n == HR_LIST_MAX)
        return hr_diag_say(reader->diag, "has more than %d items", HR_LIST_MAX);
    int r = read_text(&item, text);
    if (r < 0)
        return hr_trace(r);
    const char **grown = hr_realloc(words->item, (words->n + 1) * sizeof *grown);
    if (!grown)
        return hr_raise(HR_ERR_NOMEM);
    grown[words->n++] = kept;
    words->item = grown;
    return 0;
}

static int read_list(const struct hr_value_reader *reader, struct hr_str text)
{
    struct hr_words *words = reader->field;
    struct hr_str rest = text, item;

    if (!reader->is_append)
        words->n = 0;
    while (hr_str_next(&rest, ',', &item)) {
        item = hr_str_trim(item);
        int r = item.len > 0 ? list_append(reader, item) : 0;
        if (r < 0)
            return hr_trace(r);
    }
    return 0;
}

static int read_bool(const struct hr_value_reader *reader, struct hr_str text)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        bool is_yes = hr_str_eq_nocase(text, hr_str_of(yes[i]));
        if (is_yes || hr_str_eq_nocase(text, hr_str_of(no[i]))) {
            *(bool *)reader->field = is_yes;
            return 0;
        }
    }
    return hr_diag_say(reader->diag, "'%.*s' is neither yes nor no", HR_STR(text));
}

static int read_count(const struct hr_value_reader *reader, struct hr_str text)
{
    uint64_t least = 0, most = 0, number;
    bool is_bounded = hr_str_u64(hr_str_of(reader->row->least), &least) &&
                      hr_str_u64(hr_str_of(reader->row->most), &most);
    hr_assert(is_bounded && most <= UINT32_MAX);
    if (!hr_str_u64(text, &number))
        return hr_diag_say(reader->diag, "'%.*s' is no number", HR_STR(text));
    if (number < least || number > most)
        return hr_diag_say(reader->diag, "must be from %s to %s, not %.*s", reader->row->least,
                           reader->row->most, HR_STR(text));
    *(uint32_t *)reader->field = (uint32_t)number;
    return 0;
}

static uint32_t count_cpus(void)
{
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) < 0)
        return 1;
    return (uint32_t)CPU_COUNT(&cpus);
}

static int read_processes(const struct hr_value_reader *reader, struct hr_str text)
{
    if (!hr_str_eq(text, HR_LIT("auto")))
        return hr_trace(read_count(reader, text));
    uint64_t most = 0;
    hr_assert(hr_str_u64(hr_str_of(reader->row->most), &most));
    uint32_t n_cpus = count_cpus();
    *(uint32_t *)reader->field = n_cpus < most ? n_cpus : (uint32_t)most;
    return 0;
}

static bool is_none(const struct hr_value_reader *reader, struct hr_str text)
{
    return strcmp(reader->row->most, "none") == 0 && hr_str_eq(text, HR_LIT("none"));
}

static int read_size(const struct hr_value_reader *reader, struct hr_str text)
{
    uint64_t least = 0, most = UINT64_MAX, size = UINT64_MAX;
    bool may_be_none = strcmp(reader->row->most, "none") == 0;
    hr_assert(hr_units_size(hr_str_of(reader->row->least), &least));
    hr_assert(may_be_none || hr_units_size(hr_str_of(reader->row->most), &most));

    if (!is_none(reader, text) && !hr_units_size(text, &size))
        return hr_diag_say(reader->diag, "'%.*s' is no size; write 512KiB, 8MiB, 1GiB%s",
                           HR_STR(text), may_be_none ? " or none" : "");
    if (size < least || size > most)
        return hr_diag_say(reader->diag, "must be from %s to %s, not %.*s", reader->row->least,
                           reader->row->most, HR_STR(text));
    *(uint64_t *)reader->field = size;
    return 0;
}

static int read_duration(const struct hr_value_reader *reader, struct hr_str text)
{
    hr_time least = 0, most = HR_NEVER, span = HR_NEVER;
    bool may_be_none = strcmp(reader->row->most, "none") == 0;
    hr_assert(hr_units_duration(hr_str_of(reader->row->least), &least));
    hr_assert(may_be_none || hr_units_duration(hr_str_of(reader->row->most), &most));

    if (!is_none(reader, text) && !hr_units_duration(text, &span))
        return hr_diag_say(reader->diag, "'%.*s' is no duration; write 30s, 5m, 1h or 250ms%s",
                           HR_STR(text), may_be_none ? ", or none" : "");
    if (span < least || span > most)
        return hr_diag_say(reader->diag, "must be from %s to %s, not %.*s", reader->row->least,
                           reader->row->most, HR_STR(text));
    *(hr_time *)reader->field = span;
    return 0;
}

static int read_choice(const struct hr_value_reader *reader, struct hr_str text)
{
    struct hr_str rest = hr_str_of(reader->row->least), word;
    while (hr_str_next(&rest, ' ', &word)) {
        if (!hr_str_eq(word, text))
            continue;
        const char *kept = hr_settings_keep(reader->settings, word);
        if (!kept)
            return hr_raise(HR_ERR_NOMEM);
        *(const char **)reader->field = kept;
        return 0;
    }
    return hr_diag_say(reader->diag, "'%.*s' is none of: %s", HR_STR(text), reader->row->least);
}

int hr_value_read(const struct hr_value_reader *reader, struct hr_str text)
{
    switch (reader->row->type) {
    case HR_SETTING_TYPE_TEXT:
        return hr_trace(read_text(reader, text));
    case HR_SETTING_TYPE_LIST:
        return hr_trace(read_list(reader, text));
    case HR_SETTING_TYPE_BOOL:
        return hr_trace(read_bool(reader, text));
    case HR_SETTING_TYPE_COUNT:
        return hr_trace(read_count(reader, text));
    case HR_SETTING_TYPE_PROCESSES:
        return hr_trace(read_processes(reader, text));
    case HR_SETTING_TYPE_SIZE:
        return hr_trace(read_size(reader, text));
    case HR_SETTING_TYPE_DURATION:
        return hr_trace(read_duration(reader, text));
    case HR_SETTING_TYPE_CHOICE:
        return hr_trace(read_choice(reader, text));
    }
    HR_UNREACHABLE("every type is listed above");
}

/* ---- and back -----------------------------------------------------------------------------------
 */

static void format_size(uint64_t size, char *out, size_t room)
{
    char text[HR_UNITS_TEXT_MAX] = "none";
    if (size != UINT64_MAX)
        hr_units_format_size(size, text);
    hr_str_copy(out, room, hr_str_of(text));
}

static void format_duration(hr_time span, char *out, size_t room)
{
    char text[HR_UNITS_TEXT_MAX] = "none";
    if (span != HR_NEVER)
        hr_units_format_duration(span, text);
    hr_str_copy(out, room, hr_str_of(text));
}

bool hr_settings_format(const struct hr_section *section, const struct hr_setting *row,
                        uint32_t index, char *out, size_t size)
{
    const void *field = (const char *)section + row->offset;
    hr_assert(section->kind == row->section);
    const struct hr_words *words;

    switch (row->type) {
    case HR_SETTING_TYPE_TEXT:
    case HR_SETTING_TYPE_CHOICE:
        hr_str_copy(out, size, hr_str_of(*(const char *const *)field));
        break;
    case HR_SETTING_TYPE_LIST:
        words = field;
        if (index < words->n)
            hr_str_copy(out, size, hr_str_of(words->item[index]));
        return index < words->n;
    case HR_SETTING_TYPE_BOOL:
        hr_str_copy(out, size, hr_str_of(*(const bool *)field ? "yes" : "no"));
        break;
    case HR_SETTING_TYPE_COUNT:
    case HR_SETTING_TYPE_PROCESSES:
        snprintf(out, size, "%" PRIu32, *(const uint32_t *)field);
        break;
    case HR_SETTING_TYPE_SIZE:
        format_size(*(const uint64_t *)field, out, size);
        break;
    case HR_SETTING_TYPE_DURATION:
        format_duration(*(const hr_time *)field, out, size);
        break;
    }
    return index == 0;
}
