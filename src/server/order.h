/* order.h - what operators ask of an interface server, by messages to its control address.
 *
 *     control.close {path, code, reason}   closes the WebSockets that are open and whose path
 *                                          begins with `path`
 *
 * Answered to the reply address by control.done {ok, n, text}; the lease is kept
 * until then, so that who asked learns of our death.
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_ORDER_H
#define HR_SERVER_ORDER_H

#include <stdbool.h>

#include <headrace/layer.h>

struct hr_server;

/* A delivery to the control address. */
void hr_order_deliver(struct hr_server *server, const struct hr_delivery *delivery);

/* Does some of what was asked; call once a turn. False when nothing is left. */
bool hr_order_run(struct hr_server *server);

/* Forgets what is left: who asked gets the leases back. */
void hr_order_fini(struct hr_server *server);

#endif /* HR_SERVER_ORDER_H */
