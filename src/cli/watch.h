/* watch.h - `run --reload`: notices when an application's file has been built anew.
 *
 * Threads: the loop's. Memory: the caller's; reuse only after hr_loop_free().
 */
#ifndef HR_CLI_WATCH_H
#define HR_CLI_WATCH_H

#include "base/loop.h"
#include "cli/settings.h"

enum { HR_WATCH_MAX = HR_SETTINGS_MAX_POOLS }; /* files: one a pool */

struct hr_watch {
    struct hr_loop *loop;
    struct hr_io io;
    int fd;
    struct hr_timer settle;
    struct {
        int wd; /* of the directory */
        char name[256];
    } files[HR_WATCH_MAX];
    uint32_t n_files;
    char changed[256];
    void (*fn)(struct hr_watch *watch, const char *name);
};

/* Watches the applications of all pools. `fn` is called with the name of a
 * file that was written or replaced, once it has been quiet for 100 ms: tools
 * write in several steps. Returns 0 or HR_ERR_SYS. */
HR_MUST_CHECK int hr_watch_open(struct hr_loop *loop, struct hr_watch *watch,
                                const struct hr_settings *settings,
                                void (*fn)(struct hr_watch *watch, const char *name));
/* Watches other files from now on. */
HR_MUST_CHECK int hr_watch_files(struct hr_watch *watch, const struct hr_settings *settings);
void hr_watch_close(struct hr_watch *watch);

#endif /* HR_CLI_WATCH_H */
