/* app_good.c - an application for the tests: answers, and breaks when asked to. */
#include <stdlib.h>

#include <headrace/worker.h>

static int answer(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_http_reply(ctx, 200, "text/plain", "good %.*s", HR_STR(hr_http_path(request)));
}

extern int *nowhere;
int *nowhere;

/* The test looks for this name and the number of the line below. */
static int say(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)ctx;
    (void)received;
    *nowhere = 1; /* line 19 */
    return 0;
}

static int give_up(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)ctx;
    (void)received;
    abort();
}

static int say_to(int depth)
{
    volatile char room[4096] = {0};
    return depth < 0 ? room[0] : say_to(depth + 1) + room[1];
}

static int overflow(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)ctx;
    (void)received;
    return say_to(1);
}

static void compute(void *arg)
{
    int *target = arg; /* NULL */
    *target = 1;
}

static int in_thread(struct hr_ctx *ctx, const struct hr_msg *received)
{
    (void)received;
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, compute, NULL, NULL);
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = answer},
        {.channel = "websocket.receive", .path = "/chat", .fn = say},
        {.channel = "websocket.receive", .path = "/abort", .fn = give_up},
        {.channel = "websocket.receive", .path = "/deep", .fn = overflow},
        {.channel = "websocket.receive", .path = "/thread", .fn = in_thread},
        {0},
    };
    return hr_worker_consume(worker, consumers);
}
