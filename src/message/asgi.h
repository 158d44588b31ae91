/* asgi.h - what messages say to each other: their types, their limits, their headers.
 *
 * Interface servers and workers share these words. A message's `type` is
 * compared once, into an enum; headers are lists of [name, value] pairs in
 * either direction. The keys of each message stand in docs/architecture.md.
 *
 * Threads: no state.
 * Memory:  what is read points into the message and lives as long as its bytes.
 */
#ifndef HR_MESSAGE_ASGI_H
#define HR_MESSAGE_ASGI_H

#include <headrace/message.h>

enum {
    /* Of a connection's state as MessagePack: it travels with each of its events. */
    HR_STATE_MAX = 16 << 10,
    /* Of a request's body inside its http.request, and of each chunk that follows. */
    HR_BODY_CHUNK_MAX = 64 << 10,
    /* Un-credited bytes on the way, per connection and direction: stops one slow reader, or one
       slow worker, from filling the layer. */
    HR_BODY_WINDOW = 256 << 10,
};

enum hr_msg_type {
    HR_MSG_TYPE_NONE,  /* no `type`, or one that is no string: the channel's name says it */
    HR_MSG_TYPE_OTHER, /* an application's own */
#define HR_MSG_TYPE(name, text, meaning) HR_MSG_TYPE_##name,
#include "tables/message_types.def"
#undef HR_MSG_TYPE
    HR_N_MSG_TYPES
};

enum hr_msg_type hr_msg_type_of(const struct hr_msg *msg);

/* The type of that name, "http.request"; HR_MSG_TYPE_OTHER when it is none of ours. */
enum hr_msg_type hr_msg_type_find(struct hr_str name);

/* The opposite; empty for NONE and OTHER. The text is static and ends in a NUL. */
struct hr_str hr_msg_type_name(enum hr_msg_type type);

/* Writes the pair `type`: name. Messages are read fastest when it is their first. */
void hr_pack_type(struct hr_pack *pack, enum hr_msg_type type);

/* Writes one header of a list of headers: [name, value], both bytes. */
void hr_pack_header(struct hr_pack *pack, struct hr_str name, struct hr_str value);

enum hr_header_outcome {
    HR_HEADER_END = 1,
    HR_HEADER_BAD, /* what stands there is no pair of bytes; strings are taken for bytes */
};

/* Reads the next header of a walk over a list of headers; a walk over
 * anything but a list finds the END at once. Returns 0, END or BAD; after BAD
 * the walk may go on. */
HR_MUST_CHECK int hr_header_next(struct hr_walk *headers, struct hr_str *name,
                                 struct hr_str *value);

#endif /* HR_MESSAGE_ASGI_H */
