/* fuzz_http1.c - the HTTP/1 engine against bytes that nobody would send.
 *
 * The first input byte chooses the limits, the second seeds the cuts; the rest
 * is what a peer sends. Promises held: however the bytes are cut, one by one,
 * at random points or in two at any point, they mean the same; what is lent lies within the input
 * (drive.c); the two readings of a head never differ, for if they did, a guard would be missing;
 * and what was accepted is what the header says it is.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    N_RANDOM = 2,
    MAX_IN_TWO =
        200, /* longer ones are not cut in two at every point: that takes the square of it */
};

static void check_cut(const struct drive *drive, const char *whole)
{
    char *cut = drive_run(drive);
    hr_assert(strcmp(whole, cut) == 0);
    free(cut);
}

static void check(const uint8_t *data, size_t size)
{
    struct drive drive = {.input = {(const char *)data + 2, size - 2}, .limits = drive_limits};

    if (data[0] & 1)
        drive.limits = (struct hr_http1_limits){
            .max_head = 128, .max_headers = 4, .max_target = 16, .max_body = 8};
    char *whole = drive_run(&drive);
    hr_assert(!drive_has_line(whole, "bad 400 two readings of one head"));
    drive.cut = DRIVE_BYTES;
    check_cut(&drive, whole);
    drive.cut = DRIVE_RANDOM;
    for (unsigned int i = 0; i < N_RANDOM; i++) {
        drive.seed = data[1] + 256u * i;
        check_cut(&drive, whole);
    }
    drive.cut = DRIVE_TWO;
    for (drive.first = 1; drive.first + 2 < size && size <= MAX_IN_TWO; drive.first++)
        check_cut(&drive, whole);
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t live = hr_alloc_live();

    if (size >= 2)
        check(data, size);
    hr_assert(hr_alloc_live() == live);
    return 0;
}
