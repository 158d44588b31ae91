/* crash.c - what was in hand when the process broke.
 *
 * The handler runs on a stack of its own (an overflow of the usual one is a
 * crash too), uses only what is safe in a signal handler, and raises the
 * signal again with its default action, so that the parent sees the signal
 * and the kernel may write its core. A crash inside the handler ends the
 * process by the same default action.
 *
 * Values are cut at the sizes below; what would end a value there is shown as '?'.
 */
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "worker/symbol.h"
#include "worker/worker_impl.h"

enum {
    CRASH_LINE = 1024,
    CRASH_VALUE = 200, /* bytes of one value */
    CRASH_FRAMES = 48,
    CRASH_STACK = 64 << 10,
};

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"},
               {SIGBUS, "SIGBUS"},
               {SIGABRT, "SIGABRT"},
               {SIGFPE, "SIGFPE"},
               {SIGILL, "SIGILL"}};

struct crash_line {
    char text[CRASH_LINE];
    size_t len;
};

static void line_add(struct crash_line *line, const char *text, size_t len)
{
    size_t room = sizeof(line->text) - 1 - line->len; /* the line feed */
    if (len > room)
        len = room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void line_add_text(struct crash_line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

static void line_add_number(struct crash_line *line, uint64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    line_add(line, digits + n, sizeof(digits) - n);
}

/* Quotes, spaces and control characters would make a second pair of it. */
static void line_add_pair(struct crash_line *line, const char *key, struct hr_str value)
{
    line_add_text(line, key);
    size_t len = value.len < CRASH_VALUE ? value.len : CRASH_VALUE;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        char shown = (char)(c <= ' ' || c == '"' || c == '\\' || c == 0x7f ? '?' : c);
        line_add(line, &shown, 1);
    }
}

/* ---- where: the application's object, found when it is loaded */

static struct hr_worker
    *crash_worker; /* the newest of the process: whose crash it is when no event is in hand */

static struct {
    uintptr_t base, start, end; /* addresses in it are base + those of its tables */
    char path[256];
} crash_object;

static int object_visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    uintptr_t wanted = *(const uintptr_t *)arg;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t end = start + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type != PT_LOAD || wanted < start || wanted >= end)
            continue;
        crash_object.base = info->dlpi_addr;
        crash_object.start = start;
        crash_object.end = end;
        bool is_program = !info->dlpi_name || info->dlpi_name[0] == '\0';
        (void)hr_str_copy(crash_object.path, sizeof(crash_object.path),
                          hr_str_of(is_program ? "/proc/self/exe" : info->dlpi_name));
        return 1;
    }
    return 0;
}

void hr_crash_set_app(struct hr_worker *worker, int (*entry)(struct hr_worker *worker))
{
    crash_worker = worker;
    uintptr_t address;
    memcpy(&address, &entry, sizeof(address)); /* ISO C has no such cast */
    (void)dl_iterate_phdr(object_visit, &address);
}

void hr_crash_forget(const struct hr_worker *worker)
{
    if (crash_worker == worker)
        crash_worker = NULL;
}

static bool object_has(uintptr_t address)
{
    return address >= crash_object.start && address < crash_object.end;
}

static void line_add_place(struct crash_line *line, uintptr_t address)
{
    struct stat status;
    int fd = open(crash_object.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size <= 0)
        return;
    size_t size = (size_t)status.st_size;
    void *image = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image == MAP_FAILED)
        return;
    struct hr_symbol symbol = hr_symbol_find(image, size, address - crash_object.base);
    if (symbol.function.len > 0)
        line_add_pair(line, " function=", symbol.function);
    if (symbol.file.len > 0) {
        line_add_pair(line, " at=", symbol.file);
        line_add_text(line, ":");
        line_add_number(line, symbol.line);
    }
}

/* ---- the handler */

static void line_add_event(struct crash_line *line, const struct hr_ctx *ctx)
{
    line_add_pair(line, " channel=", ctx->channel);
    if (ctx->path.len > 0)
        line_add_pair(line, " path=", ctx->path);
    if (hr_addr_is_set(&ctx->reply)) {
        line_add_text(line, " connection=");
        line_add_number(line, ctx->reply.conn);
    }
    if (ctx->attempts > 0) {
        line_add_text(line, " attempts=");
        line_add_number(line, ctx->attempts);
    }
}

static const char *signal_name(int number)
{
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "?";
}

static uintptr_t context_pc(const void *context)
{
    const ucontext_t *uc = context;
#if defined(__x86_64__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)uc->uc_mcontext.pc;
#else
    (void)uc;
    return 0;
#endif
}

struct crash_frames {
    void *at[CRASH_FRAMES];
    int first, n; /* first: where the signal came, past the handler's own */
};

static void frames_take(struct crash_frames *frames, uintptr_t pc)
{
    frames->n = backtrace(frames->at, CRASH_FRAMES);
    while (frames->first < frames->n && (uintptr_t)frames->at[frames->first] != pc)
        frames->first++;
    if (frames->first == frames->n)
        frames->first = 0;
}

/* The application's innermost frame: it called what broke. A return address
 * belongs to the line before it. */
static uintptr_t frames_app(const struct crash_frames *frames, uintptr_t pc)
{
    if (object_has(pc))
        return pc;
    for (int i = frames->first + 1; i < frames->n; i++)
        if (object_has((uintptr_t)frames->at[i]))
            return (uintptr_t)frames->at[i] - 1;
    return 0;
}

static void crash_write(int number, uintptr_t place)
{
    struct crash_line line = {0};
    /* A line feed first: what the application wrote last may be half a line. */
    line_add_text(&line, "\ncrash signal=");
    line_add_text(&line, signal_name(number));
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
    uintptr_t pc = context_pc(context);
    (void)signal(number, SIG_DFL);
    if (n_crashes++ == 0) {
        struct crash_frames frames = {0};
        frames_take(&frames, pc);
        crash_write(number, frames_app(&frames, pc));
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
    void *frame;
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = crash_on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    (void)backtrace(&frame, 1); /* loads the unwinder, which a handler must not */
    (void)sigaltstack(&alternate, NULL);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)sigaction(signals[i].number, &action, NULL);
}
