/* test_buf.c - base/buf.h. */
#include "test_base.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

static void what_is_appended_is_consumed_in_order(void **state)
{
    (void)state;
    struct hr_buf buf = {0};
    uint64_t seed = 3;
    uint64_t n_in = 0, n_out = 0; /* byte i of the stream is i % 251 */
    for (int i = 0; i < 20000; i++) {
        uint8_t piece[700];
        size_t len = test_below(&seed, sizeof piece);
        for (size_t j = 0; j < len; j++)
            piece[j] = (uint8_t)((n_in + j) % 251);
        assert_int_equal(hr_buf_append(&buf, piece, len), 0);
        n_in += len;

        size_t take = test_below(&seed, hr_buf_len(&buf) + 1);
        if (hr_buf_len(&buf) < 4000)
            take /= 8; /* wander between empty and full */
        for (size_t j = 0; j < take; j++)
            assert_int_equal(hr_buf_ptr(&buf)[j], (n_out + j) % 251);
        hr_buf_consume(&buf, take);
        n_out += take;
        assert_int_equal(hr_buf_len(&buf), n_in - n_out);
    }
    hr_buf_fini(&buf);
}

static void room_grows_by_doubling_from_512(void **state)
{
    (void)state;
    struct hr_buf buf = {0};
    assert_int_equal(hr_buf_append(&buf, "x", 1), 0);
    assert_int_equal(buf.cap, 512);
    uint8_t *room;
    assert_int_equal(hr_buf_reserve(&buf, 512, &room), 0);
    assert_int_equal(buf.cap, 1024);
    assert_int_equal(hr_buf_reserve(&buf, 5000, &room), 0);
    assert_int_equal(buf.cap, 8192);
    hr_buf_fini(&buf);
}

static void consumed_room_is_used_before_more_is_taken(void **state)
{
    (void)state;
    struct hr_buf buf = {0};
    char piece[500] = {0};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(hr_buf_append(&buf, piece, sizeof piece), 0);
        hr_buf_consume(&buf, i == 0 ? sizeof piece - 10 : sizeof piece);
    }
    assert_int_equal(hr_buf_len(&buf), 10);
    assert_true(buf.cap <= 1024);
    hr_buf_fini(&buf);
}

static void a_long_rest_is_not_moved_to_gain_a_little_room(void **state)
{
    (void)state;
    struct hr_buf buf = {0};
    char piece[1000] = {0};
    assert_int_equal(hr_buf_append(&buf, piece, sizeof piece), 0);
    hr_buf_consume(&buf, 100);
    assert_int_equal(hr_buf_append(&buf, piece, 100), 0);
    assert_int_equal(buf.cap, 2048);
    hr_buf_fini(&buf);
}

static void a_reserve_lends_all_it_promised(void **state)
{
    (void)state;
    struct hr_buf buf = {0};
    uint8_t *room;
    assert_int_equal(hr_buf_reserve(&buf, 0, &room), 0);
    assert_non_null(room);
    assert_int_equal(hr_buf_reserve(&buf, 3000, &room), 0);
    memset(room, 'w', 3000);
    assert_int_equal(hr_buf_len(&buf), 0);
    hr_buf_commit(&buf, 2);
    assert_int_equal(hr_buf_len(&buf), 2);
    assert_memory_equal(hr_buf_ptr(&buf), "ww", 2);
    hr_buf_fini(&buf);
}

static void failed_growth_leaves_the_bytes(void **state)
{
    (void)state;
    for (size_t consumed = 0; consumed <= 400; consumed += 200) {
        struct hr_buf buf = {0};
        char piece[500];
        memset(piece, 'r', sizeof piece);
        assert_int_equal(hr_buf_append(&buf, piece, sizeof piece), 0);
        hr_buf_consume(&buf, consumed);
        hr_alloc_fail_at(1);
        assert_int_equal(hr_buf_append(&buf, piece, sizeof piece), HR_ERR_NOMEM);
        assert_int_equal(hr_buf_len(&buf), sizeof piece - consumed);
        assert_memory_equal(hr_buf_ptr(&buf), piece, sizeof piece - consumed);
        assert_int_equal(hr_buf_append(&buf, piece, sizeof piece), 0);
        assert_int_equal(hr_buf_len(&buf), 2 * sizeof piece - consumed);
        hr_buf_fini(&buf);
    }
}

static void a_length_that_wraps_is_out_of_memory(void **state)
{
    (void)state;
    struct hr_buf buf = {0};
    uint8_t *room;
    assert_int_equal(hr_buf_append(&buf, "x", 1), 0);
    assert_int_equal(hr_buf_reserve(&buf, SIZE_MAX, &room), HR_ERR_NOMEM);
    assert_int_equal(hr_buf_reserve(&buf, SIZE_MAX / 2, &room), HR_ERR_NOMEM);
    assert_memory_equal(hr_buf_ptr(&buf), "x", 1);
    hr_buf_fini(&buf);
}

static void printf_fits_any_length(void **state)
{
    (void)state;
    static const int widths[] = {0, 1, 126, 127, 128, 129, 511, 512, 513, 5000};
    struct hr_buf buf = {0};
    size_t expected = 0;
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        assert_int_equal(hr_buf_printf(&buf, "%*s", widths[i], ""), 0);
        expected += (size_t)widths[i];
        assert_int_equal(hr_buf_len(&buf), expected);
        for (size_t j = 0; j < expected; j++)
            assert_int_equal(hr_buf_ptr(&buf)[j], ' ');
    }
    assert_int_equal(hr_buf_printf(&buf, "%s=%d", "status", 200), 0);
    assert_memory_equal(hr_buf_ptr(&buf) + expected, "status=200", 10);
    hr_buf_fini(&buf);
}

static void printf_without_memory_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        struct hr_buf buf = {0};
        hr_alloc_fail_at(nth);
        assert_int_equal(hr_buf_printf(&buf, "%*s", 5000, ""), HR_ERR_NOMEM);
        assert_int_equal(hr_buf_len(&buf), 0);
        hr_buf_fini(&buf);
    }
    hr_alloc_fail_at(0);
}

static void an_empty_buffer_gives_its_memory_back(void **state)
{
    (void)state;
    int64_t before = hr_alloc_live();
    struct hr_buf buf = {0};
    assert_int_equal(hr_buf_append(&buf, "x", 1), 0);
    hr_buf_release(&buf, 0);
    assert_int_equal(hr_alloc_live() - before, 1); /* not while it holds anything */
    hr_buf_consume(&buf, 1);
    hr_buf_release(&buf, 512);
    assert_int_equal(hr_alloc_live() - before, 1); /* not what may be kept */
    hr_buf_release(&buf, 511);
    assert_int_equal(hr_alloc_live() - before, 0);
    assert_int_equal(hr_buf_len(&buf), 0);
    assert_int_equal(hr_buf_append(&buf, "y", 1), 0);
    hr_buf_fini(&buf);
    hr_buf_fini(&buf);
    assert_int_equal(hr_alloc_live() - before, 0);
}

int test_buf(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_consumed_in_order),
        cmocka_unit_test(room_grows_by_doubling_from_512),
        cmocka_unit_test(consumed_room_is_used_before_more_is_taken),
        cmocka_unit_test(a_long_rest_is_not_moved_to_gain_a_little_room),
        cmocka_unit_test(a_reserve_lends_all_it_promised),
        cmocka_unit_test(failed_growth_leaves_the_bytes),
        cmocka_unit_test(a_length_that_wraps_is_out_of_memory),
        cmocka_unit_test(printf_fits_any_length),
        cmocka_unit_test(printf_without_memory_changes_nothing),
        cmocka_unit_test(an_empty_buffer_gives_its_memory_back),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
