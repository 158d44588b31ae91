/* test_nomem.c - the memory layer when each allocation in turn fails: a refusal
 * or an error, never a crash, a leak or a loss that is not told. */
#include "test_layer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <headrace/layer.h>

#include "base/alloc.h"
#include "base/time.h"

static const struct hr_channel_policy rows[] = {
    {.pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 1}};

static bool is_refused(int r)
{
    return r == HR_LAYER_FULL || r == HR_ERR_NOMEM;
}

/* A short life of a layer; every call may be refused. */
static void live(struct hr_layer *server, struct hr_layer *worker)
{
    struct hr_addr addr = {0};
    struct hr_delivery delivery;
    int r = hr_layer_address_open(server, &addr);
    assert_true(r == 0 || is_refused(r));
    const struct hr_send_options leased = {.reply = addr};
    r = hr_layer_listen(worker, HR_LIT("jobs"));
    assert_true(r == 0 || is_refused(r));
    r = hr_layer_listen(server, HR_LIT("dead.*"));
    assert_true(r == 0 || is_refused(r));
    r = hr_layer_set_policies(server, rows, 1);
    assert_true(r == 0 || is_refused(r));

    uint64_t n_sent = 0;
    for (int i = 0; i < 100; i++) { /* enough for tables to grow */
        r = hr_layer_send(server, HR_LIT("jobs"), "\x80", 1, i % 2 ? &leased : NULL);
        assert_true(r == 0 || is_refused(r));
        n_sent += r == 0;
    }
    r = hr_layer_group_add_addr(worker, HR_LIT("g"), &addr);
    assert_true(r == 0 || is_refused(r) || r == HR_LAYER_GONE);
    r = hr_layer_group_add(worker, HR_LIT("g"), HR_LIT("plain"));
    assert_true(r == 0 || is_refused(r));
    assert_int_equal(hr_layer_group_send(worker, HR_LIT("g"), "\x80", 1, NULL), 0);
    r = hr_layer_record_put(worker, HR_LIT("key"), "x", 1);
    assert_true(r == 0 || is_refused(r));

    uint64_t n_received = 0;
    while (hr_layer_receive(worker, HR_RECEIVE_CHANNELS, &delivery) == 0) {
        n_received++;
        if (n_received % 3 == 0)
            assert_int_equal(hr_layer_nack(worker, &delivery.lease, HR_REASON_APP), 0);
        else if (n_received % 3 == 1)
            assert_int_equal(hr_layer_ack(worker, &delivery.lease), 0);
    }
    struct hr_channel_stats stats;
    if (hr_layer_channel_find(server, HR_LIT("jobs"), &stats) && stats.n_listeners == 1)
        assert_int_equal(n_received, n_sent);
}

static void every_failed_allocation_is_told_and_nothing_leaks(void **state)
{
    (void)state;
    const struct hr_layer_options server_options = {.role = HR_ROLE_SERVER, .create = true};
    const struct hr_layer_options worker_options = {.role = HR_ROLE_WORKER};
    int64_t live_before = hr_alloc_live();
    for (uint64_t nth = 1; nth < 400; nth++) {
        struct hr_layer *server = NULL, *worker = NULL;
        hr_alloc_fail_at(nth);
        int r = hr_layer_open("memory:nomem", &server_options, &server);
        assert_true(r == 0 || r == HR_ERR_NOMEM);
        if (r == 0) {
            r = hr_layer_open("memory:nomem", &worker_options, &worker);
            assert_true(r == 0 || r == HR_ERR_NOMEM);
        } else {
            assert_true(strlen(hr_layer_open_error()) > 0);
        }
        if (r == 0)
            live(server, worker);
        hr_layer_close(worker);
        hr_layer_close(server);
        hr_alloc_fail_at(0);
        assert_int_equal(hr_alloc_live(), live_before);
    }
}

/* A forked child has a copy of its own: what it does never reaches its parent. */
static void a_forked_child_does_not_touch_its_parents_layer(void **state)
{
    (void)state;
    const struct hr_layer_options options = {.role = HR_ROLE_WORKER, .create = true};
    struct hr_layer *layer = NULL;
    struct hr_delivery delivery;
    int status = 0;
    assert_int_equal(hr_layer_open("memory:fork", &options, &layer), 0);
    assert_int_equal(hr_layer_listen(layer, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_prepare(layer, HR_RECEIVE_ALL), 0);
    assert_int_equal(hr_layer_send(layer, HR_LIT("jobs"), "\x80", 1, NULL), 0); /* rings */

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        hr_layer_dispatch(layer);
        bool is_ok = hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery) == 0 &&
                     hr_layer_wait(layer, HR_RECEIVE_ALL, HR_MS) == HR_LAYER_EMPTY &&
                     hr_layer_send(layer, HR_LIT("jobs"), "\x80", 1, NULL) == 0;
        _exit(is_ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    hr_layer_dispatch(layer); /* its ring is still there to be silenced */
    assert_int_equal(hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery), 0);
    assert_int_equal(hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery), HR_LAYER_EMPTY);
    hr_layer_close(layer);
}

int test_nomem(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_told_and_nothing_leaks),
        cmocka_unit_test(a_forked_child_does_not_touch_its_parents_layer),
    };
    return cmocka_run_group_tests_name("memory layer", tests, NULL, NULL);
}
