/* static.c - see static.h for the contract.
 *
 * "Never outside" is the kernel's promise: openat2(RESOLVE_BENEATH) refuses
 * whatever leaves the directory, by `..`, by an absolute path or by a symbolic
 * link, and follows links that stay inside. Where there is no openat2 (before
 * Linux 5.6, or a sandbox that does not know it), each component is opened by
 * itself and no link is followed.
 *
 * The entity tag is made of modification time and size (RFC 9110 8.8.3): a
 * deploy that replaces files changes it.
 */
#include "server/static.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "server/http.h"
#include "server/pages.h"
#include "server/reply.h"
#include "server/request.h"

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* ---- which file */

/* The route with the longest prefix of `path`; -1 when there is none. */
static ptrdiff_t route_find(const struct hr_server_config *config, struct hr_str path)
{
    ptrdiff_t best = -1;
    for (size_t i = 0; i < config->n_routes; i++) {
        struct hr_str prefix = config->routes[i].prefix;
        if (hr_str_starts(path, prefix) &&
            (best < 0 || prefix.len > config->routes[best].prefix.len))
            best = (ptrdiff_t)i;
    }
    return best;
}

/* Copies the part of the path below the prefix. False for what we never serve: dotfiles, `..`, NUL.
 */
static bool relative_path(struct hr_str rest, char out[PATH_MAX])
{
    struct hr_str segment, walk = rest;
    while (rest.len > 0 && rest.ptr[0] == '/')
        rest = (struct hr_str){rest.ptr + 1, rest.len - 1};
    if (rest.len == 0 || rest.len >= PATH_MAX || memchr(rest.ptr, '\0', rest.len))
        return false;
    while (hr_str_next(&walk, '/', &segment))
        if (segment.len > 0 && segment.ptr[0] == '.')
            return false;
    return hr_str_copy(out, PATH_MAX, rest);
}

static int open_step_by_step(int dir_fd, char *path)
{
    int fd = dir_fd;
    for (char *name = path, *slash; name; name = slash) {
        slash = strchr(name, '/');
        if (slash)
            *slash++ = '\0';
        if (*name == '\0')
            continue;
        int next = openat(fd, name, OPEN_FLAGS | O_NOFOLLOW | (slash ? O_DIRECTORY : 0));
        if (fd != dir_fd)
            close(fd);
        fd = next;
        if (fd < 0)
            return -1;
    }
    if (fd == dir_fd)
        errno = ENOENT;
    return fd == dir_fd ? -1 : fd;
}

static int open_beneath(int dir_fd, char *path)
{
    static bool is_missing;
    struct open_how how = {
        .flags = OPEN_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    if (!is_missing) {
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)fd;
        is_missing = true;
    }
    return open_step_by_step(dir_fd, path);
}

/* ---- what it is */

static const struct {
    const char *extension, *type;
} content_types[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"webmanifest", "application/manifest+json"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"xml", "application/xml"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/x-icon"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
    {"otf", "font/otf"},
    {"wasm", "application/wasm"},
    {"pdf", "application/pdf"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"wav", "audio/wav"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
};

static struct hr_str content_type_of(struct hr_str path)
{
    const char *dot = memrchr(path.ptr, '.', path.len);
    const char *slash = memrchr(path.ptr, '/', path.len);
    if (dot && (!slash || dot > slash)) {
        struct hr_str extension = {dot + 1, (size_t)(path.ptr + path.len - dot) - 1};
        for (size_t i = 0; i < sizeof content_types / sizeof *content_types; i++)
            if (hr_str_eq_nocase(extension, hr_str_of(content_types[i].extension)))
                return hr_str_of(content_types[i].type);
    }
    return HR_LIT("application/octet-stream");
}

/* ---- what the client has, and wants of it */

struct file {
    int fd;
    uint64_t size, first, length; /* the part to send */
    char etag[48], modified[40], range[80];
};

static void file_describe(struct file *file, const struct stat *st)
{
    struct tm tm;
    file->size = file->length = (uint64_t)st->st_size;
    file->first = 0;
    snprintf(file->etag, sizeof file->etag, "\"%" PRIx64 "-%" PRIx64 "\"",
             (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st->st_mtim.tv_nsec,
             file->size);
    gmtime_r(&st->st_mtim.tv_sec, &tm);
    strftime(file->modified, sizeof file->modified, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* RFC 9110 13.1.2: weak comparison, a list or `*`. */
static bool etag_is_listed(struct hr_str list, const char *etag)
{
    struct hr_str item;
    while (hr_str_next(&list, ',', &item)) {
        item = hr_str_trim(item);
        if (hr_str_starts(item, HR_LIT("W/")))
            item = (struct hr_str){item.ptr + 2, item.len - 2};
        if (hr_str_eq(item, HR_LIT("*")) || hr_str_eq(item, hr_str_of(etag)))
            return true;
    }
    return false;
}

static bool is_unchanged(const struct hr_http1_request *request, const struct file *file)
{
    struct hr_str tags = hr_http1_header(request, "if-none-match");
    if (tags.len > 0) /* RFC 9110 13.2.2: then the date does not matter */
        return etag_is_listed(tags, file->etag);
    /* Browsers send back what we said, to the letter. */
    return hr_str_eq(hr_http1_header(request, "if-modified-since"), hr_str_of(file->modified));
}

enum range { RANGE_NONE, RANGE_PART, RANGE_BAD };

/* RFC 9110 14.2: one range of bytes; what we do not understand is ignored, as is allowed. */
static enum range read_range(const struct hr_http1_request *request, struct file *file)
{
    struct hr_str range = hr_http1_header(request, "range"), part, first_text;
    struct hr_str condition = hr_http1_header(request, "if-range");
    uint64_t first = 0, last = file->size - 1, n = 0;
    static const struct hr_str unit = {"bytes=", 6};
    if (!hr_str_starts(range, unit) ||
        (condition.len > 0 && !hr_str_eq(condition, hr_str_of(file->etag))))
        return RANGE_NONE;
    part = (struct hr_str){range.ptr + unit.len, range.len - unit.len};
    if (!hr_str_next(&part, '-', &first_text) || memchr(range.ptr, ',', range.len))
        return RANGE_NONE;
    if (first_text.len == 0) { /* the last n bytes */
        if (!hr_str_u64(part, &n))
            return RANGE_NONE;
        if (n == 0 || file->size == 0)
            return RANGE_BAD;
        first = n < file->size ? file->size - n : 0;
    } else {
        if (!hr_str_u64(first_text, &first) || (part.len > 0 && !hr_str_u64(part, &last)))
            return RANGE_NONE;
        if (first >= file->size)
            return RANGE_BAD;
        if (last < first)
            return RANGE_NONE;
        last = last < file->size ? last : file->size - 1;
    }
    file->first = first;
    file->length = last - first + 1;
    return RANGE_PART;
}

/* ---- the answer */

static void file_send(struct hr_http *http, struct file *file, uint16_t status, struct hr_str path)
{
    struct hr_header headers[8];
    size_t n = 0;
    headers[n++] = (struct hr_header){HR_LIT("content-type"), content_type_of(path)};
    headers[n++] = (struct hr_header){HR_LIT("etag"), hr_str_of(file->etag)};
    headers[n++] = (struct hr_header){HR_LIT("last-modified"), hr_str_of(file->modified)};
    headers[n++] = (struct hr_header){HR_LIT("accept-ranges"), HR_LIT("bytes")};
    headers[n++] = (struct hr_header){HR_LIT("x-content-type-options"), HR_LIT("nosniff")};
    if (file->range[0])
        headers[n++] = (struct hr_header){HR_LIT("content-range"), hr_str_of(file->range)};

    int r = hr_reply_own(http, status, file->length, headers, n);
    if (r == 0) {
        r = hr_conn_send_file(http->conn, file->fd, (off_t)file->first, file->length);
        if (r < 0) {
            hr_conn_abort(http->conn);
            return;
        }
        http->ex.answer.n_body = file->length;
    } else {
        close(file->fd);
    }
    if (r >= 0)
        hr_http_finish(http);
}

static void answer_file(struct hr_http *http, struct file *file, struct hr_str path)
{
    const struct hr_http1_request *request = hr_http_request(http);
    uint16_t status = 200;
    if (is_unchanged(request, file)) {
        file->length = 0;
        status = 304;
    } else {
        switch (read_range(request, file)) {
        case RANGE_NONE:
            break;
        case RANGE_PART:
            status = 206;
            snprintf(file->range, sizeof file->range, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                     file->first, file->first + file->length - 1, file->size);
            break;
        case RANGE_BAD:
            status = 416;
            file->length = 0;
            snprintf(file->range, sizeof file->range, "bytes */%" PRIu64, file->size);
            break;
        }
    }
    file_send(http, file, status, path);
}

static uint16_t status_of_errno(int error)
{
    if (error == EACCES || error == EPERM)
        return 403;
    return error == EMFILE || error == ENFILE || error == ENOMEM ? 503 : 404;
}

/* Opens what `rest` names below the directory. Returns 0 or the status to answer. */
static uint16_t file_open(int dir_fd, struct hr_str rest, struct file *file)
{
    char name[PATH_MAX];
    struct stat st;
    if (!relative_path(rest, name))
        return 404;
    file->fd = open_beneath(dir_fd, name);
    if (file->fd < 0)
        return status_of_errno(errno);
    if (fstat(file->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(file->fd);
        return 404;
    }
    file_describe(file, &st);
    return 0;
}

bool hr_static_answer(struct hr_http *http)
{
    struct hr_server *server = http->server;
    const struct hr_http1_request *request = hr_http_request(http);
    struct file file = {.fd = -1};
    struct hr_str path;
    if (server->statics.n == 0 || request->wants_websocket || !hr_request_path(http, &path))
        return false;
    ptrdiff_t route = route_find(&server->config, path);
    if (route < 0)
        return false;
    bool is_get =
        hr_str_eq(request->method, HR_LIT("GET")) || hr_str_eq(request->method, HR_LIT("HEAD"));
    size_t n = server->config.routes[route].prefix.len;
    struct hr_str rest = {path.ptr + n, path.len - n};
    uint16_t status = is_get ? file_open(server->statics.dir_fds[route], rest, &file) : 405;
    if (status == 0)
        answer_file(http, &file, path);
    else
        hr_page_answer(http, status, HR_REASON_NONE);
    return true;
}

/* ---- the directories */

int hr_static_open(struct hr_server *server)
{
    const struct hr_server_config *config = &server->config;
    if (config->n_routes == 0)
        return 0;
    server->statics.dir_fds = hr_calloc(config->n_routes, sizeof(int));
    if (!server->statics.dir_fds)
        return hr_raise(HR_ERR_NOMEM);
    for (size_t i = 0; i < config->n_routes; i++) {
        int fd = open(config->routes[i].dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            hr_log(HR_EV_CONFIG, "static=%s dir=%s what=%s", HR_LOG_Q(config->routes[i].prefix),
                   HR_LOG_Q(hr_str_of(config->routes[i].dir)),
                   HR_LOG_Q(hr_str_of(strerror(errno))));
            return hr_raise(HR_ERR_CONFIG);
        }
        server->statics.dir_fds[server->statics.n++] = fd;
    }
    return 0;
}

void hr_static_close(struct hr_server *server)
{
    for (size_t i = 0; i < server->statics.n; i++)
        close(server->statics.dir_fds[i]);
    server->statics.dir_fds = hr_free(server->statics.dir_fds);
    server->statics.n = 0;
}
