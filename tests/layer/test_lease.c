/* test_lease.c - tickets, leases that end well and badly, redelivery, dead letters. */
#include "harness.h"

#include <stdlib.h>

/* A server with an address, and a worker that listens to "jobs". */
struct pair {
    struct hr_layer *server, *worker;
    struct hr_addr addr;
};

static struct pair open_pair(struct layer_case *c)
{
    struct pair p = {.server = case_open(c, HR_ROLE_SERVER),
                     .worker = case_open(c, HR_ROLE_WORKER)};
    p.addr = open_address(p.server);
    assert_int_equal(hr_layer_listen(p.worker, HR_LIT("jobs")), 0);
    return p;
}

static const struct hr_channel_policy at_least_once = {
    .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 3};

/* ---- tickets */

static void a_ticket_follows_its_message_from_queue_to_holder_to_gone(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    struct hr_ticket ticket;
    const struct hr_send_options options = {.reply = p.addr, .ticket = &ticket};
    case_freeze(c);
    assert_int_equal(send_number(p.server, "jobs", 1, &options), 0);

    assert_int_equal(hr_layer_ticket(p.server, &ticket).state, HR_TICKET_QUEUED);
    struct hr_delivery delivery = case_receive(c, p.worker);
    struct hr_ticket_info info = hr_layer_ticket(p.server, &ticket);
    assert_int_equal(info.state, HR_TICKET_HELD);
    assert_int_equal(info.slot, hr_layer_slot(p.worker));
    assert_int_equal(info.slot_gen, hr_layer_control_address(p.worker).slot_gen);
    hr_time apart = info.since - delivery.taken_at; /* a layer may keep it in milliseconds */
    assert_true(apart > -10 * HR_MS && apart < 10 * HR_MS);
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), 0);
    assert_int_equal(hr_layer_ticket(p.server, &ticket).state, HR_TICKET_GONE);

    /* and stays gone when its place is used again */
    for (int i = 0; i < 100; i++) {
        const struct hr_send_options others = {.reply = p.addr};
        assert_int_equal(send_number(p.server, "jobs", i, &others), 0);
        assert_int_equal(hr_layer_ticket(p.server, &ticket).state, HR_TICKET_GONE);
        if (i % 2)
            expect_number(c, p.worker, i / 2);
    }
}

static void a_zeroed_ticket_is_gone(void **state)
{
    struct layer_case *c = *state;
    const struct hr_ticket none = {{0, 0}};
    struct pair p = open_pair(c);
    assert_int_equal(hr_layer_ticket(p.server, &none).state, HR_TICKET_GONE);
}

static void an_ordinary_message_has_no_lease(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);
    assert_false(hr_lease_is_set(&delivery.lease));
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), HR_LAYER_LOST);
    case_close(c, p.worker); /* at-most-once: nobody hears of it */
    expect_empty(p.server);
}

/* ---- leases */

static void a_lease_is_acknowledged_once(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    struct hr_layer *other = case_open(c, HR_ROLE_WORKER);
    const struct hr_send_options options = {.reply = p.addr};
    assert_int_equal(send_number(p.server, "jobs", 1, &options), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);
    assert_true(hr_lease_is_set(&delivery.lease));

    assert_int_equal(hr_layer_ack(other, &delivery.lease), HR_LAYER_LOST); /* is not theirs */
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), 0);
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), HR_LAYER_LOST);
    assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_APP), HR_LAYER_LOST);
    case_close(c, p.worker);
    expect_empty(p.server);
}

static void a_message_comes_back_whole_when_its_holder_closes(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const size_t size = 200000;
    uint8_t *bytes = make_bytes(size, 5);
    struct hr_ticket ticket;
    const struct hr_send_options options = {
        .reply = p.addr, .seq = 12, .attempts = 2, .ticket = &ticket};
    assert_int_equal(hr_layer_send(p.server, HR_LIT("jobs"), bytes, size, &options), 0);
    case_receive(c, p.worker);

    case_close(c, p.worker);

    struct hr_delivery lost = case_receive(c, p.server);
    assert_int_equal(lost.kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(lost.reason, HR_REASON_WORKER_DIED);
    assert_memory_equal(&lost.to, &p.addr, sizeof p.addr);
    assert_true(hr_str_eq(lost.channel, HR_LIT("jobs")));
    assert_int_equal(lost.seq, 12);
    assert_int_equal(lost.attempts, 2);
    assert_bytes(&lost, size, 5);
    assert_false(hr_lease_is_set(&lost.lease));
    assert_int_equal(hr_layer_ticket(p.server, &ticket).state, HR_TICKET_GONE);
    expect_empty(p.server);
    free(bytes);
}

static void all_that_a_member_held_comes_back_and_what_it_had_not_taken_stays(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_send_options options = {.reply = p.addr};
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_number(p.server, "jobs", i, &options), 0);
    for (int i = 0; i < 3; i++)
        case_receive(c, p.worker);

    case_close(c, p.worker);

    bool is_back[3] = {false};
    for (int i = 0; i < 3; i++) {
        struct hr_delivery lost = case_receive(c, p.server);
        assert_int_equal(lost.kind, HR_DELIVERY_LEASE_LOST);
        is_back[number_of(&lost)] = true;
    }
    assert_true(is_back[0] && is_back[1] && is_back[2]);
    expect_empty(p.server);
    struct hr_layer *next = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(next, HR_LIT("jobs")), 0);
    expect_number(c, next, 3);
    expect_number(c, next, 4);
}

static void nack_gives_back_for_a_reason_and_ends_the_lease(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_send_options options = {.reply = p.addr, .seq = 4};
    assert_int_equal(send_number(p.server, "jobs", 1, &options), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);

    assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_TIMEOUT), 0);

    struct hr_delivery lost = case_receive(c, p.server);
    assert_int_equal(lost.kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(lost.reason, HR_REASON_TIMEOUT);
    assert_int_equal(lost.seq, 4);
    assert_int_equal(number_of(&lost), 1);
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), HR_LAYER_LOST);
}

static void a_lost_lease_of_an_address_that_is_gone_is_dropped_and_counted(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    struct hr_addr renewed = open_address(p.server);
    struct hr_send_options options = {.reply = p.addr};
    assert_int_equal(send_number(p.server, "jobs", 1, &options), 0);
    options.reply = renewed;
    assert_int_equal(send_number(p.server, "jobs", 2, &options), 0);
    case_receive(c, p.worker);
    case_receive(c, p.worker);

    hr_layer_address_close(p.server, &p.addr);
    hr_layer_address_renew(p.server, &renewed);
    case_close(c, p.worker);

    expect_empty(p.server);
    expect_dropped(c, p.server, "jobs", HR_REASON_STALE, 2);
    struct hr_channel_stats stats = stats_of(p.server, "jobs");
    assert_adds_up(&stats);
}

static void a_lost_lease_finds_room_in_a_full_inbox(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(client);
    const struct hr_send_options leased = {.reply = addr}, control = {.is_control = true};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(client, "jobs", 1000, &leased), 0);
    case_receive(c, worker);
    for (int i = 0; i < 64; i++)
        assert_int_equal(send_number_to(client, &addr, i, &control), 0);

    case_close(c, worker);

    for (int i = 0; i < 64; i++)
        expect_number(c, client, i);
    struct hr_delivery lost = case_receive(c, client);
    assert_int_equal(lost.kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(number_of(&lost), 1000);
}

static void a_request_to_a_control_address_is_leased_too(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *asker = case_open(c, HR_ROLE_CLIENT);
    struct hr_layer *supervisor = case_open(c, HR_ROLE_CLIENT);
    struct hr_addr to = hr_layer_control_address(supervisor);
    struct hr_addr mine = hr_layer_control_address(asker);
    const struct hr_send_options options = {.reply = mine};
    assert_int_equal(send_number_to(asker, &to, 1, &options), 0);
    struct hr_delivery request = case_receive(c, supervisor);
    assert_memory_equal(&request.reply, &mine, sizeof mine);
    assert_true(hr_lease_is_set(&request.lease));

    case_close(c, supervisor);

    struct hr_delivery lost = case_receive(c, asker);
    assert_int_equal(lost.kind, HR_DELIVERY_LEASE_LOST);
    assert_int_equal(lost.channel.len, 0);
    assert_memory_equal(&lost.to, &mine, sizeof mine);
}

/* ---- at-least-once */

static void an_unacknowledged_message_is_delivered_again(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    case_policies(c, &at_least_once, 1);
    struct hr_layer *second = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);
    assert_true(hr_lease_is_set(&delivery.lease));
    assert_int_equal(delivery.attempts, 0);

    case_close(c, p.worker);

    assert_int_equal(hr_layer_listen(second, HR_LIT("jobs")), 0);
    delivery = case_receive(c, second);
    assert_int_equal(delivery.kind, HR_DELIVERY_MESSAGE);
    assert_int_equal(delivery.attempts, 1);
    assert_int_equal(number_of(&delivery), 1);
    assert_int_equal(hr_layer_ack(second, &delivery.lease), 0);
    expect_empty(second);
    struct hr_channel_stats stats = stats_of(second, "jobs");
    assert_adds_up(&stats);
}

static void an_acknowledged_message_is_not_delivered_again(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    expect_number(c, p.worker, 1);
    case_close(c, p.worker);
    struct hr_layer *second = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(second, HR_LIT("jobs")), 0);
    expect_empty(second);
}

static void a_lease_of_an_earlier_delivery_is_lost(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    struct hr_delivery first = case_receive(c, p.worker);
    const struct hr_lease old = first.lease;
    assert_int_equal(hr_layer_nack(p.worker, &old, HR_REASON_APP), 0);

    struct hr_delivery again = case_receive(c, p.worker); /* the same member holds it again */

    assert_int_equal(hr_layer_ack(p.worker, &old), HR_LAYER_LOST);
    assert_int_equal(hr_layer_nack(p.worker, &old, HR_REASON_APP), HR_LAYER_LOST);
    assert_int_equal(hr_layer_ack(p.worker, &again.lease), 0);
}

static void a_nack_puts_it_behind_what_waits(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    assert_int_equal(send_number(p.server, "jobs", 2, NULL), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);

    assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_APP), 0);

    expect_number(c, p.worker, 2);
    expect_number(c, p.worker, 1);
    expect_empty(p.worker);
}

static void a_lease_that_lasts_too_long_is_given_to_another(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    struct hr_layer *second = case_open(c, HR_ROLE_WORKER);
    const struct hr_channel_policy row = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .lease = 100 * HR_MS};
    case_freeze(c);
    case_policies(c, &row, 1);
    assert_int_equal(hr_layer_listen(second, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    struct hr_delivery slow = case_receive(c, p.worker);
    expect_empty(second);

    case_advance(c, 250 * HR_MS);

    struct hr_delivery again = case_receive(c, second);
    assert_int_equal(number_of(&again), 1);
    assert_int_equal(again.attempts, 1);
    assert_int_equal(hr_layer_ack(p.worker, &slow.lease), HR_LAYER_LOST); /* too late */
    assert_int_equal(hr_layer_nack(p.worker, &slow.lease, HR_REASON_APP), HR_LAYER_LOST);
    assert_int_equal(hr_layer_ack(second, &again.lease), 0);
    case_advance(c, 250 * HR_MS);
    expect_empty(second);
    expect_empty(p.worker);
}

static void each_lease_ends_in_its_own_time(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_channel_policy rows[] = {
        {.pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .lease = 100 * HR_MS},
        {.pattern = "slow", .delivery = HR_AT_LEAST_ONCE, .lease = 600 * HR_MS},
    };
    case_freeze(c);
    case_policies(c, rows, 2);
    assert_int_equal(hr_layer_listen(p.worker, HR_LIT("slow")), 0);
    assert_int_equal(send_number(p.server, "slow", 1, NULL), 0);
    case_receive(c, p.worker);
    assert_int_equal(send_number(p.server, "jobs", 2, NULL), 0);
    case_receive(c, p.worker);

    case_advance(c, 250 * HR_MS);
    expect_number(c, p.worker, 2);
    expect_empty(p.worker);
    case_advance(c, 500 * HR_MS);
    expect_number(c, p.worker, 1);
    expect_empty(p.worker);
}

static void a_sleeper_is_woken_when_anothers_lease_ends(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    struct hr_layer *second = case_open(c, HR_ROLE_WORKER);
    const struct hr_channel_policy row = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .lease = 50 * HR_MS};
    case_policies(c, &row, 1);
    assert_int_equal(hr_layer_listen(second, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    case_receive(c, p.worker);
    hr_time start = hr_time_now(), waited = 0;
    struct hr_delivery again;

    while (hr_layer_receive(second, HR_RECEIVE_ALL, &again) == HR_LAYER_EMPTY &&
           waited < HR_SECOND) {
        int r = hr_layer_wait(second, HR_RECEIVE_ALL, HR_SECOND - waited);
        assert_true(r == 0 || r == HR_LAYER_EMPTY);
        waited = hr_time_now() - start;
    }

    assert_true(waited < HR_SECOND);
    assert_int_equal(number_of(&again), 1);
}

static void a_lease_kept_in_time_is_not_taken_away(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_channel_policy row = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .lease = 5 * HR_SECOND};
    case_freeze(c);
    case_policies(c, &row, 1);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);
    case_advance(c, 100 * HR_MS);
    expect_empty(p.worker);
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), 0);
}

static void what_failed_too_often_goes_to_the_dead_letters(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const size_t size = 70000;
    uint8_t *bytes = make_bytes(size, 8);
    case_policies(c, &at_least_once, 1);
    assert_int_equal(hr_layer_send(p.server, HR_LIT("jobs"), bytes, size, NULL), 0);

    for (uint32_t i = 0; i < 3; i++) {
        struct hr_delivery delivery = case_receive(c, p.worker);
        assert_int_equal(delivery.attempts, i);
        assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_APP), 0);
    }

    expect_empty(p.worker);
    expect_dropped(c, p.server, "jobs", HR_REASON_ATTEMPTS, 1);
    struct hr_channel_stats stats = stats_of(p.server, "jobs");
    assert_adds_up(&stats);
    assert_int_equal(hr_layer_listen(p.server, HR_LIT("dead.*")), 0);
    struct hr_delivery dead = case_receive(c, p.server);
    assert_true(hr_str_eq(dead.channel, HR_LIT("dead.jobs")));
    assert_int_equal(dead.attempts, 3);
    assert_bytes(&dead, size, 8);
    assert_false(hr_lease_is_set(&dead.lease));
    expect_empty(p.server);
    free(bytes);
}

static void dead_letters_may_have_a_name_of_their_own(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_channel_policy row = {
        .pattern = "jobs", .delivery = HR_AT_LEAST_ONCE, .attempts = 1, .dead_letter = "morgue"};
    case_policies(c, &row, 1);
    assert_int_equal(hr_layer_listen(p.server, HR_LIT("morgue")), 0);
    assert_int_equal(send_number(p.server, "jobs", 7, NULL), 0);
    case_receive(c, p.worker);
    case_close(c, p.worker);
    expect_number(c, p.server, 7);
}

static void with_a_reply_address_its_owner_decides(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_send_options options = {.reply = p.addr};
    case_policies(c, &at_least_once, 1);
    assert_int_equal(send_number(p.server, "jobs", 1, &options), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);

    assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_APP), 0);

    expect_empty(p.worker);
    struct hr_delivery lost = case_receive(c, p.server);
    assert_int_equal(lost.kind, HR_DELIVERY_LEASE_LOST);
}

static void the_sender_may_know_of_earlier_attempts(void **state)
{
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    const struct hr_send_options options = {.attempts = 2};
    case_policies(c, &at_least_once, 1);
    assert_int_equal(hr_layer_listen(p.server, HR_LIT("dead.jobs")), 0);
    assert_int_equal(send_number(p.server, "jobs", 1, &options), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);
    assert_int_equal(delivery.attempts, 2);
    assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_APP), 0);
    expect_number(c, p.server, 1);
}

static void dead_letters_of_an_at_least_once_channel_are_leased_too(void **state)
{
    static const struct hr_channel_policy all = {
        .pattern = "*", .delivery = HR_AT_LEAST_ONCE, .attempts = 1};
    struct layer_case *c = *state;
    struct pair p = open_pair(c);
    case_policies(c, &all, 1);
    assert_int_equal(hr_layer_listen(p.worker, HR_LIT("dead.jobs")), 0);
    assert_int_equal(send_number(p.server, "jobs", 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, p.worker);
    assert_int_equal(hr_layer_nack(p.worker, &delivery.lease, HR_REASON_APP), 0);

    delivery = case_receive(c, p.worker);
    assert_true(hr_str_eq(delivery.channel, HR_LIT("dead.jobs")));
    assert_true(hr_lease_is_set(&delivery.lease));
    assert_int_equal(hr_layer_ack(p.worker, &delivery.lease), 0);
    expect_empty(p.worker);
}

int suite_lease(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(dead_letters_of_an_at_least_once_channel_are_leased_too),
        LAYER_TEST(a_ticket_follows_its_message_from_queue_to_holder_to_gone),
        LAYER_TEST(a_zeroed_ticket_is_gone),
        LAYER_TEST(an_ordinary_message_has_no_lease),
        LAYER_TEST(a_lease_is_acknowledged_once),
        LAYER_TEST(a_message_comes_back_whole_when_its_holder_closes),
        LAYER_TEST(all_that_a_member_held_comes_back_and_what_it_had_not_taken_stays),
        LAYER_TEST(nack_gives_back_for_a_reason_and_ends_the_lease),
        LAYER_TEST(a_lost_lease_of_an_address_that_is_gone_is_dropped_and_counted),
        LAYER_TEST(a_lost_lease_finds_room_in_a_full_inbox),
        LAYER_TEST(a_request_to_a_control_address_is_leased_too),
        LAYER_TEST(an_unacknowledged_message_is_delivered_again),
        LAYER_TEST(an_acknowledged_message_is_not_delivered_again),
        LAYER_TEST(a_lease_of_an_earlier_delivery_is_lost),
        LAYER_TEST(a_nack_puts_it_behind_what_waits),
        LAYER_TEST(a_lease_that_lasts_too_long_is_given_to_another),
        LAYER_TEST(each_lease_ends_in_its_own_time),
        LAYER_TEST(a_sleeper_is_woken_when_anothers_lease_ends),
        LAYER_TEST(a_lease_kept_in_time_is_not_taken_away),
        LAYER_TEST(what_failed_too_often_goes_to_the_dead_letters),
        LAYER_TEST(dead_letters_may_have_a_name_of_their_own),
        LAYER_TEST(with_a_reply_address_its_owner_decides),
        LAYER_TEST(the_sender_may_know_of_earlier_attempts),
    };
    return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
