/* lock.h - the layer's lock file: who is alive, and who may change structure.
 *
 * Byte 0 is the admin lock, byte 1 + slot says that the slot's process lives.
 * They are POSIX record locks: the kernel frees them when the process ends,
 * however it ends; they are not inherited by fork; they hold across pid
 * namespaces. Their one trap: closing any descriptor of the file drops all
 * of the process's locks on it. So each process opens each lock file once,
 * shares it between its handles, and closes it only when it holds no slot.
 *
 * A process does not see its own locks, so what this process holds is kept in
 * a table beside the descriptor.
 *
 * Threads: safe. Memory: ref/unref.
 */
#ifndef HR_LAYER_IPC_LOCK_H
#define HR_LAYER_IPC_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

struct ipc_lock;

/* Opens "lock" in the directory, making it when `create`. HR_ERR_SYS, HR_ERR_NOMEM. */
HR_MUST_CHECK int ipc_lock_ref(int dir_fd, bool create, struct ipc_lock **out);
struct ipc_lock *ipc_lock_unref(struct ipc_lock *lock); /* returns NULL */

/* The admin lock, waited for up to `patience`; HR_ERR_TIMEOUT, HR_ERR_SYS. Not recursive. */
HR_MUST_CHECK int ipc_lock_admin(struct ipc_lock *lock, hr_time patience);
void ipc_unlock_admin(struct ipc_lock *lock);

/* Marks `slot` as ours for as long as we live. Returns 0, 1 when somebody
 * else lives there, or HR_ERR_SYS. */
HR_MUST_CHECK int ipc_lock_slot(struct ipc_lock *lock, uint32_t slot);
void ipc_unlock_slot(struct ipc_lock *lock, uint32_t slot);
/* Is the slot held, by us or by anyone? About 250 ns. */
bool ipc_lock_is_held(struct ipc_lock *lock, uint32_t slot);

#endif /* HR_LAYER_IPC_LOCK_H */
