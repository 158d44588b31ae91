/* children.h - the supervisor's children: starting them, hearing what they say, how they ended.
 *
 * A child is this same program again, `headrace serve` or `headrace work`,
 * with every setting its supervisor has read as flags, so that both mean the
 * same even when the file has changed in between. It is a session of its own:
 * neither the terminal's Ctrl-C nor its closing reaches it, and it goes on
 * when its supervisor is gone.
 *
 * Threads: the loop's.
 * Memory:  a struct hr_proc is the caller's until hr_proc_dispose().
 */
#ifndef HR_CLI_CHILDREN_H
#define HR_CLI_CHILDREN_H

#include <sys/types.h>

#include "base/loop.h"
#include "cli/capture.h"
#include "cli/exit.h"
#include "cli/sockets.h"
#include "cli/settings.h"

enum { HR_LABEL_SIZE = 32 };

enum hr_proc_state {
    HR_PROC_BOOTING, /* not yet ready */
    HR_PROC_READY,
    HR_PROC_LEAVING, /* was asked to end */
    HR_PROC_ENDED,
};

struct hr_seat;

struct hr_proc {
    struct hr_list node; /* in the supervisor's list of all */
    struct hr_loop *loop;
    struct hr_seat *seat;            /* whose work it does; NULL once it is leaving */
    char pool[HR_POOL_NAME_MAX + 1]; /* empty for an interface server */
    char label[HR_LABEL_SIZE];
    enum hr_proc_state state;
    pid_t pid;
    hr_time started_at;
    unsigned long long oom_before; /* hr_exit_count_oom() at its start */
    struct hr_capture out, err;
    uint32_t n_open;  /* captures */
    int pidfd;        /* of an adopted one, owned; else -1 */
    struct hr_io end; /* watches it */
    void (*on_end)(struct hr_proc *proc);
    struct hr_timer timer; /* BOOTING: until it must be ready; LEAVING: until it is killed */
    bool was_killed;       /* by us, for taking too long */
    char boot_text[1024];  /* what our code in it said when it could not start */
    char said[512];        /* the last lines on stderr before that, while BOOTING */
    struct hr_crash crash; /* what it left when it broke */
};

/* What to start. */
struct hr_spawn {
    const char *verb;  /* "serve", "work" */
    const char *label; /* "web.3" */
    const char *pool;  /* of a worker, else NULL */
    const struct hr_settings *settings;
    const char *layer_url;
    const struct hr_sockets *listeners; /* of a server, else NULL */
    uint32_t index;                     /* which of the shared-out sockets is its own */
    int log_fd;
};

/* Starts a child. Gives *out. Returns 0, HR_ERR_NOMEM or HR_ERR_SYS. */
HR_MUST_CHECK int hr_proc_start(struct hr_loop *loop, const struct hr_spawn *spawn,
                                struct hr_proc **out);

/* Takes over a process that is no child of ours; its label and pool are the
 * caller's to fill in. Takes `pidfd`, unless it fails. `on_end` is called when
 * it has ended, in place of its being reaped. Returns 0, HR_ERR_NOMEM or
 * HR_ERR_SYS. */
HR_MUST_CHECK int hr_proc_adopt(struct hr_loop *loop, pid_t pid, int pidfd,
                                void (*on_end)(struct hr_proc *proc), struct hr_proc **out);

/* Sends a signal, unless it has ended. */
void hr_proc_signal(const struct hr_proc *proc, int number);

/* Call when it was reaped: reads the rest of what it said. */
void hr_proc_reaped(struct hr_proc *proc);

/* Why it could not start or how it broke; `otherwise` when that is not known. */
const char *hr_proc_why(const struct hr_proc *proc, const char *otherwise);
/* The same with what the application had said, all on one line. */
void hr_proc_last_words(const struct hr_proc *proc, const char *otherwise, char *out, size_t size);

/* Frees it, when its pipes are closed; call last, after hr_proc_reaped(). */
void hr_proc_dispose(struct hr_proc *proc);

#endif /* HR_CLI_CHILDREN_H */
