/* probe.c - the application of the system tests: one path for each thing that can happen to a
 * request or a WebSocket.
 *
 * Query values steer it, so that a test says what it wants in the URL. What a test has to learn
 * from inside a worker is printed: workers' output is in the log. VERSION tells two builds apart.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#include <headrace/worker.h>

#ifndef VERSION
#define VERSION 1
#endif

enum { BLOCK = 64 << 10 };

static uint32_t crc_table[256];

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        crc_table[i] = crc;
    }
}

/* zlib's crc32. */
static uint32_t crc_add(uint32_t crc, struct hr_str bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++)
        crc = crc >> 8 ^ crc_table[(crc ^ (uint8_t)bytes.ptr[i]) & 0xff];
    return ~crc;
}

static int64_t number(struct hr_str text)
{
    int64_t value = 0;
    for (size_t i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
        value = value * 10 + (text.ptr[i] - '0');
    return value;
}

static int64_t query_number(const struct hr_msg *request, const char *name)
{
    return number(hr_http_query(request, name));
}

static void block_us(int64_t us)
{
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (nanosleep(&left, &left) < 0)
        continue;
}

static void say(const char *what, struct hr_str of)
{
    printf("%s %.*s\n", what, HR_STR(of));
    fflush(stdout);
}

static bool command(struct hr_str text, const char *word, struct hr_str *rest)
{
    size_t len = strlen(word);
    if (text.len < len || memcmp(text.ptr, word, len) != 0)
        return false;
    *rest = (struct hr_str){text.ptr + len, text.len - len};
    return true;
}

/* True for the first caller on this machine: the file is made. */
static bool is_first(struct hr_str path)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "%.*s", HR_STR(path));
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

/* ---- plain requests */

static int answer_version(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    return hr_http_reply(ctx, 200, "text/plain", "version %d\n", VERSION);
}

static int answer_pid(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    return hr_http_reply(ctx, 200, "text/plain", "%d\n", getpid());
}

/* "203.0.113.9 4711"; "-" for null. */
static struct hr_str end_of(struct hr_ctx *ctx, const struct hr_msg *request, const char *key)
{
    struct hr_value list, address, port;
    if (!hr_msg_get(request, key, &list))
        return HR_LIT("");
    struct hr_walk walk = hr_walk(&list);
    if (!hr_list_next(&walk, &address) || !hr_list_next(&walk, &port))
        return HR_LIT("-");
    return hr_ctx_printf(ctx, "%.*s %" PRId64, HR_STR(address.as.str), port.as.integer);
}

/* The body comes back; what the application saw of the request stands in headers. */
static int answer_echo(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str body = hr_http_body(request);
    hr_http_set_header(ctx, "X-Method", "%.*s", HR_STR(hr_http_method(request)));
    hr_http_set_header(ctx, "X-Seen-Id", "%.*s", HR_STR(hr_msg_str(request, "request_id")));
    hr_http_set_header(ctx, "X-Scheme", "%.*s", HR_STR(hr_msg_str(request, "scheme")));
    hr_http_set_header(ctx, "X-Client", "%.*s", HR_STR(end_of(ctx, request, "client")));
    hr_http_set_header(ctx, "X-Server", "%.*s", HR_STR(end_of(ctx, request, "server")));
    hr_http_set_header(ctx, "X-Length", "%zu", body.len);
    return hr_http_reply_bytes(ctx, 200, "application/octet-stream", body.ptr, body.len);
}

static int block(struct hr_ctx *ctx, const struct hr_msg *request)
{
    say("taken", hr_http_query(request, "tag"));
    block_us(query_number(request, "ms") * 1000);
    return hr_http_reply(ctx, 200, "text/plain", "%d\n", getpid());
}

/* The same on the thread pool. */
static void job_run(void *arg)
{
    block_us(*(int64_t *)arg);
}

static void job_done(struct hr_ctx *ctx, void *arg)
{
    (void)arg;
    hr_http_reply(ctx, 200, "text/plain", "%d\n", getpid());
}

static int run_job(struct hr_ctx *ctx, const struct hr_msg *request)
{
    int64_t *us = hr_ctx_alloc(ctx, sizeof(*us));
    if (!us)
        return HR_ERR_NOMEM;
    *us = query_number(request, "ms") * 1000;
    say("taken", hr_http_query(request, "tag"));
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, job_run, job_done, us);
}

static int forget(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_http_query(request, "fail").len > 0 ? hr_ctx_fail(ctx, HR_ERR_APP) : 0;
}

static int die(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str once = hr_http_query(request, "once");
    if (once.len == 0 || is_first(once))
        raise(SIGKILL);
    return hr_http_reply(ctx, 200, "text/plain", "survived\n");
}

/* ---- an answer that takes its time, and whose client may leave */

struct slow {
    struct hr_ctx *ctx;
    struct hr_worker_timer *timer;
    struct hr_str tag;
};

static void slow_answer(void *arg)
{
    struct slow *slow = arg;
    hr_http_reply(slow->ctx, 200, "text/plain", "%d\n", getpid());
    hr_ctx_done(slow->ctx);
}

static void slow_gone(struct hr_ctx *ctx, void *arg)
{
    struct slow *slow = arg;
    say(hr_ctx_client_gone(ctx) ? "gone" : "gone?", slow->tag);
    hr_worker_timer_cancel(slow->timer);
    hr_ctx_done(ctx);
}

static int answer_slow(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct slow *slow = hr_ctx_alloc(ctx, sizeof(*slow));
    if (!slow)
        return HR_ERR_NOMEM;
    slow->ctx = ctx;
    slow->tag = hr_ctx_printf(ctx, "%.*s", HR_STR(hr_http_query(request, "tag")));
    hr_time delay = query_number(request, "ms") * 1000000;
    slow->timer = hr_worker_timer(hr_ctx_worker(ctx), delay, 0, slow_answer, slow);
    if (!slow->timer)
        return HR_ERR_NOMEM;
    say("taken", slow->tag);
    hr_ctx_keep(ctx);
    hr_ctx_on_gone(ctx, slow_gone, slow);
    return 0;
}

/* ---- bodies in pieces */

struct upload {
    uint64_t n;
    uint32_t crc;
    int64_t us; /* that each piece takes */
};

static void upload_add(struct upload *upload, struct hr_str piece)
{
    upload->n += piece.len;
    upload->crc = crc_add(upload->crc, piece);
    if (upload->us > 0 && piece.len > 0)
        block_us(upload->us);
}

static void upload_piece(struct hr_ctx *ctx, void *arg, struct hr_str piece, bool is_last)
{
    struct upload *upload = arg;
    upload_add(upload, piece);
    if (is_last)
        hr_http_reply(ctx, 200, "text/plain", "%" PRIu64 " %08" PRIx32 "\n", upload->n,
                      upload->crc);
}

static int take_upload(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct upload *upload = hr_ctx_alloc(ctx, sizeof(*upload));
    if (!upload)
        return HR_ERR_NOMEM;
    say("taken", hr_http_query(request, "tag"));
    *upload = (struct upload){.us = query_number(request, "us")};
    upload_add(upload, hr_http_body(request));
    hr_http_on_body(ctx, upload_piece, upload);
    return 0;
}

struct download {
    int64_t n, total;
};

static void download_gone(struct hr_ctx *ctx, void *arg)
{
    (void)arg;
    say("gone", HR_LIT("download"));
    hr_ctx_done(ctx);
}

/* Block i of 64 KiB is that many bytes i. What is written to a client that has left costs nothing,
 * so it is asked for. */
static void download_fill(struct hr_ctx *ctx, void *arg)
{
    struct download *download = arg;
    char bytes[BLOCK];
    while (download->n < download->total && hr_http_window(ctx) >= BLOCK &&
           !hr_ctx_client_gone(ctx)) {
        int64_t left = download->total - download->n;
        memset(bytes, (int)(download->n / BLOCK & 0xff), sizeof(bytes));
        hr_http_write(ctx, bytes, left < BLOCK ? (size_t)left : BLOCK);
        download->n += left < BLOCK ? left : BLOCK;
    }
    if (download->n < download->total) {
        hr_http_on_drain(ctx, download_fill, download);
        return;
    }
    hr_http_end(ctx);
    hr_ctx_done(ctx);
}

static int answer_download(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct download *download = hr_ctx_alloc(ctx, sizeof(*download));
    if (!download)
        return HR_ERR_NOMEM;
    *download = (struct download){.total = query_number(request, "bytes")};
    hr_ctx_keep(ctx);
    hr_ctx_on_gone(ctx, download_gone, download);
    hr_http_start(ctx, 200, "application/octet-stream");
    download_fill(ctx, download);
    return 0;
}

/* ---- requests that another pool answers */

static int hand_on(struct hr_ctx *ctx, const struct hr_msg *request)
{
    uint8_t room[256];
    struct hr_pack msg;
    struct hr_str what = hr_http_query(request, "what");
    hr_pack_init(&msg, room, sizeof(room));
    hr_pack_map(&msg, 1);
    hr_pack_cstr(&msg, "what");
    hr_pack_str(&msg, what.ptr, what.len);
    return hr_http_hand_on(ctx, "jobs.do", &msg, query_number(request, "ms") * HR_MS);
}

/* Fails until the file is there. */
static int do_when_there(struct hr_ctx *ctx, struct hr_str path)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "%.*s", HR_STR(path));
    if (access(name, F_OK) < 0)
        return hr_ctx_fail(ctx, HR_ERR_APP);
    say("done", path);
    return 0;
}

static int do_job(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    struct hr_str what = hr_msg_str(msg, "what"), rest;
    say("job", what);
    if (command(what, "need ", &rest))
        return do_when_there(ctx, rest);
    if (command(what, "die", &rest))
        raise(SIGKILL);
    if (command(what, "forget", &rest))
        return 0;
    if (command(what, "block", &rest))
        block_us(2000000);
    return hr_http_reply(ctx, 200, "text/plain", "%s %d\n", hr_worker_pool(hr_ctx_worker(ctx)),
                         getpid());
}

/* ---- WebSockets */

static int open_socket(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    if (hr_ws_offers(connect, "v2.probe"))
        return hr_ws_accept_protocol(ctx, HR_LIT("v2.probe"));
    return hr_ws_accept(ctx);
}

static int deny(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    return hr_ws_deny(ctx, 451);
}

/* `flood N`: N messages of 64 KiB to the group "flood". */
static int flood(struct hr_ctx *ctx, int64_t n)
{
    static char bytes[BLOCK];
    memset(bytes, 'f', sizeof(bytes));
    for (int64_t i = 0; i < n; i++)
        hr_group_send(ctx, HR_LIT("flood"), "%.*s", BLOCK, bytes);
    return hr_ws_send(ctx, "flooded");
}

/* A text that is a command is obeyed; everything else comes back as it is. `count`, which
 * may take some ms, tells apart a socket that stayed from one that was opened again. */
static int take_message(struct hr_ctx *ctx, const struct hr_msg *received)
{
    struct hr_str text = hr_ws_text(received), rest;
    int64_t count = hr_state_int(ctx, "count", 0) + 1;
    hr_state_set_int(ctx, "count", count);
    if (command(text, "count", &rest)) {
        block_us(rest.len > 1 ? number((struct hr_str){rest.ptr + 1, rest.len - 1}) * 1000 : 0);
        return hr_ws_send(ctx, "%" PRId64, count);
    }
    if (command(text, "pid", &rest))
        return hr_ws_send(ctx, "%d", getpid());
    if (command(text, "version", &rest))
        return hr_ws_send(ctx, "version %d", VERSION);
    if (command(text, "block ", &rest)) {
        say("taken", rest);
        block_us(number(rest) * 1000);
        return hr_ws_send(ctx, "blocked");
    }
    if (command(text, "die once ", &rest)) {
        if (is_first(rest))
            raise(SIGKILL);
        return hr_ws_send(ctx, "survived");
    }
    if (command(text, "die", &rest))
        return raise(SIGKILL);
    if (command(text, "abort", &rest))
        abort();
    if (command(text, "flood ", &rest))
        return flood(ctx, number(rest));
    if (command(text, "join ", &rest)) {
        hr_group_join(ctx, rest);
        return hr_ws_send(ctx, "%zu", hr_group_count(ctx, rest));
    }
    if (command(text, "close ", &rest))
        return hr_ws_close(ctx, (int)number(rest), "as you said");
    return hr_ws_echo(ctx, received);
}

static int closed(struct hr_ctx *ctx, const struct hr_msg *message)
{
    (void)ctx;
    printf("closed %" PRId64 "\n", hr_msg_int(message, "code", 0));
    fflush(stdout);
    return 0;
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/version", .fn = answer_version},
        {.channel = "http.request", .path = "/pid", .fn = answer_pid},
        {.channel = "http.request", .path = "/echo", .fn = answer_echo, .max_body = 16 << 20},
        {.channel = "http.request", .path = "/block", .fn = block},
        {.channel = "http.request", .path = "/job", .fn = run_job},
        {.channel = "http.request", .path = "/slow", .fn = answer_slow},
        {.channel = "http.request", .path = "/die", .fn = die},
        {.channel = "http.request", .path = "/forget", .fn = forget},
        {.channel = "http.request", .path = "/upload", .fn = take_upload, .body = HR_BODY_STREAM},
        {.channel = "http.request", .path = "/download", .fn = answer_download},
        {.channel = "http.request", .path = "/hand", .fn = hand_on},
        {.channel = "jobs.do", .fn = do_job},
        {.channel = "websocket.connect", .path = "/deny", .fn = deny},
        {.channel = "websocket.connect", .path = "/ws*", .fn = open_socket},
        {.channel = "websocket.receive", .fn = take_message},
        {.channel = "websocket.disconnect", .fn = closed},
        {0},
    };
    crc_init();
    return hr_worker_consume(worker, consumers);
}
