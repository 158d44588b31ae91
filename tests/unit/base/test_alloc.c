/* test_alloc.c - base/alloc.h and base/assert.h. */
#include "test_base.h"

#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/random.h"
#include "base/time.h"

static void the_nth_allocation_fails_once(void **state)
{
    (void)state;
    hr_alloc_fail_at(3);
    void *first = hr_alloc(1), *second = hr_calloc(1, 1);
    void *third = hr_alloc(1);
    void *fourth = hr_alloc(1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(third);
    assert_non_null(fourth);
    hr_free(first);
    hr_free(second);
    hr_free(fourth);
}

static void injection_can_be_switched_off(void **state)
{
    (void)state;
    hr_alloc_fail_at(1);
    hr_alloc_fail_at(0);
    void *ptr = hr_alloc(1);
    assert_non_null(ptr);
    assert_null(hr_free(ptr));
}

static void a_failed_realloc_leaves_the_block(void **state)
{
    (void)state;
    char *old = hr_strndup("mill", 4);
    assert_non_null(old);
    hr_alloc_fail_at(1);
    assert_null(hr_realloc(old, 4096));
    assert_string_equal(old, "mill");
    hr_free(old);
}

static void every_block_given_out_is_counted_until_freed(void **state)
{
    (void)state;
    int64_t before = hr_alloc_live();
    void *a = hr_alloc(0), *b = hr_calloc(2, 8), *c = hr_realloc(NULL, 5);
    char *d = hr_strndup("", 0);
    assert_non_null(a); /* 0 bytes are not out of memory */
    assert_int_equal(hr_alloc_live() - before, 4);
    c = hr_realloc(c, 500);
    assert_int_equal(hr_alloc_live() - before, 4);
    hr_free(a);
    hr_free(b);
    hr_free(c);
    hr_free(d);
    hr_free(NULL);
    assert_int_equal(hr_alloc_live() - before, 0);
}

static void a_product_that_overflows_is_refused(void **state)
{
    (void)state;
    volatile size_t huge = SIZE_MAX / 2; /* hidden from the compiler, which would warn */
    int64_t before = hr_alloc_live();
    assert_null(hr_calloc(huge, 4));
    assert_int_equal(hr_alloc_live(), before);
}

static void strndup_copies_len_bytes_and_ends_them(void **state)
{
    (void)state;
    char *copy = hr_strndup("headrace", 4);
    assert_string_equal(copy, "head");
    hr_free(copy);
}

/* Runs `fails` in a child; gives what it wrote to stderr and its wait status. */
static int run_failing(void (*fails)(void), char *text, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        dup2(fds[1], STDERR_FILENO);
        fails();
        _exit(0);
    }
    close(fds[1]);
    ssize_t n = read(fds[0], text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void fail_assert(void)
{
    int wheels = 0;
    hr_assert(wheels == 4);
}

static void fail_cast(void)
{
    uint32_t object = HR_MAGIC('m', 'i', 'l', 'l');
    (void)HR_CAST(uint32_t, &object, HR_MAGIC('r', 'a', 'c', 'e'));
}

static void a_failed_assert_says_what_and_where_and_aborts(void **state)
{
    (void)state;
    char text[512];
    int status = run_failing(fail_assert, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "wheels == 4"));
    assert_non_null(strstr(text, "test_alloc.c:"));
    assert_non_null(strstr(text, "fail_assert"));
}

static void a_cast_checks_the_magic(void **state)
{
    (void)state;
    uint32_t object = HR_MAGIC('m', 'i', 'l', 'l');
    assert_ptr_equal(HR_CAST(uint32_t, &object, HR_MAGIC('m', 'i', 'l', 'l')), &object);
    char text[512];
    int status = run_failing(fail_cast, text, sizeof text);
    assert_true(WIFSIGNALED(status));
}

static void random_bytes_fill_exactly_what_was_asked(void **state)
{
    (void)state;
    unsigned char bytes[1000], seen[256] = {0};
    memset(bytes, 0, sizeof bytes);
    hr_random(bytes + 1, sizeof bytes - 2);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[sizeof bytes - 1], 0);
    unsigned n_seen = 0;
    for (size_t i = 1; i < sizeof bytes - 1; i++) {
        n_seen += !seen[bytes[i]];
        seen[bytes[i]] = 1;
    }
    assert_true(n_seen > 200); /* of 256; fewer has a chance below 1 in 10^20 */
    hr_random(bytes, 0);
}

static void clocks_advance_and_agree(void **state)
{
    (void)state;
    hr_time coarse = hr_time_now_coarse(), fine = hr_time_now();
    assert_true(coarse <= fine);
    assert_true(hr_time_now() >= fine);
    assert_true(hr_time_wall() > 1700000000 * HR_SECOND);
}

static void adding_times_never_wraps(void **state)
{
    (void)state;
    assert_true(hr_time_add(1, 2) == 3);
    assert_true(hr_time_add(5, -2) == 3);
    assert_true(hr_time_add(-5, HR_SECOND) == HR_SECOND - 5);
    assert_true(hr_time_add(1, HR_NEVER) == HR_NEVER);
    assert_true(hr_time_add(HR_NEVER, 1) == HR_NEVER);
    assert_true(hr_time_add(HR_NEVER, -1) == HR_NEVER);
    assert_true(hr_time_add(HR_NEVER - 1, 2) == HR_NEVER);
}

int test_alloc(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(injection_can_be_switched_off),
        cmocka_unit_test(a_failed_realloc_leaves_the_block),
        cmocka_unit_test(every_block_given_out_is_counted_until_freed),
        cmocka_unit_test(a_product_that_overflows_is_refused),
        cmocka_unit_test(strndup_copies_len_bytes_and_ends_them),
        cmocka_unit_test(a_failed_assert_says_what_and_where_and_aborts),
        cmocka_unit_test(a_cast_checks_the_magic),
        cmocka_unit_test(random_bytes_fill_exactly_what_was_asked),
        cmocka_unit_test(clocks_advance_and_agree),
        cmocka_unit_test(adding_times_never_wraps),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
