/* log_capture.h - what the log wrote, for the tests of log.h. */
#ifndef HR_TESTS_UNIT_BASE_LOG_CAPTURE_H
#define HR_TESTS_UNIT_BASE_LOG_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

/* Sends the log into a file that log_take() reads. May be called again to change the settings. */
void log_capture(enum hr_log_format format, enum hr_log_level least);
/* What was written since the last take. Lent until the next. */
const char *log_take(void);
/* Back to stderr. */
void log_release(void);

/* Checks "HH:MM:SS.mmm " at the start and gives what follows. */
const char *log_after_time(const char *line);
/* Checks {"ts":"2026-01-31T12:00:00.000Z", at the start and gives what follows. */
const char *log_after_ts(const char *line);

/* Is it one line that holds one JSON object (RFC 8259) of strings, numbers and true? */
bool log_is_json_line(const char *line);

#endif /* HR_TESTS_UNIT_BASE_LOG_CAPTURE_H */
