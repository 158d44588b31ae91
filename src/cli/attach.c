/* attach.c - see attach.h for the contract. */
#include "cli/attach.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "cli/exit.h"
#include "cli/settings_load.h"
#include "cli/sites.h"

void hr_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("headrace: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int hr_complain_of_settings(const struct hr_diag *diag, int error)
{
    char text[1024];
    if (error != HR_ERR_CONFIG) {
        hr_complain("%s", hr_error_text(error));
        return HR_EXIT_SETTINGS;
    }
    hr_diag_format(diag, text, sizeof text);
    hr_complain("%s", text);
    return diag->is_usage ? HR_EXIT_USAGE : HR_EXIT_SETTINGS;
}

int hr_attach_policies(const struct hr_settings *settings, struct hr_layer *layer)
{
    if (settings->n_channels == 0)
        return 0;
    struct hr_channel_policy *rows = hr_calloc(settings->n_channels, sizeof *rows);
    if (!rows)
        return hr_raise(HR_ERR_NOMEM);
    hr_settings_policies(settings, rows);
    int r = hr_layer_set_policies(layer, rows, settings->n_channels);
    hr_free(rows);
    return r > 0 ? hr_raise(HR_ERR_TOO_BIG) : hr_trace(r);
}

int hr_attach(const struct hr_settings *settings, const char *url,
              const struct hr_layer_options *options, struct hr_layer **out)
{
    struct hr_geometry geometry;
    struct hr_layer_options complete = *options;
    char others[2048];

    hr_settings_geometry(settings, &geometry);
    complete.geometry = &geometry;
    int r = hr_layerpath_become_owner(url);
    if (r < 0) {
        hr_complain("cannot become the owner of %s", url);
        return HR_EXIT_LAYER;
    }
    r = hr_layer_open(url, &complete, out);
    if (r == 0)
        return 0;
    hr_complain("%s", hr_layer_open_error());
    if (r == HR_ERR_UNAVAILABLE) {
        hr_sites_list(others, sizeof others);
        fprintf(stderr, "%s\n", others);
    }
    return HR_EXIT_LAYER;
}

bool hr_find_supervisor(struct hr_layer *layer, struct hr_record *record, struct hr_msg *out)
{
    uint32_t cursor = 0;
    while (hr_layer_record_next(layer, &cursor, record))
        if (strcmp(record->key, HR_SUPERVISOR_RECORD) == 0)
            return hr_msg_check(record->data, record->len, out) == 0;
    return false;
}

int hr_visit_begin(const struct hr_args *args, enum hr_role role, struct hr_visit *out)
{
    struct hr_diag diag = {0};
    *out = (struct hr_visit){0};
    int r = hr_settings_load(args, &out->settings, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r);
    r = hr_layerpath_choose(out->settings, HR_LAYER_TO_FIND, out->url, &diag);
    if (r < 0)
        return hr_complain_of_settings(&diag, r);
    if (strncmp(out->url, "memory:", 7) == 0) {
        hr_complain("%s is inside its own process; no other can reach it.", out->url);
        return HR_EXIT_LAYER;
    }
    struct hr_layer_options options = {.role = role, .label = hr_verbs[args->verb].word};
    return hr_attach(out->settings, out->url, &options, &out->layer);
}

void hr_visit_end(struct hr_visit *visit)
{
    hr_layer_close(visit->layer);
    visit->layer = NULL;
    visit->settings = hr_settings_unref(visit->settings);
}
