/* children.c - see children.h for the contract.
 *
 * Descriptors of a child:
 *
 *     0  /dev/null
 *     1  pipe to us: stdout, a line an event in the log
 *     2  pipe to us: stderr, also what it says when it cannot start or breaks
 *     3  the log itself, straight: it must not stop when we do
 *     4… listening sockets, of an interface server
 *
 * fork and exec by hand: libuv would reset nothing else that we need, allows
 * no session of its own without detaching, and waits for its children by a
 * handler of its own, while we must also reap strangers when we are process 1
 * of a container.
 *
 * Signals are blocked from before the fork until the child has no handler of
 * ours any more. The loop's would take a SIGTERM for the child and write it
 * into the pipe that it shares with us: the child would live on, and we would
 * believe that we had been told to stop. SIGUSR1 stays blocked until the
 * child can open its log anew (logfile.c): its default would kill.
 */
#include "cli/children.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/argv.h"

enum {
    FIRST_LISTENER_FD = 4,
    MAX_CHILD_FDS = 256, /* listening addresses and the above */
};

/* ---- what it says ------------------------------------------------------------------------------
 */

static void log_line(const struct hr_proc *proc, const char *stream, struct hr_str text)
{
    struct hr_logline line;
    hr_logline_begin(&line, HR_EV_OUTPUT);
    if (proc->pool[0])
        hr_logline_str(&line, "pool", hr_str_of(proc->pool));
    hr_logline_str(&line, "worker", hr_str_of(proc->label));
    hr_logline_int(&line, "pid", proc->pid);
    hr_logline_str(&line, "stream", hr_str_of(stream));
    hr_logline_str(&line, "text", text);
    hr_logline_end(&line);
}

static void on_stdout(struct hr_capture *capture, struct hr_str line)
{
    log_line(hr_container_of(capture, struct hr_proc, out), "stdout", line);
}

/* "headrace: ..." and what follows it is why a child could not start: kept for
 * whoever reports that, once, instead of being logged here as well. */
static bool keep_boot_text(struct hr_proc *proc, struct hr_str line)
{
    struct hr_str mark = HR_LIT("headrace: ");
    size_t len = strlen(proc->boot_text);
    if (len == 0 && !hr_str_starts(line, mark))
        return false;
    if (len == 0)
        line = (struct hr_str){line.ptr + mark.len, line.len - mark.len};
    snprintf(proc->boot_text + len, sizeof proc->boot_text - len, "%s%.*s", len ? "\n" : "",
             HR_STR(line));
    return true;
}

/* The application's own words, which often are the reason; the oldest lines make room. */
static void keep_said(struct hr_proc *proc, struct hr_str line)
{
    size_t len = strlen(proc->said), room = sizeof proc->said - 2; /* line feed and NUL */
    if (line.len > room)
        line.len = room;
    const char *from = proc->said;
    while (len > 0 && len + line.len > room) {
        size_t oldest = (size_t)(strchr(from, '\n') + 1 - from);
        from += oldest;
        len -= oldest;
    }
    memmove(proc->said, from, len);
    snprintf(proc->said + len, sizeof proc->said - len, "%.*s\n", HR_STR(line));
}

static void on_stderr(struct hr_capture *capture, struct hr_str line)
{
    struct hr_proc *proc = hr_container_of(capture, struct hr_proc, err);
    if (proc->state == HR_PROC_BOOTING && keep_boot_text(proc, line))
        return;
    if (hr_exit_read_crash(line, &proc->crash))
        return;
    if (proc->state == HR_PROC_BOOTING && !proc->crash.text[0]) /* after it: the backtrace */
        keep_said(proc, line);
    log_line(proc, "stderr", line);
}

/* ---- starting it -------------------------------------------------------------------------------
 */

struct descriptors {
    int fds[MAX_CHILD_FDS]; /* child's fd i is our fds[i] */
    int n;
};

static void forget_handlers(void)
{
    struct sigaction action;
    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            (void)signal(number, SIG_DFL);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* In the child, between fork and exec: only calls that are safe in a signal handler. */
static _Noreturn void become(const struct descriptors *d, char *const *argv)
{
    forget_handlers();
    setsid();
    /* First clear of all targets, for a source may be a target of another. */
    int parked[MAX_CHILD_FDS];
    for (int i = 0; i < d->n; i++) {
        parked[i] = fcntl(d->fds[i], F_DUPFD_CLOEXEC, d->n);
        if (parked[i] < 0)
            _exit(126);
    }
    for (int i = 0; i < d->n; i++)
        if (dup2(parked[i], i) < 0)
            _exit(126);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* The sockets it accepts on. */
static int add_listeners(const struct hr_spawn *spawn, struct descriptors *d, struct hr_argv *argv)
{
    for (uint32_t i = 0; spawn->listeners && i < spawn->listeners->n; i++) {
        const struct hr_socket *listener = &spawn->listeners->items[i];
        if (d->n == MAX_CHILD_FDS)
            return hr_raise(HR_ERR_TOO_BIG);
        hr_argv_add(argv, listener->is_admin ? "--listen-admin" : "--listen");
        hr_argv_add(argv, "%d=%s", d->n, listener->name);
        d->fds[d->n++] = listener->fds[spawn->index % listener->n_fds];
    }
    return 0;
}

/* Those of its siblings, which it accepts on while they are not there. More than fit are left out:
 * others have them. */
static void add_siblings(const struct hr_spawn *spawn, struct descriptors *d, struct hr_argv *argv)
{
    for (uint32_t i = 0; spawn->listeners && i < spawn->listeners->n; i++) {
        const struct hr_socket *listener = &spawn->listeners->items[i];
        for (uint32_t k = 1; k < listener->n_fds && d->n < MAX_CHILD_FDS; k++) {
            uint32_t sibling = (spawn->index + k) % listener->n_fds;
            hr_argv_add(argv, "--listen-for");
            hr_argv_add(argv, "server.%" PRIu32 "=%d=%s", sibling + 1, d->n, listener->name);
            d->fds[d->n++] = listener->fds[sibling];
        }
    }
}

/* The build that goes with the settings, whatever the file holds by now. */
static void add_build(const struct hr_spawn *spawn, struct descriptors *d, struct hr_argv *argv)
{
    const struct hr_settings_pool *pool = hr_pool_find(spawn->settings, hr_str_of(spawn->pool));
    if (!pool || pool->build_fd <= 0)
        return;
    hr_argv_add(argv, "--build");
    hr_argv_add(argv, "%d", d->n);
    d->fds[d->n++] = pool->build_fd;
}

static int make_argv(const struct hr_spawn *spawn, struct descriptors *d, struct hr_argv *argv)
{
    hr_argv_add(argv, "headrace");
    hr_argv_add(argv, "%s", spawn->verb);
    hr_argv_add(argv, "--as");
    hr_argv_add(argv, "%s", spawn->label);
    hr_argv_add(argv, "--log-fd");
    hr_argv_add(argv, "3");
    hr_argv_add_settings(argv, spawn->settings);
    hr_argv_add(argv, "--name");
    hr_argv_add(argv, "%s", spawn->settings->headrace.name);
    hr_argv_add(argv, "--layer");
    hr_argv_add(argv, "%s", spawn->layer_url);
    if (spawn->pool) {
        hr_argv_add(argv, "--pool");
        hr_argv_add(argv, "%s", spawn->pool);
        add_build(spawn, d, argv);
    }
    int r = add_listeners(spawn, d, argv);
    if (r < 0)
        return hr_trace(r);
    add_siblings(spawn, d, argv);
    return argv->error;
}

struct pipes {
    int out[2], err[2], null;
};

static void pipes_close(struct pipes *pipes)
{
    int fds[] = {pipes->out[0], pipes->out[1], pipes->err[0], pipes->err[1], pipes->null};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int pipes_open(struct pipes *pipes)
{
    *pipes = (struct pipes){.out = {-1, -1}, .err = {-1, -1}};
    pipes->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (pipes->null >= 0 && pipe2(pipes->out, O_CLOEXEC) == 0 && pipe2(pipes->err, O_CLOEXEC) == 0)
        return 0;
    int saved = errno;
    pipes_close(pipes);
    errno = saved;
    return hr_raise(HR_ERR_SYS);
}

static int fork_child(struct hr_proc *proc, const struct hr_spawn *spawn, const struct pipes *pipes)
{
    struct hr_argv argv = {0};
    struct descriptors d = {.n = FIRST_LISTENER_FD};
    d.fds[0] = pipes->null;
    d.fds[1] = pipes->out[1];
    d.fds[2] = pipes->err[1];
    d.fds[3] = spawn->log_fd;

    int r = make_argv(spawn, &d, &argv);
    if (r == 0) {
        sigset_t all, before;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        proc->pid = fork();
        if (proc->pid == 0)
            become(&d, argv.items);
        r = proc->pid < 0 ? hr_raise(HR_ERR_SYS) : 0;
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    hr_argv_fini(&argv);
    return hr_trace(r);
}

static void on_capture_closed(struct hr_capture *capture);

/* Opens both captures or none; the descriptors it takes are marked as gone. */
static int open_captures(struct hr_proc *proc, struct pipes *pipes)
{
    int r = hr_capture_open(proc->loop, &proc->out, pipes->out[0], on_stdout);
    if (r < 0)
        return hr_trace(r);
    proc->n_open = 1;
    pipes->out[0] = -1;
    r = hr_capture_open(proc->loop, &proc->err, pipes->err[0], on_stderr);
    if (r < 0)
        return hr_trace(r);
    proc->n_open = 2;
    pipes->err[0] = -1;
    return 0;
}

int hr_proc_start(struct hr_loop *loop, const struct hr_spawn *spawn, struct hr_proc **out)
{
    struct pipes pipes;
    *out = NULL;
    int r = pipes_open(&pipes);
    if (r < 0)
        return hr_trace(r);
    struct hr_proc *proc = hr_calloc(1, sizeof *proc);
    if (!proc) {
        pipes_close(&pipes);
        return hr_raise(HR_ERR_NOMEM);
    }
    proc->loop = loop;
    proc->pidfd = -1;
    proc->started_at = hr_time_now();
    proc->oom_before = hr_exit_count_oom();
    hr_str_copy(proc->label, sizeof proc->label, hr_str_of(spawn->label));
    hr_str_copy(proc->pool, sizeof proc->pool, hr_str_of(spawn->pool));

    r = open_captures(proc, &pipes);
    if (r == 0)
        r = fork_child(proc, spawn, &pipes);
    pipes_close(&pipes);
    if (r < 0) {
        hr_proc_dispose(proc);
        return hr_trace(r);
    }
    *out = proc;
    return 0;
}

static void on_adopted_end(struct hr_io *io, unsigned events)
{
    struct hr_proc *proc = hr_container_of(io, struct hr_proc, end);
    (void)events;
    proc->on_end(proc);
}

int hr_proc_adopt(struct hr_loop *loop, pid_t pid, int pidfd, void (*on_end)(struct hr_proc *proc),
                  struct hr_proc **out)
{
    struct hr_proc *proc = hr_calloc(1, sizeof *proc);
    *out = proc;
    if (!proc)
        return hr_raise(HR_ERR_NOMEM);
    int r = hr_io_open(loop, &proc->end, pidfd, on_adopted_end);
    if (r < 0) {
        *out = hr_free(proc);
        return hr_trace(r);
    }
    proc->loop = loop;
    proc->pid = pid;
    proc->pidfd = pidfd;
    proc->on_end = on_end;
    proc->started_at = hr_time_now();
    proc->oom_before = hr_exit_count_oom();
    hr_io_want(&proc->end, HR_IO_READ);
    return 0;
}

/* ---- its end ------------------------------------------------------------------------------------
 */

void hr_proc_signal(const struct hr_proc *proc, int number)
{
    /* Until we have reaped it the pid is nobody else's. One that is not ours to reap has its pidfd.
     */
    if (proc->pidfd >= 0)
        hr_process_pidfd_kill(proc->pidfd, number);
    else if (proc->state != HR_PROC_ENDED)
        kill(proc->pid, number);
}

void hr_proc_reaped(struct hr_proc *proc)
{
    hr_capture_finish(&proc->out);
    hr_capture_finish(&proc->err);
    proc->state = HR_PROC_ENDED;
}

const char *hr_proc_why(const struct hr_proc *proc, const char *otherwise)
{
    if (proc->boot_text[0])
        return proc->boot_text;
    return proc->crash.text[0] ? proc->crash.text : otherwise;
}

/* Appends `text` to *len bytes of `out`, line feeds and runs of blanks as one blank. */
static void add_on_one_line(const char *text, char *out, size_t size, size_t *len)
{
    for (; *text && *len + 1 < size; text++) {
        bool is_space = *text == ' ' || *text == '\n';
        if (is_space && *len > 0 && out[*len - 1] == ' ')
            continue; /* an indent */
        out[*len] = ' ';
        if (!is_space)
            out[*len] = *text;
        (*len)++;
    }
    out[*len] = '\0';
}

void hr_proc_last_words(const struct hr_proc *proc, const char *otherwise, char *out, size_t size)
{
    size_t len = 0;
    add_on_one_line(hr_proc_why(proc, otherwise), out, size, &len);
    if (!proc->said[0])
        return;
    if (len > 0 && out[len - 1] == '.')
        len--;
    add_on_one_line("; it wrote: ", out, size, &len);
    add_on_one_line(proc->said, out, size, &len);
    if (out[len - 1] == ' ')
        out[len - 1] = '\0'; /* its last line feed */
}

static void on_capture_closed(struct hr_capture *capture)
{
    bool is_out = capture->fn == on_stdout;
    struct hr_proc *proc = is_out ? hr_container_of(capture, struct hr_proc, out)
                                  : hr_container_of(capture, struct hr_proc, err);
    if (--proc->n_open == 0)
        hr_free(proc);
}

static void on_end_closed(struct hr_io *io)
{
    hr_free(hr_container_of(io, struct hr_proc, end));
}

void hr_proc_dispose(struct hr_proc *proc)
{
    hr_loop_stop_timer(proc->loop, &proc->timer);
    hr_list_remove(&proc->node);
    if (proc->pidfd >= 0) {
        hr_io_close(&proc->end, on_end_closed);
        close(proc->pidfd);
        return;
    }
    if (proc->n_open == 0) {
        hr_free(proc);
        return;
    }
    if (proc->out.is_open)
        hr_capture_close(&proc->out, on_capture_closed);
    if (proc->err.is_open)
        hr_capture_close(&proc->err, on_capture_closed);
}
