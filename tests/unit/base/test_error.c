/* test_error.c - base/error.h and headrace/error.h. */
#include "test_base.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <headrace/layer.h>

#include "base/error.h"

static void every_error_has_name_text_and_codes(void **state)
{
    (void)state;
    static const int numbers[] = {
#define HR_ERROR(name, number, http, websocket, python, text) number,
#include <headrace/errors.def>
#undef HR_ERROR
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        int error = numbers[i];
        assert_in_range(-error, 500, 999);
        assert_memory_equal(hr_error_name(error), "HR_ERR_", 7);
        assert_string_not_equal(hr_error_name(error), "HR_ERR_UNKNOWN");
        assert_true(strlen(hr_error_text(error)) > 0);
        assert_in_range(hr_error_http(error), 400, 599);
        assert_in_range(hr_error_websocket(error), 1001, 1013);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(numbers[j], error);
    }
    assert_string_equal(hr_error_name(HR_ERR_FULL), "HR_ERR_FULL");
    assert_string_equal(hr_error_text(HR_ERR_FULL), "the channel is full");
    assert_int_equal(hr_error_http(HR_ERR_NOT_FOUND), 404);
    assert_int_equal(hr_error_websocket(HR_ERR_TOO_BIG), 1009);
}

static void a_number_that_is_no_error_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(hr_error_name(-1), "HR_ERR_UNKNOWN");
    assert_string_equal(hr_error_name(0), "HR_ERR_UNKNOWN");
    assert_int_equal(hr_error_http(-1), 500);
    assert_int_equal(hr_error_websocket(7), 1011);
}

static void reasons_have_their_words(void **state)
{
    (void)state;
    assert_string_equal(hr_reason_name(HR_REASON_NONE), "none");
    assert_string_equal(hr_reason_name(HR_REASON_QUEUE_FULL), "queue_full");
    assert_string_equal(hr_reason_name(HR_REASON_ATTEMPTS), "attempts");
    assert_string_equal(hr_reason_name(HR_N_REASONS), "unknown"); /* as read from shared memory */
}

static int born_line;

static int born(void)
{
    errno = ENOSPC;
    born_line = __LINE__ + 1;
    return hr_raise(HR_ERR_SYS);
}

static int passes(int r)
{
    return hr_trace(r);
}

static void the_trace_tells_each_hop_and_errno(void **state)
{
    (void)state;
    char text[256], expected[256];
    int r = passes(born());
    assert_int_equal(r, HR_ERR_SYS);
    errno = EINTR; /* whatever happens before the log line */
    int len = hr_error_format(text, sizeof text, r);
    snprintf(expected, sizeof expected, "HR_ERR_SYS (ENOSPC) at test_error.c:%d born, ", born_line);
    assert_memory_equal(text, expected, strlen(expected));
    assert_non_null(strstr(text, " passes"));
    assert_int_equal(len, (int)strlen(text));
}

static void trace_passes_every_value_and_evaluates_once(void **state)
{
    (void)state;
    int n = 0;
    assert_int_equal(hr_trace(++n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(hr_trace(0), 0);
    assert_int_equal(passes(HR_ERR_FULL), HR_ERR_FULL);
}

static void a_new_error_begins_a_new_trace(void **state)
{
    (void)state;
    char text[256];
    (void)passes(born());
    int r = hr_raise(HR_ERR_FULL);
    hr_error_format(text, sizeof text, r);
    assert_null(strstr(text, "born"));
    assert_non_null(strstr(text, "HR_ERR_FULL at test_error.c:"));
    hr_error_format(text, sizeof text, HR_ERR_GONE); /* not what the trace is about */
    assert_string_equal(text, "HR_ERR_GONE");
}

static void the_last_sixteen_hops_are_kept(void **state)
{
    (void)state;
    char text[2048];
    int r = born();
    for (int i = 0; i < 40; i++)
        r = passes(r);
    hr_error_format(text, sizeof text, r);
    int n_hops = 0;
    for (const char *at = strstr(text, " passes"); at; at = strstr(at + 1, " passes"))
        n_hops++;
    assert_int_equal(n_hops, 16);
    assert_null(strstr(text, "born"));
    assert_non_null(strstr(text, "at ..., "));
}

static void formatting_cuts_to_the_buffer_and_says_the_whole_length(void **state)
{
    (void)state;
    char whole[256], cut[256];
    int r = passes(born());
    int len = hr_error_format(whole, sizeof whole, r);
    for (size_t size = 1; size <= (size_t)len + 1; size++) {
        memset(cut, 'x', sizeof cut);
        assert_int_equal(hr_error_format(cut, size, r), len);
        assert_int_equal(strlen(cut), size - 1);
        assert_memory_equal(cut, whole, size - 1);
        assert_int_equal(cut[size], 'x');
    }
    assert_int_equal(hr_error_format(NULL, 0, r), len);
}

static void *other_thread(void *arg)
{
    (void)hr_raise(HR_ERR_SYS);
    return arg;
}

static void each_thread_has_its_own_trace(void **state)
{
    (void)state;
    char text[256];
    int r = passes(born());
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    hr_error_format(text, sizeof text, r);
    assert_non_null(strstr(text, "born"));
    assert_null(strstr(text, "other_thread"));
}

int test_error(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_name_text_and_codes),
        cmocka_unit_test(a_number_that_is_no_error_is_unknown),
        cmocka_unit_test(reasons_have_their_words),
        cmocka_unit_test(the_trace_tells_each_hop_and_errno),
        cmocka_unit_test(trace_passes_every_value_and_evaluates_once),
        cmocka_unit_test(a_new_error_begins_a_new_trace),
        cmocka_unit_test(the_last_sixteen_hops_are_kept),
        cmocka_unit_test(formatting_cuts_to_the_buffer_and_says_the_whole_length),
        cmocka_unit_test(each_thread_has_its_own_trace),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
