/* control.c - what other processes ask of the supervisor; see supervisor.h.
 *
 * The record "supervisor" tells where: {address, pid, name, started}. To that
 * address go messages of the types below, sent with the asker's own address as
 * their reply address; answers are `control.done {ok, text, code}`.
 *
 *     control.reload {pool?, wait}    rolls in new code; answered when that is
 *                                     done or refused, at once unless `wait`;
 *                                     until then `control.progress {text}`
 *
 * A record "crew:NAME" a pool holds what only the supervisor knows and status
 * shows: {channels, processes, exits, last_exit, base}. Exits are those of the
 * last hour; `base` is a list of the pool's sums as they were (history.h).
 */
#include <stdio.h>
#include <unistd.h>

#include <headrace/message.h>

#include "base/assert.h"
#include "base/log.h"
#include "cli/attach.h"
#include "cli/configs.h"
#include "cli/exit.h"
#include "cli/history.h"
#include "cli/supervisor.h"

/* ---- answering ---------------------------------------------------------------------------------
 */

static void say(struct hr_supervisor *supervisor, const struct hr_addr *to, const uint8_t *data,
                const struct hr_pack *pack)
{
    const struct hr_send_options options = {.is_control = true};
    if (hr_pack_done(pack) == 0 &&
        hr_layer_send_to(supervisor->layer, to, data, hr_pack_len(pack), &options) != 0)
        hr_log(HR_EV_DEBUG, "text=\"who asked for a reload is gone\"");
}

void hr_control_progress(struct hr_supervisor *supervisor, const struct hr_asker *asker,
                         const char *text)
{
    uint8_t data[512];
    struct hr_pack pack;
    if (!hr_addr_is_set(&asker->address))
        return;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 2);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "control.progress");
    hr_pack_cstr(&pack, "text");
    hr_pack_cstr(&pack, text);
    say(supervisor, &asker->address, data, &pack);
}

static void send_done(struct hr_supervisor *supervisor, const struct hr_addr *to, bool is_ok,
                      int code, const char *text)
{
    uint8_t data[2048];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 4);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "control.done");
    hr_pack_cstr(&pack, "ok");
    hr_pack_bool(&pack, is_ok);
    hr_pack_cstr(&pack, "code");
    hr_pack_int(&pack, code);
    hr_pack_cstr(&pack, "text");
    hr_pack_cstr(&pack, text);
    say(supervisor, to, data, &pack);
}

/* Losing the lease only means that the asker has gone. */
static void end_lease(struct hr_supervisor *supervisor, const struct hr_lease *lease)
{
    if (hr_lease_is_set(lease) && hr_layer_ack(supervisor->layer, lease) != 0)
        hr_log(HR_EV_DEBUG, "text=\"a request to the supervisor was no longer ours\"");
}

void hr_control_answer(struct hr_supervisor *supervisor, const struct hr_asker *asker, bool is_ok,
                       int code, const char *text)
{
    if (hr_addr_is_set(&asker->address))
        send_done(supervisor, &asker->address, is_ok, code, text);
    end_lease(supervisor, &asker->lease);
}

static void on_reload(struct hr_supervisor *supervisor, const struct hr_msg *msg,
                      const struct hr_delivery *delivery)
{
    struct hr_asker asker = {.address = delivery->reply, .lease = delivery->lease};
    if (!hr_msg_bool(msg, "wait", false)) {
        hr_control_answer(supervisor, &asker, true, HR_EXIT_OK,
                          "asked; the log says what came of it");
        hr_roll_ask(supervisor, hr_msg_str(msg, "pool"), "headrace reload", NULL);
        return;
    }
    hr_roll_ask(supervisor, hr_msg_str(msg, "pool"), "headrace reload", &asker);
}

static void on_delivery(struct hr_supervisor *supervisor, const struct hr_delivery *delivery)
{
    struct hr_msg msg;
    struct hr_asker asker = {.address = delivery->reply, .lease = delivery->lease};
    if (delivery->kind != HR_DELIVERY_MESSAGE)
        return;
    if (hr_msg_check(delivery->data, delivery->len, &msg) != 0)
        hr_control_answer(supervisor, &asker, false, HR_EXIT_USAGE, "not a message");
    else if (hr_str_eq(hr_msg_str(&msg, "type"), HR_LIT("control.reload")))
        on_reload(supervisor, &msg, delivery);
    else
        hr_control_answer(supervisor, &asker, false, HR_EXIT_USAGE,
                          "this supervisor knows no such request");
}

/* ---- joining the loop ---------------------------------------------------------------------------
 */

static bool on_prepare(struct hr_hook *hook)
{
    struct hr_supervisor *supervisor = hr_container_of(hook, struct hr_supervisor, layer_hook);
    return hr_layer_prepare(supervisor->layer, HR_RECEIVE_INBOX) > 0;
}

static hr_time on_timeout(struct hr_hook *hook)
{
    return hr_layer_poll_timeout(hr_container_of(hook, struct hr_supervisor, layer_hook)->layer);
}

static void on_check(struct hr_hook *hook)
{
    struct hr_supervisor *supervisor = hr_container_of(hook, struct hr_supervisor, layer_hook);
    struct hr_delivery delivery;
    hr_layer_dispatch(supervisor->layer);
    while (hr_layer_receive(supervisor->layer, HR_RECEIVE_INBOX, &delivery) == 0)
        on_delivery(supervisor, &delivery);
}

/* The bell has rung; check does the rest. */
static void on_bell(struct hr_io *io, unsigned events)
{
    (void)io;
    (void)events;
}

static int put_record(struct hr_supervisor *supervisor)
{
    uint8_t data[512];
    char address[HR_ADDR_TEXT_MAX];
    struct hr_pack pack;
    struct hr_addr control = hr_layer_control_address(supervisor->layer);
    hr_addr_format(&control, address);
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 4);
    hr_pack_cstr(&pack, "address");
    hr_pack_cstr(&pack, address);
    hr_pack_cstr(&pack, "pid");
    hr_pack_int(&pack, getpid());
    hr_pack_cstr(&pack, "name");
    hr_pack_cstr(&pack, supervisor->settings->headrace.name);
    hr_pack_cstr(&pack, "started");
    hr_pack_int(&pack, hr_time_wall());
    int r = hr_pack_done(&pack);
    return hr_trace(r < 0 ? r
                          : hr_layer_record_put(supervisor->layer, HR_LIT(HR_SUPERVISOR_RECORD),
                                                data, hr_pack_len(&pack)));
}

int hr_control_open(struct hr_supervisor *supervisor)
{
    int r = hr_io_open(supervisor->loop, &supervisor->layer_io, hr_layer_fd(supervisor->layer),
                       on_bell);
    if (r < 0)
        return hr_trace(r);
    hr_io_want(&supervisor->layer_io, HR_IO_READ);
    supervisor->layer_hook =
        (struct hr_hook){.prepare = on_prepare, .check = on_check, .timeout = on_timeout};
    hr_loop_add_hook(supervisor->loop, &supervisor->layer_hook);
    supervisor->joined_layer = true;
    return hr_trace(put_record(supervisor));
}

void hr_control_close(struct hr_supervisor *supervisor)
{
    if (!supervisor->joined_layer)
        return;
    hr_layer_record_remove(supervisor->layer, HR_LIT(HR_SUPERVISOR_RECORD));
    hr_loop_remove_hook(supervisor->loop, &supervisor->layer_hook);
    hr_io_close(&supervisor->layer_io, NULL);
    supervisor->joined_layer = false;
}

/* ---- pools
 * ---------------------------------------------------------------------------------------- */

void hr_control_forget(struct hr_supervisor *supervisor, const char *pool)
{
    static const char *const kinds[] = {"pool", "crew"};
    char key[HR_RECORD_KEY_MAX + 1];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(key, sizeof key, "%s:%s", kinds[i], pool);
        hr_layer_record_remove(supervisor->layer, hr_str_of(key));
    }
}

static bool is_anyone_serving(struct hr_layer *layer)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++)
        if (member.is_live && (member.role == HR_ROLE_SERVER || member.role == HR_ROLE_WORKER))
            return true;
    return false;
}

static int announce_pool(struct hr_supervisor *supervisor, const struct hr_settings_pool *pool)
{
    struct hr_worker_parts parts;
    int r = hr_worker_parts_init(&parts, supervisor->settings, pool, "", supervisor->layer_url);
    if (r == 0)
        r = hr_worker_announce(&parts.config, supervisor->layer);
    hr_worker_parts_fini(&parts);
    return hr_trace(r);
}

int hr_control_announce(struct hr_supervisor *supervisor)
{
    struct hr_record record;
    uint32_t cursor = 0;
    int r = 0;
    if (is_anyone_serving(supervisor->layer))
        return 0; /* their records are what they consume */
    while (hr_layer_record_next(supervisor->layer, &cursor, &record)) {
        const char *colon = strchr(record.key, ':');
        if (colon)
            hr_control_forget(supervisor, colon + 1);
    }
    for (struct hr_settings_pool *pool = hr_pool_first(supervisor->settings); pool && r == 0;
         pool = hr_pool_next(pool))
        r = announce_pool(supervisor, pool);
    return hr_trace(r);
}

/* ---- what status shows
 * --------------------------------------------------------------------------- */

static void pack_channels(struct hr_pack *pack, const struct hr_crew *crew)
{
    const struct hr_settings_pool *pool = hr_pool_find(crew->settings, hr_str_of(crew->name));
    uint32_t n = pool ? pool->channels.n : 0;
    if (n > HR_CREW_SHOWN_CHANNELS)
        n = HR_CREW_SHOWN_CHANNELS;
    hr_pack_list(pack, n);
    for (uint32_t i = 0; i < n; i++)
        hr_pack_cstr(pack, pool->channels.item[i]);
}

static void pack_base(struct hr_pack *pack, const struct hr_crew *crew)
{
    struct hr_pool_sums base;
    hr_history_base(&crew->history, &base);
    hr_pack_list(pack, HR_N_SUMS);
    for (int i = 0; i < HR_N_SUMS; i++)
        hr_pack_int(pack, (int64_t)base.n[i]);
}

static void sample_crew(struct hr_supervisor *supervisor, struct hr_crew *crew)
{
    const struct hr_settings_pool *pool = hr_pool_find(crew->settings, hr_str_of(crew->name));
    const struct hr_pool_takes takes = {.name = hr_str_of(crew->name),
                                        .globs = pool ? pool->channels.item : NULL,
                                        .n_globs = pool ? pool->channels.n : 0};
    struct hr_pool_sums sums;
    hr_figures_of_pool(supervisor->layer, &takes, &sums);
    hr_history_add(&crew->history, &sums, hr_time_now());
}

static void report_crew(struct hr_supervisor *supervisor, struct hr_crew *crew)
{
    uint8_t data[HR_RECORD_MAX];
    char key[HR_RECORD_KEY_MAX + 1];
    struct hr_pack pack;

    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 5);
    hr_pack_cstr(&pack, "channels");
    pack_channels(&pack, crew);
    hr_pack_cstr(&pack, "processes");
    hr_pack_int(&pack, crew->n_wanted);
    hr_pack_cstr(&pack, "exits");
    hr_pack_int(&pack, hr_crew_exits_in_hour(crew));
    hr_pack_cstr(&pack, "last_exit");
    hr_pack_cstr(&pack, crew->last_exit);
    hr_pack_cstr(&pack, "base");
    pack_base(&pack, crew);
    snprintf(key, sizeof key, "crew:%s", crew->name);
    if (hr_pack_done(&pack) < 0 ||
        hr_layer_record_put(supervisor->layer, hr_str_of(key), data, hr_pack_len(&pack)) != 0)
        hr_log(HR_EV_LAYER, "text=\"status cannot be kept up to date\" pool=%s", crew->name);
}

void hr_control_report(struct hr_supervisor *supervisor)
{
    hr_list_foreach (node, &supervisor->crews) {
        struct hr_crew *crew = hr_container_of(node, struct hr_crew, node);
        if (crew->is_server || !crew->settings) /* a new pool's, whose first workers boot */
            continue;
        sample_crew(supervisor, crew);
        report_crew(supervisor, crew);
    }
}
