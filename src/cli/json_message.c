/* json_message.c - a message as JSON; see json.h for the contract.
 *
 * JSON knows no bytes, so they become {"base64": "..."}; nor does it know a
 * number that is none, which becomes null. Nesting is kept in an array: a
 * message comes from the application.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cli/json.h"

static void put_base64(FILE *file, struct hr_str bytes)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fputs("{\"base64\": \"", file);
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i;
        uint32_t three = (uint32_t)(uint8_t)bytes.ptr[i] << 16;
        if (n > 1)
            three |= (uint32_t)(uint8_t)bytes.ptr[i + 1] << 8;
        if (n > 2)
            three |= (uint8_t)bytes.ptr[i + 2];
        fputc(letters[three >> 18], file);
        fputc(letters[three >> 12 & 63], file);
        fputc(n > 1 ? letters[three >> 6 & 63] : '=', file);
        fputc(n > 2 ? letters[three & 63] : '=', file);
    }
    fputs("\"}", file);
}

/* The shortest of the usual spellings that reads back as the same number. */
static void put_double(FILE *file, double number)
{
    char text[32];
    if (!isfinite(number)) {
        fputs("null", file);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    fputs(text, file);
    if (!strpbrk(text, ".e"))
        fputs(".0", file); /* it was no integer */
}

/* Of a container only its bracket. */
static void put_value(FILE *file, const struct hr_value *value)
{
    switch (value->type) {
    case HR_TYPE_BOOL:
        fputs(value->as.boolean ? "true" : "false", file);
        break;
    case HR_TYPE_INT:
        fprintf(file, "%" PRId64, value->as.integer);
        break;
    case HR_TYPE_DOUBLE:
        put_double(file, value->as.real);
        break;
    case HR_TYPE_STRING:
        hr_json_put_string(file, value->as.str);
        break;
    case HR_TYPE_BYTES:
        put_base64(file, value->as.str);
        break;
    case HR_TYPE_LIST:
        fputc('[', file);
        break;
    case HR_TYPE_MAP:
        fputc('{', file);
        break;
    case HR_TYPE_NULL:
        fputs("null", file);
        break;
    }
}

struct level {
    struct hr_walk walk;
    bool is_first;
};

/* The next member, with the comma and the key before it. */
static bool next_member(FILE *file, struct level *level, struct hr_value *out)
{
    struct hr_str key;
    bool is_map = level->walk.is_map;
    if (is_map ? !hr_map_next(&level->walk, &key, out) : !hr_list_next(&level->walk, out))
        return false;
    if (!level->is_first)
        fputs(", ", file);
    level->is_first = false;
    if (is_map) {
        hr_json_put_string(file, key);
        fputs(": ", file);
    }
    return true;
}

void hr_json_put_message(FILE *file, const struct hr_msg *msg)
{
    struct level levels[HR_MSG_MAX_DEPTH + 1];
    struct hr_value value = hr_msg_root(msg);
    int depth = 0;
    put_value(file, &value);
    levels[depth++] = (struct level){.walk = hr_walk(&value), .is_first = true};
    while (depth > 0) {
        struct level *level = &levels[depth - 1];
        if (!next_member(file, level, &value)) {
            fputc(level->walk.is_map ? '}' : ']', file);
            depth--;
            continue;
        }
        put_value(file, &value);
        if ((value.type == HR_TYPE_LIST || value.type == HR_TYPE_MAP) && depth <= HR_MSG_MAX_DEPTH)
            levels[depth++] = (struct level){.walk = hr_walk(&value), .is_first = true};
    }
}
