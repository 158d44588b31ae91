/* hex.c - see hex.h. */
#include "hex.h"

#include <string.h>

#include "base/alloc.h"

static int digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;
    assert_non_null(found);
    return (int)(found - digits);
}

size_t unhex(const char *text, uint8_t *out)
{
    size_t len = 0;
    while (*text) {
        if (*text == ' ') {
            text++;
            continue;
        }
        out[len++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
        text += 2;
    }
    return len;
}

uint8_t *exact_copy(const void *data, size_t len)
{
    uint8_t *copy = hr_alloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

struct hr_msg checked(const void *data, size_t len)
{
    struct hr_msg msg;
    assert_int_equal(hr_msg_check(data, len, &msg), 0);
    return msg;
}

void assert_packed(const struct hr_pack *pack, const char *hex)
{
    uint8_t expected[512];
    size_t len = unhex(hex, expected);

    assert_int_equal(hr_pack_done(pack), 0);
    assert_int_equal(hr_pack_len(pack), len);
    assert_memory_equal(pack->base, expected, len);
}
