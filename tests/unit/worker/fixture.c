/* fixture.c - see fixture.h for the contract. */
#include "fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"

static const struct hr_consumer *rig_consumers;
static struct hr_ticket rig_ticket;

static int rig_app(struct hr_worker *worker)
{
    return hr_worker_consume(worker, rig_consumers);
}

static void rig_on_ended(struct hr_worker *worker, void *arg, int outcome)
{
    struct rig *rig = arg;
    (void)worker;
    rig->has_ended = true;
    rig->outcome = outcome;
}

void rig_open(struct rig *rig, const struct hr_consumer *consumers,
              void (*tweak)(struct hr_worker_config *config))
{
    static int n_rigs;
    *rig = (struct rig){0};
    if (getenv("RIG_ON_IPC")) {
        snprintf(rig->dir, sizeof rig->dir, "/dev/shm/hr-worker-XXXXXX");
        assert_non_null(mkdtemp(rig->dir));
        snprintf(rig->url, sizeof(rig->url), "ipc:%s/layer", rig->dir);
    } else {
        snprintf(rig->url, sizeof(rig->url), "memory:worker-%d", n_rigs++);
    }
    struct hr_layer_options options = {.role = HR_ROLE_SERVER, .create = true, .label = "server.1"};
    assert_int_equal(hr_loop_new(&rig->loop), 0);
    assert_int_equal(hr_layer_open(rig->url, &options, &rig->server), 0);
    assert_int_equal(hr_layer_address_open(rig->server, &rig->client), 0);

    rig_consumers = consumers;
    rig->config = (struct hr_worker_config){
        .layer_url = rig->url, .app = rig_app, .ended = rig_on_ended, .arg = rig};
    if (tweak)
        tweak(&rig->config);
    int r = hr_worker_open(rig->loop, &rig->config, &rig->worker);
    if (r != 0)
        print_error("%s\n", hr_worker_open_error());
    assert_int_equal(r, 0);
}

void rig_close(struct rig *rig)
{
    hr_worker_close(rig->worker);
    hr_loop_free(rig->loop);
    hr_layer_close(rig->server);
    for (size_t i = 0; i < rig->n_answers; i++)
        free(rig->answers[i].data);
    if (rig->dir[0])
        remove_tree(rig->dir);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const char *built(const char *variable)
{
    const char *path = getenv(variable);
    assert_non_null(path); /* run by `meson test` */
    return path ? path : "";
}

/* ---- sending */

static void pack_pair(struct hr_pack *pack, const char *key, const char *value)
{
    if (!value)
        return;
    hr_pack_cstr(pack, key);
    hr_pack_cstr(pack, value);
}

static void pack_bytes(struct hr_pack *pack, const char *key, struct hr_str value)
{
    if (!value.ptr)
        return;
    hr_pack_cstr(pack, key);
    hr_pack_bytes(pack, value.ptr, value.len);
}

static void pack_headers(struct hr_pack *pack, const char *const *headers)
{
    size_t n = 0;
    while (headers[n])
        n += 2;
    hr_pack_cstr(pack, "headers");
    hr_pack_list(pack, (uint32_t)(n / 2));
    for (size_t i = 0; headers[i] && headers[i + 1]; i += 2) {
        hr_pack_list(pack, 2);
        hr_pack_bytes(pack, headers[i], strlen(headers[i]));
        hr_pack_bytes(pack, headers[i + 1], strlen(headers[i + 1]));
    }
}

static void pack_strings(struct hr_pack *pack, const char *key, const char *const *items)
{
    uint32_t n = 0;
    while (items[n])
        n++;
    hr_pack_cstr(pack, key);
    hr_pack_list(pack, n);
    for (uint32_t i = 0; i < n; i++)
        hr_pack_cstr(pack, items[i]);
}

static void pack_event(struct hr_pack *pack, const struct event *event)
{
    hr_pack_map(pack, 1u + !!event->method + !!event->path + !!event->query + !!event->text +
                          !!event->bytes + !!event->body.ptr + event->more_body + !!event->headers +
                          !!event->subprotocols + !!event->state);
    /* "http.request.web" is a http.request. */
    struct hr_str type = hr_str_of(event->channel);
    if (hr_str_ends(type, HR_LIT(".web")))
        type.len -= 4;
    hr_pack_cstr(pack, "type");
    hr_pack_str(pack, type.ptr, type.len);
    pack_pair(pack, "method", event->method);
    pack_pair(pack, "path", event->path);
    pack_bytes(pack, "query_string", hr_str_of(event->query));
    pack_pair(pack, "text", event->text);
    pack_bytes(pack, "bytes", hr_str_of(event->bytes));
    if (event->headers)
        pack_headers(pack, event->headers);
    if (event->subprotocols)
        pack_strings(pack, "subprotocols", event->subprotocols);
    pack_bytes(pack, "body", event->body);
    if (event->more_body) {
        hr_pack_cstr(pack, "more_body");
        hr_pack_bool(pack, true);
    }
    if (event->state) {
        hr_pack_cstr(pack, "state");
        hr_pack_raw(pack, event->state, event->state_len);
    }
}

void rig_send(struct rig *rig, const struct event *event)
{
    struct hr_send_options options = {.ticket = &rig_ticket};
    if (!event->is_alone) {
        options.reply = rig->client;
        options.seq = event->has_no_seq ? 0 : ++rig->seq;
    }
    struct hr_draft draft;
    size_t size = 4096 + event->body.len + event->state_len;
    assert_int_equal(hr_layer_draft(rig->server, hr_str_of(event->channel), size, &options, &draft),
                     0);
    pack_event(&draft.pack, event);
    assert_int_equal(hr_draft_send(&draft), 0);
}

void rig_get(struct rig *rig, const char *path)
{
    rig_send(rig, &(struct event){.channel = "http.request.web", .method = "GET", .path = path});
}

void rig_receive(struct rig *rig, const char *path, const char *text)
{
    rig_send(rig, &(struct event){.channel = "websocket.receive.web", .path = path, .text = text});
}

void rig_to_holder(struct rig *rig, struct hr_str to, const struct hr_pack *pack)
{
    assert_int_equal(hr_pack_done(pack), 0);
    assert_int_equal(hr_layer_send(rig->server, to, pack->base, hr_pack_len(pack), NULL), 0);
}

/* ---- turning */

static void rig_drain(struct rig *rig)
{
    struct hr_delivery d;
    while (hr_layer_receive(rig->server, HR_RECEIVE_INBOX, &d) == 0) {
        assert_true(rig->n_answers < RIG_MAX_ANSWERS);
        struct answer *answer = &rig->answers[rig->n_answers++];
        *answer = (struct answer){.kind = d.kind, .to = d.to, .reason = d.reason};
        answer->data = malloc(d.len + 1);
        assert_non_null(answer->data);
        memcpy(answer->data, d.data, d.len);
        assert_int_equal(hr_msg_check(answer->data, d.len, &answer->msg), 0);
        answer->type = hr_msg_str(&answer->msg, "type");
    }
}

void rig_turn(struct rig *rig, int n)
{
    for (int i = 0; i < n; i++)
        hr_loop_turn(rig->loop, false);
}

void rig_wait(struct rig *rig, const bool *flag)
{
    hr_time until = hr_time_now() + 5 * HR_SECOND;
    while (!*flag && hr_time_now() < until)
        hr_loop_turn(rig->loop, true);
    assert_true(*flag);
}

bool rig_has_next(struct rig *rig)
{
    rig_turn(rig, 4);
    rig_drain(rig);
    return rig->n_read < rig->n_answers;
}

const struct answer *rig_next(struct rig *rig)
{
    assert_true(rig_has_next(rig));
    return &rig->answers[rig->n_read++];
}

const struct answer *rig_expect(struct rig *rig, const char *type)
{
    const struct answer *answer = rig_next(rig);
    assert_int_equal(answer->kind, HR_DELIVERY_MESSAGE);
    assert_str(answer->type, type);
    return answer;
}

bool rig_is_acked(struct rig *rig)
{
    return hr_layer_ticket(rig->server, &rig_ticket).state == HR_TICKET_GONE;
}
