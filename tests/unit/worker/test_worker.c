/* test_worker.c - unit tests of src/worker. */
#include "base/log.h"
#include "fixture.h"

int main(void)
{
    hr_log_init(2, HR_LOG_TEXT, HR_LOG_ERROR);
    int n_failed = run_answer_tests() + run_body_tests() + run_channel_tests() + run_crash_tests() +
                   run_later_tests() + run_life_tests() + run_outbox_tests() + run_request_tests() +
                   run_route_tests() + run_stack_tests() + run_state_tests() + run_symbol_tests();
    return n_failed > 0;
}
