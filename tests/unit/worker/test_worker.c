/* test_worker.c - unit tests of src/worker. */
#include "base/log.h"
#include "fixture.h"

int main(void)
{
    hr_log_init(2, HR_LOG_TEXT, HR_LOG_ERROR);
    int n_failed = run_answer_tests();
    return n_failed > 0;
}
