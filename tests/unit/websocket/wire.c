/* wire.c - see wire.h.
 *
 * A case gathers in one struct until the next `==` or the end of the file;
 * then it runs. What a line cannot mean fails the test at once, with the line.
 */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "transcript.h"

struct wire_case {
    char name[128];
    struct ws_script script;
    struct hr_buf expected;
    const char *path;
    int line;
};

struct wire_frame {
    uint8_t first; /* FIN, RSV and opcode */
    bool is_masked;
    size_t n_length; /* bytes of extended length; 0: the shortest form */
    uint64_t says;
    bool has_says;
    struct hr_buf payload;
};

static _Noreturn void wire_fail(const struct wire_case *c, const char *what, const char *at)
{
    fail_msg("%s:%d: %s: %s", c->path, c->line, what, at);
    abort();
}

static void wire_put(struct hr_buf *out, const void *data, size_t len)
{
    if (len > 0)
        assert_int_equal(hr_buf_append(out, data, len), 0);
}

/* "text\x00"*3, at its opening quote; returns what follows. */
static const char *wire_string(const struct wire_case *c, const char *at, struct hr_buf *out)
{
    struct hr_buf text = {0};
    char *end;

    for (at++; *at != '"'; at++) {
        uint8_t byte = (uint8_t)*at;
        if (byte == '\0')
            wire_fail(c, "no closing quote", at);
        if (byte == '\\' && at[1] == 'x') {
            char digits[3] = {at[2], at[2] ? at[3] : '\0', '\0'};
            byte = (uint8_t)strtoul(digits, &end, 16);
            if (end != digits + 2)
                wire_fail(c, "bad escape", at);
            at += 3;
        }
        wire_put(&text, &byte, 1);
    }
    at++;
    unsigned long n_times = 1;
    if (*at == '*') {
        n_times = strtoul(at + 1, &end, 10);
        at = end;
    }
    while (n_times-- > 0)
        wire_put(out, hr_buf_ptr(&text), hr_buf_len(&text));
    hr_buf_fini(&text);
    return at;
}

static void wire_opcode(const struct wire_case *c, const char *word, struct wire_frame *frame)
{
    static const char *const names[] = {"cont", "text", "binary", "op3",  "op4",  "op5",
                                        "op6",  "op7",  "close",  "ping", "pong", "op11",
                                        "op12", "op13", "op14",   "op15"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(word, names[i]) == 0) {
            frame->first = (uint8_t)(0x80 | i);
            return;
        }
    wire_fail(c, "no opcode", word);
}

/* A word that bends the frame; false when it is none. */
static bool wire_bend(struct wire_frame *frame, const char *word)
{
    if (strcmp(word, "more") == 0)
        frame->first &= 0x7F;
    else if (strcmp(word, "rsv1") == 0)
        frame->first |= 0x40;
    else if (strcmp(word, "rsv2") == 0)
        frame->first |= 0x20;
    else if (strcmp(word, "rsv3") == 0)
        frame->first |= 0x10;
    else if (strcmp(word, "mask") == 0 || strcmp(word, "nomask") == 0)
        frame->is_masked = word[0] == 'm';
    else if (strcmp(word, "len16") == 0)
        frame->n_length = 2;
    else if (strcmp(word, "len64") == 0)
        frame->n_length = 8;
    else
        return false;
    return true;
}

static void wire_put_frame(struct hr_buf *out, struct wire_frame *frame)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d}; /* of RFC 6455 5.7 */
    uint64_t len = frame->has_says ? frame->says : hr_buf_len(&frame->payload);
    size_t n_length = frame->n_length ? frame->n_length : len < 126 ? 0 : len < 65536 ? 2 : 8;
    unsigned form = n_length == 0 ? (unsigned)len : n_length == 2 ? 126u : 127u;
    uint8_t head[HR_WS_MAX_HEADER] = {frame->first, (uint8_t)(form | (frame->is_masked ? 128 : 0))};
    size_t n = 2;

    for (size_t left = n_length; left > 0; left--)
        head[n++] = (uint8_t)(len >> (8 * (left - 1)));
    wire_put(out, head, n);
    if (frame->is_masked) {
        wire_put(out, key, sizeof(key));
        hr_ws_mask(hr_buf_ptr(&frame->payload), hr_buf_len(&frame->payload), key, 0);
    }
    wire_put(out, hr_buf_ptr(&frame->payload), hr_buf_len(&frame->payload));
}

/* Copies the next word of *at; false at the end of the line. */
static bool wire_word(const char **at, char *word, size_t size)
{
    size_t n;

    *at += strspn(*at, " ");
    n = strcspn(*at, " ");
    if (n == 0 || n >= size)
        return false;
    memcpy(word, *at, n);
    word[n] = '\0';
    *at += n;
    return true;
}

static void wire_frame_line(struct wire_case *c, const char *at)
{
    struct wire_frame frame = {.is_masked = c->script.side == HR_WS_SERVER};
    char word[32];

    if (!wire_word(&at, word, sizeof(word)))
        wire_fail(c, "no frame", at);
    wire_opcode(c, word, &frame);
    for (at += strspn(at, " "); *at; at += strspn(at, " ")) {
        if (*at == '"') {
            at = wire_string(c, at, &frame.payload);
            continue;
        }
        char *end;
        if (!wire_word(&at, word, sizeof(word)))
            wire_fail(c, "no word", at);
        if (wire_bend(&frame, word))
            continue;
        bool is_says = strcmp(word, "says") == 0;
        if (is_says && !wire_word(&at, word, sizeof(word)))
            wire_fail(c, "says what", at);
        uint64_t number = strtoull(word, &end, 10);
        if (*end)
            wire_fail(c, "what is", word);
        if (is_says) {
            frame.says = number;
            frame.has_says = true;
        } else {
            const uint8_t code[2] = {(uint8_t)(number >> 8), (uint8_t)number};
            wire_put(&frame.payload, code, 2);
        }
    }
    wire_put_frame(&c->script.input, &frame);
    hr_buf_fini(&frame.payload);
}

static void wire_raw_line(struct wire_case *c, const char *at)
{
    char word[8], *end;

    while (wire_word(&at, word, sizeof(word))) {
        uint8_t byte = (uint8_t)strtoul(word, &end, 16);
        if (*end || strlen(word) != 2)
            wire_fail(c, "no hex byte", word);
        wire_put(&c->script.input, &byte, 1);
    }
}

/* An expected event; its strings take the form they have in a transcript. */
static void wire_expect_line(struct wire_case *c, const char *at)
{
    struct hr_buf text = {0};
    bool has_text = false;

    while (*at && *at != '"')
        wire_put(&c->expected, at++, 1);
    while (*at == '"') {
        has_text = true;
        at = wire_string(c, at, &text);
        at += strspn(at, " ");
    }
    if (*at)
        wire_fail(c, "not expected here", at);
    if (has_text)
        ws_quote(&c->expected, hr_buf_ptr(&text), hr_buf_len(&text));
    wire_put(&c->expected, "\n", 1);
    hr_buf_fini(&text);
}

static void wire_line(struct wire_case *c, char *line)
{
    if (strncmp(line, "< raw ", 6) == 0)
        wire_raw_line(c, line + 6);
    else if (strncmp(line, "< ", 2) == 0)
        wire_frame_line(c, line + 2);
    else if (strncmp(line, "> ", 2) == 0)
        wire_expect_line(c, line + 2);
    else if (strcmp(line, "side client") == 0)
        c->script.side = HR_WS_CLIENT;
    else if (strncmp(line, "limit ", 6) == 0)
        c->script.max_message = strtoull(line + 6, NULL, 10);
    else
        wire_fail(c, "not understood", line);
}

static void wire_case_begin(struct wire_case *c, const char *name)
{
    (void)hr_str_copy(c->name, sizeof(c->name), hr_str_of(name));
    c->script.side = HR_WS_SERVER;
    c->script.max_message = UINT64_MAX;
}

/* Runs what has gathered, if anything has. Returns 1 when it failed. */
static int wire_case_end(struct wire_case *c, int *n_cases)
{
    bool ok = true;

    if (c->name[0]) {
        wire_put(&c->expected, "", 1);
        ok = ws_transcripts_agree(c->name, &c->script, (const char *)hr_buf_ptr(&c->expected));
        (*n_cases)++;
    }
    hr_buf_fini(&c->script.input);
    hr_buf_fini(&c->expected);
    c->name[0] = '\0';
    return ok ? 0 : 1;
}

int ws_wire_run(const char *path, int *n_cases)
{
    struct wire_case c = {.path = path};
    FILE *file = fopen(path, "r");
    int n_failed = 0;
    char line[2048];

    if (!file)
        fail_msg("%s cannot be opened", path);
    while (fgets(line, sizeof(line), file)) {
        c.line++;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "== ", 3) == 0) {
            n_failed += wire_case_end(&c, n_cases);
            wire_case_begin(&c, line + 3);
        } else if (line[0] != '#' && line[0] != '\0') {
            wire_line(&c, line);
        }
    }
    n_failed += wire_case_end(&c, n_cases);
    fclose(file);
    return n_failed;
}
