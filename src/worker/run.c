/* run.c - a worker as a process of its own: `headrace work` and hr_worker_main().
 *
 * SIGTERM and SIGINT stop it gracefully, a second SIGINT at once. Whatever
 * ends it, the exit code says: SURFACE 1.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/str.h"
#include "worker/runtime.h"
#include "worker/stack.h"

enum { EXIT_ERROR = 1, EXIT_USAGE = 2 };

struct run {
    struct hr_loop *loop;
    struct hr_worker *worker;
    struct hr_signal term, interrupt;
    int outcome;
    bool was_interrupted;
};

static void run_on_ended(struct hr_worker *worker, void *arg, int outcome)
{
    (void)worker;
    struct run *run = arg;
    run->outcome = outcome;
    hr_loop_stop(run->loop);
}

static void run_on_term(struct hr_signal *signal, int number)
{
    (void)number;
    hr_worker_stop(hr_container_of(signal, struct run, term)->worker);
}

static void run_on_interrupt(struct hr_signal *signal, int number)
{
    (void)number;
    struct run *run = hr_container_of(signal, struct run, interrupt);
    if (run->was_interrupted)
        hr_loop_stop(run->loop);
    run->was_interrupted = true;
    hr_worker_stop(run->worker);
}

static int run_signals(struct run *run)
{
    int r = hr_signal_open(run->loop, &run->term, SIGTERM, run_on_term);
    if (r < 0)
        return hr_trace(r);
    r = hr_signal_open(run->loop, &run->interrupt, SIGINT, run_on_interrupt);
    if (r < 0)
        hr_signal_close(&run->term);
    return hr_trace(r);
}

static int run_worker(struct run *run, const struct hr_worker_config *config)
{
    int r = hr_worker_open(run->loop, config, &run->worker);
    if (r > 0)
        fprintf(stderr, "headrace: %s\n", hr_worker_open_error());
    if (r == 0)
        r = hr_loop_run(run->loop);
    hr_worker_close(run->worker);
    return r != 0 ? hr_trace(r) : run->outcome;
}

static int run_report(const struct hr_worker_config *config, int r)
{
    char text[256];
    if (r >= 0)
        return r;
    hr_error_format(text, sizeof(text), r);
    hr_log(HR_EV_ERROR, "pool=%s error=\"%s\" text=\"the worker cannot run\"",
           config->pool ? config->pool : "web", text);
    return EXIT_ERROR;
}

int hr_worker_run(const struct hr_worker_config *config)
{
    struct run run = {0};
    struct hr_worker_config own = *config;
    own.ended = run_on_ended;
    own.arg = &run;
    hr_worker_catch_crashes();
    hr_stack_install(config->layer_url);

    int r = hr_loop_new(&run.loop);
    if (r < 0)
        return run_report(config, r);
    r = run_signals(&run); /* first: one that comes while the application boots is for after that */
    if (r == 0) {
        r = run_worker(&run, &own);
        hr_signal_close(&run.term);
        hr_signal_close(&run.interrupt);
    }
    hr_loop_free(run.loop);
    return run_report(config, r);
}

/* ---- programs with a main() of their own */

/* Is there a layer? An observer disturbs nobody. */
static bool main_layer_is_at(const char *url)
{
    struct hr_layer_options options = {.role = HR_ROLE_OBSERVER, .label = ""};
    struct hr_layer *layer = NULL;
    int r = hr_layer_open(url, &options, &layer);
    hr_layer_close(layer);
    return r == 0;
}

/* Where `--name` looks: the directories of SURFACE 1, in that order. */
static bool main_find_layer(const char *name, char *url, size_t size)
{
    struct hr_str units = hr_str_of(getenv("RUNTIME_DIRECTORY")), unit = {0};
    const char *user = getenv("XDG_RUNTIME_DIR");
    hr_str_next(&units, ':', &unit); /* systemd separates several by colons; the first is ours */
    for (int place = 0; place < 4; place++) {
        int len = 0;
        if (place == 0 && unit.len > 0)
            len = snprintf(url, size, "ipc:%.*s", HR_STR(unit));
        else if (place == 1)
            len = snprintf(url, size, "ipc:/run/headrace/%s", name);
        else if (place == 2 && user && *user)
            len = snprintf(url, size, "ipc:%s/headrace/%s", user, name);
        else if (place == 3)
            len = snprintf(url, size, "ipc:/dev/shm/headrace-%u/%s", (unsigned)geteuid(), name);
        if (len > 0 && (size_t)len < size && main_layer_is_at(url))
            return true;
    }
    return false;
}

static int main_usage(const char *program, bool is_help)
{
    fprintf(
        is_help ? stdout : stderr,
        "usage: %s [--layer URL | --name NAME] [--pool POOL] [--label LABEL] [--drain SECONDS]\n"
        "  --layer URL      the channel layer, ipc:DIRECTORY (else HEADRACE_LAYER)\n"
        "  --name NAME      the layer of the site of that name, where `headrace run` keeps it\n"
        "  --pool POOL      the pool this worker belongs to (web)\n"
        "  --label LABEL    what status and logs call it (POOL.1)\n"
        "  --drain SECONDS  to finish what is held when asked to stop (30)\n",
        program);
    return is_help ? 0 : EXIT_USAGE;
}

struct main_args {
    struct hr_worker_config config;
    char url[512];
    bool is_help;
};

static int main_option(struct main_args *args, int option)
{
    char *end;
    switch (option) {
    case 'l':
        args->config.layer_url = optarg;
        return 0;
    case 'n':
        if (main_find_layer(optarg, args->url, sizeof(args->url))) {
            args->config.layer_url = args->url;
            return 0;
        }
        fprintf(stderr, "headrace: no channel layer of the name '%s' was found.\n", optarg);
        return HR_WORKER_NO_LAYER;
    case 'p':
        args->config.pool = optarg;
        return 0;
    case 'L':
        args->config.label = optarg;
        return 0;
    case 'd':
        args->config.drain = strtol(optarg, &end, 10) * HR_SECOND;
        return *end == '\0' && args->config.drain > 0 ? 0 : EXIT_USAGE;
    case 'h':
        args->is_help = true;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

static int main_parse(struct main_args *args, int argc, char **argv)
{
    static const struct option options[] = {{"layer", required_argument, NULL, 'l'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"pool", required_argument, NULL, 'p'},
                                            {"label", required_argument, NULL, 'L'},
                                            {"drain", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option, r = 0;
    while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        r = main_option(args, option);
    return r == 0 && optind < argc ? EXIT_USAGE : r;
}

int hr_worker_main(int argc, char **argv, int (*app)(struct hr_worker *worker))
{
    struct main_args args = {.config = {.app = app, .layer_url = getenv("HEADRACE_LAYER")}};
    int r = main_parse(&args, argc, argv);
    if (r == EXIT_USAGE || args.is_help)
        return main_usage(argv[0], args.is_help);
    if (r != 0)
        return r;
    if (!args.config.layer_url || !*args.config.layer_url) {
        fprintf(stderr,
                "%s: no channel layer was named: give --layer or --name, or set "
                "HEADRACE_LAYER\n",
                argv[0]);
        return HR_WORKER_NO_LAYER;
    }
    hr_log_init(STDERR_FILENO, HR_LOG_AUTO, HR_LOG_INFO);
    return hr_worker_run(&args.config);
}
