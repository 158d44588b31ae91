/* json.c - see json.h for the contract; RFC 8259.
 *
 * MessagePack wants to know a container's size before its members, JSON tells
 * it after. So at each '[' or '{' the members are counted by running ahead to
 * the matching bracket, which reads a text as often as it is deep, at most
 * HR_MSG_MAX_DEPTH times. Nesting is kept in an array, not on the stack.
 */
#include "cli/json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

struct level {
    bool is_map;
    bool is_first;
    uint32_t left; /* members still to come */
};

struct reader {
    const char *start, *at, *end;
    char *scratch; /* decoded strings; as long as the text */
    struct hr_pack *pack;
    struct hr_diag *diag;
    struct level levels[HR_MSG_MAX_DEPTH];
    int depth;
};

static int complain(const struct reader *reader, const char *what)
{
    uint32_t line = 1;
    const char *line_start = reader->start;
    for (const char *c = reader->start; c < reader->at; c++) {
        if (*c != '\n')
            continue;
        line++;
        line_start = c + 1;
    }
    hr_str_copy(reader->diag->file, sizeof reader->diag->file, HR_LIT("--json"));
    reader->diag->line = line;
    reader->diag->column = (uint32_t)(reader->at - line_start) + 1;
    return hr_diag_say(reader->diag, "%s", what);
}

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' ||
                                        *reader->at == '\n' || *reader->at == '\r'))
        reader->at++;
}

static bool take(struct reader *reader, char c)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, struct hr_str word)
{
    struct hr_str rest = {reader->at, (size_t)(reader->end - reader->at)};
    if (!hr_str_starts(rest, word))
        return false;
    reader->at += word.len;
    return true;
}

/* ---- strings -----------------------------------------------------------------------------------
 */

static bool take_hex4(struct reader *reader, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, reader->at++) {
        if (reader->at == reader->end)
            return false;
        char c = *reader->at;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    *out = value;
    return true;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* RFC 8259 7: beyond the first plane a character is two escapes, a surrogate pair. */
static bool take_unicode(struct reader *reader, char **out)
{
    uint32_t c, low;
    if (!take_hex4(reader, &c))
        return false;
    if (c >= 0xD800 && c < 0xDC00) {
        if (!take_word(reader, HR_LIT("\\u")) || !take_hex4(reader, &low) || low < 0xDC00 ||
            low > 0xDFFF)
            return false;
        c = 0x10000 + ((c - 0xD800) << 10 | (low - 0xDC00));
    } else if (c >= 0xDC00 && c <= 0xDFFF) {
        return false;
    }
    *out = put_utf8(*out, c);
    return true;
}

static bool take_escape(struct reader *reader, char **out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end)
        return false;
    char c = *reader->at++;
    if (c == 'u')
        return take_unicode(reader, out);
    const char *found = c ? strchr(letters, c) : NULL;
    if (found)
        *(*out)++ = meanings[found - letters];
    return found != NULL;
}

/* The opening quote has been taken. The text lies in the scratch until the next string. */
static int read_string(struct reader *reader, struct hr_str *text)
{
    char *out = reader->scratch;
    while (reader->at < reader->end && *reader->at != '"') {
        char c = *reader->at++;
        if ((unsigned char)c < ' ')
            return complain(reader, "a control character in a string; write it as an escape");
        if (c != '\\')
            *out++ = c;
        else if (!take_escape(reader, &out))
            return complain(reader, "no such escape in a string");
    }
    if (reader->at == reader->end)
        return complain(reader, "a string does not end");
    reader->at++;
    *text = (struct hr_str){reader->scratch, (size_t)(out - reader->scratch)};
    return hr_utf8_ok(text->ptr, text->len) ? 0 : complain(reader, "a string is not UTF-8");
}

/* ---- values ------------------------------------------------------------------------------------
 */

static size_t count_digits(const char *text)
{
    size_t n = 0;
    while (text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

/* RFC 8259 6: no plus in front, no leading zeros, digits on both sides of a point. */
static bool number_ok(const char *text, bool *is_whole)
{
    const char *at = text + (*text == '-');
    size_t n = count_digits(at);
    if (n == 0 || (n > 1 && *at == '0'))
        return false;
    at += n;
    *is_whole = *at == '\0';
    if (*at == '.') {
        n = count_digits(++at);
        if (n == 0)
            return false;
        at += n;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        n = count_digits(at);
        if (n == 0)
            return false;
        at += n;
    }
    return *at == '\0';
}

static bool is_number_char(char c)
{
    return c != '\0' && strchr("+-.0123456789eE", c);
}

static int read_number(struct reader *reader)
{
    char text[64];
    size_t len = 0;
    bool is_whole;
    while (reader->at + len < reader->end && len < sizeof text - 1 &&
           is_number_char(reader->at[len])) {
        text[len] = reader->at[len];
        len++;
    }
    text[len] = '\0';
    if (len == 0)
        return complain(reader, "a value is missing here");
    if (!number_ok(text, &is_whole))
        return complain(reader, "this is no number");
    errno = 0;
    long long integer = is_whole ? strtoll(text, NULL, 10) : 0;
    if (is_whole && errno == 0)
        hr_pack_int(reader->pack, integer);
    else
        hr_pack_double(reader->pack, strtod(text, NULL));
    reader->at += len;
    return 0;
}

/* Members of the container that begins here. Brackets and commas within
 * strings and within inner containers do not count. */
static uint32_t count_members(const struct reader *reader)
{
    uint32_t n_commas = 0, depth = 0;
    bool in_string = false, is_empty = true;
    for (const char *c = reader->at; c < reader->end; c++) {
        if (in_string) {
            if (*c == '\\' && c + 1 < reader->end)
                c++;
            else
                in_string = *c != '"';
            continue;
        }
        if (depth == 0 && (*c == ']' || *c == '}'))
            break;
        is_empty = is_empty && strchr(" \t\r\n", *c);
        in_string = *c == '"';
        if (*c == '[' || *c == '{')
            depth++;
        else if (*c == ']' || *c == '}')
            depth--;
        else if (*c == ',' && depth == 0)
            n_commas++;
    }
    return is_empty ? 0 : n_commas + 1;
}

static int open_container(struct reader *reader, bool is_map)
{
    if (reader->depth == HR_MSG_MAX_DEPTH)
        return complain(reader, "nested too deep");
    uint32_t n = count_members(reader);
    reader->levels[reader->depth++] = (struct level){.is_map = is_map, .is_first = true, .left = n};
    if (is_map)
        hr_pack_map(reader->pack, n);
    else
        hr_pack_list(reader->pack, n);
    return 0;
}

static int read_value(struct reader *reader)
{
    struct hr_str text = {0};
    if (take(reader, '{'))
        return hr_trace(open_container(reader, true));
    if (take(reader, '['))
        return hr_trace(open_container(reader, false));
    if (take(reader, '"')) {
        int r = read_string(reader, &text);
        if (r == 0)
            hr_pack_str(reader->pack, text.ptr, text.len);
        return hr_trace(r);
    }
    if (take_word(reader, HR_LIT("true")))
        hr_pack_bool(reader->pack, true);
    else if (take_word(reader, HR_LIT("false")))
        hr_pack_bool(reader->pack, false);
    else if (take_word(reader, HR_LIT("null")))
        hr_pack_null(reader->pack);
    else
        return hr_trace(read_number(reader));
    return 0;
}

static int read_key(struct reader *reader)
{
    struct hr_str key;
    if (!take(reader, '"'))
        return complain(reader, "a key in double quotes is missing here");
    int r = read_string(reader, &key);
    if (r < 0)
        return hr_trace(r);
    hr_pack_str(reader->pack, key.ptr, key.len);
    return take(reader, ':') ? 0 : complain(reader, "a ':' is missing here");
}

/* One member of the innermost container, or its end. */
static int read_member(struct reader *reader)
{
    struct level *level = &reader->levels[reader->depth - 1];
    if (level->left == 0) {
        if (!take(reader, level->is_map ? '}' : ']'))
            return complain(reader,
                            level->is_map ? "a '}' is missing here" : "a ']' is missing here");
        reader->depth--;
        return 0;
    }
    if (!level->is_first && !take(reader, ','))
        return complain(reader, "a ',' is missing here");
    level->is_first = false;
    level->left--;
    int r = level->is_map ? read_key(reader) : 0;
    return hr_trace(r < 0 ? r : read_value(reader));
}

int hr_json_pack(struct hr_str text, struct hr_pack *pack, struct hr_diag *diag)
{
    struct reader reader = {.start = text.ptr,
                            .at = text.ptr,
                            .end = text.ptr + text.len,
                            .scratch = hr_alloc(text.len + 1),
                            .pack = pack,
                            .diag = diag};
    if (!reader.scratch)
        return hr_raise(HR_ERR_NOMEM);
    int r = read_value(&reader);
    while (r == 0 && reader.depth > 0)
        r = read_member(&reader);
    skip_space(&reader);
    if (r == 0 && reader.at != reader.end)
        r = complain(&reader, "something follows the value");
    hr_free(reader.scratch);
    return hr_trace(r);
}

void hr_json_put_string(FILE *file, struct hr_str text)
{
    bool is_utf8 = hr_utf8_ok(text.ptr, text.len);
    fputc('"', file);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            fprintf(file, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            fprintf(file, "\\u%04x", c);
        else
            fputc(c >= 0x80 && !is_utf8 ? '?' : c, file);
    }
    fputc('"', file);
}
