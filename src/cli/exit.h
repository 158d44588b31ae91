/* exit.h - exit codes, and the ends of processes in words. */
#ifndef HR_CLI_EXIT_H
#define HR_CLI_EXIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* What the program's exit codes mean; each error message says the rest. */
enum hr_exit_code {
    HR_EXIT_OK = 0,
    HR_EXIT_SETTINGS = 1,      /* a setting is wrong; other failures */
    HR_EXIT_USAGE = 2,         /* the command line is */
    HR_EXIT_APP_FAILED = 3,    /* the application failed at boot */
    HR_EXIT_APP_NOT_FOUND = 4, /* it is not there */
    HR_EXIT_BIND = 5,          /* cannot listen */
    HR_EXIT_LAYER = 6,         /* no channel layer, or another supervisor's */
    HR_EXIT_TLS = 7,
};

/* Of a process that was not ours to wait for. */
enum { HR_WAIT_UNKNOWN = -1 };

/* How a process ended, as waitpid() says it: "exit 3", "SIGSEGV", "SIGKILL
 * (oom)", "unknown". `is_oom`: the kernel has killed for memory meanwhile. */
void hr_exit_format(int wait_status, bool is_oom, char *out, size_t size);

/* The line that a crashing worker leaves ("crash signal=SIGSEGV ...
 * channel=websocket.receive path=/chat connection=51 attempts=1 function=say"). */
struct hr_crash {
    char text[512];   /* "SIGSEGV in say on websocket.receive /chat, connection 51" */
    bool had_event;   /* a WebSocket's, whose fate on_crash decides */
    bool was_retried; /* and which had lost a worker before */
};
/* False when it is no such line; *out is then unchanged. */
bool hr_exit_read_crash(struct hr_str line, struct hr_crash *out);

/* Times that the kernel has killed for want of memory since boot. */
unsigned long long hr_exit_count_oom(void);

#endif /* HR_CLI_EXIT_H */
