/* fan.c - an application for the benchmark of broadcasts: every WebSocket joins the group `all`,
 * and POST /send?n=ROUNDS sends its body to the group that many times. */
#include <stdlib.h>

#include <headrace/worker.h>

static int join(struct hr_ctx *ctx, const struct hr_msg *connect)
{
    (void)connect;
    hr_ws_accept(ctx);
    return hr_group_join(ctx, HR_LIT("all"));
}

static int send_all(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_str n = hr_http_query(request, "n");
    for (unsigned long i = n.len ? strtoul(n.ptr, NULL, 10) : 1; i > 0; i--)
        hr_group_send(ctx, HR_LIT("all"), "%.*s", HR_STR(hr_http_body(request)));
    return hr_http_reply(ctx, 200, "text/plain", "sent\n");
}

int hr_app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = send_all},
        {.channel = "websocket.connect", .fn = join},
        {0},
    };
    return hr_worker_consume(worker, consumers);
}
