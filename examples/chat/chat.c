/* chat.c - a room is a group; who and where live in the connection's state, so any worker takes any
 * event.
 *
 * The page and we speak lines of fields, each of which ends with a tab:
 *
 *   page to us    ID  TEXT                      (the text is the rest: it needs no tab)
 *                 count                         how many are here?
 *   us to page    TIME  said    NICK  ID  TEXT
 *                 TIME  joined  NICK  N         N are here, about: people come and go meanwhile, so
 *                 TIME  left    NICK  N         a page asks again when all is quiet
 *                 TIME  here    N
 *
 * Control characters become spaces, so nothing has to be escaped. An ID is
 * chosen by the page. A message whose worker was killed is handled again by
 * another one, and a page that reconnects says again what it has not heard
 * come back: thanks to the ID everyone still sees it once.
 *
 * History is one file for each room, HISTORY_LINES of which are shown to who
 * joins. Workers append a line with one write(2) and hold nothing back, so
 * whichever of them is killed, what was said stays. A line cut short lacks its
 * last tab and is skipped. The write that crosses the size limit renames the
 * file to NAME.old, over the one before: two files a room, and no lock that a
 * killed worker could keep. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <headrace/worker.h>

#include "index.html.h" /* index_html[], made from index.html */

enum {
    NICK_BYTES = 32,
    ROOM_BYTES = 64,
    ID_BYTES = 40,
    TEXT_BYTES = 1000,
    HISTORY_LINES = 50,
    HISTORY_BYTES = 64 << 10, /* of one file; 50 of the longest lines fit */
    HISTORY_FILES = 512,      /* anyone may invent rooms: new ones beyond have no history */
};

static int history_dir = -1;

/* ---- lines */

static struct hr_str clean(struct hr_ctx *ctx, struct hr_str text)
{
    char *out = hr_ctx_alloc(ctx, text.len);
    for (size_t i = 0; out && i < text.len; i++)
        out[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? ' ' : text.ptr[i];
    return (struct hr_str){out, out ? text.len : 0};
}

static intmax_t now_ms(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (intmax_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- history */

/* A directory of our own: nobody else may put a link there. */
static int history_open(void)
{
    const char *dir = getenv("CHAT_HISTORY"), *run = getenv("XDG_RUNTIME_DIR");
    char path[PATH_MAX];
    struct stat st;
    if (dir)
        snprintf(path, sizeof(path), "%s", dir);
    else if (run)
        snprintf(path, sizeof(path), "%s/headrace-chat", run);
    else
        snprintf(path, sizeof(path), "/tmp/headrace-chat-%u", (unsigned)geteuid());

    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        history_dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (history_dir < 0 || fstat(history_dir, &st) < 0) {
        fprintf(stderr, "chat: no history in %s: %s; set CHAT_HISTORY\n", path, strerror(errno));
        return HR_ERR_SYS;
    }
    if (st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return 0;
    fprintf(stderr, "chat: others may write to %s; set CHAT_HISTORY to a directory of yours\n",
            path);
    return HR_ERR_PERMISSION;
}

static bool is_file(const char *name)
{
    return faccessat(history_dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool history_is_full(void)
{
    int fd = openat(history_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n > HISTORY_FILES;
}

static void history_append(struct hr_ctx *ctx, struct hr_str room, struct hr_str line)
{
    char name[NAME_MAX], previous[NAME_MAX];
    int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    snprintf(name, sizeof(name), "%.*s", HR_STR(room));
    snprintf(previous, sizeof(previous), "%.*s.old", HR_STR(room));
    struct hr_str record = hr_ctx_printf(ctx, "\n%.*s", HR_STR(line));

    int fd = openat(history_dir, name, flags);
    if (fd < 0 && errno == ENOENT && (is_file(previous) || !history_is_full()))
        fd = openat(history_dir, name, flags | O_CREAT, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, record.ptr, record.len);
    if (n < 0)
        hr_ctx_log(ctx, "not in the history: %s", strerror(errno));
    off_t end = n < 0 ? 0 : lseek(fd, 0, SEEK_CUR);
    if (n > 0 && (end - n) / HISTORY_BYTES != end / HISTORY_BYTES)
        renameat(history_dir, name, history_dir, previous);
    if (fd >= 0)
        close(fd);
}

/* The last HISTORY_BYTES of a file; 0 when there is none. */
static size_t history_read(const char *name, char *out)
{
    struct stat st;
    ssize_t n = 0;
    int fd = openat(history_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, &st) == 0)
        n = pread(fd, out, HISTORY_BYTES,
                  st.st_size > HISTORY_BYTES ? st.st_size - HISTORY_BYTES : 0);
    if (fd >= 0)
        close(fd);
    return n > 0 ? (size_t)n : 0;
}

static int history_show(struct hr_ctx *ctx, struct hr_str room)
{
    char name[NAME_MAX];
    char *text = hr_ctx_alloc(ctx, 2 * HISTORY_BYTES), *from, *to;
    if (!text)
        return hr_ctx_error(ctx);
    snprintf(name, sizeof(name), "%.*s.old", HR_STR(room));
    char *end = text + history_read(name, text);
    name[room.len] = '\0';
    end += history_read(name, end);

    from = end;
    for (int n = 0; n < HISTORY_LINES && from > text;)
        n += *--from == '\n';
    for (to = text; from < end;) { /* whole lines move together */
        char *next = memchr(from + 1, '\n', (size_t)(end - from - 1));
        size_t len = (size_t)((next ? next : end) - from);
        if (from[0] == '\n' && from[len - 1] == '\t') {
            memmove(to, from, len);
            to += len;
        }
        from += len;
    }
    return to == text ? 0 : hr_ws_send_text(ctx, (struct hr_str){text, (size_t)(to - text)});
}

/* ---- the chat */

static int page(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_set_header(ctx, "Cache-Control", "no-cache");
    hr_http_set_header(
        ctx, "Content-Security-Policy",
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    return hr_http_reply_bytes(ctx, 200, "text/html; charset=utf-8", index_html,
                               sizeof(index_html));
}

static int announce(struct hr_ctx *ctx, const char *what)
{
    struct hr_str nick = hr_state_get(ctx, "nick"), room = hr_state_get(ctx, "room");
    return hr_group_send(ctx, room, "%jd\t%s\t%.*s\t%zu\t", now_ms(), what, HR_STR(nick),
                         hr_group_count(ctx, room));
}

static int join(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    struct hr_str nick = hr_http_query(connect, "nick");
    struct hr_str name = hr_http_query(connect, "room");
    struct hr_str room =
        hr_group_name(ctx, "room.%.*s", HR_STR(name)); /* legal, whatever the name */

    if (nick.len == 0 || nick.len > NICK_BYTES || name.len == 0 || name.len > ROOM_BYTES)
        return hr_ws_deny(ctx, 403);
    if (hr_state_set(ctx, "nick", clean(ctx, nick)) == HR_ERR_MESSAGE) { /* not UTF-8 */
        hr_ctx_clear_error(ctx);
        return hr_ws_deny(ctx, 400);
    }
    hr_state_set(ctx, "room", room);
    hr_ws_accept(ctx);
    hr_group_join(ctx, room); /* before the history is read: nothing falls between */
    history_show(ctx, room);
    return announce(ctx, "joined");
}

static int say(struct hr_ctx *ctx, const struct hr_msg *received)
{
    struct hr_str nick = hr_state_get(ctx, "nick"), room = hr_state_get(ctx, "room");
    struct hr_str id = hr_ws_text(received), text = {0};
    if (id.len == 5 && memcmp(id.ptr, "count", 5) == 0)
        return hr_ws_send(ctx, "%jd\there\t%zu\t", now_ms(), hr_group_count(ctx, room));

    const char *tab = id.len > 0 ? memchr(id.ptr, '\t', id.len) : NULL;
    if (tab) {
        text = (struct hr_str){tab + 1, id.len - (size_t)(tab + 1 - id.ptr)};
        id.len = (size_t)(tab - id.ptr);
    }
    if (id.len == 0 || id.len > ID_BYTES || text.len == 0 || text.len > TEXT_BYTES)
        return hr_ws_close(ctx, 1008, "expected an id, a tab and a text");

    struct hr_str line = hr_ctx_printf(ctx, "%jd\tsaid\t%.*s\t%.*s\t%.*s\t", now_ms(), HR_STR(nick),
                                       HR_STR(clean(ctx, id)), HR_STR(clean(ctx, text)));
    history_append(ctx, room, line);
    return hr_group_send(ctx, room, "%.*s", HR_STR(line));
}

static int leave(struct hr_ctx *ctx, const struct hr_msg *disconnect)
{
    (void)disconnect;
    hr_group_leave(ctx, hr_state_get(ctx, "room"));
    return announce(ctx, "left");
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/", .fn = page},
        {.channel = "websocket.connect", .path = "/chat", .fn = join},
        {.channel = "websocket.receive", .path = "/chat", .fn = say},
        {.channel = "websocket.disconnect", .path = "/chat", .fn = leave},
        {0},
    };
    int r = history_open();
    return r < 0 ? r : hr_worker_consume(worker, consumers);
}
