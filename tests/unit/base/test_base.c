/* test_base.c - runs the groups of unit-base; an argument runs the group of that name alone. */
#include "test_base.h"

#include <stdio.h>
#include <string.h>

int test_argc;
char **test_argv;

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } groups[] = {
        {"alloc", test_alloc},     {"error", test_error},
        {"str", test_str},         {"utf8", test_utf8},
        {"buf", test_buf},         {"table", test_table},
        {"timer", test_timer},     {"loop", test_loop},
        {"process", test_process}, {"loop_process", test_loop_process},
        {"log", test_log},         {"logline", test_logline},
    };
    test_argc = argc;
    test_argv = argv;
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed == 0 ? 0 : 1;
}
