/* test_group.c - groups: who is reached, who is counted, what a walk may meet. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM HR_LIT("room")

static const uint8_t hello[] = {0x81, 0xa1, 'n', 1}; /* {"n": 1} */

static uint32_t send_to_room(struct hr_layer *layer)
{
    uint32_t n_skipped = 99;
    assert_int_equal(hr_layer_group_send(layer, ROOM, hello, sizeof hello, &n_skipped), 0);
    return n_skipped;
}

/* The members a walk over our own addresses meets. */
static unsigned count_own(struct hr_layer *layer)
{
    struct hr_member_cursor cursor = {0};
    struct hr_addr addr;
    unsigned n = 0;
    while (hr_layer_member_next(layer, ROOM, &cursor, &addr)) {
        assert_true(hr_layer_address_alive(layer, &addr));
        n++;
    }
    return n;
}

static void expect_group_message(struct layer_case *c, struct hr_layer *layer)
{
    struct hr_delivery delivery = case_receive(c, layer);
    assert_int_equal(delivery.kind, HR_DELIVERY_GROUP);
    assert_true(hr_str_eq(delivery.group, ROOM));
    assert_int_equal(delivery.channel.len, 0);
    assert_int_equal(number_of(&delivery), 1);
    assert_false(hr_lease_is_set(&delivery.lease));
}

static void a_send_after_an_add_reaches_the_member(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server), found;
    struct hr_member_cursor cursor = {0};
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);

    assert_int_equal(send_to_room(worker), 0);

    expect_group_message(c, server);
    assert_true(hr_layer_member_next(server, ROOM, &cursor, &found));
    assert_memory_equal(&found, &addr, sizeof addr);
    assert_false(hr_layer_member_next(server, ROOM, &cursor, &found));
    assert_false(hr_layer_member_next(server, ROOM, &cursor, &found)); /* and stays at the end */
    expect_empty(server);
    expect_empty(worker);
}

static void anybody_may_add_and_discard_an_address(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server);
    char buffer[HR_ADDR_TEXT_MAX];
    assert_int_equal(hr_layer_group_add(worker, ROOM, text_of(&addr, buffer)), 0);
    assert_int_equal(send_to_room(worker), 0);
    expect_group_message(c, server);
    assert_int_equal(count_own(server), 1);

    assert_int_equal(hr_layer_group_discard(worker, ROOM, text_of(&addr, buffer)), 0);

    expect_empty(server);
    assert_int_equal(count_own(server), 0);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 0);
}

static void who_is_discarded_is_counted_no_more_before_the_owner_knows(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr first = open_address(server), second = open_address(server);
    assert_int_equal(hr_layer_group_add_addr(worker, ROOM, &first), 0);
    assert_int_equal(hr_layer_group_add_addr(worker, ROOM, &second), 0);
    expect_empty(server);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 2);

    assert_int_equal(hr_layer_group_discard_addr(worker, ROOM, &first), 0);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 1);
    assert_int_equal(hr_layer_group_discard_addr(worker, ROOM, &second), 0);
    assert_int_equal(hr_layer_group_add_addr(worker, ROOM, &first), 0);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 1);

    expect_empty(server);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 1);
    assert_int_equal(count_own(server), 1);
}

static void one_copy_comes_however_many_members_there_are(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *servers[2] = {case_open(c, HR_ROLE_SERVER), case_open(c, HR_ROLE_SERVER)};
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    for (int i = 0; i < 20; i++) {
        struct hr_addr addr = open_address(servers[i % 2]);
        assert_int_equal(hr_layer_group_add_addr(servers[i % 2], ROOM, &addr), 0);
    }
    assert_int_equal(send_to_room(worker), 0);
    for (int i = 0; i < 2; i++) {
        expect_group_message(c, servers[i]);
        assert_int_equal(count_own(servers[i]), 10);
        expect_empty(servers[i]);
    }
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 20);
}

static void adding_twice_is_adding_once(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hr_layer_group_add_addr(i == 1 ? worker : server, ROOM, &addr), 0);
        assert_int_equal(hr_layer_group_add(server, ROOM, HR_LIT("plain")), 0);
    }
    expect_empty(server);
    assert_int_equal(count_own(server), 1);
    assert_int_equal(hr_layer_group_count(server, ROOM, NULL), 2);
    assert_int_equal(send_to_room(worker), 0);
    expect_group_message(c, server);
    expect_empty(server);
    assert_int_equal(stats_of(server, "plain").depth, 1);
    /* one discard undoes them all, a second changes nothing */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hr_layer_group_discard_addr(server, ROOM, &addr), 0);
        assert_int_equal(hr_layer_group_discard(server, ROOM, HR_LIT("plain")), 0);
        assert_int_equal(hr_layer_group_count(server, ROOM, NULL), 0);
    }
}

static void a_plain_channel_gets_an_ordinary_message(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("plain")), 0);
    assert_int_equal(hr_layer_group_add(worker, ROOM, HR_LIT("plain")), 0);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 1);

    assert_int_equal(send_to_room(worker), 0);

    struct hr_delivery delivery = case_receive(c, worker);
    assert_int_equal(delivery.kind, HR_DELIVERY_MESSAGE);
    assert_true(hr_str_eq(delivery.channel, HR_LIT("plain")));
    assert_int_equal(number_of(&delivery), 1);
    expect_empty(worker);
    assert_int_equal(hr_layer_group_discard(worker, ROOM, HR_LIT("plain")), 0);
    assert_int_equal(send_to_room(worker), 0);
    expect_empty(worker);
}

static void a_plain_channels_policy_holds_for_its_copies(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_channel_policy rows[] = {
        {.pattern = "short", .expiry = 40 * HR_MS},
        {.pattern = "safe", .delivery = HR_AT_LEAST_ONCE},
    };
    case_freeze(c);
    case_policies(c, rows, 2);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("short")), 0);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("safe")), 0);
    assert_int_equal(hr_layer_group_add(worker, ROOM, HR_LIT("short")), 0);
    assert_int_equal(hr_layer_group_add(worker, ROOM, HR_LIT("safe")), 0);
    assert_int_equal(send_to_room(worker), 0);

    case_advance(c, 120 * HR_MS);

    struct hr_delivery delivery = case_receive(c, worker);
    assert_true(hr_str_eq(delivery.channel, HR_LIT("safe")));
    assert_int_equal(hr_layer_nack(worker, &delivery.lease, HR_REASON_APP), 0);
    expect_number(c, worker, 1);
    expect_empty(worker);
    expect_dropped(c, worker, "short", HR_REASON_EXPIRED, 1);
}

static void a_closed_address_leaves_its_groups(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server), closed = addr;
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    assert_int_equal(hr_layer_group_add_addr(server, HR_LIT("second"), &addr), 0);

    hr_layer_address_close(server, &addr);

    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 0);
    assert_int_equal(hr_layer_group_count(worker, HR_LIT("second"), NULL), 0);
    assert_int_equal(count_own(server), 0);
    /* whoever gets the number next is in no group */
    addr = open_address(server);
    assert_int_equal(count_own(server), 0);
    assert_int_equal(hr_layer_group_add_addr(worker, ROOM, &closed), HR_LAYER_GONE);
    expect_empty(server);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 0);
}

static void a_renewed_address_stays_in_its_groups(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server), found;
    struct hr_member_cursor cursor = {0};
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    hr_layer_address_renew(server, &addr);
    assert_true(hr_layer_member_next(server, ROOM, &cursor, &found));
    assert_memory_equal(&found, &addr, sizeof addr);
    assert_int_equal(hr_layer_group_count(server, ROOM, NULL), 1);
}

static void a_closed_member_leaves_all_groups(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *worker = case_open(c, HR_ROLE_WORKER), *server = case_open(c, HR_ROLE_SERVER);
    for (int i = 0; i < 10; i++) {
        struct hr_addr addr = open_address(server);
        assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    }
    case_close(c, server);
    assert_int_equal(hr_layer_group_count(worker, ROOM, NULL), 0);
    assert_int_equal(send_to_room(worker), 0);
    server = case_open(c, HR_ROLE_SERVER);
    assert_int_equal(count_own(server), 0);
    expect_empty(server);
}

static void what_is_no_member_is_refused(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server), gone = addr;
    struct hr_addr control = hr_layer_control_address(server), none = {0};
    hr_layer_address_close(server, &addr);

    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &gone), HR_LAYER_GONE);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &none), HR_LAYER_GONE);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &control), HR_ERR_NAME);
    assert_int_equal(hr_layer_group_add(server, ROOM, HR_LIT("a b")), HR_ERR_NAME);
    assert_int_equal(hr_layer_group_add(server, ROOM, HR_LIT("not.an!address")), HR_ERR_NAME);
    assert_int_equal(hr_layer_group_add(server, HR_LIT("a!b"), HR_LIT("plain")), HR_ERR_NAME);
    assert_int_equal(hr_layer_group_send(server, HR_LIT("a b"), hello, sizeof hello, NULL),
                     HR_ERR_NAME);
    assert_int_equal(hr_layer_group_count(server, ROOM, NULL), 0);
}

static void a_group_without_members_takes_messages_and_keeps_none(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    assert_int_equal(send_to_room(server), 0);
    struct hr_addr addr = open_address(server);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    expect_empty(server);
}

static void who_is_full_is_skipped_and_counted_and_the_others_get_it(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *client = case_open(c, HR_ROLE_CLIENT); /* an inbox of 64 */
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr slow = open_address(client), quick = open_address(server);
    assert_int_equal(hr_layer_group_add_addr(client, ROOM, &slow), 0);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &quick), 0);
    assert_int_equal(hr_layer_group_add(server, ROOM, HR_LIT("plain")), 0);
    for (int i = 0; i < 56; i++)
        assert_int_equal(send_number_to(server, &slow, i, NULL), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(send_number(server, "plain", i, NULL), 0);

    assert_int_equal(send_to_room(server), 2);

    expect_group_message(c, server);
    assert_int_equal(stats_of(server, "reply").n_full, 1);
    assert_int_equal(stats_of(server, "plain").n_full, 1);
}

static void a_large_message_reaches_the_group_whole(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server);
    const size_t size = 300001;
    uint8_t *bytes = make_bytes(size, 2);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    assert_int_equal(hr_layer_group_send(server, ROOM, bytes, size, NULL), 0);
    struct hr_delivery delivery = case_receive(c, server);
    assert_int_equal(delivery.kind, HR_DELIVERY_GROUP);
    assert_true(hr_str_eq(delivery.group, ROOM));
    assert_bytes(&delivery, size, 2);
    free(bytes);
}

/* ---- many members, and change while they are walked */

enum { MANY = 5000 };

static void thousands_of_members_are_each_visited_once(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    bool *seen = calloc(MANY * 4, 1);
    char group[16];
    assert_non_null(seen);
    for (int i = 0; i < MANY; i++) {
        struct hr_addr addr = open_address(server);
        assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
        snprintf(group, sizeof group, "g.%d", i % 100);
        assert_int_equal(hr_layer_group_add_addr(server, hr_str_of(group), &addr), 0);
    }
    assert_int_equal(hr_layer_group_count(server, ROOM, NULL), MANY);

    struct hr_member_cursor cursor = {0};
    struct hr_addr addr;
    int n = 0;
    while (hr_layer_member_next(server, ROOM, &cursor, &addr)) {
        assert_true(addr.conn < MANY * 4);
        assert_false(seen[addr.conn]);
        seen[addr.conn] = true;
        n++;
    }
    assert_int_equal(n, MANY);
    free(seen);
}

static void whoever_is_visited_may_leave_join_and_close(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addrs[100], addr;
    int visits[100] = {0};
    for (int i = 0; i < 100; i++) {
        addrs[i] = open_address(server);
        assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addrs[i]), 0);
    }

    struct hr_member_cursor cursor = {0};
    while (hr_layer_member_next(server, ROOM, &cursor, &addr)) {
        int i = 0;
        while (i < 100 && memcmp(&addrs[i], &addr, sizeof addr) != 0)
            i++;
        if (i == 100)
            continue; /* one that joined meanwhile: may come, need not */
        visits[i]++;
        if (i % 4 == 0) { /* closes itself */
            struct hr_addr closing = addr;
            hr_layer_address_close(server, &closing);
        } else if (i % 4 == 1) { /* leaves and comes again */
            assert_int_equal(hr_layer_group_discard_addr(server, ROOM, &addr), 0);
            assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
        } else if (i % 4 == 2 && i + 1 < 100) { /* throws out the next */
            hr_layer_address_close(server, &addrs[i + 1]);
        }
        struct hr_addr newcomer = open_address(server);
        if (i % 10 == 0)
            assert_int_equal(hr_layer_group_add_addr(server, ROOM, &newcomer), 0);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(visits[i], i % 4 == 3 ? 0 : 1);
    assert_int_equal(hr_layer_group_count(server, ROOM, NULL), 25 + 25 + 10);
}

/* ---- listing */

struct names {
    char text[8][HR_NAME_MAX + 1];
    unsigned n;
    struct hr_layer *layer;
};

static void collect(void *arg, struct hr_str name)
{
    struct names *names = arg;
    assert_true(names->n < 8);
    hr_str_copy(names->text[names->n++], HR_NAME_MAX + 1, name);
    hr_layer_group_count(names->layer, ROOM, NULL); /* the layer may be used meanwhile */
}

static bool has_name(const struct names *names, const char *text)
{
    for (unsigned i = 0; i < names->n; i++)
        if (strcmp(names->text[i], text) == 0)
            return true;
    return false;
}

static void own_addresses_and_plain_channels_are_listed(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr one = open_address(server), two = open_address(server);
    struct names names = {.layer = server};
    char text[HR_ADDR_TEXT_MAX];
    bool is_partial = true;
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &one), 0);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &two), 0);
    assert_int_equal(hr_layer_group_add(server, ROOM, HR_LIT("plain")), 0);

    hr_layer_group_channels(server, ROOM, collect, &names, &is_partial);

    assert_int_equal(names.n, 3);
    assert_false(is_partial);
    text_of(&one, text);
    assert_true(has_name(&names, text));
    text_of(&two, text);
    assert_true(has_name(&names, text));
    assert_true(has_name(&names, "plain"));
}

static void flushing_everything_empties_the_groups(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *client = case_open(c, HR_ROLE_CLIENT);
    struct hr_addr addr = open_address(server);
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    assert_int_equal(hr_layer_group_add(server, ROOM, HR_LIT("plain")), 0);

    assert_int_equal(hr_layer_flush(client, (struct hr_str){0}), 0);
    expect_empty(server);

    assert_int_equal(hr_layer_group_count(client, ROOM, NULL), 0);
    assert_int_equal(send_to_room(client), 0);
    expect_empty(server);
    assert_true(hr_layer_address_alive(client, &addr));
    assert_int_equal(hr_layer_group_add_addr(server, ROOM, &addr), 0);
    assert_int_equal(hr_layer_group_count(client, ROOM, NULL), 1);
}

int suite_group(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_send_after_an_add_reaches_the_member),
        LAYER_TEST(anybody_may_add_and_discard_an_address),
        LAYER_TEST(who_is_discarded_is_counted_no_more_before_the_owner_knows),
        LAYER_TEST(one_copy_comes_however_many_members_there_are),
        LAYER_TEST(adding_twice_is_adding_once),
        LAYER_TEST(a_plain_channel_gets_an_ordinary_message),
        LAYER_TEST(a_plain_channels_policy_holds_for_its_copies),
        LAYER_TEST(a_closed_address_leaves_its_groups),
        LAYER_TEST(a_renewed_address_stays_in_its_groups),
        LAYER_TEST(a_closed_member_leaves_all_groups),
        LAYER_TEST(what_is_no_member_is_refused),
        LAYER_TEST(a_group_without_members_takes_messages_and_keeps_none),
        LAYER_TEST(who_is_full_is_skipped_and_counted_and_the_others_get_it),
        LAYER_TEST(a_large_message_reaches_the_group_whole),
        LAYER_TEST(thousands_of_members_are_each_visited_once),
        LAYER_TEST(whoever_is_visited_may_leave_join_and_close),
        LAYER_TEST(own_addresses_and_plain_channels_are_listed),
        LAYER_TEST(flushing_everything_empties_the_groups),
    };
    return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
