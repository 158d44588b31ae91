/* asgi.c - see asgi.h for the contract.
 *
 * Types are found by a scan over their lengths: two dozen bytes, which is a
 * cache line and less work than hashing the name; at most three names share a
 * length. Our own writers put `type` first, so the scan for the key ends at
 * once as well.
 */
#include "message/asgi.h"

#include "base/assert.h"
#include "base/str.h"
#include "message/wire.h"

static const struct hr_str type_names[HR_N_MSG_TYPES] = {
#define HR_MSG_TYPE(name, text, meaning) [HR_MSG_TYPE_##name] = {text, sizeof(text) - 1},
#include "tables/message_types.def"
#undef HR_MSG_TYPE
};

static const uint8_t type_lengths[HR_N_MSG_TYPES] = {
#define HR_MSG_TYPE(name, text, meaning) [HR_MSG_TYPE_##name] = sizeof(text) - 1,
#include "tables/message_types.def"
#undef HR_MSG_TYPE
};

enum hr_msg_type hr_msg_type_find(struct hr_str name)
{
    for (unsigned i = HR_MSG_TYPE_OTHER + 1; i < HR_N_MSG_TYPES; i++) {
        if (type_lengths[i] == name.len && memcmp(type_names[i].ptr, name.ptr, name.len) == 0)
            return (enum hr_msg_type)i;
    }
    return HR_MSG_TYPE_OTHER;
}

enum hr_msg_type hr_msg_type_of(const struct hr_msg *msg)
{
    struct hr_value type;

    if (!hr_msg_get(msg, "type", &type) || type.type != HR_TYPE_STRING)
        return HR_MSG_TYPE_NONE;
    return hr_msg_type_find(type.as.str);
}

struct hr_str hr_msg_type_name(enum hr_msg_type type)
{
    hr_assert(type < HR_N_MSG_TYPES);
    return type_names[type];
}

void hr_pack_type(struct hr_pack *pack, enum hr_msg_type type)
{
    struct hr_str name = hr_msg_type_name(type);

    hr_assert(name.len > 0); /* NONE and OTHER have no name to write */
    hr_pack_str(pack, "type", 4);
    hr_pack_str(pack, name.ptr, name.len);
}

/* A dozen of these make the better part of a http.request, so the usual case
 * is not put together from three calls. */
void hr_pack_header(struct hr_pack *pack, struct hr_str name, struct hr_str value)
{
    bool is_short = name.len <= UINT8_MAX && value.len <= UINT8_MAX;
    if (!is_short || 5 + name.len + value.len > (size_t)(pack->end - pack->cur)) {
        hr_pack_list(pack, 2);
        hr_pack_bytes(pack, name.ptr, name.len);
        hr_pack_bytes(pack, value.ptr, value.len);
        return;
    }

    uint8_t *to = pack->cur;
    *to++ = WIRE_FIXLIST | 2;
    to += wire_put_bin8(to, name);
    to += wire_put_bin8(to, value);
    pack->cur = to;
}

/* Reads one half of a pair; false when it is neither bytes nor string. */
WIRE_INLINE bool header_part(const uint8_t **at, struct hr_str *out)
{
    struct hr_value part;

    *at += wire_read(*at, &part);
    if (part.type != HR_TYPE_BYTES && part.type != HR_TYPE_STRING)
        return false;
    *out = part.as.str;
    return true;
}

/* A pair is read where it stands, which also finds its end; only what is no
 * pair has to be stepped over. */
int hr_header_next(struct hr_walk *headers, struct hr_str *name, struct hr_str *value)
{
    if (headers->left == 0 || headers->is_map)
        return HR_HEADER_END;
    headers->left--;

    struct hr_value pair;
    const uint8_t *at = headers->at + wire_read(headers->at, &pair);
    bool is_pair = wire_children(&pair) == 2 && pair.type == HR_TYPE_LIST;
    if (is_pair && header_part(&at, name) && header_part(&at, value)) {
        headers->at = at;
        return 0;
    }
    headers->at = wire_skip(headers->at, 1);
    return HR_HEADER_BAD;
}
