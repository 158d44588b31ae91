/* notify.h - telling the service manager: sd_notify(3)'s protocol, a datagram with lines. */
#ifndef HR_CLI_NOTIFY_H
#define HR_CLI_NOTIFY_H

#include "base/time.h"

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_* out of the environment, so that no child takes
 * them for its own. Call once, before children are started. */
void hr_notify_init(void);

/* Sends "READY=1", "STOPPING=1", ... Nothing happens when nobody listens. */
void hr_notify(const char *state);
/* RELOADING=1 with the time stamp that Type=notify-reload needs. */
void hr_notify_reloading(void);

/* How often WATCHDOG=1 is to be sent: half of what the manager allows; 0: never. */
hr_time hr_notify_watchdog_interval(void);

#endif /* HR_CLI_NOTIFY_H */
