/* watch.c - see watch.h for the contract.
 *
 * The directory is watched, not the file: linkers and editors put a new file
 * in the old one's place, and a watch on the old one would watch a ghost.
 */
#include "cli/watch.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/assert.h"

#define SETTLE_TIME (100 * HR_MS)

static void on_settled(struct hr_timer *timer)
{
    struct hr_watch *watch = hr_container_of(timer, struct hr_watch, settle);
    watch->fn(watch, watch->changed);
}

static void on_event(struct hr_watch *watch, const struct inotify_event *event)
{
    for (uint32_t i = 0; i < watch->n_files; i++) {
        if (watch->files[i].wd != event->wd || event->len == 0 ||
            strcmp(watch->files[i].name, event->name) != 0)
            continue;
        hr_str_copy(watch->changed, sizeof watch->changed, hr_str_of(event->name));
        hr_loop_start_timer(watch->loop, &watch->settle, SETTLE_TIME, on_settled);
    }
}

static void on_readable(struct hr_io *io, unsigned events)
{
    struct hr_watch *watch = hr_container_of(io, struct hr_watch, io);
    _Alignas(struct inotify_event) char buf[4096];
    (void)events;

    ssize_t n;
    while ((n = read(watch->fd, buf, sizeof buf)) > 0) {
        for (char *at = buf; at < buf + n;) {
            const struct inotify_event *event = (const void *)at;
            on_event(watch, event);
            at += sizeof *event + event->len;
        }
    }
}

static int watch_file(struct hr_watch *watch, const char *dir, const char *app)
{
    char path[8200];
    bool is_below = dir[0] && app[0] != '/';
    snprintf(path, sizeof path, "%s%s%s", is_below ? dir : "", is_below ? "/" : "", app);
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    hr_assert(watch->n_files < HR_WATCH_MAX);
    hr_str_copy(watch->files[watch->n_files].name, sizeof watch->files->name, hr_str_of(name));
    if (slash)
        *slash = '\0';
    int wd = inotify_add_watch(watch->fd, slash ? (path[0] ? path : "/") : ".",
                               IN_CLOSE_WRITE | IN_MOVED_TO);
    if (wd < 0)
        return hr_raise(HR_ERR_SYS);
    watch->files[watch->n_files++].wd = wd;
    return 0;
}

int hr_watch_files(struct hr_watch *watch, const struct hr_settings *settings)
{
    int r = 0;
    /* Directories stay watched: their events then match no file. */
    watch->n_files = 0;
    for (struct hr_settings_pool *pool = hr_pool_first(settings); pool && r == 0;
         pool = hr_pool_next(pool))
        r = watch_file(watch, settings->headrace.chdir, pool->app);
    return hr_trace(r);
}

int hr_watch_open(struct hr_loop *loop, struct hr_watch *watch, const struct hr_settings *settings,
                  void (*fn)(struct hr_watch *watch, const char *name))
{
    *watch = (struct hr_watch){.fn = fn, .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    if (watch->fd < 0)
        return hr_raise(HR_ERR_SYS);
    int r = hr_io_open(loop, &watch->io, watch->fd, on_readable);
    if (r < 0) {
        close(watch->fd);
        return hr_trace(r);
    }
    watch->loop = loop;
    hr_io_want(&watch->io, HR_IO_READ);
    r = hr_watch_files(watch, settings);
    if (r < 0)
        hr_watch_close(watch);
    return hr_trace(r);
}

void hr_watch_close(struct hr_watch *watch)
{
    if (!watch->loop)
        return;
    hr_loop_stop_timer(watch->loop, &watch->settle);
    hr_io_close(&watch->io, NULL);
    close(watch->fd);
    watch->loop = NULL;
}
