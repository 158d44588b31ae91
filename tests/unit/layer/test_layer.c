/* test_layer.c - runs the groups of unit-layer; an argument runs the group of that name alone. */
#include "test_layer.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } groups[] = {
        {"names", test_names},     {"address", test_address}, {"policy", test_policy},
        {"members", test_members}, {"memory", test_memory},
    };
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed == 0 ? 0 : 1;
}
