/* app.c - see app.h for the contract.
 *
 * The copy lies in a memfd and is opened through /proc/self/fd. A supervisor
 * makes it once for all workers of a build, so that one that is started later
 * runs the same code, whatever has become of the file. Where that
 * does not work (no /proc, executable memory files forbidden, a library found
 * by $ORIGIN beside the application), the file itself is mapped: an
 * application that runs is worth more than one that survives its own build,
 * and the log says so.
 */
#include "worker/app.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

struct app_why {
    char *text;
    size_t size;
};

static int app_fail(const struct app_why *why, const char *format, ...) HR_PRINTF(2, 3);

static int app_fail(const struct app_why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, why->size, format, args);
    va_end(args);
    return hr_raise(HR_ERR_NOT_FOUND);
}

static int app_open(struct hr_app_file *file, const char *path, const struct app_why *why)
{
    struct stat status;
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0 && errno == ENOENT)
        return app_fail(why,
                        "no application at %s.\n  Build it: cc -shared -fPIC $(pkg-config --cflags "
                        "headrace) app.c -o %s",
                        path, path);
    if (file->fd < 0 || fstat(file->fd, &status) < 0)
        return app_fail(why, "the application %s cannot be read: %s.", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return app_fail(why, "the application %s is no file, but a shared object is needed.", path);
    return 0;
}

int hr_app_copy(const char *path)
{
    const char *slash = strrchr(path, '/');
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int fd =
        from < 0 ? -1 : memfd_create(slash ? slash + 1 : path, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    off_t at = 0;
    ssize_t n = fd < 0 ? -1 : 1;
    while (fd >= 0 && (n > 0 || (n < 0 && errno == EINTR)))
        n = sendfile(fd, from, &at, 1 << 30);
    int saved = errno;
    if (from >= 0)
        close(from);
    if (n < 0 && fd >= 0)
        close(fd);
    errno = saved;
    if (n < 0)
        return -1;
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    return fd;
}

/* Maps what `fd` holds and takes it. */
static void app_map_fd(struct hr_app_file *file, int fd)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    file->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (file->handle && file->fd >= 0)
        close(file->fd);
    if (file->handle)
        file->fd = fd;
    else
        close(fd);
}

/* dlopen() would search its own directories for a name without a slash. */
static void app_map_file(struct hr_app_file *file, const char *path)
{
    char whole[PATH_MAX];
    const char *dir = strchr(path, '/') ? "" : "./";
    int len = snprintf(whole, sizeof(whole), "%s%s", dir, path);
    if (len > 0 && (size_t)len < sizeof(whole))
        file->handle = dlopen(whole, RTLD_NOW | RTLD_LOCAL);
}

/* Reads the file named; see the essay for when it is mapped in place. */
static int app_map_named(struct hr_app_file *file, const struct hr_app_source *source,
                         const struct app_why *why)
{
    const char *path = source->path;
    int r = app_open(file, path, why);
    if (r < 0)
        return hr_trace(r);
    int copy = source->is_direct ? -1 : hr_app_copy(path);
    if (copy >= 0)
        app_map_fd(file, copy);
    if (file->handle)
        return 0;
    app_map_file(file, path);
    if (!file->handle)
        return app_fail(why, "the application %s cannot be loaded: %s.", path, dlerror());
    if (!source->is_direct)
        hr_log(HR_EV_CONFIG,
               "app=%s text=\"mapped in place: write a new build to a new file, "
               "or running workers crash\"",
               path);
    return 0;
}

int hr_app_file_init(struct hr_app_file *file, const struct hr_app_source *source, char *why_text,
                     size_t why_size)
{
    struct app_why why = {why_text, why_size};
    const char *path = source->path;
    *file = (struct hr_app_file){.fd = -1};
    if (source->fd > 0)
        app_map_fd(file, source->fd);
    if (source->fd > 0 && !file->handle)
        return app_fail(&why, "the application %s cannot be loaded: %s.", path, dlerror());
    int r = file->handle ? 0 : app_map_named(file, source, &why);
    if (r < 0)
        return hr_trace(r);
    void *entry = dlsym(file->handle, "hr_app");
    if (!entry)
        return app_fail(&why,
                        "%s has no hr_app().\n  It must define: int hr_app(struct hr_worker "
                        "*worker)",
                        path);
    memcpy(&file->entry, &entry, sizeof(entry)); /* ISO C has no such cast */
    return 0;
}

void hr_app_file_fini(struct hr_app_file *file)
{
    if (file->handle)
        dlclose(file->handle);
    if (file->handle || file->fd > 0)
        close(file->fd);
    *file = (struct hr_app_file){.fd = -1};
}
