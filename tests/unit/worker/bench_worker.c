/* bench_worker.c - what a hello costs in the worker: by hand, not a test.
 *
 * 64 requests of a browser's size are queued on a memory layer, one turn of
 * the loop answers them, the answers are drained. Printed is the turn's share
 * per request (receive, context, consumer, answer, ack; the loop's own turn
 * divided by 64), and the same turn with the layer's calls alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/str.h"
#include "base/time.h"
#include "worker/runtime.h"

enum { BATCH = 64, ROUNDS = 20000 };

static int hello(struct hr_ctx *ctx, const struct hr_msg *request)
{
    return hr_http_reply(ctx, 200, "text/plain", "Hello %.*s\n", HR_STR(hr_http_path(request)));
}

static int app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = hello}, {0}};
    return hr_worker_consume(worker, consumers);
}

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "%s: %d %s\n", what, r, hr_worker_open_error());
    exit(1);
}

static size_t encode_request(uint8_t *room, size_t size)
{
    static const char *const headers[][2] = {
        {"host", "127.0.0.1:8000"},
        {"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
        {"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
        {"accept-language", "en-US,en;q=0.5"},
        {"accept-encoding", "gzip, deflate, br"},
        {"connection", "keep-alive"},
    };
    struct hr_pack pack;
    hr_pack_init(&pack, room, size);
    hr_pack_map(&pack, 7);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "http.request");
    hr_pack_cstr(&pack, "method");
    hr_pack_cstr(&pack, "GET");
    hr_pack_cstr(&pack, "path");
    hr_pack_cstr(&pack, "/world");
    hr_pack_cstr(&pack, "query_string");
    hr_pack_bytes(&pack, NULL, 0);
    hr_pack_cstr(&pack, "http_version");
    hr_pack_cstr(&pack, "1.1");
    hr_pack_cstr(&pack, "headers");
    hr_pack_list(&pack, sizeof headers / sizeof *headers);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        hr_pack_list(&pack, 2);
        hr_pack_bytes(&pack, headers[i][0], strlen(headers[i][0]));
        hr_pack_bytes(&pack, headers[i][1], strlen(headers[i][1]));
    }
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, NULL, 0);
    must(hr_pack_done(&pack), "encode");
    return hr_pack_len(&pack);
}

struct bench {
    struct hr_layer *server;
    struct hr_addr client;
    uint8_t request[1024];
    size_t request_len;
    uint32_t seq;
};

static void send_batch(struct bench *bench, struct hr_str channel)
{
    for (int i = 0; i < BATCH; i++) {
        struct hr_send_options options = {.reply = bench->client, .seq = ++bench->seq};
        must(hr_layer_send(bench->server, channel, bench->request, bench->request_len, &options),
             "send");
    }
}

static void drain(struct bench *bench)
{
    struct hr_delivery d;
    int n = 0;
    while (hr_layer_receive(bench->server, HR_RECEIVE_INBOX, &d) == 0)
        n++;
    must(n == BATCH ? 0 : n, "answers");
}

/* The least the layer's part can be: receive, send as many bytes, ack. */
static hr_time layer_alone(struct bench *bench, struct hr_layer *worker)
{
    static const uint8_t answer[90] = {0x80};
    hr_time spent = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct hr_delivery d;
        send_batch(bench, HR_LIT("alone"));
        hr_time from = hr_time_now();
        for (int i = 0; i < BATCH; i++) {
            struct hr_send_options options = {.is_control = true};
            must(hr_layer_receive(worker, HR_RECEIVE_ALL, &d), "receive");
            must(hr_layer_send_to(worker, &d.reply, answer, sizeof answer, &options), "answer");
            must(hr_layer_ack(worker, &d.lease), "ack");
        }
        spent += hr_time_now() - from;
        drain(bench);
    }
    return spent;
}

static hr_time whole(struct bench *bench, struct hr_loop *loop)
{
    hr_time spent = 0;
    for (int round = 0; round < ROUNDS; round++) {
        send_batch(bench, HR_LIT("http.request.web"));
        hr_time from = hr_time_now();
        hr_loop_turn(loop, false);
        spent += hr_time_now() - from;
        drain(bench);
    }
    return spent;
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "memory:bench";
    struct hr_layer_options server = {.role = HR_ROLE_SERVER, .create = true, .label = "server.1"};
    struct hr_layer_options client = {.role = HR_ROLE_WORKER, .label = "alone"};
    struct hr_worker_config config = {.layer_url = url, .app = app};
    struct bench bench = {0};
    struct hr_loop *loop;
    struct hr_worker *worker;
    struct hr_layer *alone;
    bench.request_len = encode_request(bench.request, sizeof bench.request);
    must(hr_loop_new(&loop), "loop");
    must(hr_layer_open(url, &server, &bench.server), "layer");
    must(hr_layer_address_open(bench.server, &bench.client), "address");
    must(hr_layer_open(url, &client, &alone), "layer");
    must(hr_layer_listen(alone, HR_LIT("alone")), "listen");
    must(hr_worker_open(loop, &config, &worker), "worker");

    const double n = (double)BATCH * ROUNDS;
    double layer_ns = (double)layer_alone(&bench, alone) / n;
    double whole_ns = (double)whole(&bench, loop) / n;
    printf(
        "%s  request %zu bytes: worker %.0f ns, of them the layer's calls %.0f ns, ours %.0f ns\n",
        url, bench.request_len, whole_ns, layer_ns, whole_ns - layer_ns);
    hr_layer_close(alone);
    hr_worker_close(worker);
    hr_loop_free(loop);
    hr_layer_close(bench.server);
    return 0;
}
