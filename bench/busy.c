/* busy.c - an application whose capacity is known: a request takes its worker as many microseconds
 * as its query's `us` says. WebSockets are accepted and stay. */
#include <stdlib.h>
#include <time.h>

#include <headrace/worker.h>

static int work(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str us = hr_http_query(request, "us");
    long n = us.len ? strtol(us.ptr, NULL, 10) : 0;
    struct timespec left = {.tv_sec = n / 1000000, .tv_nsec = n % 1000000 * 1000};
    while (nanosleep(&left, &left) < 0)
        continue;
    return hr_http_reply(ctx, 200, "text/plain", "done\n");
}

static int welcome(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    return hr_ws_accept(ctx);
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = work},
        {.channel = "websocket.connect", .fn = welcome},
        {0},
    };
    return hr_worker_consume(worker, consumers);
}
