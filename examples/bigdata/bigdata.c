/* bigdata.c - a request that takes long, answered by a pool of its own while the web workers stay
 * free.
 *
 *   browser ─── GET /report ──► web worker ─── bigdata.process ──► jobs worker
 *      ▲ ▲                                                            │ │
 *      │ └──── progress, on the group that its WebSocket joined ◄─────┘ │
 *      └────── the answer to its GET, a table of primes ◄───────────────┘
 *
 * The web worker hands the right to answer on and is done with the request at
 * once. The jobs worker counts primes in slices on its thread pool ("some
 * computation is finished"), has the table compressed by gzip(1) ("a
 * subprocess has ended"), and answers. Between two slices its loop tells how
 * far it is and asks whether the client is still there.
 *
 * Progress is lines of fields, each of which ends with a tab:
 *   RUN  counting  PERCENT  PRIMES  PID
 *   RUN  stopped   PERCENT  PRIMES  PID     its client has left */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <headrace/worker.h>

#include "index.html.h" /* index_html[], made from index.html */

#define N_MAX UINT64_C(10000000000)

enum {
    SLICES = 100,
    ROOT_MAX = 100000,    /* the square root of N_MAX */
    SEGMENT = 128 << 10,  /* odd numbers that are sieved at a time: fits into a processor's cache */
    ROW_BYTES = 64,       /* of the table, at most */
    TOKEN_BYTES = 40,     /* names of pages and runs, given by the browser */
    REPORT_SECONDS = 600, /* then it is a 504 */
};

/* ---- primes */

static uint32_t odd_primes[ROOT_MAX / 8]; /* below ROOT_MAX, then 0 */

static void primes_init(void)
{
    size_t n = 0;
    for (uint32_t candidate = 3; candidate < ROOT_MAX; candidate += 2) {
        size_t i = 0;
        while (i < n && odd_primes[i] * odd_primes[i] <= candidate &&
               candidate % odd_primes[i] != 0)
            i++;
        if (i == n || odd_primes[i] * odd_primes[i] > candidate)
            odd_primes[n++] = candidate;
    }
}

/* Primes among the odd numbers first, first + 2, ... last. */
static uint64_t primes_in_segment(uint64_t first, uint64_t last)
{
    bool is_composite[SEGMENT] = {first == 1}; /* [i] stands for first + 2i */
    uint64_t n = 0;
    for (size_t i = 0; odd_primes[i] && (uint64_t)odd_primes[i] * odd_primes[i] <= last; i++) {
        uint64_t p = odd_primes[i], multiple = (first + p - 1) / p * p;
        if (multiple < p * p)
            multiple = p * p;
        for (multiple += multiple % 2 ? 0 : p; multiple <= last; multiple += 2 * p)
            is_composite[(multiple - first) / 2] = true;
    }
    for (size_t i = 0; i <= (last - first) / 2; i++)
        n += !is_composite[i];
    return n;
}

static uint64_t primes_between(uint64_t from, uint64_t to)
{
    uint64_t n = from <= 2 && to >= 2;
    for (uint64_t first = from | 1; first <= to; first += 2 * SEGMENT)
        n += primes_in_segment(first, to - first < 2 * SEGMENT ? to : first + 2 * SEGMENT - 2);
    return n;
}

/* ---- a report, in the jobs pool */

struct report {
    struct hr_str group, run;
    uint64_t n, slice, in_slice, primes;
    bool wants_gzip, is_started;
    size_t len;
    char table[(SLICES + 1) * ROW_BYTES];
};

static uint64_t slice_end(const struct report *report, uint64_t slice)
{
    return report->n * (slice + 1) / SLICES;
}

static uint64_t slice_begin(const struct report *report, uint64_t slice)
{
    return slice == 0 ? 1 : slice_end(report, slice - 1) + 1;
}

static void report_tell(struct hr_ctx *ctx, const struct report *report, const char *what)
{
    hr_group_send(ctx, report->group, "%.*s\t%s\t%ju\t%ju\t%d\t", HR_STR(report->run), what,
                  (uintmax_t)(report->slice * 100 / SLICES), (uintmax_t)report->primes, getpid());
}

static void report_headers(struct hr_ctx *ctx)
{
    hr_http_set_header(ctx, "Vary", "Accept-Encoding");
    hr_http_set_header(ctx, "Cache-Control", "no-store");
    hr_http_set_header(ctx, "X-Worker", "%s %d", hr_worker_pool(hr_ctx_worker(ctx)), getpid());
}

static void gzip_wrote(struct hr_ctx *ctx, void *arg, struct hr_str piece)
{
    struct report *report = arg;
    if (!report->is_started) {
        report->is_started = true;
        report_headers(ctx);
        hr_http_set_header(ctx, "Content-Encoding", "gzip");
        hr_http_start(ctx, 200, "text/csv");
    }
    hr_http_write(ctx, piece.ptr, piece.len);
}

static void report_answer(struct hr_ctx *ctx, struct report *report)
{
    report_headers(ctx);
    hr_http_reply_bytes(ctx, 200, "text/csv", report->table, report->len);
}

static void gzip_exited(struct hr_ctx *ctx, void *arg, int exit_status, int term_signal)
{
    struct report *report = arg;
    if (!report->is_started)
        report_answer(ctx, report); /* it did not even begin: plain, then */
    else if (exit_status == 0 && term_signal == 0)
        hr_http_end(ctx);
    else
        hr_ctx_fail(ctx, HR_ERR_APP);
}

static void report_finish(struct hr_ctx *ctx, struct report *report)
{
    static const char *const argv[] = {"gzip", "-c", NULL};
    struct hr_child_spec gzip = {
        .file = argv[0],
        .argv = argv,
        .input = {report->table, report->len},
        .output = gzip_wrote,
        .exited = gzip_exited,
        .arg = report,
    };
    if (report->wants_gzip && hr_worker_spawn(hr_ctx_worker(ctx), ctx, &gzip) == 0)
        return;
    hr_ctx_clear_error(ctx); /* no gzip here: plain, then */
    report_answer(ctx, report);
}

/* On a thread of the pool: computes, and touches nothing but its report. */
static void slice_count(void *arg)
{
    struct report *report = arg;
    uint64_t slice = report->slice;
    report->in_slice = primes_between(slice_begin(report, slice), slice_end(report, slice));
}

/* Back on the loop. */
static void slice_done(struct hr_ctx *ctx, void *arg)
{
    struct report *report = arg;
    uint64_t from = slice_begin(report, report->slice), to = slice_end(report, report->slice);
    report->primes += report->in_slice;
    report->slice++;
    report->len += (size_t)snprintf(report->table + report->len, ROW_BYTES, "%ju,%ju,%ju\n",
                                    (uintmax_t)from, (uintmax_t)to, (uintmax_t)report->in_slice);
    if (hr_ctx_client_gone(ctx)) {
        report_tell(ctx, report, "stopped");
        return;
    }
    report_tell(ctx, report, "counting");
    if (report->slice < SLICES)
        hr_worker_queue(hr_ctx_worker(ctx), ctx, slice_count, slice_done, report);
    else
        report_finish(ctx, report);
}

static int process(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    struct report *report = hr_ctx_alloc(ctx, sizeof(*report));
    if (!report)
        return hr_ctx_error(ctx);
    *report = (struct report){
        .group = hr_msg_str(msg, "group"),
        .run = hr_msg_str(msg, "run"),
        .n = (uint64_t)hr_msg_int(msg, "n", SLICES),
        .wants_gzip = hr_msg_bool(msg, "gzip", false),
    };
    report->len = (size_t)snprintf(report->table, ROW_BYTES, "from,to,primes\n");
    report_tell(ctx, report, "counting");
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, slice_count, slice_done, report);
}

/* ---- the web pool */

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

static int ping(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_set_header(ctx, "Cache-Control", "no-store");
    return hr_http_reply(ctx, 200, "text/plain", "%d\n", getpid());
}

static bool is_token(struct hr_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'))
            return false;
    }
    return text.len > 0 && text.len <= TOKEN_BYTES;
}

/* A number of 1 to N_MAX, else 0. */
static uint64_t number(struct hr_str text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || n > N_MAX)
            return 0;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return n <= N_MAX ? n : 0;
}

static struct hr_str progress_group(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_group_name(ctx, "progress.%.*s", HR_STR(hr_http_query(request, "page")));
}

static int report(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str run = hr_http_query(request, "run"), group = progress_group(ctx, request);
    struct hr_str accepts = hr_http_header(request, "accept-encoding");
    uint64_t n = number(hr_http_query(request, "n"));
    uint8_t room[512];
    struct hr_pack msg;
    if (n < SLICES || !is_token(run))
        return hr_http_reply(ctx, 400, "text/plain",
                             "n is %d to %ju; run is a name of a-z, 0-9, -\n", SLICES,
                             (uintmax_t)N_MAX);
    hr_pack_init(&msg, room, sizeof(room));
    hr_pack_map(&msg, 4);
    hr_pack_cstr(&msg, "n");
    hr_pack_int(&msg, (int64_t)n);
    hr_pack_cstr(&msg, "group");
    hr_pack_str(&msg, group.ptr, group.len);
    hr_pack_cstr(&msg, "run");
    hr_pack_str(&msg, run.ptr, run.len);
    hr_pack_cstr(&msg, "gzip");
    hr_pack_bool(&msg, memmem(accepts.ptr, accepts.len, "gzip", 4) != NULL);
    return hr_http_hand_on(ctx, "bigdata.process", &msg, REPORT_SECONDS * HR_SECOND);
}

static int watch(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    hr_ws_accept(ctx);
    return hr_group_join(ctx, progress_group(ctx, connect));
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/", .fn = page},
        {.channel = "http.request", .path = "/ping", .fn = ping},
        {.channel = "http.request", .path = "/report", .fn = report},
        {.channel = "websocket.connect", .path = "/progress", .fn = watch},
        {.channel = "bigdata.process", .fn = process},
        {0},
    };
    primes_init();
    return hr_worker_consume(worker, consumers);
}
