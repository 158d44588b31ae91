/* test_layer.h - the groups of unit-layer, and what they share. */
#ifndef HR_TESTS_UNIT_LAYER_TEST_LAYER_H
#define HR_TESTS_UNIT_LAYER_TEST_LAYER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"

/* Each runs its group and returns the number of failed tests. */
int test_address(void);
int test_members(void);
int test_names(void);
int test_memory(void);
int test_policy(void);

/* Numbers that look random and are the same in every run (splitmix64). */
static inline uint64_t test_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint32_t test_below(uint64_t *seed, uint32_t n)
{
    return (uint32_t)(test_random(seed) % n);
}

#endif /* HR_TESTS_UNIT_LAYER_TEST_LAYER_H */
