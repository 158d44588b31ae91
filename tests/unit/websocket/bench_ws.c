/* bench_ws.c - what reading a frame costs, with the input in cache. Not a test: run it by hand.
 * Our own CPU time counts, so that a busy machine disturbs little.
 *
 * The same bytes are fed again and again: unmasking twice gives the text back,
 * and every other round sees it masked. A key without high bits keeps that
 * text ASCII too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "websocket/websocket.h"

enum { LONGEST = 65536 };

static void bench(const char *name, enum hr_ws_opcode opcode, size_t len, const char *text)
{
    static uint8_t frame[HR_WS_MAX_HEADER + LONGEST];
    const uint8_t key[4] = {1, 2, 3, 4};
    size_t n_header = hr_ws_put_header(frame, opcode, true, len, key);
    uint64_t n_rounds = len < 1000 ? 8000000 : 40000;
    double best = 1e9; /* seconds */
    struct hr_ws ws;

    for (size_t i = 0; i < len; i++)
        frame[n_header + i] = (uint8_t)text[i % strlen(text)];
    hr_ws_init(&ws, HR_WS_SERVER, LONGEST);
    for (int run = 0; run < 5; run++) {
        clock_t start = clock();
        for (uint64_t i = 0; i < n_rounds; i++) {
            struct hr_ws_result got;
            int event = hr_ws_feed(&ws, frame, n_header + len, &got);
            hr_assert(event == HR_WS_DATA && got.is_end && got.payload.len == len);
        }
        double spent = (double)(clock() - start) / CLOCKS_PER_SEC;
        best = spent < best ? spent : best;
    }
    double ns = best * 1e9 / (double)n_rounds;
    printf("%-22s %10.1f ns  %6.2f GB/s\n", name, ns, (double)len / ns);
}

int main(void)
{
    bench("text 125 B", HR_WS_TEXT, 125, "Hello, world! ");
    bench("text 64 KiB", HR_WS_TEXT, LONGEST, "Hello, world! ");
    bench("binary 125 B", HR_WS_BINARY, 125, "Hello, world! ");
    bench("binary 64 KiB", HR_WS_BINARY, LONGEST, "Hello, world! ");
    return 0;
}
