/* crash.c - what was in hand when the process broke.
 *
 * The handler runs on a stack of its own (an overflow of the usual one is a
 * crash too), uses only what is safe in a signal handler, and raises the
 * signal again with its default action, so that the parent sees the signal
 * and the kernel may write its core. A crash inside the handler ends the
 * process by the same default action.
 */
#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "worker/place.h"
#include "worker/rawtext.h"
#include "worker/worker_impl.h"

enum { CRASH_STACK = 64 << 10 };

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"},
               {SIGBUS, "SIGBUS"},
               {SIGABRT, "SIGABRT"},
               {SIGFPE, "SIGFPE"},
               {SIGILL, "SIGILL"}};

static struct hr_worker
    *crash_worker; /* the newest of the process: whose crash it is when no event is in hand */

void hr_crash_set_app(struct hr_worker *worker, int (*entry)(struct hr_worker *worker))
{
    uintptr_t address;
    crash_worker = worker;
    memcpy(&address, &entry, sizeof(address)); /* ISO C has no such cast */
    hr_place_note(address);
}

void hr_crash_forget(const struct hr_worker *worker)
{
    if (crash_worker == worker)
        crash_worker = NULL;
}

static void line_add_pair(struct hr_rawtext *line, const char *key, struct hr_str value)
{
    hr_rawtext_str(line, key);
    hr_rawtext_value(line, value);
}

static void line_add_place(struct hr_rawtext *line, uintptr_t address)
{
    struct hr_place place;
    hr_place_find(address, &place);
    if (place.function[0])
        line_add_pair(line, " function=", hr_str_of(place.function));
    if (place.file[0]) {
        line_add_pair(line, " at=", hr_str_of(place.file));
        hr_rawtext_str(line, ":");
        hr_rawtext_number(line, place.line);
    }
}

/* ---- the handler */

static void line_add_event(struct hr_rawtext *line, const struct hr_ctx *ctx)
{
    line_add_pair(line, " channel=", ctx->channel);
    if (ctx->path.len > 0)
        line_add_pair(line, " path=", ctx->path);
    if (hr_addr_is_set(&ctx->reply)) {
        hr_rawtext_str(line, " connection=");
        hr_rawtext_number(line, ctx->reply.conn);
    }
    if (ctx->attempts > 0) {
        hr_rawtext_str(line, " attempts=");
        hr_rawtext_number(line, ctx->attempts);
    }
}

static const char *signal_name(int number)
{
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "?";
}

/* The application's innermost frame: it called what broke. A return address
 * belongs to the line before it. */
static uintptr_t frames_app(const struct hr_place_frames *frames)
{
    for (int i = frames->first; i < frames->n; i++)
        if (hr_place_is_app(hr_place_frame(frames, i)))
            return hr_place_frame(frames, i);
    return 0;
}

static void crash_write(int number, uintptr_t place)
{
    struct hr_rawtext line = {0};
    /* A line feed first: what the application wrote last may be half a line. */
    hr_rawtext_str(&line, "\ncrash signal=");
    hr_rawtext_str(&line, signal_name(number));
    struct hr_worker *worker = hr_in_hand ? hr_in_hand->worker : crash_worker;
    if (worker) {
        line_add_pair(&line, " pool=", hr_str_of(worker->config.pool));
        line_add_pair(&line, " worker=", hr_str_of(worker->label));
    }
    if (hr_in_hand)
        line_add_event(&line, hr_in_hand);
    if (place)
        line_add_place(&line, place);
    line.text[line.len++] = '\n';
    ssize_t n = write(STDERR_FILENO, line.text, line.len);
    (void)n; /* nobody is left to be told */
}

static void crash_on_signal(int number, siginfo_t *info, void *context)
{
    static volatile sig_atomic_t n_crashes;
    (void)signal(number, SIG_DFL);
    if (n_crashes++ == 0) {
        struct hr_place_frames frames;
        hr_place_frames_take(&frames, context);
        crash_write(number, frames_app(&frames));
        backtrace_symbols_fd(frames.at + frames.first, frames.n - frames.first, STDERR_FILENO);
    } else if (n_crashes == 2) {
        crash_write(number, 0); /* looking for the place has crashed too */
    }
    /* A fault happens again at the same instruction, which is what a core
     * should show; what was sent by kill() or abort() does not. */
    if (info->si_code <= 0)
        raise(number);
}

void hr_worker_catch_crashes(void)
{
    static max_align_t stack[CRASH_STACK / sizeof(max_align_t)];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = crash_on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    hr_place_init();
    (void)sigaltstack(&alternate, NULL);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)sigaction(signals[i].number, &action, NULL);
}
