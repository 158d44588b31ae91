/* settings_env.c - settings from the environment; see settings_load.h for the contract.
 *
 * HEADRACE_KEY for [headrace], HEADRACE_SERVER_KEY, HEADRACE_LAYER_KEY, and
 * HEADRACE_POOL_NAME_KEY for pools that the file names (and for the one that
 * is there without a file). Patterns of channels do not fit into names of
 * variables. We ask for the names we know rather than read the names there
 * are: HEADRACE_POOL_A_B_C would have several meanings.
 */
#include "cli/settings_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

enum { VARIABLE_MAX = 96 };

static void append_upper(char *name, const char *text, size_t len)
{
    size_t at = strlen(name);
    for (size_t i = 0; i < len && at < VARIABLE_MAX - 1; i++, at++) {
        name[at] = text[i];
        if (text[i] >= 'a' && text[i] <= 'z')
            name[at] = (char)(text[i] - 'a' + 'A');
        else if (text[i] == '-')
            name[at] = '_';
    }
    name[at] = '\0';
}

/* The variable that sets this row of this section. */
static void variable_name(const struct hr_section *section, const struct hr_setting *row,
                          char out[VARIABLE_MAX])
{
    struct hr_str key = hr_setting_key(row);
    snprintf(out, VARIABLE_MAX, "HEADRACE_");
    if (section->kind != HR_SECTION_HEADRACE) {
        const char *word = hr_section_word(section->kind);
        append_upper(out, word, strlen(word));
        append_upper(out, "_", 1);
    }
    if (section->name[0]) {
        append_upper(out, section->name, strlen(section->name));
        append_upper(out, "_", 1);
    }
    append_upper(out, key.ptr, key.len);
}

/* Sets a row from a variable. Empty counts as not set: `FOO= headrace ...`. */
static int set_from(struct hr_settings *settings, struct hr_section *section,
                    const struct hr_setting *row, const char *variable, struct hr_diag *diag)
{
    const char *value = getenv(variable);
    if (!value || !value[0])
        return 0;
    struct hr_origin origin = {.kind = HR_FROM_ENVIRONMENT, .where = variable};
    int r = hr_settings_set(settings, section, row, hr_str_of(value), &origin, diag);
    if (r == HR_ERR_CONFIG)
        hr_str_copy(diag->file, sizeof diag->file, hr_str_of(variable));
    return hr_trace(r);
}

static int read_section(struct hr_settings *settings, struct hr_section *section,
                        struct hr_diag *diag)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        const struct hr_setting *row = &hr_settings_table[i];
        char variable[VARIABLE_MAX];
        if (row->section != section->kind)
            continue;
        variable_name(section, row, variable);
        int r = set_from(settings, section, row, variable, diag);
        if (r < 0)
            return hr_trace(r);
    }
    return 0;
}

/* PORT is how platforms say where they will connect to, from outside this
 * container: on every interface, unless somebody has said which. */
static int read_port(struct hr_settings *settings, struct hr_diag *diag)
{
    struct hr_section *server = &settings->server.section;
    int r = set_from(settings, server, &hr_settings_table[HR_SET_SERVER_port], "PORT", diag);
    if (r < 0 || server->origin[HR_SET_SERVER_port].kind != HR_FROM_ENVIRONMENT ||
        server->origin[HR_SET_SERVER_host].kind != HR_FROM_PRESET)
        return hr_trace(r);
    struct hr_origin origin = {.kind = HR_FROM_ENVIRONMENT, .where = "PORT"};
    return hr_trace(hr_settings_set(settings, server, &hr_settings_table[HR_SET_SERVER_host],
                                    HR_LIT("0.0.0.0"), &origin, diag));
}

/* sd_listen_fds(3): LISTEN_FDS sockets from descriptor 3 on, if LISTEN_PID is us. */
static int read_listen_fds(struct hr_settings *settings, struct hr_diag *diag)
{
    enum { FIRST_FD = 3, MAX_FDS = 64 };
    uint64_t pid, n;
    if (!hr_str_u64(hr_str_of(getenv("LISTEN_PID")), &pid) || pid != (uint64_t)getpid() ||
        !hr_str_u64(hr_str_of(getenv("LISTEN_FDS")), &n) || n == 0 || n > MAX_FDS)
        return 0;
    char list[MAX_FDS * sizeof "fd://99,"] = "";
    size_t len = 0;
    for (uint64_t i = 0; i < n; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "fd://%d,", FIRST_FD + (int)i);
    struct hr_origin origin = {.kind = HR_FROM_ENVIRONMENT, .where = "LISTEN_FDS"};
    return hr_trace(hr_settings_set(settings, &settings->server.section,
                                    &hr_settings_table[HR_SET_SERVER_bind], hr_str_of(list),
                                    &origin, diag));
}

int hr_settings_read_environment(struct hr_settings *settings, struct hr_diag *diag)
{
    struct hr_settings_pool *pool = hr_pool_default(settings);
    hr_assert(pool);
    int r = set_from(settings, &pool->section, &hr_settings_table[HR_SET_POOL_processes],
                     "WEB_CONCURRENCY", diag);
    if (r == 0)
        r = set_from(settings, &settings->server.section,
                     &hr_settings_table[HR_SET_SERVER_forwarded_allow_ips], "FORWARDED_ALLOW_IPS",
                     diag);
    if (r == 0)
        r = read_port(settings, diag);
    if (r == 0)
        r = read_section(settings, &settings->headrace.section, diag);
    if (r == 0)
        r = read_section(settings, &settings->server.section, diag);
    if (r == 0)
        r = read_section(settings, &settings->layer.section, diag);
    for (pool = hr_pool_first(settings); pool && r == 0; pool = hr_pool_next(pool))
        r = read_section(settings, &pool->section, diag);
    if (r == 0)
        r = read_listen_fds(settings, diag);
    return hr_trace(r);
}

static bool names_a_row(const struct hr_section *section, struct hr_str variable)
{
    for (size_t i = 0; i < HR_N_SETTINGS; i++) {
        char known[VARIABLE_MAX];
        if (hr_settings_table[i].section != section->kind)
            continue;
        variable_name(section, &hr_settings_table[i], known);
        if (hr_str_eq(variable, hr_str_of(known)))
            return true;
    }
    return false;
}

static bool is_known(const struct hr_settings *settings, struct hr_str variable)
{
    if (hr_str_eq(variable, HR_LIT("HEADRACE_CONFIG")) ||
        names_a_row(&settings->headrace.section, variable) ||
        names_a_row(&settings->server.section, variable) ||
        names_a_row(&settings->layer.section, variable))
        return true;
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        if (names_a_row(&pool->section, variable))
            return true;
    return false;
}

void hr_settings_unknown_variables(const struct hr_settings *settings,
                                   void (*fn)(const char *variable))
{
    for (char **entry = environ; entry && *entry; entry++) {
        struct hr_str rest = hr_str_of(*entry), variable;
        char name[VARIABLE_MAX];
        if (!hr_str_starts(rest, HR_LIT("HEADRACE_")) || !hr_str_next(&rest, '=', &variable) ||
            is_known(settings, variable))
            continue;
        hr_str_copy(name, sizeof name, variable);
        fn(name);
    }
}
