/* test_receive.c - listening to names and globs, and taking fairly. */
#include "harness.h"

#include <stdio.h>

static void a_glob_takes_from_the_channels_it_matches(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(send_number(sender, "jobs.before", 1, NULL), 0);
    assert_int_equal(send_number(sender, "other.before", 2, NULL), 0);

    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs.*")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("mail.?")), 0);

    expect_number(c, worker, 1);
    assert_int_equal(send_number(sender, "jobs.after", 3, NULL), 0); /* registered only now */
    expect_number(c, worker, 3);
    assert_int_equal(send_number(sender, "mail.a", 4, NULL), 0);
    assert_int_equal(send_number(sender, "mail.ab", 5, NULL), 0);
    assert_int_equal(send_number(sender, "jobs", 6, NULL), 0);
    expect_number(c, worker, 4);
    expect_empty(worker);
}

static void a_channel_matched_twice_is_one(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("j*")), 0);
    assert_int_equal(stats_of(worker, "jobs").n_listeners, 1);

    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);
    expect_number(c, worker, 1);
    expect_empty(worker);
}

static void unlisten_stops_and_leaves_the_rest(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("one")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("two")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("three.*")), 0);

    hr_layer_unlisten(worker, HR_LIT("one"));
    hr_layer_unlisten(worker, HR_LIT("never.listened"));

    assert_int_equal(send_number(worker, "one", 1, NULL), 0);
    assert_int_equal(send_number(worker, "two", 2, NULL), 0);
    assert_int_equal(send_number(worker, "three.x", 3, NULL), 0);
    expect_number(c, worker, 2);
    expect_number(c, worker, 3);
    expect_empty(worker);
    assert_int_equal(stats_of(worker, "one").depth, 1);
    assert_int_equal(stats_of(worker, "one").n_listeners, 0);
}

static void a_member_listens_to_at_most_64_patterns(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    char name[16];
    for (int i = 0; i < HR_LAYER_MAX_LISTENS; i++) {
        snprintf(name, sizeof name, "name.%d", i);
        assert_int_equal(hr_layer_listen(worker, hr_str_of(name)), 0);
    }
    assert_int_equal(hr_layer_listen(worker, HR_LIT("one.more")), HR_LAYER_FULL);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("name.7")), 0); /* there already */
    hr_layer_unlisten(worker, HR_LIT("name.7"));
    assert_int_equal(hr_layer_listen(worker, HR_LIT("one.more")), 0);
}

static void what_is_no_pattern_is_an_error(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("")), HR_ERR_NAME);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("a b")), HR_ERR_NAME);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("reply.x!y")), HR_ERR_NAME);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("[ab]")), HR_ERR_NAME);
}

/* ---- fairness */

enum { N_QUIET = 20 };

static void a_busy_channel_starves_no_other(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    char name[16];
    assert_int_equal(hr_layer_listen(worker, HR_LIT("busy")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("quiet.*")), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(send_number(sender, "busy", -2, NULL), 0);
    for (int i = 0; i < N_QUIET; i++) {
        snprintf(name, sizeof name, "quiet.%d", i);
        assert_int_equal(send_number(sender, name, i, NULL), 0);
    }

    /* In every round each channel that has something gives one. */
    bool seen[N_QUIET] = {false};
    for (int i = 0; i < N_QUIET + 2; i++) {
        struct hr_delivery delivery = case_receive(c, worker);
        int64_t number = number_of(&delivery);
        if (number >= 0)
            seen[number] = true;
        else
            assert_int_equal(send_number(sender, "busy", -2, NULL), 0);
    }
    for (int i = 0; i < N_QUIET; i++)
        assert_true(seen[i]);
}

static void equally_busy_channels_get_equal_shares(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    static const char *const names[] = {"a", "b", "c.x", "c.y"};
    int n_taken[4] = {0};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("a")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("b")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("c.*")), 0);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 50; k++)
            assert_int_equal(send_number(sender, names[i], i, NULL), 0);

    for (int i = 0; i < 80; i++) {
        struct hr_delivery delivery = case_receive(c, worker);
        n_taken[number_of(&delivery)]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(n_taken[i], 19, 21);
}

static void inbox_and_channels_do_not_starve_each_other(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(worker);
    int n_inbox = 0;
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(send_number(sender, "jobs", 0, NULL), 0);
        assert_int_equal(send_number_to(sender, &addr, 1, NULL), 0);
    }
    for (int i = 0; i < 40; i++) {
        struct hr_delivery delivery = case_receive(c, worker);
        n_inbox += number_of(&delivery) == 1;
    }
    assert_in_range(n_inbox, 10, 30);
}

/* ---- taking */

static void only_the_source_that_was_asked_for_gives(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(worker);
    struct hr_delivery delivery;
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);

    assert_int_equal(hr_layer_receive(worker, HR_RECEIVE_INBOX, &delivery), HR_LAYER_EMPTY);
    assert_int_equal(send_number_to(worker, &addr, 2, NULL), 0);
    assert_int_equal(hr_layer_receive(worker, HR_RECEIVE_CHANNELS, &delivery), 0);
    assert_int_equal(number_of(&delivery), 1);
    assert_int_equal(hr_layer_receive(worker, HR_RECEIVE_CHANNELS, &delivery), HR_LAYER_EMPTY);
    assert_int_equal(hr_layer_receive(worker, HR_RECEIVE_INBOX, &delivery), 0);
    assert_int_equal(number_of(&delivery), 2);
}

static void a_delivery_lives_until_the_next_receive_even_when_acknowledged(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options options = {.reply = open_address(server)};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(server, "jobs", 42, &options), 0);

    struct hr_delivery delivery = case_receive(c, worker);
    assert_int_equal(hr_layer_ack(worker, &delivery.lease), 0);
    for (int i = 0; i < 50; i++) /* would reuse the memory if it were free */
        assert_int_equal(send_number(server, "jobs", 7, &options), 0);
    assert_int_equal(number_of(&delivery), 42);
}

/* Rings are powers of two: a capacity of just that fills the last lap to its last entry. */
static void fill_and_drain_twice(struct layer_case *c, uint32_t capacity)
{
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_channel_policy policy = {.pattern = "jobs", .max_messages = capacity};
    case_policies(c, &policy, 1);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int lap = 0; lap < 3; lap++) {
        for (uint32_t i = 0; i < capacity; i++)
            assert_int_equal(send_number(worker, "jobs", i, NULL), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(send_number(worker, "jobs", 0, NULL), HR_LAYER_FULL);
            assert_int_equal(hr_layer_full_reason(), HR_FULL_COUNT);
        }
        for (uint32_t i = 0; i < capacity; i++)
            expect_number(c, worker, i);
        expect_empty(worker);
    }
}

static void a_channel_of_128_fills_drains_and_refills(void **state)
{
    fill_and_drain_twice(*state, 128);
}

static void a_channel_of_1024_fills_drains_and_refills(void **state)
{
    fill_and_drain_twice(*state, 1024);
}

int suite_receive(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_glob_takes_from_the_channels_it_matches),
        LAYER_TEST(a_channel_matched_twice_is_one),
        LAYER_TEST(unlisten_stops_and_leaves_the_rest),
        LAYER_TEST(a_member_listens_to_at_most_64_patterns),
        LAYER_TEST(what_is_no_pattern_is_an_error),
        LAYER_TEST(a_busy_channel_starves_no_other),
        LAYER_TEST(equally_busy_channels_get_equal_shares),
        LAYER_TEST(inbox_and_channels_do_not_starve_each_other),
        LAYER_TEST(only_the_source_that_was_asked_for_gives),
        LAYER_TEST(a_channel_of_128_fills_drains_and_refills),
        LAYER_TEST(a_channel_of_1024_fills_drains_and_refills),
        LAYER_TEST(a_delivery_lives_until_the_next_receive_even_when_acknowledged),
    };
    return cmocka_run_group_tests_name("receiving", tests, NULL, NULL);
}
