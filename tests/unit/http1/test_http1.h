/* test_http1.h - the groups of the one test program; each returns how many tests failed. */
#ifndef HR_TESTS_HTTP1_TEST_HTTP1_H
#define HR_TESTS_HTTP1_TEST_HTTP1_H

int test_parser(void);
int test_head(void);
int test_answer(void);

#endif /* HR_TESTS_HTTP1_TEST_HTTP1_H */
