/* admin.h - the listener for operators: /metrics, /healthz, /readyz.
 *
 * It is a socket of its own, so that neither a proxy's rule nor a full
 * listener stands between an operator and the truth.
 *
 *     /metrics  Prometheus text 0.0.4: all interface servers of the layer
 *     /healthz  200 while the loop turns
 *     /readyz   200 when some worker is ready and this server takes requests
 *
 * Threads: the loop's.
 */
#ifndef HR_SERVER_ADMIN_H
#define HR_SERVER_ADMIN_H

struct hr_http;

/* Answers a request that came in by the admin listener. */
void hr_admin_answer(struct hr_http *http);

#endif /* HR_SERVER_ADMIN_H */
