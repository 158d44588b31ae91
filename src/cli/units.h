/* units.h - durations and sizes as people write them: `30s 5m 1h30m 250ms`, `8MiB`.
 *
 * Threads: none keep state.
 */
#ifndef HR_CLI_UNITS_H
#define HR_CLI_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/time.h"

enum { HR_UNITS_TEXT_MAX = 48 }; /* bytes the two format functions need, NUL included */

/* Numbers with ms, s, m, h or d, largest first or not, without spaces; a
 * number alone means seconds. False when it is none, or beyond 290 years. */
bool hr_units_duration(struct hr_str text, hr_time *out);

/* A number with K, M, G or T (KiB, MiB, ...), all powers of 1024; a number
 * alone, or with B, means bytes. KB and MB are refused: half of all people
 * mean 1000 by them. */
bool hr_units_size(struct hr_str text, uint64_t *out);

/* The shortest exact spelling that the two above read back: "1h30m", "8MiB". */
void hr_units_format_duration(hr_time duration, char out[HR_UNITS_TEXT_MAX]);
void hr_units_format_size(uint64_t size, char out[HR_UNITS_TEXT_MAX]);

/* For people, rounded: "9.8 s", "41 d"; "11 MiB". */
void hr_units_about_duration(hr_time duration, char out[HR_UNITS_TEXT_MAX]);
void hr_units_about_size(uint64_t size, char out[HR_UNITS_TEXT_MAX]);

#endif /* HR_CLI_UNITS_H */
