/* hello.c - HTTP answers, WebSocket echoes.
 *   cc -shared -fPIC $(pkg-config --cflags headrace) hello.c -o hello.so
 *   headrace run --reload ./hello.so */
#include <headrace/worker.h>

static int hello(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_http_reply(ctx, 200, "text/plain", "Hello %.*s\n", HR_STR(hr_http_path(request)));
}

static int welcome(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    return hr_ws_accept(ctx);
}

static int echo(struct hr_ctx *ctx, const struct hr_msg *received)
{
    return hr_ws_echo(ctx, received); /* text stays text, bytes stay bytes */
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = hello},
        {.channel = "websocket.connect", .fn = welcome},
        {.channel = "websocket.receive", .fn = echo},
        {0},
    };
    return hr_worker_consume(worker, consumers);
}
