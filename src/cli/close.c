/* close.c - `headrace close --path P`: ends WebSockets, on every interface server. See
 * server/order.h for what is said.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <headrace/message.h>

#include "base/time.h"
#include "cli/attach.h"
#include "cli/exit.h"
#include "cli/verbs.h"
#include "websocket/websocket.h"

#define ANSWER_TIMEOUT (10 * HR_SECOND) /* closing 30 000 sockets takes a second */

struct closing {
    struct hr_layer *layer;
    struct hr_str path, reason;
    uint16_t code;
    uint32_t n_asked, n_answered;
    int64_t n_closed;
    bool has_failed;
};

static int ask_server(const struct closing *closing, const struct hr_member *server)
{
    struct hr_draft draft;
    const struct hr_send_options options = {.reply = hr_layer_control_address(closing->layer),
                                            .is_control = true};
    const struct hr_addr to = {
        .layer = hr_layer_id(closing->layer), .slot = server->slot, .slot_gen = server->slot_gen};
    size_t size = closing->path.len + closing->reason.len + 128;
    int r = hr_layer_draft_to(closing->layer, &to, size, &options, &draft);
    if (r)
        return r;
    hr_pack_map(&draft.pack, 4);
    hr_pack_cstr(&draft.pack, "type");
    hr_pack_cstr(&draft.pack, "control.close");
    hr_pack_cstr(&draft.pack, "path");
    hr_pack_str(&draft.pack, closing->path.ptr, closing->path.len);
    hr_pack_cstr(&draft.pack, "code");
    hr_pack_int(&draft.pack, closing->code);
    hr_pack_cstr(&draft.pack, "reason");
    hr_pack_str(&draft.pack, closing->reason.ptr, closing->reason.len);
    return hr_draft_send(&draft);
}

static void ask_all(struct closing *closing)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(closing->layer, slot, &member); slot++) {
        if (!member.is_live || member.role != HR_ROLE_SERVER)
            continue;
        int r = ask_server(closing, &member);
        closing->n_asked += r == 0;
        if (r == 0 || r == HR_LAYER_GONE)
            continue;
        hr_complain("%s could not be asked: %s", member.label,
                    r < 0 ? hr_error_text(r) : "its inbox is full");
        closing->has_failed = true;
    }
}

static void read_answer(struct closing *closing, const struct hr_delivery *delivery)
{
    struct hr_msg msg;
    if (delivery->kind == HR_DELIVERY_LEASE_LOST) { /* it is dead, and its sockets with it */
        closing->n_answered++;
        return;
    }
    if (delivery->kind != HR_DELIVERY_MESSAGE ||
        hr_msg_check(delivery->data, delivery->len, &msg) != 0 ||
        !hr_str_eq(hr_msg_str(&msg, "type"), HR_LIT("control.done")))
        return;
    closing->n_answered++;
    closing->n_closed += hr_msg_int(&msg, "n", 0);
    if (hr_msg_bool(&msg, "ok", false))
        return;
    hr_complain("a server refused: %.*s", HR_STR(hr_msg_str(&msg, "text")));
    closing->has_failed = true;
}

static void gather(struct closing *closing)
{
    hr_time until = hr_time_now() + ANSWER_TIMEOUT;
    while (closing->n_answered < closing->n_asked) {
        struct hr_delivery delivery;
        int r = hr_layer_receive(closing->layer, HR_RECEIVE_INBOX, &delivery);
        if (r == 0) {
            read_answer(closing, &delivery);
            continue;
        }
        hr_time left = until - hr_time_now();
        if (r > 0 && left > 0)
            r = hr_layer_wait(closing->layer, HR_RECEIVE_INBOX, left);
        if (left > 0 && (r >= 0 || (r == HR_ERR_SYS && errno == EINTR)))
            continue;
        hr_complain("%" PRIu32 " of %" PRIu32 " interface servers have not answered.",
                    closing->n_asked - closing->n_answered, closing->n_asked);
        closing->has_failed = true;
        return;
    }
}

static int close_all(struct closing *closing, const char *url)
{
    ask_all(closing);
    if (closing->n_asked == 0 && !closing->has_failed) {
        hr_complain("no interface server runs at %s: there are no sockets.", url);
        return HR_EXIT_LAYER;
    }
    gather(closing);
    printf("closed %" PRId64 " WebSocket%s whose path begins with '%.*s' (code %d)\n",
           closing->n_closed, closing->n_closed == 1 ? "" : "s", HR_STR(closing->path),
           closing->code);
    return closing->has_failed ? HR_EXIT_SETTINGS : HR_EXIT_OK;
}

/* What was given, checked. False with the complaint printed. */
static bool read_options(const struct hr_args *args, struct closing *closing)
{
    const char *code = hr_args_option(args, HR_OPT_CODE);
    uint64_t number = 1001;
    closing->path = hr_str_of(hr_args_option(args, HR_OPT_PATH));
    closing->reason = hr_str_of(hr_args_option(args, HR_OPT_REASON));
    if (closing->path.len == 0 || closing->path.ptr[0] != '/') {
        hr_complain("say which: --path /ws/ closes what begins so, --path / every WebSocket");
        return false;
    }
    bool is_number = !code || hr_str_u64(hr_str_of(code), &number);
    if (!is_number || number > UINT16_MAX || !hr_ws_code_ok((uint16_t)number)) {
        hr_complain("'%s' is no code that a close may have: 1000 to 1014 but 1004 to 1006, or 3000 "
                    "to 4999 (RFC 6455 7.4)",
                    code);
        return false;
    }
    if (closing->reason.len > HR_WS_MAX_CONTROL - 2) {
        hr_complain("the reason is longer than the %d bytes that fit", HR_WS_MAX_CONTROL - 2);
        return false;
    }
    closing->code = (uint16_t)number;
    return true;
}

int hr_verb_close(const struct hr_args *args)
{
    struct hr_visit visit;
    struct closing closing = {0};
    if (!read_options(args, &closing))
        return HR_EXIT_USAGE;
    int code = hr_visit_begin(args, HR_ROLE_CLIENT, &visit);
    closing.layer = visit.layer;
    if (code == 0)
        code = close_all(&closing, visit.url);
    hr_visit_end(&visit);
    return code;
}
