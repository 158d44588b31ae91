/* drive.c - see drive.h. */
#include "drive.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "http1/head.h"

const struct hr_http1_limits drive_limits = {
    .max_head = 8192,
    .max_headers = 50,
    .max_target = 2048,
    .max_body = 1 << 20,
};

struct run {
    struct hr_http1 engine;
    const struct hr_http1_limits *limits;
    FILE *out;
    FILE *body; /* pieces since the head */
    char *body_text;
    size_t body_len;
    bool is_over; /* bad, or upgraded */
};

void drive_put_escaped(FILE *out, struct hr_str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (c == '\r')
            fputs("\\r", out);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c == '\\')
            fputs("\\\\", out);
        else if (c < 0x20 || c >= 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
}

bool drive_has_line(const char *transcript, const char *line)
{
    size_t len = strlen(line);

    for (const char *at = transcript, *end; (end = strchr(at, '\n')); at = end + 1)
        if ((size_t)(end - at) == len && memcmp(at, line, len) == 0)
            return true;
    return false;
}

static void put_line(FILE *out, const char *what, struct hr_str value)
{
    fprintf(out, "%s ", what);
    drive_put_escaped(out, value);
    fputc('\n', out);
}

static void put_head(FILE *out, const struct hr_http1_request *request)
{
    fprintf(out, "head %.*s ", HR_STR(request->method));
    drive_put_escaped(out, request->target);
    fprintf(out, " HTTP/1.%u\n", request->minor);
    put_line(out, "  path", request->raw_path);
    put_line(out, "  query", request->query);
    put_line(out, "  host", request->host);
    if (request->is_chunked)
        fputs("  chunked\n", out);
    else
        fprintf(out, "  length %ju\n", (uintmax_t)request->content_length);
    fputs(request->keep_alive ? "  keep-alive\n" : "  close\n", out);
    if (request->expects_continue)
        fputs("  expects 100-continue\n", out);
    if (request->wants_websocket)
        put_line(out, "  websocket", request->websocket_key);
    if (request->websocket_refusal)
        fprintf(out, "  websocket refused %u\n", request->websocket_refusal);
    fprintf(out, "  headers %u\n", request->n_headers);
    for (uint32_t i = 0; i < request->n_headers; i++) {
        fprintf(out, "  header %.*s: ", HR_STR(request->headers[i].name));
        drive_put_escaped(out, request->headers[i].value);
        fputc('\n', out);
    }
}

/* What http1.h promises of every request that gets through. */
static void check_head(const struct hr_http1_request *request, const struct hr_http1_limits *limits)
{
    hr_assert(request->has_body == (request->is_chunked || request->content_length > 0));
    hr_assert(!request->is_chunked || request->content_length == 0);
    hr_assert(request->content_length <= limits->max_body);
    hr_assert(request->target.len > 0 && request->target.len <= limits->max_target);
    hr_assert(request->raw_path.ptr[0] == '/' || hr_str_eq(request->raw_path, HR_LIT("*")));
    hr_assert(!memchr(request->raw_path.ptr, '?', request->raw_path.len));
    hr_assert(request->host.len > 0 ? hr_http1_host_ok(request->host) : request->minor == 0);
    hr_assert(!request->wants_websocket || (request->minor == 1 && !request->has_body));
    hr_assert(!request->wants_websocket || request->websocket_refusal == 0);
    hr_assert(!request->expects_continue || (request->minor == 1 && request->has_body));
    hr_assert(request->n_headers <= limits->max_headers + 1); /* a host from the target */
    for (uint32_t i = 0; i < request->n_headers; i++) {
        const struct hr_header *header = &request->headers[i];
        hr_assert(hr_http1_header_ok(header->name, header->value));
        hr_assert(hr_str_eq(hr_str_trim(header->value), header->value));
        for (size_t j = 0; j < header->name.len; j++) {
            char c = header->name.ptr[j];
            hr_assert(c != '_' && !(c >= 'A' && c <= 'Z'));
        }
    }
}

static void check_body(const struct run *run)
{
    const struct hr_http1_request *request = hr_http1_request(&run->engine);

    fflush(run->body);
    hr_assert(run->body_len <= run->limits->max_body);
    hr_assert(request->is_chunked || run->body_len == request->content_length);
}

/* Writes the body down once it is known to be all there is. */
static void flush_body(struct run *run)
{
    if (!run->body)
        return;
    fclose(run->body);
    if (run->body_len > 0)
        put_line(run->out, "body", (struct hr_str){run->body_text, run->body_len});
    free(run->body_text);
    run->body = NULL;
}

/* Feeds until the engine wants more or is done with the connection; returns the bytes used. */
static size_t feed_piece(struct run *run, const char *data, size_t len)
{
    size_t n = 0;

    while (!run->is_over) {
        struct hr_http1_result result;
        int event = hr_http1_feed(&run->engine, data + n, len - n, &result);
        hr_assert(event > 0 && result.n_used <= len - n);
        n += result.n_used;
        switch ((enum hr_http1_event)event) {
        case HR_HTTP1_MORE:
            hr_assert(n == len);
            return n;
        case HR_HTTP1_HEAD:
            check_head(hr_http1_request(&run->engine), run->limits);
            put_head(run->out, hr_http1_request(&run->engine));
            run->body = open_memstream(&run->body_text, &run->body_len);
            break;
        case HR_HTTP1_BODY:
            hr_assert(result.body.len > 0 && result.body.ptr >= data &&
                      result.body.ptr + result.body.len <= data + n);
            fwrite(result.body.ptr, 1, result.body.len, run->body);
            break;
        case HR_HTTP1_END:
            check_body(run);
            flush_body(run);
            fputs("end\n", run->out);
            run->is_over = hr_http1_request(&run->engine)->wants_websocket;
            if (run->is_over)
                break;
            hr_http1_next(&run->engine);
            hr_assert(hr_http1_is_idle(&run->engine) && !run->engine.parser);
            break;
        case HR_HTTP1_BAD:
            flush_body(run);
            fprintf(run->out, "bad %u %s\n", result.status, result.reason);
            run->is_over = true;
            break;
        }
    }
    return n;
}

static size_t next_len(const struct drive *drive, uint64_t *random, size_t left)
{
    bool is_first = left == drive->input.len;
    size_t len = drive->cut == DRIVE_TWO && is_first ? drive->first : left;

    if (drive->cut == DRIVE_BYTES)
        len = 1;
    if (drive->cut == DRIVE_RANDOM) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        len = (size_t)(*random >> 33) % (*random >> 63 ? 64 : 8); /* 0 is a length too */
    }
    return len < left ? len : left;
}

char *drive_run(const struct drive *drive)
{
    char *text = NULL;
    size_t text_len = 0, at = 0;
    uint64_t random = drive->seed;
    struct run run = {.limits = &drive->limits, .out = open_memstream(&text, &text_len)};

    hr_assert(run.out);
    hr_http1_init(&run.engine, &drive->limits);
    while (at < drive->input.len && !run.is_over) {
        size_t len = next_len(drive, &random, drive->input.len - at);
        char *piece = malloc(len ? len : 1);
        hr_assert(piece);
        memcpy(piece, drive->input.ptr + at, len);
        at += feed_piece(&run, piece, len);
        free(piece);
    }
    if (!run.is_over) {
        flush_body(&run);
        fputs(hr_http1_is_idle(&run.engine) ? "idle\n" : "more\n", run.out);
    } else if (run.engine.parser && hr_http1_request(&run.engine)->wants_websocket) {
        put_line(run.out, "left", (struct hr_str){drive->input.ptr + at, drive->input.len - at});
    }
    hr_http1_fini(&run.engine);
    fclose(run.out);
    return text;
}
