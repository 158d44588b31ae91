/* workers.c - a fake worker: takes events and says what a test wants; see harness.h. */
#include <stdio.h>

#include "harness.h"

void worker_listen(struct hr_layer *worker, const char *pool)
{
    static const char *const kinds[] = {"http.request", "websocket.connect", "websocket.receive",
                                        "websocket.disconnect"};
    for (int i = 0; i < 4; i++) {
        char name[100];
        int n = snprintf(name, sizeof name, "%s.%s", kinds[i], pool);
        assert_int_equal(hr_layer_listen(worker, (struct hr_str){name, (size_t)n}), 0);
    }
}

struct hr_layer *worker_new(struct world *w, const char *label)
{
    struct hr_layer *worker = world_attach(w, HR_ROLE_WORKER, label);
    worker_listen(worker, "web");
    hr_layer_set_ready(worker, true);
    return worker;
}

static void put_strings(struct hr_pack *pack, const char *key, const char *const *list)
{
    uint32_t n = 0;
    while (n < 4 && list[n])
        n++;
    hr_pack_cstr(pack, key);
    hr_pack_list(pack, n);
    for (uint32_t i = 0; i < n; i++)
        hr_pack_cstr(pack, list[i]);
}

static void put_text(struct hr_pack *pack, const char *key, const char *text)
{
    hr_pack_cstr(pack, key);
    if (text)
        hr_pack_cstr(pack, text);
    else
        hr_pack_null(pack);
}

void worker_put_pool(struct hr_layer *worker, const struct pool_spec *spec)
{
    static const char *const all[4] = {"http.request", "websocket.connect", "websocket.receive",
                                       "websocket.disconnect"};
    uint8_t data[1024];
    struct hr_pack pack;
    char key[64];
    hr_pack_init(&pack, data, sizeof data);
    hr_pack_map(&pack, 9);
    put_text(&pack, "name", spec->name);
    put_strings(&pack, "paths", spec->paths);
    put_strings(&pack, "events", spec->events[0] ? spec->events : all);
    hr_pack_cstr(&pack, "queue_timeout");
    hr_pack_int(&pack, spec->queue_timeout);
    hr_pack_cstr(&pack, "timeout");
    hr_pack_int(&pack, spec->timeout);
    hr_pack_cstr(&pack, "event_timeout");
    hr_pack_int(&pack, spec->event_timeout);
    put_text(&pack, "retry", spec->retry);
    put_text(&pack, "on_crash", spec->on_crash);
    put_text(&pack, "body", spec->body);
    assert_int_equal(hr_pack_done(&pack), 0);
    int n = snprintf(key, sizeof key, "pool:%s", spec->name);
    assert_int_equal(
        hr_layer_record_put(worker, (struct hr_str){key, (size_t)n}, data, hr_pack_len(&pack)), 0);
}

bool worker_poll(struct hr_layer *worker, struct event *out)
{
    if (hr_layer_receive(worker, HR_RECEIVE_ALL, &out->d) != 0)
        return false;
    assert_true(out->d.len <= sizeof out->data && out->d.channel.len < sizeof out->channel);
    memcpy(out->data, out->d.data, out->d.len);
    memcpy(out->channel, out->d.channel.ptr ? out->d.channel.ptr : "", out->d.channel.len);
    out->channel[out->d.channel.len] = '\0';
    out->d.channel.ptr = out->channel;
    assert_int_equal(hr_msg_check(out->data, out->d.len, &out->msg), 0);
    return true;
}

void worker_take(struct world *w, struct hr_layer *worker, const char *channel, struct event *out)
{
    UNTIL(w, worker_poll(worker, out));
    assert_string_equal(out->channel, channel);
}

void worker_ack(struct hr_layer *worker, struct event *e)
{
    assert_int_equal(hr_layer_ack(worker, &e->d.lease), 0);
}

int reply_raw(struct hr_layer *worker, const struct event *e, const void *data, size_t len)
{
    struct hr_send_options options = {.is_control = true};
    return hr_layer_send_to(worker, &e->d.reply, data, len, &options);
}

static uint8_t scratch[1 << 18];

static int send_packed(struct hr_layer *worker, const struct event *e, struct hr_pack *pack)
{
    assert_int_equal(hr_pack_done(pack), 0);
    return reply_raw(worker, e, scratch, hr_pack_len(pack));
}

static struct hr_pack begin(uint32_t n, enum hr_msg_type type)
{
    struct hr_pack pack;
    hr_pack_init(&pack, scratch, sizeof scratch);
    hr_pack_map(&pack, n);
    hr_pack_type(&pack, type);
    return pack;
}

int reply_start(struct hr_layer *worker, const struct event *e, int status, const char *to)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_HTTP_RESPONSE_START);
    hr_pack_cstr(&pack, "status");
    hr_pack_int(&pack, status);
    put_text(&pack, "to", to);
    return send_packed(worker, e, &pack);
}

int reply_body(struct hr_layer *worker, const struct event *e, const char *text, size_t len,
               bool more)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_HTTP_RESPONSE_BODY);
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, text, len);
    hr_pack_cstr(&pack, "more_body");
    hr_pack_bool(&pack, more);
    return send_packed(worker, e, &pack);
}

int reply_whole(struct hr_layer *worker, const struct event *e, int status,
                const char *const *headers, const char *text)
{
    uint32_t n = 0;
    while (headers && headers[2 * n])
        n++;
    struct hr_pack pack = begin(6, HR_MSG_TYPE_HTTP_RESPONSE_START);
    hr_pack_cstr(&pack, "taken_at");
    hr_pack_int(&pack, e->d.taken_at);
    hr_pack_cstr(&pack, "slot");
    hr_pack_int(&pack, hr_layer_slot(worker));
    hr_pack_cstr(&pack, "status");
    hr_pack_int(&pack, status);
    hr_pack_cstr(&pack, "headers");
    hr_pack_list(&pack, n);
    for (uint32_t i = 0; i < n; i++) {
        hr_pack_list(&pack, 2);
        hr_pack_bytes(&pack, headers[2 * i], strlen(headers[2 * i]));
        hr_pack_bytes(&pack, headers[2 * i + 1], strlen(headers[2 * i + 1]));
    }
    hr_pack_cstr(&pack, "body");
    hr_pack_bytes(&pack, text, strlen(text));
    return send_packed(worker, e, &pack);
}

int reply_done(struct hr_layer *worker, const struct event *e, uint32_t seq, const char *state_key,
               const char *state_value)
{
    struct hr_pack pack = begin(state_key ? 3 : 2, HR_MSG_TYPE_EVENT_DONE);
    hr_pack_cstr(&pack, "seq");
    hr_pack_int(&pack, seq);
    if (state_key) {
        hr_pack_cstr(&pack, "state");
        hr_pack_map(&pack, 1);
        put_text(&pack, state_key, state_value);
    }
    return send_packed(worker, e, &pack);
}

int reply_typed(struct hr_layer *worker, const struct event *e, enum hr_msg_type type)
{
    struct hr_pack pack = begin(1, type);
    return send_packed(worker, e, &pack);
}

int reply_text(struct hr_layer *worker, const struct event *e, const char *text)
{
    struct hr_pack pack = begin(2, HR_MSG_TYPE_WEBSOCKET_SEND);
    put_text(&pack, "text", text);
    return send_packed(worker, e, &pack);
}

int reply_close(struct hr_layer *worker, const struct event *e, int code)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_WEBSOCKET_CLOSE);
    hr_pack_cstr(&pack, "code");
    hr_pack_int(&pack, code);
    put_text(&pack, "reason", "bye");
    return send_packed(worker, e, &pack);
}

int reply_open(struct hr_layer *worker, const struct event *e, const char *to, int window)
{
    struct hr_pack pack = begin(3, HR_MSG_TYPE_BODY_OPEN);
    put_text(&pack, "to", to);
    hr_pack_cstr(&pack, "window");
    hr_pack_int(&pack, window);
    return send_packed(worker, e, &pack);
}

int reply_credit(struct hr_layer *worker, const struct event *e, int64_t total)
{
    struct hr_pack pack = begin(2, HR_MSG_TYPE_BODY_CREDIT);
    hr_pack_cstr(&pack, "total");
    hr_pack_int(&pack, total);
    return send_packed(worker, e, &pack);
}

int reply_hand_on(struct hr_layer *worker, const struct event *e, int timeout_ms)
{
    struct hr_pack pack = begin(4, HR_MSG_TYPE_EVENT_DONE);
    hr_pack_cstr(&pack, "seq");
    hr_pack_int(&pack, e->d.seq);
    hr_pack_cstr(&pack, "handed_on");
    hr_pack_bool(&pack, true);
    hr_pack_cstr(&pack, "timeout");
    hr_pack_int(&pack, timeout_ms);
    return send_packed(worker, e, &pack);
}

struct hr_str msg_str(const struct event *e, const char *key)
{
    return hr_msg_bytes(&e->msg, key);
}

void assert_msg_str(const struct event *e, const char *key, const char *wanted)
{
    struct hr_str got = msg_str(e, key);
    if (got.len != strlen(wanted) || memcmp(got.ptr ? got.ptr : "", wanted, got.len) != 0)
        fail_msg("%s is '%.*s', not '%s'", key, HR_STR(got), wanted);
}

uint64_t drops(struct world *w, const char *channel, enum hr_reason reason)
{
    struct hr_channel_stats stats;
    struct hr_str name = {channel, strlen(channel)};
    return hr_layer_channel_find(w->layer, name, &stats) ? stats.n_dropped[reason] : 0;
}
