/* half.c - see half.h for the contract. */
#include "cli/half.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/process.h"
#include "cli/attach.h"
#include "cli/descriptors.h"
#include "cli/exit.h"
#include "cli/logfile.h"
#include "cli/settings_load.h"

static int open_log(const struct hr_args *args, const struct hr_half *half)
{
    const char *text = hr_args_option(args, HR_OPT_LOG_FD);
    uint64_t fd = 0;
    bool is_handed = text && hr_str_u64(hr_str_of(text), &fd) && fd <= INT32_MAX;
    if (hr_logfile_open(&half->settings->headrace, is_handed ? (int)fd : -1) >= 0)
        return 0;
    hr_complain("cannot write the log to %s: %s",
                is_handed ? "the supervisor's descriptor" : half->settings->headrace.log_file,
                strerror(errno));
    return HR_EXIT_SETTINGS;
}

/* Loading has made what --pool names. */
static const struct hr_settings_pool *choose_pool(const struct hr_args *args,
                                                  const struct hr_settings *settings)
{
    const char *name = hr_args_pool(args);
    return name ? hr_pool_find(settings, hr_str_of(name)) : hr_pool_default(settings);
}

/* Started by hand there is no supervisor to give numbers; the pid is one that nobody else has. */
static void choose_label(const struct hr_args *args, const char *kind, struct hr_half *half)
{
    const char *as = hr_args_option(args, HR_OPT_AS);
    half->is_child = as != NULL;
    if (as)
        hr_str_copy(half->label, sizeof half->label, hr_str_of(as));
    else
        snprintf(half->label, sizeof half->label, "%s.%ld",
                 kind[0] == 's' ? kind : half->pool->section.name, (long)getpid());
}

static int change_directory(const struct hr_half *half)
{
    const char *directory = half->settings->headrace.chdir;
    if (!directory[0] || chdir(directory) == 0)
        return 0;
    hr_complain("cannot go to chdir = %s: %s", directory, strerror(errno));
    return HR_EXIT_SETTINGS;
}

/* "headrace: server site.1", "headrace: worker site web.3" */
static void set_title(const char *kind, const struct hr_half *half)
{
    const char *site = half->settings->headrace.name, *dot = strchr(half->label, '.');
    if (kind[0] == 's')
        hr_process_set_title("headrace: server %s%s", site, dot ? dot : "");
    else
        hr_process_set_title("headrace: worker %s %s", site, half->label);
}

int hr_half_begin(const struct hr_args *args, const char *kind, struct hr_half *out)
{
    struct hr_diag diag = {0};
    *out = (struct hr_half){0};
    if (!hr_descriptors_prepare())
        return HR_EXIT_SETTINGS;
    int r = hr_settings_load(args, &out->settings, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r);
    r = hr_layerpath_choose(out->settings, HR_LAYER_TO_MAKE, out->url, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r);
    if (!hr_layerpath_directory(out->url)) {
        hr_complain("--layer memory: is one process; it goes with 'headrace run'.");
        return HR_EXIT_USAGE;
    }
    out->pool = choose_pool(args, out->settings);
    hr_assert(out->pool);
    choose_label(args, kind, out);
    r = open_log(args, out);
    if (r == 0)
        r = change_directory(out);
    if (r == 0)
        set_title(kind, out);
    return r;
}

void hr_half_end(struct hr_half *half)
{
    half->settings = hr_settings_unref(half->settings);
}
