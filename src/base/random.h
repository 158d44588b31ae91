/* random.h - random bytes from the kernel (getrandom). Never fails: it waits at boot, or aborts. */
#ifndef HR_BASE_RANDOM_H
#define HR_BASE_RANDOM_H

#include <stddef.h>

void hr_random(void *out, size_t len);

#endif /* HR_BASE_RANDOM_H */
