/* event.c - see event.h for the contract.
 *
 *              send                 event.done, end, lost, timeout
 *     IDLE ───────────► OUT ────────────────────────────► IDLE
 *      │ ▲               │ event.done {handed_on}          ▲
 *      │ │ on_room       └──────────────► HANDED_ON ───────┘
 *      │ │                                   lost, timeout, event.done
 *      ▼ │
 *     REFUSED (the channel was full)
 *
 * The timer hardly ever moves: it is set to the earliest time at which
 * something may be over, and when it fires the ticket says what is. For an
 * event queued at S and taken at T with the timeout E it fires at S+E, finds
 * T, and fires again at T+E, exactly; while it is queued, every E.
 *
 * Limits of a hand-over: an hour, whatever the consumer asks for, so that a
 * forgotten request cannot stay for ever.
 */
#include "server/event.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/time.h"
#include "server/private.h"

enum {
    REFUSED_RETRY_MS = 50,
    VANISHED_GRACE_S = 1, /* for a lease.lost that is on its way */
    MAX_HANDED_ON_S = 3600,
    ADDRESS_ROOM = HR_ADDR_TEXT_MAX + 16, /* what another address may add to a message */
};

/* ---- the address */

static int sources_grow(struct hr_server *server, uint32_t number)
{
    uint32_t n = server->max_sources ? server->max_sources : 64;
    if (number < server->max_sources)
        return 0;
    while (n <= number)
        n *= 2;
    struct hr_source **sources = hr_realloc(server->sources, n * sizeof(struct hr_source *));
    if (!sources)
        return hr_raise(HR_ERR_NOMEM);
    memset(sources + server->max_sources, 0,
           (n - server->max_sources) * sizeof(struct hr_source *));
    server->sources = sources;
    server->max_sources = n;
    return 0;
}

void hr_source_forget(struct hr_source *source)
{
    hr_assert(!hr_addr_is_set(&source->addr));
    source->pool = NULL;
    source->seq = source->holder = 0;
    source->state = HR_SOURCE_IDLE;
    source->attempts = 0;
    source->sent_at = source->taken_at = source->mark = 0;
    source->is_untimed = source->is_accepted = source->is_vanished = false;
}

int hr_source_open(struct hr_source *source, struct hr_server *server, struct hr_pool *pool,
                   const struct hr_source_ops *ops)
{
    hr_assert(!hr_addr_is_set(&source->addr));
    struct hr_addr addr;
    int r = hr_layer_address_open(server->layer, &addr);
    if (r != 0)
        return hr_trace(r);
    r = sources_grow(server, addr.conn);
    if (r < 0) {
        hr_layer_address_close(server->layer, &addr);
        return hr_trace(r);
    }
    hr_source_forget(source);
    source->ops = ops;
    source->server = server;
    source->pool = pool;
    source->addr = addr;
    server->sources[addr.conn] = source;
    return 0;
}

static void source_leave(struct hr_source *source, enum hr_source_state state)
{
    source->state = (uint8_t)state;
    hr_list_remove(&source->refused);
}

void hr_source_close(struct hr_source *source)
{
    if (!hr_addr_is_set(&source->addr))
        return;
    source->server->sources[source->addr.conn] = NULL;
    hr_layer_address_close(source->server->layer, &source->addr);
    hr_loop_stop_timer(source->server->loop, &source->timer);
    source_leave(source, HR_SOURCE_IDLE);
}

static void source_on_timer(struct hr_timer *timer);

static void source_arm(struct hr_source *source, hr_time due)
{
    if (due == HR_NEVER || (hr_timer_is_active(&source->timer) && source->timer.due <= due))
        return;
    hr_time now = hr_server_now(source->server);
    hr_loop_start_timer(source->server->loop, &source->timer, due > now ? due - now : 0,
                        source_on_timer);
}

void hr_source_move(struct hr_source *to, struct hr_source *from, const struct hr_source_ops *ops)
{
    struct hr_loop *loop = from->server->loop;
    hr_assert(!hr_list_is_linked(&from->refused));
    hr_time due = hr_timer_is_active(&from->timer) ? from->timer.due : HR_NEVER;
    hr_loop_stop_timer(loop, &from->timer);
    *to = *from;
    to->timer = (struct hr_timer){0}; /* list nodes that stand alone point to themselves */
    to->refused = (struct hr_list){0};
    to->ops = ops;
    to->server->sources[to->addr.conn] = to;
    from->addr = (struct hr_addr){0};
    from->state = HR_SOURCE_IDLE;
    source_arm(to, due);
}

/* ---- how long */

static hr_time source_queue_timeout(const struct hr_source *source)
{
    /* A socket's later events wait as long as it takes: the socket stays whatever happens. */
    bool may_wait = source->kind == HR_KIND_RECEIVE || source->kind == HR_KIND_DISCONNECT;
    return may_wait ? HR_NEVER : source->pool->queue_timeout;
}

static hr_time source_timeout(const struct hr_source *source)
{
    hr_time handshake = source->server->config.handshake_timeout;
    if (source->is_untimed)
        return HR_NEVER;
    if (source->kind == HR_KIND_REQUEST)
        return source->pool->timeout;
    if (source->kind == HR_KIND_CONNECT && !source->is_accepted &&
        handshake < source->pool->event_timeout)
        return handshake;
    return source->pool->event_timeout;
}

static void source_time_out(struct hr_source *source, enum hr_reason reason)
{
    source_leave(source, HR_SOURCE_IDLE);
    source->ops->on_timeout(source, reason);
}

static void source_check_held(struct hr_source *source, const struct hr_ticket_info *info,
                              hr_time now)
{
    hr_time since = info->since > source->mark ? info->since : source->mark;
    hr_time due = hr_time_add(since, source_timeout(source));
    if (now < due) {
        source_arm(source, due);
        return;
    }
    /* A handshake may be given up before its worker can be said to hang. */
    bool hangs = source->kind == HR_KIND_REQUEST || now - since >= source->pool->event_timeout;
    source->taken_at = info->since;
    source->holder = info->slot + 1;
    if (hangs)
        hr_layer_retire(source->server->layer, info->slot, info->slot_gen);
    source_time_out(source, HR_REASON_TIMEOUT);
}

static void source_check_out(struct hr_source *source, hr_time now)
{
    if (source->is_untimed)
        return;
    struct hr_ticket_info info = hr_layer_ticket(source->server->layer, &source->ticket);
    hr_time queue_due = hr_time_add(source->sent_at, source_queue_timeout(source));
    switch (info.state) {
    case HR_TICKET_QUEUED: {
        hr_time look_due = hr_time_add(now, source_timeout(source));
        if (now >= queue_due)
            source_time_out(source, HR_REASON_QUEUE_TIMEOUT);
        else
            source_arm(source, look_due < queue_due ? look_due : queue_due);
        break;
    }
    case HR_TICKET_HELD:
        source_check_held(source, &info, now);
        break;
    case HR_TICKET_GONE:
        /* Acknowledged without an end, flushed by an operator, or its loss is about to arrive. */
        if (source->is_vanished) {
            source_time_out(source, HR_REASON_FLUSHED);
        } else {
            source->is_vanished = true;
            source_arm(source, now + VANISHED_GRACE_S * HR_SECOND);
        }
        break;
    }
}

static void source_on_timer(struct hr_timer *timer)
{
    struct hr_source *source = hr_container_of(timer, struct hr_source, timer);
    hr_time now = hr_server_now(source->server);
    switch ((enum hr_source_state)source->state) {
    case HR_SOURCE_IDLE:
        break;
    case HR_SOURCE_OUT:
        source_check_out(source, now);
        break;
    case HR_SOURCE_HANDED_ON:
        if (now >= source->mark)
            source_time_out(source, HR_REASON_TIMEOUT);
        else
            source_arm(source, source->mark);
        break;
    case HR_SOURCE_REFUSED:
        source_leave(source, HR_SOURCE_IDLE);
        source->ops->on_room(source);
        break;
    }
}

/* ---- sending */

int hr_source_draft(struct hr_source *source, enum hr_kind kind, size_t size, struct hr_draft *out)
{
    struct hr_send_options options = {
        .reply = source->addr,
        .seq = source->seq + 1,
        .attempts = source->attempts,
        .expires_in = HR_NEVER, /* it is our timeouts that decide */
        .is_control = kind == HR_KIND_DISCONNECT,
        .ticket = &source->ticket,
    };
    hr_assert(source->state == HR_SOURCE_IDLE);
    source->kind = (uint8_t)kind;
    return hr_layer_draft(source->server->layer, source->pool->channels[kind], size, &options, out);
}

static void source_sent(struct hr_source *source)
{
    hr_time now = hr_server_now(source->server);
    hr_time wait = source_queue_timeout(source), run = source_timeout(source);
    source->state = HR_SOURCE_OUT;
    source->sent_at = hr_time_now(); /* a turn is too coarse for what is measured from here */
    source->taken_at = 0;
    source->holder = 0;
    source->mark = 0;
    source->is_vanished = false;
    source_arm(source, hr_time_add(now, wait < run ? wait : run));
}

int hr_source_send(struct hr_source *source, struct hr_draft *draft)
{
    int r = hr_draft_send(draft);
    if (r == 0) {
        source->seq++;
        source_sent(source);
    }
    return r;
}

/* For `wait` from now; 0 stands for the pool's own timeout. */
static void source_enter_handed_on(struct hr_source *source, hr_time wait)
{
    hr_time limit = MAX_HANDED_ON_S * HR_SECOND;
    if (wait == 0)
        wait = source_timeout(source) < limit ? source_timeout(source) : limit;
    source->state = HR_SOURCE_HANDED_ON;
    source->mark = hr_server_now(source->server) + wait;
    source_arm(source, source->mark);
}

/* The message as it was, with our new address in its reply_channel. */
static int source_resend_readdressed(struct hr_source *source, const struct hr_delivery *lost,
                                     const struct hr_msg *msg,
                                     const struct hr_send_options *options)
{
    char address[HR_ADDR_TEXT_MAX];
    struct hr_draft draft;
    int r = hr_layer_draft(source->server->layer, lost->channel, lost->len + ADDRESS_ROOM, options,
                           &draft);
    if (r != 0)
        return r;
    struct hr_str reply = hr_source_address(source, address), key;
    struct hr_value root = hr_msg_root(msg), value;
    struct hr_walk walk = hr_walk(&root);
    hr_pack_map(&draft.pack, root.n);
    while (hr_map_next(&walk, &key, &value)) {
        hr_pack_str(&draft.pack, key.ptr, key.len);
        if (hr_str_eq(key, HR_LIT("reply_channel")))
            hr_pack_str(&draft.pack, reply.ptr, reply.len);
        else
            hr_pack_value(&draft.pack, &value);
    }
    return hr_draft_send(&draft);
}

int hr_source_resend(struct hr_source *source, const struct hr_delivery *lost, enum hr_resend how)
{
    struct hr_layer *layer = source->server->layer;
    struct hr_msg msg;
    if (hr_msg_check(lost->data, lost->len, &msg) != 0)
        return hr_raise(HR_ERR_MESSAGE);
    if (how == HR_RESEND_NEW_ADDRESS)
        hr_layer_address_renew(layer, &source->addr);
    struct hr_send_options options = {
        .reply = source->addr,
        .seq = source->seq,
        .attempts = lost->attempts + 1,
        .expires_in = HR_NEVER,
        .ticket = &source->ticket,
    };
    int r = how == HR_RESEND_NEW_ADDRESS
                ? source_resend_readdressed(source, lost, &msg, &options)
                : hr_layer_send(layer, lost->channel, lost->data, lost->len, &options);
    if (r != 0)
        return r;
    hr_metrics_redelivered(&source->server->metrics, source->pool->name);
    hr_time mark = source->mark;
    source->attempts = (uint8_t)(lost->attempts + 1);
    source_sent(source);
    if (!hr_str_eq(lost->channel, source->pool->channels[source->kind])) {
        /* Its time runs on. Without one the loss has overtaken the word of the hand-over. */
        hr_time left = mark - hr_server_now(source->server);
        source_enter_handed_on(source, mark == 0 ? 0 : left > 0 ? left : 1);
    }
    return 0;
}

void hr_source_refused(struct hr_source *source)
{
    hr_assert(source->state == HR_SOURCE_IDLE);
    source->state = HR_SOURCE_REFUSED;
    hr_list_push_back(&source->pool->refused, &source->refused);
    source_arm(source, hr_server_now(source->server) + REFUSED_RETRY_MS * HR_MS);
}

enum hr_reason hr_reason_of_refusal(int r)
{
    if (r != HR_LAYER_FULL)
        return HR_REASON_NO_WORKER; /* there is no layer to find one through */
    switch (hr_layer_full_reason()) {
    case HR_FULL_MEMORY:
    case HR_FULL_CHANNELS:
        return HR_REASON_ARENA_FULL;
    case HR_FULL_COUNT:
    case HR_FULL_BYTES:
    case HR_FULL_CONNECTION:
        break;
    }
    return HR_REASON_QUEUE_FULL;
}

/* ---- what comes back */

void hr_source_count(struct hr_source *source, enum hr_reason reason)
{
    hr_layer_count_drop(source->server->layer, source->pool->channels[source->kind], reason);
}

/* When was it taken, and by whom? Our workers say so, in `taken_at` and `slot`. Of others the
 * ticket knows while they hold the event, which after the last message they hardly ever do. */
static void source_note_take(struct hr_source *source, const struct hr_msg *msg)
{
    if (source->taken_at != 0 || source->state != HR_SOURCE_OUT)
        return;
    int64_t taken_at = hr_msg_int(msg, "taken_at", 0), slot = hr_msg_int(msg, "slot", -1);
    hr_time now = hr_server_now(source->server);
    bool is_likely = taken_at > source->sent_at - HR_SECOND && taken_at < now + HR_SECOND;
    if (taken_at > 0 && is_likely && slot >= 0 && slot < UINT32_MAX) {
        /* Takers read a coarse clock, by which they may have been there before it was sent. */
        source->taken_at = taken_at > source->sent_at ? taken_at : source->sent_at;
        source->holder = (uint32_t)slot + 1;
        return;
    }
    struct hr_ticket_info info = hr_layer_ticket(source->server->layer, &source->ticket);
    if (info.state == HR_TICKET_HELD) {
        source->taken_at = info.since;
        source->holder = info.slot + 1;
    }
}

/* A completion makes room: whoever has waited longest tries first. */
static void source_call_refused(struct hr_pool *pool)
{
    if (hr_list_is_empty(&pool->refused))
        return;
    struct hr_source *source = hr_list_first(&pool->refused, struct hr_source, refused);
    source_leave(source, HR_SOURCE_IDLE);
    source->ops->on_room(source);
}

void hr_source_end(struct hr_source *source)
{
    if (!hr_source_is_out(source))
        return;
    hr_metrics_event(&source->server->metrics, source);
    source_leave(source, HR_SOURCE_IDLE);
    source_call_refused(source->pool);
}

static void source_hand_on(struct hr_source *source, const struct hr_msg *done)
{
    int64_t ms = hr_msg_int(done, "timeout", 0);
    if (ms < 0 || ms > MAX_HANDED_ON_S * (HR_SECOND / HR_MS))
        ms = MAX_HANDED_ON_S * (HR_SECOND / HR_MS);
    source_enter_handed_on(source, ms * HR_MS);
}

static void source_on_done(struct hr_source *source, const struct hr_msg *done)
{
    /* Of another event than the one out: it was redelivered, or given up. Its state is void. */
    if (!hr_source_is_out(source) || hr_msg_int(done, "seq", -1) != source->seq) {
        hr_source_count(source, HR_REASON_STALE);
        return;
    }
    if (hr_msg_bool(done, "handed_on", false)) {
        source_hand_on(source, done);
        return;
    }
    /* The owner first: a call of on_room may send, and order among sockets is nobody's promise. */
    struct hr_pool *pool = source->pool;
    hr_metrics_event(&source->server->metrics, source);
    source_leave(source, HR_SOURCE_IDLE);
    source->ops->on_done(source, done);
    source_call_refused(pool);
}

static void source_on_lost(struct hr_source *source, const struct hr_delivery *lost)
{
    if (!hr_source_is_out(source) || lost->seq != source->seq) {
        hr_source_count(source, HR_REASON_STALE);
        return;
    }
    source_leave(source, HR_SOURCE_IDLE);
    source->ops->on_lost(source, lost);
}

static void source_on_group_request(struct hr_source *source, enum hr_msg_type type,
                                    const struct hr_msg *msg)
{
    struct hr_layer *layer = source->server->layer;
    struct hr_str group = hr_msg_str(msg, "group");
    int r = HR_ERR_NAME;
    if (hr_group_name_ok(group))
        r = type == HR_MSG_TYPE_GROUP_JOIN
                ? hr_layer_group_add_addr(layer, group, &source->addr)
                : hr_layer_group_discard_addr(layer, group, &source->addr);
    if (r != 0)
        hr_source_count(source, r == HR_LAYER_FULL ? HR_REASON_LIMIT : HR_REASON_APP);
}

void hr_source_deliver(struct hr_source *source, const struct hr_delivery *delivery)
{
    struct hr_msg msg;
    if (delivery->kind == HR_DELIVERY_LEASE_LOST) {
        source_on_lost(source, delivery);
        return;
    }
    if (hr_msg_check(delivery->data, delivery->len, &msg) != 0) {
        hr_source_count(source, HR_REASON_APP);
        return;
    }
    enum hr_msg_type type = hr_msg_type_of(&msg);
    source_note_take(source, &msg);
    if (type == HR_MSG_TYPE_EVENT_DONE)
        source_on_done(source, &msg);
    else if (type == HR_MSG_TYPE_GROUP_JOIN || type == HR_MSG_TYPE_GROUP_DISCARD)
        source_on_group_request(source, type, &msg);
    else
        source->ops->on_message(source, type, &msg);
}
