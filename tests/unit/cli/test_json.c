/* test_json.c - JSON on the command line. */
#include "test_cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/json.h"

static uint8_t packed[4096];

/* Packs the text; gives the message, or NULL when it was refused with *diag. */
static int pack(const char *text, size_t *len, struct hr_diag *diag)
{
    struct hr_pack p;
    *diag = (struct hr_diag){0};
    assert_true(hr_json_pack_bound(strlen(text)) <= sizeof packed);
    hr_pack_init(&p, packed, hr_json_pack_bound(strlen(text)));
    int r = hr_json_pack(hr_str_of(text), &p, diag);
    if (r == 0)
        assert_int_equal(hr_pack_done(&p), 0);
    *len = hr_pack_len(&p);
    return r;
}

static void assert_packs(const char *text, const char *bytes, size_t n)
{
    size_t len;
    struct hr_diag diag;
    int r = pack(text, &len, &diag);
    if (r != 0)
        print_error("%s: %s\n", text, diag.message);
    assert_int_equal(r, 0);
    assert_int_equal(len, n);
    assert_memory_equal(packed, bytes, n);
}
#define PACKS(text, bytes) assert_packs(text, bytes, sizeof bytes - 1)

static void assert_refused(const char *text, uint32_t line, uint32_t column, const char *because)
{
    size_t len;
    struct hr_diag diag;
    assert_int_equal(pack(text, &len, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, because);
    assert_int_equal(diag.line, line);
    assert_int_equal(diag.column, column);
}

static void values_become_messagepack(void **state)
{
    (void)state;
    PACKS("{}", "\x80");
    PACKS(" { \"a\" : 1 , \"b\" : [ true , false , null ] } ", "\x82\xa1"
                                                               "a\x01\xa1"
                                                               "b\x93\xc3\xc2\xc0");
    PACKS("[]", "\x90");
    PACKS("[[],[[]],{}]", "\x93\x90\x91\x90\x80");
    PACKS("-1", "\xff");
    PACKS("1.5", "\xcb\x3f\xf8\0\0\0\0\0\0");
    PACKS("1e1", "\xcb\x40\x24\0\0\0\0\0\0");
    PACKS("9223372036854775807", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    PACKS("9223372036854775808", "\xcb\x43\xe0\0\0\0\0\0\0");
}

static void strings_are_decoded(void **state)
{
    (void)state;
    PACKS("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\xa9"
                                             "a\"\\/\b\f\n\r\t");
    PACKS("\"\\u00e4\\u20ac\\ud83d\\ude00\"", "\xa9\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    PACKS("\"\\u0000\"", "\xa1\0");
    PACKS("[\"a,]\\\"]\",\"\\\\\",1]",
          "\x93\xa5"
          "a,]\"]\xa1\\\x01"); /* brackets in strings count for nothing */
}

static void mistakes_have_line_and_column(void **state)
{
    (void)state;
    assert_refused("", 1, 1, "a value is missing");
    assert_refused("{\"a\": }", 1, 7, "a value is missing");
    assert_refused("{\n  \"a\" 1}", 2, 7, "a ':' is missing");
    assert_refused("{a: 1}", 1, 2, "a key in double quotes");
    assert_refused("[1 2]", 1, 4, "a ']' is missing");
    assert_refused("[1,]", 1, 4, "a value is missing");
    assert_refused("[1", 1, 3, "a ']' is missing");
    assert_refused("{\"a\": 1]", 1, 8, "a '}' is missing");
    assert_refused("1 2", 1, 3, "something follows");
    assert_refused("\"abc", 1, 5, "does not end");
    assert_refused("\"\\x\"", 1, 4, "no such escape");
    assert_refused("\"\\ud83d\"", 1, 8, "no such escape");
    assert_refused("\"\\udc00\"", 1, 8, "no such escape");
    assert_refused("\"a\tb\"", 1, 4, "a control character");
    assert_refused("\"\xff\"", 1, 4, "not UTF-8");
    assert_refused("01", 1, 1, "is no number");
    assert_refused("+1", 1, 1, "is no number");
    assert_refused("1.", 1, 1, "is no number");
    assert_refused("tru", 1, 1, "a value is missing");
}

static void nesting_is_bounded(void **state)
{
    char text[200] = "";
    size_t len;
    struct hr_diag diag;
    (void)state;
    memset(text, '[', HR_MSG_MAX_DEPTH);
    memset(text + HR_MSG_MAX_DEPTH, ']', HR_MSG_MAX_DEPTH);
    assert_int_equal(pack(text, &len, &diag), 0);
    memset(text, '[', HR_MSG_MAX_DEPTH + 1);
    assert_int_equal(pack(text, &len, &diag), HR_ERR_CONFIG);
    assert_holds(diag.message, "nested too deep");
}

static void the_bound_holds_for_the_worst(void **state)
{
    char text[1024] = "[";
    size_t len, at = 1;
    struct hr_diag diag;
    (void)state;
    while (at + 5 < sizeof text)
        at += (size_t)snprintf(text + at, sizeof text - at, "1e1,");
    text[at - 1] = ']';
    assert_int_equal(pack(text, &len, &diag), 0);
}

static void strings_are_written_so_that_they_can_be_read(void **state)
{
    (void)state;
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    assert_non_null(file);
    hr_json_put_string(file, HR_LIT("a\"\\\n\x7f\xc3\xa4"));
    hr_json_put_string(file, HR_LIT("\xff"));
    fclose(file);
    assert_string_equal(out, "\"a\\\"\\\\\\u000a\\u007f\xc3\xa4\"\"?\"");
    free(out);
}

/* What hr_json_put_message() writes. */
static void put_packed(size_t len, char *out, size_t size)
{
    struct hr_msg msg;
    FILE *file = fmemopen(out, size, "w");
    assert_non_null(file);
    assert_int_equal(hr_msg_check(packed, len, &msg), 0);
    hr_json_put_message(file, &msg);
    assert_int_equal(fclose(file), 0);
}

static void a_message_is_written_as_it_was_read(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"a\": 1, \"b\": [true, false, null, -7], \"c\": {\"d\": {}, \"e\": []}}",
        "{\"text\": \"\xc3\xa9 \\\"quoted\\\" \\u000a\", \"n\": 9223372036854775807}",
        "{\"x\": 0.1, \"y\": 5.0, \"z\": 1e+300, \"w\": -2.5}",
        "{\"deep\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]], \"after\": 2}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len;
        char written[1024] = "";
        struct hr_diag diag;
        assert_int_equal(pack(texts[i], &len, &diag), 0);
        put_packed(len, written, sizeof written);
        assert_string_equal(written, texts[i]);
    }
}

static void bytes_are_written_in_base64_and_what_is_no_number_as_null(void **state)
{
    struct hr_pack p;
    char written[256] = "";
    (void)state;
    hr_pack_init(&p, packed, sizeof packed);
    hr_pack_map(&p, 5);
    for (size_t n = 0; n < 4; n++) {
        hr_pack_str(&p, &"0123"[n], 1);
        hr_pack_bytes(&p, "\xff\0a", n);
    }
    hr_pack_cstr(&p, "nan");
    hr_pack_double(&p, NAN);
    assert_int_equal(hr_pack_done(&p), 0);
    put_packed(hr_pack_len(&p), written, sizeof written);
    assert_string_equal(written, "{\"0\": {\"base64\": \"\"}, \"1\": {\"base64\": \"/w==\"}, "
                                 "\"2\": {\"base64\": \"/wA=\"}, \"3\": {\"base64\": \"/wBh\"}, "
                                 "\"nan\": null}");
}

int test_json(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_written_as_it_was_read),
        cmocka_unit_test(bytes_are_written_in_base64_and_what_is_no_number_as_null),
        cmocka_unit_test(values_become_messagepack),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(mistakes_have_line_and_column),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(the_bound_holds_for_the_worst),
        cmocka_unit_test(strings_are_written_so_that_they_can_be_read),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
