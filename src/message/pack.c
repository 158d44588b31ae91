/* pack.c - the writer; see message.h for the contract.
 *
 * Each value is written in its shortest form, with the very bytes that
 * python-msgpack chooses: strings as str, bytes as bin, integers as wide as
 * they need to be (unsigned when not negative), doubles as float64.
 *
 * Room is what lies between `cur` and `end`. The usual case is a comparison
 * and a few stores. When the room is short, the bytes go through pack_run(),
 * the only place that crosses from one segment into the next: a segment is
 * always filled to its last byte, so the same values make the same bytes,
 * however the memory is cut.
 *
 * The first failure sets `end` to `cur`. From then on every call finds no
 * room, comes by pack_run() and stops there: no call has to look at `error`
 * before it writes.
 */
#include <headrace/message.h>

#include "base/error.h"
#include "message/wire.h"

void hr_pack_init(struct hr_pack *pack, void *buf, size_t cap)
{
    *pack = (struct hr_pack){.cur = buf, .base = buf};
    if (cap > 0)
        pack->end = pack->cur + cap;
    else
        pack->end = pack->cur;
}

size_t hr_pack_len(const struct hr_pack *pack)
{
    return pack->n_before + (size_t)(pack->cur - pack->base);
}

int hr_pack_done(const struct hr_pack *pack)
{
    return pack->error;
}

/* What is rarely called stays a call, so that what is often called needs no
 * stack frame of its own. */
#define PACK_APART static __attribute__((noinline))

static inline size_t pack_room(const struct hr_pack *pack)
{
    return (size_t)(pack->end - pack->cur);
}

static void pack_fail(struct hr_pack *pack, int error)
{
    if (!pack->error)
        pack->error = error;
    pack->end = pack->cur;
}

/* Gets the next segment, or fails. Only called when this one is full. */
static void pack_next_segment(struct hr_pack *pack)
{
    hr_assert(pack->cur == pack->end);
    if (pack->error)
        return;
    if (!pack->more) {
        pack_fail(pack, hr_raise(HR_ERR_TOO_BIG));
        return;
    }

    pack->n_before += (size_t)(pack->cur - pack->base);
    pack->base = pack->cur; /* these bytes are counted, also when `more` fails */
    int r = pack->more(pack);
    if (r) {
        pack_fail(pack, hr_trace(r));
        return;
    }
    hr_assert(pack->cur < pack->end);
    pack->base = pack->cur;
}

/* Copies a run of bytes over as many segments as it takes. */
PACK_APART void pack_run(struct hr_pack *pack, const uint8_t *from, size_t len)
{
    while (len > 0) {
        if (pack_room(pack) == 0)
            pack_next_segment(pack);
        if (pack->error)
            return;
        size_t n = len < pack_room(pack) ? len : pack_room(pack);
        memcpy(pack->cur, from, n);
        pack->cur += n;
        from += n;
        len -= n;
    }
}

PACK_APART void pack_byte_run(struct hr_pack *pack, uint8_t byte)
{
    pack_run(pack, &byte, 1);
}

static inline void pack_byte(struct hr_pack *pack, uint8_t byte)
{
    if (pack_room(pack) > 0)
        *pack->cur++ = byte;
    else
        pack_byte_run(pack, byte);
}

/* Writes WIRE_HEAD_MAX bytes at `to`, of which the first 1 + n_more are the
 * tag and the low `n_more` bytes (1, 2, 4 or 8) of `value`. */
static inline void pack_put_head(uint8_t *to, uint8_t tag, uint64_t value, size_t n_more)
{
    to[0] = tag;
    wire_put64(to + 1, value << (64 - 8 * n_more));
}

PACK_APART void pack_head_run(struct hr_pack *pack, uint8_t tag, uint64_t value, size_t n_more)
{
    uint8_t head[WIRE_HEAD_MAX];
    pack_put_head(head, tag, value, n_more);
    pack_run(pack, head, 1 + n_more);
}

/* What is too much of WIRE_HEAD_MAX lies in free room and is overwritten. */
static inline void pack_head(struct hr_pack *pack, uint8_t tag, uint64_t value, size_t n_more)
{
    if (pack_room(pack) < WIRE_HEAD_MAX) {
        pack_head_run(pack, tag, value, n_more);
        return;
    }
    pack_put_head(pack->cur, tag, value, n_more);
    pack->cur += 1 + n_more;
}

void hr_pack_null(struct hr_pack *pack)
{
    pack_byte(pack, WIRE_NULL);
}

void hr_pack_bool(struct hr_pack *pack, bool value)
{
    pack_byte(pack, value ? WIRE_TRUE : WIRE_FALSE);
}

static void pack_negative(struct hr_pack *pack, int64_t value)
{
    if (value >= -32)
        pack_byte(pack, (uint8_t)value);
    else if (value >= INT8_MIN)
        pack_head(pack, WIRE_INT8, (uint8_t)value, 1);
    else if (value >= INT16_MIN)
        pack_head(pack, WIRE_INT16, (uint16_t)value, 2);
    else if (value >= INT32_MIN)
        pack_head(pack, WIRE_INT32, (uint32_t)value, 4);
    else
        pack_head(pack, WIRE_INT64, (uint64_t)value, 8);
}

void hr_pack_int(struct hr_pack *pack, int64_t value)
{
    if (value < 0)
        pack_negative(pack, value);
    else if (value < WIRE_FIXMAP)
        pack_byte(pack, (uint8_t)value);
    else if (value <= UINT8_MAX)
        pack_head(pack, WIRE_UINT8, (uint64_t)value, 1);
    else if (value <= UINT16_MAX)
        pack_head(pack, WIRE_UINT16, (uint64_t)value, 2);
    else if (value <= UINT32_MAX)
        pack_head(pack, WIRE_UINT32, (uint64_t)value, 4);
    else
        pack_head(pack, WIRE_UINT64, (uint64_t)value, 8);
}

void hr_pack_double(struct hr_pack *pack, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pack_head(pack, WIRE_FLOAT64, bits, 8);
}

/* Strings and bytes of any length and in any room. `tag8` is the family's tag
 * for 8-bit lengths; those for 16 and 32 bits are the next two. */
PACK_APART void pack_span(struct hr_pack *pack, uint8_t tag8, const uint8_t *from, size_t len)
{
    if (len < 32 && tag8 == WIRE_STR8) {
        pack_byte(pack, (uint8_t)(WIRE_FIXSTR | len));
    } else if (len <= UINT8_MAX) {
        pack_head(pack, tag8, len, 1);
    } else if (len <= UINT16_MAX) {
        pack_head(pack, (uint8_t)(tag8 + 1), len, 2);
    } else if (len <= UINT32_MAX) {
        pack_head(pack, (uint8_t)(tag8 + 2), len, 4);
    } else {
        pack_fail(pack, hr_raise(HR_ERR_TOO_BIG)); /* the format ends here */
        return;
    }
    pack_run(pack, from, len);
}

void hr_pack_str(struct hr_pack *pack, const char *ptr, size_t len)
{
    const uint8_t *from = (const uint8_t *)ptr;

    if (len >= 32 || len >= pack_room(pack)) {
        pack_span(pack, WIRE_STR8, from, len);
        return;
    }
    uint8_t *to = pack->cur;
    to[0] = (uint8_t)(WIRE_FIXSTR | len);
    wire_copy(to + 1, from, len);
    pack->cur = to + 1 + len;
}

void hr_pack_bytes(struct hr_pack *pack, const void *ptr, size_t len)
{
    if (len > UINT8_MAX || len + 2 > pack_room(pack))
        pack_span(pack, WIRE_BIN8, ptr, len);
    else
        pack->cur += wire_put_bin8(pack->cur, (struct hr_str){ptr, len});
}

void hr_pack_cstr(struct hr_pack *pack, const char *text)
{
    hr_pack_str(pack, text, strlen(text));
}

void hr_pack_raw(struct hr_pack *pack, const void *ptr, size_t len)
{
    pack_run(pack, ptr, len);
}

void hr_pack_list(struct hr_pack *pack, uint32_t n)
{
    if (n < 16)
        pack_byte(pack, (uint8_t)(WIRE_FIXLIST | n));
    else if (n <= UINT16_MAX)
        pack_head(pack, WIRE_LIST16, n, 2);
    else
        pack_head(pack, WIRE_LIST32, n, 4);
}

void hr_pack_map(struct hr_pack *pack, uint32_t n)
{
    if (n < 16)
        pack_byte(pack, (uint8_t)(WIRE_FIXMAP | n));
    else if (n <= UINT16_MAX)
        pack_head(pack, WIRE_MAP16, n, 2);
    else
        pack_head(pack, WIRE_MAP32, n, 4);
}

/* A scalar, or a container's head alone. */
static void pack_shallow(struct hr_pack *pack, const struct hr_value *value)
{
    switch (value->type) {
    case HR_TYPE_NULL:
        hr_pack_null(pack);
        break;
    case HR_TYPE_BOOL:
        hr_pack_bool(pack, value->as.boolean);
        break;
    case HR_TYPE_INT:
        hr_pack_int(pack, value->as.integer);
        break;
    case HR_TYPE_DOUBLE:
        hr_pack_double(pack, value->as.real);
        break;
    case HR_TYPE_STRING:
        hr_pack_str(pack, value->as.str.ptr, value->as.str.len);
        break;
    case HR_TYPE_BYTES:
        hr_pack_bytes(pack, value->as.str.ptr, value->as.str.len);
        break;
    case HR_TYPE_LIST:
        hr_pack_list(pack, value->n);
        break;
    case HR_TYPE_MAP:
        hr_pack_map(pack, value->n);
        break;
    }
}

/* No stack, as in wire_skip(): `n_left` values are still to come. */
void hr_pack_value(struct hr_pack *pack, const struct hr_value *value)
{
    pack_shallow(pack, value);
    uint64_t n_left = wire_children(value);
    const uint8_t *at = n_left > 0 ? value->as.items : NULL;

    for (; n_left > 0 && !pack->error; n_left--) {
        struct hr_value item;
        at += wire_read(at, &item);
        pack_shallow(pack, &item);
        n_left += wire_children(&item);
    }
}
