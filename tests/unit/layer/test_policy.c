/* test_policy.c - defaults, the first row that matches, and the rows as a record. */
#include "test_layer.h"

#include <stdlib.h>

#include "base/time.h"
#include "layer/policy.h"

enum { ARENA = 32 << 20 };

static struct hr_policy resolve(const struct hr_channel_policy *rows, size_t n_rows,
                                const char *channel)
{
    struct hr_policy policy;
    memset(&policy, 0xee, sizeof policy);
    hr_policy_resolve(rows, n_rows, hr_str_of(channel), ARENA, &policy);
    return policy;
}

static void without_rows_the_name_decides(void **state)
{
    (void)state;
    static const struct {
        const char *channel;
        uint32_t max_messages;
        hr_time expiry;
    } expected[] = {
        {"anything", 100, 60 * HR_SECOND},    {"httpx", 100, 60 * HR_SECOND},
        {"http.request.web", 8192, HR_NEVER}, {"websocket.receive.web", 8192, HR_NEVER},
        {"dead.anything", 10000, HR_NEVER},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct hr_policy policy = resolve(NULL, 0, expected[i].channel);
        assert_int_equal(policy.max_messages, expected[i].max_messages);
        assert_int_equal(policy.expiry, expected[i].expiry);
        assert_int_equal(policy.max_bytes, ARENA / 4);
        assert_int_equal(policy.delivery, HR_AT_MOST_ONCE);
        assert_int_equal(policy.lease, HR_NEVER);
        assert_string_equal(policy.dead_letter, "");
    }
}

static void at_least_once_has_its_own_defaults(void **state)
{
    (void)state;
    const struct hr_channel_policy row = {.pattern = "jobs", .delivery = HR_AT_LEAST_ONCE};
    struct hr_policy policy = resolve(&row, 1, "jobs");
    assert_int_equal(policy.max_messages, 10000);
    assert_int_equal(policy.expiry, HR_NEVER);
    assert_int_equal(policy.lease, 60 * HR_SECOND);
    assert_int_equal(policy.attempts, 5);
    assert_string_equal(policy.dead_letter, "dead.jobs");
}

static void a_row_sets_what_it_says_and_leaves_the_rest(void **state)
{
    (void)state;
    const struct hr_channel_policy row = {
        .pattern = "jobs.*",
        .max_messages = 7,
        .max_bytes = 8,
        .expiry = 9 * HR_SECOND,
        .delivery = HR_AT_LEAST_ONCE,
        .lease = 10 * HR_SECOND,
        .attempts = 11,
        .dead_letter = "morgue",
    };
    struct hr_policy policy = resolve(&row, 1, "jobs.x");
    assert_int_equal(policy.max_messages, 7);
    assert_int_equal(policy.max_bytes, 8);
    assert_int_equal(policy.expiry, 9 * HR_SECOND);
    assert_int_equal(policy.delivery, HR_AT_LEAST_ONCE);
    assert_int_equal(policy.lease, 10 * HR_SECOND);
    assert_int_equal(policy.attempts, 11);
    assert_string_equal(policy.dead_letter, "morgue");
    assert_int_equal(resolve(&row, 1, "job").max_messages, 100);
    /* the morgue keeps what it gets, whatever its name */
    assert_int_equal(resolve(&row, 1, "morgue").max_messages, 10000);
    assert_int_equal(resolve(&row, 1, "morgue").expiry, HR_NEVER);
}

static void the_first_row_that_matches_is_the_only_one(void **state)
{
    (void)state;
    const struct hr_channel_policy rows[] = {
        {.pattern = "a.b", .max_messages = 1},
        {.pattern = "a.*", .max_messages = 2, .max_bytes = 22},
        {.pattern = "*", .max_messages = 3},
    };
    assert_int_equal(resolve(rows, 3, "a.b").max_messages, 1);
    assert_int_equal(resolve(rows, 3, "a.b").max_bytes, ARENA / 4);
    assert_int_equal(resolve(rows, 3, "a.c").max_messages, 2);
    assert_int_equal(resolve(rows, 3, "http.request").max_messages, 3);
}

static void the_name_of_dead_letters_is_cut_to_a_name(void **state)
{
    (void)state;
    const struct hr_channel_policy row = {.pattern = "*", .delivery = HR_AT_LEAST_ONCE};
    char channel[HR_NAME_MAX + 1];
    memset(channel, 'x', HR_NAME_MAX);
    channel[HR_NAME_MAX] = '\0';
    struct hr_policy policy = resolve(&row, 1, channel);
    assert_int_equal(strlen(policy.dead_letter), HR_NAME_MAX);
    assert_true(hr_group_name_ok(hr_str_of(policy.dead_letter)));
    assert_true(hr_str_starts(hr_str_of(policy.dead_letter), HR_LIT("dead.xxx")));
}

static void rows_that_make_no_sense_are_not_ok(void **state)
{
    (void)state;
    const struct hr_channel_policy good = {.pattern = "*"};
    struct hr_channel_policy bad = good;
    assert_true(hr_policy_ok(&good));
    bad.pattern[0] = '\0';
    assert_false(hr_policy_ok(&bad));
    memset(bad.pattern, 'x', sizeof bad.pattern); /* no NUL */
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.pattern[0] = '!';
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.max_messages = HR_POLICY_MAX_MESSAGES + 1;
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.max_bytes = UINT64_MAX;
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.expiry = -1;
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.lease = -1;
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.delivery = (enum hr_delivery_mode)2;
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.attempts = HR_POLICY_MAX_ATTEMPTS + 1;
    assert_false(hr_policy_ok(&bad));
    bad = good, bad.dead_letter[0] = '*';
    assert_false(hr_policy_ok(&bad));
}

/* ---- the record */

static struct hr_channel_policy some_row(uint64_t *seed)
{
    static const char *const patterns[] = {"*", "a", "bigdata.*", "http.request.?"};
    struct hr_channel_policy row = {
        .max_messages = test_below(seed, 3) ? test_below(seed, HR_POLICY_MAX_MESSAGES) : 0,
        .max_bytes = test_random(seed) >> 1 >> test_below(seed, 63),
        .expiry = test_below(seed, 2) ? HR_NEVER : (hr_time)test_below(seed, 1000) * HR_SECOND,
        .delivery = test_below(seed, 2) ? HR_AT_LEAST_ONCE : HR_AT_MOST_ONCE,
        .lease = (hr_time)test_below(seed, 100) * HR_SECOND,
        .attempts = test_below(seed, 10),
        .backoff = (hr_time)test_below(seed, 100) * HR_SECOND,
    };
    hr_str_copy(row.pattern, sizeof row.pattern, hr_str_of(patterns[test_below(seed, 4)]));
    if (test_below(seed, 2))
        hr_str_copy(row.dead_letter, sizeof row.dead_letter, HR_LIT("dead.bigdata"));
    return row;
}

static void a_back_off_doubles_up_to_an_hour(void **state)
{
    (void)state;
    assert_int_equal(hr_policy_backoff(0, 5), 0);
    assert_int_equal(hr_policy_backoff(HR_SECOND, 1), HR_SECOND);
    assert_int_equal(hr_policy_backoff(HR_SECOND, 2), 2 * HR_SECOND);
    assert_int_equal(hr_policy_backoff(HR_SECOND, 5), 16 * HR_SECOND);
    assert_int_equal(hr_policy_backoff(HR_SECOND, 255), 3600 * HR_SECOND);
    assert_int_equal(hr_policy_backoff(HR_NEVER, 1), 3600 * HR_SECOND);
}

static void rows_come_back_from_a_record(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 500; round++) {
        struct hr_channel_policy rows[20], back[HR_POLICY_MAX_ROWS];
        uint8_t record[HR_RECORD_MAX];
        size_t n = test_below(&seed, 21), n_back = 99, len = 0;
        for (size_t i = 0; i < n; i++)
            rows[i] = some_row(&seed);
        assert_int_equal(hr_policy_encode(rows, n, record, &len), 0);
        assert_int_equal(hr_policy_decode(record, len, back, &n_back), 0);
        assert_int_equal(n_back, n);
        for (size_t i = 0; i < n; i++) {
            assert_string_equal(back[i].pattern, rows[i].pattern);
            assert_int_equal(back[i].max_messages, rows[i].max_messages);
            assert_int_equal(back[i].max_bytes, rows[i].max_bytes);
            assert_int_equal(back[i].expiry, rows[i].expiry);
            assert_int_equal(back[i].delivery, rows[i].delivery);
            assert_int_equal(back[i].lease, rows[i].lease);
            assert_int_equal(back[i].attempts, rows[i].attempts);
            assert_int_equal(back[i].backoff, rows[i].backoff);
            assert_string_equal(back[i].dead_letter, rows[i].dead_letter);
        }
    }
}

static void a_record_holds_forty_ordinary_rows_and_refuses_too_many(void **state)
{
    (void)state;
    struct hr_channel_policy rows[HR_POLICY_MAX_ROWS + 1];
    uint8_t record[HR_RECORD_MAX];
    size_t len = 0;
    for (size_t i = 0; i < HR_POLICY_MAX_ROWS + 1; i++)
        rows[i] = (struct hr_channel_policy){.pattern = "some.channel.*",
                                             .delivery = HR_AT_LEAST_ONCE,
                                             .lease = 900 * HR_SECOND,
                                             .attempts = 3};
    assert_int_equal(hr_policy_encode(rows, 40, record, &len), 0);
    assert_int_equal(hr_policy_encode(rows, HR_POLICY_MAX_ROWS + 1, record, &len),
                     HR_POLICY_TOO_BIG);
    for (size_t i = 0; i < HR_POLICY_MAX_ROWS; i++)
        memset(rows[i].pattern, 'x', HR_NAME_MAX);
    assert_int_equal(hr_policy_encode(rows, 40, record, &len), HR_POLICY_TOO_BIG);
    assert_int_equal(len, 0);
}

static void a_damaged_record_is_malformed_or_still_makes_sense(void **state)
{
    (void)state;
    uint64_t seed = 5;
    struct hr_channel_policy rows[5], back[HR_POLICY_MAX_ROWS];
    uint8_t record[HR_RECORD_MAX];
    size_t len = 0, n = 0;
    for (size_t i = 0; i < 5; i++)
        rows[i] = some_row(&seed);
    assert_int_equal(hr_policy_encode(rows, 5, record, &len), 0);

    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(hr_policy_decode(record, cut, back, &n), HR_POLICY_MALFORMED);
    for (int i = 0; i < 20000; i++) {
        /* Exactly as long as its bytes, so that a sanitizer sees a step beyond. */
        uint8_t *damaged = malloc(len);
        assert_non_null(damaged);
        memcpy(damaged, record, len);
        for (uint32_t k = test_below(&seed, 3) + 1; k > 0; k--)
            damaged[test_below(&seed, (uint32_t)len)] = (uint8_t)test_random(&seed);
        int r = hr_policy_decode(damaged, len, back, &n);
        assert_true(r == 0 || r == HR_POLICY_MALFORMED);
        for (size_t row = 0; row < n; row++)
            assert_true(hr_policy_ok(&back[row]));
        assert_true(r == 0 || n == 0);
        free(damaged);
    }
    assert_int_equal(hr_policy_decode("\x80", 1, back, &n), HR_POLICY_MALFORMED);
    assert_int_equal(hr_policy_decode("\x81\xa4rows\xdd\xff\xff\xff\xff", 11, back, &n),
                     HR_POLICY_MALFORMED);
}

/* A record of `n` rows that are lists of `n_columns`. */
static size_t make_record(uint8_t *record, uint32_t n, uint32_t n_columns)
{
    struct hr_pack pack;
    hr_pack_init(&pack, record, HR_RECORD_MAX);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "rows");
    hr_pack_list(&pack, n);
    for (uint32_t i = 0; i < n; i++) {
        hr_pack_list(&pack, n_columns);
        hr_pack_cstr(&pack, "*");
        for (uint32_t k = 1; k < 8; k++)
            hr_pack_int(&pack, 0);
        hr_pack_cstr(&pack, "");
        for (uint32_t k = 9; k < n_columns; k++)
            hr_pack_int(&pack, 0);
    }
    assert_int_equal(hr_pack_done(&pack), 0);
    return hr_pack_len(&pack);
}

static void a_record_of_another_shape_is_malformed(void **state)
{
    (void)state;
    struct hr_channel_policy back[HR_POLICY_MAX_ROWS];
    uint8_t record[HR_RECORD_MAX];
    size_t n = 0, len = make_record(record, HR_POLICY_MAX_ROWS, 9);
    assert_int_equal(hr_policy_decode(record, len, back, &n), 0);
    assert_int_equal(n, HR_POLICY_MAX_ROWS);
    len = make_record(record, HR_POLICY_MAX_ROWS + 1, 9);
    assert_int_equal(hr_policy_decode(record, len, back, &n), HR_POLICY_MALFORMED);
    len = make_record(record, 1, 10);
    assert_int_equal(hr_policy_decode(record, len, back, &n), HR_POLICY_MALFORMED);
}

int test_policy(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rows_the_name_decides),
        cmocka_unit_test(at_least_once_has_its_own_defaults),
        cmocka_unit_test(a_row_sets_what_it_says_and_leaves_the_rest),
        cmocka_unit_test(the_first_row_that_matches_is_the_only_one),
        cmocka_unit_test(the_name_of_dead_letters_is_cut_to_a_name),
        cmocka_unit_test(rows_that_make_no_sense_are_not_ok),
        cmocka_unit_test(a_back_off_doubles_up_to_an_hour),
        cmocka_unit_test(rows_come_back_from_a_record),
        cmocka_unit_test(a_record_holds_forty_ordinary_rows_and_refuses_too_many),
        cmocka_unit_test(a_record_of_another_shape_is_malformed),
        cmocka_unit_test(a_damaged_record_is_malformed_or_still_makes_sense),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
