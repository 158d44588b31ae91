/* inbox.h - what comes from the layer, taken in at once.
 *
 * The interface server never lets its inbox wait: whoever has sent has been
 * told that there was room, and one slow client must not use that up for all.
 * Each turn takes a batch, copies it out to the connections and flushes them.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_INBOX_H
#define HR_SERVER_INBOX_H

#include "base/error.h"

struct hr_server;

/* Joins the layer to the loop. Returns 0, HR_ERR_NOMEM or HR_ERR_SYS. */
HR_MUST_CHECK int hr_inbox_open(struct hr_server *server);
void hr_inbox_close(struct hr_server *server);

#endif /* HR_SERVER_INBOX_H */
