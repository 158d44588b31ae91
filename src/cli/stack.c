/* stack.c - `headrace stack POOL[.N]`: what its threads are doing. See worker/stack.h for how they
 * tell.
 *
 * Nobody is asked whose handler is not known to stand there: the signal would
 * kill it. And only through a descriptor of the very process, so that a pid
 * that was given away meanwhile is nobody's harm.
 */
#include "worker/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/process.h"
#include "base/time.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/nearest.h"
#include "cli/units.h"
#include "cli/verbs.h"
#include "worker/busy.h"

#define ANSWER_TIMEOUT (3 * HR_SECOND)

struct question {
    struct hr_layer *layer;
    const char *wanted; /* "web" or "web.3" */
    char path[HR_LAYER_URL_MAX + 32];
    int fd; /* of the FIFO, for both: it never ends */
    uint32_t n_found, n_silent;
};

static uint64_t word_of(struct hr_layer *layer, uint32_t slot, uint32_t word)
{
    uint32_t n = 0;
    const uint64_t *words = hr_layer_counters(layer, slot, &n);
    if (!words || n < HR_BUSY_WORDS ||
        __atomic_load_n(&words[0], __ATOMIC_RELAXED) != HR_BUSY_MAGIC)
        return 0;
    return __atomic_load_n(&words[word], __ATOMIC_RELAXED);
}

/* ---- the FIFO */

static int open_fifo(struct question *question, const char *url)
{
    const char *directory = strchr(url, ':') + 1;
    int n = snprintf(question->path, sizeof question->path, "%s/" HR_STACK_FIFO, directory,
                     hr_layer_slot(question->layer));
    hr_assert(n > 0 && (size_t)n < sizeof question->path);
    unlink(question->path); /* of an asker that was killed */
    question->fd = -1;
    if (mkfifo(question->path, 0600) == 0)
        question->fd = open(question->path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (question->fd >= 0)
        return 0;
    hr_complain("%s: %s", question->path, strerror(errno));
    return HR_EXIT_LAYER;
}

/* What a thread of the worker before wrote too late. */
static void drain(const struct question *question)
{
    char sink[4096];
    while (read(question->fd, sink, sizeof sink) > 0)
        ;
}

/* Does the answer end here? The line alone says so. */
static bool has_ended(const struct hr_buf *answer)
{
    static const char end[] = "\n" HR_STACK_END;
    size_t len = hr_buf_len(answer), n = sizeof end - 1;
    return len >= n && memcmp(hr_buf_ptr(answer) + len - n, end, n) == 0;
}

static bool read_answer(const struct question *question, struct hr_buf *answer)
{
    hr_time until = hr_time_now() + ANSWER_TIMEOUT;
    struct pollfd more = {.fd = question->fd, .events = POLLIN};
    while (!has_ended(answer)) {
        uint8_t *room;
        hr_time left = until - hr_time_now();
        if (left <= 0 || hr_buf_reserve(answer, 4096, &room) < 0)
            return false;
        ssize_t n =
            poll(&more, 1, (int)(left / HR_MS) + 1) > 0 ? read(question->fd, room, 4096) : 0;
        hr_buf_commit(answer, n > 0 ? (size_t)n : 0);
    }
    return true;
}

/* ---- one worker */

static void print_head(const struct question *question, const struct hr_member *member)
{
    char age[HR_UNITS_TEXT_MAX];
    hr_time since = (hr_time)word_of(question->layer, member->slot, HR_BUSY_SINCE);
    uint64_t n_open = word_of(question->layer, member->slot, HR_BUSY_OPEN);
    printf("%s   pid %d   %" PRIu64 " event%s open", member->label, (int)member->pid, n_open,
           n_open == 1 ? "" : "s");
    if (since > 0) {
        hr_time span = hr_time_now() - since;
        hr_units_about_duration(span > 0 ? span : 0, age);
        printf("   in the same call for %s", age);
    }
    putchar('\n');
}

/* "T" of a process that is stopped, "D" of one that waits in the kernel; '?': it is gone. */
static char state_of(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *stat = fopen(path, "re");
    if (!stat)
        return '?';
    char *end = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
    fclose(stat);
    return end && end[1] == ' ' ? end[2] : '?';
}

static void complain_silent(const struct hr_member *member)
{
    switch (state_of(member->pid)) {
    case 'T':
    case 't':
        hr_complain("%s (pid %d) does not answer: it is stopped. kill -CONT %d lets it go on.",
                    member->label, (int)member->pid, (int)member->pid);
        break;
    case 'D':
        hr_complain("%s (pid %d) does not answer: it waits in the kernel, for a disk perhaps.",
                    member->label, (int)member->pid);
        break;
    case '?':
    case 'Z':
        hr_complain("%s (pid %d) has ended.", member->label, (int)member->pid);
        break;
    default:
        hr_complain("%s (pid %d) does not answer: it blocks signals, or was asked by somebody else "
                    "at the same time.",
                    member->label, (int)member->pid);
    }
}

/* Queues the signal to precisely this member's process. */
static bool ask(const struct question *question, const struct hr_member *member)
{
    struct hr_member now;
    int pidfd = hr_process_pidfd(member->pid);
    if (pidfd < 0)
        return false;
    /* Still the same: then it was the same when the descriptor was made. */
    bool is_same = hr_layer_member(question->layer, member->slot, &now) && now.is_live &&
                   now.slot_gen == member->slot_gen;
    int r = is_same ? hr_process_pidfd_queue(pidfd, HR_STACK_SIGNAL,
                                             (int)hr_layer_slot(question->layer))
                    : -1;
    close(pidfd);
    return r == 0;
}

static void ask_worker(struct question *question, const struct hr_member *member)
{
    struct hr_buf answer = {0};
    bool can_tell = word_of(question->layer, member->slot, HR_BUSY_STACK) == member->slot_gen;
    print_head(question, member);
    if (member->is_foreign || !can_tell) {
        hr_complain(member->is_foreign
                        ? "%s runs in another container; ask there."
                        : "%s cannot tell: its program does not run as headrace's workers do.",
                    member->label);
        question->n_silent++;
        return;
    }
    drain(question);
    bool is_whole = ask(question, member) && read_answer(question, &answer);
    size_t len = hr_buf_len(&answer) - (is_whole ? strlen(HR_STACK_END) : 0);
    if (len > 0)
        fwrite(hr_buf_ptr(&answer), 1, len, stdout);
    fflush(stdout);
    if (!is_whole) {
        complain_silent(member);
        question->n_silent++;
    }
    hr_buf_fini(&answer);
}

/* ---- the verb */

static bool is_wanted(const char *wanted, const char *label)
{
    size_t len = strlen(wanted);
    const char *dot = strrchr(label, '.');
    return strcmp(wanted, label) == 0 ||
           (dot && (size_t)(dot - label) == len && memcmp(wanted, label, len) == 0);
}

static int complain_unknown(const struct question *question)
{
    struct hr_nearest nearest = {.word = hr_str_of(question->wanted)};
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(question->layer, slot, &member); slot++) {
        const char *dot = strrchr(member.label, '.');
        if (!member.is_live || member.role != HR_ROLE_WORKER)
            continue;
        hr_nearest_offer(&nearest, hr_str_of(member.label));
        if (dot)
            hr_nearest_offer(&nearest, (struct hr_str){member.label, (size_t)(dot - member.label)});
    }
    if (nearest.best[0])
        hr_complain("no worker '%s' runs; did you mean '%s'?", question->wanted, nearest.best);
    else
        hr_complain("no worker '%s' runs; 'headrace status --all' lists them.", question->wanted);
    return HR_EXIT_SETTINGS;
}

static int ask_all(struct question *question)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(question->layer, slot, &member); slot++) {
        if (!member.is_live || member.role != HR_ROLE_WORKER ||
            !is_wanted(question->wanted, member.label))
            continue;
        if (question->n_found++ > 0)
            putchar('\n');
        ask_worker(question, &member);
    }
    if (question->n_found == 0)
        return complain_unknown(question);
    return question->n_silent > 0 ? HR_EXIT_SETTINGS : HR_EXIT_OK;
}

int hr_verb_stack(const struct hr_args *args)
{
    struct hr_visit visit;
    struct question question = {.wanted = args->operands[0]};
    int code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    question.layer = visit.layer;
    if (code == 0)
        code = open_fifo(&question, visit.url);
    if (code == 0) {
        code = ask_all(&question);
        unlink(question.path);
        close(question.fd);
    }
    hr_visit_end(&visit);
    return code;
}
