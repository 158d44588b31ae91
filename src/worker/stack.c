/* stack.c - see stack.h for the contract.
 *
 *   asker ──signal──► some thread: the first ──signal──► each other thread
 *                          │ writes its own text             │ writes its own, says "done"
 *                          ▼                                 ▼
 *                        FIFO ◄──────────────────────────────┘     "end" by the first
 *
 * One thread after the other, so that their lines do not mix. A thread that
 * does not answer within WAIT_MS (it blocks signals, or sits in the kernel) is
 * named and passed over; should it write later, that comes behind the end and
 * nobody reads it. Each opens the FIFO for itself: no descriptor can be
 * another's by the time it is written to. When the asker has gone the open
 * fails, and that is that.
 *
 * All of it runs in a signal handler: system calls, and the tables of place.c.
 */
#include "worker/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/place.h"
#include "worker/rawtext.h"
#include "worker/worker_impl.h"

enum {
    WAIT_MS = 300,     /* for one thread */
    WRITE_MS = 1000,   /* for a reader that is slow */
    MAX_THREADS = 256, /* more are not asked */
};

static char directory[4096];          /* of the layer; empty: not installed */
static void (*_Atomic extra)(int fd); /* hr_stack_set_writer() */
static _Atomic bool is_answering;     /* one question at a time */
static _Atomic uint32_t n_done;       /* threads that have written, ever */

/* ---- writing */

static int fifo_open(uint32_t slot)
{
    struct hr_rawtext path = {0};
    hr_rawtext_str(&path, directory);
    hr_rawtext_str(&path, "/stack.");
    hr_rawtext_number(&path, slot);
    path.text[path.len] = '\0';
    return open(path.text, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
}

static void fifo_write(int fd, const char *text, size_t len)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && (errno != EAGAIN || poll(&room, 1, WRITE_MS) <= 0))
            return;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

static void add_event(struct hr_rawtext *out, const struct hr_ctx *ctx)
{
    uint64_t tenths = (uint64_t)((hr_time_now() - ctx->taken_at) / (100 * HR_MS));
    hr_rawtext_str(out, "   in hand: ");
    hr_rawtext_value(out, ctx->channel);
    if (ctx->path.len > 0) {
        hr_rawtext_str(out, " ");
        hr_rawtext_value(out, ctx->path);
    }
    if (hr_addr_is_set(&ctx->reply)) {
        hr_rawtext_str(out, ", connection ");
        hr_rawtext_number(out, ctx->reply.conn);
    }
    hr_rawtext_str(out, ", taken ");
    hr_rawtext_number(out, tenths / 10);
    hr_rawtext_str(out, ".");
    hr_rawtext_number(out, tenths % 10);
    hr_rawtext_str(out, " s ago");
}

static void add_frame(struct hr_rawtext *out, uintptr_t address)
{
    struct hr_place place;
    hr_place_find(address, &place);
    hr_rawtext_str(out, "    ");
    hr_rawtext_str(out, place.function[0] ? place.function : "?");
    if (place.file[0]) {
        hr_rawtext_str(out, " at ");
        hr_rawtext_str(out, place.file);
        hr_rawtext_str(out, ":");
        hr_rawtext_number(out, place.line);
    } else if (place.is_app) {
        hr_rawtext_str(out, " in the application");
    } else if (place.object) {
        hr_rawtext_str(out, " in ");
        hr_rawtext_str(out, place.object);
    }
    hr_rawtext_str(out, "\n");
}

static void write_thread(int fd, const void *context)
{
    struct hr_rawtext out = {0};
    struct hr_place_frames frames;
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    hr_rawtext_str(&out, "  thread ");
    hr_rawtext_number(&out, (uint64_t)syscall(SYS_gettid));
    if (strncmp(name, "headrace:", 9) != 0) { /* what it is called when nobody has named it */
        hr_rawtext_str(&out, " (");
        hr_rawtext_str(&out, name);
        hr_rawtext_str(&out, ")");
    }
    if (hr_in_hand)
        add_event(&out, hr_in_hand);
    hr_rawtext_str(&out, "\n");
    hr_place_frames_take(&frames, context);
    for (int i = frames.first; i < frames.n; i++)
        add_frame(&out, hr_place_frame(&frames, i));
    fifo_write(fd, out.text, out.len);
}

static void write_silent(int fd, uint32_t thread)
{
    struct hr_rawtext out = {0};
    hr_rawtext_str(&out, "  thread ");
    hr_rawtext_number(&out, thread);
    hr_rawtext_str(&out, " does not answer: it blocks signals, or waits in the kernel\n");
    fifo_write(fd, out.text, out.len);
}

/* ---- the other threads */

/* Asks one thread; false when it is not there any more. */
static bool ask(uint32_t thread, uint32_t slot)
{
    siginfo_t info = {.si_signo = HR_STACK_SIGNAL, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = (int)slot;
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, HR_STACK_SIGNAL, &info) == 0;
}

static void ask_and_wait(int fd, uint32_t thread, uint32_t slot)
{
    uint32_t before = atomic_load(&n_done);
    if (!ask(thread, slot))
        return;
    for (int ms = 0; ms < WAIT_MS && atomic_load(&n_done) == before; ms++)
        (void)poll(NULL, 0, 1);
    if (atomic_load(&n_done) == before)
        write_silent(fd, thread);
}

struct entry { /* getdents64(2) */
    uint64_t inode;
    int64_t offset;
    uint16_t len;
    uint8_t type;
    char name[];
};

static uint32_t thread_of(const char *name)
{
    uint32_t number = 0;
    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (uint32_t)(*name - '0');
    return *name == '\0' ? number : 0;
}

static uint32_t list_threads(uint32_t threads[MAX_THREADS])
{
    _Alignas(struct entry) char entries[2048];
    uint32_t n = 0;
    long len;
    int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (dir >= 0 && (len = syscall(SYS_getdents64, dir, entries, sizeof(entries))) > 0) {
        for (long at = 0; at < len && n < MAX_THREADS;) {
            const struct entry *entry = (const void *)(entries + at);
            uint32_t thread = thread_of(entry->name);
            if (thread != 0)
                threads[n++] = thread;
            at += entry->len;
        }
    }
    if (dir >= 0)
        close(dir);
    return n;
}

/* ---- the handler */

static void answer(int fd, uint32_t slot, const void *context)
{
    uint32_t threads[MAX_THREADS], n = list_threads(threads);
    uint32_t own = (uint32_t)syscall(SYS_gettid);
    void (*write_extra)(int) = atomic_load(&extra);
    write_thread(fd, context);
    for (uint32_t i = 0; i < n; i++)
        if (threads[i] != own)
            ask_and_wait(fd, threads[i], slot);
    if (write_extra)
        write_extra(fd);
    fifo_write(fd, HR_STACK_END, strlen(HR_STACK_END));
}

static void stack_on_signal(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    uint32_t slot = (uint32_t)info->si_value.sival_int;
    bool is_first = info->si_pid != getpid();
    (void)number;
    int fd = info->si_code == SI_QUEUE ? fifo_open(slot) : -1;
    if (fd >= 0 && !is_first) {
        write_thread(fd, context);
        atomic_fetch_add(&n_done, 1);
    } else if (fd >= 0 && !atomic_exchange(&is_answering, true)) {
        answer(fd, slot, context);
        atomic_store(&is_answering, false);
    }
    if (fd >= 0)
        close(fd);
    errno = saved_errno;
}

/* ---- installing */

void hr_stack_set_writer(void (*write)(int fd))
{
    atomic_store(&extra, write);
}

bool hr_stack_is_installed(void)
{
    return directory[0] != '\0';
}

void hr_stack_install(const char *layer_url)
{
    struct sigaction action = {.sa_sigaction = stack_on_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    struct hr_str url = hr_str_of(layer_url), scheme;
    if (!hr_str_next(&url, ':', &scheme) || !hr_str_eq(scheme, HR_LIT("ipc")) ||
        !hr_str_copy(directory, sizeof(directory) - sizeof("/stack.4294967295"), url)) {
        directory[0] = '\0';
        return;
    }
    hr_place_init();
    sigemptyset(&action.sa_mask);
    (void)sigaction(HR_STACK_SIGNAL, &action, NULL);
}
