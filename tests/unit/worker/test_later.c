/* test_later.c - events that stay open: timers, the thread pool, children, clients that leave. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static struct {
    struct hr_ctx *ctx;
    const struct hr_msg *msg;
    bool is_over;
    int n_ticks, n_gone, exit_status, term_signal;
    pthread_t thread;
    struct hr_worker_timer *timer;
    char output[4096];
    size_t output_len;
} now;

static int keep(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    now.ctx = ctx;
    now.msg = msg;
    hr_ctx_keep(ctx);
    return 0;
}

static const struct hr_consumer keeps[] = {{.channel = "http.request", .fn = keep}, {0}};

static void open_clean(struct rig *rig, const struct hr_consumer *consumers)
{
    memset(&now, 0, sizeof now);
    rig_open(rig, consumers, NULL);
}

static void a_kept_event_is_done_when_it_says_so(void **state)
{
    struct rig rig;
    (void)state;
    open_clean(&rig, keeps);
    rig_send(&rig,
             &(struct event){.channel = "http.request.web", .path = "/a", .query = "q=x%20y"});
    assert_false(rig_has_next(&rig));
    assert_false(rig_is_acked(&rig));
    struct hr_ctx *first = now.ctx;
    const struct hr_msg *msg = now.msg;
    rig_get(&rig, "/b"); /* overlaps */
    assert_false(rig_has_next(&rig));
    assert_ptr_not_equal(first, now.ctx);
    assert_str(hr_http_path(msg), "/a"); /* lives on */
    assert_str(hr_http_query(msg, "q"), "x y");
    assert_int_equal(hr_http_reply(first, 200, NULL, "late"), 0);
    assert_int_equal(hr_ctx_done(first), 0);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "late");
    hr_ctx_keep(now.ctx);
    hr_ctx_done(now.ctx);
    assert_false(rig_has_next(&rig)); /* one done for each keep */
    hr_http_reply(now.ctx, 200, NULL, "later");
    hr_ctx_done(now.ctx);
    rig_expect(&rig, "http.response.start");
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void few_kept(struct hr_worker_config *config)
{
    config->max_kept = 2;
}

static void no_more_is_taken_than_may_be_kept(void **state)
{
    struct hr_channel_stats stats;
    struct rig rig;
    (void)state;
    memset(&now, 0, sizeof now);
    rig_open(&rig, keeps, few_kept);
    for (int i = 0; i < 3; i++)
        rig_get(&rig, "/");
    rig_turn(&rig, 6);
    assert_true(hr_layer_channel_find(rig.server, HR_LIT("http.request.web"), &stats));
    assert_int_equal(stats.depth, 1); /* another worker can have it */
    hr_http_reply(now.ctx, 200, NULL, "2");
    hr_ctx_done(now.ctx);
    rig_turn(&rig, 6);
    assert_true(hr_layer_channel_find(rig.server, HR_LIT("http.request.web"), &stats));
    assert_int_equal(stats.depth, 0);
    rig_close(&rig);
}

static void on_gone(struct hr_ctx *ctx, void *arg)
{
    assert_ptr_equal(arg, &now);
    assert_true(hr_ctx_client_gone(ctx));
    now.n_gone++;
    now.is_over = true;
    hr_ctx_done(ctx);
}

static int keep_until_gone(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    hr_ctx_on_gone(ctx, on_gone, &now);
    return keep(ctx, msg);
}

static void a_kept_events_client_that_leaves_is_noticed(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = keep_until_gone}, {0}};
    struct rig rig;
    (void)state;
    open_clean(&rig, consumers);
    rig_get(&rig, "/");
    rig_turn(&rig, 4);
    assert_int_equal(now.n_gone, 0);
    hr_layer_address_close(rig.server, &rig.client);
    rig_wait(&rig, &now.is_over);
    rig_turn(&rig, 4);
    assert_int_equal(now.n_gone, 1);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void count_gone(struct hr_ctx *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    now.n_gone++;
}

static int keep_beyond(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    hr_ctx_on_gone(ctx, count_gone, NULL);
    return keep(ctx, msg);
}

static void wake(void *arg)
{
    *(bool *)arg = true;
}

static void a_client_that_left_is_told_of_once(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = keep_beyond},
                                                   {0}};
    struct rig rig;
    bool is_later = false;
    (void)state;
    open_clean(&rig, consumers);
    rig_get(&rig, "/");
    rig_turn(&rig, 4);
    hr_layer_address_close(rig.server, &rig.client);
    assert_non_null(hr_worker_timer(rig.worker, 350 * HR_MS, 0, wake, &is_later)); /* three looks */
    rig_wait(&rig, &is_later);
    assert_int_equal(now.n_gone, 1);
    assert_int_equal(hr_http_reply(now.ctx, 200, NULL, "x"), HR_ERR_GONE);
    hr_ctx_done(now.ctx);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

/* ---- timers */

static void tick(void *arg)
{
    assert_ptr_equal(arg, &now);
    if (++now.n_ticks < 3)
        return;
    hr_worker_timer_cancel(now.timer); /* from within */
    hr_http_reply(now.ctx, 200, NULL, "%d ticks", now.n_ticks);
    hr_ctx_done(now.ctx);
    now.is_over = true;
}

static int start_ticking(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    now.timer = hr_worker_timer(hr_ctx_worker(ctx), HR_MS, HR_MS, tick, &now);
    assert_non_null(now.timer);
    return keep(ctx, msg);
}

static void once(void *arg)
{
    *(bool *)arg = true;
}

static void timers_repeat_until_cancelled(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = start_ticking},
                                                   {0}};
    struct rig rig;
    bool fired = false, never = false;
    (void)state;
    open_clean(&rig, consumers);
    rig_get(&rig, "/");
    rig_wait(&rig, &now.is_over);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "3 ticks");
    struct hr_worker_timer *cancelled = hr_worker_timer(rig.worker, HR_MS, 0, once, &never);
    assert_non_null(hr_worker_timer(rig.worker, 20 * HR_MS, 0, once, &fired));
    assert_non_null(
        hr_worker_timer(rig.worker, HR_NEVER, 0, once, &never)); /* freed by the close */
    hr_worker_timer_cancel(cancelled);
    rig_wait(&rig, &fired);
    assert_false(never);
    assert_int_equal(now.n_ticks, 3);
    rig_close(&rig);
}

/* ---- the thread pool */

static void compute(void *arg)
{
    int *number = arg;
    *number *= 2;
    now.thread = pthread_self();
}

static void computed(struct hr_ctx *ctx, void *arg)
{
    assert_false(pthread_equal(now.thread, pthread_self()));
    hr_http_reply(ctx, 200, NULL, "%d", *(int *)arg);
    now.is_over = true;
}

static int queue_work(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    int *number = hr_ctx_alloc(ctx, sizeof *number);
    (void)msg;
    *number = 21;
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, compute, computed, number);
}

static void a_computation_answers_when_it_is_finished(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = queue_work},
                                                   {0}};
    struct rig rig;
    (void)state;
    open_clean(&rig, consumers);
    rig_get(&rig, "/");
    rig_wait(&rig, &now.is_over);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "42");
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void a_thousand_jobs_wait_and_no_more(void **state)
{
    struct rig rig;
    (void)state;
    open_clean(&rig, keeps);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 1024; i++)
        assert_int_equal(hr_worker_queue(rig.worker, NULL, wait_at_gate, NULL, NULL), 0);
    assert_int_equal(hr_worker_queue(rig.worker, NULL, wait_at_gate, NULL, NULL), HR_ERR_FULL);
    pthread_mutex_unlock(&gate);
    rig_close(&rig); /* waits for them */
}

static int queue_gate(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    return hr_worker_queue(hr_ctx_worker(ctx), ctx, wait_at_gate, NULL, NULL);
}

static void a_worker_that_closes_leaves_its_jobs_to_end(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = queue_gate},
                                                   {0}};
    struct rig rig;
    (void)state;
    open_clean(&rig, consumers);
    pthread_mutex_lock(&gate);
    rig_get(&rig, "/");
    rig_turn(&rig, 4);
    hr_worker_close(rig.worker);
    rig.worker = NULL;
    assert_int_equal(rig_next(&rig)->kind, HR_DELIVERY_LEASE_LOST);
    pthread_mutex_unlock(&gate);
    rig_close(&rig);
}

/* ---- children */

static void on_output(struct hr_ctx *ctx, void *arg, struct hr_str piece)
{
    assert_ptr_equal(arg, &now);
    assert_ptr_equal(ctx, now.ctx);
    assert_true(now.output_len + piece.len <= sizeof now.output);
    memcpy(now.output + now.output_len, piece.ptr, piece.len);
    now.output_len += piece.len;
}

static void on_end(struct hr_ctx *ctx, void *arg, int exit_status, int term_signal)
{
    assert_ptr_equal(arg, &now);
    now.exit_status = exit_status;
    now.term_signal = term_signal;
    now.is_over = true;
    if (ctx)
        hr_http_reply(ctx, 200, NULL, "%.*s", (int)now.output_len, now.output);
}

static int run_tr(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    static const char *const argv[] = {"tr", "a-z", "A-Z", NULL};
    struct hr_child_spec spec = {.file = "tr",
                                 .argv = argv,
                                 .input = hr_http_path(msg),
                                 .output = on_output,
                                 .exited = on_end,
                                 .arg = &now};
    now.ctx = ctx;
    return hr_worker_spawn(hr_ctx_worker(ctx), ctx, &spec);
}

static void a_child_gets_input_and_its_output_comes_before_its_end(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = run_tr}, {0}};
    struct rig rig;
    (void)state;
    open_clean(&rig, consumers);
    rig_get(&rig, "/shout");
    rig_wait(&rig, &now.is_over);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "/SHOUT");
    assert_int_equal(now.exit_status, 0);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void spawn_shell(struct rig *rig, const char *script, const char *cwd)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const char *const env[] = {"WORD=from-env", NULL};
    struct hr_child_spec spec = {.file = "/bin/sh",
                                 .argv = argv,
                                 .env = env,
                                 .cwd = cwd,
                                 .output = on_output,
                                 .exited = on_end,
                                 .arg = &now};
    assert_int_equal(hr_worker_spawn(rig->worker, NULL, &spec), 0);
}

static void a_childs_end_is_told_as_it_was(void **state)
{
    struct rig rig;
    (void)state;
    open_clean(&rig, keeps);
    spawn_shell(&rig, "echo $WORD; pwd; exit 7", "/");
    rig_wait(&rig, &now.is_over);
    assert_int_equal(now.exit_status, 7);
    assert_int_equal(now.term_signal, 0);
    assert_memory_equal(now.output, "from-env\n/\n", 11);
    now.is_over = false;
    spawn_shell(&rig, "kill -9 $$", NULL);
    rig_wait(&rig, &now.is_over);
    assert_int_equal(now.term_signal, SIGKILL);
    rig_close(&rig);
}

static int run_nothing(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    static const char *const argv[] = {"x", NULL};
    struct hr_child_spec spec = {
        .file = "/does/not/exist", .argv = argv, .output = on_output, .exited = on_end};
    (void)msg;
    return hr_worker_spawn(hr_ctx_worker(ctx), ctx, &spec);
}

static void a_child_that_cannot_start_is_an_error(void **state)
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = run_nothing},
                                                   {0}};
    struct rig rig;
    (void)state;
    open_clean(&rig, consumers);
    rig_get(&rig, "/");
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    assert_false(now.is_over);
    rig_close(&rig);
}

static void count_output(struct hr_ctx *ctx, void *arg, struct hr_str piece)
{
    (void)ctx;
    (void)arg;
    assert_false(now.is_over);
    now.output_len += piece.len;
}

static void what_a_child_left_in_its_pipe_is_read_before_its_end(void **state)
{
    const char *const argv[] = {"own-main", "flood", NULL};
    struct hr_child_spec spec = {.file = built("OWN_MAIN"),
                                 .argv = argv,
                                 .output = count_output,
                                 .exited = on_end,
                                 .arg = &now};
    siginfo_t info;
    struct rig rig;
    (void)state;
    open_clean(&rig, keeps);
    assert_int_equal(hr_worker_spawn(rig.worker, NULL, &spec), 0);
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT),
                     0); /* it has ended: now the loop */
    rig_wait(&rig, &now.is_over);
    assert_int_equal(now.exit_status, 0);
    assert_int_equal(now.output_len, 300000);
    rig_close(&rig);
}

static void a_child_that_ignores_its_input_does_no_harm(void **state)
{
    static char big[1 << 20];
    const char *const argv[] = {"true", NULL};
    struct hr_child_spec spec = {
        .file = "true", .argv = argv, .input = {big, sizeof big}, .exited = on_end, .arg = &now};
    struct rig rig;
    (void)state;
    open_clean(&rig, keeps);
    assert_int_equal(hr_worker_spawn(rig.worker, NULL, &spec), 0);
    rig_wait(&rig, &now.is_over);
    assert_int_equal(now.exit_status, 0);
    rig_close(&rig);
}

static void children_end_with_the_worker(void **state)
{
    struct rig rig;
    (void)state;
    open_clean(&rig, keeps);
    spawn_shell(&rig, "echo $$; exec sleep 60", NULL);
    hr_time until = hr_time_now() + 5 * HR_SECOND;
    while (now.output_len == 0 && hr_time_now() < until)
        hr_loop_turn(rig.loop, true);
    pid_t pid = (pid_t)strtol(now.output, NULL, 10);
    assert_true(pid > 1);
    rig_close(&rig);
    assert_false(now.is_over); /* nobody is left to be told */
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

int run_later_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_event_is_done_when_it_says_so),
        cmocka_unit_test(no_more_is_taken_than_may_be_kept),
        cmocka_unit_test(a_kept_events_client_that_leaves_is_noticed),
        cmocka_unit_test(a_client_that_left_is_told_of_once),
        cmocka_unit_test(timers_repeat_until_cancelled),
        cmocka_unit_test(a_computation_answers_when_it_is_finished),
        cmocka_unit_test(a_thousand_jobs_wait_and_no_more),
        cmocka_unit_test(a_worker_that_closes_leaves_its_jobs_to_end),
        cmocka_unit_test(a_child_gets_input_and_its_output_comes_before_its_end),
        cmocka_unit_test(a_childs_end_is_told_as_it_was),
        cmocka_unit_test(a_child_that_cannot_start_is_an_error),
        cmocka_unit_test(what_a_child_left_in_its_pipe_is_read_before_its_end),
        cmocka_unit_test(a_child_that_ignores_its_input_does_no_harm),
        cmocka_unit_test(children_end_with_the_worker),
    };
    return cmocka_run_group_tests_name("later", tests, NULL, NULL);
}
