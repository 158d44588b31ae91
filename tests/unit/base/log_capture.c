/* log_capture.c - see log_capture.h. */
#include "log_capture.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test_base.h"

static int capture_fd = -1;

void log_capture(enum hr_log_format format, enum hr_log_level least)
{
    if (capture_fd < 0)
        capture_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(capture_fd >= 0);
    hr_log_init(capture_fd, format, least);
}

const char *log_take(void)
{
    static char text[16384];
    ssize_t n = pread(capture_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(capture_fd, 0), 0);
    assert_int_equal(lseek(capture_fd, 0, SEEK_SET), 0);
    return text;
}

void log_release(void)
{
    hr_log_init(STDERR_FILENO, HR_LOG_AUTO, HR_LOG_INFO);
    close(capture_fd);
    capture_fd = -1;
}

/* Compares with a pattern in which 0 stands for any digit. */
static const char *skip_pattern(const char *text, const char *pattern)
{
    for (; *pattern; pattern++, text++)
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            fail_msg("'%s' should begin as '%s'", text, pattern);
    return text;
}

const char *log_after_time(const char *line)
{
    return skip_pattern(line, "00:00:00.000 ");
}

const char *log_after_ts(const char *line)
{
    return skip_pattern(line, "{\"ts\":\"0000-00-00T00:00:00.000Z\",");
}

static bool skip_text(const char **at, const char *expected)
{
    size_t len = strlen(expected);
    if (strncmp(*at, expected, len) != 0)
        return false;
    *at += len;
    return true;
}

/* RFC 8259 7 */
static bool skip_string(const char **at)
{
    if (!skip_text(at, "\""))
        return false;
    for (; **at && **at != '"'; (*at)++) {
        if ((unsigned char)**at < 0x20)
            return false;
        if (**at != '\\')
            continue;
        (*at)++;
        if (**at == 'u') {
            if (strspn(*at + 1, "0123456789abcdefABCDEF") < 4)
                return false;
            *at += 4;
        } else if (!**at || !strchr("\"\\/bfnrt", **at)) {
            return false;
        }
    }
    return skip_text(at, "\"");
}

static bool skip_number(const char **at)
{
    (void)skip_text(at, "-");
    size_t n = strspn(*at, "0123456789");
    if (n == 0 || (**at == '0' && n > 1))
        return false;
    *at += n;
    if (!skip_text(at, "."))
        return true;
    n = strspn(*at, "0123456789");
    *at += n;
    return n > 0;
}

bool log_is_json_line(const char *line)
{
    if (!hr_utf8_ok(line, strlen(line)) || !skip_text(&line, "{"))
        return false;
    do {
        if (!skip_string(&line) || !skip_text(&line, ":"))
            return false;
        if (!skip_text(&line, "true") && !(*line == '"' ? skip_string(&line) : skip_number(&line)))
            return false;
    } while (skip_text(&line, ","));
    return strcmp(line, "}\n") == 0;
}
