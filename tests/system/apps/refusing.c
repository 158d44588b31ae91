/* refusing.c - an application that says no when it is started. */
#include <stdio.h>

#include <headrace/worker.h>

int hr_app(struct hr_worker *worker)
{
    (void)worker;
    fputs("the database is not there\n", stderr);
    return HR_ERR_UNAVAILABLE;
}
