/* app_bad.c - an application that fails at boot. */
#include <headrace/worker.h>

int hr_app(struct hr_worker *worker)
{
    (void)worker;
    return HR_ERR_CONFIG;
}
