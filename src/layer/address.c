/* address.c - addresses as text.
 *
 *   reply.<layer>.<slot>g<slot_gen>!<conn>g<conn_gen>
 *   reply.0c8s7t1xqv3fa.3g1!712g4
 *
 * <layer> is the layer's 64-bit id as 13 characters of base32 (RFC 4648's
 * alphabet in lower case, most significant bits first; 13 * 5 = 65, so the
 * first character holds 4 bits). The numbers are decimal, without leading
 * zeros: an address has exactly one spelling, so that two of them can be
 * compared as text. The longest takes 64 bytes, less than HR_NAME_MAX, and
 * all its bytes are legal in a channel name.
 */
#include <string.h>

#include "base/str.h"
#include "layer/layer_impl.h"

enum { ID_CHARS = 13 };

static const char PREFIX[] = "reply.";
static const char ALPHABET[] = "abcdefghijklmnopqrstuvwxyz234567";

_Static_assert(sizeof PREFIX - 1 + ID_CHARS + sizeof "." - 1 + 40 + sizeof "g!g" - 1 <
                   HR_ADDR_TEXT_MAX,
               "the longest address fits");

static char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_number(char *at, uint32_t number)
{
    char digits[10];
    size_t n = 0;
    do {
        digits[sizeof digits - ++n] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put_text(at, digits + sizeof digits - n, n);
}

size_t hr_addr_format(const struct hr_addr *addr, char out[HR_ADDR_TEXT_MAX])
{
    char *at = put_text(out, PREFIX, sizeof PREFIX - 1);
    for (int shift = 5 * (ID_CHARS - 1); shift >= 0; shift -= 5)
        *at++ = ALPHABET[addr->layer >> shift & 31];
    *at++ = '.';
    at = put_number(at, addr->slot);
    *at++ = 'g';
    at = put_number(at, addr->slot_gen);
    *at++ = '!';
    at = put_number(at, addr->conn);
    *at++ = 'g';
    at = put_number(at, addr->conn_gen);
    *at = '\0';
    return (size_t)(at - out);
}

static bool parse_id(struct hr_str text, uint64_t *out)
{
    if (text.len != ID_CHARS)
        return false;
    uint64_t id = 0;
    for (size_t i = 0; i < ID_CHARS; i++) {
        char c = text.ptr[i];
        unsigned value = 0;
        if (c >= 'a' && c <= 'z')
            value = (unsigned)(c - 'a');
        else if (c >= '2' && c <= '7')
            value = (unsigned)(c - '2') + 26;
        else
            return false;
        if (i == 0 && value > 15) /* would be the 65th bit */
            return false;
        id = id << 5 | value;
    }
    *out = id;
    return true;
}

/* A decimal number in its only spelling. */
static bool parse_number(struct hr_str text, uint32_t *out)
{
    uint64_t number = 0;
    if (text.len == 0 || text.len > 10 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    if (!hr_str_u64(text, &number) || number > UINT32_MAX)
        return false;
    *out = (uint32_t)number;
    return true;
}

/* "<number>g<generation>" */
static bool parse_pair(struct hr_str text, uint32_t *number, uint32_t *generation)
{
    struct hr_str part;
    return hr_str_next(&text, 'g', &part) && parse_number(part, number) &&
           parse_number(text, generation);
}

bool hr_addr_parse(struct hr_str text, struct hr_addr *out)
{
    struct hr_str id, slot;
    *out = (struct hr_addr){0};
    if (text.len >= HR_ADDR_TEXT_MAX || !hr_str_starts(text, hr_str_of(PREFIX)))
        return false;
    text.ptr += sizeof PREFIX - 1;
    text.len -= sizeof PREFIX - 1;

    struct hr_addr addr = {0};
    bool is_address = hr_str_next(&text, '.', &id) && parse_id(id, &addr.layer) &&
                      hr_str_next(&text, '!', &slot) &&
                      parse_pair(slot, &addr.slot, &addr.slot_gen) &&
                      parse_pair(text, &addr.conn, &addr.conn_gen) && hr_addr_is_set(&addr);
    if (is_address)
        *out = addr;
    return is_address;
}
