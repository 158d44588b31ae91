/* test_table.c - base/table.h against a plain array, and SipHash-1-3 against its vectors. */
#include "test_base.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/table.h"

/* The hash of 00 01 02 .. of length i, under the key 00 01 .. 0f: the vectors
 * of Rust's core library, which OpenSSL's SIPHASH (c-rounds 1, d-rounds 3)
 * gives as well. */
static const uint64_t sip_vectors[64] = {
    0xabac0158050fc4dcu, 0xc9f49bf37d57ca93u, 0x82cb9b024dc7d44du, 0x8bf80ab8e7ddf7fbu,
    0xcf75576088d38328u, 0xdef9d52f49533b67u, 0xc50d2b50c59f22a7u, 0xd3927d989bb11140u,
    0x369095118d299a8eu, 0x25a48eb36c063de4u, 0x79de85ee92ff097fu, 0x70c118c1f94dc352u,
    0x78a384b157b4d9a2u, 0x306f760c1229ffa7u, 0x605aa111c0f95d34u, 0xd320d86d2a519956u,
    0xcc4fdd1a7d908b66u, 0x9cf2689063dbd80cu, 0x8ffc389cb473e63eu, 0xf21f9de58d297d1cu,
    0xc0dc2f46a6cce040u, 0xb992abfe2b45f844u, 0x7ffe7b9ba320872eu, 0x525a0e7fdae6c123u,
    0xf464aeb267349c8cu, 0x45cd5928705b0979u, 0x3a3e35e3ca9913a5u, 0xa91dc74e4ade3b35u,
    0xfb0bed02ef6cd00du, 0x88d93cb44ab1e1f4u, 0x540f11d643c5e663u, 0x2370dd1f8c21d1bcu,
    0x81157b6c16a7b60du, 0x4d54b9e57a8ff9bfu, 0x759f12781f2a753eu, 0xcea1a3bebf186b91u,
    0x2cf508d3ada26206u, 0xb6101c2da3c33057u, 0xb3f47496ae3a36a1u, 0x626b57547b108392u,
    0xc1d2363299e41531u, 0x667cc1923f1ad944u, 0x65704ffec8138825u, 0x24f280d1c28949a6u,
    0xc2ca1cedfaf8876bu, 0xc2164bfc9f042196u, 0xa16e9c9368b1d623u, 0x49fb169c8b5114fdu,
    0x9f3143f8df074c46u, 0xc6fdaf2412cc86b3u, 0x7eaf49d10a52098fu, 0x1cf313559d292f9au,
    0xc44a30dda2f41f12u, 0x36fae98943a71ed0u, 0x318fb34c73f0bce6u, 0xa27abf3670a7e980u,
    0xb4bcc0db243c6d75u, 0x23f8d852fdb71513u, 0x8f035f4da67d8a08u, 0xd89cd0e5b7e8f148u,
    0xf6f4e6bcf7a644eeu, 0xaec59ad80f1837f2u, 0xc3b2f6154b6694e0u, 0x9d199062b7bbb3a8u,
};

static void siphash13_gives_the_published_vectors(void **state)
{
    (void)state;
    uint8_t key[16], data[64];
    for (uint8_t i = 0; i < 64; i++) {
        data[i] = i;
        if (i < 16)
            key[i] = i;
    }
    for (size_t len = 0; len < 64; len++)
        assert_true(hr_siphash13(key, data, len) == sip_vectors[len]);
    uint8_t shifted[65];
    memcpy(shifted + 1, data, 63);
    assert_true(hr_siphash13(key, shifted + 1, 63) == sip_vectors[63]);
}

enum { N_KEYS = 600 };

struct model {
    struct hr_table table;
    char keys[N_KEYS][24];
    void *values[N_KEYS]; /* NULL: not in the table */
};

static struct hr_str model_key(const struct model *m, size_t i)
{
    return hr_str_of(m->keys[i]);
}

static void model_init(struct model *m)
{
    *m = (struct model){0};
    for (size_t i = 0; i < N_KEYS; i++)
        snprintf(m->keys[i], sizeof m->keys[i], "%.*s.%zu", (int)(i % 10), "group.chat", i);
}

static void model_check(struct model *m)
{
    uint32_t n_used = 0;
    for (size_t i = 0; i < N_KEYS; i++) {
        assert_ptr_equal(hr_table_get(&m->table, model_key(m, i)), m->values[i]);
        n_used += m->values[i] != NULL;
    }
    assert_int_equal(m->table.n_used, n_used);

    uint32_t cursor = 0, n_walked = 0;
    struct hr_str key;
    for (void *value; (value = hr_table_next(&m->table, &cursor, &key)); n_walked++)
        assert_ptr_equal(hr_table_get(&m->table, key), value);
    assert_int_equal(n_walked, n_used);
}

static void behaves_like_an_array_of_pairs(void **state)
{
    (void)state;
    int64_t before = hr_alloc_live();
    struct model m;
    model_init(&m);
    uint64_t seed = 4;
    for (int i = 0; i < 60000; i++) {
        size_t k = test_below(&seed, N_KEYS);
        /* Mostly puts, then mostly removals, so that it grows and empties. */
        bool puts = test_below(&seed, 10) < (i / 5000 % 2 ? 2u : 8u);
        if (puts) {
            void *value = &m.keys[test_below(&seed, N_KEYS)];
            assert_int_equal(hr_table_put(&m.table, model_key(&m, k), value), 0);
            m.values[k] = value;
        } else {
            assert_ptr_equal(hr_table_remove(&m.table, model_key(&m, k)), m.values[k]);
            m.values[k] = NULL;
        }
        if (i % 500 == 0)
            model_check(&m);
    }
    assert_true(m.table.n_slots <= 2048);
    for (size_t i = 0; i < N_KEYS; i++)
        assert_ptr_equal(hr_table_remove(&m.table, model_key(&m, i)), m.values[i]);
    assert_int_equal(m.table.n_used, 0);
    assert_int_equal(m.table.n_dead, 0);
    hr_table_fini(&m.table);
    assert_int_equal(hr_alloc_live(), before);
}

static void churn_does_not_grow_the_table(void **state)
{
    (void)state;
    struct hr_table table = {0};
    char key[24];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "channel.%d", i);
        assert_int_equal(hr_table_put(&table, hr_str_of(key), &table), 0);
        if (i >= 10) {
            snprintf(key, sizeof key, "channel.%d", i - 10);
            assert_ptr_equal(hr_table_remove(&table, hr_str_of(key)), &table);
        }
    }
    assert_int_equal(table.n_used, 10);
    assert_true(table.n_slots <= 32);
    hr_table_fini(&table);
}

static void keys_are_copied_and_may_hold_any_bytes(void **state)
{
    (void)state;
    struct hr_table table = {0};
    int a, b, c;
    char key[3] = {'a', 0, 'b'};
    assert_int_equal(hr_table_put(&table, (struct hr_str){key, 3}, &a), 0);
    assert_int_equal(hr_table_put(&table, (struct hr_str){key, 2}, &b), 0);
    assert_int_equal(hr_table_put(&table, (struct hr_str){NULL, 0}, &c), 0);
    key[0] = 'x';
    assert_null(hr_table_get(&table, (struct hr_str){key, 3}));
    key[0] = 'a';
    assert_ptr_equal(hr_table_get(&table, (struct hr_str){key, 3}), &a);
    assert_ptr_equal(hr_table_get(&table, (struct hr_str){key, 2}), &b);
    assert_ptr_equal(hr_table_get(&table, HR_LIT("")), &c);
    hr_table_fini(&table);
}

static void a_walk_may_remove_what_it_is_given(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    for (size_t i = 0; i < N_KEYS; i++)
        assert_int_equal(hr_table_put(&m.table, model_key(&m, i), m.keys[i]), 0);
    uint32_t cursor = 0, n = 0;
    struct hr_str key;
    while (hr_table_next(&m.table, &cursor, &key)) {
        char copy[24];
        assert_true(hr_str_copy(copy, sizeof copy, key));
        assert_non_null(hr_table_remove(&m.table, hr_str_of(copy)));
        n++;
    }
    assert_int_equal(n, N_KEYS);
    assert_int_equal(m.table.n_used, 0);
    assert_int_equal(m.table.n_dead, 0);
    assert_null(m.table.slots); /* a table that was large gives its memory back */
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    int64_t before = hr_alloc_live();
    struct model m;
    model_init(&m);
    for (size_t i = 0; i < N_KEYS; i++) {
        for (uint64_t nth = 1;; nth++) {
            hr_alloc_fail_at(nth);
            int r = hr_table_put(&m.table, model_key(&m, i), m.keys[i]);
            if (r == 0)
                break;
            assert_int_equal(r, HR_ERR_NOMEM);
            assert_null(hr_table_get(&m.table, model_key(&m, i)));
            assert_int_equal(m.table.n_used, i);
        }
        m.values[i] = m.keys[i];
        hr_alloc_fail_at(1); /* replacing needs no memory */
        assert_int_equal(hr_table_put(&m.table, model_key(&m, i), m.keys[i]), 0);
        hr_alloc_fail_at(0);
    }
    model_check(&m);
    hr_table_fini(&m.table);
    assert_int_equal(hr_alloc_live(), before);
}

static void an_empty_table_finds_nothing(void **state)
{
    (void)state;
    struct hr_table table = {0};
    uint32_t cursor = 0;
    assert_null(hr_table_get(&table, HR_LIT("a")));
    assert_null(hr_table_remove(&table, HR_LIT("a")));
    assert_null(hr_table_next(&table, &cursor, NULL));
    hr_table_fini(&table);
    hr_table_fini(&table);
}

int test_table(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash13_gives_the_published_vectors),
        cmocka_unit_test(behaves_like_an_array_of_pairs),
        cmocka_unit_test(churn_does_not_grow_the_table),
        cmocka_unit_test(keys_are_copied_and_may_hold_any_bytes),
        cmocka_unit_test(a_walk_may_remove_what_it_is_given),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(an_empty_table_finds_nothing),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
