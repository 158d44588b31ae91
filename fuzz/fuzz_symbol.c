/* fuzz_symbol.c - a crash handler's look into a file that is not what it should be.
 *
 * The first 8 bytes are the address, the rest is the ELF file. What is found
 * lies in the file, and finding it ends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "worker/symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lies_in(struct hr_str text, const uint8_t *image, size_t size)
{
    const uint8_t *at = (const uint8_t *)text.ptr;
    hr_assert(text.len == 0 ||
              (at >= image && at < image + size && text.len < (size_t)(image + size - at)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t address;
    if (size < sizeof(address))
        return 0;
    memcpy(&address, data, sizeof(address));
    size -= sizeof(address);
    uint8_t *image = malloc(size + 1); /* aligned, as a mapping is */
    hr_assert(image);
    memcpy(image, data + sizeof(address), size);
    struct hr_symbol symbol = hr_symbol_find(image, size, address);
    check_lies_in(symbol.function, image, size);
    check_lies_in(symbol.file, image, size);
    free(image);
    return 0;
}
