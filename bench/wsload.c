/* wsload.c - a WebSocket load generator: opens connections, uses them, reports.
 *
 *   wsload idle   --port 8000 --connections 15000 --hold 30
 *   wsload echo   --port 8000 --connections 64 --size 125 --hold 10
 *   wsload listen --port 8000 --path /chat --connections 10000 --messages 1
 *
 * The run has three phases (wsload.h). A tick every 10 ms makes all decisions:
 * it opens what the ramp allows, begins the next phase, ends the loop.
 * Connections only report and count, so nothing here is entered twice.
 *
 * listen counts the k-th message of each connection since all were open as
 * the k-th broadcast: the layer keeps the order of one sender, so the k-th is
 * the same everywhere unless one was lost, and then --messages says so.
 *
 * Thousands of connections from one address open slowly, because the kernel
 * searches for each free port: 15 000 in 7 s from one, in 2.4 s from eight.
 * --from takes as many addresses of 127.0.0.0/8 as are wanted.
 *
 * Exit codes: 0, 1 when anything unexpected happened, 2 usage.
 */
#include "wsload.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/random.h"

const char *const load_mode_names[] = {"idle", "echo", "listen", NULL};

/* ---- what connections report */

void load_count_error(struct load *load, enum load_error error, const char *format, ...)
{
    char *detail = load->details[error];
    va_list args;

    if (load->errors[error]++ > 0)
        return;
    va_start(args, format);
    (void)vsnprintf(detail, LOAD_DETAIL, format, args);
    va_end(args);
    /* It may hold what a server sent, and goes to a terminal or into JSON. */
    for (; *detail; detail++)
        if (*detail < ' ' || *detail > '~' || *detail == '"' || *detail == '\\')
            *detail = '?';
}

void load_on_open(struct conn *conn)
{
    struct load *load = conn->load;

    load->n_opening--;
    load->n_live++;
    load->n_opened++;
    histogram_add(&load->handshakes, hr_time_now() - conn->sent_at);
}

void load_on_gone(struct conn *conn, enum conn_state ended)
{
    if (ended < CONN_OPEN)
        conn->load->n_opening--;
    else
        conn->load->n_live--;
}

static void load_note_round(struct load *load, uint32_t index)
{
    if (index >= LOAD_MAX_ROUNDS)
        return;
    struct load_round *round = &load->rounds[index];

    round->last = hr_time_now();
    if (round->n++ == 0)
        round->first = round->last;
}

void load_on_message(struct conn *conn)
{
    struct load *load = conn->load;

    if (load->phase != LOAD_RUNNING)
        return;
    load->n_messages++;
    if (load->options.mode == LOAD_ECHO) {
        histogram_add(&load->latencies, hr_time_now() - conn->sent_at);
        conn_send_echo(conn);
    } else if (load->options.mode == LOAD_LISTEN) {
        load_note_round(load, conn->n_received++);
        load->n_complete += conn->n_received == load->options.n_messages;
    }
}

/* ---- the phases */

static void load_begin_running(struct load *load)
{
    load->phase = LOAD_RUNNING;
    load->opened_at = hr_time_now();
    (void)fprintf(stderr, "wsload: %" PRIu32 " of %" PRIu32 " connections open\n", load->n_live,
                  load->options.n_connections);
    for (uint32_t i = 0; load->options.mode == LOAD_ECHO && i < load->n_started; i++)
        if (load->conns[i].state == CONN_OPEN)
            conn_send_echo(&load->conns[i]);
}

static void load_begin_closing(struct load *load)
{
    load->phase = LOAD_CLOSING;
    load->closing_at = hr_time_now();
    if (load->opened_at == 0)
        load->opened_at = load->closing_at;
    for (uint32_t i = 0; i < load->n_started; i++) {
        load->n_alive_end += load->conns[i].state == CONN_OPEN;
        conn_close(&load->conns[i]);
    }
}

/* Opens what the ramp and the bound on handshakes under way allow. */
static void load_tick_opening(struct load *load)
{
    const struct load_options *options = &load->options;
    uint64_t due = options->n_connections;

    if (options->ramp > 0) {
        uint64_t ms = (uint64_t)((hr_time_now() - load->started_at) / HR_MS);
        due = 1 + ms * options->ramp / 1000;
    }
    while (load->n_started < options->n_connections && load->n_started < due &&
           load->n_opening < LOAD_MAX_OPENING) {
        load->n_opening++;
        conn_open(&load->conns[load->n_started++]);
    }
    if (load->n_started == options->n_connections && load->n_opening == 0)
        load_begin_running(load);
}

static bool load_is_complete(const struct load *load)
{
    return load->options.n_messages > 0 && load->n_complete == load->n_opened;
}

static void load_on_tick(struct hr_timer *timer)
{
    struct load *load = hr_container_of(timer, struct load, tick);

    if (load->phase == LOAD_OPENING)
        load_tick_opening(load);
    if (load->phase == LOAD_RUNNING &&
        (load->n_live == 0 || load_is_complete(load) ||
         hr_time_now() - load->opened_at >= load->options.hold * HR_SECOND))
        load_begin_closing(load);
    if (load->is_interrupted && load->phase != LOAD_CLOSING)
        load_begin_closing(load);
    if (load->phase == LOAD_CLOSING && load->n_live == 0) {
        hr_loop_stop(load->loop);
        return;
    }
    hr_loop_start_timer(load->loop, &load->tick, 10 * HR_MS, load_on_tick);
}

static void load_on_interrupt(struct hr_signal *signal, int number)
{
    (void)number;
    hr_container_of(signal, struct load, interrupt)->is_interrupted = true;
}

/* ---- options */

static const char usage_text[] =
    "usage: wsload idle|echo|listen [options]\n"
    "  idle    open connections and hold them\n"
    "  echo    each connection sends, waits for its echo, sends again\n"
    "  listen  count what the connections receive, by broadcast\n"
    "\n"
    "  --host HOST         of the server (127.0.0.1)\n"
    "  --port PORT         of the server (8000)\n"
    "  --path PATH         and query (/)\n"
    "  --header LINE       a further request header; may be repeated\n"
    "  --from A[-B]        source addresses, each with its own ports: 127.0.0.2-127.0.0.9\n"
    "  --connections N     (100)\n"
    "  --ramp N            connections opened in a second; 0: as fast as they open (0)\n"
    "  --hold SECONDS      how long to run once all are open (10)\n"
    "  --size BYTES        of an echo message (125)\n"
    "  --messages N        listen: end when each connection got N; fewer is an error\n"
    "  --timeout SECONDS   for a handshake, an echo, a close (10)\n"
    "  --json              one JSON object instead of lines\n";

struct number_option {
    const char *name;
    uint32_t *value;
    uint32_t min, max;
};

static bool option_number(const struct number_option *option, const char *text)
{
    uint64_t value;

    if (hr_str_u64(hr_str_of(text), &value) && value >= option->min && value <= option->max) {
        *option->value = (uint32_t)value;
        return true;
    }
    (void)fprintf(stderr, "wsload: --%s %s: expected a number from %" PRIu32 " to %" PRIu32 "\n",
                  option->name, text, option->min, option->max);
    return false;
}

/* "127.0.0.2-127.0.0.9", or one address. */
static bool option_from(struct load_options *options, const char *text)
{
    struct hr_str rest = hr_str_of(text), part;
    char first[INET_ADDRSTRLEN], last[INET_ADDRSTRLEN];
    struct in_addr from, to;

    bool ok = hr_str_next(&rest, '-', &part) && hr_str_copy(first, sizeof(first), part);
    part = rest.len > 0 ? rest : part;
    ok = ok && hr_str_copy(last, sizeof(last), part) && inet_pton(AF_INET, first, &from) == 1 &&
         inet_pton(AF_INET, last, &to) == 1 && ntohl(to.s_addr) >= ntohl(from.s_addr);
    if (!ok) {
        (void)fprintf(stderr, "wsload: --from %s: expected A or A-B, IPv4 addresses\n", text);
        return false;
    }
    options->from = ntohl(from.s_addr);
    options->n_from = ntohl(to.s_addr) - options->from + 1;
    return true;
}

static bool option_header(struct load_options *options, const char *line)
{
    if (!strchr(line, ':') || strpbrk(line, "\r\n")) {
        (void)fprintf(stderr, "wsload: --header %s: expected \"Name: value\"\n", line);
        return false;
    }
    return hr_buf_printf(&options->headers, "%s\r\n", line) == 0;
}

static bool option_mode(struct load_options *options, const char *name)
{
    for (size_t i = 0; name && load_mode_names[i]; i++)
        if (strcmp(name, load_mode_names[i]) == 0) {
            options->mode = (enum load_mode)i;
            return true;
        }
    (void)fputs(usage_text, stderr);
    return false;
}

static bool options_read(struct load_options *options, int argc, char **argv)
{
    const struct number_option numbers[] = {
        {"connections", &options->n_connections, 1, LOAD_MAX_CONNECTIONS},
        {"ramp", &options->ramp, 0, LOAD_MAX_CONNECTIONS},
        {"hold", &options->hold, 0, 7 * 24 * 3600},
        {"size", &options->size, 0, LOAD_MAX_SIZE},
        {"messages", &options->n_messages, 0, UINT32_MAX},
        {"timeout", &options->timeout, 1, 3600},
    };
    enum { N_NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };
    static const struct option names[] = {
        {"connections", required_argument, NULL, 0},
        {"ramp", required_argument, NULL, 1},
        {"hold", required_argument, NULL, 2},
        {"size", required_argument, NULL, 3},
        {"messages", required_argument, NULL, 4},
        {"timeout", required_argument, NULL, 5},
        {"host", required_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {"path", required_argument, NULL, 'u'},
        {"header", required_argument, NULL, 'H'},
        {"from", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, '?'},
        {0},
    };
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c < N_NUMBERS)
            ok = option_number(&numbers[c], optarg);
        else if (c == 'h')
            options->host = optarg;
        else if (c == 'p')
            options->port = optarg;
        else if (c == 'u')
            options->path = optarg;
        else if (c == 'H')
            ok = option_header(options, optarg);
        else if (c == 'f')
            ok = option_from(options, optarg);
        else if (c == 'j')
            options->is_json = true;
        else
            ok = option_mode(options, NULL);
    }
    return ok && option_mode(options, optind == argc - 1 ? argv[optind] : NULL);
}

/* ---- start and end */

static bool load_resolve(struct load *load)
{
    const struct load_options *options = &load->options;
    const struct addrinfo hints = {
        .ai_family = options->n_from > 0 ? AF_INET : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found = NULL;
    int r = getaddrinfo(options->host, options->port, &hints, &found);

    if (r != 0) {
        (void)fprintf(stderr, "wsload: %s port %s: %s\n", options->host, options->port,
                      gai_strerror(r));
        return false;
    }
    memcpy(&load->address, found->ai_addr, found->ai_addrlen);
    load->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    bool is_v6 = strchr(options->host, ':') != NULL;
    (void)snprintf(load->host, sizeof(load->host), is_v6 ? "[%s]:%s" : "%s:%s", options->host,
                   options->port);
    return true;
}

/* Each connection is a file descriptor. */
static bool load_raise_fd_limit(const struct load *load)
{
    rlim_t needed = (rlim_t)load->options.n_connections + 32;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed)
        return true;
    (void)fprintf(stderr,
                  "wsload: %" PRIu32 " connections need %ju file descriptors, the limit is %ju: "
                  "raise it (ulimit -n) or run several, each with --from\n",
                  load->options.n_connections, (uintmax_t)needed, (uintmax_t)limit.rlim_cur);
    return false;
}

/* Returns 0 or HR_ERR_*; load_fini() either way. */
static int load_init(struct load *load)
{
    const struct load_options *options = &load->options;
    size_t payload = options->size > HR_WS_MAX_CONTROL ? options->size : HR_WS_MAX_CONTROL;

    hr_random(&load->random, sizeof(load->random));
    load->frame = hr_alloc(HR_WS_MAX_HEADER + payload);
    load->conns = hr_calloc(options->n_connections, sizeof(load->conns[0]));
    if (options->mode == LOAD_LISTEN)
        load->rounds = hr_calloc(LOAD_MAX_ROUNDS, sizeof(load->rounds[0]));
    if (!load->frame || !load->conns || (options->mode == LOAD_LISTEN && !load->rounds))
        return hr_raise(HR_ERR_NOMEM);
    for (uint32_t i = 0; i < options->n_connections; i++) {
        load->conns[i].load = load;
        load->conns[i].fd = -1;
    }
    int r = hr_loop_new(&load->loop);
    if (r < 0)
        return hr_trace(r);
    r = hr_signal_open(load->loop, &load->interrupt, SIGINT, load_on_interrupt);
    return hr_trace(r);
}

static void load_fini(struct load *load)
{
    load->loop = hr_loop_free(load->loop);
    load->conns = hr_free(load->conns);
    load->rounds = hr_free(load->rounds);
    load->frame = hr_free(load->frame);
    hr_buf_fini(&load->options.headers);
}

static int load_run(struct load *load)
{
    load->started_at = hr_time_now();
    hr_loop_start_timer(load->loop, &load->tick, 0, load_on_tick);
    int r = hr_loop_run(load->loop);
    hr_signal_close(&load->interrupt);
    return hr_trace(r);
}

int main(int argc, char **argv)
{
    static struct load load = {
        .options = {.host = "127.0.0.1",
                    .port = "8000",
                    .path = "/",
                    .n_connections = 100,
                    .hold = 10,
                    .size = 125,
                    .timeout = 10},
    };
    char trace[512];

    if (!options_read(&load.options, argc, argv) || !load_resolve(&load) ||
        !load_raise_fd_limit(&load))
        return 2;
    int r = load_init(&load);
    if (r == 0)
        r = load_run(&load);
    if (r < 0) {
        (void)hr_error_format(trace, sizeof(trace), r);
        (void)fprintf(stderr, "wsload: %s\n", trace);
    }
    bool ok = r == 0 && load_report(&load) == 0;
    load_fini(&load);
    return ok ? 0 : 1;
}
