/* app.c - see app.h for the contract. */
#include "cli/app.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/exit.h"
#include "cli/nearest.h"
#include "worker/app.h"

enum hr_app_kind hr_app_kind(const char *app)
{
    struct hr_str text = hr_str_of(app);
    if (text.len == 0)
        return HR_APP_NONE;
    if (hr_str_ends(text, HR_LIT(".py")))
        return HR_APP_PYTHON;
    if (hr_str_ends(text, HR_LIT(".so")) || memchr(text.ptr, '/', text.len))
        return HR_APP_C;
    return HR_APP_PYTHON;
}

static int say_none(const char *dir, const char *file, char *why, size_t size)
{
    char manage[4200];
    snprintf(manage, sizeof manage, "%s%smanage.py", dir, dir[0] ? "/" : "");
    if (access(manage, F_OK) == 0) {
        snprintf(why, size,
                 "there is a Django project here (%s), but Python workers are not in this build.\n"
                 "  It runs applications in C: headrace run ./app.so",
                 manage);
        return HR_EXIT_APP_NOT_FOUND;
    }
    snprintf(why, size,
             "nothing to run.\n"
             "  Looked for: APP on the command line, HEADRACE_APP, app = in %s%s, ./manage.py.\n"
             "  Next: headrace run ./app.so",
             file ? file : "./headrace.ini", file ? "" : " (not there)");
    return HR_EXIT_APP_NOT_FOUND;
}

/* The file beside `path` whose name is nearest to its own. */
static void nearest_file(const char *path, struct hr_nearest *nearest)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    hr_str_copy(dir, sizeof dir, (struct hr_str){path, slash ? (size_t)(slash - path) + 1 : 0});
    nearest->word = hr_str_of(slash ? slash + 1 : path);
    DIR *entries = opendir(dir[0] ? dir : ".");
    if (!entries)
        return;
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries))
        hr_nearest_offer(nearest, hr_str_of(entry->d_name));
    closedir(entries);
}

static int say_missing(const char *app, const char *path, int error, char *why, size_t size)
{
    struct hr_nearest nearest = {0};
    size_t dir_len = strlen(app);
    nearest_file(path, &nearest);
    while (dir_len > 0 && app[dir_len - 1] != '/')
        dir_len--;
    int n = snprintf(why, size, "no application at %s: %s.", app, strerror(error));
    if (nearest.best[0])
        snprintf(why + n, size - (size_t)n, "\n  Did you mean %.*s%s?", (int)dir_len, app,
                 nearest.best);
    else if (path != app)
        snprintf(why + n, size - (size_t)n, "\n  Looked for %s.", path);
    return HR_EXIT_APP_NOT_FOUND;
}

/* `app` as a process in `dir` finds it; true when that is another path. */
static bool whole_path(const char *app, const char *dir, char *out, size_t size)
{
    bool is_elsewhere = dir[0] && app[0] != '/';
    snprintf(out, size, "%s%s%s", is_elsewhere ? dir : "", is_elsewhere ? "/" : "", app);
    return is_elsewhere;
}

int hr_app_check(const char *app, const char *dir, char *why, size_t size)
{
    char path[8200];
    struct stat st;

    switch (hr_app_kind(app)) {
    case HR_APP_NONE:
        return say_none(dir, NULL, why, size);
    case HR_APP_PYTHON:
        snprintf(why, size,
                 "'%s' looks like a Python application, and Python workers are not in this build.\n"
                 "  It runs applications in C: headrace run ./app.so",
                 app);
        return HR_EXIT_APP_NOT_FOUND;
    case HR_APP_C:
        break;
    }
    bool is_elsewhere = whole_path(app, dir, path, sizeof path);
    if (stat(path, &st) < 0 || access(path, R_OK) < 0)
        return say_missing(app, is_elsewhere ? path : app, errno, why, size);
    if (!S_ISREG(st.st_mode))
        return say_missing(app, is_elsewhere ? path : app, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
                           why, size);
    return 0;
}

int hr_app_check_all(const struct hr_settings *settings, char *why, size_t size)
{
    const char *dir = settings->headrace.chdir;
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool)) {
        int r = pool->app[0] ? hr_app_check(pool->app, dir, why, size)
                             : say_none(dir, settings->file, why, size);
        if (r != 0)
            return r;
    }
    return 0;
}

void hr_app_take_builds(const struct hr_settings *settings)
{
    char path[8200];
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool; pool = hr_pool_next(pool)) {
        whole_path(pool->app, settings->headrace.chdir, path, sizeof path);
        int fd = hr_app_copy(path);
        if (fd >= 0)
            pool->build_fd = fd;
    }
}
