/* layer.c - what the ipc layer costs, beside the least that could do the job.
 *
 *   stream      one process sends 64 B messages, another takes them; both on
 *               one core. Against an unprotected ring of one producer and one
 *               consumer that sleeps on a futex.
 *   roundtrip   a message there and an answer back, both sides asleep in
 *               between, one core. Against a bare futex ping-pong.
 *   redis       both of the above against LPUSH and BRPOP on a unix socket.
 *
 * Both sides of a row run in turn, several times, in this one process tree;
 * the figures are medians. Prints one JSON object a row.
 *
 * usage: bench-layer [--runs N] [--redis SOCKET]
 */
#include <errno.h>
#include <getopt.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <headrace/layer.h>

#include "base/str.h"
#include "base/time.h"

enum { SIZE = 64, MAX_RUNS = 31, RING = 1024 };

static char directory[64], url[80];
static const char *redis_socket;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Ends the run when a layer call did not do what it must. */
static void must(int r, const char *what)
{
    if (r) {
        fprintf(stderr, "bench-layer: %s: %s\n", what, r < 0 ? hr_error_name(r) : "refused");
        exit(1);
    }
}

static void pin_to_first_cpu(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("sched_setaffinity");
}

static pid_t start(void (*fn)(void *arg), void *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn(arg);
        _exit(0);
    }
    return pid;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("mmap");
    return p;
}

/* ---- the least that could do it: a ring without protection, and a futex */

struct bare_ring {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint32_t asleep;
    _Alignas(64) uint8_t slots[RING][SIZE];
    uint64_t n;
};

static void bare_consumer(void *arg)
{
    struct bare_ring *r = arg;
    uint8_t message[SIZE];
    for (uint64_t head = 0; head < r->n; head++) {
        while (head == atomic_load_explicit(&r->tail, memory_order_acquire)) {
            atomic_store(&r->asleep, 1);
            if (head != atomic_load(&r->tail)) {
                atomic_store(&r->asleep, 0);
                break;
            }
            futex_wait(&r->asleep, 1);
            atomic_store(&r->asleep, 0);
        }
        memcpy(message, r->slots[head % RING], SIZE);
        __asm__ volatile("" ::"r"(message) : "memory");
        atomic_store_explicit(&r->head, head + 1, memory_order_release);
    }
}

static double bare_stream(uint64_t n)
{
    struct bare_ring *r = shared(sizeof *r);
    uint8_t message[SIZE] = {0};
    r->n = n;
    pid_t pid = start(bare_consumer, r);
    hr_time begin = hr_time_now();
    for (uint64_t tail = 0; tail < n; tail++) {
        while (tail - atomic_load_explicit(&r->head, memory_order_acquire) == RING)
            sched_yield();
        memcpy(r->slots[tail % RING], message, SIZE);
        atomic_store(&r->tail, tail + 1);
        if (atomic_load(&r->asleep) && atomic_exchange(&r->asleep, 0))
            futex_wake(&r->asleep);
    }
    waitpid(pid, NULL, 0);
    double ns = (double)(hr_time_now() - begin) / (double)n;
    munmap(r, sizeof *r);
    return ns;
}

struct ping_pong {
    _Alignas(64) _Atomic uint32_t ball; /* whose turn it is */
    uint64_t n;
};

static void play(struct ping_pong *p, uint32_t mine)
{
    for (uint64_t i = 0; i < p->n; i++) {
        while (atomic_load(&p->ball) != mine)
            futex_wait(&p->ball, !mine);
        atomic_store(&p->ball, !mine);
        futex_wake(&p->ball);
    }
}

static void ponger(void *arg)
{
    play(arg, 1);
}

static double bare_roundtrip(uint64_t n)
{
    struct ping_pong *p = shared(sizeof *p);
    p->n = n;
    pid_t pid = start(ponger, p);
    hr_time begin = hr_time_now();
    play(p, 0);
    waitpid(pid, NULL, 0);
    double ns = (double)(hr_time_now() - begin) / (double)n;
    munmap(p, sizeof *p);
    return ns;
}

/* ---- the ipc layer */

static struct hr_layer *attach(enum hr_role role, const char *label)
{
    struct hr_layer *l;
    struct hr_layer_options options = {.role = role, .create = true, .label = label};
    if (hr_layer_open(url, &options, &l)) {
        fprintf(stderr, "%s\n", hr_layer_open_error());
        exit(1);
    }
    return l;
}

static void ipc_consumer(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    struct hr_layer *l = attach(HR_ROLE_WORKER, "consumer");
    struct hr_delivery d;
    must(hr_layer_listen(l, HR_LIT("stream")), "listen");
    hr_layer_set_ready(l, true);
    while (n > 0) {
        int r = hr_layer_receive(l, HR_RECEIVE_ALL, &d);
        if (r == 0)
            n--;
        else if (r == HR_LAYER_EMPTY)
            (void)!hr_layer_wait(l, HR_RECEIVE_ALL, HR_SECOND);
        else
            must(r, "receive");
    }
    hr_layer_close(l);
}

/* Waits until a worker is ready; the other side is then attached and listens. */
static void await_ready(struct hr_layer *l)
{
    struct hr_member member = {0};
    for (uint32_t slot = 0;; slot++) {
        if (!hr_layer_member(l, slot, &member)) {
            slot = UINT32_MAX;
            usleep(1000);
        } else if (member.is_live && member.flags & HR_MEMBER_READY) {
            return;
        }
    }
}

static double ipc_stream(uint64_t n)
{
    struct hr_layer *l = attach(HR_ROLE_SERVER, "sender");
    struct hr_channel_policy policy = {.pattern = "stream", .max_messages = RING};
    uint8_t message[SIZE] = {0};
    must(hr_layer_set_policies(l, &policy, 1), "policy");
    pid_t pid = start(ipc_consumer, &n);
    await_ready(l);
    hr_time begin = hr_time_now();
    for (uint64_t i = 0; i < n;) {
        int r = hr_layer_send(l, HR_LIT("stream"), message, SIZE, NULL);
        if (r == 0)
            i++;
        else if (r == HR_LAYER_FULL)
            sched_yield();
        else
            must(r, "send");
    }
    waitpid(pid, NULL, 0);
    double ns = (double)(hr_time_now() - begin) / (double)n;
    hr_layer_close(l);
    return ns;
}

static void take(struct hr_layer *l, struct hr_delivery *d)
{
    int r;
    while ((r = hr_layer_receive(l, HR_RECEIVE_ALL, d)) == HR_LAYER_EMPTY)
        (void)!hr_layer_wait(l, HR_RECEIVE_ALL, HR_SECOND);
    must(r, "receive");
}

static void ipc_answerer(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    struct hr_layer *l = attach(HR_ROLE_WORKER, "answerer");
    uint8_t message[SIZE] = {0};
    struct hr_delivery d;
    must(hr_layer_listen(l, HR_LIT("ping")), "listen");
    hr_layer_set_ready(l, true);
    for (; n > 0; n--) {
        take(l, &d);
        must(hr_layer_send_to(l, &d.reply, message, SIZE, NULL), "answer");
        must(hr_layer_ack(l, &d.lease), "ack");
    }
    hr_layer_close(l);
}

static double ipc_roundtrip(uint64_t n)
{
    struct hr_layer *l = attach(HR_ROLE_SERVER, "asker");
    struct hr_send_options options = {0};
    uint8_t message[SIZE] = {0};
    struct hr_delivery d;
    must(hr_layer_address_open(l, &options.reply), "address");
    pid_t pid = start(ipc_answerer, &n);
    await_ready(l);
    hr_time begin = hr_time_now();
    for (uint64_t i = 0; i < n; i++) {
        must(hr_layer_send(l, HR_LIT("ping"), message, SIZE, &options), "send");
        take(l, &d);
    }
    double ns = (double)(hr_time_now() - begin) / (double)n;
    waitpid(pid, NULL, 0);
    hr_layer_close(l);
    return ns;
}

/* ---- redis */

static int redis_connect(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!hr_str_copy(sa.sun_path, sizeof sa.sun_path, hr_str_of(redis_socket)) ||
        connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        die("redis");
    return fd;
}

/* Sends a command and reads its reply, which is taken to arrive whole. */
static void redis_call(int fd, const char *command, size_t len)
{
    char reply[512];
    if (write(fd, command, len) != (ssize_t)len || read(fd, reply, sizeof reply) <= 0)
        die("redis");
}

static size_t redis_push(char *out, size_t size, const char *list)
{
    char message[SIZE + 1];
    memset(message, 'x', SIZE);
    message[SIZE] = '\0';
    return (size_t)snprintf(out, size, "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n",
                            strlen(list), list, SIZE, message);
}

static size_t redis_pop(char *out, size_t size, const char *list)
{
    return (size_t)snprintf(out, size, "*3\r\n$5\r\nBRPOP\r\n$%zu\r\n%s\r\n$1\r\n0\r\n",
                            strlen(list), list);
}

static void redis_consumer(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    char command[128];
    size_t len = redis_pop(command, sizeof command, "stream");
    int fd = redis_connect();
    for (; n > 0; n--)
        redis_call(fd, command, len);
    close(fd);
}

static double redis_stream(uint64_t n)
{
    char command[256];
    size_t len = redis_push(command, sizeof command, "stream");
    int fd = redis_connect();
    pid_t pid = start(redis_consumer, &n);
    hr_time begin = hr_time_now();
    for (uint64_t i = 0; i < n; i++)
        redis_call(fd, command, len);
    waitpid(pid, NULL, 0);
    double ns = (double)(hr_time_now() - begin) / (double)n;
    close(fd);
    return ns;
}

static void redis_answerer(void *arg)
{
    uint64_t n = *(uint64_t *)arg;
    char pop[128], push[256];
    size_t pop_len = redis_pop(pop, sizeof pop, "ping");
    size_t push_len = redis_push(push, sizeof push, "pong");
    int fd = redis_connect();
    for (; n > 0; n--) {
        redis_call(fd, pop, pop_len);
        redis_call(fd, push, push_len);
    }
    close(fd);
}

static double redis_roundtrip(uint64_t n)
{
    char pop[128], push[256];
    size_t pop_len = redis_pop(pop, sizeof pop, "pong");
    size_t push_len = redis_push(push, sizeof push, "ping");
    int fd = redis_connect();
    pid_t pid = start(redis_answerer, &n);
    hr_time begin = hr_time_now();
    for (uint64_t i = 0; i < n; i++) {
        redis_call(fd, push, push_len);
        redis_call(fd, pop, pop_len);
    }
    double ns = (double)(hr_time_now() - begin) / (double)n;
    waitpid(pid, NULL, 0);
    close(fd);
    return ns;
}

/* ---- rows */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return values[n / 2];
}

struct row {
    const char *name;
    double (*ours)(uint64_t n);
    double (*theirs)(uint64_t n);
    uint64_t n_ours, n_theirs;
    double budget; /* the ratio theirs / ours is at least this */
    bool needs_redis;
};

static const struct row rows[] = {
    {"ipc send+receive 64 B / bare ring + futex", ipc_stream, bare_stream, 1000000, 1000000,
     1 / 3.0, false},
    {"ipc idle round trip / futex ping-pong", ipc_roundtrip, bare_roundtrip, 50000, 50000, 1 / 1.5,
     false},
    {"ipc throughput / redis", ipc_stream, redis_stream, 1000000, 5000, 100, true},
    {"ipc round trip / redis", ipc_roundtrip, redis_roundtrip, 50000, 2000, 10, true},
};

static void run(const struct row *row, int n_runs)
{
    double ours[MAX_RUNS], theirs[MAX_RUNS];
    for (int i = 0; i < n_runs; i++) {
        ours[i] = row->ours(row->n_ours);
        theirs[i] = row->theirs(row->n_theirs);
    }
    double a = median(ours, n_runs), b = median(theirs, n_runs);
    printf(
        "{\"name\": \"%s\", \"unit\": \"ns\", \"ours\": %.1f, \"theirs\": %.1f, \"ratio\": %.3f, "
        "\"budget\": %.3f, \"met\": %s}\n",
        row->name, a, b, b / a, row->budget, b / a >= row->budget ? "true" : "false");
    fflush(stdout);
}

static void remove_layer(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0)
        fprintf(stderr, "could not remove %s\n", directory);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"runs", required_argument, NULL, 'n'}, {"redis", required_argument, NULL, 'r'}, {0}};
    int n_runs = 5, c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (c == 'n')
            n_runs = (int)strtol(optarg, NULL, 10);
        else if (c == 'r')
            redis_socket = optarg;
        else
            return 2;
    n_runs = n_runs < 1 ? 1 : n_runs > MAX_RUNS ? MAX_RUNS : n_runs;
    snprintf(directory, sizeof directory, "/dev/shm/headrace-bench-%ld", (long)getpid());
    snprintf(url, sizeof url, "ipc:%s", directory);
    pin_to_first_cpu();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!rows[i].needs_redis || redis_socket)
            run(&rows[i], n_runs);
    remove_layer();
    return 0;
}
