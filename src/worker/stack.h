/* stack.h - what the threads of a worker are doing, told to whoever asks from outside.
 *
 * `headrace stack` makes a FIFO in the layer's directory, DIR/stack.SLOT after
 * its own slot, and queues the worker's process HR_STACK_SIGNAL with SLOT as
 * its value. The handler asks every thread of the process by the same signal;
 * each writes what it does into the FIFO, in one piece, and the last line is
 * HR_STACK_END. So a loop that is stuck need do nothing for it, nobody is
 * stopped and nobody needs the right to trace.
 *
 * An interrupted call of the application that the kernel does not go on with by itself
 * (nanosleep, poll) returns EINTR, as it may for any signal.
 *
 * Threads: install and set_writer are the loop's, before there are others.
 */
#ifndef HR_WORKER_STACK_H
#define HR_WORKER_STACK_H

#include <signal.h>
#include <stdbool.h>

#define HR_STACK_SIGNAL (SIGRTMIN + 5)
#define HR_STACK_FIFO "stack.%u" /* beside the arena */
#define HR_STACK_END "end\n"

/* Answers from now on, through the directory of this layer; not for "memory:". */
void hr_stack_install(const char *layer_url);
bool hr_stack_is_installed(void);

/* A runtime with frames of its own (an interpreter) writes them to `fd` here.
 * Called in the handler, once for each question, behind what the threads have said: only
 * what is safe in a signal handler. NULL: nothing more. */
void hr_stack_set_writer(void (*write)(int fd));

#endif /* HR_WORKER_STACK_H */
