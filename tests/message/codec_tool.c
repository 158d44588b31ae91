/* codec_tool.c - our codec as a filter, for tests/message/test_codec.py.
 *
 * Reads cases from stdin and answers each on stdout before it reads the next.
 * Both are runs of bytes with their length in front, 32 bits, big-endian.
 * The answer to a message is '+' and the message as we write it; to anything
 * else '-' and the name of the check's outcome.
 *
 * The case is copied into a block of exactly its size, and the answer written
 * through segments of 7 bytes as well: both must hold the same.
 */
#include <stdio.h>
#include <string.h>

#include <headrace/message.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { MAX_CASE = 64 << 20, SEGMENT = 7 };

static const char *const outcome_names[] = {
    [HR_MSG_MALFORMED] = "malformed", [HR_MSG_UNSUPPORTED] = "unsupported",
    [HR_MSG_TOO_DEEP] = "too_deep",   [HR_MSG_NOT_UTF8] = "not_utf8",
    [HR_MSG_NOT_MAP] = "not_map",
};

static void answer(char verdict, const void *data, size_t len)
{
    size_t size = len + 1;
    const uint8_t head[5] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                             (uint8_t)size, (uint8_t)verdict};
    hr_assert(fwrite(head, 1, sizeof head, stdout) == sizeof head);
    hr_assert(fwrite(data, 1, len, stdout) == len);
    hr_assert(fflush(stdout) == 0);
}

/* Hands out the next few bytes of one block, so that the segments join to it. */
static int next_segment(struct hr_pack *pack)
{
    uint8_t **rest = pack->arg;
    pack->cur = *rest;
    pack->end = *rest + SEGMENT;
    *rest += SEGMENT;
    return 0;
}

static void answer_message(const struct hr_msg *msg)
{
    struct hr_value root = hr_msg_root(msg);
    size_t room = msg->len * 2 + SEGMENT; /* a float32 may grow by four bytes in five */
    uint8_t *whole = hr_alloc(room), *cut = hr_alloc(room), *rest = cut;
    struct hr_pack pack;

    hr_assert(whole && cut);
    hr_pack_init(&pack, whole, room);
    hr_pack_value(&pack, &root);
    hr_assert(hr_pack_done(&pack) == 0);
    size_t len = hr_pack_len(&pack);

    hr_pack_init(&pack, NULL, 0);
    pack.more = next_segment;
    pack.arg = &rest;
    hr_pack_value(&pack, &root);
    hr_assert(hr_pack_done(&pack) == 0 && hr_pack_len(&pack) == len);
    hr_assert(memcmp(whole, cut, len) == 0);

    answer('+', whole, len);
    hr_free(whole);
    hr_free(cut);
}

/* False at the end of the input. */
static bool read_case(uint8_t **data, size_t *len)
{
    uint8_t head[4];
    if (fread(head, 1, sizeof head, stdin) != sizeof head)
        return false;
    *len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    hr_assert(*len <= MAX_CASE);
    *data = hr_alloc(*len > 0 ? *len : 1);
    hr_assert(*data);
    return fread(*data, 1, *len, stdin) == *len;
}

int main(void)
{
    uint8_t *data = NULL;
    size_t len = 0;

    while (read_case(&data, &len)) {
        struct hr_msg msg;
        int r = hr_msg_check(data, len, &msg);
        if (r == 0)
            answer_message(&msg);
        else
            answer('-', outcome_names[r], strlen(outcome_names[r]));
        data = hr_free(data);
    }
    hr_free(data);
    return ferror(stdin) ? 1 : 0;
}
