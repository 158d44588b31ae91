/* test_out.c - the queue of what waits to be written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "harness.h"
#include "server/out.h"
#include "suites.h"

struct pipe_pair {
    int ours, theirs;
};

static struct pipe_pair pair_new(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    return (struct pipe_pair){fds[0], fds[1]};
}

static void put(struct hr_out *out, struct hr_out_pool *pool, const char *text)
{
    struct hr_buf *buf = hr_out_begin(out, pool);
    assert_non_null(buf);
    assert_int_equal(hr_buf_append(buf, text, strlen(text)), 0);
    hr_out_commit(out, pool);
}

static void pieces_of_all_kinds_come_out_in_order(void **state)
{
    struct pipe_pair p = pair_new();
    struct hr_out out = {0};
    struct hr_out_pool pool = {0};
    char got[64] = {0}, path[] = "/tmp/headrace-out-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0 && write(fd, "..file..", 8) == 8);
    unlink(path);
    struct hr_frame *frame = hr_frame_new(5);
    memcpy(frame->data, "frame", 5);
    put(&out, &pool, "one ");
    put(&out, &pool, "two ");
    assert_int_equal(hr_out_frame(&out, &pool, frame), 0);
    assert_int_equal(hr_out_file(&out, &pool, fd, 2, 4), 0);
    put(&out, &pool, " end");
    assert_int_equal(frame->n_refs, 2);
    assert_int_equal(out.bytes, 21);
    assert_int_equal(pool.n_unsent, 21);
    assert_int_equal(hr_out_write(&out, &pool, p.ours), 0);
    assert_int_equal(out.bytes, 0);
    assert_int_equal(frame->n_refs, 1);
    assert_int_equal(read(p.theirs, got, sizeof got), 21);
    assert_string_equal(got, "one two framefile end");
    hr_frame_unref(frame);
    hr_out_fini(&out, &pool);
    hr_out_pool_fini(&pool);
    close(p.ours);
    close(p.theirs);
}

static void what_was_rolled_back_is_not_sent(void **state)
{
    struct pipe_pair p = pair_new();
    struct hr_out out = {0};
    struct hr_out_pool pool = {0};
    char got[16] = {0};
    (void)state;
    put(&out, &pool, "kept");
    assert_int_equal(hr_buf_append(hr_out_begin(&out, &pool), "lost", 4), 0);
    hr_out_rollback(&out);
    assert_int_equal(out.bytes, 4);
    assert_int_equal(hr_out_write(&out, &pool, p.ours), 0);
    assert_int_equal(read(p.theirs, got, sizeof got), 4);
    assert_string_equal(got, "kept");
    hr_out_pool_fini(&pool);
    close(p.ours);
    close(p.theirs);
}

static void a_full_socket_blocks_and_nothing_is_lost_or_doubled(void **state)
{
    struct pipe_pair p = pair_new();
    struct hr_out out = {0};
    struct hr_out_pool pool = {0};
    static char got[1 << 20];
    size_t want = 0, have = 0;
    char line[64];
    (void)state;
    for (int i = 0; i < 50000; i++) {
        int n = snprintf(line, sizeof line, "line %d\n", i);
        put(&out, &pool, line);
        want += (size_t)n;
    }
    for (int r = HR_OUT_BLOCKED; have < want;) {
        r = r ? hr_out_write(&out, &pool, p.ours) : 0;
        assert_true(r >= 0);
        ssize_t n = read(p.theirs, got + have, 7919);
        if (n > 0)
            have += (size_t)n;
        assert_int_equal(pool.n_unsent, out.bytes);
    }
    char *at = got;
    for (int i = 0; i < 50000; i++) {
        int n = snprintf(line, sizeof line, "line %d\n", i);
        assert_memory_equal(at, line, (size_t)n);
        at += n;
    }
    assert_int_equal(out.bytes, 0);
    hr_out_fini(&out, &pool);
    hr_out_pool_fini(&pool);
    close(p.ours);
    close(p.theirs);
}

static void a_file_that_shrank_is_an_error(void **state)
{
    struct pipe_pair p = pair_new();
    struct hr_out out = {0};
    struct hr_out_pool pool = {0};
    (void)state;
    int fd = open("/dev/null", O_RDONLY);
    assert_int_equal(hr_out_file(&out, &pool, fd, 0, 100), 0);
    assert_int_equal(hr_out_write(&out, &pool, p.ours), HR_ERR_SYS);
    hr_out_fini(&out, &pool);
    assert_int_equal(pool.n_unsent, 0);
    hr_out_pool_fini(&pool);
    close(p.ours);
    close(p.theirs);
}

static void in_the_steady_state_nothing_is_allocated(void **state)
{
    struct pipe_pair p = pair_new();
    struct hr_out out = {0};
    struct hr_out_pool pool = {0};
    static char got[4096];
    (void)state;
    int64_t live = 0;
    for (int i = 0; i < 10; i++) {
        put(&out, &pool, "an answer of some length, as answers are");
        assert_int_equal(hr_out_write(&out, &pool, p.ours), 0);
        assert_true(read(p.theirs, got, sizeof got) > 0);
        if (i == 0)
            live = hr_alloc_live();
        hr_alloc_fail_at(1); /* whoever allocates from here on fails */
    }
    hr_alloc_fail_at(0);
    assert_int_equal(hr_alloc_live(), live);
    hr_out_pool_fini(&pool);
    close(p.ours);
    close(p.theirs);
}

int test_out(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_all_kinds_come_out_in_order),
        cmocka_unit_test(what_was_rolled_back_is_not_sent),
        cmocka_unit_test(a_full_socket_blocks_and_nothing_is_lost_or_doubled),
        cmocka_unit_test(a_file_that_shrank_is_an_error),
        cmocka_unit_test(in_the_steady_state_nothing_is_allocated),
    };
    return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
