/* wire_http1.c - runs the cases of tests/wire/NAME.http1.wire.
 *
 * A file holds cases, each a name, what is sent, and what must come of it:
 *
 *     == a request without Host is refused in HTTP/1.1
 *     limit max_body 10                   (optional; see struct hr_http1_limits)
 *     > GET / HTTP/1.1\r\n                (escapes: \r \n \t \\ \xHH; no line end of its own)
 *     >3 X: y\r\n                         (three times)
 *     < bad 400 no Host
 *
 * The lines after `<` are of the transcript that drive.h describes. Event
 * lines must all be there, in order; of the indented details only those that
 * matter need to be. `bad 400` without a reason stands for any. Lines that
 * begin with '#' are for people.
 *
 * Every case runs whole, byte by byte, and cut at random points; the
 * transcripts must be the same to the letter. All files together must have a
 * case for every row of refusals.def.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"
#include "http1/head.h"

enum { N_RANDOM_CUTS = 12 };

struct wire_case {
    const char *file;
    int line;
    char name[160];
    struct drive drive;
    FILE *sent, *expected;
    char *sent_text, *expected_text;
    size_t sent_len, expected_len;
};

static int n_cases, n_failed;

/* The rows of refusals.def. Those that llhttp, strict, gets to first are tried in test_head.c. */
static struct {
    const char *text; /* as a transcript has it */
    enum hr_http1_refusal refusal;
    bool is_seen;
} refusals[] = {
#define HR_REFUSAL(name, status, reason, why)                                                      \
    {"bad " #status " " reason, HR_HTTP1_REFUSED_##name, false},
#include "http1/refusals.def"
#undef HR_REFUSAL
};

static void fail(const struct wire_case *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(const struct wire_case *c, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: %s\n    ", c->file, c->line, c->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    n_failed++;
}

static void put_unescaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        char hex[3] = {0};
        if (*text != '\\' || !text[1]) {
            fputc(*text, out);
            continue;
        }
        switch (*++text) {
        case 'r':
            fputc('\r', out);
            break;
        case 'n':
            fputc('\n', out);
            break;
        case 't':
            fputc('\t', out);
            break;
        case 'x':
            memcpy(hex, text + 1, strnlen(text + 1, 2));
            fputc((int)strtoul(hex, NULL, 16), out);
            text += strlen(hex);
            break;
        default:
            fputc(*text, out);
        }
    }
}

static void set_limit(struct wire_case *c, const char *text)
{
    size_t len = strcspn(text, " ");
    struct hr_str name = {text, len};
    uint32_t value = (uint32_t)strtoul(text + len, NULL, 10);

    if (hr_str_eq(name, HR_LIT("max_head")))
        c->drive.limits.max_head = value;
    else if (hr_str_eq(name, HR_LIT("max_headers")))
        c->drive.limits.max_headers = value;
    else if (hr_str_eq(name, HR_LIT("max_target")))
        c->drive.limits.max_target = value;
    else if (hr_str_eq(name, HR_LIT("max_body")))
        c->drive.limits.max_body = value;
    else
        fail(c, "no such limit: %s", text);
}

/* "bad 400" stands for any reason: where llhttp decides, it differs between versions. */
static bool line_is(struct hr_str line, struct hr_str expected)
{
    bool any_reason = expected.len == strlen("bad 400") && hr_str_starts(expected, HR_LIT("bad "));

    return any_reason ? hr_str_starts(line, expected) : hr_str_eq(line, expected);
}

/* Every expected line in its order; between them only details. */
static void check_expected(const struct wire_case *c, const char *transcript)
{
    struct hr_str all = hr_str_of(transcript), line;
    struct hr_str rest = {c->expected_text, c->expected_len}, expected = {NULL, 0};
    bool is_left = hr_str_next(&rest, '\n', &expected);

    while (hr_str_next(&all, '\n', &line)) {
        if (is_left && line_is(line, expected)) {
            is_left = rest.len > 0 && hr_str_next(&rest, '\n', &expected);
        } else if (line.len > 0 && line.ptr[0] != ' ') {
            is_left = true;
            break;
        }
    }
    if (is_left)
        fail(c, "not, or not only, '%.*s'; it said:\n%s", HR_STR(expected), transcript);
}

static void note_refusals(const char *transcript)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refusals[i].is_seen |= drive_has_line(transcript, refusals[i].text);
}

/* A guard without a case is one that nobody would miss. */
static void check_refusals(void)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        enum hr_http1_refusal refusal = refusals[i].refusal;
        bool is_llhttps = refusal == HR_HTTP1_REFUSED_GRAMMAR || refusal == HR_HTTP1_REFUSED_NAME ||
                          refusal == HR_HTTP1_REFUSED_LENGTH_TWICE ||
                          refusal == HR_HTTP1_REFUSED_LENGTH_VALUE ||
                          refusal == HR_HTTP1_REFUSED_LENGTH_AND_CODING ||
                          refusal == HR_HTTP1_REFUSED_CODING_TWICE;
        if (refusals[i].is_seen || is_llhttps || refusal == HR_HTTP1_REFUSED_DISAGREE)
            continue;
        fprintf(stderr, "no case has: %s\n", refusals[i].text);
        n_failed++;
    }
}

static void run_case(struct wire_case *c)
{
    fclose(c->sent);
    fclose(c->expected);
    c->drive.input = (struct hr_str){c->sent_text, c->sent_len};
    n_cases++;
    if (c->expected_len == 0)
        fail(c, "nothing is expected");

    c->drive.cut = DRIVE_WHOLE;
    char *whole = drive_run(&c->drive);
    check_expected(c, whole);
    note_refusals(whole);
    for (uint64_t seed = 0; seed <= N_RANDOM_CUTS; seed++) {
        c->drive.cut = seed == 0 ? DRIVE_BYTES : DRIVE_RANDOM;
        c->drive.seed = seed;
        char *cut = drive_run(&c->drive);
        if (strcmp(whole, cut) != 0)
            fail(c, "whole:\n%s    cut (%s, seed %ju):\n%s", whole, seed == 0 ? "bytes" : "random",
                 (uintmax_t)seed, cut);
        free(cut);
    }
    free(whole);
    free(c->sent_text);
    free(c->expected_text);
}

static void begin_case(struct wire_case *c, const char *name)
{
    *c = (struct wire_case){.file = c->file, .line = c->line};
    (void)hr_str_copy(c->name, sizeof(c->name), hr_str_of(name));
    c->drive.limits = drive_limits;
    c->sent = open_memstream(&c->sent_text, &c->sent_len);
    c->expected = open_memstream(&c->expected_text, &c->expected_len);
}

static void read_line(struct wire_case *c, const char *line)
{
    if (line[0] == '>') {
        const char *text = line + 1 + strspn(line + 1, "0123456789");
        unsigned long n = line[1] == ' ' ? 1 : strtoul(line + 1, NULL, 10);
        for (; n > 0; n--)
            put_unescaped(c->sent, text + (*text == ' '));
    } else if (strncmp(line, "< ", 2) == 0) {
        fprintf(c->expected, "%s\n", line + 2);
    } else if (strncmp(line, "limit ", 6) == 0) {
        set_limit(c, line + 6);
    } else if (line[0] != '\0' && line[0] != '#') {
        fail(c, "cannot read: %s", line);
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    struct wire_case c = {.file = path};
    bool is_open = false;

    if (!file) {
        perror(path);
        return -1;
    }
    for (int number = 1; (len = getline(&line, &cap, file)) >= 0; number++) {
        if (len > 0 && line[len - 1] == '\n')
            line[len - 1] = '\0';
        if (strncmp(line, "== ", 3) == 0) {
            if (is_open)
                run_case(&c);
            is_open = true;
            c.line = number;
            begin_case(&c, line + 3);
        } else if (is_open) {
            read_line(&c, line);
        }
    }
    if (is_open)
        run_case(&c);
    free(line);
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (run_file(argv[i]) < 0)
            return 2;
    check_refusals();
    printf("%d cases, %d failures\n", n_cases, n_failed);
    return n_cases == 0 || n_failed > 0;
}
