/* log.h - one line an event, for people on a terminal and as JSON elsewhere.
 *
 *   hr_log(HR_EV_WORKER_DIED, "pool=%s worker=%s pid=%d", pool, label, (int)pid);
 *
 * The event decides level and word (tables/events.def: stable, documented).
 * The text is a list of key=value pairs, values with spaces quoted by
 * HR_LOG_Q. On a terminal it is shown as it stands; as JSON the pairs become
 * members. Engines and src/base never log.
 *
 * Access lines are built with struct hr_logline, field by field.
 *
 * Threads: safe; a line is one write(2).
 */
#ifndef HR_BASE_LOG_H
#define HR_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "base/time.h"

enum hr_log_level { HR_LOG_DEBUG, HR_LOG_INFO, HR_LOG_WARNING, HR_LOG_ERROR };
enum hr_log_format { HR_LOG_AUTO, HR_LOG_TEXT, HR_LOG_JSON }; /* AUTO: text when fd is a terminal */

enum hr_event {
#define HR_EVENT(name, level, word, meaning) HR_EV_##name,
#include "tables/events.def"
#undef HR_EVENT
    HR_N_EVENTS
};

void hr_log_init(int fd, enum hr_log_format format, enum hr_log_level least);
bool hr_log_is_on(enum hr_log_level level);
bool hr_log_is_json(void);
void hr_log(enum hr_event event, const char *format, ...) HR_PRINTF(2, 3);

/* For values that may hold anything: `hr_log(HR_EV_X, "path=%s", HR_LOG_Q(path))` with a struct
 * hr_str. What is one plain word stays as it is; all else, and words that look like a number, is
 * put into quotes and escaped as in JSON, and cut ("...") after about 500 bytes. */
enum { HR_LOG_QUOTED_MAX = 512 };
#define HR_LOG_Q(value) hr_log_quote((char[HR_LOG_QUOTED_MAX]){0}, (value))
const char *hr_log_quote(char out[HR_LOG_QUOTED_MAX], struct hr_str value); /* gives `out` */

/* Building a line of typed fields. A value longer than 1024 bytes ends in "..."; a field that no
 * longer fits is left out, and the line then ends with cut=true. */
struct hr_logline {
    char buf[4096]; /* PIPE_BUF: a pipe takes a line whole */
    size_t len;
    bool is_json;
    bool is_cut;
};
void hr_logline_begin(struct hr_logline *line, enum hr_event event);
void hr_logline_str(struct hr_logline *line, const char *key, struct hr_str value); /* escaped */
void hr_logline_int(struct hr_logline *line, const char *key, int64_t value);
void hr_logline_ms(struct hr_logline *line, const char *key, hr_time value); /* 12.3 */
void hr_logline_end(struct hr_logline *line);                                /* writes it */

#endif /* HR_BASE_LOG_H */
