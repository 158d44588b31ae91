/* bench_http1.c - what a request costs, from feed to END; by hand.
 *
 * CPU time per request, best of several rounds. The browser's head is what
 * Chromium sends. "in pieces" is 64 bytes at a time.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "http1/http1.h"

enum { N_ROUNDS = 7, N_REQUESTS = 300000 };

static const struct hr_http1_limits limits = {32768, 100, 8192, 100 << 20};

static const char wrk[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
static const char browser[] =
    "GET /chat/room?name=lobby HTTP/1.1\r\n"
    "Host: 127.0.0.1:8000\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: none\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: sessionid=0123456789abcdef0123456789abcdef; csrftoken=0123456789abcdef\r\n\r\n";
static const char upload[] = "POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

static double cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void one_request(struct hr_http1 *engine, const char *text, size_t len, size_t step)
{
    struct hr_http1_result result;
    size_t at = 0;
    int event;

    do {
        size_t n = step < len - at ? step : len - at;
        event = hr_http1_feed(engine, text + at, n, &result);
        at += result.n_used;
        hr_assert(event > 0 && event != HR_HTTP1_BAD);
    } while (event != HR_HTTP1_END);
    hr_assert(at == len);
    hr_http1_next(engine);
}

static void bench_request(const char *name, const char *text, size_t step)
{
    struct hr_http1 engine;
    double best = 1e18;
    size_t len = strlen(text);

    hr_http1_init(&engine, &limits);
    for (int round = 0; round < N_ROUNDS; round++) {
        double start = cpu_ns();
        for (int i = 0; i < N_REQUESTS; i++)
            one_request(&engine, text, len, step);
        double each = (cpu_ns() - start) / N_REQUESTS;
        best = each < best ? each : best;
    }
    hr_http1_fini(&engine);
    printf("%-28s %5zu bytes  %7.0f ns\n", name, len, best);
}

static void bench_answer(void)
{
    struct hr_http1_answer answer = {.status = 200,
                                     .framing = HR_FRAMING_LENGTH,
                                     .content_length = 6,
                                     .keep_alive = true,
                                     .minor = 1,
                                     .wall = HR_SECOND};
    struct hr_buf out = {0};
    double best = 1e18;

    for (int round = 0; round < N_ROUNDS; round++) {
        double start = cpu_ns();
        for (int i = 0; i < N_REQUESTS; i++) {
            int r = hr_http1_put_start(&out, &answer);
            r |= hr_http1_put_header(&out, HR_LIT("content-type"), HR_LIT("text/plain"));
            r |= hr_http1_put_end(&out);
            r |= hr_http1_put_body(&out, answer.framing, "Hello\n", 6, true);
            hr_assert(r == 0);
            hr_buf_consume(&out, hr_buf_len(&out));
        }
        double each = (cpu_ns() - start) / N_REQUESTS;
        best = each < best ? each : best;
    }
    hr_buf_fini(&out);
    printf("%-28s %5s        %7.0f ns\n", "answer", "", best);
}

int main(void)
{
    bench_request("wrk", wrk, sizeof(wrk));
    bench_request("browser", browser, sizeof(browser));
    bench_request("browser, in pieces", browser, 64);
    bench_request("chunked, two chunks", upload, sizeof(upload));
    bench_answer();
    printf("idle engine %zu bytes\n", sizeof(struct hr_http1));
    return 0;
}
