/* layerpath.c - see layerpath.h for the contract.
 *
 * The directory that holds a layer is its owner's alone (0700, the layer sees
 * to that). The directories above it are made so that others may see which
 * sites there are and whose they are: an error message can then tell a cron
 * job of another user what to change. In places where anybody may write, the
 * directory above must be ours, else somebody else could swap the layer.
 */
#include "cli/layerpath.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

enum { PLACE_MAX = HR_LAYER_URL_MAX - 16, N_PLACES = 4 };

struct place {
    char parent[PLACE_MAX];
    char path[PLACE_MAX];
};

/* ---- the four places */

/* systemd separates several directories by colons; the first is ours. */
static void place_of_unit(struct place *place)
{
    struct hr_str rest = hr_str_of(getenv("RUNTIME_DIRECTORY")), first;
    if (hr_str_next(&rest, ':', &first))
        hr_str_copy(place->path, sizeof place->path, first);
}

static void place_below(struct place *place, const char *parent, const char *name)
{
    int n = snprintf(place->path, sizeof place->path, "%s/%s", parent, name);
    if (n < 0 || (size_t)n >= sizeof place->path)
        place->path[0] = '\0';
    else
        hr_str_copy(place->parent, sizeof place->parent, hr_str_of(parent));
}

static void list_places(const char *name, struct place places[N_PLACES])
{
    char parent[PLACE_MAX];
    const char *user = getenv("XDG_RUNTIME_DIR");
    memset(places, 0, N_PLACES * sizeof *places);

    place_of_unit(&places[0]);
    place_below(&places[1], "/run/headrace", name);
    if (user && user[0] == '/' && strlen(user) < sizeof parent - 16) {
        snprintf(parent, sizeof parent, "%s/headrace", user);
        place_below(&places[2], parent, name);
    }
    snprintf(parent, sizeof parent, "/dev/shm/headrace-%lu", (unsigned long)geteuid());
    place_below(&places[3], parent, name);
}

static bool is_directory_of(const char *path, uid_t uid, uid_t or_uid)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_uid == uid || st.st_uid == or_uid);
}

/* Ours; or anybody's for root, who becomes its owner (hr_layerpath_become_owner()). */
static bool is_usable(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_uid == geteuid() || geteuid() == 0) && access(path, W_OK) == 0;
}

/* Can a layer be in this place, made now if need be? */
static bool can_be_written(const struct place *place)
{
    if (!place->path[0])
        return false;
    if (place->parent[0] && mkdir(place->parent, 0755) < 0 && errno != EEXIST)
        return false;
    if (place->parent[0] && !is_directory_of(place->parent, geteuid(), 0))
        return false;
    return (mkdir(place->path, 0700) == 0 || errno == EEXIST) && is_usable(place->path);
}

bool hr_layerpath_holds_arena(const char *path)
{
    bool found = false;
    DIR *entries = opendir(path);
    if (!entries)
        return false;
    for (struct dirent *entry = readdir(entries); entry && !found; entry = readdir(entries))
        found = hr_str_starts(hr_str_of(entry->d_name), HR_LIT("arena.v"));
    closedir(entries);
    return found;
}

/* ---- choosing */

static int choose_given(const char *url, char out[HR_LAYER_URL_MAX], struct hr_diag *diag)
{
    const char *directory = hr_layerpath_directory(url);
    char cwd[PLACE_MAX];
    if (!directory || directory[0] == '/') {
        hr_assert(hr_str_copy(out, HR_LAYER_URL_MAX, hr_str_of(url)));
        return 0;
    }
    /* Servers and workers may run in another directory. */
    int n =
        getcwd(cwd, sizeof cwd) ? snprintf(out, HR_LAYER_URL_MAX, "ipc:%s/%s", cwd, directory) : -1;
    if (n < 0 || n >= HR_LAYER_URL_MAX)
        return hr_diag_say(diag, "layer: '%s' is too long a path; give an absolute one", url);
    return 0;
}

/* Where this user's layer would have been made, to have a place to name. */
static const struct place *first_to_try(const struct place places[N_PLACES])
{
    if (places[0].path[0])
        return &places[0];
    if (geteuid() == 0)
        return &places[1];
    return places[2].path[0] ? &places[2] : &places[3];
}

int hr_layerpath_choose(const struct hr_settings *settings, enum hr_layer_purpose purpose,
                        char out[HR_LAYER_URL_MAX], struct hr_diag *diag)
{
    if (settings->headrace.layer[0])
        return hr_trace(choose_given(settings->headrace.layer, out, diag));

    struct place places[N_PLACES];
    const struct place *chosen = NULL;
    list_places(settings->headrace.name, places);
    for (int i = 0; i < N_PLACES && !chosen; i++)
        if (purpose == HR_LAYER_TO_MAKE
                ? can_be_written(&places[i])
                : is_usable(places[i].path) && hr_layerpath_holds_arena(places[i].path))
            chosen = &places[i];
    if (!chosen && purpose == HR_LAYER_TO_FIND)
        chosen = first_to_try(places);
    if (chosen) {
        snprintf(out, HR_LAYER_URL_MAX, "ipc:%s", chosen->path);
        return 0;
    }
    return hr_diag_say(diag,
                       "there is no place for the channel layer: none of $RUNTIME_DIRECTORY, "
                       "/run/headrace, $XDG_RUNTIME_DIR and /dev/shm can be written; say --layer "
                       "ipc:DIRECTORY");
}

const char *hr_layerpath_directory(const char *url)
{
    return strncmp(url, "ipc:", 4) == 0 ? url + 4 : NULL;
}

/* ---- root ---------------------------------------------------------------------------------------
 */

bool hr_layerpath_user(uid_t uid, char out[HR_USER_MAX])
{
    char text[1024];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found) {
        hr_str_copy(out, HR_USER_MAX, hr_str_of(found->pw_name));
        return true;
    }
    snprintf(out, HR_USER_MAX, "uid %lu", (unsigned long)uid);
    return false;
}

int hr_layerpath_become_owner(const char *url)
{
    struct stat st;
    const char *directory = hr_layerpath_directory(url);
    if (geteuid() != 0 || !directory || stat(directory, &st) < 0 || st.st_uid == 0)
        return 0;
    char user[HR_USER_MAX];
    bool has_name = hr_layerpath_user(st.st_uid, user);
    if ((has_name ? initgroups(user, st.st_gid) : setgroups(0, NULL)) < 0 ||
        setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
        setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
        return hr_raise(HR_ERR_SYS);
    return 0;
}
