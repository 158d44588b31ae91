/* pages.h - the answers that no application gives: refusals and failures.
 *
 * A short page in HTML for browsers and in plain text for everyone else: the
 * status, and the reason's word.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_PAGES_H
#define HR_SERVER_PAGES_H

#include "server/http.h"

/* Answers and finishes the request. `reason` may be NONE. */
void hr_page_answer(struct hr_http *http, uint16_t status, enum hr_reason reason);

/* The header that tells the client the request's reason; gives how many there are, 0 or 1. */
size_t hr_page_reason(const struct hr_http *http, struct hr_header *out);

/* Answers with `body` and finishes. */
void hr_page_text(struct hr_http *http, uint16_t status, struct hr_str content_type,
                  struct hr_str body);

#endif /* HR_SERVER_PAGES_H */
