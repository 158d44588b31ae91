/* work.c - `headrace work`: one worker.
 *
 * The runtime does everything else; see worker/runtime.h. Before it starts,
 * the process offers itself to the kernel's out-of-memory killer ahead of the
 * interface servers: code can be started again, sockets cannot.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/app.h"
#include "cli/attach.h"
#include "cli/configs.h"
#include "cli/exit.h"
#include "cli/half.h"
#include "cli/verbs.h"

static void offer_to_oom_killer(void)
{
    static const char score[] = "300";
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    /* Raising one's own is always allowed; where there is no such file it does not matter. */
    (void)!write(fd, score, sizeof score - 1);
    close(fd);
}

/* The runtime would make it too, but knows neither [layer] nor [channel]. */
static int make_layer(const struct hr_half *half)
{
    const struct hr_layer_options options = {
        .role = HR_ROLE_CLIENT, .create = true, .label = half->label};
    struct hr_layer *layer = NULL;
    int r = hr_attach(half->settings, half->url, &options, &layer);
    if (r == 0 && hr_attach_policies(half->settings, layer) != 0) {
        hr_complain("the settings of [channel] could not be set in the layer");
        r = HR_EXIT_LAYER;
    }
    hr_layer_close(layer);
    return r;
}

/* The build that the supervisor handed over; 0: none, the file is read. */
static int handed_build(const struct hr_args *args)
{
    const char *text = hr_args_option(args, HR_OPT_BUILD);
    uint64_t fd = 0;
    return text && hr_str_u64(hr_str_of(text), &fd) && fd <= INT32_MAX ? (int)fd : 0;
}

static int work_on(const struct hr_half *half, int build_fd)
{
    struct hr_worker_parts parts;
    int r = hr_worker_parts_init(&parts, half->settings, half->pool, half->label, half->url);
    parts.config.app_fd = build_fd;
    if (r == 0)
        r = hr_worker_run(&parts.config);
    else
        hr_complain("%s", hr_error_text(r));
    hr_worker_parts_fini(&parts);
    return r < 0 ? HR_EXIT_SETTINGS : r;
}

int hr_verb_work(const struct hr_args *args)
{
    struct hr_half half;
    char why[1024];
    int code = hr_half_begin(args, "worker", &half), build_fd = handed_build(args);
    if (code == 0 && build_fd == 0) {
        code = hr_app_check(half.pool->app, "", why, sizeof why);
        if (code != 0)
            hr_complain("%s", why);
    }
    if (code == 0) {
        offer_to_oom_killer();
        code = half.is_child ? 0 : make_layer(&half);
    }
    if (code == 0)
        code = work_on(&half, build_fd);
    hr_half_end(&half);
    return code;
}
