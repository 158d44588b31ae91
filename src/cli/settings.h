/* settings.h - what the site is told to be: from defaults, file, environment and command line.
 *
 * tables/settings.def is the one list of settings; each of its sections is a
 * struct here with a field of the right type for each row, so that readers
 * write `pool->timeout`. Values are put in by layers, the later over the
 * earlier: presets, the file, HEADRACE_* variables, flags. Every value knows
 * where it came from.
 *
 * Threads: none.
 * Memory:  everything, texts included, belongs to struct hr_settings, which is
 *          counted.
 */
#ifndef HR_CLI_SETTINGS_H
#define HR_CLI_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/diag.h"

enum {
    HR_POOL_NAME_MAX = 24,         /* leaves room for ".123" in a member's label */
    HR_SETTINGS_MAX_POOLS = 31,    /* two records of the layer each, and one is the supervisor's */
    HR_SETTINGS_MAX_CHANNELS = 64, /* rows that the layer looks through for a new channel */
    HR_LIST_MAX = 256,             /* items in one list */
};

enum hr_section_kind {
    HR_SECTION_HEADRACE,
    HR_SECTION_SERVER,
    HR_SECTION_LAYER,
    HR_SECTION_POOL,
    HR_SECTION_CHANNEL,
    HR_N_SECTIONS
};

enum hr_setting_type {
    HR_SETTING_TYPE_TEXT,
    HR_SETTING_TYPE_LIST,
    HR_SETTING_TYPE_BOOL,
    HR_SETTING_TYPE_COUNT,
    HR_SETTING_TYPE_PROCESSES,
    HR_SETTING_TYPE_SIZE,
    HR_SETTING_TYPE_DURATION,
    HR_SETTING_TYPE_CHOICE,
};

enum hr_setting_id {
#define HR_SETTING_HEADRACE(key, ...) HR_SET_HEADRACE_##key,
#define HR_SETTING_SERVER(key, ...) HR_SET_SERVER_##key,
#define HR_SETTING_LAYER(key, ...) HR_SET_LAYER_##key,
#define HR_SETTING_POOL(key, ...) HR_SET_POOL_##key,
#define HR_SETTING_CHANNEL(key, ...) HR_SET_CHANNEL_##key,
#include "tables/settings.def"
    HR_N_SETTINGS
};

/* One row of the table. */
struct hr_setting {
    enum hr_section_kind section;
    enum hr_setting_type type;
    size_t offset; /* of the field in its section's struct */
    const char *raw_key;
    const char *preset, *least, *most;
    const char *unit, *flags, *manual;
};
extern const struct hr_setting hr_settings_table[HR_N_SETTINGS];

struct hr_str hr_setting_key(const struct hr_setting *row);
const char *hr_section_word(enum hr_section_kind kind); /* "pool" */
/* NULL when the section has no such key. */
const struct hr_setting *hr_setting_find(enum hr_section_kind kind, struct hr_str key);

/* Where a value came from, the stronger later. */
enum hr_origin_kind { HR_FROM_PRESET, HR_FROM_FILE, HR_FROM_ENVIRONMENT, HR_FROM_FLAG };
struct hr_origin {
    enum hr_origin_kind kind;
    uint32_t line;     /* of a file */
    const char *where; /* the file, the variable, the flag */
};

struct hr_words {
    const char **item;
    uint32_t n;
};

/* What every section's struct begins with. */
struct hr_section {
    enum hr_section_kind kind;
    const char *name; /* of a pool, the pattern of a channel; else "" */
    struct hr_section *next;
    struct hr_origin origin[HR_N_SETTINGS];
};

#define HR_FIELD_TEXT const char *
#define HR_FIELD_LIST struct hr_words
#define HR_FIELD_BOOL bool
#define HR_FIELD_COUNT uint32_t
#define HR_FIELD_PROCESSES uint32_t /* "auto" is resolved already */
#define HR_FIELD_SIZE uint64_t      /* none: UINT64_MAX */
#define HR_FIELD_DURATION hr_time   /* none: HR_NEVER */
#define HR_FIELD_CHOICE const char *

struct hr_settings_headrace {
    struct hr_section section;
#define HR_SETTING_HEADRACE(key, type, ...) HR_FIELD_##type key;
#include "tables/settings.def"
};
struct hr_settings_server {
    struct hr_section section;
#define HR_SETTING_SERVER(key, type, ...) HR_FIELD_##type key;
#include "tables/settings.def"
};
struct hr_settings_layer {
    struct hr_section section;
#define HR_SETTING_LAYER(key, type, ...) HR_FIELD_##type key;
#include "tables/settings.def"
};
struct hr_settings_pool {
    struct hr_section section;
#define HR_SETTING_POOL(key, type, ...) HR_FIELD_##type key;
#include "tables/settings.def"
    int build_fd; /* owned: the bytes of `app` that go with these settings, see
                     hr_app_take_builds(); 0: none */
};
struct hr_settings_channel {
    struct hr_section section;
#define HR_SETTING_CHANNEL(key, type, ...) HR_FIELD_##type key;
#include "tables/settings.def"
};

struct hr_settings {
    uint32_t n_refs;
    struct hr_settings_headrace headrace;
    struct hr_settings_server server;
    struct hr_settings_layer layer;
    struct hr_section *pools, *channels; /* in the order they were named */
    uint32_t n_pools, n_channels;
    const char *file; /* the file that was read, or NULL */
    struct hr_settings_text *texts;
};

/* The list of pools, of channels: `for (p = hr_pool_first(s); p; p = hr_pool_next(p))`. */
struct hr_settings_pool *hr_pool_first(const struct hr_settings *settings);
struct hr_settings_pool *hr_pool_next(const struct hr_settings_pool *pool);
struct hr_settings_pool *hr_pool_find(const struct hr_settings *settings, struct hr_str name);
struct hr_settings_channel *hr_channel_first(const struct hr_settings *settings);
struct hr_settings_channel *hr_channel_next(const struct hr_settings_channel *channel);

/* The pool that -w, WEB_CONCURRENCY and APP speak of: the first that takes what
 * no other does, else the first; NULL while there is none. */
struct hr_settings_pool *hr_pool_default(const struct hr_settings *settings);
/* Has neither paths nor channels. */
bool hr_pool_takes_all(const struct hr_settings_pool *pool);

/* Makes settings that hold the presets. Returns 0 or HR_ERR_NOMEM. Each
 * reference is given back by an unref, which returns NULL; NULL is allowed. */
HR_MUST_CHECK int hr_settings_new(struct hr_settings **out);
struct hr_settings *hr_settings_ref(struct hr_settings *settings);
struct hr_settings *hr_settings_unref(struct hr_settings *settings);

/* The section of `kind` and `name`, made when it is not there. HR_ERR_CONFIG
 * for a name that cannot be one. */
HR_MUST_CHECK int hr_settings_section(struct hr_settings *settings, enum hr_section_kind kind,
                                      struct hr_str name, struct hr_section **out,
                                      struct hr_diag *diag);

/* Reads `text` as the row's type and sets the section's field. A list grows
 * when the file or the flags named it before. `where` is copied. */
HR_MUST_CHECK int hr_settings_set(struct hr_settings *settings, struct hr_section *section,
                                  const struct hr_setting *row, struct hr_str text,
                                  const struct hr_origin *origin, struct hr_diag *diag);

/* "server.max_body=8MiB", "pool.web.processes=8": what --set takes. */
HR_MUST_CHECK int hr_settings_assign(struct hr_settings *settings, struct hr_str assignment,
                                     const struct hr_origin *origin, struct hr_diag *diag);

/* What may be set in `kind`, said after an unknown key: "no such key; did you mean ...?" */
int hr_settings_unknown_key(enum hr_section_kind kind, struct hr_str key, struct hr_diag *diag);

/* The value as it would be written; of a list, item `index`. False past the
 * last item (an empty list has none). */
bool hr_settings_format(const struct hr_section *section, const struct hr_setting *row,
                        uint32_t index, char *out, size_t size);

/* Says in *diag where the value came from that is about to be complained of. */
void hr_settings_blame(const struct hr_section *section, enum hr_setting_id id,
                       struct hr_diag *diag);

/* The tables and the size that [layer] gives a layer. */
struct hr_geometry;
void hr_settings_geometry(const struct hr_settings *settings, struct hr_geometry *out);

/* What [channel] says, a row for each of n_channels. */
struct hr_channel_policy;
void hr_settings_policies(const struct hr_settings *settings, struct hr_channel_policy *rows);

/* A copy of text that lives as long as the settings; NULL when out of memory. */
const char *hr_settings_keep(struct hr_settings *settings, struct hr_str text);

#endif /* HR_CLI_SETTINGS_H */
