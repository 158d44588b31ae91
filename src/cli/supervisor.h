/* supervisor.h - `headrace run`: keeps interface servers and workers running on this host.
 *
 * The parts and how they call each other:
 *
 *     supervisor.c   signals, states, scanning the layer, reaping
 *      ├─ crew.c     who should be running; starts, restarts, says goodbye
 *      │   └─ children.c
 *      ├─ roll.c     reload: new workers beside the old, then the old leave
 *      └─ control.c  what other processes ask of us, through the layer
 *
 * A *crew* is the processes of one pool, or the interface servers. A *seat* is
 * one place in it, with a label ("web.3"), and is held by a process, which may
 * have a successor that is still booting.
 *
 * Threads: the loop's.
 */
#ifndef HR_CLI_SUPERVISOR_H
#define HR_CLI_SUPERVISOR_H

#include <headrace/layer.h>

#include "base/loop.h"
#include "cli/args.h"
#include "cli/backoff.h"
#include "cli/children.h"
#include "cli/history.h"
#include "cli/sockets.h"
#include "cli/settings.h"
#include "cli/watch.h"

enum {
    HR_SUPERVISOR_SIGNALS = 7,
    HR_CREW_MAX_EXITS = 128, /* times remembered; status shows no more than that an hour */
    HR_ROLL_MAX_WAITING = 8, /* reloads that wait for the one under way; more are refused */
};

struct hr_crew;
struct hr_orphans;
struct hr_supervisor;

struct hr_seat {
    struct hr_crew *crew;
    uint32_t number; /* from 1 */
    char label[HR_LABEL_SIZE];
    struct hr_proc *holder;    /* does the work; NULL while it waits to be started again */
    struct hr_proc *successor; /* booting beside it, during a roll */
    struct hr_backoff backoff;
    struct hr_timer restart;
};

struct hr_crew {
    struct hr_list node; /* supervisor->crews, the servers first */
    struct hr_supervisor *supervisor;
    bool is_server;
    char name[HR_POOL_NAME_MAX + 1]; /* of the pool; "server" */
    struct hr_settings *settings;    /* a reference: what its processes are started with */
    struct hr_seat **seats;          /* owned */
    uint32_t n_seats;
    uint32_t n_wanted, overlap;
    hr_time drain;
    bool redelivers;                  /* on_crash */
    bool was_ready;                   /* one of its processes was, once */
    hr_time exits[HR_CREW_MAX_EXITS]; /* ring of the latest, wall clock */
    uint32_t n_exits;                 /* ever */
    char last_exit[64];
    struct hr_history history;
};

/* Who is told how a reload ended. */
struct hr_asker {
    struct hr_addr address; /* not set: nobody */
    struct hr_lease lease;  /* kept until then, so that the asker learns of our death */
};

struct hr_reload {
    char pool[HR_POOL_NAME_MAX + 1]; /* empty: all */
    char cause[256];                 /* "hello.so", shown at the end */
    struct hr_asker asker;
};

/* A reload under way; see roll.c. */
struct hr_roll {
    bool is_active;
    struct hr_reload reload;
    struct hr_settings *next; /* a reference */
    hr_time began_at;
    const struct hr_settings_pool *pool; /* of `next`, being rolled */
    struct hr_crew *crew;
    uint32_t n_before; /* its seats when we came to it */
    uint32_t n_rolled; /* seats done or under way */
    uint32_t n_booting, n_failed, n_batch;
    int code;          /* exit code of the first that failed */
    char reason[1024]; /* and its words */
};

enum hr_supervisor_state {
    HR_SUPERVISOR_STARTING, /* until everybody is ready for the first time */
    HR_SUPERVISOR_RUNNING,
    HR_SUPERVISOR_STOPPING_SERVERS, /* they let requests end; workers still work for them */
    HR_SUPERVISOR_STOPPING_WORKERS,
    HR_SUPERVISOR_ENDED,
};

struct hr_supervisor {
    const struct hr_args *args;
    struct hr_settings *settings; /* a reference: the latest that were taken */
    struct hr_sockets *listeners;
    struct hr_orphans *orphans; /* of one that died before us */
    const char *layer_url;
    struct hr_layer *layer;
    int log_fd;
    bool is_watching; /* --reload */

    struct hr_loop *loop;
    enum hr_supervisor_state state;
    int exit_code;
    bool was_interrupted, had_terminal;
    struct hr_list crews, procs;
    uint64_t n_recovered;   /* dead members that the layer was cleaned up after, as last logged */
    hr_time recovers_until; /* a child has died: look for its recovery until then */
    struct hr_roll roll;
    struct hr_reload waiting[HR_ROLL_MAX_WAITING]; /* in their order */
    uint32_t n_waiting;
    struct hr_watch watch;
    struct hr_timer scan, watchdog, report, next_roll;
    struct hr_signal signals[HR_SUPERVISOR_SIGNALS];
    int n_signals;
    struct hr_hook layer_hook;
    struct hr_io layer_io;
    bool joined_layer;
};

/* Runs the site until it is told to stop. The caller owns what the first
 * fields point to and has filled them in; the rest is zeroed. Returns the
 * exit code. */
HR_MUST_CHECK int hr_supervisor_run(struct hr_supervisor *supervisor);

/* ---- supervisor.c, for its parts */
bool hr_supervisor_is_stopping(const struct hr_supervisor *supervisor);
/* Nothing is logged about a start that goes well on a terminal: the page says it. */
bool hr_supervisor_is_quiet(const struct hr_supervisor *supervisor);
/* Looks for ready members soon, and often until none is booting. */
void hr_supervisor_scan_soon(struct hr_supervisor *supervisor);
/* Something that status shows has changed. */
void hr_supervisor_report_soon(struct hr_supervisor *supervisor);
/* An adopted process has ended. */
void hr_supervisor_on_end(struct hr_proc *proc);
/* A process could not start: ends the run if that is how it begins. */
void hr_supervisor_boot_failed(struct hr_supervisor *supervisor, const struct hr_proc *proc,
                               int wait_status);

/* ---- crew.c */
HR_MUST_CHECK int hr_crew_new(struct hr_supervisor *supervisor, const char *name, bool is_server,
                              struct hr_crew **out);
void hr_crew_free(struct hr_crew *crew); /* all its seats must be empty */
struct hr_crew *hr_crew_find(struct hr_supervisor *supervisor, struct hr_str pool);
/* Takes processes, overlap and so on from `settings`, and starts with them from now on. */
void hr_crew_configure(struct hr_crew *crew, struct hr_settings *settings);
/* Makes seats up to `n`. Returns 0 or HR_ERR_NOMEM. */
HR_MUST_CHECK int hr_crew_grow(struct hr_crew *crew, uint32_t n);
/* Seats beyond `n` are given up, their processes leave. */
void hr_crew_shrink(struct hr_crew *crew, uint32_t n);
bool hr_crew_is_ready(const struct hr_crew *crew);
uint32_t hr_crew_exits_in_hour(const struct hr_crew *crew);

/* Starts a process for the seat with these settings; it is *out of the seat. */
HR_MUST_CHECK int hr_seat_start(struct hr_seat *seat, struct hr_settings *settings,
                                struct hr_proc **out);
/* Gives the seat to a process that another supervisor has started; when it is
 * taken, the process is asked to leave. */
void hr_seat_adopt(struct hr_seat *seat, struct hr_proc *proc, bool is_ready);
/* Starts a holder if there is none, now or, when starting fails, later. */
void hr_seat_fill(struct hr_seat *seat);
/* The successor becomes the holder, whom it lets go. */
void hr_seat_promote(struct hr_seat *seat);
/* Its process is ready, wants to retire, has ended (and is freed). */
void hr_seat_on_ready(struct hr_proc *proc);
void hr_seat_on_retire(struct hr_proc *proc);
void hr_seat_on_exit(struct hr_supervisor *supervisor, struct hr_proc *proc, int wait_status);
/* TERM, and KILL when it takes longer than it may. */
void hr_proc_leave(struct hr_proc *proc, hr_time drain);

/* ---- roll.c */
/* Begins a reload of `pool` (empty: of all), or lets it wait for the one under
 * way. `asker` may be NULL. What comes of it is logged and told to the asker. */
void hr_roll_ask(struct hr_supervisor *supervisor, struct hr_str pool, const char *cause,
                 const struct hr_asker *asker);
/* A successor is ready, has ended before its batch was. */
void hr_roll_on_ready(struct hr_supervisor *supervisor);
void hr_roll_on_boot_exit(struct hr_supervisor *supervisor, const struct hr_proc *proc,
                          bool was_booting, int wait_status);
void hr_roll_abort(struct hr_supervisor *supervisor);

/* ---- control.c */
HR_MUST_CHECK int hr_control_open(struct hr_supervisor *supervisor);
void hr_control_close(struct hr_supervisor *supervisor);
void hr_control_answer(struct hr_supervisor *supervisor, const struct hr_asker *asker, bool is_ok,
                       int code, const char *text);
/* At the start: forgets the pools of earlier runs and announces this one's. */
HR_MUST_CHECK int hr_control_announce(struct hr_supervisor *supervisor);
/* Forgets a pool that there is no more. */
void hr_control_forget(struct hr_supervisor *supervisor, const char *pool);
/* How far it is; for who waits at a terminal. */
void hr_control_progress(struct hr_supervisor *supervisor, const struct hr_asker *asker,
                         const char *text);
/* Puts what status shows of each crew into the layer, whatever has changed. */
void hr_control_report(struct hr_supervisor *supervisor);

#endif /* HR_CLI_SUPERVISOR_H */
