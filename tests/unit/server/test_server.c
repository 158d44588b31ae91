/* test_server.c - runs all groups; a name as argument runs one, `ipc` before it puts shared memory
 * in place of the memory layer. */
#include <stddef.h>
#include <string.h>

#include "harness.h"
#include "suites.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } suites[] = {
        {"out", test_out},
        {"route", test_route},
        {"http", test_http},
        {"failures", test_failures},
        {"body", test_body},
        {"stream", test_stream},
        {"websocket", test_websocket},
        {"events", test_events},
        {"forwarded", test_forwarded},
        {"group", test_group},
        {"order", test_order},
        {"static", test_static},
        {"admin", test_admin},
        {"life", test_life},
        {"hostile", test_hostile},
    };
    int failed = 0;
    if (argc > 1 && strcmp(argv[1], "ipc") == 0) {
        worlds_on_ipc();
        argc--;
        argv++;
    }
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (argc < 2 || strcmp(argv[1], suites[i].name) == 0)
            failed += suites[i].run();
    return failed;
}
