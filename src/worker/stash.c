/* stash.c - see stash.h for the contract.
 *
 * A bump pointer per block. A block that is too small for the next piece is
 * left with its rest unused: pieces are small beside HR_STASH_BLOCK, and one
 * that is larger gets a block of its own size.
 */
#include "worker/stash.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { HR_STASH_BLOCK = 16 << 10, HR_STASH_ALIGN = alignof(max_align_t) };

struct hr_stash_block {
    struct hr_stash_block *next;
    max_align_t data[];
};

void hr_stash_init(struct hr_stash *stash, void *first, size_t size)
{
    *stash = (struct hr_stash){.cur = first, .end = (uint8_t *)first + size};
}

void hr_stash_fini(struct hr_stash *stash)
{
    while (stash->blocks) {
        struct hr_stash_block *block = stash->blocks;
        stash->blocks = block->next;
        hr_free(block);
    }
    *stash = (struct hr_stash){0};
}

static int stash_grow(struct hr_stash *stash, size_t size)
{
    size_t room = size > HR_STASH_BLOCK ? size : HR_STASH_BLOCK;
    if (room > SIZE_MAX - sizeof(struct hr_stash_block))
        return hr_raise(HR_ERR_NOMEM);
    struct hr_stash_block *block = hr_alloc(sizeof(*block) + room);
    if (!block)
        return hr_raise(HR_ERR_NOMEM);

    block->next = stash->blocks;
    stash->blocks = block;
    stash->cur = (uint8_t *)block->data;
    stash->end = stash->cur + room;
    return 0;
}

void *hr_stash_alloc(struct hr_stash *stash, size_t size)
{
    /* Rounding up could wrap. */
    if (size > SIZE_MAX - HR_STASH_ALIGN)
        return NULL;
    size = (size + HR_STASH_ALIGN - 1) & ~(size_t)(HR_STASH_ALIGN - 1);
    if (size > (size_t)(stash->end - stash->cur) && stash_grow(stash, size) < 0)
        return NULL;

    void *piece = stash->cur;
    stash->cur += size;
    return piece;
}

int hr_stash_copy(struct hr_stash *stash, struct hr_str text, struct hr_str *out)
{
    char *copy = hr_stash_alloc(stash, text.len + 1);
    if (!copy)
        return hr_raise(HR_ERR_NOMEM);

    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out = (struct hr_str){copy, text.len};
    return 0;
}

/* Prints into what is free and only then knows the length; text that does not
 * fit is printed again into a piece that is large enough. */
int hr_stash_vprintf(struct hr_stash *stash, struct hr_str *out, const char *format, va_list args)
{
    size_t room = (size_t)(stash->end - stash->cur);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf((char *)stash->cur, room, format, args);
    char *text = len < 0 ? NULL : hr_stash_alloc(stash, (size_t)len + 1);

    if (text && (size_t)len >= room)
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    if (len < 0)
        return hr_raise(HR_ERR_INVALID);
    if (!text)
        return hr_raise(HR_ERR_NOMEM);
    *out = (struct hr_str){text, (size_t)len};
    return 0;
}
