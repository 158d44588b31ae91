/* test_members.c - the table of memberships against a plain model of it. */
#include "test_layer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "layer/members.h"

#define ROOM HR_LIT("room")

static void joining_is_idempotent_and_leaving_ends_it(void **state)
{
    (void)state;
    struct hr_members members = {0};
    assert_false(hr_members_has(&members, ROOM, 5));
    assert_int_equal(hr_members_join(&members, ROOM, 5), 0);
    assert_int_equal(hr_members_join(&members, ROOM, 5), HR_MEMBERS_SAME);
    assert_int_equal(hr_members_count(&members, ROOM), 1);
    assert_true(hr_members_has(&members, ROOM, 5));
    assert_false(hr_members_has(&members, HR_LIT("other"), 5));
    assert_true(hr_members_leave(&members, ROOM, 5));
    assert_false(hr_members_leave(&members, ROOM, 5));
    assert_false(hr_members_leave(&members, HR_LIT("other"), 5));
    assert_int_equal(hr_members_count(&members, ROOM), 0);
    hr_members_fini(&members);
}

static void dropping_a_connection_leaves_all_its_groups(void **state)
{
    (void)state;
    struct hr_members members = {0};
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "g.%d", i);
        assert_int_equal(hr_members_join(&members, hr_str_of(name), 1000), 0);
        assert_int_equal(hr_members_join(&members, hr_str_of(name), 1), 0);
    }
    hr_members_drop(&members, 1000);
    hr_members_drop(&members, 1000);
    hr_members_drop(&members, 123456789); /* never seen */
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "g.%d", i);
        assert_int_equal(hr_members_count(&members, hr_str_of(name)), 1);
        assert_true(hr_members_has(&members, hr_str_of(name), 1));
    }
    hr_members_clear(&members);
    assert_int_equal(members.n_members, 0);
    hr_members_fini(&members);
}

/* ---- the hook */

struct left {
    unsigned n;
    char group[16];
    uint32_t n_left;
    const struct hr_members *members;
};

static void note_left(void *arg, struct hr_str group, uint32_t n_left)
{
    struct left *left = arg;
    left->n++;
    left->n_left = n_left;
    hr_str_copy(left->group, sizeof left->group, group);
    assert_int_equal(hr_members_count(left->members, group), n_left);
}

static void the_hook_tells_of_everyone_who_leaves(void **state)
{
    (void)state;
    struct left left = {0};
    struct hr_members members = {.left = note_left, .arg = &left};
    left.members = &members;
    assert_int_equal(hr_members_join(&members, ROOM, 1), 0);
    assert_int_equal(hr_members_join(&members, ROOM, 2), 0);
    assert_int_equal(left.n, 0);
    hr_members_leave(&members, ROOM, 1);
    assert_int_equal(left.n, 1);
    assert_int_equal(left.n_left, 1);
    assert_string_equal(left.group, "room");
    hr_members_drop(&members, 2);
    assert_int_equal(left.n, 2);
    assert_int_equal(left.n_left, 0);
    hr_members_fini(&members);
}

/* ---- walking */

static void a_walk_visits_in_the_order_of_joining(void **state)
{
    (void)state;
    struct hr_members members = {0};
    struct hr_member_cursor cursor = {0};
    uint32_t conn = 0;
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(hr_members_join(&members, ROOM, (i * 37) % 100), 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(hr_members_next(&members, ROOM, &cursor, &conn));
        assert_int_equal(conn, (i * 37) % 100);
    }
    assert_false(hr_members_next(&members, ROOM, &cursor, &conn));
    assert_int_equal(hr_members_join(&members, ROOM, 100), 0); /* too late for this walk */
    assert_false(hr_members_next(&members, ROOM, &cursor, &conn));
    hr_members_fini(&members);
}

static void a_walk_over_nobody_has_ended_for_good(void **state)
{
    (void)state;
    struct hr_members members = {0};
    struct hr_member_cursor cursor = {0};
    uint32_t conn = 0;
    assert_false(hr_members_next(&members, ROOM, &cursor, &conn));
    assert_int_equal(hr_members_join(&members, ROOM, 1), 0);
    assert_false(hr_members_next(&members, ROOM, &cursor, &conn));
    hr_members_fini(&members);
}

static void a_walk_survives_the_end_and_the_return_of_its_group(void **state)
{
    (void)state;
    struct hr_members members = {0};
    struct hr_member_cursor cursor = {0};
    uint32_t conn = 0;
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(hr_members_join(&members, ROOM, i), 0);
    assert_true(hr_members_next(&members, ROOM, &cursor, &conn));
    hr_members_clear(&members);
    /* The nodes are taken again, by another group and by the same. */
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(hr_members_join(&members, i % 2 ? ROOM : HR_LIT("other"), i), 0);
    assert_false(hr_members_next(&members, ROOM, &cursor, &conn));
    hr_members_fini(&members);
}

enum { MODEL_GROUPS = 5, MODEL_CONNS = 40 };

static struct hr_str model_name(uint32_t group)
{
    static const char *const names[MODEL_GROUPS] = {"a", "b", "room", "room.2", "x"};
    return hr_str_of(names[group]);
}

/* A walk through random changes: nobody twice, nobody who had left, and
 * everybody who was there from beginning to end. */
static void a_walk_keeps_its_promise_through_any_change(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 2000; round++) {
        struct hr_members members = {0};
        struct hr_member_cursor cursor = {0};
        bool is_in[MODEL_CONNS] = {false}, was_always[MODEL_CONNS] = {false};
        bool visited[MODEL_CONNS] = {false};
        uint32_t conn = 0;
        for (uint32_t i = 0; i < MODEL_CONNS; i++)
            if (test_below(&seed, 2)) {
                is_in[i] = was_always[i] = true;
                assert_int_equal(hr_members_join(&members, ROOM, i), 0);
            }
        while (hr_members_next(&members, ROOM, &cursor, &conn)) {
            assert_true(is_in[conn]);
            assert_false(visited[conn]);
            visited[conn] = true;
            for (uint32_t k = test_below(&seed, 4); k > 0; k--) {
                uint32_t other = test_below(&seed, MODEL_CONNS);
                if (test_below(&seed, 3) == 0)
                    other = conn;
                if (test_below(&seed, 2)) {
                    int r = hr_members_join(&members, ROOM, other);
                    assert_int_equal(r, is_in[other] ? HR_MEMBERS_SAME : 0);
                    is_in[other] = true;
                } else {
                    hr_members_drop(&members, other);
                    is_in[other] = was_always[other] = false;
                }
            }
        }
        for (uint32_t i = 0; i < MODEL_CONNS; i++)
            assert_true(!was_always[i] || visited[i]);
        hr_members_fini(&members);
    }
}

static void check_against_model(const struct hr_members *members,
                                bool model[MODEL_GROUPS][MODEL_CONNS])
{
    uint32_t n_groups = 0, cursor = 0, count = 0, n_seen = 0;
    struct hr_str name;
    for (uint32_t g = 0; g < MODEL_GROUPS; g++) {
        uint32_t n = 0, n_walked = 0, conn = 0;
        struct hr_member_cursor walk = {0};
        for (; hr_members_next(members, model_name(g), &walk, &conn); n_walked++)
            assert_true(model[g][conn]);
        assert_int_equal(n_walked, hr_members_count(members, model_name(g)));
        for (uint32_t i = 0; i < MODEL_CONNS; i++) {
            assert_int_equal(hr_members_has(members, model_name(g), i), model[g][i]);
            n += model[g][i];
        }
        assert_int_equal(hr_members_count(members, model_name(g)), n);
        n_groups += n > 0;
    }
    while (hr_members_next_group(members, &cursor, &name, &count)) {
        assert_int_equal(hr_members_count(members, name), count);
        n_seen++;
    }
    assert_int_equal(n_seen, n_groups);
}

static void it_agrees_with_a_plain_model(void **state)
{
    (void)state;
    uint64_t seed = 7;
    bool model[MODEL_GROUPS][MODEL_CONNS] = {{false}};
    struct hr_members members = {0};
    for (int step = 0; step < 20000; step++) {
        uint32_t g = test_below(&seed, MODEL_GROUPS), i = test_below(&seed, MODEL_CONNS);
        uint32_t what = test_below(&seed, 20);
        if (what < 10) {
            int r = hr_members_join(&members, model_name(g), i);
            assert_int_equal(r, model[g][i] ? HR_MEMBERS_SAME : 0);
            model[g][i] = true;
        } else if (what < 18) {
            assert_int_equal(hr_members_leave(&members, model_name(g), i), model[g][i]);
            model[g][i] = false;
        } else {
            hr_members_drop(&members, i);
            for (uint32_t k = 0; k < MODEL_GROUPS; k++)
                model[k][i] = false;
        }
        if (step % 50 == 0)
            check_against_model(&members, model);
    }
    check_against_model(&members, model);
    hr_members_fini(&members);
}

static void a_hundred_thousand_members_are_cheap_to_close_while_walked(void **state)
{
    (void)state;
    const uint32_t n = 100000;
    struct hr_members members = {0};
    struct hr_member_cursor cursor = {0};
    uint32_t conn = 0, n_visited = 0;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(hr_members_join(&members, ROOM, i), 0);
    assert_true((uint64_t)members.n_chunks * 1024 * 32 + (uint64_t)members.n_index * 4 < n * 48ull);
    /* Quadratic would be 5 * 10^9 steps, and the time limit's end. */
    while (hr_members_next(&members, ROOM, &cursor, &conn)) {
        n_visited++;
        if (conn % 3 != 0)
            hr_members_drop(&members, conn);
    }
    assert_int_equal(n_visited, n);
    assert_int_equal(hr_members_count(&members, ROOM), (n + 2) / 3);
    hr_members_fini(&members);
}

static void groups_that_come_and_go_leave_nothing(void **state)
{
    (void)state;
    struct hr_members members = {0};
    char name[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "g.%d", i);
        assert_int_equal(hr_members_join(&members, hr_str_of(name), (uint32_t)i % 7), 0);
        assert_true(hr_members_leave(&members, hr_str_of(name), (uint32_t)i % 7));
    }
    assert_int_equal(members.n_groups, 1);
    assert_int_equal(members.n_nodes, 1);
    hr_members_fini(&members);
}

/* ---- out of memory */

static void out_of_memory_changes_nothing(void **state)
{
    (void)state;
    int64_t live = hr_alloc_live();
    char name[16];
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        struct hr_members members = {0};
        has_failed = false;
        hr_alloc_fail_at(nth);
        for (uint32_t i = 0; i < 3000; i++) {
            snprintf(name, sizeof name, "g.%u", i % 40);
            uint32_t before = hr_members_count(&members, hr_str_of(name));
            int r = hr_members_join(&members, hr_str_of(name), i);
            if (r == HR_ERR_NOMEM) {
                has_failed = true;
                assert_int_equal(hr_members_count(&members, hr_str_of(name)), before);
                assert_false(hr_members_has(&members, hr_str_of(name), i));
                r = hr_members_join(&members, hr_str_of(name), i);
            }
            assert_int_equal(r, 0);
        }
        hr_alloc_fail_at(0);
        assert_int_equal(members.n_members, 3000);
        hr_members_fini(&members);
        assert_int_equal(hr_alloc_live(), live);
    }
}

int test_members(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_is_idempotent_and_leaving_ends_it),
        cmocka_unit_test(dropping_a_connection_leaves_all_its_groups),
        cmocka_unit_test(the_hook_tells_of_everyone_who_leaves),
        cmocka_unit_test(a_walk_visits_in_the_order_of_joining),
        cmocka_unit_test(a_walk_over_nobody_has_ended_for_good),
        cmocka_unit_test(a_walk_survives_the_end_and_the_return_of_its_group),
        cmocka_unit_test(a_walk_keeps_its_promise_through_any_change),
        cmocka_unit_test(it_agrees_with_a_plain_model),
        cmocka_unit_test(a_hundred_thousand_members_are_cheap_to_close_while_walked),
        cmocka_unit_test(groups_that_come_and_go_leave_nothing),
        cmocka_unit_test(out_of_memory_changes_nothing),
    };
    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
