/* test_body.c - request bodies: inside the message, put together, in pieces. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* What a consumer was given, for the test to look at. */
static struct {
    int n_calls, n_pieces, n_last, n_gone;
    size_t len;
    char body[512 << 10];
    bool more_body;
    struct hr_ctx *ctx;
} seen;

static void seen_add(struct hr_str piece)
{
    assert_true(seen.len + piece.len <= sizeof seen.body);
    if (piece.len > 0)
        memcpy(seen.body + seen.len, piece.ptr, piece.len);
    seen.len += piece.len;
}

static int take_whole(struct hr_ctx *ctx, const struct hr_msg *request)
{
    struct hr_value value;
    seen.n_calls++;
    seen_add(hr_http_body(request));
    seen.more_body = hr_msg_bool(request, "more_body", false);
    assert_str(hr_http_path(request), "/up");
    assert_str(hr_http_header(request, "X-Kept"), "yes");
    assert_true(hr_msg_get(request, "body", &value) && value.type == HR_TYPE_BYTES);
    return hr_http_reply(ctx, 200, NULL, "%zu", hr_http_body(request).len);
}

static const struct hr_consumer whole[] = {
    {.channel = "http.request", .fn = take_whole, .max_body = 200 << 10}, {0}};

static const char *const kept[] = {"x-kept", "yes", NULL};

static void send_upload(struct rig *rig, struct hr_str body, bool more, const char *const *headers)
{
    rig_send(rig, &(struct event){.channel = "http.request.web",
                                  .method = "POST",
                                  .path = "/up",
                                  .headers = headers,
                                  .body = body,
                                  .more_body = more});
}

static void send_piece(struct rig *rig, struct hr_str to, struct hr_str body, size_t offset,
                       bool more)
{
    struct hr_pack pack;
    void *room = malloc(body.len + 128);
    hr_pack_init(&pack, room, body.len + 128);
    hr_pack_map(&pack, 4);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "http.request");
    hr_pack_cstr(&pack, "offset");
    hr_pack_int(&pack, (int64_t)offset);
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, body.ptr, body.len);
    hr_pack_cstr(&pack, "more_body");
    hr_pack_bool(&pack, more);
    rig_to_holder(rig, to, &pack);
    free(room);
}

static void send_disconnect(struct rig *rig, struct hr_str to)
{
    uint8_t room[64];
    struct hr_pack pack;
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "http.disconnect");
    rig_to_holder(rig, to, &pack);
}

static char *pattern(size_t len)
{
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    return bytes;
}

static void rig_open_clean(struct rig *rig, const struct hr_consumer *consumers)
{
    memset(&seen, 0, sizeof seen);
    rig_open(rig, consumers, NULL);
}

static void a_small_body_is_there_at_once(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, whole);
    send_upload(&rig, HR_LIT("tiny"), false, kept);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "4");
    assert_memory_equal(seen.body, "tiny", 4);
    rig_close(&rig);
}

static void a_whole_body_is_put_together_before_the_call(void **state)
{
    const size_t first = 64 << 10, total = 150001;
    char *bytes = pattern(total);
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, whole);
    send_upload(&rig, (struct hr_str){bytes, first}, true, kept);
    const struct answer *answer = rig_expect(&rig, "body.open");
    assert_int_equal(hr_msg_int(&answer->msg, "window", 0), 256 << 10);
    struct hr_str to = hr_msg_str(&answer->msg, "to");
    assert_int_equal(seen.n_calls, 0);

    send_piece(&rig, to, (struct hr_str){bytes + first, first}, first, true);
    answer = rig_expect(&rig, "body.credit");
    assert_int_equal(hr_msg_int(&answer->msg, "total", 0), 2 * first);
    assert_int_equal(seen.n_calls, 0);
    send_piece(&rig, to, (struct hr_str){bytes + 2 * first, total - 2 * first}, 2 * first, false);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "150001");
    assert_int_equal(seen.n_calls, 1);
    assert_false(seen.more_body);
    assert_int_equal(seen.len, total);
    assert_memory_equal(seen.body, bytes, total);
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
    free(bytes);
}

static void a_body_beyond_the_limit_is_a_413(void **state)
{
    static const char *const long_one[] = {"x-kept", "yes", "content-length", "204801", NULL};
    char *bytes = pattern(300 << 10);
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, whole);
    /* It says so. */
    send_upload(&rig, (struct hr_str){bytes, 10}, true, long_one);
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 413);
    assert_true(rig_is_acked(&rig));
    /* It turns out so. */
    send_upload(&rig, (struct hr_str){bytes, 64 << 10}, true, kept);
    answer = rig_expect(&rig, "body.open");
    struct hr_str to = hr_msg_str(&answer->msg, "to");
    send_piece(&rig, to, (struct hr_str){bytes, 140 << 10}, 64 << 10, true);
    answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 413);
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    assert_int_equal(seen.n_calls, 0);
    rig_close(&rig);
    free(bytes);
}

static void a_hole_in_a_body_is_an_error(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, whole);
    send_upload(&rig, HR_LIT("0123456789"), true, kept);
    const struct answer *answer = rig_expect(&rig, "body.open");
    send_piece(&rig, hr_msg_str(&answer->msg, "to"), HR_LIT("x"), 11, false);
    answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    assert_int_equal(seen.n_calls, 0);
    rig_close(&rig);
}

static void a_client_that_leaves_while_sending_ends_the_event(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, whole);
    send_upload(&rig, HR_LIT("0123456789"), true, kept);
    const struct answer *answer = rig_expect(&rig, "body.open");
    send_disconnect(&rig, hr_msg_str(&answer->msg, "to"));
    assert_false(rig_has_next(&rig));
    assert_true(rig_is_acked(&rig));
    assert_int_equal(seen.n_calls, 0);
    rig_close(&rig);
}

static void on_piece(struct hr_ctx *ctx, void *arg, struct hr_str piece, bool is_last)
{
    assert_ptr_equal(arg, &seen);
    assert_int_equal(seen.n_last, 0);
    seen.n_pieces++;
    seen.n_last += is_last;
    seen_add(piece);
    if (is_last)
        hr_http_reply(ctx, 200, NULL, "%zu", seen.len);
}

static void on_gone(struct hr_ctx *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    seen.n_gone++;
}

static int take_stream(struct hr_ctx *ctx, const struct hr_msg *request)
{
    seen.n_calls++;
    seen_add(hr_http_body(request));
    hr_http_on_body(ctx, on_piece, &seen);
    hr_ctx_on_gone(ctx, on_gone, NULL);
    assert_int_equal(seen.n_pieces, 0); /* not from within */
    return 0;
}

static const struct hr_consumer stream[] = {
    {.channel = "http.request", .fn = take_stream, .body = HR_BODY_STREAM}, {0}};

static void a_streamed_body_comes_in_pieces_against_credit(void **state)
{
    const size_t piece = 40 << 10;
    char *bytes = pattern(4 * piece);
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, stream);
    send_upload(&rig, (struct hr_str){bytes, piece}, true, NULL);
    struct hr_str to = hr_msg_str(&rig_expect(&rig, "body.open")->msg, "to");
    assert_int_equal(seen.n_calls, 1);
    assert_int_equal(seen.len, piece);
    send_piece(&rig, to, (struct hr_str){bytes + piece, piece}, piece, true);
    assert_false(rig_has_next(&rig)); /* too little for a credit of its own */
    send_piece(&rig, to, (struct hr_str){bytes + 2 * piece, piece}, 2 * piece, true);
    assert_int_equal(hr_msg_int(&rig_expect(&rig, "body.credit")->msg, "total", 0), 3 * piece);
    assert_false(rig_is_acked(&rig));
    send_piece(&rig, to, (struct hr_str){bytes + 3 * piece, piece}, 3 * piece, false);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "163840");
    assert_int_equal(seen.n_pieces, 3);
    assert_memory_equal(seen.body, bytes, seen.len);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
    free(bytes);
}

static void a_streamed_body_that_is_all_there_has_one_empty_last_piece(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, stream);
    send_upload(&rig, HR_LIT("all"), false, NULL);
    assert_str(hr_msg_bytes(&rig_expect(&rig, "http.response.start")->msg, "body"), "3");
    assert_int_equal(seen.n_pieces, 1);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void a_streams_client_that_leaves_is_told_once(void **state)
{
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, stream);
    send_upload(&rig, HR_LIT("some"), true, NULL);
    struct hr_str to = hr_msg_str(&rig_expect(&rig, "body.open")->msg, "to");
    send_disconnect(&rig, to);
    assert_false(rig_has_next(&rig));
    assert_int_equal(seen.n_gone, 1);
    assert_int_equal(seen.n_last, 0);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

static void fail_on_piece(struct hr_ctx *ctx, void *arg, struct hr_str piece, bool is_last)
{
    (void)arg;
    (void)piece;
    (void)is_last;
    seen.n_pieces++;
    hr_ctx_fail(ctx, HR_ERR_SYS);
}

static int take_and_fail(struct hr_ctx *ctx, const struct hr_msg *request)
{
    (void)request;
    hr_http_on_body(ctx, fail_on_piece, NULL);
    return 0;
}

static void an_error_in_a_piece_ends_the_event(void **state)
{
    static const struct hr_consumer consumers[] = {
        {.channel = "http.request", .fn = take_and_fail, .body = HR_BODY_STREAM}, {0}};
    struct rig rig;
    (void)state;
    rig_open_clean(&rig, consumers);
    send_upload(&rig, HR_LIT("some"), true, NULL);
    struct hr_str to = hr_msg_str(&rig_expect(&rig, "body.open")->msg, "to");
    send_piece(&rig, to, HR_LIT("more"), 4, true);
    const struct answer *answer = rig_expect(&rig, "http.response.start");
    assert_int_equal(hr_msg_int(&answer->msg, "status", 0), 500);
    assert_int_equal(seen.n_pieces, 1);
    assert_true(rig_is_acked(&rig));
    rig_close(&rig);
}

int run_body_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_body_is_there_at_once),
        cmocka_unit_test(a_whole_body_is_put_together_before_the_call),
        cmocka_unit_test(a_body_beyond_the_limit_is_a_413),
        cmocka_unit_test(a_hole_in_a_body_is_an_error),
        cmocka_unit_test(a_client_that_leaves_while_sending_ends_the_event),
        cmocka_unit_test(a_streamed_body_comes_in_pieces_against_credit),
        cmocka_unit_test(a_streamed_body_that_is_all_there_has_one_empty_last_piece),
        cmocka_unit_test(a_streams_client_that_leaves_is_told_once),
        cmocka_unit_test(an_error_in_a_piece_ends_the_event),
    };
    return cmocka_run_group_tests_name("bodies", tests, NULL, NULL);
}
