/* wire.h - MessagePack's tags, and the one place that knows what a value's head looks like.
 *
 * A value is a head and what follows it: nothing (scalars, whose value is in
 * the head), `len` bytes (strings, bytes), or n values (lists) or 2 n (maps).
 * A head is one tag byte and up to 8 big-endian bytes; for tags outside
 * 0xc0..0xdf it is the tag alone.
 *
 * Private to src/message. Everything is inline: these few lines run for each
 * value of each message.
 */
#ifndef HR_MESSAGE_WIRE_H
#define HR_MESSAGE_WIRE_H

#include <string.h>

#include <headrace/message.h>

#include "base/assert.h"

/* Inlined always, so that what a caller does not look at is not computed and
 * nothing goes through memory: left to themselves, compilers make calls of the
 * larger ones, and a check takes twice its time (bench_message). */
#define WIRE_INLINE static inline __attribute__((always_inline))

/* https://github.com/msgpack/msgpack/blob/master/spec.md, "Formats". */
enum {
    WIRE_FIXMAP = 0x80,
    WIRE_FIXLIST = 0x90,
    WIRE_FIXSTR = 0xa0,
    WIRE_NULL = 0xc0,
    WIRE_NEVER_USED = 0xc1,
    WIRE_FALSE = 0xc2,
    WIRE_TRUE = 0xc3,
    WIRE_BIN8 = 0xc4,
    WIRE_BIN16 = 0xc5,
    WIRE_BIN32 = 0xc6,
    WIRE_EXT8 = 0xc7,
    WIRE_EXT16 = 0xc8,
    WIRE_EXT32 = 0xc9,
    WIRE_FLOAT32 = 0xca,
    WIRE_FLOAT64 = 0xcb,
    WIRE_UINT8 = 0xcc,
    WIRE_UINT16 = 0xcd,
    WIRE_UINT32 = 0xce,
    WIRE_UINT64 = 0xcf,
    WIRE_INT8 = 0xd0,
    WIRE_INT16 = 0xd1,
    WIRE_INT32 = 0xd2,
    WIRE_INT64 = 0xd3,
    WIRE_FIXEXT1 = 0xd4, /* ... 2, 4, 8 */
    WIRE_FIXEXT16 = 0xd8,
    WIRE_STR8 = 0xd9,
    WIRE_STR16 = 0xda,
    WIRE_STR32 = 0xdb,
    WIRE_LIST16 = 0xdc,
    WIRE_LIST32 = 0xdd,
    WIRE_MAP16 = 0xde,
    WIRE_MAP32 = 0xdf,
    WIRE_NEGATIVE = 0xe0, /* and above: -32..-1 */
};

enum { WIRE_HEAD_MAX = 9 }; /* bytes: a tag and 64 bits */

WIRE_INLINE uint16_t wire_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

WIRE_INLINE uint32_t wire_get32(const uint8_t *at)
{
    return (uint32_t)wire_get16(at) << 16 | wire_get16(at + 2);
}

WIRE_INLINE uint64_t wire_get64(const uint8_t *at)
{
    return (uint64_t)wire_get32(at) << 32 | wire_get32(at + 4);
}

WIRE_INLINE void wire_put64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Most strings and header values are too short to be worth a call of memcpy():
 * two moves that overlap copy any length from one move's to two's. */
WIRE_INLINE void wire_copy(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len >= 16) {
        uint64_t part[4];
        memcpy(part, from, 16);
        memcpy(part + 2, from + len - 16, 16);
        memcpy(to, part, 16);
        memcpy(to + len - 16, part + 2, 16);
    } else if (len >= 8) {
        uint64_t head, tail;
        memcpy(&head, from, 8);
        memcpy(&tail, from + len - 8, 8);
        memcpy(to, &head, 8);
        memcpy(to + len - 8, &tail, 8);
    } else if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, from, 4);
        memcpy(&tail, from + len - 4, 4);
        memcpy(to, &head, 4);
        memcpy(to + len - 4, &tail, 4);
    } else if (len > 0) {
        to[0] = from[0];
        to[len / 2] = from[len / 2];
        to[len - 1] = from[len - 1];
    }
}

/* Bytes that are at most 255; returns how much that took. */
WIRE_INLINE size_t wire_put_bin8(uint8_t *to, struct hr_str bytes)
{
    to[0] = WIRE_BIN8;
    to[1] = (uint8_t)bytes.len;
    wire_copy(to + 2, (const uint8_t *)bytes.ptr, bytes.len);
    return 2 + bytes.len;
}

WIRE_INLINE float wire_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

WIRE_INLINE double wire_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The shapes of a value, each filling *out and returning what wire_read()
 * does. `n_more` is how many bytes of head follow the tag. */
WIRE_INLINE uint64_t wire_int(struct hr_value *out, int64_t value, size_t n_more)
{
    out->type = HR_TYPE_INT;
    out->n = 0;
    out->as.integer = value;
    return 1 + n_more;
}

WIRE_INLINE uint64_t wire_real(struct hr_value *out, double value, size_t n_more)
{
    out->type = HR_TYPE_DOUBLE;
    out->n = 0;
    out->as.real = value;
    return 1 + n_more;
}

WIRE_INLINE uint64_t wire_span(struct hr_value *out, enum hr_type type, const uint8_t *at,
                               size_t len, size_t n_more)
{
    out->type = type;
    out->n = 0;
    out->as.str = (struct hr_str){(const char *)at + 1 + n_more, len};
    return 1 + (uint64_t)n_more + len;
}

WIRE_INLINE uint64_t wire_container(struct hr_value *out, enum hr_type type, const uint8_t *at,
                                    uint32_t n, size_t n_more)
{
    out->type = type;
    out->n = n;
    out->as.items = at + 1 + n_more;
    return 1 + n_more;
}

WIRE_INLINE uint64_t wire_bool(struct hr_value *out, enum hr_type type, bool value)
{
    out->type = type;
    out->n = 0;
    out->as.boolean = value;
    return 1;
}

/* The tags 0xc0..0xdf, a flat table in the specification's order. */
WIRE_INLINE uint64_t wire_read_long(const uint8_t *at, struct hr_value *out)
{
    const uint8_t *more = at + 1;

    switch (at[0]) {
    case WIRE_NULL:
        return wire_bool(out, HR_TYPE_NULL, false);
    case WIRE_FALSE:
        return wire_bool(out, HR_TYPE_BOOL, false);
    case WIRE_TRUE:
        return wire_bool(out, HR_TYPE_BOOL, true);
    case WIRE_BIN8:
        return wire_span(out, HR_TYPE_BYTES, at, more[0], 1);
    case WIRE_BIN16:
        return wire_span(out, HR_TYPE_BYTES, at, wire_get16(more), 2);
    case WIRE_BIN32:
        return wire_span(out, HR_TYPE_BYTES, at, wire_get32(more), 4);
    case WIRE_FLOAT32:
        return wire_real(out, (double)wire_float(wire_get32(more)), 4);
    case WIRE_FLOAT64:
        return wire_real(out, wire_double(wire_get64(more)), 8);
    case WIRE_UINT8:
        return wire_int(out, more[0], 1);
    case WIRE_UINT16:
        return wire_int(out, wire_get16(more), 2);
    case WIRE_UINT32:
        return wire_int(out, wire_get32(more), 4);
    case WIRE_UINT64:
    case WIRE_INT64: /* an unsigned one that would turn negative was refused by hr_msg_check() */
        return wire_int(out, (int64_t)wire_get64(more), 8);
    case WIRE_INT8:
        return wire_int(out, (int8_t)more[0], 1);
    case WIRE_INT16:
        return wire_int(out, (int16_t)wire_get16(more), 2);
    case WIRE_INT32:
        return wire_int(out, (int32_t)wire_get32(more), 4);
    case WIRE_STR8:
        return wire_span(out, HR_TYPE_STRING, at, more[0], 1);
    case WIRE_STR16:
        return wire_span(out, HR_TYPE_STRING, at, wire_get16(more), 2);
    case WIRE_STR32:
        return wire_span(out, HR_TYPE_STRING, at, wire_get32(more), 4);
    case WIRE_LIST16:
        return wire_container(out, HR_TYPE_LIST, at, wire_get16(more), 2);
    case WIRE_LIST32:
        return wire_container(out, HR_TYPE_LIST, at, wire_get32(more), 4);
    case WIRE_MAP16:
        return wire_container(out, HR_TYPE_MAP, at, wire_get16(more), 2);
    case WIRE_MAP32:
        return wire_container(out, HR_TYPE_MAP, at, wire_get32(more), 4);
    default:
        HR_UNREACHABLE("hr_msg_check() lets no other tag pass");
    }
}

WIRE_INLINE bool wire_is_fixstr(uint8_t tag)
{
    return tag >= WIRE_FIXSTR && tag < WIRE_NULL;
}

WIRE_INLINE bool wire_is_string(uint8_t tag)
{
    return wire_is_fixstr(tag) || (tag >= WIRE_STR8 && tag <= WIRE_STR32);
}

/* Reads the value at `at`, whose head must be there and of a tag that
 * hr_msg_check() accepts. Returns how many bytes it takes; a container's
 * values are not counted, they follow. What most messages are made of, and
 * headers in particular, is looked for first. */
WIRE_INLINE uint64_t wire_read(const uint8_t *at, struct hr_value *out)
{
    uint8_t tag = at[0];

    if (tag == WIRE_BIN8)
        return wire_span(out, HR_TYPE_BYTES, at, at[1], 1);
    if (wire_is_fixstr(tag))
        return wire_span(out, HR_TYPE_STRING, at, tag & 0x1f, 0);
    if (tag < WIRE_FIXMAP)
        return wire_int(out, tag, 0);
    if (tag < WIRE_FIXLIST)
        return wire_container(out, HR_TYPE_MAP, at, tag & 0x0f, 0);
    if (tag < WIRE_FIXSTR)
        return wire_container(out, HR_TYPE_LIST, at, tag & 0x0f, 0);
    if (tag >= WIRE_NEGATIVE)
        return wire_int(out, (int8_t)tag, 0);
    return wire_read_long(at, out);
}

WIRE_INLINE bool wire_is_map(uint8_t tag)
{
    return (tag >= WIRE_FIXMAP && tag < WIRE_FIXLIST) || tag == WIRE_MAP16 || tag == WIRE_MAP32;
}

WIRE_INLINE bool wire_is_container(const struct hr_value *value)
{
    return value->type == HR_TYPE_LIST || value->type == HR_TYPE_MAP;
}

/* How many values follow in a container; 0 for all else. Cannot wrap in 64 bits. */
WIRE_INLINE uint64_t wire_children(const struct hr_value *value)
{
    return value->type == HR_TYPE_MAP ? 2 * (uint64_t)value->n : value->n;
}

/* Returns what is behind `n` values with all that is in them. MessagePack has
 * no end marks, so this needs no stack: it is enough to know how many values
 * are still to come. */
WIRE_INLINE const uint8_t *wire_skip(const uint8_t *at, uint64_t n)
{
    for (; n > 0; n--) {
        struct hr_value value;
        at += wire_read(at, &value);
        n += wire_children(&value);
    }
    return at;
}

#endif /* HR_MESSAGE_WIRE_H */
