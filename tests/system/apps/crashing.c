/* crashing.c - an application that crashes when it is started. */
#include <stdio.h>
#include <stdlib.h>

#include <headrace/worker.h>

int hr_app(struct hr_worker *worker)
{
    (void)worker;
    fputs("the ledger is torn", stderr); /* and no line feed: many a last word has none */
    abort();
}
