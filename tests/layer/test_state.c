/* test_state.c - opening, statistics, policies, members, counters, records. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- opening */

static void a_url_of_no_layer_is_an_error_that_says_so(void **state)
{
    struct layer_case *c = *state;
    static const char *const urls[] = {"", "memory", "nosuch:x", "/run/headrace", ":"};
    const struct hr_layer_options options = {.role = HR_ROLE_CLIENT, .create = true};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct hr_layer *layer = case_open(c, HR_ROLE_CLIENT);
        assert_int_equal(hr_layer_open(urls[i], &options, &layer), HR_ERR_INVALID);
        assert_null(layer);
        assert_non_null(strstr(hr_layer_open_error(), urls[i]));
        assert_non_null(strstr(hr_layer_open_error(), "ipc:"));
    }
}

static void a_layer_that_is_not_there_is_unavailable_unless_created(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer_options options = {.role = HR_ROLE_CLIENT};
    struct hr_layer *layer = NULL;
    assert_int_equal(case_try_open(c, &options, &layer), HR_ERR_UNAVAILABLE);
    assert_true(strlen(hr_layer_open_error()) > 20);

    case_open(c, HR_ROLE_SERVER);

    assert_int_equal(case_try_open(c, &options, &layer), 0);
    assert_int_equal(hr_layer_id(layer), hr_layer_id(c->members[0]));
    options.role = (enum hr_role)17;
    assert_int_equal(case_try_open(c, &options, &layer), HR_ERR_INVALID);
}

static void an_impossible_geometry_is_an_error(void **state)
{
    struct layer_case *c = *state;
    struct hr_geometry geometry = hr_geometry_default;
    const struct hr_layer_options options = {
        .role = HR_ROLE_CLIENT, .create = true, .geometry = &geometry};
    struct hr_layer *layer = NULL;
    geometry.role[HR_ROLE_WORKER].inbox = 100;
    assert_int_equal(case_try_open(c, &options, &layer), HR_ERR_INVALID);
    assert_non_null(strstr(hr_layer_open_error(), "inbox"));
}

static void an_observer_reads_and_changes_nothing(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    struct hr_addr addr = open_address(server);
    struct hr_arena_stats before, after;
    assert_int_equal(send_number(server, "jobs", 1, NULL), 0);
    assert_int_equal(hr_layer_record_put(server, HR_LIT("key"), "x", 1), 0);
    hr_layer_arena_stats(server, &before);

    struct hr_layer *observer = case_open(c, HR_ROLE_OBSERVER);

    struct hr_delivery delivery;
    struct hr_record record;
    uint32_t cursor = 0;
    assert_int_equal(stats_of(observer, "jobs").depth, 1);
    assert_true(hr_layer_record_next(observer, &cursor, &record));
    assert_true(hr_layer_address_alive(observer, &addr));
    assert_int_equal(send_number(observer, "jobs", 2, NULL), HR_ERR_STATE);
    assert_int_equal(send_number_to(observer, &addr, 2, NULL), HR_ERR_STATE);
    assert_int_equal(hr_layer_listen(observer, HR_LIT("jobs")), HR_ERR_STATE);
    assert_int_equal(hr_layer_receive(observer, HR_RECEIVE_ALL, &delivery), HR_ERR_STATE);
    assert_int_equal(hr_layer_group_add(observer, HR_LIT("g"), HR_LIT("jobs")), HR_ERR_STATE);
    assert_int_equal(hr_layer_group_send(observer, HR_LIT("g"), "", 0, NULL), HR_ERR_STATE);
    assert_int_equal(hr_layer_flush(observer, HR_LIT("jobs")), HR_ERR_STATE);
    assert_int_equal(hr_layer_record_put(observer, HR_LIT("key"), "y", 1), HR_ERR_STATE);
    assert_int_equal(hr_layer_set_policies(observer, NULL, 0), HR_ERR_STATE);
    hr_layer_arena_stats(server, &after);
    assert_int_equal(after.n_live, before.n_live);
    assert_int_equal(stats_of(server, "jobs").depth, 1);
}

/* ---- statistics */

static void statistics_add_up(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server), leaving = open_address(server);
    const struct hr_send_options brief = {.expires_in = 20 * HR_MS};
    const struct hr_send_options stale = {.reply = leaving};
    case_freeze(c);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send_number(server, "jobs", i, i % 2 ? &brief : NULL), 0);
        assert_int_equal(send_number(server, "jobs", i, &stale), 0);
        assert_int_equal(send_number_to(worker, &addr, i, NULL), 0);
    }
    for (int i = 0; i < 6; i++)
        case_receive(c, worker);
    hr_layer_address_close(server, &leaving);
    case_advance(c, 80 * HR_MS);
    for (int i = 0; i < 2; i++)
        case_receive(c, worker); /* meets 3 that have expired or are stale */
    expect_number(c, server, 0);

    struct hr_channel_stats jobs = stats_of(server, "jobs"), inboxes = stats_of(server, "reply");
    assert_adds_up(&jobs);
    assert_adds_up(&inboxes);
    assert_int_equal(jobs.n_sent, 20);
    assert_int_equal(jobs.n_received, 8);
    assert_true(jobs.n_dropped[HR_REASON_STALE] >= 2);
    assert_true(jobs.n_dropped[HR_REASON_EXPIRED] >= 1);
    assert_int_equal(jobs.n_listeners, 1);
    assert_int_equal(inboxes.n_sent, 10);
    assert_int_equal(inboxes.n_received, 1);
    assert_int_equal(inboxes.depth, 9);
}

static void a_channel_shows_its_depth_bytes_and_age(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *sender = case_open(c, HR_ROLE_CLIENT);
    case_freeze(c);
    assert_int_equal(hr_layer_listen(sender, HR_LIT("jobs")), 0);
    struct hr_channel_stats stats = stats_of(sender, "jobs");
    assert_int_equal(stats.depth, 0);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.oldest, 0);
    assert_int_equal(stats.max_messages, 100);
    assert_string_equal(stats.name, "jobs");

    assert_int_equal(hr_layer_send(sender, HR_LIT("jobs"), "123456789", 9, NULL), 0);
    case_advance(c, 50 * HR_MS);
    assert_int_equal(hr_layer_send(sender, HR_LIT("jobs"), "1", 1, NULL), 0);

    stats = stats_of(sender, "jobs");
    assert_int_equal(stats.depth, 2);
    assert_int_equal(stats.bytes, 10);
    assert_true(stats.oldest >= 40 * HR_MS && stats.oldest < 10 * HR_SECOND);
}

static void every_channel_is_found_by_its_number_and_its_name(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_CLIENT);
    static const char *const names[] = {"a", "b", "c.d"};
    struct hr_channel_stats stats;
    struct hr_arena_stats arena;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k <= i; k++)
            assert_int_equal(send_number(layer, names[i], k, NULL), 0);

    uint32_t n = 0, n_found = 0;
    for (; hr_layer_channel_stats(layer, n, &stats); n++)
        for (int i = 0; i < 3; i++)
            if (strcmp(stats.name, names[i]) == 0) {
                assert_int_equal(stats.depth, i + 1);
                n_found++;
            }
    assert_int_equal(n_found, 3);
    hr_layer_arena_stats(layer, &arena);
    assert_int_equal(arena.n_channels, n);
    assert_int_equal(arena.max_channels, hr_geometry_default.n_channels);
    assert_false(hr_layer_channel_find(layer, HR_LIT("nowhere"), &stats));
    assert_false(hr_layer_channel_find(layer, HR_LIT("a b"), &stats));
}

static void losses_outside_the_layer_are_counted_in_it(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_SERVER);
    for (int i = 0; i < 3; i++)
        hr_layer_count_drop(layer, HR_LIT("http.request.web"), HR_REASON_QUEUE_TIMEOUT);
    hr_layer_count_drop(layer, HR_LIT("no name!"), HR_REASON_APP); /* is ignored */
    assert_int_equal(stats_of(layer, "http.request.web").n_dropped[HR_REASON_QUEUE_TIMEOUT], 3);
}

static void memory_in_use_returns_to_what_it_was(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server);
    const struct hr_send_options leased = {.reply = addr};
    struct hr_arena_stats before, during, after;
    uint8_t *bytes = make_bytes(50000, 1);
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    hr_layer_arena_stats(server, &before);
    assert_true(before.bytes_total > before.bytes_used);

    for (int i = 0; i < 20; i++)
        assert_int_equal(hr_layer_send(server, HR_LIT("jobs"), bytes, 50000, &leased), 0);
    hr_layer_arena_stats(server, &during);
    assert_true(during.bytes_used >= before.bytes_used + 20 * 50000);
    for (int i = 0; i < 10; i++) {
        struct hr_delivery delivery = case_receive(c, worker);
        assert_int_equal(hr_layer_ack(worker, &delivery.lease), 0);
    }
    for (int i = 0; i < 5; i++)
        case_receive(c, worker);
    case_close(c, worker);
    for (int i = 0; i < 5; i++)
        case_receive(c, server); /* the lost leases */
    assert_int_equal(hr_layer_flush(server, HR_LIT("jobs")), 0);
    expect_empty(server);

    hr_layer_arena_stats(server, &after);
    assert_int_equal(after.bytes_used, before.bytes_used);
    free(bytes);
}

/* ---- flush */

static void flush_drops_and_counts_what_waits_and_nothing_else(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    struct hr_addr addr = open_address(server);
    struct hr_ticket ticket;
    const struct hr_send_options leased = {.reply = addr};
    const struct hr_send_options delayed = {.reply = addr, .delay = HR_SECOND, .ticket = &ticket};
    assert_int_equal(hr_layer_listen(worker, HR_LIT("jobs")), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_number(server, "jobs", i, &leased), 0);
    assert_int_equal(send_number(server, "jobs", 3, &delayed), 0);
    assert_int_equal(send_number(server, "other", 9, NULL), 0);
    struct hr_delivery held = case_receive(c, worker);

    assert_int_equal(hr_layer_flush(server, HR_LIT("jobs")), 0);

    expect_empty(worker);
    struct hr_channel_stats stats = stats_of(server, "jobs");
    assert_int_equal(stats.n_dropped[HR_REASON_FLUSHED], 3);
    assert_int_equal(stats.depth, 0);
    assert_int_equal(stats.bytes, 0);
    assert_adds_up(&stats);
    assert_int_equal(hr_layer_ticket(server, &ticket).state, HR_TICKET_GONE);
    assert_int_equal(stats_of(server, "other").depth, 1);
    assert_int_equal(hr_layer_ack(worker, &held.lease), 0); /* it was not waiting */
    assert_int_equal(hr_layer_flush(server, HR_LIT("never.seen")), 0);
    assert_int_equal(hr_layer_flush(server, HR_LIT("a b")), HR_ERR_NAME);
    assert_int_equal(hr_layer_flush(server, (struct hr_str){0}), 0);
    assert_int_equal(stats_of(server, "other").n_dropped[HR_REASON_FLUSHED], 1);
}

/* ---- policies */

static void the_first_row_that_matches_decides(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_CLIENT);
    const struct hr_channel_policy rows[] = {
        {.pattern = "jobs.small", .max_messages = 2},
        {.pattern = "jobs.*", .max_messages = 3, .max_bytes = 5000},
        {.pattern = "jobs.late", .max_messages = 4},
    };
    assert_int_equal(send_number(layer, "jobs.early", 0, NULL), 0); /* is there already */
    case_policies(c, rows, 3);

    assert_int_equal(stats_of(layer, "jobs.early").max_messages, 3);
    assert_int_equal(stats_of(layer, "jobs.early").max_bytes, 5000);
    assert_int_equal(send_number(layer, "jobs.small", 0, NULL), 0);
    assert_int_equal(send_number(layer, "jobs.small", 1, NULL), 0);
    assert_int_equal(send_number(layer, "jobs.small", 2, NULL), HR_LAYER_FULL);
    assert_int_equal(send_number(layer, "jobs.late", 0, NULL), 0);
    assert_int_equal(stats_of(layer, "jobs.late").max_messages, 3);
}

static void a_shrunk_channel_keeps_what_it_has(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_CLIENT);
    const struct hr_channel_policy row = {.pattern = "jobs", .max_messages = 2};
    assert_int_equal(hr_layer_listen(layer, HR_LIT("jobs")), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_number(layer, "jobs", i, NULL), 0);
    case_policies(c, &row, 1);
    assert_int_equal(send_number(layer, "jobs", 5, NULL), HR_LAYER_FULL);
    for (int i = 0; i < 5; i++)
        expect_number(c, layer, i);
    assert_int_equal(send_number(layer, "jobs", 6, NULL), 0);
    expect_number(c, layer, 6);
}

static void a_channel_shrunk_in_bytes_keeps_what_it_has(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_CLIENT);
    const struct hr_channel_policy rows[] = {{.pattern = "jobs", .max_bytes = 100},
                                             {.pattern = "jobs", .max_bytes = 10}};
    assert_int_equal(hr_layer_listen(layer, HR_LIT("jobs")), 0);
    case_policies(c, &rows[0], 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_number(layer, "jobs", i, NULL), 0); /* 4 bytes each */
    case_policies(c, &rows[1], 1);
    assert_int_equal(send_number(layer, "jobs", 5, NULL), HR_LAYER_FULL);
    assert_int_equal(hr_layer_full_reason(), HR_FULL_BYTES);
    for (int i = 0; i < 5; i++)
        expect_number(c, layer, i);
    assert_int_equal(send_number(layer, "jobs", 6, NULL), 0);
}

static void rows_that_make_no_sense_are_refused_and_change_nothing(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_CLIENT);
    const struct hr_channel_policy good = {.pattern = "jobs", .max_messages = 7};
    struct hr_channel_policy bad = {.pattern = "a b"};
    case_policies(c, &good, 1);
    assert_int_equal(hr_layer_set_policies(layer, &bad, 1), HR_ERR_INVALID);
    bad = (struct hr_channel_policy){.pattern = "x", .expiry = -1};
    assert_int_equal(hr_layer_set_policies(layer, &bad, 1), HR_ERR_INVALID);
    bad = (struct hr_channel_policy){.pattern = "x", .dead_letter = "a!b"};
    assert_int_equal(hr_layer_set_policies(layer, &bad, 1), HR_ERR_INVALID);
    struct hr_channel_policy *many = calloc(200, sizeof *many);
    assert_non_null(many);
    for (int i = 0; i < 200; i++)
        many[i] = good;
    assert_int_equal(hr_layer_set_policies(layer, many, 200), HR_LAYER_TOO_BIG);
    for (int i = 0; i < 60; i++)
        memset(many[i].pattern, 'x', HR_NAME_MAX);
    assert_int_equal(hr_layer_set_policies(layer, many, 60), HR_LAYER_TOO_BIG); /* in bytes */
    free(many);

    assert_int_equal(send_number(layer, "jobs", 1, NULL), 0);
    assert_int_equal(stats_of(layer, "jobs").max_messages, 7);
}

static void policies_outlive_who_set_them_and_can_be_cleared(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *setter = case_open(c, HR_ROLE_CLIENT);
    const struct hr_channel_policy row = {.pattern = "jobs", .max_messages = 7};
    case_policies(c, &row, 1);
    struct hr_layer *layer = case_open(c, HR_ROLE_WORKER);
    case_close(c, setter);
    assert_int_equal(send_number(layer, "jobs", 1, NULL), 0);
    assert_int_equal(stats_of(layer, "jobs").max_messages, 7);
    assert_int_equal(hr_layer_set_policies(layer, NULL, 0), 0);
    assert_int_equal(send_number(layer, "jobs.two", 1, NULL), 0);
    assert_int_equal(stats_of(layer, "jobs.two").max_messages, 100);
}

/* ---- members */

static void members_are_listed_by_slot(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER);
    const struct hr_layer_options options = {.role = HR_ROLE_WORKER,
                                             .label = "web.3-with-a-label-that-is-much-too-long"};
    struct hr_layer *worker = NULL;
    struct hr_arena_stats arena;
    struct hr_member member;
    assert_int_equal(case_try_open(c, &options, &worker), 0);
    const uint32_t slot = hr_layer_slot(worker);
    const uint32_t gen = hr_layer_control_address(worker).slot_gen;

    assert_true(hr_layer_member(server, slot, &member));
    assert_true(member.is_live);
    assert_int_equal(member.role, HR_ROLE_WORKER);
    assert_int_equal(member.slot_gen, gen);
    assert_int_equal(member.pid, getpid());
    assert_string_equal(member.label, "web.3-with-a-label-that-is-much"); /* 31 bytes */
    assert_int_equal(member.flags, 0);
    struct hr_addr addr = hr_layer_control_address(worker);
    assert_int_equal(send_number_to(server, &addr, 1, NULL), 0);
    assert_true(hr_layer_member(server, slot, &member));
    assert_int_equal(member.inbox_depth, 1);

    uint32_t n_live = 0, n = 0;
    for (; hr_layer_member(server, n, &member); n++)
        n_live += member.is_live;
    assert_int_equal(n_live, 2);
    hr_layer_arena_stats(server, &arena);
    assert_int_equal(arena.n_live, 2);
    assert_int_equal(arena.n_slots, n);
    case_close(c, worker);
    assert_true(hr_layer_member(server, slot, &member));
    assert_false(member.is_live);
    assert_int_equal(member.pid, getpid()); /* its last owner */
}

static void no_more_members_than_slots(void **state)
{
    struct layer_case *c = *state;
    struct hr_geometry geometry = hr_geometry_default;
    geometry.role[HR_ROLE_WORKER].n_slots = 2;
    c->geometry = &geometry;
    const struct hr_layer_options options = {.role = HR_ROLE_WORKER};
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *layer = NULL;
    struct hr_layer *first = case_open(c, HR_ROLE_WORKER);
    case_open(c, HR_ROLE_WORKER);

    assert_int_equal(case_try_open(c, &options, &layer), HR_ERR_NO_SLOT);
    assert_true(strlen(hr_layer_open_error()) > 10);
    case_open(c, HR_ROLE_SERVER); /* other roles have their own */
    case_close(c, first);
    assert_int_equal(case_try_open(c, &options, &layer), 0);
    (void)server;
}

static void ready_is_said_by_oneself_and_retire_by_others(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    const struct hr_addr who = hr_layer_control_address(worker);
    struct hr_member member;
    hr_layer_set_ready(worker, true);
    assert_true(hr_layer_member(server, who.slot, &member));
    assert_int_equal(member.flags, HR_MEMBER_READY);

    hr_layer_retire(server, who.slot, who.slot_gen + 1); /* somebody else */
    hr_layer_retire(server, 1 << 30, 1);
    assert_false(hr_layer_is_retiring(worker));
    hr_layer_retire(server, who.slot, who.slot_gen);

    assert_true(hr_layer_is_retiring(worker));
    assert_false(hr_layer_is_retiring(server));
    assert_true(hr_layer_member(server, who.slot, &member));
    assert_int_equal(member.flags, HR_MEMBER_READY | HR_MEMBER_RETIRE);
    hr_layer_set_ready(worker, false);
    assert_true(hr_layer_member(server, who.slot, &member));
    assert_int_equal(member.flags, HR_MEMBER_RETIRE);
    /* the slot's next owner starts anew */
    case_close(c, worker);
    worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_slot(worker), who.slot);
    assert_false(hr_layer_is_retiring(worker));
}

static void counters_outlive_their_owner_and_only_grow(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *server = case_open(c, HR_ROLE_SERVER), *worker = case_open(c, HR_ROLE_WORKER);
    const uint32_t slot = hr_layer_slot(worker);
    uint32_t n = 0;
    uint64_t *counters = hr_layer_counters(worker, slot, &n);
    assert_non_null(counters);
    assert_int_equal(n, HR_COUNTERS_OTHER);
    counters[0] += 5;
    counters[n - 1] += 7;
    assert_non_null(hr_layer_counters(server, hr_layer_slot(server), &n));
    assert_int_equal(n, HR_COUNTERS_SERVER);

    case_close(c, worker);

    const uint64_t *seen = hr_layer_counters(server, slot, &n);
    assert_non_null(seen);
    assert_int_equal(seen[0], 5);
    assert_int_equal(seen[n - 1], 7);
    worker = case_open(c, HR_ROLE_WORKER);
    assert_int_equal(hr_layer_slot(worker), slot);
    counters = hr_layer_counters(worker, slot, &n);
    counters[0] += 1;
    assert_int_equal(hr_layer_counters(server, slot, &n)[0], 6);
    assert_null(hr_layer_counters(server, 1 << 30, &n));
}

/* ---- records */

static bool find_record(struct hr_layer *layer, const char *key, struct hr_record *out)
{
    uint32_t cursor = 0;
    while (hr_layer_record_next(layer, &cursor, out))
        if (strcmp(out->key, key) == 0)
            return true;
    return false;
}

static void the_newest_record_of_a_key_wins_and_outlives_its_writer(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *reader = case_open(c, HR_ROLE_SERVER), *writer = case_open(c, HR_ROLE_WORKER);
    struct hr_record record;
    uint64_t version = hr_layer_records_version(reader);
    assert_int_equal(hr_layer_record_put(writer, HR_LIT("pool:web"), "one", 3), 0);
    assert_true(hr_layer_records_version(reader) != version);
    version = hr_layer_records_version(reader);
    assert_int_equal(hr_layer_record_put(writer, HR_LIT("pool:web"), "second", 6), 0);
    assert_int_equal(hr_layer_record_put(writer, HR_LIT("pool:empty"), NULL, 0), 0);
    assert_true(hr_layer_records_version(reader) != version);

    case_close(c, writer);

    assert_true(find_record(reader, "pool:web", &record));
    assert_int_equal(record.len, 6);
    assert_memory_equal(record.data, "second", 6);
    assert_true(find_record(reader, "pool:empty", &record));
    assert_int_equal(record.len, 0);
    version = hr_layer_records_version(reader);
    hr_layer_record_remove(reader, HR_LIT("pool:web"));
    assert_true(hr_layer_records_version(reader) != version);
    assert_false(find_record(reader, "pool:web", &record));
    assert_true(find_record(reader, "pool:empty", &record));
}

static void records_have_limits(void **state)
{
    struct layer_case *c = *state;
    struct hr_layer *layer = case_open(c, HR_ROLE_SERVER);
    static uint8_t data[HR_RECORD_MAX + 1];
    char key[HR_RECORD_KEY_MAX + 2];
    struct hr_record record;
    memset(data, 7, sizeof data);
    memset(key, 'k', sizeof key);

    assert_int_equal(hr_layer_record_put(layer, (struct hr_str){key, HR_RECORD_KEY_MAX + 1}, "", 0),
                     HR_ERR_NAME);
    assert_int_equal(hr_layer_record_put(layer, (struct hr_str){0}, "", 0), HR_ERR_NAME);
    assert_int_equal(hr_layer_record_put(layer, HR_LIT("a"), data, sizeof data), HR_LAYER_TOO_BIG);
    assert_int_equal(
        hr_layer_record_put(layer, (struct hr_str){key, HR_RECORD_KEY_MAX}, data, HR_RECORD_MAX),
        0);
    key[HR_RECORD_KEY_MAX] = '\0';
    assert_true(find_record(layer, key, &record));
    assert_int_equal(record.len, HR_RECORD_MAX);
    assert_memory_equal(record.data, data, HR_RECORD_MAX);

    int r = 0, n = 1;
    for (; r == 0 && n < 100; n++) {
        snprintf(key, sizeof key, "key:%d", n);
        r = hr_layer_record_put(layer, hr_str_of(key), "x", 1);
    }
    assert_int_equal(r, HR_LAYER_FULL);
    assert_int_equal(n - 1, 64);
    assert_int_equal(hr_layer_record_put(layer, HR_LIT("key:1"), "y", 1), 0); /* has its row */
    hr_layer_record_remove(layer, HR_LIT("key:2"));
    assert_int_equal(hr_layer_record_put(layer, HR_LIT("another"), "z", 1), 0);
}

int suite_state(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(a_url_of_no_layer_is_an_error_that_says_so),
        LAYER_TEST(a_layer_that_is_not_there_is_unavailable_unless_created),
        LAYER_TEST(an_impossible_geometry_is_an_error),
        LAYER_TEST(an_observer_reads_and_changes_nothing),
        LAYER_TEST(statistics_add_up),
        LAYER_TEST(a_channel_shows_its_depth_bytes_and_age),
        LAYER_TEST(every_channel_is_found_by_its_number_and_its_name),
        LAYER_TEST(losses_outside_the_layer_are_counted_in_it),
        LAYER_TEST(memory_in_use_returns_to_what_it_was),
        LAYER_TEST(flush_drops_and_counts_what_waits_and_nothing_else),
        LAYER_TEST(the_first_row_that_matches_decides),
        LAYER_TEST(a_shrunk_channel_keeps_what_it_has),
        LAYER_TEST(a_channel_shrunk_in_bytes_keeps_what_it_has),
        LAYER_TEST(rows_that_make_no_sense_are_refused_and_change_nothing),
        LAYER_TEST(policies_outlive_who_set_them_and_can_be_cleared),
        LAYER_TEST(members_are_listed_by_slot),
        LAYER_TEST(no_more_members_than_slots),
        LAYER_TEST(ready_is_said_by_oneself_and_retire_by_others),
        LAYER_TEST(counters_outlive_their_owner_and_only_grow),
        LAYER_TEST(the_newest_record_of_a_key_wins_and_outlives_its_writer),
        LAYER_TEST(records_have_limits),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
