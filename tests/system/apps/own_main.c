/* own_main.c - a program of its own that is a worker: linked to libheadrace, compiled outside the
 * tree by a test. */
#include <headrace/worker.h>

static int greet(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_http_reply(ctx, 200, "text/plain", "main() greets %.*s\n",
                         HR_STR(hr_http_path(request)));
}

static int app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = greet},
        {0},
    };
    return hr_worker_consume(worker, consumers);
}

int main(int argc, char **argv)
{
    return hr_worker_main(argc, argv, app);
}
