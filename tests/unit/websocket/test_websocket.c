/* test_websocket.c - runs the groups; the arguments are tests/wire/NAME.ws.wire. */
#include "test_websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "wire.h"

struct wire_paths {
    char *const *paths;
    int n_paths;
};

static void every_wire_case_holds_whole_bytewise_and_cut_at_random(void **state)
{
    const struct wire_paths *wire = *state;
    int n_cases = 0, n_failed = 0;

    for (int i = 0; i < wire->n_paths; i++)
        n_failed += ws_wire_run(wire->paths[i], &n_cases);
    print_message("%d wire cases\n", n_cases);
    assert_int_equal(n_failed, 0);
    assert_true(n_cases > 0);
}

int test_wire(char *const *paths, int n_paths)
{
    struct wire_paths wire = {paths, n_paths};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_wire_case_holds_whole_bytewise_and_cut_at_random, &wire),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    int n_failed = test_frame() + test_handshake() + test_wire(argv + 1, argc - 1);

    return n_failed == 0 ? 0 : 1;
}
