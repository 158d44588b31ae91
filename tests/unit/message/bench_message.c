/* bench_message.c - what the codec costs per request; prints, asserts nothing.
 *
 * The message is the http.request of a browser with 12 headers. Each figure is
 * the fastest of 50 runs of 20 000 rounds, so that a busy machine shows in it
 * as little as possible. Compare figures of one machine only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"
#include "message/asgi.h"

enum { N_RUNS = 50, N_ROUNDS = 20000 };

static const char *const headers[12][2] = {
    {"host", "www.example.org"},
    {"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
    {"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
    {"accept-language", "en-US,en;q=0.5"},
    {"accept-encoding", "gzip, deflate, br, zstd"},
    {"referer", "https://www.example.org/articles/2026/"},
    {"connection", "keep-alive"},
    {"cookie", "sessionid=7d1f0e5c8b2a49f6a3c4d5e6f708192a; csrftoken=Zk3"},
    {"upgrade-insecure-requests", "1"},
    {"sec-fetch-dest", "document"},
    {"sec-fetch-mode", "navigate"},
    {"cache-control", "max-age=0"},
};

/* Lengths are known where they come from in a server: from the parser. */
static struct hr_str header_spans[12][2];

static void pack_pair_str(struct hr_pack *pack, struct hr_str key, struct hr_str value)
{
    hr_pack_str(pack, key.ptr, key.len);
    hr_pack_str(pack, value.ptr, value.len);
}

static void pack_pair_bytes(struct hr_pack *pack, struct hr_str key, struct hr_str value)
{
    hr_pack_str(pack, key.ptr, key.len);
    hr_pack_bytes(pack, value.ptr, value.len);
}

static void pack_peer(struct hr_pack *pack, struct hr_str key, struct hr_str host, int64_t port)
{
    hr_pack_str(pack, key.ptr, key.len);
    hr_pack_list(pack, 2);
    hr_pack_str(pack, host.ptr, host.len);
    hr_pack_int(pack, port);
}

static size_t encode(uint8_t *buf, size_t cap)
{
    struct hr_pack pack;
    hr_pack_init(&pack, buf, cap);
    hr_pack_map(&pack, 12);
    hr_pack_type(&pack, HR_MSG_TYPE_HTTP_REQUEST);
    pack_pair_str(&pack, HR_LIT("method"), HR_LIT("GET"));
    pack_pair_str(&pack, HR_LIT("path"), HR_LIT("/articles/2026/headrace/"));
    pack_pair_bytes(&pack, HR_LIT("raw_path"), HR_LIT("/articles/2026/headrace/"));
    pack_pair_bytes(&pack, HR_LIT("query_string"), HR_LIT("page=2"));
    hr_pack_str(&pack, "headers", 7);
    hr_pack_list(&pack, 12);
    for (size_t i = 0; i < 12; i++)
        hr_pack_header(&pack, header_spans[i][0], header_spans[i][1]);
    pack_pair_str(&pack, HR_LIT("scheme"), HR_LIT("https"));
    pack_peer(&pack, HR_LIT("client"), HR_LIT("192.0.2.17"), 51234);
    pack_pair_str(&pack, HR_LIT("http_version"), HR_LIT("1.1"));
    pack_pair_bytes(&pack, HR_LIT("body"), HR_LIT(""));
    hr_pack_str(&pack, "more_body", 9);
    hr_pack_bool(&pack, false);
    pack_pair_str(&pack, HR_LIT("reply_channel"), HR_LIT("reply.k7q2m9x4c1w8z.3g1!117g42"));
    return hr_pack_done(&pack) ? 0 : hr_pack_len(&pack);
}

static uint8_t message[2048];
static size_t message_len;
static volatile uint64_t sink; /* results go here, so that no work is optimised away */

static void round_encode(void)
{
    sink += encode(message, sizeof message);
}

static void round_check(void)
{
    struct hr_msg msg;
    sink += (uint64_t)hr_msg_check(message, message_len, &msg) + msg.len;
}

/* What a worker does: every key, every header. */
static uint64_t walk_all(const struct hr_msg *msg)
{
    struct hr_value root = hr_msg_root(msg), value;
    struct hr_walk walk = hr_walk(&root);
    struct hr_str key, name, text;
    uint64_t sum = 0;

    while (hr_map_next(&walk, &key, &value)) {
        sum += key.len + value.n;
        if (!hr_str_eq(key, HR_LIT("headers")))
            continue;
        struct hr_walk inner = hr_walk(&value);
        while (hr_header_next(&inner, &name, &text) == 0)
            sum += name.len + text.len;
    }
    return sum;
}

static void round_walk(void)
{
    struct hr_msg msg = {.data = message, .len = message_len};
    sink += walk_all(&msg);
}

static void round_check_and_walk(void)
{
    struct hr_msg msg;
    if (hr_msg_check(message, message_len, &msg))
        abort();
    sink += walk_all(&msg);
}

static void round_type(void)
{
    struct hr_msg msg = {.data = message, .len = message_len};
    sink += hr_msg_type_of(&msg);
}

static void round_get_last(void)
{
    struct hr_msg msg = {.data = message, .len = message_len};
    sink += hr_msg_str(&msg, "reply_channel").len;
}

static void round_copy(void)
{
    static uint8_t out[2048];
    struct hr_msg msg = {.data = message, .len = message_len};
    struct hr_value root = hr_msg_root(&msg);
    struct hr_pack pack;
    hr_pack_init(&pack, out, sizeof out);
    hr_pack_value(&pack, &root);
    sink += hr_pack_len(&pack);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void measure(const char *what, void (*round)(void))
{
    int64_t best = INT64_MAX;
    for (int run = 0; run < N_RUNS; run++) {
        int64_t begin = now_ns();
        for (int i = 0; i < N_ROUNDS; i++)
            round();
        int64_t spent = now_ns() - begin;
        best = spent < best ? spent : best;
    }
    printf("%-28s %7.1f ns\n", what, (double)best / N_ROUNDS);
}

int main(void)
{
    for (size_t i = 0; i < 12; i++) {
        header_spans[i][0] = hr_str_of(headers[i][0]);
        header_spans[i][1] = hr_str_of(headers[i][1]);
    }
    message_len = encode(message, sizeof message);
    printf("http.request, 12 headers, %zu bytes\n", message_len);
    measure("encode", round_encode);
    measure("check", round_check);
    measure("walk everything", round_walk);
    measure("check and walk", round_check_and_walk);
    measure("copy deep", round_copy);
    measure("type of", round_type);
    measure("get the last key", round_get_last);
    return 0;
}
