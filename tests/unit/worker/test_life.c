/* test_life.c - opening, ending, and the application's file. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"

static struct hr_ctx *kept;
static int n_stops;

static int keep(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    kept = ctx;
    hr_ctx_keep(ctx);
    return 0;
}

static const struct hr_consumer keeps[] = {{.channel = "http.request", .fn = keep}, {0}};

static struct hr_member worker_of(struct rig *rig)
{
    struct hr_member member;
    uint32_t slot = 0;
    while (hr_layer_member(rig->server, slot, &member) &&
           !(member.is_live && member.role == HR_ROLE_WORKER))
        slot++;
    return member;
}

static void an_open_worker_is_ready(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, keeps, NULL);
    struct hr_member member = worker_of(&rig);
    assert_true(member.flags & HR_MEMBER_READY);
    assert_string_equal(member.label, "web.1");
    assert_string_equal(hr_worker_pool(rig.worker), "web");
    assert_non_null(hr_worker_layer(rig.worker));
    assert_int_equal(hr_worker_consume(rig.worker, keeps), HR_ERR_STATE); /* too late */
    rig_close(&rig);
}

/* ---- ending */

static void on_stop(void *arg)
{
    assert_int_equal(n_stops, *(int *)arg);
    n_stops++;
}

static void a_stopping_worker_finishes_what_it_holds_and_takes_nothing(void **state)
{
    static int first = 0, second = 1;
    struct hr_channel_stats stats;
    struct rig rig;
    (void)state;
    n_stops = 0;
    rig_open(&rig, keeps, NULL);
    assert_int_equal(hr_worker_on_stop(rig.worker, on_stop, &second), 0);
    assert_int_equal(hr_worker_on_stop(rig.worker, on_stop, &first), 0);
    rig_get(&rig, "/held");
    rig_turn(&rig, 4);
    hr_worker_stop(rig.worker);
    hr_worker_stop(rig.worker);
    rig_get(&rig, "/next");
    rig_turn(&rig, 8);
    assert_false(rig.has_ended);
    assert_false(worker_of(&rig).flags & HR_MEMBER_READY);
    assert_int_equal(n_stops, 0);
    hr_http_reply(kept, 200, NULL, "finished");
    hr_ctx_done(kept);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "finished");
    assert_true(rig.has_ended);
    assert_int_equal(rig.outcome, 0);
    assert_int_equal(n_stops, 2);
    assert_true(hr_layer_channel_find(rig.server, HR_LIT("http.request.web"), &stats));
    assert_int_equal(stats.depth, 1);
    rig_close(&rig);
}

static void a_worker_that_is_asked_to_retire_stops(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, keeps, NULL);
    struct hr_member member = worker_of(&rig);
    hr_layer_retire(rig.server, member.slot, member.slot_gen);
    rig_wait(&rig, &rig.has_ended);
    assert_int_equal(rig.outcome, 0);
    rig_close(&rig);
}

static void short_drain(struct hr_worker_config *config)
{
    config->drain = 20 * HR_MS;
}

static void what_is_held_at_the_end_of_the_drain_goes_back(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, keeps, short_drain);
    rig_get(&rig, "/held");
    rig_turn(&rig, 4);
    hr_worker_stop(rig.worker);
    rig_wait(&rig, &rig.has_ended);
    assert_false(rig_has_next(&rig));
    hr_worker_close(rig.worker);
    rig.worker = NULL;
    const struct answer *answer = rig_next(&rig);
    assert_int_equal(answer->kind, HR_DELIVERY_LEASE_LOST);
    assert_str(hr_msg_str(&answer->msg, "path"), "/held");
    rig_close(&rig);
}

static void close_itself(struct hr_worker *worker, void *arg, int outcome)
{
    struct rig *rig = arg;
    (void)outcome;
    hr_worker_close(worker);
    rig->worker = NULL;
    rig->has_ended = true;
}

static void closes_itself(struct hr_worker_config *config)
{
    config->ended = close_itself;
}

static void a_worker_may_be_closed_when_it_says_it_has_ended(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, keeps, closes_itself);
    hr_worker_stop(rig.worker);
    rig_wait(&rig, &rig.has_ended);
    rig_turn(&rig, 4);
    rig_close(&rig);
}

static void handling_an_event_allocates_nothing(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "websocket.receive", .fn = hr_ws_echo}, {0}};
    struct rig rig;
    (void)state;
    rig_open(&rig, consumers, NULL);
    for (int i = 0; i < 3; i++) {
        rig_receive(&rig, "/", "x");
        /* The memory layer's messages are on the heap; an ipc layer's are not. */
        hr_alloc_fail_at(i > 0 && rig.dir[0] ? 1 : 0);
        rig_turn(&rig, 2);
        hr_alloc_fail_at(0);
        rig_expect(&rig, "websocket.send");
        rig_expect(&rig, "event.done");
    }
    rig_close(&rig);
}

static int use_memory(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    static char big[200 << 10];
    hr_http_set_header(ctx, "x-path", "%.*s", HR_STR(hr_http_path(msg)));
    hr_ctx_alloc(ctx, 20000);
    hr_group_send(ctx, HR_LIT("room"), "%s", "x");
    hr_worker_timer(hr_ctx_worker(ctx), HR_SECOND, 0, free, NULL);
    return hr_http_reply_bytes(ctx, 200, NULL, big, sizeof big);
}

/* Whatever allocation fails: no crash, no leak (the sanitizers look), and the server is told. */
static void running_out_of_memory_does_no_harm(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .path = "/keep", .fn = keep},
        {.channel = "http.request", .fn = use_memory},
        {.channel = "websocket.receive", .fn = hr_ws_echo},
        {0}};
    struct rig rig;
    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        rig_open(&rig, consumers, NULL);
        hr_worker_close(rig.worker);
        hr_alloc_fail_at(n);
        int r = hr_worker_open(rig.loop, &rig.config, &rig.worker);
        hr_alloc_fail_at(0);
        if (r == 0) {
            rig_send(&rig, &(struct event){.channel = "http.request.web",
                                           .path = "/body",
                                           .body = HR_LIT("some"),
                                           .more_body = true});
            rig_get(&rig, "/long");
            rig_receive(&rig, "/", "x");
            hr_alloc_fail_at(n);
            rig_turn(&rig, 4);
            hr_alloc_fail_at(0);
            hr_layer_address_close(rig.server, &rig.client);
        }
        rig_close(&rig);
    }
}

/* ---- opening fails in words */

static int open_with(struct hr_worker_config *config)
{
    struct hr_worker *worker = NULL;
    struct hr_loop *loop;
    assert_int_equal(hr_loop_new(&loop), 0);
    if (!config->layer_url) {
        config->layer_url = "memory:life";
        config->create_layer = true;
    }
    int r = hr_worker_open(loop, config, &worker);
    hr_worker_close(worker);
    hr_loop_free(loop);
    return r;
}

static void assert_says(const char *words)
{
    if (!strstr(hr_worker_open_error(), words))
        fail_msg("'%s' does not say '%s'", hr_worker_open_error(), words);
}

static int fail_at_boot(struct hr_worker *worker)
{
    (void)worker;
    return HR_ERR_CONFIG;
}

static int consume_nonsense(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {{.channel = "not a name", .fn = keep}, {0}};
    return hr_worker_consume(worker, consumers);
}

static void what_fails_is_said(void **state)
{
    (void)state;
    assert_int_equal(open_with(&(struct hr_worker_config){.app = fail_at_boot}), HR_WORKER_FAILED);
    assert_says("a setting is not valid");
    assert_int_equal(open_with(&(struct hr_worker_config){.app = consume_nonsense}),
                     HR_WORKER_FAILED);
    assert_says("not a valid channel or group name");
    assert_int_equal(
        open_with(&(struct hr_worker_config){.app = fail_at_boot, .layer_url = "memory:nowhere"}),
        HR_WORKER_NO_LAYER);
    assert_says("memory:nowhere");
    assert_int_equal(open_with(&(struct hr_worker_config){.app = fail_at_boot, .pool = "a b"}),
                     HR_WORKER_FAILED);
    assert_says("'a b'");
    assert_int_equal(open_with(&(struct hr_worker_config){.app_path = "./missing.so"}),
                     HR_WORKER_NOT_FOUND);
    assert_says("no application at ./missing.so");
    assert_says("cc -shared");
    assert_int_equal(open_with(&(struct hr_worker_config){.app_path = "/dev"}),
                     HR_WORKER_NOT_FOUND);
    assert_says("/dev");
    assert_int_equal(open_with(&(struct hr_worker_config){.app_path = "/proc/self/status"}),
                     HR_WORKER_NOT_FOUND);
    assert_says("cannot be loaded");
    assert_int_equal(open_with(&(struct hr_worker_config){.app_path = built("APP_EMPTY")}),
                     HR_WORKER_NOT_FOUND);
    assert_says("has no hr_app()");
    assert_int_equal(open_with(&(struct hr_worker_config){.app_path = built("APP_BAD")}),
                     HR_WORKER_FAILED);
    assert_says("app_bad.so");
}

/* ---- the application's file */

static int open_app(struct rig *rig, const char *path, bool is_direct)
{
    rig->config.app = NULL;
    rig->config.app_path = path;
    rig->config.is_direct = is_direct;
    return hr_worker_open(rig->loop, &rig->config, &rig->worker);
}

static void copy_file(const char *from, const char *to)
{
    struct stat status;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0700);
    assert_true(in >= 0 && out >= 0);
    assert_int_equal(fstat(in, &status), 0);
    assert_int_equal(sendfile(out, in, NULL, (size_t)status.st_size), status.st_size);
    close(in);
    close(out);
}

static void the_file_may_be_overwritten_while_it_runs(void **state)
{
    char dir[] = "/tmp/hr-worker-XXXXXX", path[64];
    struct rig rig;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/app.so", dir);
    copy_file(built("APP_GOOD"), path);
    rig_open(&rig, keeps, NULL);
    hr_worker_close(rig.worker);
    assert_int_equal(open_app(&rig, path, false), 0);
    rig_get(&rig, "/1");
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "good /1");

    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    int fd = open(path, O_WRONLY); /* in place: the same inode */
    assert_true(fd >= 0);
    for (off_t at = 0; at < status.st_size; at += 512) {
        static const char zeros[512];
        assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    }
    close(fd);
    rig_get(&rig, "/2");
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "good /2");
    rig_close(&rig);
    remove_tree(dir);
}

static void a_direct_file_is_mapped_itself(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, keeps, NULL);
    hr_worker_close(rig.worker);
    assert_int_equal(open_app(&rig, built("APP_GOOD"), true), 0);
    rig_get(&rig, "/");
    rig_expect(&rig, "http.response.start");
    char line[512];
    bool is_mapped = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        is_mapped = is_mapped || strstr(line, "app_good.so");
    fclose(maps);
    assert_true(is_mapped);
    rig_close(&rig);
}

/* ---- a program with a main() of its own, see own_main.c */

static pid_t start_program(const char *const *args)
{
    union { /* exec's own type lacks the const */
        const char *const *in;
        char *const *out;
    } argv = {.in = args};
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execv(args[0], argv.out);
    _exit(127);
}

static int exit_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_program_of_its_own_serves_until_sigterm(void **state)
{
    char dir[] = "/tmp/hr-worker-XXXXXX", url[64];
    struct hr_layer_options options = {.role = HR_ROLE_CLIENT, .create = true, .label = "test"};
    struct hr_delivery delivery;
    struct hr_layer *layer;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(url, sizeof url, "ipc:%s/layer", dir);
    assert_int_equal(hr_layer_open(url, &options, &layer), 0);
    assert_int_equal(hr_layer_listen(layer, HR_LIT("said")), 0);
    const char *const argv[] = {built("OWN_MAIN"), "--layer", url, "--pool", "own",
                                "--drain=5",       NULL};
    pid_t pid = start_program(argv);

    static const char *const words[] = {"ready", "asked"};
    for (int i = 0; i < 2; i++) {
        struct hr_msg msg;
        while (hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery) != 0)
            assert_int_equal(hr_layer_wait(layer, HR_RECEIVE_ALL, 10 * HR_SECOND), 0);
        assert_int_equal(hr_msg_check(delivery.data, delivery.len, &msg), 0);
        assert_str(hr_msg_str(&msg, "word"), words[i]);
        uint8_t empty = 0x80;
        if (i == 0)
            assert_int_equal(hr_layer_send(layer, HR_LIT("ask"), &empty, 1, NULL), 0);
    }
    kill(pid, SIGTERM);
    assert_int_equal(exit_of(pid), 0);
    hr_layer_close(layer);
    remove_tree(dir);
}

static void a_program_of_its_own_finds_its_site_by_name(void **state)
{
    char dir[] = "/tmp/hr-worker-XXXXXX", url[64];
    struct hr_layer_options options = {.role = HR_ROLE_CLIENT, .create = true, .label = "test"};
    struct hr_delivery delivery;
    struct hr_layer *layer;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(url, sizeof url, "%s/headrace", dir);
    assert_int_equal(mkdir(url, 0700), 0);
    snprintf(url, sizeof url, "ipc:%s/headrace/my.site", dir);
    assert_int_equal(hr_layer_open(url, &options, &layer), 0);
    assert_int_equal(hr_layer_listen(layer, HR_LIT("said")), 0);
    setenv("XDG_RUNTIME_DIR", dir, 1);
    const char *const argv[] = {built("OWN_MAIN"), "--name", "my.site", NULL};
    pid_t pid = start_program(argv);
    assert_int_equal(hr_layer_wait(layer, HR_RECEIVE_ALL, 10 * HR_SECOND), 0);
    assert_int_equal(hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery), 0);
    kill(pid, SIGINT);
    assert_int_equal(exit_of(pid), 0);
    hr_layer_close(layer);
    remove_tree(dir);
}

static void a_program_of_its_own_says_what_is_wrong(void **state)
{
    static const struct {
        const char *args[3];
        int code;
    } rows[] = {{{"--bad"}, 2},
                {{"word"}, 2},
                {{"--drain=x"}, 2},
                {{"--help"}, 0},
                {{NULL}, HR_WORKER_NO_LAYER},
                {{"--name=no.such.site"}, HR_WORKER_NO_LAYER},
                {{"--layer", "ipc:/does/not/exist"}, HR_WORKER_NO_LAYER}};
    (void)state;
    unsetenv("HEADRACE_LAYER");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const argv[] = {built("OWN_MAIN"), rows[i].args[0], rows[i].args[1], NULL};
        assert_int_equal(exit_of(start_program(argv)), rows[i].code);
    }
}

int run_life_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_worker_is_ready),
        cmocka_unit_test(a_stopping_worker_finishes_what_it_holds_and_takes_nothing),
        cmocka_unit_test(a_worker_that_is_asked_to_retire_stops),
        cmocka_unit_test(what_is_held_at_the_end_of_the_drain_goes_back),
        cmocka_unit_test(a_worker_may_be_closed_when_it_says_it_has_ended),
        cmocka_unit_test(handling_an_event_allocates_nothing),
        cmocka_unit_test(running_out_of_memory_does_no_harm),
        cmocka_unit_test(what_fails_is_said),
        cmocka_unit_test(the_file_may_be_overwritten_while_it_runs),
        cmocka_unit_test(a_direct_file_is_mapped_itself),
        cmocka_unit_test(a_program_of_its_own_serves_until_sigterm),
        cmocka_unit_test(a_program_of_its_own_finds_its_site_by_name),
        cmocka_unit_test(a_program_of_its_own_says_what_is_wrong),
    };
    return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
