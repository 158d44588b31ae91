/* torture.c - processes that use one layer are killed and stopped at random; a
 * checker looks at everything that was ever sent.
 *
 *   producers  number their messages and send them to `work`
 *   consumers  take from `work` and note each number
 *   servers    keep 16 leased requests each under way to `rpc`
 *   workers    take from `rpc`, answer, acknowledge
 *
 * The history is in memory shared by all, written by plain atomics, so that a
 * kill loses at most the note of the message in hand. At the end, with
 * everybody gone:
 *   - no message was received twice, none that was never sent; each consumer
 *     saw each producer's numbers rising;
 *   - what was sent and not received was in the hand of a consumer that was
 *     killed, and the layer has counted it as worker_died;
 *   - no request of a living server stayed without answer or lost lease;
 *   - the arena is in order and every block free.
 * A watchdog fails the run when nothing moves for 2 s.
 *
 * usage: torture [SECONDS [SEED]]
 */
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "layer/ipc/fsck.h"
#include "layer/ipc/handle.h"

enum {
    N_PRODUCERS = 2,
    N_CONSUMERS = 3,
    N_SERVERS = 2,
    N_WORKERS = 2,
    N_PROCESSES = N_PRODUCERS + N_CONSUMERS + N_SERVERS + N_WORKERS,
    N_REQUESTS = 16,
    MAX_NUMBER = 60 << 20,
};

static const struct hr_geometry geometry = {
    .bytes = 4 << 20,
    .n_channels = 8,
    .role = {[HR_ROLE_SERVER] = {.n_slots = 4, .inbox = 256, .connections = 64, .interests = 16},
             [HR_ROLE_WORKER] = {.n_slots = 12, .inbox = 64, .connections = 16, .interests = 16},
             [HR_ROLE_CLIENT] = {.n_slots = 4, .inbox = 64, .connections = 16, .interests = 16}},
};

/* The history. One byte a number: 1 sent for sure, the rest counts receipts. */
struct history {
    _Atomic uint32_t next[N_PRODUCERS]; /* the number being sent */
    _Atomic uint64_t n_received, n_answered, n_lost_leases, n_refused;
    _Atomic uint32_t n_violations;
    char violation[160];
    _Atomic bool is_over;
    _Atomic uint8_t notes[N_PRODUCERS][MAX_NUMBER];
};
enum { SENT = 0x80 };

static struct history *history;
static char directory[64], url[80];

struct message {
    uint32_t producer, number, check;
};

static void violation(const char *what, uint32_t a, uint32_t b)
{
    if (atomic_fetch_add(&history->n_violations, 1) == 0)
        snprintf(history->violation, sizeof history->violation, "%s (%u, %u)", what, a, b);
}

static struct hr_layer *join(enum hr_role role, const char *label)
{
    struct hr_layer *l;
    struct hr_layer_options options = {
        .role = role, .create = true, .geometry = &geometry, .label = label};
    int r = hr_layer_open(url, &options, &l);
    if (r) {
        violation(hr_layer_open_error(), (uint32_t)-r, 0);
        fprintf(stderr, "torture: %s: %s\n", label, history->violation);
        _exit(1);
    }
    return l;
}

/* ---- the processes */

static void produce(int id)
{
    struct hr_layer *l = join(HR_ROLE_CLIENT, "producer");
    const struct hr_send_options options = {.expires_in = HR_NEVER};
    uint8_t buffer[1024] = {0};
    while (!atomic_load(&history->is_over)) {
        uint32_t number = atomic_load(&history->next[id]);
        struct message m = {.producer = (uint32_t)id, .number = number, .check = number * 31 + 7};
        if (number >= MAX_NUMBER - 1)
            pause();
        memcpy(buffer, &m, sizeof m);
        /* The number is used up before it is sent: a successor never repeats it. */
        atomic_store(&history->next[id], number + 1);
        size_t len = number % 16 == 0 ? sizeof buffer : sizeof m;
        int r = hr_layer_send(l, HR_LIT("work"), buffer, len, &options);
        if (r == 0)
            atomic_fetch_or(&history->notes[id][number], SENT);
        else if (r == HR_LAYER_FULL)
            usleep(100);
        else
            violation("send", (uint32_t)-r, 0);
    }
    hr_layer_close(l);
}

static void consume(int id)
{
    struct hr_layer *l = join(HR_ROLE_WORKER, "consumer");
    uint32_t last[N_PRODUCERS] = {0};
    (void)id;
    if (hr_layer_listen(l, HR_LIT("work")))
        violation("listen", 0, 0);
    for (;;) {
        struct hr_delivery d;
        struct message m;
        int r = hr_layer_receive(l, HR_RECEIVE_ALL, &d);
        if (r == HR_LAYER_EMPTY) {
            if (atomic_load(&history->is_over))
                break;
            (void)!hr_layer_wait(l, HR_RECEIVE_ALL, 200 * HR_MS);
            continue;
        }
        if (r || d.len < sizeof m) {
            violation("receive", (uint32_t)-r, (uint32_t)d.len);
            break;
        }
        memcpy(&m, d.data, sizeof m);
        if (m.producer >= N_PRODUCERS || m.check != m.number * 31 + 7) {
            violation("a message is garbled", m.producer, m.number);
            continue;
        }
        if (m.number + 1 <= last[m.producer])
            violation("numbers do not rise", m.number, last[m.producer]);
        last[m.producer] = m.number + 1;
        if (atomic_fetch_add(&history->notes[m.producer][m.number], 1) & ~SENT)
            violation("received twice", m.producer, m.number);
        atomic_fetch_add(&history->n_received, 1);
    }
    hr_layer_close(l);
}

static void request(struct hr_layer *l, struct hr_addr *addr, hr_time *since)
{
    struct hr_send_options options = {.reply = *addr};
    int r = hr_layer_send(l, HR_LIT("rpc"), "request", 7, &options);
    *since = r == 0 ? hr_time_now() : 0;
    if (r == HR_LAYER_FULL)
        atomic_fetch_add(&history->n_refused, 1);
    else if (r)
        violation("request", (uint32_t)-r, 0);
}

static void serve(int id)
{
    struct hr_layer *l = join(HR_ROLE_SERVER, "server");
    struct hr_addr addrs[N_REQUESTS];
    hr_time since[N_REQUESTS], stopped_at = 0;
    uint32_t by_conn[64] = {0};
    (void)id;
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        if (hr_layer_address_open(l, &addrs[i]))
            violation("address", i, 0);
        by_conn[addrs[i].conn] = i;
        request(l, &addrs[i], &since[i]);
    }
    while (!atomic_load(&history->is_over)) {
        struct hr_delivery d;
        hr_time before = hr_time_now();
        int r = hr_layer_receive(l, HR_RECEIVE_ALL, &d);
        if (r == HR_LAYER_EMPTY) {
            (void)!hr_layer_wait(l, HR_RECEIVE_ALL, 50 * HR_MS);
            hr_time now = hr_time_now();
            if (now - before > HR_SECOND)
                stopped_at = now; /* we were stopped ourselves: ages mean nothing */
            for (uint32_t i = 0; i < N_REQUESTS; i++)
                if (since[i] == 0)
                    request(l, &addrs[i], &since[i]);
                else if (now - since[i] > 5 * HR_SECOND && now - stopped_at > 5 * HR_SECOND)
                    violation("a request hangs", i, (uint32_t)((now - since[i]) / HR_MS));
            continue;
        }
        if (r) {
            violation("server receives", (uint32_t)-r, 0);
            break;
        }
        uint32_t i = by_conn[d.to.conn % 64];
        if (d.kind == HR_DELIVERY_LEASE_LOST)
            atomic_fetch_add(&history->n_lost_leases, 1);
        else
            atomic_fetch_add(&history->n_answered, 1);
        hr_layer_address_renew(l, &addrs[i]);
        request(l, &addrs[i], &since[i]);
    }
    hr_layer_close(l);
}

static void work(int id)
{
    struct hr_layer *l = join(HR_ROLE_WORKER, "worker");
    (void)id;
    if (hr_layer_listen(l, HR_LIT("rpc")))
        violation("listen", 0, 0);
    while (!atomic_load(&history->is_over)) {
        struct hr_delivery d;
        int r = hr_layer_receive(l, HR_RECEIVE_ALL, &d);
        if (r == HR_LAYER_EMPTY) {
            (void)!hr_layer_wait(l, HR_RECEIVE_ALL, 200 * HR_MS);
            continue;
        }
        if (r) {
            violation("worker receives", (uint32_t)-r, 0);
            break;
        }
        (void)!hr_layer_send_to(l, &d.reply, "answer", 6, NULL);
        (void)!hr_layer_ack(l, &d.lease);
    }
    hr_layer_close(l);
}

/* ---- the tormentor */

static struct process {
    void (*main)(int id);
    int id;
    pid_t pid;
} processes[N_PROCESSES];

static void start(struct process *p)
{
    p->pid = fork();
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        p->main(p->id);
        _exit(0);
    }
}

static void reap(struct process *p)
{
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

/* One cruelty: a kill, or a stop that ends in a continue or a kill. */
static bool torment(struct process *p)
{
    long dice = random() % 10;
    if (dice >= 6) {
        kill(p->pid, SIGSTOP);
        usleep((useconds_t)(random() % 20000));
        if (dice >= 9) {
            kill(p->pid, SIGCONT);
            return false;
        }
    }
    kill(p->pid, SIGKILL);
    if (dice >= 6)
        kill(p->pid, SIGCONT);
    reap(p);
    start(p);
    return true;
}

static void check_history(struct hr_layer *l)
{
    uint64_t n_sent = 0, n_received = 0, n_missing = 0;
    struct hr_channel_stats stats;
    for (int p = 0; p < N_PRODUCERS; p++)
        for (uint32_t i = 0; i < atomic_load(&history->next[p]); i++) {
            uint8_t note = atomic_load(&history->notes[p][i]);
            n_sent += (note & SENT) != 0;
            n_received += (note & ~SENT) != 0;
            n_missing += note == SENT;
        }
    if (!hr_layer_channel_find(l, HR_LIT("work"), &stats))
        violation("the channel is gone", 0, 0);
    printf("  %llu sent, %llu received, %llu in hand when killed (%llu counted)\n",
           (unsigned long long)n_sent, (unsigned long long)n_received,
           (unsigned long long)n_missing,
           (unsigned long long)stats.n_dropped[HR_REASON_WORKER_DIED]);
    if (n_missing > stats.n_dropped[HR_REASON_WORKER_DIED])
        violation("messages were lost in silence", (uint32_t)n_missing,
                  (uint32_t)stats.n_dropped[HR_REASON_WORKER_DIED]);
}

static void check_arena(struct hr_layer *l)
{
    struct ipc_fsck report;
    if (hr_layer_flush(l, HR_LIT("rpc")) || ipc_fsck(&ipc_of(l)->arena, &report))
        violation("fsck", 0, 0);
    else if (report.n_errors)
        violation(report.first, report.n_errors, 0);
    else if (report.n_queued + report.n_held + report.n_tails + report.n_with_layer)
        violation("blocks are not free", report.n_queued, report.n_held);
}

static unsigned run(double seconds)
{
    hr_time end = hr_time_now() + (hr_time)(seconds * 1e9), checked = hr_time_now();
    uint64_t progress = 0;
    unsigned n_kills = 0;
    for (int i = 0; i < N_PROCESSES; i++)
        start(&processes[i]);
    while (hr_time_now() < end && atomic_load(&history->n_violations) == 0) {
        usleep((useconds_t)(random() % 4000));
        n_kills += torment(&processes[random() % N_PROCESSES]);
        if (hr_time_now() - checked < 2 * HR_SECOND)
            continue;
        uint64_t now = atomic_load(&history->n_received) + atomic_load(&history->n_answered);
        if (now == progress)
            violation("nothing moves", 0, 0);
        progress = now;
        checked = hr_time_now();
    }
    return n_kills;
}

/* Producers stop first, so that consumers can empty the queue. */
static void finish(void)
{
    for (int i = 0; i < N_PRODUCERS; i++) {
        kill(processes[i].pid, SIGKILL);
        reap(&processes[i]);
    }
    usleep(500000);
    atomic_store(&history->is_over, true);
    for (int i = N_PRODUCERS; i < N_PROCESSES; i++)
        reap(&processes[i]);
}

static void remove_layer(void)
{
    DIR *dir = opendir(directory);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(directory);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 30;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)time(NULL);
    srandom(seed);
    snprintf(directory, sizeof directory, "/dev/shm/headrace-torture-%ld", (long)getpid());
    snprintf(url, sizeof url, "ipc:%s", directory);
    history =
        mmap(NULL, sizeof *history, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (history == MAP_FAILED)
        return 1;
    struct {
        void (*main)(int id);
        int n;
    } plan[] = {
        {produce, N_PRODUCERS}, {consume, N_CONSUMERS}, {serve, N_SERVERS}, {work, N_WORKERS}};
    for (int k = 0, i = 0; k < 4; k++)
        for (int n = 0; n < plan[k].n; n++)
            processes[i++] = (struct process){.main = plan[k].main, .id = n};

    printf("torture: %.0f s, seed %u\n", seconds, seed);
    fflush(stdout);
    unsigned n_kills = run(seconds);
    finish();
    struct hr_layer *l = join(HR_ROLE_CLIENT, "checker");
    for (int i = 0; i < 20; i++) {
        usleep(60000);
        hr_layer_dispatch(l); /* sweeps */
    }
    check_history(l);
    check_arena(l);
    hr_layer_close(l);
    remove_layer();
    printf("  %llu requests answered, %llu leases lost, %llu refused; %u kills\n",
           (unsigned long long)atomic_load(&history->n_answered),
           (unsigned long long)atomic_load(&history->n_lost_leases),
           (unsigned long long)atomic_load(&history->n_refused), n_kills);
    uint32_t n = atomic_load(&history->n_violations);
    printf("%u violations%s%s\n", n, n ? ": " : "", n ? history->violation : "");
    return n ? 1 : 0;
}
