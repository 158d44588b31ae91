/* log.c - see log.h for the contract.
 *
 * A line is built in a buffer of 4096 bytes, which is PIPE_BUF: a pipe or a
 * terminal shared by several processes gets it whole or not at all, never
 * mixed with another's. The last bytes of the buffer are kept for the mark of
 * a cut line and for its end, so that a JSON line is valid JSON always.
 *
 * hr_log()'s text is cut into words at spaces outside of quotes. A word
 * `key=value` becomes a member, as a number when the value is an unquoted JSON
 * number; the other words together are the member "message".
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

enum {
    LINE_RESERVE = 16, /* for `,"cut":true}` and the newline */
    VALUE_MAX = 1024,  /* escaped bytes of one value: a long path must not push out the status */
};

/* Set by hr_log_init(), which may run again (new log files) while other threads log: each is read
 * on its own, and none orders anything. */
static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_least = HR_LOG_INFO;
static atomic_bool log_json, log_colour;

static const struct {
    enum hr_log_level level;
    const char *word;
} events[] = {
#define HR_EVENT(name, level, word, meaning) {HR_LOG_##level, word},
#include "tables/events.def"
#undef HR_EVENT
};

static const struct {
    const char *word, *colour;
} levels[] = {
    [HR_LOG_DEBUG] = {"debug", "\033[2m"},
    [HR_LOG_INFO] = {"info", "\033[32m"},
    [HR_LOG_WARNING] = {"warning", "\033[33m"},
    [HR_LOG_ERROR] = {"error", "\033[1;31m"},
};

void hr_log_init(int fd, enum hr_log_format format, enum hr_log_level least)
{
    bool is_terminal = isatty(fd) == 1;
    const char *no_colour = getenv("NO_COLOR"); /* no-color.org: set and not empty */
    atomic_store(&log_fd, fd);
    atomic_store(&log_least, (int)least);
    atomic_store(&log_json, format == HR_LOG_JSON || (format == HR_LOG_AUTO && !is_terminal));
    atomic_store(&log_colour, is_terminal && !(no_colour && *no_colour));
}

bool hr_log_is_on(enum hr_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_least, memory_order_relaxed);
}

bool hr_log_is_json(void)
{
    return atomic_load_explicit(&log_json, memory_order_relaxed);
}

/* ---- escaping: JSON's rules, also for quoted values on a terminal */

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Bytes of the escape that `text` begins with, `\n` or `\u0000`; 0 when it is none. */
static size_t escape_len(struct hr_str text)
{
    if (text.len < 2 || text.ptr[0] != '\\')
        return 0;
    if (text.ptr[1] != 'u')
        return text.ptr[1] && strchr("\"\\/bfnrt", text.ptr[1]) ? 2 : 0;
    if (text.len < 6)
        return 0;
    return strspn(text.ptr + 2, "0123456789abcdefABCDEF") >= 4 ? 6 : 0;
}

/* Escapes the one character at the start of `text`, whose first byte is not
 * plain; gives the bytes it took. Control characters, C1 included, never
 * reach a terminal, and what is not UTF-8 becomes U+FFFD. */
static size_t escape_char(struct hr_str text, char out[8])
{
    static const char named[] = "\"\\\n\r\t", names[] = "\"\\nrt";
    unsigned char c = (unsigned char)text.ptr[0];
    const char *found = c ? strchr(named, c) : NULL;
    if (found) {
        snprintf(out, 8, "\\%c", names[found - named]);
        return 1;
    }
    if (c < 0x80) {
        snprintf(out, 8, "\\u%04x", c);
        return 1;
    }
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (n > text.len || !hr_utf8_ok(text.ptr, n)) {
        snprintf(out, 8, "\\ufffd");
        return 1;
    }
    unsigned char second = (unsigned char)text.ptr[1];
    if (c == 0xc2 && second < 0xa0)
        snprintf(out, 8, "\\u%04x", second);
    else
        snprintf(out, 8, "%.*s", (int)n, text.ptr);
    return n;
}

enum escape_input { RAW, ESCAPED /* escapes in it stay as they are */ };

/* Writes `text` escaped to `out`, which has room for `room` >= 3 bytes; what
 * does not fit is replaced by "...". Returns the bytes written. */
static size_t escape(char *out, size_t room, struct hr_str text, enum escape_input input)
{
    static const char dots[3] = {'.', '.', '.'};
    size_t len = 0;
    while (text.len > 0) {
        size_t taken = 0;
        while (taken < text.len && is_plain(text.ptr[taken]))
            taken++;
        const char *piece = text.ptr;
        size_t size = taken;
        char escaped[8];
        if (taken == 0 && input == ESCAPED && escape_len(text) > 0) {
            size = taken = escape_len(text);
        } else if (taken == 0) {
            taken = escape_char(text, escaped);
            piece = escaped;
            size = strlen(escaped);
        }
        bool is_last = taken == text.len;
        size_t left = room - len - (is_last ? 0 : sizeof dots);
        if (size > left) {
            size = is_plain(*piece) ? room - len - sizeof dots : 0;
            memcpy(out + len, piece, size);
            memcpy(out + len + size, dots, sizeof dots);
            return len + size + sizeof dots;
        }
        memcpy(out + len, piece, size);
        len += size;
        text.ptr += taken;
        text.len -= taken;
    }
    return len;
}

static size_t skip_digits(struct hr_str text, size_t at)
{
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at;
}

/* A number as RFC 8259 6 has it, without exponent. */
static bool is_number(struct hr_str text)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    size_t end = skip_digits(text, at);
    if (end == at || (text.ptr[at] == '0' && end - at > 1))
        return false;
    if (end < text.len && text.ptr[end] == '.') {
        at = end + 1;
        end = skip_digits(text, at);
        if (end == at)
            return false;
    }
    return end == text.len;
}

/* May stand in a line of text without quotes, as what it is? */
static bool is_bare(struct hr_str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!is_plain(value.ptr[i]) || value.ptr[i] == ' ')
            return false;
    return value.len > 0;
}

const char *hr_log_quote(char out[HR_LOG_QUOTED_MAX], struct hr_str value)
{
    if (is_bare(value) && !is_number(value) && value.len < HR_LOG_QUOTED_MAX) {
        memcpy(out, value.ptr, value.len);
        out[value.len] = '\0';
        return out;
    }
    out[0] = '"';
    size_t len = 1 + escape(out + 1, HR_LOG_QUOTED_MAX - 3, value, RAW);
    out[len] = '"';
    out[len + 1] = '\0';
    return out;
}

/* ---- lines */

enum { DECIMAL_MAX = 24 };

/* Writes the number to the end of `out`, with a NUL; gives its first digit. A quarter of snprintf's
 * time, four times a line of the access log. */
static char *decimal(char out[DECIMAL_MAX], uint64_t value)
{
    char *at = out + DECIMAL_MAX - 1;
    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return at;
}

static size_t line_room(const struct hr_logline *line)
{
    return sizeof line->buf - LINE_RESERVE - line->len;
}

/* Appends all of it or, when it does not fit, nothing but the mark. */
static void line_put(struct hr_logline *line, const char *text, size_t len)
{
    if (len > line_room(line)) {
        line->is_cut = true;
        return;
    }
    memcpy(line->buf + line->len, text, len);
    line->len += len;
}

static void line_put_text(struct hr_logline *line, const char *text)
{
    line_put(line, text, strlen(text));
}

/* Appends the date and time of `now`; converted once a second and thread. */
static void line_put_time(struct hr_logline *line, hr_time now)
{
    static _Thread_local struct {
        hr_time second;
        bool is_json;
        char text[32];
    } last = {.second = -1};

    hr_time second = now / HR_SECOND;
    if (second != last.second || line->is_json != last.is_json) {
        time_t t = (time_t)second;
        struct tm tm;
        size_t len = 0;
        if (line->is_json && gmtime_r(&t, &tm))
            len = strftime(last.text, sizeof last.text, "%Y-%m-%dT%H:%M:%S", &tm);
        else if (!line->is_json && localtime_r(&t, &tm))
            len = strftime(last.text, sizeof last.text, "%H:%M:%S", &tm);
        last.text[len] = '\0';
        last.second = second;
        last.is_json = line->is_json;
    }
    char ms[DECIMAL_MAX];
    line_put_text(line, last.text);
    line_put(line, ".", 1);
    /* 1000 more, for the leading zeros. */
    line_put_text(line, decimal(ms, (uint64_t)(now / HR_MS % 1000 + 1000)) + 1);
}

void hr_logline_begin(struct hr_logline *line, enum hr_event event)
{
    hr_assert((unsigned)event < HR_N_EVENTS);
    line->len = 0;
    line->is_cut = false;
    line->is_json = hr_log_is_json();

    enum hr_log_level level = events[event].level;
    if (line->is_json) {
        line_put_text(line, "{\"ts\":\"");
        line_put_time(line, hr_time_wall());
        line_put_text(line, "Z\",\"level\":\"");
        line_put_text(line, levels[level].word);
        line_put_text(line, "\",\"event\":\"");
        line_put_text(line, events[event].word);
        line_put_text(line, "\"");
        return;
    }
    bool has_colour = atomic_load_explicit(&log_colour, memory_order_relaxed);
    line_put_time(line, hr_time_wall());
    line_put_text(line, " ");
    line_put_text(line, has_colour ? levels[level].colour : "");
    line_put_text(line, levels[level].word);
    line_put_text(line, has_colour ? "\033[0m " : " ");
    line_put_text(line, events[event].word);
}

/* Appends ` key=` or `,"key":`. */
static void line_put_key(struct hr_logline *line, struct hr_str key)
{
    line_put(line, line->is_json ? ",\"" : " ", line->is_json ? 2 : 1);
    line_put(line, key.ptr, key.len);
    line_put(line, line->is_json ? "\":" : "=", line->is_json ? 2 : 1);
}

/* Appends a field whose value needs no quotes. */
static void line_put_bare(struct hr_logline *line, struct hr_str key, struct hr_str value)
{
    if (key.len + value.len + 4 > line_room(line)) {
        line->is_cut = true;
        return;
    }
    line_put_key(line, key);
    line_put(line, value.ptr, value.len);
}

static void line_put_quoted(struct hr_logline *line, struct hr_str key, struct hr_str value,
                            enum escape_input input)
{
    enum { FRAME = 6, DOTS = 3 }; /* `,"":""` */
    if (key.len + FRAME + DOTS > line_room(line)) {
        line->is_cut = true;
        return;
    }
    line_put_key(line, key);
    line_put(line, "\"", 1);
    size_t room = line_room(line) - 1;
    line->len += escape(line->buf + line->len, room < VALUE_MAX ? room : VALUE_MAX, value, input);
    line_put(line, "\"", 1);
}

void hr_logline_str(struct hr_logline *line, const char *key, struct hr_str value)
{
    if (!line->is_json && is_bare(value) && value.len <= VALUE_MAX)
        line_put_bare(line, hr_str_of(key), value);
    else
        line_put_quoted(line, hr_str_of(key), value, RAW);
}

void hr_logline_int(struct hr_logline *line, const char *key, int64_t value)
{
    char text[DECIMAL_MAX];
    char *digits = decimal(text, value < 0 ? -(uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--digits = '-';
    line_put_bare(line, hr_str_of(key), hr_str_of(digits));
}

void hr_logline_ms(struct hr_logline *line, const char *key, hr_time value)
{
    const hr_time tenth = HR_MS / 10;
    hr_time tenths = value > 0 ? value / tenth + (value % tenth >= tenth / 2) : 0;
    char text[DECIMAL_MAX + 2];
    char *digits = decimal(text, (uint64_t)tenths / 10);
    text[DECIMAL_MAX - 1] = '.'; /* where the NUL was */
    text[DECIMAL_MAX] = (char)('0' + tenths % 10);
    text[DECIMAL_MAX + 1] = '\0';
    line_put_bare(line, hr_str_of(key), hr_str_of(digits));
}

static void line_write(const struct hr_logline *line)
{
    int saved_errno = errno;
    int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
    ssize_t n;
    do
        n = write(fd, line->buf, line->len);
    while (n < 0 && errno == EINTR);
    errno = saved_errno; /* a log that cannot be written must not stop the work it tells about */
}

void hr_logline_end(struct hr_logline *line)
{
    static const char json_cut[] = ",\"cut\":true", text_cut[] = " cut=true";
    _Static_assert(sizeof json_cut + 1 <= LINE_RESERVE, "the reserve holds mark, brace, newline");

    if (line->is_cut) {
        struct hr_str mark = line->is_json ? HR_LIT(json_cut) : HR_LIT(text_cut);
        memcpy(line->buf + line->len, mark.ptr, mark.len);
        line->len += mark.len;
    }
    if (line->is_json)
        line->buf[line->len++] = '}';
    line->buf[line->len++] = '\n';
    line_write(line);
}

/* ---- hr_log: key=value text */

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

/* Cuts `key=value` or a plain word (then *key is empty) off *rest. The value
 * of *is_quoted ones is given without its quotes. False at the end. */
static bool text_next(struct hr_str *rest, struct hr_str *key, struct hr_str *value,
                      bool *is_quoted)
{
    while (rest->len > 0 && *rest->ptr == ' ')
        *rest = (struct hr_str){rest->ptr + 1, rest->len - 1};
    if (rest->len == 0)
        return false;

    const char *at = rest->ptr, *end = rest->ptr + rest->len;
    while (at < end && is_key_char(*at))
        at++;
    *key = (struct hr_str){rest->ptr, 0};
    if (at > rest->ptr && at < end && *at == '=')
        key->len = (size_t)(at++ - rest->ptr);
    else
        at = rest->ptr;

    *is_quoted = key->len > 0 && at < end && *at == '"';
    char stop = *is_quoted ? '"' : ' ';
    const char *start = *is_quoted ? ++at : at;
    for (; at < end && *at != stop; at++)
        if (*is_quoted && *at == '\\' && at + 1 < end)
            at++;
    *value = (struct hr_str){start, (size_t)(at - start)};
    if (*is_quoted && at < end)
        at++;
    *rest = (struct hr_str){at, (size_t)(end - at)};
    return true;
}

static void log_members(struct hr_logline *line, struct hr_str text)
{
    struct hr_str key, value;
    bool is_quoted;
    char words[VALUE_MAX];
    size_t words_len = 0;

    while (text_next(&text, &key, &value, &is_quoted)) {
        if (key.len == 0) {
            int n = snprintf(words + words_len, sizeof words - words_len, "%s%.*s",
                             words_len > 0 ? " " : "", HR_STR(value));
            words_len += (size_t)n < sizeof words - words_len ? (size_t)n : 0;
        } else if (!is_quoted && is_number(value)) {
            line_put_bare(line, key, value);
        } else {
            line_put_quoted(line, key, value, is_quoted ? ESCAPED : RAW);
        }
    }
    if (words_len > 0)
        line_put_quoted(line, HR_LIT("message"), (struct hr_str){words, words_len}, RAW);
}

void hr_log(enum hr_event event, const char *format, ...)
{
    hr_assert((unsigned)event < HR_N_EVENTS);
    if (!hr_log_is_on(events[event].level))
        return;
    struct hr_logline line;
    hr_logline_begin(&line, event);

    char text[sizeof line.buf - 128]; /* the rest is for time, level and event */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hr_assert(n >= 0);
    line.is_cut = (size_t)n >= sizeof text;
    size_t len = line.is_cut ? sizeof text - 1 : (size_t)n;
    /* One event is one line, whatever a value held that was not quoted. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';

    if (line.is_json) {
        log_members(&line, (struct hr_str){text, len});
    } else if (len > 0) {
        line_put(&line, " ", 1);
        line_put(&line, text, len);
    }
    hr_logline_end(&line);
}
