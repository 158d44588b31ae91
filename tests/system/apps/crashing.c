/* crashing.c - an application that crashes when it is started. */
#include <stdlib.h>

#include <headrace/worker.h>

int hr_app(struct hr_worker *worker)
{
    (void)worker;
    abort();
}
