/* test_head.c - our reading of heads by itself.
 *
 * Most of it shows on the wire. Here stand the guards that this version of
 * llhttp gets to first: they must hold without it.
 */
#include "test_http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "http1/head.h"
#include "http1/lines.h"

enum { MAX_FIELDS = 8 };

static const struct hr_http1_limits limits = {.max_body = 1000};

struct sent {
    struct hr_http1_request request;
    char text[256];
    struct hr_header headers[MAX_FIELDS + 1];
};

/* Reads "name: value\n..." as the header lines of an HTTP/1.`minor` POST. */
static enum hr_http1_refusal read_fields(struct sent *sent, const char *fields, uint8_t minor)
{
    uint32_t n = 0;

    *sent = (struct sent){.request = {.method = HR_LIT("POST"), .minor = minor}};
    (void)hr_str_copy(sent->text, sizeof(sent->text), hr_str_of(fields));
    struct hr_str rest = hr_str_of(sent->text), line;
    while (hr_str_next(&rest, '\n', &line) && line.len > 0) {
        struct hr_header *field = &sent->headers[n++];
        assert_true(hr_str_next(&line, ':', &field->name));
        field->value = line;
    }
    return hr_http1_read_headers(sent->text, sent->headers, n, &limits, &sent->request);
}

static void framing_that_could_be_read_twice_is_refused(void **state)
{
    static const struct {
        const char *fields;
        enum hr_http1_refusal why;
    } cases[] = {
        {"Host: a\nContent-Length: 5", HR_HTTP1_ACCEPTED},
        {"Host: a\nContent-Length: 5\nContent-Length: 5", HR_HTTP1_REFUSED_LENGTH_TWICE},
        {"Host: a\nContent-Length: 5, 5", HR_HTTP1_REFUSED_LENGTH_VALUE},
        {"Host: a\nContent-Length: +5", HR_HTTP1_REFUSED_LENGTH_VALUE},
        {"Host: a\nContent-Length: -0", HR_HTTP1_REFUSED_LENGTH_VALUE},
        {"Host: a\nContent-Length: 0x5", HR_HTTP1_REFUSED_LENGTH_VALUE},
        {"Host: a\nContent-Length:", HR_HTTP1_REFUSED_LENGTH_VALUE},
        {"Host: a\nContent-Length: 18446744073709551616", HR_HTTP1_REFUSED_LENGTH_VALUE},
        {"Host: a\nContent-Length: 1001", HR_HTTP1_REFUSED_BODY_LARGE},
        {"Host: a\nTransfer-Encoding: chunked", HR_HTTP1_ACCEPTED},
        {"Host: a\nTransfer-Encoding: chunked\nContent-Length: 5",
         HR_HTTP1_REFUSED_LENGTH_AND_CODING},
        {"Host: a\nContent-Length: 0\nTransfer-Encoding: chunked",
         HR_HTTP1_REFUSED_LENGTH_AND_CODING},
        {"Host: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
         HR_HTTP1_REFUSED_CODING_TWICE},
        {"Host: a\nTransfer-Encoding: chunked, chunked", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding: chunked, gzip", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding: chunked, gzip, chunked", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding: identity", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding:", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding: chunked,", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding: chunked;x", HR_HTTP1_REFUSED_CODING_LAST},
        {"Host: a\nTransfer-Encoding: gzip, chunked", HR_HTTP1_REFUSED_CODING_UNKNOWN},
        {"Host: a\nTransfer-Encoding: gzip, deflate,\tCHUNKED", HR_HTTP1_REFUSED_CODING_UNKNOWN},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sent sent;
        enum hr_http1_refusal why = read_fields(&sent, cases[i].fields, 1);
        if (why != cases[i].why)
            fail_msg("%s: refusal %d, not %d", cases[i].fields, why, cases[i].why);
    }
}

static void a_coding_is_refused_in_http_1_0(void **state)
{
    struct sent sent;
    (void)state;

    assert_int_equal(read_fields(&sent, "Transfer-Encoding: chunked", 0),
                     HR_HTTP1_REFUSED_CODING_OLD);
}

static void names_are_tokens(void **state)
{
    static const char *const names[] = {"",      "X Y",  "X\t",   " X",   "X@",  "X(",
                                        "X\x7f", "\x80", "X\xc3", "X\"Y", "[X]", "X=Y"};
    (void)state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char fields[64];
        struct sent sent;
        (void)snprintf(fields, sizeof(fields), "Host: a\n%s: y", names[i]);
        if (read_fields(&sent, fields, 1) != HR_HTTP1_REFUSED_NAME)
            fail_msg("'%s' passed", names[i]);
    }
}

static void targets_are_printable_ascii_without_a_fragment(void **state)
{
    (void)state;

    for (unsigned int byte = 0; byte < 256; byte++) {
        char line[] = "GET /? HTTP/1.1";
        struct hr_http1_request request = {0};
        line[5] = (char)byte;
        bool is_fine = byte > ' ' && byte < 0x7f && byte != '#' && byte != '%';
        enum hr_http1_refusal why =
            hr_http1_read_request_line((struct hr_str){line, sizeof(line) - 1}, 2, &request);
        assert_int_equal(why == HR_HTTP1_ACCEPTED, is_fine);
    }
}

static void a_row_is_spare_for_the_host_of_an_absolute_target(void **state)
{
    struct sent sent = {.request = {.method = HR_LIT("GET"), .host = HR_LIT("b")}};
    (void)state;

    assert_int_equal(hr_http1_read_headers(sent.text, sent.headers, 0, &limits, &sent.request),
                     HR_HTTP1_ACCEPTED);
    assert_int_equal(sent.request.n_headers, 1);
    assert_true(hr_str_eq(sent.request.headers[0].name, HR_LIT("host")));
    assert_true(hr_str_eq(sent.request.headers[0].value, HR_LIT("b")));
}

static void every_byte_of_a_line_has_its_verdict(void **state)
{
    (void)state;

    for (unsigned int byte = 0; byte < 256; byte++) {
        /* At every place within a word, for the eight at a time. */
        for (size_t at = 1; at < 18; at++) {
            char line[24];
            struct hr_lines lines = {0};
            size_t n;
            memset(line, 'x', sizeof(line));
            line[at] = (char)byte;
            line[20] = '\r';
            line[21] = '\n';
            bool is_fine = (byte >= 0x20 && byte != 0x7f) || byte == '\t';
            assert_int_equal(hr_lines_read(&lines, line, 22, &n),
                             is_fine ? HR_LINES_LINE : HR_LINES_BAD);
            /* A CR is read before it is known to be alone. */
            assert_int_equal(n, is_fine ? 22 : at + (byte == '\r'));
        }
    }
}

int test_head(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_that_could_be_read_twice_is_refused),
        cmocka_unit_test(a_coding_is_refused_in_http_1_0),
        cmocka_unit_test(names_are_tokens),
        cmocka_unit_test(targets_are_printable_ascii_without_a_fragment),
        cmocka_unit_test(a_row_is_spare_for_the_host_of_an_absolute_target),
        cmocka_unit_test(every_byte_of_a_line_has_its_verdict),
    };
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
