/* test_cli.c - runs the groups of unit-cli; an argument runs the group of that name alone. */
#include "test_cli.h"

#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } groups[] = {
        {"units", test_units},
        {"nearest", test_nearest},
        {"settings", test_settings},
        {"file", test_file},
        {"precedence", test_precedence},
        {"args", test_args},
        {"argv", test_argv},
        {"bind", test_bind},
        {"app", test_app},
        {"layerpath", test_layerpath},
        {"sockets", test_sockets},
        {"backoff", test_backoff},
        {"children", test_children},
        {"exit", test_exit},
        {"handover", test_handover},
        {"history", test_history},
        {"json", test_json},
        {"status", test_status},
    };
    int n_failed = 0;
    if (argc > 1 && strcmp(argv[1], "work") == 0) /* started by test_children.c */
        for (;;)
            pause();
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed == 0 ? 0 : 1;
}
