/* test_address.c - reply addresses: their life, what is stale, what is full. */
#include "harness.h"

static void a_message_to_an_address_arrives_in_its_owners_inbox(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr one = open_address(server), two = open_address(server);
    char buffer[HR_ADDR_TEXT_MAX];
    assert_memory_not_equal(&one, &two, sizeof one);

    assert_int_equal(send_number_to(worker, &two, 2, NULL), 0);
    text_of(&one, buffer);
    assert_int_equal(send_number(worker, buffer, 1, NULL), 0); /* as text it is the same */

    struct hr_delivery delivery = case_receive(c, server);
    assert_int_equal(number_of(&delivery), 2);
    assert_memory_equal(&delivery.to, &two, sizeof two);
    assert_int_equal(delivery.channel.len, 0);
    assert_false(hr_lease_is_set(&delivery.lease));
    delivery = case_receive(c, server);
    assert_int_equal(number_of(&delivery), 1);
    assert_memory_equal(&delivery.to, &one, sizeof one);
    expect_empty(server);
    expect_empty(worker);
}

static void a_closed_address_is_gone(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server), old = addr;
    assert_true(hr_layer_address_alive(worker, &addr));

    hr_layer_address_close(server, &addr);

    assert_false(hr_addr_is_set(&addr));
    assert_false(hr_layer_address_alive(worker, &old));
    assert_int_equal(send_number_to(worker, &old, 1, NULL), HR_LAYER_GONE);
    /* Whoever gets the number next is somebody else. */
    for (int i = 0; i < 100; i++) {
        struct hr_addr next = open_address(server);
        assert_memory_not_equal(&next, &old, sizeof next);
    }
    assert_int_equal(send_number_to(worker, &old, 1, NULL), HR_LAYER_GONE);
    hr_layer_address_close(server, &old); /* no longer ours: nothing happens */
    expect_empty(server);
}

static void a_renewed_address_is_gone_in_its_old_generation(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server), old = addr;

    hr_layer_address_renew(server, &addr);

    assert_int_equal(addr.conn, old.conn);
    assert_int_not_equal(addr.conn_gen, old.conn_gen);
    assert_int_equal(send_number_to(worker, &old, 1, NULL), HR_LAYER_GONE);
    assert_false(hr_layer_address_alive(worker, &old));
    assert_int_equal(send_number_to(worker, &addr, 2, NULL), 0);
    expect_number(c, server, 2);
    expect_empty(server);
}

static void what_waits_for_an_old_generation_is_dropped_and_counted(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server), closed = open_address(server);
    assert_int_equal(send_number_to(worker, &addr, 1, NULL), 0);
    assert_int_equal(send_number_to(worker, &closed, 2, NULL), 0);

    hr_layer_address_renew(server, &addr);
    hr_layer_address_close(server, &closed);

    assert_int_equal(send_number_to(worker, &addr, 3, NULL), 0);
    expect_number(c, server, 3);
    expect_empty(server);
    expect_dropped(c, server, "reply", HR_REASON_STALE, 2);
}

static void a_request_whose_client_left_is_dropped_before_a_worker_sees_it(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr left = open_address(server), renewed = open_address(server);
    struct hr_ticket ticket;
    struct hr_send_options options = {.reply = left, .ticket = &ticket};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    assert_int_equal(send_number(server, "jobs", 1, &options), 0);
    options = (struct hr_send_options){.reply = renewed};
    assert_int_equal(send_number(server, "jobs", 2, &options), 0);

    hr_layer_address_close(server, &left);
    hr_layer_address_renew(server, &renewed);
    options.reply = renewed;
    assert_int_equal(send_number(server, "jobs", 3, &options), 0);

    expect_number(c, worker, 3);
    expect_empty(worker);
    expect_dropped(c, server, "jobs", HR_REASON_STALE, 2);
    assert_int_equal(hr_layer_ticket(server, &ticket).state, HR_TICKET_GONE);
}

static void the_addresses_of_a_closed_member_are_gone(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server);
    struct hr_addr control = hr_layer_control_address(server);
    assert_int_equal(send_number_to(worker, &addr, 1, NULL), 0);

    case_close(c, server);

    assert_int_equal(send_number_to(worker, &addr, 2, NULL), HR_LAYER_GONE);
    assert_int_equal(send_number_to(worker, &control, 3, NULL), HR_LAYER_GONE);
    expect_dropped(c, worker, "reply", HR_REASON_STALE, 1); /* the unread one */
    /* Nor do they come back with the slot's next owner. */
    struct hr_layer *next = case_open(c, HR_ROLE_SERVER);
    struct hr_addr next_addr = open_address(next);
    assert_int_equal(next_addr.slot, addr.slot);
    assert_int_not_equal(next_addr.slot_gen, addr.slot_gen);
    assert_int_equal(send_number_to(worker, &addr, 4, NULL), HR_LAYER_GONE);
    expect_empty(next);
}

static void an_address_of_nobody_is_gone(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server), wrong;
    wrong = addr, wrong.layer ^= 1;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = addr, wrong.slot = UINT32_MAX;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = addr, wrong.slot += 1;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = addr, wrong.slot_gen += 1;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = addr, wrong.conn = UINT32_MAX;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = addr, wrong.conn += 1;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = addr, wrong.conn_gen += 1;
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    wrong = (struct hr_addr){0};
    assert_int_equal(send_number_to(server, &wrong, 1, NULL), HR_LAYER_GONE);
    assert_false(hr_layer_address_alive(server, &wrong));
    expect_empty(server);
}

static void a_full_connection_takes_control_messages_only(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr slow = open_address(server), other = open_address(server);
    const struct hr_send_options control = {.is_control = true};

    hr_layer_address_set_full(server, &slow, true);

    assert_int_equal(send_number_to(worker, &slow, 1, NULL), HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_CONNECTION);
    assert_int_equal(send_number_to(worker, &slow, 2, &control), 0);
    assert_int_equal(send_number_to(worker, &other, 3, NULL), 0);
    assert_int_equal(stats_of(worker, "reply").n_full, 1);
    hr_layer_address_set_full(server, &slow, false);
    assert_int_equal(send_number_to(worker, &slow, 4, NULL), 0);
    expect_number(c, server, 2);
    expect_number(c, server, 3);
    expect_number(c, server, 4);
}

static void a_reused_number_is_not_full(void **state)
{
    struct layer_case *c = *state;
    struct hr_geometry geometry = hr_geometry_default;
    geometry.role[HR_ROLE_SERVER].connections = 2; /* the control address is one */
    c->geometry = &geometry;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server);
    hr_layer_address_set_full(server, &addr, true);
    hr_layer_address_close(server, &addr);
    addr = open_address(server);
    assert_int_equal(send_number_to(server, &addr, 1, NULL), 0);
}

static void addresses_are_refused_when_all_are_in_use(void **state)
{
    struct layer_case *c = *state;
    struct hr_geometry geometry = hr_geometry_default;
    geometry.role[HR_ROLE_WORKER].connections = 100;
    c->geometry = &geometry;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr, first = open_address(worker);
    for (int i = 2; i < 100; i++) /* the control address is one of them */
        open_address(worker);

    assert_int_equal(hr_layer_address_open(worker, &addr), HR_LAYER_FULL);
    assert_false(hr_addr_is_set(&addr));
    hr_layer_address_close(worker, &first);
    assert_int_equal(hr_layer_address_open(worker, &addr), 0);
    assert_true(hr_layer_address_alive(worker, &addr));
}

static void an_eighth_of_the_inbox_is_kept_for_control(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT); /* an inbox of 64 */
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(client);
    const struct hr_send_options control = {.is_control = true};
    for (int i = 0; i < 56; i++)
        assert_int_equal(send_number_to(worker, &addr, i, NULL), 0);

    assert_int_equal(send_number_to(worker, &addr, 0, NULL), HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_COUNT);
    for (int i = 56; i < 64; i++)
        assert_int_equal(send_number_to(worker, &addr, i, &control), 0);
    assert_int_equal(send_number_to(worker, &addr, 0, &control), HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_COUNT);
    assert_int_equal(stats_of(worker, "reply").n_full, 2);

    for (int i = 0; i < 64; i++)
        expect_number(c, client, i); /* in order, control or not */
    expect_empty(client);
}

static void the_control_address_is_there_from_the_start(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *one = case_open(c, HR_ROLE_CLIENT), *two = case_open(c, HR_ROLE_WORKER);
    struct hr_addr control = hr_layer_control_address(one), kept = control;
    assert_int_equal(control.layer, hr_layer_id(two));
    assert_int_equal(control.slot, hr_layer_slot(one));
    assert_int_equal(control.conn, 0);
    assert_int_equal(control.conn_gen, 0);
    assert_true(hr_layer_address_alive(two, &control));

    hr_layer_address_renew(one, &control); /* is not a connection */
    assert_memory_equal(&control, &kept, sizeof control);
    hr_layer_address_close(one, &control);

    assert_int_equal(send_number_to(two, &kept, 1, NULL), 0);
    struct hr_delivery delivery = case_receive(c, one);
    assert_memory_equal(&delivery.to, &kept, sizeof kept);
    assert_int_equal(number_of(&delivery), 1);
}

static void an_inbox_message_expires_only_when_asked_to(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server);
    const struct hr_send_options options = {.expires_in = 30 * HR_MS};
    case_freeze(c);
    assert_int_equal(send_number_to(server, &addr, 1, &options), 0);
    assert_int_equal(send_number_to(server, &addr, 2, NULL), 0);
    case_advance(c, 100 * HR_MS);
    expect_number(c, server, 2);
    expect_empty(server);
    expect_dropped(c, server, "reply", HR_REASON_EXPIRED, 1);
}

int suite_address(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_message_to_an_address_arrives_in_its_owners_inbox),
        LAYER_TEST(a_closed_address_is_gone),
        LAYER_TEST(a_renewed_address_is_gone_in_its_old_generation),
        LAYER_TEST(what_waits_for_an_old_generation_is_dropped_and_counted),
        LAYER_TEST(a_request_whose_client_left_is_dropped_before_a_worker_sees_it),
        LAYER_TEST(the_addresses_of_a_closed_member_are_gone),
        LAYER_TEST(an_address_of_nobody_is_gone),
        LAYER_TEST(a_full_connection_takes_control_messages_only),
        LAYER_TEST(a_reused_number_is_not_full),
        LAYER_TEST(addresses_are_refused_when_all_are_in_use),
        LAYER_TEST(an_eighth_of_the_inbox_is_kept_for_control),
        LAYER_TEST(the_control_address_is_there_from_the_start),
        LAYER_TEST(an_inbox_message_expires_only_when_asked_to),
    };
    return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
