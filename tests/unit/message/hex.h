/* hex.h - messages in tests as people write them: "81 a1 61 c3". */
#ifndef HR_TESTS_MESSAGE_HEX_H
#define HR_TESTS_MESSAGE_HEX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <headrace/message.h>

/* Writes the bytes to `out`, which is large enough; spaces are skipped. */
size_t unhex(const char *text, uint8_t *out);

/* A copy in a block of exactly that size, so that a sanitizer sees the first
 * byte that is read behind it. Never NULL; for hr_free(). */
uint8_t *exact_copy(const void *data, size_t len);

/* Checks the message and fails the test when it is not valid. `data` must stay. */
struct hr_msg checked(const void *data, size_t len);

/* Fails the test unless `pack` holds exactly the bytes that `hex` says. */
void assert_packed(const struct hr_pack *pack, const char *hex);

#endif /* HR_TESTS_MESSAGE_HEX_H */
