/* message.h - messages: one MessagePack map each, written and read in place.
 *
 * A message is a map with string keys whose values are ASGI's: null, bool,
 * int64, double, UTF-8 string, bytes, list, string-keyed map. Writing goes
 * straight into the memory that will carry the message; reading walks the
 * bytes where they lie. Neither allocates.
 *
 * Writing: hr_pack_* calls remember the first failure, as stdio does;
 * hr_pack_done() reports it. Containers are announced with their count.
 *
 * Reading: hr_msg_check() validates a whole message once (structure, limits,
 * UTF-8, key types) and only then are the other functions called, which
 * therefore cannot fail on it. The bytes must not change meanwhile: copy out
 * of shared memory first.
 *
 * Threads: none of these functions keeps state of its own.
 * Memory:  every string and byte span that is read points into the message
 *          and lives exactly as long as its bytes.
 */
#ifndef HEADRACE_MESSAGE_H
#define HEADRACE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <headrace/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Containers within containers; stops stack and time attacks by nesting. The message itself is
       depth 1. */
    HR_MSG_MAX_DEPTH = 32,
};

enum hr_type {
    HR_TYPE_NULL,
    HR_TYPE_BOOL,
    HR_TYPE_INT,
    HR_TYPE_DOUBLE,
    HR_TYPE_STRING,
    HR_TYPE_BYTES,
    HR_TYPE_LIST,
    HR_TYPE_MAP,
};

/* One value. `str` holds strings and bytes. For lists and maps `n` counts the
 * elements or pairs, and hr_list_next() and hr_map_next() walk them. */
struct hr_value {
    enum hr_type type;
    uint32_t n;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct hr_str str;
        const uint8_t *items; /* first element of a list or map */
    } as;
};

/* A message that hr_msg_check() has found valid. */
struct hr_msg {
    const uint8_t *data;
    size_t len;
};

enum hr_msg_outcome {
    HR_MSG_MALFORMED = 1, /* not MessagePack, cut short, or trailed by other bytes */
    HR_MSG_UNSUPPORTED,   /* extension types, uint64 above INT64_MAX, a key that is no string */
    HR_MSG_TOO_DEEP,      /* more than HR_MSG_MAX_DEPTH */
    HR_MSG_NOT_UTF8,      /* a string that is not */
    HR_MSG_NOT_MAP,       /* valid, but the outermost value is no map */
};

/* Validates `len` bytes at `data` as one message and lends *out a view of
 * them. Returns 0 or an outcome above; *out is then unusable.
 * A key that stands twice is valid; readers take the first. */
HR_API HR_MUST_CHECK int hr_msg_check(const void *data, size_t len, struct hr_msg *out);

/* The message as a value of type HR_TYPE_MAP, to be walked. */
HR_API struct hr_value hr_msg_root(const struct hr_msg *msg);

/* Finds `key` in a message or a map. False when it is not there. */
HR_API bool hr_msg_get(const struct hr_msg *msg, const char *key, struct hr_value *out);
HR_API bool hr_map_get(const struct hr_value *map, const char *key, struct hr_value *out);

/* Typed look-ups: the fallback when the key is missing or of another type. */
HR_API struct hr_str hr_msg_str(const struct hr_msg *msg, const char *key);   /* strings only */
HR_API struct hr_str hr_msg_bytes(const struct hr_msg *msg, const char *key); /* bytes or string */
HR_API int64_t hr_msg_int(const struct hr_msg *msg, const char *key, int64_t fallback);
HR_API bool hr_msg_bool(const struct hr_msg *msg, const char *key, bool fallback);

/* Walking: begin with hr_walk(), then call the `next` of that container until
 * it returns false. A walk over what is no container, or with the other
 * kind's `next`, finds nothing: a peer's message may be of any shape. */
struct hr_walk {
    const uint8_t *at;
    uint32_t left; /* elements or pairs still to come */
    bool is_map;
};
HR_API struct hr_walk hr_walk(const struct hr_value *container);
HR_API bool hr_list_next(struct hr_walk *walk, struct hr_value *item);
HR_API bool hr_map_next(struct hr_walk *walk, struct hr_str *key, struct hr_value *value);

/* The writer. `cur`..`end` is free room; when all of it is used up `more` is
 * asked for the next segment (it sets cur and end, at least one byte apart,
 * and returns 0) or is NULL. The caller of `more` does the counting.
 * Fields are private to pack.c and to whoever implements `more`. */
struct hr_pack {
    uint8_t *cur;
    uint8_t *end;
    uint8_t *base;   /* start of this segment */
    size_t n_before; /* bytes in the segments before this one */
    int error;       /* first failure, sticky */
    int (*more)(struct hr_pack *pack);
    void *arg; /* of `more` */
};

/* Prepares `pack` to write into `cap` bytes at `buf`, which the caller owns. */
HR_API void hr_pack_init(struct hr_pack *pack, void *buf, size_t cap);

HR_API void hr_pack_null(struct hr_pack *pack);
HR_API void hr_pack_bool(struct hr_pack *pack, bool value);
HR_API void hr_pack_int(struct hr_pack *pack, int64_t value);
HR_API void hr_pack_double(struct hr_pack *pack, double value);
HR_API void hr_pack_str(struct hr_pack *pack, const char *ptr,
                        size_t len); /* the caller answers for UTF-8 */
HR_API void hr_pack_bytes(struct hr_pack *pack, const void *ptr, size_t len);
HR_API void hr_pack_list(struct hr_pack *pack, uint32_t n);
HR_API void hr_pack_map(struct hr_pack *pack, uint32_t n);
HR_API void hr_pack_cstr(struct hr_pack *pack, const char *text);
/* Copies a value of a checked message deep, each part in its shortest form. Only a float32, which
   becomes a double, can make it longer than it was. */
HR_API void hr_pack_value(struct hr_pack *pack, const struct hr_value *value);
/* Appends bytes that are MessagePack already. */
HR_API void hr_pack_raw(struct hr_pack *pack, const void *ptr, size_t len);

/* Bytes written so far; after a failure those before it, perhaps more. */
HR_API size_t hr_pack_len(const struct hr_pack *pack);

/* The first failure: 0, HR_ERR_TOO_BIG when room ran out, or what `more` returned. */
HR_API HR_MUST_CHECK int hr_pack_done(const struct hr_pack *pack);

#ifdef __cplusplus
}
#endif

#endif /* HEADRACE_MESSAGE_H */
