/* test_http1.c - runs the groups. What bytes mean stands in tests/wire/NAME.http1.wire. */
#include "test_http1.h"

int main(void)
{
    return test_parser() + test_head() + test_answer() == 0 ? 0 : 1;
}
