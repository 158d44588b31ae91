/* test_message.c - unit tests of src/message. */
#include "suites.h"

int main(void)
{
    int n_failed = run_pack_tests() + run_msg_tests() + run_asgi_tests();
    return n_failed > 0;
}
