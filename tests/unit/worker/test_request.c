/* test_request.c - reading requests: queries, forms, cookies, headers. */
#include "fixture.h"

static void (*look)(struct hr_ctx *ctx, const struct hr_msg *request);
static bool was_called;

static int call_look(struct hr_ctx *ctx, const struct hr_msg *request)
{
    was_called = true;
    look(ctx, request);
    return hr_http_reply(ctx, 200, NULL, "ok");
}

static void with_request(const struct event *event,
                         void (*fn)(struct hr_ctx *ctx, const struct hr_msg *request))
{
    static const struct hr_consumer consumers[] = {{.channel = "http.request", .fn = call_look},
                                                   {0}};
    struct rig rig;
    look = fn;
    was_called = false;
    rig_open(&rig, consumers, NULL);
    rig_send(&rig, event);
    rig_expect(&rig, "http.response.start");
    assert_true(was_called);
    rig_close(&rig);
}

static void look_at_query(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    assert_str(hr_http_query(request, "plain"), "value");
    assert_str(hr_http_query(request, "spaced"), "a b c");
    assert_str(hr_http_query(request, "utf"), "gr\xc3\xbc\xc3\x9f");
    assert_str(hr_http_query(request, "a b"), "named");
    assert_str(hr_http_query(request, "twice"), "1");
    assert_str(hr_http_query(request, "none"), "");
    assert_str(hr_http_query(request, "flag"), "");
    assert_str(hr_http_query(request, "pla"), "");
    assert_str(hr_http_query(request, "bad"), "100%");
    assert_str(hr_http_query(request, "eq"), "a=b");
    /* Both stay: decoded text is not overwritten by the next. */
    struct hr_str one = hr_http_query(request, "spaced"), two = hr_http_query(request, "utf");
    assert_str(one, "a b c");
    assert_str(two, "gr\xc3\xbc\xc3\x9f");
}

static void query_values_are_decoded(void **state)
{
    (void)state;
    with_request(&(struct event){.channel = "http.request.web",
                                 .path = "/",
                                 .query =
                                     "plain=value&spaced=a+b%20c&utf=gr%C3%BC%c3%9f&a%20b=named&"
                                     "twice=1&twice=2&flag&bad=100%&&=x&eq=a=b"},
                 look_at_query);
}

static void look_at_form(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    assert_str(hr_http_form(request, "name"), "J\xc3\xb6 rg");
    assert_str(hr_http_form(request, "other"), "");
    assert_str(hr_http_query(request, "name"), "");
}

static void look_at_no_form(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    assert_str(hr_http_form(request, "name"), "");
}

static void form_values_are_decoded_when_it_is_a_form(void **state)
{
    static const char *const form[] = {"content-type",
                                       "application/x-www-form-urlencoded; charset=utf-8", NULL};
    static const char *const json[] = {"content-type", "application/json", NULL};
    (void)state;
    with_request(&(struct event){.channel = "http.request.web",
                                 .path = "/",
                                 .headers = form,
                                 .body = HR_LIT("name=J%C3%B6+rg")},
                 look_at_form);
    with_request(&(struct event){.channel = "http.request.web",
                                 .path = "/",
                                 .headers = json,
                                 .body = HR_LIT("name=J%C3%B6+rg")},
                 look_at_no_form);
}

static void look_at_headers(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)ctx;
    assert_str(hr_http_method(request), "GET");
    assert_str(hr_http_path(request), "/p");
    assert_str(hr_http_header(request, "Accept"), "first");
    assert_str(hr_http_header(request, "missing"), "");
    assert_str(hr_http_cookie(request, "session"), "abc+d");
    assert_str(hr_http_cookie(request, "quoted"), "in quotes");
    assert_str(hr_http_cookie(request, "second"), "2");
    assert_str(hr_http_cookie(request, "sess"), "");
    assert_str(hr_http_cookie(request, "bare"), "");
}

static void headers_and_cookies_are_found(void **state)
{
    static const char *const headers[] = {
        "accept", "first",    "accept",
        "second", "cookie",   "bare; session=abc+d; quoted=\"in%20quotes\"",
        "cookie", "second=2", NULL};
    (void)state;
    with_request(
        &(struct event){
            .channel = "http.request.web", .method = "GET", .path = "/p", .headers = headers},
        look_at_headers);
}

/* A message that is none of a context's still reads; it is only not decoded. */
static void a_message_of_ones_own_is_read_too(void **state)
{
    uint8_t room[64];
    struct hr_pack pack;
    struct hr_msg msg;
    (void)state;
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "query_string");
    hr_pack_bytes(&pack, "a=b+c&d=e", 9);
    assert_int_equal(hr_msg_check(room, hr_pack_len(&pack), &msg), 0);
    assert_str(hr_http_query(&msg, "d"), "e");
    assert_str(hr_http_query(&msg, "a"), "b+c");
}

int run_request_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_values_are_decoded),
        cmocka_unit_test(form_values_are_decoded_when_it_is_a_form),
        cmocka_unit_test(headers_and_cookies_are_found),
        cmocka_unit_test(a_message_of_ones_own_is_read_too),
    };
    return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
