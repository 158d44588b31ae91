/* about.h - what a WebSocket's events and log lines repeat: its path and its request's id.
 *
 * One block per socket, as short as the two texts are.
 */
#ifndef HR_SERVER_ABOUT_H
#define HR_SERVER_ABOUT_H

#include <stdint.h>

#include "base/str.h"
#include "base/time.h"

struct hr_ws_about {
    hr_time opened_at;
    uint32_t path_len;
    uint32_t id_len;
    char text[]; /* path, then id */
};

static inline struct hr_str hr_ws_about_path(const struct hr_ws_about *about)
{
    return (struct hr_str){about->text, about->path_len};
}
static inline struct hr_str hr_ws_about_id(const struct hr_ws_about *about)
{
    return (struct hr_str){about->text + about->path_len, about->id_len};
}

#endif /* HR_SERVER_ABOUT_H */
