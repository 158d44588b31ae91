/* test_websocket.h - the groups of the one test program; each returns how many tests failed. */
#ifndef HR_TESTS_WEBSOCKET_TEST_WEBSOCKET_H
#define HR_TESTS_WEBSOCKET_TEST_WEBSOCKET_H

int test_frame(void);
int test_handshake(void);
int test_wire(char *const *paths, int n_paths);

#endif /* HR_TESTS_WEBSOCKET_TEST_WEBSOCKET_H */
