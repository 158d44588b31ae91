/* status_watch.c - `headrace status --watch`: the same, every second.
 *
 * On a terminal the picture is drawn over the last one, line by line and in one
 * write, so that nothing flickers; what does not fit is counted, not scrolled.
 * Elsewhere one picture follows the other, for a log or a program.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/status.h"

#define EVERY HR_SECOND

/* The other screen, without a cursor; and back. */
static const char enter[] = "\033[?1049h\033[?25l", leave[] = "\033[?25h\033[?1049l";

static volatile sig_atomic_t is_over;

struct screen {
    struct termios before;
    bool has_keys; /* standard input is a terminal too: `q` ends */
};

static void on_end(int number)
{
    (void)number;
    is_over = 1;
}

static void on_resize(int number)
{
    (void)number; /* it interrupts the sleep */
}

static void catch (int number, void (*fn)(int number))
{
    struct sigaction action = {.sa_handler = fn};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static bool add(struct hr_buf *buf, const char *text, size_t len)
{
    return hr_buf_append(buf, text, len) == 0;
}

static bool put(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno != EINTR)
            return false;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void screen_begin(struct screen *screen)
{
    catch (SIGINT, on_end);
    catch (SIGTERM, on_end);
    catch (SIGHUP, on_end);
    catch (SIGWINCH, on_resize);
    catch (SIGTSTP, SIG_IGN); /* it would leave the terminal as it is now */
    screen->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen->before) == 0;
    if (screen->has_keys) {
        struct termios keys = screen->before;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    }
    put(enter, sizeof enter - 1);
}

static void screen_end(const struct screen *screen)
{
    put(leave, sizeof leave - 1);
    if (screen->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
}

/* Bytes of the line that `width` columns can show. */
static size_t cut(const char *line, size_t len, unsigned width)
{
    unsigned n_columns = 0;
    for (size_t i = 0; i < len; i++) {
        bool begins = ((unsigned char)line[i] & 0xC0) != 0x80; /* a character of UTF-8 */
        n_columns += begins;
        if (begins && n_columns > width)
            return i;
    }
    return len;
}

static bool draw(const char *text, size_t len)
{
    struct winsize size = {0};
    struct hr_buf frame = {0};
    char more[48] = "";
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
    unsigned rows = is_known ? size.ws_row : 24, columns = is_known ? size.ws_col : 80;
    unsigned n_lines = 0;
    bool is_ok = add(&frame, "\033[H", 3);
    for (const char *line = text, *end = text + len; is_ok && line < end; n_lines++) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t n = next ? (size_t)(next - line) : (size_t)(end - line);
        if (n_lines + 1 < rows) /* the last row is ours */
            is_ok = add(&frame, line, cut(line, n, columns)) && add(&frame, "\033[K\n", 4);
        line += n + 1;
    }
    if (n_lines + 1 > rows)
        snprintf(more, sizeof more, "%u more lines; ", n_lines + 1 - rows);
    is_ok = is_ok && add(&frame, more, strlen(more)) && add(&frame, "q ends\033[J", 9) &&
            put((const char *)hr_buf_ptr(&frame), hr_buf_len(&frame));
    hr_buf_fini(&frame);
    return is_ok;
}

/* One line of what was made for eyes: strings in it hold no line feeds. */
static size_t join_lines(char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\n') {
            text[n++] = text[i];
            continue;
        }
        while (i + 1 < len && text[i + 1] == ' ')
            i++;
    }
    text[n++] = '\n'; /* there was one at least */
    return n;
}

static ssize_t write_text(void *text, const char *data, size_t len)
{
    return add(text, data, len) ? (ssize_t)len : 0;
}

static bool show(const struct hr_status_view *view, bool on_screen)
{
    struct hr_buf text = {0};
    FILE *out = fopencookie(&text, "w", (cookie_io_functions_t){.write = write_text});
    if (!out)
        return false;
    hr_status_show(view, out);
    bool is_ok = fclose(out) == 0;
    char *bytes = (char *)hr_buf_ptr(&text);
    size_t len = hr_buf_len(&text);
    if (is_ok && view->is_json)
        is_ok = put(bytes, join_lines(bytes, len));
    else if (is_ok)
        is_ok = on_screen ? draw(bytes, len) : put(bytes, len) && put("\n", 1);
    hr_buf_fini(&text);
    return is_ok;
}

/* Until the next picture is due, or a key or a signal wants something. */
static void rest(const struct screen *screen, hr_time until)
{
    struct pollfd keys = {.fd = screen->has_keys ? STDIN_FILENO : -1, .events = POLLIN};
    hr_time left = until - hr_time_now();
    char key;
    if (left <= 0 || poll(&keys, 1, (int)(left / HR_MS) + 1) <= 0)
        return;
    if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
        is_over = 1;
}

void hr_status_watch(const struct hr_status_view *view)
{
    const char *terminal = getenv("TERM");
    bool on_screen =
        !view->is_json && isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    struct screen screen = {0};
    bool is_ok = true;
    if (on_screen)
        screen_begin(&screen);
    for (hr_time due = hr_time_now(); is_ok && !is_over; rest(&screen, due)) {
        is_ok = show(view, on_screen); /* after a key or a resize too */
        while (due <= hr_time_now())
            due += EVERY;
    }
    if (on_screen)
        screen_end(&screen);
}
