/* test_operator.c - what operators do to channels: pausing, back-off, dead letters one by one. */
#include "harness.h"

#include <poll.h>
#include <stdlib.h>

static const struct hr_channel_policy at_least_once = {
    .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 2};

/* ---- pausing */

static void a_paused_channel_takes_in_and_gives_nothing_out(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("other")), 0);
    assert_int_equal(send_number(sender, "jobs", 1, NULL), 0);
    assert_int_equal(stats_of(sender, "jobs").paused_at, 0);

    assert_int_equal(hr_layer_pause(sender, HR_LIT("jobs"), true), 0);

    assert_int_equal(send_number(sender, "jobs", 2, NULL), 0);
    assert_int_equal(send_number(sender, "other", 3, NULL), 0);
    expect_number(c, worker, 3); /* the others go on */
    expect_empty(worker);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0); /* it may sleep */
    hr_layer_dispatch(worker);
    assert_int_equal(hr_layer_wait(worker, HR_RECEIVE_ALL, 0), HR_LAYER_EMPTY);
    assert_int_equal(stats_of(sender, "jobs").depth, 2);
    assert_true(stats_of(sender, "jobs").paused_at > 0);

    assert_int_equal(hr_layer_pause(sender, HR_LIT("jobs"), false), 0);

    expect_number(c, worker, 1);
    expect_number(c, worker, 2);
    assert_int_equal(stats_of(sender, "jobs").paused_at, 0);
}

static void a_paused_channel_refuses_beyond_its_capacity(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT);
    const struct hr_channel_policy row = {.pattern = "jobs", .max_messages = 3};
    case_policies(c, &row, 1);
    assert_int_equal(send_number(sender, "jobs", 0, NULL), 0);
    assert_int_equal(hr_layer_pause(sender, HR_LIT("jobs"), true), 0);
    assert_int_equal(send_number(sender, "jobs", 1, NULL), 0);
    assert_int_equal(send_number(sender, "jobs", 2, NULL), 0);
    assert_int_equal(send_number(sender, "jobs", 3, NULL), HR_LAYER_FULL);
}

static void a_pause_outlives_who_asked_and_who_listened(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *keeper = case_open(c, HR_ROLE_SERVER), *asker = case_open(c, HR_ROLE_CLIENT);
    assert_int_equal(send_number(keeper, "jobs", 1, NULL), 0);
    assert_int_equal(hr_layer_pause(asker, HR_LIT("jobs"), true), 0);
    hr_time since = stats_of(keeper, "jobs").paused_at;
    case_close(c, asker);
    case_policies(c, &at_least_once, 1); /* as a reload of the settings does */

    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jo*")), 0);
    expect_empty(worker);
    assert_int_equal(hr_layer_pause(worker, HR_LIT("jobs"), true), 0); /* again: as it was */
    assert_int_equal(stats_of(keeper, "jobs").paused_at, since);
}

static void a_sleeper_is_woken_by_the_end_of_a_pause(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT), *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(hr_layer_pause(sender, HR_LIT("jobs"), true), 0);
    assert_int_equal(send_number(sender, "jobs", 1, NULL), 0);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0);

    struct pollfd bell = {.fd = hr_layer_fd(worker), .events = POLLIN};
    assert_int_equal(poll(&bell, 1, 0), 0);

    assert_int_equal(hr_layer_pause(sender, HR_LIT("jobs"), false), 0);

    assert_int_equal(poll(&bell, 1, 0), 1);
    hr_layer_dispatch(worker);
    expect_number(c, worker, 1);
}

static void what_is_due_in_a_paused_channel_waits_without_haste(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options delayed = {.delay = 30 * HR_MS};
    case_freeze(c);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, &delayed), 0);
    assert_int_equal(hr_layer_pause(worker, HR_LIT("jobs"), true), 0);
    case_advance(c, 200 * HR_MS);
    expect_empty(worker);
    assert_int_equal(hr_layer_prepare(worker, HR_RECEIVE_ALL), 0);
    assert_true(hr_layer_poll_timeout(worker) > 0);
    hr_layer_dispatch(worker);
    assert_int_equal(hr_layer_pause(worker, HR_LIT("jobs"), false), 0);
    expect_number(c, worker, 1);
}

static void what_is_no_channel_cannot_be_paused(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT);
    struct hr_layer *observer = case_open(c, HR_ROLE_OBSERVER);
    assert_int_equal(hr_layer_pause(client, HR_LIT("jobs"), true), HR_ERR_NOT_FOUND);
    assert_int_equal(hr_layer_pause(client, HR_LIT("reply"), true), HR_ERR_NAME);
    assert_int_equal(hr_layer_pause(client, HR_LIT("a b"), true), HR_ERR_NAME);
    assert_int_equal(hr_layer_pause(observer, HR_LIT("jobs"), true), HR_ERR_STATE);
}

/* ---- back-off */

static struct hr_delivery fail_one(struct layer_case *c, struct hr_layer *worker)
{
    struct hr_delivery delivery = case_receive(c, worker);
    assert_int_equal(hr_layer_nack(worker, &delivery.lease, HR_REASON_APP), 0);
    return delivery;
}

static void a_nacked_message_waits_for_the_back_off_doubled_each_time(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_channel_policy row = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 3, .backoff = 400 * HR_MS};
    case_freeze(c);
    case_policies(c, &row, 1);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);
    assert_int_equal(send_number(worker, "jobs", 2, NULL), 0);

    assert_int_equal(fail_one(c, worker).attempts, 0);

    expect_number(c, worker, 2); /* nobody is held up */
    expect_empty(worker);
    struct hr_channel_stats stats = stats_of(worker, "jobs");
    assert_int_equal(stats.depth, 1);
    assert_true(stats.bytes > 0);
    assert_adds_up(&stats);
    case_advance(c, 600 * HR_MS);
    assert_int_equal(fail_one(c, worker).attempts, 1);
    case_advance(c, 500 * HR_MS);
    expect_empty(worker); /* twice as long now */
    case_advance(c, 500 * HR_MS);
    assert_int_equal(fail_one(c, worker).attempts, 2);
    assert_int_equal(stats_of(worker, "dead.jobs").depth, 1); /* at once: it need not wait */
    stats = stats_of(worker, "jobs");
    assert_int_equal(stats.bytes, 0);
    assert_adds_up(&stats);
}

static void a_nack_may_say_how_long_to_wait(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    case_freeze(c);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, worker);

    assert_int_equal(hr_layer_nack_after(worker, &delivery.lease, HR_REASON_APP, 300 * HR_MS), 0);

    assert_int_equal(hr_layer_ack(worker, &delivery.lease), HR_LAYER_LOST);
    expect_empty(worker);
    case_advance(c, 500 * HR_MS);
    delivery = case_receive(c, worker);
    assert_int_equal(delivery.attempts, 1);
    assert_int_equal(hr_layer_ack(worker, &delivery.lease), 0);
}

static void what_waits_for_its_back_off_outlives_its_holder(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER), *second = case_open(c, HR_ROLE_WORKER);
    case_freeze(c);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(worker, "jobs", 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, worker);
    assert_int_equal(hr_layer_nack_after(worker, &delivery.lease, HR_REASON_APP, 100 * HR_MS), 0);
    case_close(c, worker);
    assert_int_equal(hr_layer_listen(second, HR_LIT("jobs")), 0);
    case_advance(c, 300 * HR_MS);
    expect_number(c, second, 1);
}

/* ---- letters */

enum { N_LETTERS = 4 };

/* A worker fails N_LETTERS messages of `jobs`, numbered from 1, as often as allowed. */
static struct hr_layer *open_with_letters(struct layer_case *c)
{
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int i = 1; i <= N_LETTERS; i++)
        assert_int_equal(send_number(worker, "jobs", i, NULL), 0);
    for (int i = 0; i < 2 * N_LETTERS; i++)
        fail_one(c, worker);
    expect_empty(worker);
    return worker;
}

/* Checks that the letters are these numbers, in this order. */
static void expect_letters(struct hr_layer *layer, const uint32_t *numbers, uint32_t n)
{
    struct hr_letter letter;
    uint64_t cursor = 0;
    for (uint32_t i = 0; i < n; i++) {
        assert_true(hr_layer_letter_next(layer, HR_LIT("dead.jobs"), &cursor, NULL, 0, &letter));
        assert_int_equal(letter.number, numbers[i]);
    }
    assert_false(hr_layer_letter_next(layer, HR_LIT("dead.jobs"), &cursor, NULL, 0, &letter));
}

struct decision {
    uint32_t number; /* 0: all */
    enum hr_letter_fate fate;
    uint32_t n_asked;
};

static int decide(void *arg, const struct hr_letter *letter)
{
    struct decision *decision = arg;
    decision->n_asked++;
    bool is_it = decision->number == 0 || decision->number == letter->number;
    return is_it ? (int)decision->fate : HR_LETTER_KEEP;
}

static struct hr_letter_fates decide_all(struct hr_layer *layer, uint32_t number,
                                         enum hr_letter_fate fate)
{
    struct decision decision = {.number = number, .fate = fate};
    struct hr_letter_fates fates;
    assert_int_equal(hr_layer_letters_decide(layer, HR_LIT("dead.jobs"), decide, &decision, &fates),
                     0);
    return fates;
}

static void a_letter_tells_where_it_failed_how_often_and_why(void **state)
{
    struct layer_case *c = *state;
    const size_t size = 70000; /* a chain in ipc */
    struct hr_layer *worker = open_with_letters(c);
    struct hr_layer *observer = case_open(c, HR_ROLE_OBSERVER);
    uint8_t *bytes = make_bytes(size, 3), *buffer = malloc(size), first[64];
    struct hr_letter letter;
    uint64_t cursor = 0;
    assert_int_equal(hr_layer_send(worker, HR_LIT("jobs"), bytes, size, NULL), 0);
    for (int i = 0; i < 2; i++) {
        struct hr_delivery delivery = case_receive(c, worker);
        assert_int_equal(hr_layer_nack(worker, &delivery.lease, HR_REASON_TIMEOUT), 0);
    }
    assert_true(stats_of(observer, "dead.jobs").is_dead_letter);
    assert_false(stats_of(observer, "jobs").is_dead_letter);

    assert_true(
        hr_layer_letter_next(observer, HR_LIT("dead.jobs"), &cursor, first, sizeof first, &letter));

    assert_int_equal(letter.number, 1);
    assert_string_equal(letter.from, "jobs");
    assert_int_equal(letter.attempts, 2);
    assert_int_equal(letter.reason, HR_REASON_APP);
    assert_true(letter.sent_at > 0 && letter.sent_at <= hr_time_now());
    struct hr_msg msg;
    assert_ptr_equal(letter.data, first);
    assert_int_equal(hr_msg_check(letter.data, letter.len, &msg), 0);
    assert_int_equal(hr_msg_int(&msg, "n", 0), 1);
    for (int i = 2; i <= N_LETTERS; i++)
        assert_true(hr_layer_letter_next(observer, HR_LIT("dead.jobs"), &cursor, NULL, 0, &letter));
    uint64_t at_last = cursor;
    assert_true(
        hr_layer_letter_next(observer, HR_LIT("dead.jobs"), &cursor, first, sizeof first, &letter));
    assert_null(letter.data); /* it did not fit */
    assert_int_equal(letter.len, size);
    assert_int_equal(letter.reason, HR_REASON_TIMEOUT);
    assert_true(
        hr_layer_letter_next(observer, HR_LIT("dead.jobs"), &at_last, buffer, size, &letter));
    assert_memory_equal(letter.data, bytes, size);
    assert_false(hr_layer_letter_next(observer, HR_LIT("dead.jobs"), &cursor, NULL, 0, &letter));
    free(bytes);
    free(buffer);
}

static void a_retried_letter_is_as_if_newly_sent(void **state)
{
    static const uint32_t left[] = {1, 3, 4};
    struct layer_case *c = *state;
    struct hr_layer *worker = open_with_letters(c);

    struct hr_letter_fates fates = decide_all(worker, 2, HR_LETTER_RETRY);

    assert_int_equal(fates.n_retried, 1);
    expect_letters(worker, left, 3);
    struct hr_delivery delivery = case_receive(c, worker);
    assert_true(hr_str_eq(delivery.channel, HR_LIT("jobs")));
    assert_int_equal(number_of(&delivery), 2);
    assert_int_equal(delivery.attempts, 0);
    assert_true(hr_lease_is_set(&delivery.lease));
    assert_int_equal(hr_layer_nack(worker, &delivery.lease, HR_REASON_APP), 0);
    fail_one(c, worker);
    static const uint32_t again[] = {1, 3, 4, 5}; /* numbers are not reused */
    expect_letters(worker, again, 4);
    struct hr_channel_stats jobs = stats_of(worker, "jobs"), dead = stats_of(worker, "dead.jobs");
    assert_adds_up(&jobs);
    assert_adds_up(&dead);
}

static void dropped_letters_are_counted_and_the_others_keep_their_order(void **state)
{
    static const uint32_t left[] = {1, 2, 4};
    struct layer_case *c = *state;
    struct hr_layer *worker = open_with_letters(c);
    assert_int_equal(decide_all(worker, 3, HR_LETTER_DROP).n_dropped, 1);
    expect_letters(worker, left, 3);
    assert_int_equal(decide_all(worker, 3, HR_LETTER_DROP).n_dropped, 0);
    assert_int_equal(decide_all(worker, 0, HR_LETTER_KEEP).n_dropped, 0);
    expect_letters(worker, left, 3);
    assert_int_equal(decide_all(worker, 0, HR_LETTER_DROP).n_dropped, 3);
    struct hr_channel_stats dead = stats_of(worker, "dead.jobs");
    assert_int_equal(dead.depth, 0);
    assert_int_equal(dead.bytes, 0);
    assert_int_equal(dead.n_dropped[HR_REASON_FLUSHED], 4);
    assert_adds_up(&dead);
}

static void letters_for_a_full_channel_stay(void **state)
{
    static const uint32_t left[] = {3, 4};
    struct layer_case *c = *state;
    struct hr_layer *worker = open_with_letters(c);
    const struct hr_channel_policy narrow = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 2, .max_messages = 2};
    case_policies(c, &narrow, 1);
    struct hr_letter_fates fates = decide_all(worker, 0, HR_LETTER_RETRY);
    assert_int_equal(fates.n_retried, 2);
    assert_int_equal(fates.n_full, 2);
    expect_letters(worker, left, 2);
    expect_number(c, worker, 1);
    expect_number(c, worker, 2);
}

static void what_did_not_fail_anywhere_is_not_retried(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT);
    struct hr_letter_fates fates;
    struct hr_letter letter;
    uint64_t cursor = 0;
    assert_int_equal(send_number(client, "dead.jobs", 1, NULL), 0);
    assert_true(hr_layer_letter_next(client, HR_LIT("dead.jobs"), &cursor, NULL, 0, &letter));
    assert_int_equal(letter.number, 0);
    assert_string_equal(letter.from, "");
    fates = decide_all(client, 0, HR_LETTER_RETRY);
    assert_int_equal(fates.n_homeless, 1);
    assert_int_equal(stats_of(client, "dead.jobs").depth, 1);
    assert_int_equal(decide_all(client, 0, HR_LETTER_DROP).n_dropped, 1);
    assert_int_equal(hr_layer_letters_decide(client, HR_LIT("none"), decide, NULL, &fates),
                     HR_ERR_NOT_FOUND);
}

static void dead_letters_that_are_full_lose_none(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_channel_policy rows[] = {
        {.pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 1},
        {.pattern = "dead.*", .max_messages = 1},
    };
    case_policies(c, rows, 2);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(send_number(worker, "jobs", i, NULL), 0);
    for (int i = 1; i <= 3; i++)
        fail_one(c, worker);
    assert_int_equal(stats_of(worker, "jobs").n_dropped[HR_REASON_ATTEMPTS], 3);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("dead.jobs")), 0);
    int64_t sum = 0;
    for (int i = 1; i <= 3; i++) {
        struct hr_delivery dead = case_receive(c, worker);
        sum += number_of(&dead);
    }
    assert_int_equal(sum, 1 + 2 + 3);
    expect_empty(worker);
}

static void a_letter_may_also_be_received(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = open_with_letters(c);
    decide_all(worker, 1, HR_LETTER_KEEP); /* once around */
    assert_int_equal(hr_layer_listen(worker, HR_LIT("dead.*")), 0);
    for (int i = 1; i <= N_LETTERS; i++)
        expect_number(c, worker, i);
    expect_letters(worker, NULL, 0);
    struct hr_channel_stats dead = stats_of(worker, "dead.jobs");
    assert_adds_up(&dead);
}

int suite_operator(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_paused_channel_takes_in_and_gives_nothing_out),
        LAYER_TEST(a_paused_channel_refuses_beyond_its_capacity),
        LAYER_TEST(a_pause_outlives_who_asked_and_who_listened),
        LAYER_TEST(a_sleeper_is_woken_by_the_end_of_a_pause),
        LAYER_TEST(what_is_due_in_a_paused_channel_waits_without_haste),
        LAYER_TEST(what_is_no_channel_cannot_be_paused),
        LAYER_TEST(a_nacked_message_waits_for_the_back_off_doubled_each_time),
        LAYER_TEST(a_nack_may_say_how_long_to_wait),
        LAYER_TEST(what_waits_for_its_back_off_outlives_its_holder),
        LAYER_TEST(a_letter_tells_where_it_failed_how_often_and_why),
        LAYER_TEST(a_retried_letter_is_as_if_newly_sent),
        LAYER_TEST(dropped_letters_are_counted_and_the_others_keep_their_order),
        LAYER_TEST(letters_for_a_full_channel_stay),
        LAYER_TEST(what_did_not_fail_anywhere_is_not_retried),
        LAYER_TEST(dead_letters_that_are_full_lose_none),
        LAYER_TEST(a_letter_may_also_be_received),
    };
    return cmocka_run_group_tests_name("operators", tests, NULL, NULL);
}
