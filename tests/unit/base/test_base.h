/* test_base.h - the groups of unit-base, and what they share. */
#ifndef HR_TESTS_UNIT_BASE_TEST_BASE_H
#define HR_TESTS_UNIT_BASE_TEST_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Each runs its group and returns the number of failed tests. */
int test_alloc(void);
int test_buf(void);
int test_error(void);
int test_log(void);
int test_logline(void);
int test_loop(void);
int test_loop_process(void);
int test_process(void);
int test_str(void);
int test_table(void);
int test_timer(void);
int test_utf8(void);

/* What main() got, for hr_process_init(). */
extern int test_argc;
extern char **test_argv;

/* Numbers that look random and are the same in every run (splitmix64). */
static inline uint64_t test_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t test_below(uint64_t *seed, size_t n)
{
    return (size_t)(test_random(seed) % n);
}

#endif /* HR_TESTS_UNIT_BASE_TEST_BASE_H */
