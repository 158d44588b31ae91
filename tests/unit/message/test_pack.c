/* test_pack.c - the promises of the writer. */
#include "suites.h"

#include <string.h>

#include "base/alloc.h"
#include "hex.h"

static uint8_t buf[1 << 18];

static struct hr_pack fresh(void)
{
    struct hr_pack pack;
    hr_pack_init(&pack, buf, sizeof buf);
    return pack;
}

/* One of each kind, with heads of every size up to 16 bits. */
static void write_all_kinds(struct hr_pack *pack)
{
    static const char text[300] = "text";
    hr_pack_map(pack, 8);
    hr_pack_cstr(pack, "null");
    hr_pack_null(pack);
    hr_pack_cstr(pack, "bools");
    hr_pack_list(pack, 2);
    hr_pack_bool(pack, true);
    hr_pack_bool(pack, false);
    hr_pack_cstr(pack, "ints");
    hr_pack_list(pack, 16);
    for (int i = 0; i < 8; i++) {
        hr_pack_int(pack, ((int64_t)1 << (8 * i)) - 1);
        hr_pack_int(pack, -((int64_t)1 << (8 * i)));
    }
    hr_pack_cstr(pack, "double");
    hr_pack_double(pack, 1.5);
    hr_pack_cstr(pack, "strings");
    hr_pack_list(pack, 4);
    hr_pack_str(pack, NULL, 0);
    hr_pack_str(pack, text, 31);
    hr_pack_str(pack, text, 32);
    hr_pack_str(pack, text, 300);
    hr_pack_cstr(pack, "bytes");
    hr_pack_list(pack, 3);
    hr_pack_bytes(pack, NULL, 0);
    hr_pack_bytes(pack, text, 255);
    hr_pack_bytes(pack, text, 300);
    hr_pack_cstr(pack, "raw");
    hr_pack_raw(pack, "\x93\x01\x02\x03", 4);
    hr_pack_cstr(pack, "last");
    hr_pack_int(pack, 7);
}

static void golden_vector_of_channels_redis(void **state)
{
    (void)state;
    struct hr_pack pack = fresh();
    hr_pack_map(&pack, 3);
    hr_pack_cstr(&pack, "a");
    hr_pack_bool(&pack, true);
    hr_pack_cstr(&pack, "b");
    hr_pack_null(&pack);
    hr_pack_cstr(&pack, "c");
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "d");
    hr_pack_list(&pack, 0);

    assert_packed(&pack, "83a161c3a162c0a16381a16490");
}

static void integers_take_their_shortest_form(void **state)
{
    static const struct {
        int64_t value;
        const char *hex;
    } rows[] = {
        {0, "00"},
        {127, "7f"},
        {128, "cc80"},
        {255, "ccff"},
        {256, "cd0100"},
        {65535, "cdffff"},
        {65536, "ce00010000"},
        {UINT32_MAX, "ceffffffff"},
        {(int64_t)UINT32_MAX + 1, "cf0000000100000000"},
        {INT64_MAX, "cf7fffffffffffffff"},
        {-1, "ff"},
        {-32, "e0"},
        {-33, "d0df"},
        {-128, "d080"},
        {-129, "d1ff7f"},
        {-32768, "d18000"},
        {-32769, "d2ffff7fff"},
        {INT32_MIN, "d280000000"},
        {(int64_t)INT32_MIN - 1, "d3ffffffff7fffffff"},
        {INT64_MIN, "d38000000000000000"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hr_pack pack = fresh();
        hr_pack_int(&pack, rows[i].value);
        assert_packed(&pack, rows[i].hex);
    }
}

static void doubles_always_take_64_bits(void **state)
{
    (void)state;
    struct hr_pack pack = fresh();
    hr_pack_double(&pack, 0.0);
    hr_pack_double(&pack, -0.5);
    assert_packed(&pack, "cb0000000000000000 cbbfe0000000000000");
}

static void lengths_and_counts_take_their_shortest_form(void **state)
{
    static const struct {
        uint32_t n;
        const char *str, *bytes, *list, *map;
    } rows[] = {
        {0, "a0", "c400", "90", "80"},
        {15, "af", "c40f", "9f", "8f"},
        {16, "b0", "c410", "dc0010", "de0010"},
        {31, "bf", "c41f", "dc001f", "de001f"},
        {32, "d920", "c420", "dc0020", "de0020"},
        {255, "d9ff", "c4ff", "dc00ff", "de00ff"},
        {256, "da0100", "c50100", "dc0100", "de0100"},
        {65535, "daffff", "c5ffff", "dcffff", "deffff"},
        {65536, "db00010000", "c600010000", "dd00010000", "df00010000"},
    };
    static char text[65536];
    (void)state;
    memset(text, 'x', sizeof text);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *heads[] = {rows[i].str, rows[i].bytes, rows[i].list, rows[i].map};
        for (size_t kind = 0; kind < 4; kind++) {
            struct hr_pack pack = fresh();
            uint8_t head[8];
            size_t head_len = unhex(heads[kind], head);
            size_t payload = kind < 2 ? rows[i].n : 0;
            if (kind == 0)
                hr_pack_str(&pack, text, rows[i].n);
            else if (kind == 1)
                hr_pack_bytes(&pack, text, rows[i].n);
            else if (kind == 2)
                hr_pack_list(&pack, rows[i].n);
            else
                hr_pack_map(&pack, rows[i].n);

            assert_int_equal(hr_pack_done(&pack), 0);
            assert_int_equal(hr_pack_len(&pack), head_len + payload);
            assert_memory_equal(buf, head, head_len);
            if (payload > 0)
                assert_memory_equal(buf + head_len, text, payload);
        }
    }
}

/* Short runs are copied by hand, so every length is a case of its own. */
static void short_spans_are_copied_whole(void **state)
{
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = (char *)exact_copy(text, len);
        struct hr_pack pack = fresh();
        hr_pack_bytes(&pack, copy, len);
        assert_int_equal(buf[1], len);
        if (len > 0)
            assert_memory_equal(buf + 2, text, len);

        pack = fresh();
        hr_pack_str(&pack, copy, len);
        if (len > 0)
            assert_memory_equal(buf + hr_pack_len(&pack) - len, text, len);
        hr_free(copy);
    }
}

static void what_does_not_fit_is_too_big_and_stays_so(void **state)
{
    (void)state;
    struct hr_pack whole = fresh();
    write_all_kinds(&whole);
    size_t size = hr_pack_len(&whole);

    for (size_t cap = 0; cap < size; cap++) {
        uint8_t *room = test_malloc(cap); /* test_free() finds a byte written behind it */
        struct hr_pack pack;
        hr_pack_init(&pack, room, cap);
        write_all_kinds(&pack);
        assert_int_equal(hr_pack_done(&pack), HR_ERR_TOO_BIG);
        hr_pack_null(&pack);
        hr_pack_str(&pack, "", 0);
        assert_int_equal(hr_pack_done(&pack), HR_ERR_TOO_BIG);
        assert_true(hr_pack_len(&pack) <= cap);
        if (hr_pack_len(&pack) > 0)
            assert_memory_equal(room, buf, hr_pack_len(&pack));
        test_free(room);
    }
}

static void room_of_the_exact_size_is_enough(void **state)
{
    (void)state;
    struct hr_pack whole = fresh();
    write_all_kinds(&whole);
    size_t size = hr_pack_len(&whole);
    uint8_t *room = test_malloc(size);
    struct hr_pack pack;

    hr_pack_init(&pack, room, size);
    write_all_kinds(&pack);

    assert_int_equal(hr_pack_done(&pack), 0);
    assert_int_equal(hr_pack_len(&pack), size);
    assert_memory_equal(room, buf, size);
    test_free(room);
}

static void a_span_beyond_the_formats_limit_is_too_big(void **state)
{
    (void)state;
    if (SIZE_MAX == UINT32_MAX)
        skip();
    struct hr_pack pack = fresh();
    hr_pack_bytes(&pack, buf, (size_t)UINT32_MAX + 1);
    hr_pack_str(&pack, "later", 5); /* nothing is written after a failure */
    assert_int_equal(hr_pack_done(&pack), HR_ERR_TOO_BIG);
    assert_int_equal(hr_pack_len(&pack), 0);
}

/* Segments of `size` bytes, each in a block of its own. */
struct segments {
    size_t size;
    size_t n;
    size_t max;
    uint8_t *at[2048];
    int outcome; /* what `more` returns when `max` is reached */
    int n_refused;
};

static int next_segment(struct hr_pack *pack)
{
    struct segments *segments = pack->arg;
    if (segments->n == segments->max) {
        segments->n_refused++;
        return segments->outcome;
    }
    uint8_t *segment = test_malloc(segments->size);
    segments->at[segments->n++] = segment;
    pack->cur = segment;
    pack->end = segment + segments->size;
    return 0;
}

static void free_segments(struct segments *segments)
{
    for (size_t i = 0; i < segments->n; i++)
        test_free(segments->at[i]);
}

static struct hr_pack segmented(struct segments *segments)
{
    struct hr_pack pack;
    hr_pack_init(&pack, NULL, 0);
    pack.more = next_segment;
    pack.arg = segments;
    return pack;
}

static void segments_of_any_size_hold_the_same_bytes(void **state)
{
    static uint8_t joined[4096];
    (void)state;
    struct hr_pack whole = fresh();
    write_all_kinds(&whole);
    size_t size = hr_pack_len(&whole);

    for (size_t cut = 1; cut <= size + 1; cut++) {
        struct segments segments = {.size = cut, .max = 2048};
        struct hr_pack pack = segmented(&segments);
        write_all_kinds(&pack);
        assert_int_equal(hr_pack_done(&pack), 0);
        assert_int_equal(hr_pack_len(&pack), size);
        assert_int_equal(segments.n, (size + cut - 1) / cut);
        for (size_t at = 0; at < size; at += cut)
            memcpy(joined + at, segments.at[at / cut], size - at < cut ? size - at : cut);
        assert_memory_equal(joined, buf, size);
        free_segments(&segments);
    }
}

static void what_more_returns_is_the_error_and_it_is_asked_once(void **state)
{
    static const int outcomes[] = {HR_ERR_NOMEM, 1};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct segments segments = {.size = 5, .max = 3, .outcome = outcomes[i]};
        struct hr_pack pack = segmented(&segments);
        write_all_kinds(&pack);
        assert_int_equal(hr_pack_done(&pack), outcomes[i]);
        assert_int_equal(segments.n_refused, 1);
        assert_int_equal(hr_pack_len(&pack), 15);
        hr_pack_bytes(&pack, buf, SIZE_MAX); /* an error of its own, too late */
        assert_int_equal(hr_pack_done(&pack), outcomes[i]);
        free_segments(&segments);
    }
}

static void a_full_last_segment_asks_for_no_other(void **state)
{
    (void)state;
    struct segments segments = {.size = 3, .max = 1, .outcome = HR_ERR_NOMEM};
    struct hr_pack pack = segmented(&segments);
    hr_pack_str(&pack, "ab", 2);
    hr_pack_raw(&pack, "", 0);
    assert_int_equal(hr_pack_done(&pack), 0);
    assert_int_equal(segments.n_refused, 0);
    free_segments(&segments);
}

static void a_deep_copy_is_the_same_value(void **state)
{
    (void)state;
    struct hr_pack pack = fresh();
    write_all_kinds(&pack);
    size_t size = hr_pack_len(&pack);
    uint8_t *source = exact_copy(buf, size);
    struct hr_msg msg = checked(source, size);
    struct hr_value root = hr_msg_root(&msg);

    pack = fresh();
    hr_pack_value(&pack, &root);

    assert_int_equal(hr_pack_done(&pack), 0);
    assert_int_equal(hr_pack_len(&pack), size);
    assert_memory_equal(buf, source, size);
    hr_free(source);
}

static void a_deep_copy_takes_the_shortest_forms(void **state)
{
    uint8_t source[128];
    (void)state;
    size_t len = unhex("df00000002 db00000001 61 dd00000003 d30000000000000001 cd0001 d1ffff"
                       "d90162 82 da000163 ca3f800000 d90164 c600000001 ff",
                       source);
    struct hr_msg msg = checked(source, len);
    struct hr_value root = hr_msg_root(&msg);
    struct hr_pack pack = fresh();

    hr_pack_value(&pack, &root);

    assert_packed(&pack, "82 a161 93 01 01 ff a162 82 a163 cb3ff0000000000000 a164 c401ff");
}

static void a_copy_ends_where_its_value_ends(void **state)
{
    uint8_t source[64];
    (void)state;
    size_t len = unhex("82 a161 92 91 01 80 a162 02", source);
    struct hr_msg msg = checked(source, len);
    struct hr_value value;
    struct hr_pack pack = fresh();

    assert_true(hr_msg_get(&msg, "a", &value));
    hr_pack_value(&pack, &value);

    assert_packed(&pack, "92 91 01 80");
}

int run_pack_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_vector_of_channels_redis),
        cmocka_unit_test(integers_take_their_shortest_form),
        cmocka_unit_test(doubles_always_take_64_bits),
        cmocka_unit_test(lengths_and_counts_take_their_shortest_form),
        cmocka_unit_test(short_spans_are_copied_whole),
        cmocka_unit_test(what_does_not_fit_is_too_big_and_stays_so),
        cmocka_unit_test(room_of_the_exact_size_is_enough),
        cmocka_unit_test(a_span_beyond_the_formats_limit_is_too_big),
        cmocka_unit_test(segments_of_any_size_hold_the_same_bytes),
        cmocka_unit_test(what_more_returns_is_the_error_and_it_is_asked_once),
        cmocka_unit_test(a_full_last_segment_asks_for_no_other),
        cmocka_unit_test(a_deep_copy_is_the_same_value),
        cmocka_unit_test(a_deep_copy_takes_the_shortest_forms),
        cmocka_unit_test(a_copy_ends_where_its_value_ends),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
