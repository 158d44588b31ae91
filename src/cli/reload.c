/* reload.c - `headrace reload`: asks the supervisor; see control.c for what is said. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <headrace/message.h>

#include "base/time.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/verbs.h"

#define ANSWER_TIMEOUT (5 * HR_SECOND) /* without --wait the answer is immediate */

static bool find_supervisor(struct hr_layer *layer, struct hr_addr *out)
{
    struct hr_record record;
    struct hr_msg msg;
    return hr_find_supervisor(layer, &record, &msg) &&
           hr_addr_parse(hr_msg_str(&msg, "address"), out);
}

static int ask(struct hr_layer *layer, const struct hr_addr *supervisor, struct hr_str pool,
               bool waits)
{
    uint8_t data[512];
    struct hr_pack pack;
    struct hr_send_options options = {.reply = hr_layer_control_address(layer), .is_control = true};
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, pool.len ? 3 : 2);
    hr_pack_cstr(&pack, "type");
    hr_pack_cstr(&pack, "control.reload");
    hr_pack_cstr(&pack, "wait");
    hr_pack_bool(&pack, waits);
    if (pool.len) {
        hr_pack_cstr(&pack, "pool");
        hr_pack_str(&pack, pool.ptr, pool.len);
    }
    int r = hr_pack_done(&pack);
    return r < 0 ? hr_trace(r)
                 : hr_layer_send_to(layer, supervisor, data, hr_pack_len(&pack), &options);
}

static int say_died(void)
{
    hr_complain("the supervisor ended before it answered; 'headrace status' shows what is left.");
    return HR_EXIT_LAYER;
}

/* Gives the exit code once the delivery is the answer, else -1. */
static int read_answer(const struct hr_delivery *delivery)
{
    struct hr_msg msg;
    if (delivery->kind == HR_DELIVERY_LEASE_LOST)
        return say_died();
    if (delivery->kind != HR_DELIVERY_MESSAGE ||
        hr_msg_check(delivery->data, delivery->len, &msg) != 0)
        return -1;
    struct hr_str type = hr_msg_str(&msg, "type"), text = hr_msg_str(&msg, "text");
    if (hr_str_eq(type, HR_LIT("control.progress")) && isatty(STDERR_FILENO))
        fprintf(stderr, "%.*s\n", HR_STR(text));
    if (!hr_str_eq(type, HR_LIT("control.done")))
        return -1;
    bool is_ok = hr_msg_bool(&msg, "ok", false);
    fprintf(is_ok ? stdout : stderr, "%.*s\n", HR_STR(text));
    return is_ok ? HR_EXIT_OK : (int)hr_msg_int(&msg, "code", HR_EXIT_SETTINGS);
}

static int wait_for_answer(struct hr_layer *layer, bool waits)
{
    hr_time until = waits ? HR_NEVER : hr_time_now() + ANSWER_TIMEOUT;
    for (;;) {
        struct hr_delivery delivery;
        int r = hr_layer_receive(layer, HR_RECEIVE_INBOX, &delivery);
        int code = r == 0 ? read_answer(&delivery) : -1;
        if (code >= 0)
            return code;
        if (r == 0)
            continue;
        hr_time now = hr_time_now();
        if (r < 0 || now >= until)
            return say_died();
        r = hr_layer_wait(layer, HR_RECEIVE_INBOX, until == HR_NEVER ? HR_NEVER : until - now);
        if (r < 0 && !(r == HR_ERR_SYS && errno == EINTR))
            return say_died();
    }
}

int hr_verb_reload(const struct hr_args *args)
{
    struct hr_visit visit;
    struct hr_addr supervisor;
    bool waits = hr_args_option(args, HR_OPT_WAIT) != NULL;
    int code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    if (code == 0 && !find_supervisor(visit.layer, &supervisor)) {
        hr_complain("no supervisor runs at %s.\n  Start one: headrace run", visit.url);
        code = HR_EXIT_LAYER;
    }
    if (code == 0) {
        struct hr_str pool = hr_str_of(hr_args_pool(args));
        int r = ask(visit.layer, &supervisor, pool, waits);
        if (r == HR_LAYER_GONE) {
            hr_complain("the supervisor is gone; 'headrace status' shows what is left.");
            code = HR_EXIT_LAYER;
        } else if (r != 0) {
            hr_complain("the supervisor could not be asked: %s",
                        r < 0 ? hr_error_text(r) : "its inbox is full");
            code = HR_EXIT_LAYER;
        } else {
            code = wait_for_answer(visit.layer, waits);
        }
    }
    hr_visit_end(&visit);
    return code;
}
