/* payload.c - see payload.h for the contract. */
#include "cli/payload.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <headrace/layer.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/json.h"

enum { STDIN_MAX = HR_LAYER_MAX_MESSAGE }; /* a larger text cannot become a message that fits */

static int out_of_memory(void)
{
    hr_complain("%s", hr_error_text(HR_ERR_NOMEM));
    return HR_EXIT_SETTINGS;
}

static int read_stdin(struct hr_buf *text)
{
    for (;;) {
        uint8_t *room;
        if (hr_buf_reserve(text, 65536, &room) < 0)
            return out_of_memory();
        ssize_t n = read(STDIN_FILENO, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            hr_complain("cannot read standard input: %s", strerror(errno));
            return HR_EXIT_SETTINGS;
        }
        if (n == 0)
            return 0;
        hr_buf_commit(text, (size_t)n);
        if (hr_buf_len(text) > STDIN_MAX) {
            hr_complain("standard input holds more than a message can: %d MiB", STDIN_MAX >> 20);
            return HR_EXIT_SETTINGS;
        }
    }
}

static int pack_json(struct hr_str text, struct hr_payload *out)
{
    struct hr_diag diag = {0};
    struct hr_pack pack;
    struct hr_msg msg;
    size_t size = hr_json_pack_bound(text.len);
    out->data = hr_alloc(size);
    if (!out->data)
        return out_of_memory();
    hr_pack_init(&pack, out->data, size);
    int r = hr_json_pack(text, &pack, &diag);
    if (r == 0)
        r = hr_pack_done(&pack);
    if (r < 0) {
        (void)hr_complain_of_settings(&diag, r);
        return HR_EXIT_USAGE;
    }
    out->len = hr_pack_len(&pack);
    if (hr_msg_check(out->data, out->len, &msg) != 0) {
        hr_complain("--json: a message is an object: {\"key\": value, ...}");
        return HR_EXIT_USAGE;
    }
    return 0;
}

static int read_json(const char *given, struct hr_payload *out)
{
    struct hr_buf text = {0};
    if (strcmp(given, "-") != 0)
        return pack_json(hr_str_of(given), out);
    int r = read_stdin(&text);
    if (r == 0)
        r = pack_json((struct hr_str){(const char *)hr_buf_ptr(&text), hr_buf_len(&text)}, out);
    hr_buf_fini(&text);
    return r;
}

static int pack_pair(struct hr_pack *pack, const char *pair)
{
    struct hr_str value = hr_str_of(pair), key;
    if (!strchr(pair, '=') || !hr_str_next(&value, '=', &key) || key.len == 0 ||
        !hr_utf8_ok(pair, strlen(pair))) {
        hr_complain("'%s' is no KEY=VALUE in UTF-8", pair);
        return HR_EXIT_USAGE;
    }
    hr_pack_str(pack, key.ptr, key.len);
    hr_pack_str(pack, value.ptr, value.len);
    return 0;
}

static int read_pairs(const struct hr_args *args, uint32_t first, struct hr_payload *out)
{
    size_t size = 16;
    for (uint32_t i = first; i < args->n_operands; i++)
        size += strlen(args->operands[i]) + 16;
    out->data = hr_alloc(size);
    if (!out->data)
        return out_of_memory();
    struct hr_pack pack;
    int r = 0;
    hr_pack_init(&pack, out->data, size);
    hr_pack_map(&pack, args->n_operands - first);
    for (uint32_t i = first; i < args->n_operands && r == 0; i++)
        r = pack_pair(&pack, args->operands[i]);
    out->len = hr_pack_len(&pack);
    return r != 0 || hr_pack_done(&pack) == 0 ? r : HR_EXIT_SETTINGS;
}

int hr_payload_read(const struct hr_args *args, uint32_t first, struct hr_payload *out)
{
    const char *json = hr_args_option(args, HR_OPT_BODY);
    *out = (struct hr_payload){0};
    if (json && args->n_operands > first) {
        hr_complain("say it with KEY=VALUE or with --json, not with both");
        return HR_EXIT_USAGE;
    }
    return json ? read_json(json, out) : read_pairs(args, first, out);
}

void hr_payload_fini(struct hr_payload *body)
{
    body->data = hr_free(body->data);
    body->len = 0;
}
