/* layerpath.h - where the channel layer is.
 *
 * What `layer` says goes; else the layer of the site's name is in the first
 * that can be written of
 *     $RUNTIME_DIRECTORY                   what systemd made for this unit
 *     /run/headrace/NAME                   root, or made for us by root
 *     $XDG_RUNTIME_DIR/headrace/NAME       a user who is logged in
 *     /dev/shm/headrace-UID/NAME           everyone else
 * Whoever may not make a layer looks for one in the same places instead.
 */
#ifndef HR_CLI_LAYERPATH_H
#define HR_CLI_LAYERPATH_H

#include <sys/types.h>

#include "cli/settings.h"

enum { HR_LAYER_URL_MAX = 4200 };

enum hr_layer_purpose {
    HR_LAYER_TO_MAKE, /* run, serve, work: the parent directories are made */
    HR_LAYER_TO_FIND, /* everyone else */
};

/* Writes the URL. Finding falls back on where one would be made, so that an
 * error can name a place. Returns 0, or HR_ERR_CONFIG when no place can be
 * written. */
HR_MUST_CHECK int hr_layerpath_choose(const struct hr_settings *settings,
                                      enum hr_layer_purpose purpose, char out[HR_LAYER_URL_MAX],
                                      struct hr_diag *diag);

/* The directory behind an ipc: URL; NULL for every other. */
const char *hr_layerpath_directory(const char *url);

/* Is there an arena in this directory, of whatever version? False when we may not look. */
bool hr_layerpath_holds_arena(const char *path);

/* A user's name; false, and "uid N", when there is no such user. */
enum { HR_USER_MAX = 33 };
bool hr_layerpath_user(uid_t uid, char out[HR_USER_MAX]);

/* Root becomes the owner of the layer's directory, if it is there: what root
 * left in it would shut the owner out. Returns 0 or HR_ERR_SYS. */
HR_MUST_CHECK int hr_layerpath_become_owner(const char *url);

#endif /* HR_CLI_LAYERPATH_H */
