/* slow.c - an application that takes its time to start: until the file that GO names is there. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <headrace/worker.h>

static int hello(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    return hr_http_reply(ctx, 200, "text/plain", "at last\n");
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = hello}, {0}};
    const char *go = getenv("GO");
    while (go && access(go, F_OK) < 0)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return hr_worker_consume(worker, consumers);
}
