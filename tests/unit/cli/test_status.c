/* test_status.c - what status says is wrong, and what to do about it. */
#include "test_cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <headrace/layer.h>

#include "base/time.h"
#include "cli/status.h"
#include "worker/busy.h"

static const char url[] = "memory:unit-status";

static struct hr_layer *join(enum hr_role role, const char *label)
{
    const struct hr_layer_options options = {.role = role, .create = true, .label = label};
    struct hr_layer *layer = NULL;
    assert_int_equal(hr_layer_open(url, &options, &layer), 0);
    return layer;
}

/* A worker whose application has had the loop for so long; 0: it has not. */
static struct hr_layer *join_worker(const char *label, hr_time busy_for)
{
    struct hr_layer *layer = join(HR_ROLE_WORKER, label);
    uint64_t *words = hr_busy_begin(layer);
    if (busy_for > 0)
        hr_busy_set(words, HR_BUSY_SINCE, (uint64_t)(hr_time_now() - busy_for));
    hr_layer_set_ready(layer, true);
    return layer;
}

static void show(bool is_json, char *out, size_t size)
{
    struct hr_layer *observer = join(HR_ROLE_OBSERVER, "");
    struct hr_status *status = malloc(sizeof *status);
    FILE *file = fmemopen(out, size, "w");
    const struct hr_status_view view = {
        .layer = observer, .url = url, .status = status, .is_json = is_json, .is_all = is_json};
    assert_non_null(status);
    assert_non_null(file);
    hr_status_show(&view, file);
    assert_int_equal(fclose(file), 0);
    free(status);
    hr_layer_close(observer);
}

static void who_is_stuck_for_half_a_minute_is_named_with_what_shows_where(void **state)
{
    enum { N = 5 };
    char text[8192];
    struct hr_layer *workers[N] = {join_worker("web.1", 31 * HR_SECOND),
                                   join_worker("web.2", 40 * HR_SECOND),
                                   join_worker("web.3", 29 * HR_SECOND), join_worker("web.4", 0),
                                   join_worker("jobs.1", 31 * HR_SECOND)};
    (void)state;
    show(false, text, sizeof text);
    assert_holds(text, "! web: 2 workers have been in the same call for over 30 s  ");
    assert_holds(text, "  headrace stack web\n");
    assert_holds(text, "! jobs: 1 worker has been in the same call for over 30 s  ");
    assert_holds(text, "  headrace stack jobs\n");
    show(true, text, sizeof text);
    assert_holds(text,
                 "\"name\": \"web\", \"processes\": 0, \"ready\": 4, \"live\": 4, \"busy\": 3, "
                 "\"stuck\": 2,");
    for (size_t i = 0; i < N; i++)
        hr_layer_close(workers[i]);
}

static void what_is_paused_and_what_is_dead_is_named_with_the_remedy(void **state)
{
    const struct hr_channel_policy row = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 1, .dead_letter = "morgue"};
    char text[8192];
    struct hr_layer *worker = join_worker("jobs.1", 0);
    struct hr_delivery delivery;
    (void)state;
    assert_int_equal(hr_layer_set_policies(worker, &row, 1), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hr_layer_send(worker, HR_LIT("jobs"), "\x80", 1, NULL), 0);
    assert_int_equal(hr_layer_receive(worker, HR_RECEIVE_ALL, &delivery), 0);
    assert_int_equal(hr_layer_nack(worker, &delivery.lease, HR_REASON_APP), 0);
    assert_int_equal(hr_layer_pause(worker, HR_LIT("jobs"), true), 0);
    show(false, text, sizeof text);
    assert_holds(text, "! dead letters: 1 on jobs  ");
    assert_holds(text, "  headrace dead list\n");
    assert_holds(text, "! 'jobs' has been paused for ");
    assert_holds(text, " (1 message)  ");
    assert_holds(text, "  headrace resume jobs\n");
    assert_null(strstr(text, "nobody listens"));
    hr_layer_close(worker);
}

int test_status(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_stuck_for_half_a_minute_is_named_with_what_shows_where),
        cmocka_unit_test(what_is_paused_and_what_is_dead_is_named_with_the_remedy),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
