/* fsck.h - is an arena that nobody changes at the moment in order?
 *
 * What must hold when no operation is half done: no entry is TAKEN by a slot
 * that is not alive; every queued block is queued once, with its own tag;
 * every block is free, queued, held by a living slot, with the layer, or the
 * tail of such a block; cursors and entries agree.
 *
 * Threads: the arena is only read. On a live arena answers may be wrong.
 */
#ifndef HR_LAYER_IPC_FSCK_H
#define HR_LAYER_IPC_FSCK_H

#include "layer/ipc/arena.h"

struct ipc_fsck {
    uint32_t n_errors;
    char first[128]; /* the first one in words, empty when none */
    uint32_t n_free, n_queued, n_held, n_tails, n_with_layer; /* blocks */
};

/* Returns 0, or HR_ERR_NOMEM. Findings are in *out. */
HR_MUST_CHECK int ipc_fsck(struct ipc_arena *arena, struct ipc_fsck *out);

#endif /* HR_LAYER_IPC_FSCK_H */
