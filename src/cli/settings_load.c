/* settings_load.c - the order of precedence; see settings_load.h for the contract.
 *
 * presets < file < environment < flags. Flags go in twice: first those that
 * name their section (--set, --pool NAME.KEY=VALUE, --bind), which may make
 * pools and give them paths; then those that speak of the default pool, whose
 * identity is known only after that.
 */
#include "cli/settings_load.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/nearest.h"

static int complain_of_flag(const struct hr_flag *flag, int r, struct hr_diag *diag)
{
    if (r == HR_ERR_CONFIG) {
        hr_str_copy(diag->file, sizeof diag->file, hr_str_of(flag->spelling));
        diag->is_usage = true;
    }
    return hr_trace(r);
}

static int set_row_flag(struct hr_settings *settings, const struct hr_flag *flag,
                        struct hr_diag *diag)
{
    struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = flag->spelling};
    struct hr_section *section = NULL;
    if (flag->row->section == HR_SECTION_POOL) {
        struct hr_settings_pool *pool = hr_pool_default(settings);
        hr_assert(pool);
        section = &pool->section;
    } else {
        int r =
            hr_settings_section(settings, flag->row->section, (struct hr_str){0}, &section, diag);
        if (r < 0)
            return complain_of_flag(flag, r, diag);
    }
    return complain_of_flag(
        flag, hr_settings_set(settings, section, flag->row, hr_str_of(flag->value), &origin, diag),
        diag);
}

/* `work --pool jobs`: a pool of the file, or any where there is none. */
static int name_pool(struct hr_settings *settings, struct hr_str name, struct hr_diag *diag)
{
    struct hr_section *section;
    struct hr_nearest nearest = {.word = name};
    if (!settings->file || hr_pool_find(settings, name))
        return hr_trace(hr_settings_section(settings, HR_SECTION_POOL, name, &section, diag));
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool))
        hr_nearest_offer(&nearest, hr_str_of(pool->section.name));
    return hr_diag_say(diag, "%s has no pool '%.*s'%s%s%s", settings->file, HR_STR(name),
                       nearest.best[0] ? "; did you mean '" : "", nearest.best,
                       nearest.best[0] ? "'?" : "");
}

/* --pool web.processes=8 is --set pool.web.processes=8; --pool web names a pool. */
static int set_pool_flag(struct hr_settings *settings, const struct hr_args *args,
                         const struct hr_flag *flag, struct hr_diag *diag)
{
    char assignment[1024] = "pool.";
    struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = flag->spelling};
    struct hr_str value = hr_str_of(flag->value);

    bool is_name = !memchr(value.ptr, '=', value.len);
    if (is_name && args->verb == HR_VERB_WORK)
        return complain_of_flag(flag, name_pool(settings, value, diag), diag);
    if (is_name)
        return complain_of_flag(
            flag, hr_diag_say(diag, "say what of it: --pool %s.processes=8", flag->value), diag);
    if (!hr_str_copy(assignment + 5, sizeof assignment - 5, value))
        return complain_of_flag(flag, hr_diag_say(diag, "is too long"), diag);
    return complain_of_flag(
        flag, hr_settings_assign(settings, hr_str_of(assignment), &origin, diag), diag);
}

static int set_named_flag(struct hr_settings *settings, const struct hr_args *args,
                          const struct hr_flag *flag, struct hr_diag *diag)
{
    struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = flag->spelling};
    if (flag->option == &hr_options[HR_OPT_SET])
        return complain_of_flag(
            flag, hr_settings_assign(settings, hr_str_of(flag->value), &origin, diag), diag);
    /* `reload` only names a pool that runs. */
    if (flag->option == &hr_options[HR_OPT_POOL] && args->verb != HR_VERB_RELOAD)
        return hr_trace(set_pool_flag(settings, args, flag, diag));
    if (flag->row && flag->row->section != HR_SECTION_POOL)
        return hr_trace(set_row_flag(settings, flag, diag));
    return 0;
}

static int read_flags(struct hr_settings *settings, const struct hr_args *args,
                      struct hr_diag *diag)
{
    int r = 0;
    for (uint32_t i = 0; i < args->n_flags && r == 0; i++)
        r = set_named_flag(settings, args, &args->flags[i], diag);
    for (uint32_t i = 0; i < args->n_flags && r == 0; i++)
        if (args->flags[i].row && args->flags[i].row->section == HR_SECTION_POOL)
            r = set_row_flag(settings, &args->flags[i], diag);
    return hr_trace(r);
}

/* APP is the application of the default pool, and of those that have none. */
static int read_app(struct hr_settings *settings, const struct hr_args *args, struct hr_diag *diag)
{
    if (args->n_operands == 0 || hr_verbs[args->verb].most != 1 || args->verb == HR_VERB_FLUSH)
        return 0;
    struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = "APP"};
    struct hr_str app = hr_str_of(args->operands[0]);
    struct hr_settings_pool *pool = hr_pool_default(settings);
    hr_assert(pool);
    int r = hr_settings_set(settings, &settings->headrace.section,
                            &hr_settings_table[HR_SET_HEADRACE_app], app, &origin, diag);
    if (r == 0)
        r = hr_settings_set(settings, &pool->section, &hr_settings_table[HR_SET_POOL_app], app,
                            &origin, diag);
    return hr_trace(r);
}

/* The file of this run, or NULL. */
static const char *choose_file(const struct hr_args *args)
{
    const char *file = hr_args_option(args, HR_OPT_CONFIG);
    if (!file)
        file = getenv("HEADRACE_CONFIG");
    if (file && file[0])
        return file;
    return access("headrace.ini", F_OK) == 0 ? "headrace.ini" : NULL;
}

static int read_chosen_file(struct hr_settings *settings, const struct hr_args *args,
                            struct hr_diag *diag)
{
    const char *file = choose_file(args);
    if (!file)
        return 0;
    settings->file = hr_settings_keep(settings, hr_str_of(file));
    if (!settings->file)
        return hr_raise(HR_ERR_NOMEM);
    return hr_trace(hr_settings_read_file(settings, settings->file, diag));
}

/* Without any pool there is one: most sites need no more. It is the one that `work` names. */
static int ensure_pool(struct hr_settings *settings, const struct hr_args *args,
                       struct hr_diag *diag)
{
    struct hr_section *section;
    const char *named = args->verb == HR_VERB_WORK ? hr_args_pool(args) : NULL;
    struct hr_str name = hr_str_of(named ? named : "web");
    if (settings->n_pools > 0)
        return 0;
    return hr_trace(hr_settings_section(settings, HR_SECTION_POOL, name, &section, diag));
}

static int load_all(struct hr_settings *settings, const struct hr_args *args, struct hr_diag *diag)
{
    bool is_child = hr_args_option(args, HR_OPT_AS) != NULL;
    int r = is_child ? 0 : read_chosen_file(settings, args, diag);
    if (r == 0 && !is_child)
        r = ensure_pool(settings, args, diag);
    if (r == 0 && !is_child)
        r = hr_settings_read_environment(settings, diag);
    if (r == 0)
        r = read_flags(settings, args, diag);
    if (r == 0)
        r = ensure_pool(settings, args, diag);
    if (r == 0)
        r = read_app(settings, args, diag);
    return hr_trace(r < 0 ? r : hr_settings_finish(settings, diag));
}

int hr_settings_load(const struct hr_args *args, struct hr_settings **out, struct hr_diag *diag)
{
    int r = hr_settings_new(out);
    if (r < 0)
        return hr_trace(r);
    r = load_all(*out, args, diag);
    if (r < 0)
        *out = hr_settings_unref(*out);
    return hr_trace(r);
}
