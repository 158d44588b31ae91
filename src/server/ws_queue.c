/* ws_queue.c - see ws_queue.h for the contract.
 *
 *     client's pieces ──► joining ──► first .. last ──► the one event out ──► done
 *                            (whole and nothing waits: straight) ─┘
 *
 * `n_queued` charges a node's own size too, so that a flood of empty messages
 * is bounded as well. Reading pauses above max_queued, which is checked after
 * each message: one message of up to max_message bytes always fits.
 */
#include "server/ws_queue.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "server/about.h"
#include "server/private.h"
#include "server/websocket.h"

enum { EVENT_ROOM = 192 + HR_ADDR_TEXT_MAX };

struct hr_ws_item {
    struct hr_ws_item *next;
    enum hr_kind kind;
    uint8_t attempts;
    bool is_text;
    uint16_t code; /* DISCONNECT */
    size_t len, cap;
    char data[]; /* the message, or the reason of a close */
};

static struct hr_websocket *ws_of(struct hr_source *source)
{
    return hr_container_of(source, struct hr_websocket, source);
}

static struct hr_ws_item *event_new(enum hr_kind kind, size_t cap)
{
    struct hr_ws_item *event = hr_alloc(sizeof *event + cap);
    if (event)
        *event = (struct hr_ws_item){.kind = kind, .cap = cap};
    return event;
}

static void event_put(struct hr_ws_item *event, struct hr_str piece)
{
    hr_assert(piece.len <= event->cap - event->len);
    if (piece.len > 0)
        memcpy(event->data + event->len, piece.ptr, piece.len);
    event->len += piece.len;
}

/* ---- the queue */

static size_t event_cost(const struct hr_ws_item *event)
{
    return sizeof *event + event->cap;
}

static void queue_push(struct hr_websocket *ws, struct hr_ws_item *event)
{
    if (ws->last)
        ws->last->next = event;
    else
        ws->first = event;
    ws->last = event;
    ws->n_queued += event_cost(event);
}

static void queue_push_front(struct hr_websocket *ws, struct hr_ws_item *event)
{
    event->next = ws->first;
    ws->first = event;
    if (!ws->last)
        ws->last = event;
    ws->n_queued += event_cost(event);
}

static void queue_drop_first(struct hr_websocket *ws)
{
    struct hr_ws_item *event = ws->first;
    ws->first = event->next;
    if (!ws->first)
        ws->last = NULL;
    ws->n_queued -= event_cost(event);
    hr_free(event);
}

bool hr_ws_queue_is_full(const struct hr_websocket *ws)
{
    return ws->n_queued >= ws->source.server->config.max_queued;
}

void hr_ws_queue_fini(struct hr_websocket *ws)
{
    while (ws->first)
        queue_drop_first(ws);
    ws->joining = hr_free(ws->joining);
}

/* ---- sending */

static void put_tail(struct hr_pack *pack, struct hr_websocket *ws)
{
    char address[HR_ADDR_TEXT_MAX];
    struct hr_str reply = hr_source_address(&ws->source, address);
    struct hr_str path = hr_ws_about_path(ws->about);
    hr_pack_cstr(pack, "path");
    hr_pack_str(pack, path.ptr, path.len);
    hr_pack_cstr(pack, "reply_channel");
    hr_pack_str(pack, reply.ptr, reply.len);
    hr_pack_cstr(pack, "seq");
    hr_pack_int(pack, (int64_t)ws->source.seq + 1);
    hr_pack_cstr(pack, "state");
    if (ws->map)
        hr_pack_raw(pack, ws->map, ws->map_len);
    else
        hr_pack_map(pack, 0);
}

/* What is sent: of an event that waits, or straight from the read buffer. */
struct event_view {
    enum hr_kind kind;
    uint8_t attempts;
    bool is_text;
    uint16_t code;
    struct hr_str data;
};

static void put_event(struct hr_pack *pack, struct hr_websocket *ws, const struct event_view *event)
{
    if (event->kind == HR_KIND_RECEIVE) {
        hr_pack_map(pack, 6);
        hr_pack_type(pack, HR_MSG_TYPE_WEBSOCKET_RECEIVE);
        hr_pack_cstr(pack, event->is_text ? "text" : "bytes");
        if (event->is_text)
            hr_pack_str(pack, event->data.ptr, event->data.len);
        else
            hr_pack_bytes(pack, event->data.ptr, event->data.len);
    } else {
        hr_pack_map(pack, 7);
        hr_pack_type(pack, HR_MSG_TYPE_WEBSOCKET_DISCONNECT);
        hr_pack_cstr(pack, "code");
        hr_pack_int(pack, event->code);
        hr_pack_cstr(pack, "reason");
        hr_pack_str(pack, event->data.ptr, event->data.len);
    }
    put_tail(pack, ws);
}

static int event_send(struct hr_websocket *ws, const struct event_view *event)
{
    struct hr_draft draft;
    size_t room = EVENT_ROOM + event->data.len + hr_ws_about_path(ws->about).len + ws->map_len;
    ws->source.attempts = event->attempts;
    int r = hr_source_draft(&ws->source, event->kind, room, &draft);
    if (r != 0)
        return r;
    put_event(&draft.pack, ws, event);
    return hr_source_send(&ws->source, &draft);
}

/* Sends what can be sent. A socket that has closed and has nothing left is freed: returns false. */
static bool queue_release(struct hr_websocket *ws)
{
    while (ws->first && ws->source.state == HR_SOURCE_IDLE) {
        const struct hr_ws_item *first = ws->first;
        struct event_view event = {
            first->kind, first->attempts, first->is_text, first->code, {first->data, first->len}};
        int r = event_send(ws, &event);
        if (hr_is_refusal(r)) {
            hr_source_refused(&ws->source);
            break;
        }
        if (r != 0)
            hr_source_count(&ws->source, HR_REASON_LIMIT);
        queue_drop_first(ws);
    }
    if (ws->conn && !hr_ws_queue_is_full(ws))
        hr_conn_touch(ws->conn); /* the client may be read on */
    if (ws->conn || ws->first || ws->source.state != HR_SOURCE_IDLE)
        return true;
    hr_websocket_free(ws);
    return false;
}

/* ---- from the client */

/* Room for a piece behind what has come; doubles, so that joining is linear. */
static int join(struct hr_websocket *ws, const struct hr_ws_result *piece)
{
    struct hr_ws_item *event = ws->joining;
    size_t need = (event ? event->len : 0) + piece->payload.len;
    if (!event || need > event->cap) {
        size_t cap = event && !piece->is_end ? 2 * need : need;
        struct hr_ws_item *grown = hr_realloc(event, sizeof *event + cap);
        if (!grown)
            return hr_raise(HR_ERR_NOMEM);
        if (!event)
            *grown = (struct hr_ws_item){.kind = HR_KIND_RECEIVE};
        grown->cap = cap;
        ws->joining = event = grown;
    }
    event->is_text = piece->opcode == HR_WS_TEXT;
    event_put(event, piece->payload);
    return 0;
}

static bool send_straight(struct hr_websocket *ws, const struct hr_ws_result *piece)
{
    struct event_view event = {
        .kind = HR_KIND_RECEIVE,
        .is_text = piece->opcode == HR_WS_TEXT,
        .data = piece->payload,
    };
    return piece->is_start && piece->is_end && !ws->first && ws->source.state == HR_SOURCE_IDLE &&
           event_send(ws, &event) == 0;
}

int hr_ws_queue_piece(struct hr_websocket *ws, const struct hr_ws_result *piece)
{
    if (!hr_pool_takes(ws->source.pool, HR_KIND_RECEIVE) || send_straight(ws, piece))
        return 0;
    int r = join(ws, piece);
    if (r < 0)
        return hr_trace(r);
    if (piece->is_end) {
        queue_push(ws, ws->joining);
        ws->joining = NULL;
        queue_release(ws);
    }
    return 0;
}

bool hr_ws_queue_disconnect(struct hr_websocket *ws, struct hr_str reason)
{
    ws->joining = hr_free(ws->joining); /* a message cut short never was one */
    if (hr_pool_takes(ws->source.pool, HR_KIND_DISCONNECT)) {
        struct hr_ws_item *event = event_new(HR_KIND_DISCONNECT, reason.len);
        if (event) {
            event->code = ws->code;
            event_put(event, reason);
            queue_push(ws, event);
        } else {
            hr_source_count(&ws->source, HR_REASON_LIMIT);
        }
    }
    return queue_release(ws);
}

/* ---- from the worker */

static void state_refuse(struct hr_websocket *ws, enum hr_reason reason, const char *what)
{
    hr_source_count(&ws->source, reason);
    if (!hr_server_may_log(ws->source.server))
        return;
    hr_log(HR_EV_APP, "pool=%.*s path=%s what=%s", HR_STR(ws->source.pool->name),
           HR_LOG_Q(hr_ws_about_path(ws->about)), HR_LOG_Q(hr_str_of(what)));
}

/* A state that cannot be taken leaves the old one: the connection goes on with what it knew. */
static void state_set(struct hr_websocket *ws, const struct hr_msg *done)
{
    static const char no_memory[] = "no memory for the state";
    struct hr_buf *scratch = &ws->source.server->scratch;
    struct hr_value state;
    struct hr_pack pack;
    uint8_t *room;
    if (!hr_msg_get(done, "state", &state))
        return;
    if (hr_buf_reserve(scratch, HR_STATE_MAX, &room) < 0) {
        state_refuse(ws, HR_REASON_LIMIT, no_memory);
        return;
    }
    hr_pack_init(&pack, room, HR_STATE_MAX);
    hr_pack_value(&pack, &state);
    size_t len = state.n > 0 ? hr_pack_len(&pack) : 0;
    if (state.type != HR_TYPE_MAP || hr_pack_done(&pack) < 0) {
        state_refuse(ws, HR_REASON_APP, "a state that is no map of at most 16 KiB");
        return;
    }
    if (len != ws->map_len) {
        uint8_t *map = len > 0 ? hr_alloc(len) : NULL;
        if (len > 0 && !map) {
            state_refuse(ws, HR_REASON_LIMIT, no_memory);
            return;
        }
        hr_free(ws->map);
        ws->map = map;
        ws->map_len = (uint32_t)len;
    }
    if (len > 0)
        memcpy(ws->map, room, len);
}

void hr_ws_queue_on_done(struct hr_source *source, const struct hr_msg *done)
{
    struct hr_websocket *ws = ws_of(source);
    state_set(ws, done);
    queue_release(ws);
}

void hr_ws_queue_on_room(struct hr_source *source)
{
    queue_release(ws_of(source));
}

void hr_ws_queue_on_timeout(struct hr_source *source, enum hr_reason reason)
{
    hr_source_count(source, reason);
    queue_release(ws_of(source));
}

/* The lost event as one that waits again. NULL when it cannot be made of what came back. */
static struct hr_ws_item *event_of_lost(const struct hr_source *source,
                                        const struct hr_delivery *lost)
{
    struct hr_value text;
    struct hr_msg msg;
    if (source->kind == HR_KIND_CONNECT || hr_msg_check(lost->data, lost->len, &msg) != 0)
        return NULL;
    bool is_text = hr_msg_get(&msg, "text", &text) && text.type == HR_TYPE_STRING;
    struct hr_str data = is_text ? text.as.str : hr_msg_bytes(&msg, "bytes");
    if (source->kind == HR_KIND_DISCONNECT)
        data = hr_msg_str(&msg, "reason");
    struct hr_ws_item *event = event_new((enum hr_kind)source->kind, data.len);
    if (!event)
        return NULL;
    event->is_text = is_text;
    event->code = (uint16_t)hr_msg_int(&msg, "code", 1006);
    event->attempts = (uint8_t)(lost->attempts + 1);
    event_put(event, data);
    return event;
}

void hr_ws_queue_on_lost(struct hr_source *source, const struct hr_delivery *lost)
{
    struct hr_websocket *ws = ws_of(source);
    int r = HR_ERR_STATE;
    if (source->pool->redelivers && lost->attempts == 0)
        r = hr_source_resend(source, lost, HR_RESEND_SAME_ADDRESS);
    if (r == 0)
        return;
    struct hr_ws_item *event = hr_is_refusal(r) ? event_of_lost(source, lost) : NULL;
    if (event) { /* sent as a new one, when there is room */
        hr_metrics_redelivered(&source->server->metrics, source->pool->name);
        queue_push_front(ws, event);
        hr_source_refused(source);
        return;
    }
    hr_source_count(source, HR_REASON_WORKER_DIED);
    queue_release(ws);
}
