/* test_memory.c - what only the memory layer promises: a forked child is on its
 * own; time is what its clock says. */
#include "test_layer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <headrace/layer.h>

#include "base/time.h"
#include "layer/memory/memory.h"

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

/* ---- time, with nobody to dispatch */

static hr_time our_clock(void *arg)
{
    const hr_time *now = arg;
    return *now;
}

static void a_lease_has_ended_whoever_looks_first(void **state)
{
    (void)state;
    const struct hr_layer_options options = {.role = HR_ROLE_WORKER, .create = true};
    struct hr_layer *one = NULL, *two = NULL;
    struct hr_delivery first, second;
    hr_time now = HR_SECOND;
    const struct hr_channel_policy table[] = {
        {.pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .lease = 10 * HR_SECOND},
        {.pattern = "slow", .delivery = HR_AT_LEAST_ONCE, .lease = 60 * HR_SECOND},
    };
    assert_int_equal(hr_layer_open("memory:time", &options, &one), 0);
    assert_int_equal(hr_layer_open("memory:time", &options, &two), 0);
    hr_memory_set_clock(one, our_clock, &now);
    assert_int_equal(hr_layer_set_policies(one, table, 2), 0);
    assert_int_equal(hr_layer_listen(one, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_listen(two, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_send(one, HR_LIT("jobs"), "\x80", 1, NULL), 0);
    assert_int_equal(hr_layer_receive(one, HR_RECEIVE_ALL, &first), 0);
    assert_int_equal(hr_layer_poll_timeout(two), 10 * HR_SECOND);

    now += 10 * HR_SECOND - 1;
    assert_int_equal(hr_layer_receive(two, HR_RECEIVE_ALL, &second), HR_LAYER_EMPTY);
    now += 1;
    assert_int_equal(hr_layer_poll_timeout(two), 0);
    assert_int_equal(hr_layer_receive(two, HR_RECEIVE_ALL, &second), 0); /* a receive */

    now += 10 * HR_SECOND;
    assert_int_equal(hr_layer_ack(two, &second.lease), HR_LAYER_LOST); /* an ack */
    assert_int_equal(hr_layer_receive(one, HR_RECEIVE_ALL, &first), 0);
    assert_int_equal(first.attempts, 2);
    assert_int_equal(hr_layer_ack(one, &first.lease), 0);

    /* One ends and the other is not forgotten. */
    assert_int_equal(hr_layer_listen(one, HR_LIT("slow")), 0);
    assert_int_equal(hr_layer_send(one, HR_LIT("jobs"), "\x80", 1, NULL), 0);
    assert_int_equal(hr_layer_send(one, HR_LIT("slow"), "\x80", 1, NULL), 0);
    assert_int_equal(hr_layer_receive(one, HR_RECEIVE_ALL, &first), 0);
    assert_int_equal(hr_layer_receive(one, HR_RECEIVE_ALL, &second), 0);
    now += 10 * HR_SECOND;
    hr_layer_dispatch(two);
    assert_int_equal(hr_layer_poll_timeout(two), 50 * HR_SECOND);
    hr_layer_close(one);
    hr_layer_close(two);
}

static void room_that_a_draft_did_not_need_is_given_back(void **state)
{
    (void)state;
    const struct hr_layer_options options = {.role = HR_ROLE_WORKER, .create = true};
    struct hr_layer *layer = NULL;
    struct hr_arena_stats before, after;
    struct hr_delivery delivery;
    struct hr_ticket ticket;
    struct hr_draft draft;
    assert_int_equal(hr_layer_open("memory:trim", &options, &layer), 0);
    assert_int_equal(hr_layer_listen(layer, HR_LIT("jobs")), 0);
    const struct hr_send_options leased = {.reply = hr_layer_control_address(layer),
                                           .ticket = &ticket};
    hr_layer_arena_stats(layer, &before);
    assert_int_equal(hr_layer_draft(layer, HR_LIT("jobs"), 1 << 20, &leased, &draft), 0);
    hr_pack_map(&draft.pack, 0);
    assert_int_equal(hr_draft_send(&draft), 0);
    hr_layer_arena_stats(layer, &after);
    assert_true(after.bytes_used < before.bytes_used + 1000);

    /* and its ticket and lease found the way to where it moved */
    assert_int_equal(hr_layer_ticket(layer, &ticket).state, HR_TICKET_QUEUED);
    assert_int_equal(hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery), 0);
    assert_int_equal(hr_layer_ticket(layer, &ticket).state, HR_TICKET_HELD);
    assert_int_equal(hr_layer_ack(layer, &delivery.lease), 0);
    hr_layer_close(layer);
}

static void layers_of_different_names_are_different(void **state)
{
    (void)state;
    const struct hr_layer_options options = {.role = HR_ROLE_WORKER, .create = true};
    struct hr_layer *one = NULL, *two = NULL, *same = NULL;
    assert_int_equal(hr_layer_open("memory:", &options, &one), 0);
    assert_int_equal(hr_layer_open("memory:two", &options, &two), 0);
    assert_int_equal(hr_layer_open("memory:", &options, &same), 0);
    assert_true(hr_layer_id(one) != hr_layer_id(two));
    assert_int_equal(hr_layer_id(one), hr_layer_id(same));
    hr_layer_close(one);
    hr_layer_close(two);
    hr_layer_close(same);
    /* gone with the last handle */
    const struct hr_layer_options attach = {.role = HR_ROLE_WORKER};
    assert_int_equal(hr_layer_open("memory:", &attach, &one), HR_ERR_UNAVAILABLE);
}

int test_memory(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_has_ended_whoever_looks_first),
        cmocka_unit_test(room_that_a_draft_did_not_need_is_given_back),
        cmocka_unit_test(layers_of_different_names_are_different),
        cmocka_unit_test(a_forked_child_does_not_touch_its_parents_layer),
    };
    return cmocka_run_group_tests_name("memory layer", tests, NULL, NULL);
}
