/* state.c - a connection's state: what came with the event, under what was changed since.
 *
 * The state that the message brought is never copied or parsed as a whole;
 * look-ups walk it where it lies. Changes stand in a list before it, newest
 * first, at most one per key. When the event is done the two are written as
 * one map, without what was unset.
 *
 * The bound (HR_STATE_MAX) is checked by writing that map after each change:
 * states are small, and an exact answer at the call that goes too far is
 * worth more than the microsecond.
 */
#include <string.h>

#include "message/asgi.h"
#include "worker/worker_impl.h"

enum change_kind { CHANGE_UNSET, CHANGE_TEXT, CHANGE_INT };

struct hr_state_change {
    struct hr_state_change *next;
    struct hr_str key;
    enum change_kind kind;
    struct hr_str text;
    int64_t integer;
};

static struct hr_state_change *change_find(const struct hr_ctx *ctx, struct hr_str key)
{
    for (struct hr_state_change *at = ctx->state; at; at = at->next)
        if (hr_str_eq(at->key, key))
            return at;
    return NULL;
}

/* What the event brought; an empty map when it brought none. */
static struct hr_value state_before(const struct hr_ctx *ctx)
{
    struct hr_value state;
    if (!hr_msg_get(&ctx->msg, "state", &state) || state.type != HR_TYPE_MAP)
        return (struct hr_value){.type = HR_TYPE_MAP};
    return state;
}

/* ---- reading */

struct hr_str hr_state_get(struct hr_ctx *ctx, const char *key)
{
    const struct hr_state_change *change = change_find(ctx, hr_str_of(key));
    if (change)
        return change->kind == CHANGE_TEXT ? change->text : (struct hr_str){0};
    struct hr_value before = state_before(ctx), value;
    bool is_text = hr_map_get(&before, key, &value) && value.type == HR_TYPE_STRING;
    return is_text ? value.as.str : (struct hr_str){0};
}

int64_t hr_state_int(struct hr_ctx *ctx, const char *key, int64_t fallback)
{
    const struct hr_state_change *change = change_find(ctx, hr_str_of(key));
    if (change)
        return change->kind == CHANGE_INT ? change->integer : fallback;
    struct hr_value before = state_before(ctx), value;
    bool is_int = hr_map_get(&before, key, &value) && value.type == HR_TYPE_INT;
    return is_int ? value.as.integer : fallback;
}

/* ---- writing it back */

bool hr_state_has_changed(const struct hr_ctx *ctx)
{
    return ctx->state != NULL;
}

static uint32_t state_count(const struct hr_ctx *ctx, const struct hr_value *before)
{
    struct hr_walk walk = hr_walk(before);
    struct hr_str key;
    struct hr_value value;
    uint32_t n = 0;
    while (hr_map_next(&walk, &key, &value))
        n += !change_find(ctx, key);
    for (const struct hr_state_change *at = ctx->state; at; at = at->next)
        n += at->kind != CHANGE_UNSET;
    return n;
}

static void state_pack(struct hr_pack *pack, const struct hr_ctx *ctx)
{
    struct hr_value before = state_before(ctx), value;
    struct hr_walk walk = hr_walk(&before);
    struct hr_str key;
    hr_pack_map(pack, state_count(ctx, &before));
    while (hr_map_next(&walk, &key, &value)) {
        if (change_find(ctx, key))
            continue;
        hr_pack_str(pack, key.ptr, key.len);
        hr_pack_value(pack, &value);
    }
    for (const struct hr_state_change *at = ctx->state; at; at = at->next) {
        if (at->kind == CHANGE_UNSET)
            continue;
        hr_pack_str(pack, at->key.ptr, at->key.len);
        if (at->kind == CHANGE_INT)
            hr_pack_int(pack, at->integer);
        else
            hr_pack_str(pack, at->text.ptr, at->text.len);
    }
}

int hr_state_encode(struct hr_ctx *ctx, struct hr_str *out)
{
    uint8_t data[HR_STATE_MAX];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof(data));
    state_pack(&pack, ctx);
    int r = hr_pack_done(&pack);
    if (r < 0)
        return hr_trace(r);
    return hr_trace(
        hr_stash_copy(&ctx->stash, (struct hr_str){(char *)data, hr_pack_len(&pack)}, out));
}

static int state_check_size(const struct hr_ctx *ctx)
{
    uint8_t data[HR_STATE_MAX];
    struct hr_pack pack;
    hr_pack_init(&pack, data, sizeof(data));
    state_pack(&pack, ctx);
    return hr_trace(hr_pack_done(&pack));
}

/* ---- changing */

static int state_change(struct hr_ctx *ctx, const struct hr_state_change *wanted)
{
    bool has_state = ctx->kind != HR_CTX_HTTP && ctx->kind != HR_CTX_PLAIN;
    if (!has_state)
        return hr_raise(HR_ERR_STATE);
    if (!hr_utf8_ok(wanted->key.ptr, wanted->key.len) ||
        !hr_utf8_ok(wanted->text.ptr, wanted->text.len))
        return hr_raise(HR_ERR_MESSAGE);

    struct hr_state_change *change = change_find(ctx, wanted->key);
    struct hr_state_change old = {0}, *is_new = NULL;
    if (change) {
        old = *change;
    } else {
        is_new = change = hr_stash_alloc(&ctx->stash, sizeof(*change));
        if (!change)
            return hr_raise(HR_ERR_NOMEM);
        *change = (struct hr_state_change){.next = ctx->state};
        int r = hr_stash_copy(&ctx->stash, wanted->key, &change->key);
        if (r < 0)
            return hr_trace(r);
        ctx->state = change;
    }
    change->kind = wanted->kind;
    change->integer = wanted->integer;
    int r = hr_stash_copy(&ctx->stash, wanted->text, &change->text);
    if (r == 0)
        r = state_check_size(ctx);
    if (r == 0)
        return 0;
    if (is_new)
        ctx->state = is_new->next;
    else
        *change = old;
    return hr_trace(r);
}

int hr_state_set(struct hr_ctx *ctx, const char *key, struct hr_str value)
{
    struct hr_state_change change = {.key = hr_str_of(key), .kind = CHANGE_TEXT, .text = value};
    return ctx->error ? ctx->error : hr_ctx_note(ctx, state_change(ctx, &change));
}

int hr_state_set_int(struct hr_ctx *ctx, const char *key, int64_t value)
{
    struct hr_state_change change = {.key = hr_str_of(key), .kind = CHANGE_INT, .integer = value};
    return ctx->error ? ctx->error : hr_ctx_note(ctx, state_change(ctx, &change));
}

int hr_state_unset(struct hr_ctx *ctx, const char *key)
{
    struct hr_state_change change = {.key = hr_str_of(key), .kind = CHANGE_UNSET};
    return ctx->error ? ctx->error : hr_ctx_note(ctx, state_change(ctx, &change));
}
