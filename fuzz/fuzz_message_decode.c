/* fuzz_message_decode.c - the codec against bytes that nobody would send.
 *
 * What the check refuses is done with. What it accepts must hold its promise:
 *
 * 1. Everything can be walked; spans lie within the input, strings are UTF-8,
 *    and each key of the outermost map is found.
 * 2. Written again, it is valid, holds as many values, and a third writing
 *    changes nothing; cut into segments it is the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/str.h"
#include "message/asgi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(const struct hr_msg *msg, struct hr_str span)
{
    const uint8_t *begin = (const uint8_t *)span.ptr;
    hr_assert(begin > msg->data && begin + span.len <= msg->data + msg->len);
}

static void check_text(const struct hr_msg *msg, struct hr_str text)
{
    check_span(msg, text);
    hr_assert(hr_utf8_ok(text.ptr, text.len));
}

static void check_found(const struct hr_value *map, struct hr_str key)
{
    char name[64];
    struct hr_value value;

    if (key.len >= sizeof name || memchr(key.ptr, 0, key.len))
        return;
    memcpy(name, key.ptr, key.len);
    name[key.len] = 0;
    hr_assert(hr_map_get(map, name, &value));
}

static void check_headers(const struct hr_value *value)
{
    struct hr_walk walk = hr_walk(value);
    struct hr_str name, text;
    uint32_t n = 0;

    while (hr_header_next(&walk, &name, &text) != HR_HEADER_END)
        n++;
    hr_assert(n == (value->type == HR_TYPE_LIST ? value->n : 0));
}

/* Returns how many values there are. */
static size_t walk_all(const struct hr_msg *msg)
{
    struct hr_walk stack[HR_MSG_MAX_DEPTH];
    struct hr_value root = hr_msg_root(msg), value;
    size_t depth = 1, n = 1;

    stack[0] = hr_walk(&root);
    while (depth > 0) {
        struct hr_walk *walk = &stack[depth - 1];
        struct hr_str key = {0};
        if (!(walk->is_map ? hr_map_next(walk, &key, &value) : hr_list_next(walk, &value))) {
            depth--;
            continue;
        }
        n++;
        if (walk->is_map)
            check_text(msg, key);
        if (walk->is_map && depth == 1 && n < 64)
            check_found(&root, key);
        if (value.type == HR_TYPE_STRING)
            check_text(msg, value.as.str);
        if (value.type == HR_TYPE_BYTES)
            check_span(msg, value.as.str);
        if (value.type != HR_TYPE_LIST && value.type != HR_TYPE_MAP)
            continue;
        check_headers(&value);
        hr_assert(depth < HR_MSG_MAX_DEPTH);
        stack[depth++] = hr_walk(&value);
    }
    hr_assert(stack[0].at == msg->data + msg->len);
    return n;
}

/* The next of the segments that together are one block. */
static int next_segment(struct hr_pack *pack)
{
    uint8_t **rest = pack->arg;
    size_t size = 1 + ((uintptr_t)*rest & 7);
    pack->cur = *rest;
    pack->end = *rest + size;
    *rest += size;
    return 0;
}

/* Writes the message into `room` bytes at `out`, in one piece or in several. */
static size_t rewrite(const struct hr_msg *msg, uint8_t *out, size_t room, bool in_segments)
{
    struct hr_value root = hr_msg_root(msg);
    struct hr_pack pack;

    hr_pack_init(&pack, out, in_segments ? 0 : room);
    if (in_segments) {
        pack.more = next_segment;
        pack.arg = &out;
    }
    hr_pack_value(&pack, &root);
    hr_assert(hr_pack_done(&pack) == 0);
    return hr_pack_len(&pack);
}

static void check_rewritten(const struct hr_msg *msg, size_t n_values)
{
    size_t room = 2 * msg->len + 8; /* a float32 grows by four bytes in five; a segment has 8 */
    uint8_t *once = hr_alloc(room), *again = hr_alloc(room);
    struct hr_msg copy;

    hr_assert(once && again);
    size_t len = rewrite(msg, once, room, false);
    hr_assert(hr_msg_check(once, len, &copy) == 0);
    hr_assert(walk_all(&copy) == n_values);
    hr_assert(rewrite(&copy, again, len, false) == len && memcmp(once, again, len) == 0);
    memset(again, 0, room);
    hr_assert(rewrite(msg, again, room, true) == len && memcmp(once, again, len) == 0);
    hr_free(once);
    hr_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hr_msg msg;

    if (hr_msg_check(data, size, &msg))
        return 0;
    size_t n_values = walk_all(&msg);
    (void)hr_msg_type_of(&msg);
    check_rewritten(&msg, n_values);
    return 0;
}
