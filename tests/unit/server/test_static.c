/* test_static.c - files: conditions, ranges, and that nothing else can be reached. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "suites.h"

static struct answer answer;
static char value[256];
static char dir[64];

static void put_file(const char *name, const char *text, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
}

/*     dir/secret.txt   dir/public/{a.txt,app.js,.env,sub/b.css,out -> ../secret.txt,in -> a.txt} */
static int make_files(void **state)
{
    char path[128];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/headrace-static-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/public", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/public/sub", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    put_file("secret.txt", "secret", 6);
    put_file("public/a.txt", "0123456789", 10);
    put_file("public/app.js", "run()", 5);
    put_file("public/.env", "KEY=1", 5);
    put_file("public/empty", "", 0);
    put_file("public/sub/b.css", "b{}", 3);
    snprintf(path, sizeof path, "%s/public/out", dir);
    assert_int_equal(symlink("../secret.txt", path), 0);
    snprintf(path, sizeof path, "%s/public/in", dir);
    assert_int_equal(symlink("a.txt", path), 0);
    return 0;
}

static int remove_files(void **state)
{
    static const char *const names[] = {"public/a.txt", "public/app.js",    "public/.env",
                                        "public/empty", "public/sub/b.css", "public/sub",
                                        "public/out",   "public/in",        "public/big",
                                        "public",       "secret.txt",       ""};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        if (unlink(path) != 0)
            rmdir(path);
    }
    return 0;
}

static struct world *static_world(void)
{
    static char public[128];
    static struct hr_static_route route;
    snprintf(public, sizeof public, "%s/public", dir);
    route = (struct hr_static_route){HR_LIT("/static/"), public};
    return world_new_empty(
        &(struct hr_server_config){.routes = &route, .n_routes = 1, .queue_timeout = 20 * HR_MS});
}

static int get(struct world *w, struct client *c, const char *path, const char *headers)
{
    char text[1024];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", path, headers);
    client_say(c, text);
    client_answer(w, c, "GET", &answer);
    return answer.status;
}

static void a_file_is_served_with_its_type_and_tags(void **state)
{
    struct world *w = static_world();
    struct client *c = client_new(w);
    (void)state;
    assert_int_equal(get(w, c, "/static/a.txt?v=1", ""), 200);
    assert_string_equal(answer.body, "0123456789");
    assert_string_equal(answer_header(&answer, "content-type", value), "text/plain; charset=utf-8");
    assert_int_not_equal(strlen(answer_header(&answer, "etag", value)), 0);
    assert_int_not_equal(strlen(answer_header(&answer, "last-modified", value)), 0);
    assert_int_equal(get(w, c, "/static/sub/b.css", ""), 200);
    assert_string_equal(answer_header(&answer, "content-type", value), "text/css; charset=utf-8");
    assert_int_equal(get(w, c, "/static/app%2Ejs", ""), 200);
    assert_int_equal(get(w, c, "/static/in", ""), 200); /* a link that stays inside */
    assert_int_equal(get(w, c, "/static/empty", ""), 200);
    assert_int_equal(answer.body_len, 0);
    client_say(c, "HEAD /static/a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(w, c, "HEAD", &answer);
    assert_string_equal(answer_header(&answer, "content-length", value), "10");
    assert_int_equal(get(w, c, "/static/a.txt", ""), 200);
    world_free(w);
}

static void nothing_outside_and_no_dotfile_can_be_reached(void **state)
{
    static const char *const paths[] = {"/static/../secret.txt",
                                        "/static/%2e%2e/secret.txt",
                                        "/static/..%2fsecret.txt",
                                        "/static/sub/../../secret.txt",
                                        "/static/out",
                                        "/static/.env",
                                        "/static/sub/../.env",
                                        "/static//etc/passwd",
                                        "/static/%2fetc/passwd",
                                        "/static/",
                                        "/static/sub",
                                        "/static/none",
                                        "/static/a.txt/",
                                        "/static/a.txt%00.js"};
    struct world *w = static_world();
    struct client *c = client_new(w);
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (get(w, c, paths[i], "") != 404)
            fail_msg("%s gave %d", paths[i], answer.status);
    world_free(w);
}

static void only_get_and_head_are_allowed(void **state)
{
    struct world *w = static_world();
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "DELETE /static/a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer(w, c, "DELETE", &answer);
    assert_int_equal(answer.status, 405);
    world_free(w);
}

static void what_the_client_has_is_not_sent_again(void **state)
{
    struct world *w = static_world();
    struct client *c = client_new(w);
    char headers[600], tag[256];
    (void)state;
    assert_int_equal(get(w, c, "/static/a.txt", ""), 200);
    answer_header(&answer, "etag", tag);
    answer_header(&answer, "last-modified", value);
    snprintf(headers, sizeof headers, "If-None-Match: \"x\", W/%s\r\n", tag);
    assert_int_equal(get(w, c, "/static/a.txt", headers), 304);
    assert_string_equal(answer_header(&answer, "content-length", tag), "");
    snprintf(headers, sizeof headers, "If-Modified-Since: %s\r\n", value);
    assert_int_equal(get(w, c, "/static/a.txt", headers), 304);
    assert_int_equal(get(w, c, "/static/a.txt", "If-None-Match: \"x\"\r\n"), 200);
    world_free(w);
}

static void one_range_is_served(void **state)
{
    static const struct {
        const char *range;
        int status;
        const char *body;
    } cases[] = {
        {"bytes=2-4", 206, "234"},
        {"bytes=7-", 206, "789"},
        {"bytes=-3", 206, "789"},
        {"bytes=0-99", 206, "0123456789"},
        {"bytes=10-", 416, ""},
        {"bytes=-0", 416, ""},
        {"bytes=1-2,4-5", 200, "0123456789"},
        {"items=1-2", 200, "0123456789"},
        {"bytes=4-2", 200, "0123456789"},
    };
    struct world *w = static_world();
    struct client *c = client_new(w);
    char headers[128];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(headers, sizeof headers, "Range: %s\r\n", cases[i].range);
        assert_int_equal(get(w, c, "/static/a.txt", headers), cases[i].status);
        assert_string_equal(answer.body, cases[i].body);
    }
    assert_int_equal(get(w, c, "/static/a.txt", "Range: bytes=2-4\r\nIf-Range: \"old\"\r\n"), 200);
    world_free(w);
}

static void a_large_file_comes_whole(void **state)
{
    struct world *w = static_world();
    struct client *c = client_new(w);
    enum { SIZE = 5 << 20 };
    char *big = malloc(SIZE);
    size_t got = 0;
    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        big[i] = (char)(i * 31 + i / 4096);
    put_file("public/big", big, SIZE);
    client_say(c, "GET /static/big HTTP/1.1\r\nHost: h\r\n\r\n");
    client_expect(w, c, "\r\n\r\n");
    while (got < SIZE) {
        UNTIL(w, hr_buf_len(&c->in) > 0);
        assert_memory_equal(hr_buf_ptr(&c->in), big + got, hr_buf_len(&c->in));
        got += hr_buf_len(&c->in);
        hr_buf_consume(&c->in, hr_buf_len(&c->in));
    }
    free(big);
    world_free(w);
}

int test_static(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_served_with_its_type_and_tags),
        cmocka_unit_test(nothing_outside_and_no_dotfile_can_be_reached),
        cmocka_unit_test(only_get_and_head_are_allowed),
        cmocka_unit_test(what_the_client_has_is_not_sent_again),
        cmocka_unit_test(one_range_is_served),
        cmocka_unit_test(a_large_file_comes_whole),
    };
    return cmocka_run_group_tests_name("static", tests, make_files, remove_files);
}
