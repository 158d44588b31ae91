/* suites.h - the parts of unit-message; each returns how many of its tests failed. */
#ifndef HR_TESTS_MESSAGE_SUITES_H
#define HR_TESTS_MESSAGE_SUITES_H

int run_pack_tests(void);
int run_msg_tests(void);
int run_asgi_tests(void);

#endif /* HR_TESTS_MESSAGE_SUITES_H */
