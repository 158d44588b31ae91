/* suite.c - the semantic suite of the channel layer: one set of promises, each
 * implementation in turn.
 *
 *   suite memory:            all tests on the memory layer
 *   suite ipc: 'group*'      those that match, on ipc in a directory made for each
 */
#include "harness.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s memory:|ipc: [test]\n", argv[0]);
        return 2;
    }
    suite_scheme = argv[1];
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);

    int n_failed = 0;
    n_failed += suite_send();
    n_failed += suite_receive();
    n_failed += suite_address();
    n_failed += suite_lease();
    n_failed += suite_group();
    n_failed += suite_state();
    n_failed += suite_loop();
    n_failed += suite_operator();
    n_failed += suite_nomem();
    return n_failed > 0;
}
