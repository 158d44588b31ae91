/* suites.h - the groups of tests of this executable. Each returns how many failed. */
#ifndef HR_TESTS_UNIT_SERVER_SUITES_H
#define HR_TESTS_UNIT_SERVER_SUITES_H

int test_http(void);
int test_failures(void);
int test_body(void);
int test_stream(void);
int test_websocket(void);
int test_events(void);
int test_forwarded(void);
int test_group(void);
int test_order(void);
int test_static(void);
int test_admin(void);
int test_life(void);
int test_hostile(void);
int test_route(void);
int test_out(void);

#endif /* HR_TESTS_UNIT_SERVER_SUITES_H */
