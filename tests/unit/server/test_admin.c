/* test_admin.c - what operators ask: metrics, health, readiness; and the access log. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "harness.h"
#include "server/metrics.h"
#include "suites.h"

static struct answer answer;
static struct event event;

static const char *admin_get(struct world *w, struct client *c, const char *path)
{
    char text[128];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    client_say(c, text);
    client_answer(w, c, "GET", &answer);
    return answer.body;
}

static void assert_has(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("no '%s' in:\n%s", line, text);
}

static void serve(struct world *w, struct client *c, int status)
{
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, status, NULL, ""), 0);
    worker_ack(w->worker, &event);
    client_answer(w, c, "GET", &answer);
}

/* A worker whose clock is not ours: what it says of times is not believed. */
static void serve_with_nonsense(struct world *w, struct client *c)
{
    uint8_t data[128];
    struct hr_pack pack;
    client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 5);
    hr_pack_type(&pack, HR_MSG_TYPE_HTTP_RESPONSE_START);
    hr_pack_cstr(&pack, "status");
    hr_pack_int(&pack, 204);
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, NULL, 0);
    hr_pack_cstr(&pack, "taken_at");
    hr_pack_int(&pack, INT64_MAX);
    hr_pack_cstr(&pack, "slot");
    hr_pack_int(&pack, 1);
    assert_int_equal(reply_raw(w->worker, &event, data, hr_pack_len(&pack)), 0);
    worker_ack(w->worker, &event);
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 204);
}

static void metrics_have_the_names_that_are_promised(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w), *s = client_new(w), *admin = client_new_admin(w);
    (void)state;
    serve(w, c, 200);
    serve(w, c, 200);
    serve(w, c, 404);
    serve_with_nonsense(w, c);
    ws_open(w, s, &event);
    ws_say(s, "x");
    worker_take(w, w->worker, "websocket.receive.web", &event);
    assert_int_equal(reply_done(w->worker, &event, 99, NULL, NULL), 0); /* stale */
    client_say(c, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(w, c, "GET", &answer);
    world_settle(w);
    const char *text = admin_get(w, admin, "/metrics");
    char type[256];
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "content-type", type),
                        "text/plain; version=0.0.4; charset=utf-8");
    assert_has(text, "# TYPE headrace_requests_total counter\n");
    assert_has(text, "headrace_requests_total{pool=\"web\",code=\"200\",reason=\"\"} 2\n");
    assert_has(text, "headrace_requests_total{pool=\"web\",code=\"404\",reason=\"\"} 1\n");
    assert_has(text, "headrace_requests_total{pool=\"web\",code=\"101\",reason=\"\"} 1\n");
    assert_has(text, "headrace_requests_total{pool=\"\",code=\"400\",reason=\"\"} 1\n");
    assert_has(text, "headrace_queue_seconds_count{channel=\"http.request.web\"} 3\n");
    assert_has(text, "headrace_queue_seconds_bucket{channel=\"http.request.web\",le=\"+Inf\"} 3\n");
    assert_has(text, "headrace_run_seconds_count{pool=\"web\"} 3\n");
    assert_has(text, "headrace_channel_depth{channel=\"http.request.web\"} 0\n");
    assert_has(text, "headrace_channel_oldest_seconds{channel=\"http.request.web\"} 0.000\n");
    assert_has(text,
               "headrace_dropped_total{channel=\"websocket.receive.web\",reason=\"stale\"} 1\n");
    assert_has(text, "headrace_workers{pool=\"web\",state=\"ready\"} 1\n");
    assert_has(text, "headrace_connections{protocol=\"http\"} 2\n");
    assert_has(text, "headrace_connections{protocol=\"websocket\"} 1\n");
    assert_has(text, "headrace_arena_bytes{state=\"used\"}");
    assert_has(text, "# TYPE headrace_dead_letters gauge\n");
    assert_has(text, "headrace_loop_lag_seconds{process=\"server.1\"}");
    assert_has(text, "# TYPE headrace_worker_exits_total counter\n");
    assert_has(text, "# TYPE headrace_redelivered_total counter\n");
    assert_null(strstr(text, "headrace_redelivered_total{"));
    world_free(w);
}

static void counts_sum_over_servers_and_outlive_them(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w), *admin = client_new_admin(w);
    struct hr_layer_options options = {.role = HR_ROLE_SERVER, .label = "server.2"};
    struct hr_layer_options client_options = {.role = HR_ROLE_CLIENT, .label = "supervisor"};
    struct hr_layer *second, *supervisor;
    struct hr_server *other;
    struct hr_server_config config = {0};
    (void)state;
    assert_int_equal(hr_layer_open(w->url, &options, &second), 0);
    assert_int_equal(hr_layer_open(w->url, &client_options, &supervisor), 0);
    assert_int_equal(hr_server_open(w->loop, second, &config, &other), 0);
    hr_metrics_count_exit(supervisor, HR_LIT("web"), HR_EXIT_SIGNAL);
    hr_metrics_count_exit(supervisor, HR_LIT("web"), HR_EXIT_SIGNAL);
    serve(w, c, 200);
    assert_has(admin_get(w, admin, "/metrics"), "code=\"200\",reason=\"\"} 1\n");
    assert_has(answer.body, "headrace_worker_exits_total{pool=\"web\",reason=\"signal\"} 2\n");
    assert_has(answer.body, "headrace_loop_lag_seconds{process=\"server.2\"}");
    hr_server_close(other);
    hr_layer_close(second);
    hr_layer_close(supervisor);
    assert_has(admin_get(w, admin, "/metrics"), "code=\"200\",reason=\"\"} 1\n");
    assert_has(answer.body, "headrace_worker_exits_total{pool=\"web\",reason=\"signal\"} 2\n");
    assert_null(strstr(answer.body, "server.2")); /* a gauge of the dead says nothing */
    world_free(w);
}

static void many_channels_fold_into_other(void **state)
{
    struct world *w = world_new(NULL);
    struct client *admin = client_new_admin(w);
    char name[32];
    (void)state;
    for (int i = 0; i < 250; i++) {
        int n = snprintf(name, sizeof name, "user.%d", i);
        assert_int_equal(
            hr_layer_send(w->worker, (struct hr_str){name, (size_t)n}, "\x80", 1, NULL), 0);
    }
    const char *text = admin_get(w, admin, "/metrics");
    assert_has(text, "headrace_channel_depth{channel=\"user.1\"} 1\n");
    assert_has(text, "headrace_channel_depth{channel=\"other\"}");
    assert_null(strstr(text, "user.249"));
    world_free(w);
}

static void ready_means_that_a_worker_is(void **state)
{
    struct world *w = world_new_empty(NULL);
    struct client *c = client_new_admin(w);
    (void)state;
    admin_get(w, c, "/healthz");
    assert_int_equal(answer.status, 200);
    admin_get(w, c, "/readyz");
    assert_int_equal(answer.status, 503);
    w->worker = worker_new(w, "web.1");
    admin_get(w, c, "/readyz");
    assert_int_equal(answer.status, 200);
    admin_get(w, c, "/else");
    assert_int_equal(answer.status, 404);
    world_free(w);
}

static void the_public_listener_has_no_admin_pages(void **state)
{
    struct world *w = world_new(NULL);
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "path", "/metrics");
    world_free(w);
}

static void a_request_makes_one_line_with_all_it_is_known_by(void **state)
{
    static char log[8192];
    char path[] = "/tmp/headrace-log-XXXXXX";
    int fd = mkstemp(path);
    struct world *w = world_new(&(struct hr_server_config){.access_log = true});
    struct client *c = client_new(w);
    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    hr_log_init(fd, HR_LOG_JSON, HR_LOG_INFO);
    client_say(
        c, "POST /a?b HTTP/1.1\r\nHost: example.org\r\nX-Request-ID: r1\r\nContent-Length: 3\r\n"
           "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nabc");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "hello"), 0);
    world_settle(w);
    ssize_t n = pread(fd, log, sizeof log - 1, 0);
    hr_log_init(STDERR_FILENO, HR_LOG_AUTO, HR_LOG_INFO);
    close(fd);
    assert_true(n > 0);
    assert_int_equal(strchr(log, '\n') - log, n - 1);
    static const char *const fields[] = {"\"event\":\"request\"",
                                         "\"request_id\":\"r1\"",
                                         "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"",
                                         "\"client\":\"127.0.0.1\"",
                                         "\"method\":\"POST\"",
                                         "\"host\":\"example.org\"",
                                         "\"path\":\"/a\"",
                                         "\"status\":200",
                                         "\"bytes_in\":3",
                                         "\"bytes_out\":5",
                                         "\"total_ms\":",
                                         "\"queue_ms\":",
                                         "\"app_ms\":",
                                         "\"pool\":\"web\"",
                                         "\"worker\":\"web.1\"",
                                         "\"protocol\":\"http/1.1\""};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_has(log, fields[i]);
    world_free(w);
}

int test_admin(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_have_the_names_that_are_promised),
        cmocka_unit_test(counts_sum_over_servers_and_outlive_them),
        cmocka_unit_test(many_channels_fold_into_other),
        cmocka_unit_test(ready_means_that_a_worker_is),
        cmocka_unit_test(the_public_listener_has_no_admin_pages),
        cmocka_unit_test(a_request_makes_one_line_with_all_it_is_known_by),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
