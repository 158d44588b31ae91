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

enum { N_RANDOM_CUTS = 12, MAX_EXPECTED = 64 };

struct wire_case {
    const char *file;
    int line;
    char *name;
    struct drive drive;
    FILE *sent;
    char *sent_text;
    size_t sent_len;
    char *expected[MAX_EXPECTED];
    size_t n_expected;
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
        unsigned int byte;
        if (*text != '\\') {
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
            if (sscanf(text + 1, "%2x", &byte) != 1) {
                fprintf(stderr, "bad \\x escape: %s\n", text);
                exit(2);
            }
            fputc((int)byte, out);
            text += 2;
            break;
        default:
            fputc(*text, out);
        }
    }
}

static void set_limit(struct wire_case *c, const char *text)
{
    char name[32];
    unsigned int value;

    if (sscanf(text, "%31s %u", name, &value) != 2)
        name[0] = '\0';
    if (strcmp(name, "max_head") == 0)
        c->drive.limits.max_head = value;
    else if (strcmp(name, "max_headers") == 0)
        c->drive.limits.max_headers = value;
    else if (strcmp(name, "max_target") == 0)
        c->drive.limits.max_target = value;
    else if (strcmp(name, "max_body") == 0)
        c->drive.limits.max_body = value;
    else
        fail(c, "no such limit: %s", text);
}

/* "bad 400" stands for any reason: where llhttp decides, it differs between versions. */
static bool line_is(const char *line, size_t len, const char *expected)
{
    size_t n = strlen(expected);
    bool any_reason = n == strlen("bad 400") && strncmp(expected, "bad ", 4) == 0;

    return len >= n && memcmp(line, expected, n) == 0 && (len == n || any_reason);
}

/* Every expected line in its order; between them only details. */
static void check_expected(const struct wire_case *c, const char *transcript)
{
    size_t n = 0;

    for (const char *at = transcript, *end; (end = strchr(at, '\n')); at = end + 1) {
        size_t len = (size_t)(end - at);
        const char *expected = n < c->n_expected ? c->expected[n] : "nothing more";
        if (line_is(at, len, expected)) {
            n++;
        } else if (at[0] != ' ') {
            fail(c, "expected '%s'; it said:\n%s", expected, transcript);
            return;
        }
    }
    if (n < c->n_expected)
        fail(c, "expected '%s'; it said:\n%s", c->expected[n], transcript);
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
    c->drive.input = (struct hr_str){c->sent_text, c->sent_len};
    n_cases++;
    if (c->n_expected == 0)
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
    free(c->name);
    for (size_t i = 0; i < c->n_expected; i++)
        free(c->expected[i]);
}

static void begin_case(struct wire_case *c, const char *name)
{
    *c = (struct wire_case){.file = c->file, .line = c->line, .name = strdup(name)};
    c->drive.limits = drive_limits;
    c->sent = open_memstream(&c->sent_text, &c->sent_len);
}

static void read_line(struct wire_case *c, const char *line)
{
    if (line[0] == '>') {
        const char *text = line + 1 + strspn(line + 1, "0123456789");
        unsigned long n = line[1] == ' ' ? 1 : strtoul(line + 1, NULL, 10);
        for (; n > 0; n--)
            put_unescaped(c->sent, text + (*text == ' '));
    } else if (line[0] == '<' && c->n_expected < MAX_EXPECTED) {
        c->expected[c->n_expected++] = strdup(line[1] ? line + 2 : "");
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
