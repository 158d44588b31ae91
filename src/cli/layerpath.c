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
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/units.h"

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

static bool holds_arena(const char *path)
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
        if (purpose == HR_LAYER_TO_MAKE ? can_be_written(&places[i])
                                        : is_usable(places[i].path) && holds_arena(places[i].path))
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

/* ---- what runs here */

struct listing {
    char *out;
    size_t size, len;
    uint32_t n;
    char first_user[32];
    char first_path[PLACE_MAX];
};

/* The user's name; false, with "uid N", when there is no such user. */
static bool user_of(uid_t uid, char out[32])
{
    char text[1024];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found) {
        hr_str_copy(out, 32, hr_str_of(found->pw_name));
        return true;
    }
    snprintf(out, 32, "uid %lu", (unsigned long)uid);
    return false;
}

/* ", 41 d" since the directory was made; empty where the file system does not say. */
static void age_of(const char *path, char out[HR_UNITS_TEXT_MAX + 2])
{
    struct statx st;
    char text[HR_UNITS_TEXT_MAX];
    out[0] = '\0';
    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
        return;
    hr_time age = hr_time_wall() - st.stx_btime.tv_sec * HR_SECOND;
    hr_units_about_duration(age > 0 ? age : 0, text);
    snprintf(out, HR_UNITS_TEXT_MAX + 2, ", %s", text);
}

/* Adds `path` if a layer is there, or if we may not look and so must believe it. */
static void list_site(struct listing *list, const char *path)
{
    struct stat st;
    char user[32], age[HR_UNITS_TEXT_MAX + 2];
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return;
    if (access(path, R_OK) == 0 && !holds_arena(path))
        return;
    user_of(st.st_uid, user);
    age_of(path, age);
    if (list->n++ == 0) {
        hr_str_copy(list->first_user, sizeof list->first_user, hr_str_of(user));
        hr_str_copy(list->first_path, sizeof list->first_path, hr_str_of(path));
    }
    int n = snprintf(list->out + list->len, list->size - list->len, "%s%s (user %s%s)",
                     list->n == 1 ? "  Running here: " : ", ", path, user, age);
    if (n > 0 && (size_t)n < list->size - list->len)
        list->len += (size_t)n;
}

static void list_sites_in(struct listing *list, const char *parent)
{
    DIR *entries = opendir(parent);
    if (!entries)
        return;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char path[PLACE_MAX];
        int n = snprintf(path, sizeof path, "%s/%s", parent, entry->d_name);
        if (entry->d_name[0] != '.' && n > 0 && (size_t)n < sizeof path)
            list_site(list, path);
    }
    closedir(entries);
}

/* The prefix and a uid. */
static bool is_users(const char *name, const char *prefix)
{
    struct hr_str text = hr_str_of(name), head = hr_str_of(prefix);
    uint64_t uid;
    return hr_str_starts(text, head) &&
           hr_str_u64((struct hr_str){text.ptr + head.len, text.len - head.len}, &uid);
}

/* Lists PARENT/PREFIX-UID/REST for every user. */
static void list_sites_of_users(struct listing *list, const char *parent, const char *prefix,
                                const char *rest)
{
    DIR *entries = opendir(parent);
    if (!entries)
        return;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char path[PLACE_MAX];
        int n = snprintf(path, sizeof path, "%s/%s%s", parent, entry->d_name, rest);
        if (is_users(entry->d_name, prefix) && n > 0 && (size_t)n < sizeof path)
            list_sites_in(list, path);
    }
    closedir(entries);
}

void hr_layerpath_list(char *out, size_t size)
{
    struct listing list = {.out = out, .size = size};
    out[0] = '\0';
    list_sites_in(&list, "/run/headrace");
    list_sites_of_users(&list, "/run/user", "", "/headrace");
    list_sites_of_users(&list, "/dev/shm", "headrace-", "");
    if (list.n == 0) {
        snprintf(out, size, "  None runs on this host. Start one: headrace run ./app.so");
        return;
    }
    char us[32];
    user_of(geteuid(), us);
    bool is_ours = strcmp(us, list.first_user) == 0;
    snprintf(out + list.len, size - list.len, ". Run this %s%s%sHEADRACE_LAYER=ipc:%s.",
             is_ours ? "with " : "as ", is_ours ? "" : list.first_user, is_ours ? "" : " with ",
             list.first_path);
}

int hr_layerpath_become_owner(const char *url)
{
    struct stat st;
    const char *directory = hr_layerpath_directory(url);
    if (geteuid() != 0 || !directory || stat(directory, &st) < 0 || st.st_uid == 0)
        return 0;
    char user[32];
    bool has_name = user_of(st.st_uid, user);
    if ((has_name ? initgroups(user, st.st_gid) : setgroups(0, NULL)) < 0 ||
        setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
        setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
        return hr_raise(HR_ERR_SYS);
    return 0;
}
