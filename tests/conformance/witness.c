/* witness.c - the application behind the smuggling corpus: remembers what it was asked.
 *
 * Every request is answered with the line that is kept of it, "METHOD TARGET
 * BODY-LENGTH", so that whoever gets an answer can see whether it is his.
 * `/seen` gives the lines since the last time. One process, or the memory
 * would be several.
 */
#include <headrace/worker.h>

enum { SEEN_MAX = 64 << 10 };

static char seen[SEEN_MAX];
static size_t n_seen;

static struct hr_str note(struct hr_ctx *ctx, struct hr_str method, const struct hr_msg *request)
{
    struct hr_str query = hr_msg_bytes(request, "query_string");
    struct hr_str line = hr_ctx_printf(
        ctx, "%.*s %.*s%s%.*s %zu\n", HR_STR(method), HR_STR(hr_msg_bytes(request, "raw_path")),
        query.len > 0 ? "?" : "", HR_STR(query), hr_http_body(request).len);
    for (size_t i = 0; i < line.len && n_seen < SEEN_MAX; i++)
        seen[n_seen++] = line.ptr[i];
    return line;
}

static int witness(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str line = note(ctx, hr_http_method(request), request);
    return hr_http_reply_bytes(ctx, 200, "text/plain", line.ptr, line.len);
}

static int testify(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_reply_bytes(ctx, 200, "text/plain", seen, n_seen);
    n_seen = 0;
    return 0;
}

static int welcome(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    note(ctx, HR_LIT("GET"), connect);
    return hr_ws_accept(ctx);
}

static int echo(struct hr_ctx *ctx, const struct hr_msg *received)
{
    return hr_ws_echo(ctx, received);
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/seen", .fn = testify},
        {.channel = "http.request", .fn = witness},
        {.channel = "websocket.connect", .fn = welcome},
        {.channel = "websocket.receive", .fn = echo},
        {0},
    };
    return hr_worker_consume(worker, consumers);
}
