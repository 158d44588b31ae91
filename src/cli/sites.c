/* sites.c - see sites.h for the contract.
 *
 * Looks into the places of layerpath.h, of every user.
 */
#include "cli/sites.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <headrace/layer.h>

#include "base/str.h"
#include "base/time.h"
#include "cli/layerpath.h"
#include "cli/units.h"

struct listing {
    char *out;
    size_t size, len;
    uint32_t n;
    char first_user[HR_USER_MAX];
    char first_path[HR_LAYER_URL_MAX];
};

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

/* Is anybody there? Where we may not look we must believe it. */
static bool is_running(const char *path)
{
    char url[HR_LAYER_URL_MAX + 8];
    const struct hr_layer_options options = {.role = HR_ROLE_OBSERVER};
    struct hr_layer *layer;
    struct hr_member member;
    bool is_live = false;
    if (access(path, R_OK) == 0 && !hr_layerpath_holds_arena(path))
        return false;
    snprintf(url, sizeof url, "ipc:%s", path);
    int r = hr_layer_open(url, &options, &layer);
    if (r != 0)
        return r == HR_ERR_PERMISSION;
    for (uint32_t slot = 0; !is_live && hr_layer_member(layer, slot, &member); slot++)
        is_live = member.is_live;
    hr_layer_close(layer);
    return is_live;
}

static void list_site(struct listing *list, const char *path)
{
    struct stat st;
    char user[HR_USER_MAX], age[HR_UNITS_TEXT_MAX + 2];
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || !is_running(path))
        return;
    hr_layerpath_user(st.st_uid, user);
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
        char path[HR_LAYER_URL_MAX];
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
        char path[HR_LAYER_URL_MAX];
        int n = snprintf(path, sizeof path, "%s/%s%s", parent, entry->d_name, rest);
        if (is_users(entry->d_name, prefix) && n > 0 && (size_t)n < sizeof path)
            list_sites_in(list, path);
    }
    closedir(entries);
}

void hr_sites_list(char *out, size_t size)
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
    char us[HR_USER_MAX];
    hr_layerpath_user(geteuid(), us);
    bool is_ours = strcmp(us, list.first_user) == 0;
    snprintf(out + list.len, size - list.len, ". Run this %s%s%sHEADRACE_LAYER=ipc:%s.",
             is_ours ? "with " : "as ", is_ours ? "" : list.first_user, is_ours ? "" : " with ",
             list.first_path);
}
