/* access.h - the access log: one line a request, one when a WebSocket opens and one when it ends.
 *
 * Fields as docs/reference has them; what is not known is left out. Costs a
 * branch when it is off.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_ACCESS_H
#define HR_SERVER_ACCESS_H

struct hr_http;
struct hr_websocket;

void hr_access_log_request(struct hr_http *http);
void hr_access_log_closed(const struct hr_websocket *ws);

#endif /* HR_SERVER_ACCESS_H */
