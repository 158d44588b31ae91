/* process.h - facts about processes: titles, start times, liveness. */
#ifndef HR_BASE_PROCESS_H
#define HR_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Call first thing in main(): makes argv's memory available for the title. */
void hr_process_init(int argc, char **argv);
/* "headrace: worker site web.3" in ps and top (argv's memory, and PR_SET_NAME's 15 bytes). */
void hr_process_set_title(const char *format, ...) HR_PRINTF(1, 2);

/* When `pid` started, clock ticks since boot (field 22 of its stat file);
 * 0 when there is no such process or it is a zombie. */
uint64_t hr_process_start_time(pid_t pid);
/* Inode of our pid namespace. */
uint64_t hr_process_pid_namespace(void);

/* pidfd_open(2); -1 with errno. Readable when the process has ended. */
int hr_process_pidfd(pid_t pid);
int hr_process_pidfd_kill(int pidfd, int signal);
/* sigqueue(3) to it: the handler gets `value`. */
HR_MUST_CHECK int hr_process_pidfd_queue(int pidfd, int signal, int value);

#endif /* HR_BASE_PROCESS_H */
