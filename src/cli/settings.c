/* settings.c - see settings.h for the contract.
 *
 * The table is made of settings.def three times: as an enum of rows, as one
 * struct a section, and here as rows with the offsets of those structs'
 * fields. How a value is written is settings_value.c's business.
 */
#include "cli/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <headrace/layer.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/nearest.h"
#include "cli/settings_value.h"

#define ROW(kind, owner, key, value_type, preset_text, least_text, most_text, unit_text,           \
            flag_text, text)                                                                       \
    {.section = kind,                                                                              \
     .type = HR_SETTING_TYPE_##value_type,                                                         \
     .offset = offsetof(struct owner, key),                                                        \
     .raw_key = #key,                                                                              \
     .preset = preset_text,                                                                        \
     .least = least_text,                                                                          \
     .most = most_text,                                                                            \
     .unit = unit_text,                                                                            \
     .flags = flag_text,                                                                           \
     .manual = text},

const struct hr_setting hr_settings_table[HR_N_SETTINGS] = {
#define HR_SETTING_HEADRACE(...) ROW(HR_SECTION_HEADRACE, hr_settings_headrace, __VA_ARGS__)
#define HR_SETTING_SERVER(...) ROW(HR_SECTION_SERVER, hr_settings_server, __VA_ARGS__)
#define HR_SETTING_LAYER(...) ROW(HR_SECTION_LAYER, hr_settings_layer, __VA_ARGS__)
#define HR_SETTING_POOL(...) ROW(HR_SECTION_POOL, hr_settings_pool, __VA_ARGS__)
#define HR_SETTING_CHANNEL(...) ROW(HR_SECTION_CHANNEL, hr_settings_channel, __VA_ARGS__)
#include "tables/settings.def"
};

struct hr_settings_text {
    struct hr_settings_text *next;
    char text[];
};

/* ---- the table --------------------------------------------------------------------------------
 */

struct hr_str hr_setting_key(const struct hr_setting *row)
{
    struct hr_str key = hr_str_of(row->raw_key);
    if (key.ptr[key.len - 1] == '_')
        key.len--;
    return key;
}

const char *hr_section_word(enum hr_section_kind kind)
{
    static const char *const words[HR_N_SECTIONS] = {"headrace", "server", "layer", "pool",
                                                     "channel"};
    hr_assert(kind < HR_N_SECTIONS);
    return words[kind];
}

const struct hr_setting *hr_setting_find(enum hr_section_kind kind, struct hr_str key)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        if (row->section == kind && hr_str_eq(key, hr_setting_key(row)))
            return row;
    }
    return NULL;
}

int hr_settings_unknown_key(enum hr_section_kind kind, struct hr_str key, struct hr_diag *diag)
{
    struct hr_nearest nearest = {.word = key};

    for (size_t i = 0; i < HR_N_SETTINGS; i++)
        if (hr_settings_table[i].section == kind)
            hr_nearest_offer(&nearest, hr_setting_key(&hr_settings_table[i]));
    if (nearest.best[0])
        return hr_diag_say(diag, "[%s] has no key '%.*s'; did you mean '%s'?",
                           hr_section_word(kind), HR_STR(key), nearest.best);
    for (int other = 0; other < HR_N_SECTIONS; other++)
        if (hr_setting_find((enum hr_section_kind)other, key))
            return hr_diag_say(diag, "[%s] has no key '%.*s'; it belongs to [%s]",
                               hr_section_word(kind), HR_STR(key),
                               hr_section_word((enum hr_section_kind)other));
    return hr_diag_say(diag, "[%s] has no key '%.*s'; docs/reference/settings.md lists them",
                       hr_section_word(kind), HR_STR(key));
}

/* ---- memory -----------------------------------------------------------------------------------
 */

const char *hr_settings_keep(struct hr_settings *settings, struct hr_str text)
{
    struct hr_settings_text *kept = hr_alloc(sizeof *kept + text.len + 1);
    if (!kept)
        return NULL;
    if (text.len > 0)
        memcpy(kept->text, text.ptr, text.len);
    kept->text[text.len] = '\0';
    kept->next = settings->texts;
    settings->texts = kept;
    return kept->text;
}

static void *field_of(struct hr_section *section, const struct hr_setting *row)
{
    hr_assert(section->kind == row->section);
    return (char *)section + row->offset;
}

static size_t row_index(const struct hr_setting *row)
{
    return (size_t)(row - hr_settings_table);
}

static void section_fini(struct hr_section *section)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        if (row->section == section->kind && row->type == HR_SETTING_TYPE_LIST) {
            struct hr_words *words = field_of(section, row);
            words->item = hr_free(words->item);
        }
    }
}

static void sections_free(struct hr_section *list)
{
    while (list) {
        struct hr_section *next = list->next;
        section_fini(list);
        hr_free(list);
        list = next;
    }
}

struct hr_settings *hr_settings_ref(struct hr_settings *settings)
{
    settings->n_refs++;
    return settings;
}

struct hr_settings *hr_settings_unref(struct hr_settings *settings)
{
    if (!settings || --settings->n_refs > 0)
        return NULL;
    section_fini(&settings->headrace.section);
    section_fini(&settings->server.section);
    section_fini(&settings->layer.section);
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        if (pool->build_fd > 0)
            close(pool->build_fd);
    sections_free(settings->pools);
    sections_free(settings->channels);
    while (settings->texts) {
        struct hr_settings_text *next = settings->texts->next;
        hr_free(settings->texts);
        settings->texts = next;
    }
    return hr_free(settings);
}

/* ---- setting ------------------------------------------------------------------------------------
 */

/* Puts "max_body: " before what a reader complained of. */
static void name_the_key(const struct hr_setting *row, struct hr_diag *diag)
{
    char message[sizeof diag->message];
    struct hr_str key = hr_setting_key(row);
    hr_str_copy(message, sizeof message, hr_str_of(diag->message));
    snprintf(diag->message, sizeof diag->message, "%.*s: %.*s", HR_STR(key),
             (int)(sizeof message - key.len - 3), message);
}

int hr_settings_set(struct hr_settings *settings, struct hr_section *section,
                    const struct hr_setting *row, struct hr_str text,
                    const struct hr_origin *origin, struct hr_diag *diag)
{
    struct hr_origin *old = &section->origin[row_index(row)];
    struct hr_value_reader reader = {
        .settings = settings,
        .row = row,
        .field = field_of(section, row),
        .is_append = origin->kind == old->kind &&
                     (origin->kind == HR_FROM_FILE || origin->kind == HR_FROM_FLAG),
        .diag = diag,
    };
    /* A newline in a value could not come back from a file, an escape would reach the log. */
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return hr_diag_say(diag, "%s: a control character in its value", row->raw_key);

    int r = hr_value_read(&reader, hr_str_trim(text));
    if (r == HR_ERR_CONFIG)
        name_the_key(row, diag);
    if (r < 0)
        return hr_trace(r);
    *old = *origin;
    old->where = origin->where ? hr_settings_keep(settings, hr_str_of(origin->where)) : NULL;
    return origin->where && !old->where ? hr_raise(HR_ERR_NOMEM) : 0;
}

void hr_settings_blame(const struct hr_section *section, enum hr_setting_id id,
                       struct hr_diag *diag)
{
    const struct hr_origin *origin = &section->origin[id];
    hr_str_copy(diag->file, sizeof diag->file, hr_str_of(origin->where));
    diag->line = origin->line;
    diag->is_usage = origin->kind == HR_FROM_FLAG;
}

/* ---- sections ---------------------------------------------------------------------------------
 */

static int set_presets(struct hr_settings *settings, struct hr_section *section)
{
    const struct hr_origin preset = {.kind = HR_FROM_PRESET};
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        if (row->section != section->kind)
            continue;
        /* Presets may lie outside the bounds ("not given"), so texts are set as they stand. */
        if (row->type == HR_SETTING_TYPE_TEXT) {
            *(const char **)field_of(section, row) = row->preset;
            continue;
        }
        struct hr_diag diag = {0};
        int r = hr_settings_set(settings, section, row, hr_str_of(row->preset), &preset, &diag);
        hr_assert(r != HR_ERR_CONFIG);
        if (r < 0)
            return hr_trace(r);
    }
    return 0;
}

int hr_settings_new(struct hr_settings **out)
{
    *out = NULL;
    struct hr_settings *settings = hr_calloc(1, sizeof *settings);
    if (!settings)
        return hr_raise(HR_ERR_NOMEM);
    settings->n_refs = 1;
    settings->headrace.section = (struct hr_section){.kind = HR_SECTION_HEADRACE, .name = ""};
    settings->server.section = (struct hr_section){.kind = HR_SECTION_SERVER, .name = ""};
    settings->layer.section = (struct hr_section){.kind = HR_SECTION_LAYER, .name = ""};
    if (set_presets(settings, &settings->headrace.section) < 0 ||
        set_presets(settings, &settings->server.section) < 0 ||
        set_presets(settings, &settings->layer.section) < 0) {
        hr_settings_unref(settings);
        return hr_raise(HR_ERR_NOMEM);
    }
    *out = settings;
    return 0;
}

static bool pool_name_ok(struct hr_str name)
{
    if (name.len == 0 || name.len > HR_POOL_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return true;
}

/* A channel name in which `*` and `?` may stand. */
static bool channel_pattern_ok(struct hr_str pattern)
{
    char plain[HR_NAME_MAX + 1];
    if (pattern.len > HR_NAME_MAX)
        return false;
    for (size_t i = 0; i < pattern.len; i++) {
        bool is_wild = pattern.ptr[i] == '*' || pattern.ptr[i] == '?';
        plain[i] = 'x';
        if (!is_wild)
            plain[i] = pattern.ptr[i];
    }
    return hr_channel_name_ok((struct hr_str){plain, pattern.len});
}

static int check_section_name(enum hr_section_kind kind, struct hr_str name, struct hr_diag *diag)
{
    if (kind == HR_SECTION_POOL && !pool_name_ok(name))
        return hr_diag_say(diag, "'%.*s' cannot be a pool's name: 1 to %d of a-z, 0-9, '-' and '_'",
                           HR_STR(name), HR_POOL_NAME_MAX);
    if (kind == HR_SECTION_CHANNEL && !channel_pattern_ok(name))
        return hr_diag_say(diag,
                           "'%.*s' is no channel name or pattern: 1 to %d of A-Z a-z 0-9 . _ -"
                           " with * and ?",
                           HR_STR(name), HR_NAME_MAX);
    if (kind < HR_SECTION_POOL && name.len > 0)
        return hr_diag_say(diag, "[%s] takes no name", hr_section_word(kind));
    return 0;
}

static int add_section(struct hr_settings *settings, enum hr_section_kind kind, struct hr_str name,
                       struct hr_section **out, struct hr_diag *diag)
{
    bool is_pool = kind == HR_SECTION_POOL;
    uint32_t *n = is_pool ? &settings->n_pools : &settings->n_channels;
    uint32_t most = is_pool ? HR_SETTINGS_MAX_POOLS : HR_SETTINGS_MAX_CHANNELS;
    if (*n == most)
        return hr_diag_say(diag, "more than %" PRIu32 " [%s] sections", most,
                           hr_section_word(kind));

    struct hr_section *section = hr_calloc(1, is_pool ? sizeof(struct hr_settings_pool)
                                                      : sizeof(struct hr_settings_channel));
    if (!section)
        return hr_raise(HR_ERR_NOMEM);
    section->kind = kind;
    section->name = hr_settings_keep(settings, name);
    int r = section->name ? set_presets(settings, section) : hr_raise(HR_ERR_NOMEM);
    if (r < 0) {
        sections_free(section);
        return hr_trace(r);
    }
    struct hr_section **end = is_pool ? &settings->pools : &settings->channels;
    while (*end)
        end = &(*end)->next;
    *end = section;
    (*n)++;
    *out = section;
    return 0;
}

int hr_settings_section(struct hr_settings *settings, enum hr_section_kind kind, struct hr_str name,
                        struct hr_section **out, struct hr_diag *diag)
{
    int r = check_section_name(kind, name, diag);
    if (r < 0)
        return hr_trace(r);

    struct hr_section *list = NULL;
    switch (kind) {
    case HR_SECTION_HEADRACE:
        *out = &settings->headrace.section;
        return 0;
    case HR_SECTION_SERVER:
        *out = &settings->server.section;
        return 0;
    case HR_SECTION_LAYER:
        *out = &settings->layer.section;
        return 0;
    case HR_SECTION_POOL:
        list = settings->pools;
        break;
    case HR_SECTION_CHANNEL:
        list = settings->channels;
        break;
    case HR_N_SECTIONS:
        HR_UNREACHABLE("not a section");
    }
    for (; list; list = list->next) {
        if (hr_str_eq(name, hr_str_of(list->name))) {
            *out = list;
            return 0;
        }
    }
    return hr_trace(add_section(settings, kind, name, out, diag));
}

/* ---- "pool.web.processes=8" -------------------------------------------------------------------
 */

static int find_section_word(struct hr_str word, enum hr_section_kind *out, struct hr_diag *diag)
{
    struct hr_nearest nearest = {.word = word};
    for (int kind = 0; kind < HR_N_SECTIONS; kind++) {
        const char *known = hr_section_word((enum hr_section_kind)kind);
        if (hr_str_eq(word, hr_str_of(known))) {
            *out = (enum hr_section_kind)kind;
            return 0;
        }
        hr_nearest_offer(&nearest, hr_str_of(known));
    }
    if (nearest.best[0])
        return hr_diag_say(diag, "there is no section '%.*s'; did you mean '%s'?", HR_STR(word),
                           nearest.best);
    return hr_diag_say(diag,
                       "there is no section '%.*s'; there are headrace, server, layer, pool NAME "
                       "and channel PATTERN",
                       HR_STR(word));
}

/* Splits at the last '.': a channel's pattern has dots of its own. */
static void split_key(struct hr_str *name, struct hr_str *key)
{
    size_t at = name->len;
    while (at > 0 && name->ptr[at - 1] != '.')
        at--;
    *key = (struct hr_str){name->ptr + at, name->len - at};
    name->len = at > 0 ? at - 1 : 0;
}

int hr_settings_assign(struct hr_settings *settings, struct hr_str assignment,
                       const struct hr_origin *origin, struct hr_diag *diag)
{
    struct hr_str value = assignment, name, word, key;
    enum hr_section_kind kind = HR_N_SECTIONS;
    struct hr_section *section = NULL;

    if (!memchr(assignment.ptr, '=', assignment.len) || !hr_str_next(&value, '=', &name) ||
        !memchr(name.ptr, '.', name.len) || !hr_str_next(&name, '.', &word))
        return hr_diag_say(diag, "'%.*s' is no SECTION.KEY=VALUE, such as server.max_body=8MiB",
                           HR_STR(assignment));
    int r = find_section_word(word, &kind, diag);
    if (r < 0)
        return hr_trace(r);
    split_key(&name, &key);
    const struct hr_setting *row = hr_setting_find(kind, key);
    if (!row)
        return hr_trace(hr_settings_unknown_key(kind, key, diag));
    r = hr_settings_section(settings, kind, name, &section, diag);
    if (r < 0)
        return hr_trace(r);
    hr_assert(section);
    return hr_trace(hr_settings_set(settings, section, row, value, origin, diag));
}

/* ---- reading them back ------------------------------------------------------------------------
 */

static struct hr_settings_pool *as_pool(struct hr_section *section)
{
    return section ? hr_container_of(section, struct hr_settings_pool, section) : NULL;
}

static struct hr_settings_channel *as_channel(struct hr_section *section)
{
    return section ? hr_container_of(section, struct hr_settings_channel, section) : NULL;
}

struct hr_settings_pool *hr_pool_first(const struct hr_settings *settings)
{
    return as_pool(settings->pools);
}

struct hr_settings_pool *hr_pool_next(const struct hr_settings_pool *pool)
{
    return as_pool(pool->section.next);
}

struct hr_settings_channel *hr_channel_first(const struct hr_settings *settings)
{
    return as_channel(settings->channels);
}

struct hr_settings_channel *hr_channel_next(const struct hr_settings_channel *channel)
{
    return as_channel(channel->section.next);
}

struct hr_settings_pool *hr_pool_find(const struct hr_settings *settings, struct hr_str name)
{
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        if (hr_str_eq(name, hr_str_of(pool->section.name)))
            return pool;
    return NULL;
}

bool hr_pool_takes_all(const struct hr_settings_pool *pool)
{
    return pool->paths.n == 0 && pool->channels.n == 0;
}

struct hr_settings_pool *hr_pool_default(const struct hr_settings *settings)
{
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        if (hr_pool_takes_all(pool))
            return pool;
    return hr_pool_first(settings);
}
