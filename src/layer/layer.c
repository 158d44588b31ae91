/* layer.c - the public functions of headrace/layer.h over the implementations.
 *
 * Everything that all implementations have in common is done here, once:
 * arguments are checked, text is parsed into addresses, a plain send becomes a
 * draft. What is left is a call through the table of layer_impl.h.
 *
 * Arguments that come from programs and may be wrong (names, sizes, keys) give
 * an error. Arguments that only a broken program can pass (a null pointer, a
 * handle that is none) are asserted.
 */
#include "layer/layer_impl.h"

#include <string.h>

#include "base/str.h"
#include "layer/policy.h"

/* 32 MiB, of which the tables leave 12 for blocks; it may grow to four times that. */
const struct hr_geometry hr_geometry_default = {
    .bytes = 32 << 20,
    .max_bytes = 128 << 20,
    .n_channels = 1024,
    .role =
        {
            [HR_ROLE_SERVER] =
                {.n_slots = 16, .inbox = 16384, .connections = 32768, .interests = 4096},
            [HR_ROLE_WORKER] =
                {.n_slots = 63, .inbox = 1024, .connections = 8192, .interests = 512},
            [HR_ROLE_CLIENT] = {.n_slots = 944, .inbox = 64, .connections = 64, .interests = 16},
        },
};

static _Thread_local enum hr_full_reason last_full_reason;

int hr_layer_refuse(enum hr_full_reason reason)
{
    last_full_reason = reason;
    return HR_LAYER_FULL;
}

enum hr_full_reason hr_layer_full_reason(void)
{
    return last_full_reason;
}

size_t hr_layer_message_limit(uint64_t arena_bytes)
{
    uint64_t limit = arena_bytes / 8;
    return limit < HR_LAYER_MAX_MESSAGE ? (size_t)limit : HR_LAYER_MAX_MESSAGE;
}

/* The implementation behind a handle. */
static const struct hr_layer_impl *impl_of(const struct hr_layer *layer)
{
    hr_assert(layer && layer->magic == HR_LAYER_MAGIC);
    return layer->impl;
}

/* The handle with its identity up to date: a forked child is a member of its own. */
static const struct hr_layer *touched(const struct hr_layer *layer)
{
    hr_assert(layer && layer->magic == HR_LAYER_MAGIC);
    if (layer->fork_mark && atomic_load_explicit(layer->fork_mark, memory_order_relaxed) == 0)
        layer->impl->touch(hr_layer_mutable(layer));
    return layer;
}

/* An observer has no slot: it can neither own nor change anything. */
static bool has_slot(const struct hr_layer *layer)
{
    return touched(layer)->role != HR_ROLE_OBSERVER;
}

void hr_layer_close(struct hr_layer *layer)
{
    if (layer)
        impl_of(layer)->close(layer);
}

uint64_t hr_layer_id(const struct hr_layer *layer)
{
    return touched(layer)->id;
}

uint32_t hr_layer_slot(const struct hr_layer *layer)
{
    return touched(layer)->slot;
}

size_t hr_layer_max_message(const struct hr_layer *layer)
{
    return touched(layer)->max_message;
}

struct hr_addr hr_layer_control_address(const struct hr_layer *layer)
{
    touched(layer);
    return (struct hr_addr){.layer = layer->id, .slot = layer->slot, .slot_gen = layer->slot_gen};
}

/* ---- sending */

/* What both kinds of draft begin with: 0, TOO_BIG or an error. */
static int draft_begin(struct hr_layer *layer, size_t size, const struct hr_send_options *options,
                       struct hr_draft *draft)
{
    draft->layer = layer;
    draft->options = options ? *options : (struct hr_send_options){0};
    if (draft->options.ticket)
        *draft->options.ticket = (struct hr_ticket){0};
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    return size > layer->max_message ? HR_LAYER_TOO_BIG : 0;
}

/* A channel that the layer does not know: a new name, or an address. */
static int draft_unknown(struct hr_layer *layer, struct hr_str channel, size_t size,
                         struct hr_draft *out)
{
    struct hr_addr to;
    if (!hr_channel_name_ok(channel))
        return hr_raise(HR_ERR_NAME);
    if (memchr(channel.ptr, '!', channel.len)) {
        if (!hr_addr_parse(channel, &to))
            return hr_raise(HR_ERR_NAME);
        return hr_trace(layer->impl->draft_to(layer, &to, size, out));
    }
    int r = layer->impl->add_channel(layer, channel);
    return r ? hr_trace(r) : hr_trace(layer->impl->draft(layer, channel, size, out));
}

int hr_layer_draft(struct hr_layer *layer, struct hr_str channel, size_t size,
                   const struct hr_send_options *options, struct hr_draft *out)
{
    int r = draft_begin(layer, size, options, out);
    if (r)
        return r;
    if (channel.len > HR_NAME_MAX)
        return hr_raise(HR_ERR_NAME);
    r = layer->impl->draft(layer, channel, size, out);
    return r == HR_LAYER_UNKNOWN ? draft_unknown(layer, channel, size, out) : hr_trace(r);
}

int hr_layer_draft_to(struct hr_layer *layer, const struct hr_addr *to, size_t size,
                      const struct hr_send_options *options, struct hr_draft *out)
{
    int r = draft_begin(layer, size, options, out);
    if (r)
        return r;
    if (!hr_addr_is_set(to))
        return HR_LAYER_GONE;
    return hr_trace(layer->impl->draft_to(layer, to, size, out));
}

int hr_draft_send(struct hr_draft *draft)
{
    struct hr_layer *layer = draft->layer;
    int r = hr_pack_done(&draft->pack);
    if (r) {
        hr_draft_cancel(draft);
        return hr_raise(r);
    }
    r = impl_of(layer)->draft_send(draft);
    draft->layer = NULL;
    return hr_trace(r);
}

void hr_draft_cancel(struct hr_draft *draft)
{
    impl_of(draft->layer)->draft_cancel(draft);
    draft->layer = NULL;
}

/* Fills a draft that was given (or passes on why it was not) and sends it. */
static int send_drafted(int r, struct hr_draft *draft, const void *data, size_t len)
{
    if (r)
        return r;
    hr_pack_raw(&draft->pack, data, len);
    return hr_draft_send(draft);
}

int hr_layer_send(struct hr_layer *layer, struct hr_str channel, const void *data, size_t len,
                  const struct hr_send_options *options)
{
    struct hr_draft draft;
    return send_drafted(hr_layer_draft(layer, channel, len, options, &draft), &draft, data, len);
}

int hr_layer_send_to(struct hr_layer *layer, const struct hr_addr *to, const void *data, size_t len,
                     const struct hr_send_options *options)
{
    struct hr_draft draft;
    return send_drafted(hr_layer_draft_to(layer, to, len, options, &draft), &draft, data, len);
}

struct hr_ticket_info hr_layer_ticket(struct hr_layer *layer, const struct hr_ticket *ticket)
{
    return impl_of(layer)->ticket(layer, ticket);
}

/* ---- receiving */

int hr_layer_listen(struct hr_layer *layer, struct hr_str pattern)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (!hr_pattern_ok(pattern))
        return hr_raise(HR_ERR_NAME);
    return hr_trace(layer->impl->listen(layer, pattern));
}

void hr_layer_unlisten(struct hr_layer *layer, struct hr_str pattern)
{
    if (has_slot(layer) && hr_pattern_ok(pattern))
        layer->impl->unlisten(layer, pattern);
}

int hr_layer_receive(struct hr_layer *layer, enum hr_receive_from from, struct hr_delivery *out)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    return hr_trace(layer->impl->receive(layer, from, out));
}

int hr_layer_wait(struct hr_layer *layer, enum hr_receive_from from, hr_time timeout)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    return hr_trace(layer->impl->wait(layer, from, timeout));
}

int hr_layer_fd(struct hr_layer *layer)
{
    return has_slot(layer) ? layer->impl->fd(layer) : -1;
}

int hr_layer_prepare(struct hr_layer *layer, enum hr_receive_from from)
{
    return has_slot(layer) ? layer->impl->prepare(layer, from) : 0;
}

void hr_layer_dispatch(struct hr_layer *layer)
{
    if (has_slot(layer))
        layer->impl->dispatch(layer);
}

hr_time hr_layer_poll_timeout(const struct hr_layer *layer)
{
    return has_slot(layer) ? layer->impl->poll_timeout(layer) : HR_NEVER;
}

int hr_layer_ack(struct hr_layer *layer, const struct hr_lease *lease)
{
    return hr_lease_is_set(lease) ? impl_of(layer)->ack(layer, lease) : HR_LAYER_LOST;
}

int hr_layer_nack(struct hr_layer *layer, const struct hr_lease *lease, enum hr_reason reason)
{
    hr_assert(reason < HR_N_REASONS);
    hr_time delay = reason == HR_REASON_APP ? -1 : 0;
    return hr_lease_is_set(lease) ? impl_of(layer)->nack(layer, lease, reason, delay)
                                  : HR_LAYER_LOST;
}

int hr_layer_nack_after(struct hr_layer *layer, const struct hr_lease *lease, enum hr_reason reason,
                        hr_time delay)
{
    hr_assert(reason < HR_N_REASONS && delay >= 0);
    return hr_lease_is_set(lease) ? impl_of(layer)->nack(layer, lease, reason, delay)
                                  : HR_LAYER_LOST;
}

/* ---- addresses */

/* Is it one of this member's connections, at least by its slot? The control
 * address is none: it is never renewed, closed or full. */
static bool is_ours(const struct hr_layer *layer, const struct hr_addr *addr)
{
    touched(layer);
    return hr_addr_is_set(addr) && addr->layer == layer->id && addr->slot == layer->slot &&
           addr->slot_gen == layer->slot_gen && addr->conn_gen != 0;
}

int hr_layer_address_open(struct hr_layer *layer, struct hr_addr *out)
{
    *out = (struct hr_addr){0};
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    return hr_trace(layer->impl->address_open(layer, out));
}

void hr_layer_address_renew(struct hr_layer *layer, struct hr_addr *addr)
{
    if (is_ours(layer, addr))
        layer->impl->address_renew(layer, addr);
}

void hr_layer_address_close(struct hr_layer *layer, struct hr_addr *addr)
{
    if (is_ours(layer, addr))
        layer->impl->address_close(layer, addr);
    *addr = (struct hr_addr){0};
}

void hr_layer_address_set_full(struct hr_layer *layer, const struct hr_addr *addr, bool is_full)
{
    if (is_ours(layer, addr))
        layer->impl->address_set_full(layer, addr, is_full);
}

bool hr_layer_address_alive(struct hr_layer *layer, const struct hr_addr *addr)
{
    return hr_addr_is_set(addr) && impl_of(layer)->address_alive(layer, addr);
}

/* ---- groups */

typedef int (*group_change_fn)(struct hr_layer *layer, struct hr_str group,
                               const struct hr_addr *addr, struct hr_str name);

static int group_change_addr(struct hr_layer *layer, struct hr_str group,
                             const struct hr_addr *addr, group_change_fn change)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    /* A control address is no connection: nobody would expand the group for it. */
    if (!hr_group_name_ok(group) || (hr_addr_is_set(addr) && addr->conn_gen == 0))
        return hr_raise(HR_ERR_NAME);
    if (!hr_addr_is_set(addr))
        return HR_LAYER_GONE;
    return hr_trace(change(layer, group, addr, (struct hr_str){0}));
}

static int group_change(struct hr_layer *layer, struct hr_str group, struct hr_str channel,
                        group_change_fn change)
{
    struct hr_addr addr;
    if (!hr_group_name_ok(group) || !hr_channel_name_ok(channel))
        return hr_raise(HR_ERR_NAME);
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (!memchr(channel.ptr, '!', channel.len))
        return hr_trace(change(layer, group, NULL, channel));
    if (!hr_addr_parse(channel, &addr))
        return hr_raise(HR_ERR_NAME);
    return group_change_addr(layer, group, &addr, change);
}

int hr_layer_group_add(struct hr_layer *layer, struct hr_str group, struct hr_str channel)
{
    return group_change(layer, group, channel, impl_of(layer)->group_add);
}

int hr_layer_group_discard(struct hr_layer *layer, struct hr_str group, struct hr_str channel)
{
    return group_change(layer, group, channel, impl_of(layer)->group_discard);
}

int hr_layer_group_add_addr(struct hr_layer *layer, struct hr_str group, const struct hr_addr *addr)
{
    return group_change_addr(layer, group, addr, impl_of(layer)->group_add);
}

int hr_layer_group_discard_addr(struct hr_layer *layer, struct hr_str group,
                                const struct hr_addr *addr)
{
    return group_change_addr(layer, group, addr, impl_of(layer)->group_discard);
}

int hr_layer_group_send(struct hr_layer *layer, struct hr_str group, const void *data, size_t len,
                        uint32_t *n_skipped)
{
    uint32_t n_ignored = 0;
    if (!n_skipped)
        n_skipped = &n_ignored;
    *n_skipped = 0;
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (!hr_group_name_ok(group))
        return hr_raise(HR_ERR_NAME);
    if (len > touched(layer)->max_message)
        return HR_LAYER_TOO_BIG;
    return hr_trace(layer->impl->group_send(layer, group, data, len, n_skipped));
}

size_t hr_layer_group_count(struct hr_layer *layer, struct hr_str group, bool *is_partial)
{
    bool ignored = false;
    if (!is_partial)
        is_partial = &ignored;
    *is_partial = false;
    return hr_group_name_ok(group) ? impl_of(layer)->group_count(layer, group, is_partial) : 0;
}

void hr_layer_group_channels(struct hr_layer *layer, struct hr_str group, hr_name_fn fn, void *arg,
                             bool *is_partial)
{
    bool ignored = false;
    if (!is_partial)
        is_partial = &ignored;
    *is_partial = false;
    if (hr_group_name_ok(group))
        impl_of(layer)->group_channels(layer, group, fn, arg, is_partial);
}

bool hr_layer_member_next(struct hr_layer *layer, struct hr_str group,
                          struct hr_member_cursor *cursor, struct hr_addr *out)
{
    *out = (struct hr_addr){0};
    return hr_group_name_ok(group) && impl_of(layer)->member_next(layer, group, cursor, out);
}

/* ---- policy, housekeeping, statistics */

int hr_layer_set_policies(struct hr_layer *layer, const struct hr_channel_policy *rows,
                          size_t n_rows)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (n_rows > HR_POLICY_MAX_ROWS)
        return HR_LAYER_TOO_BIG;
    for (size_t i = 0; i < n_rows; i++)
        if (!hr_policy_ok(&rows[i]))
            return hr_raise(HR_ERR_INVALID);
    return hr_trace(impl_of(layer)->set_policies(layer, rows, n_rows));
}

int hr_layer_flush(struct hr_layer *layer, struct hr_str channel)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (channel.len > 0 && !hr_group_name_ok(channel))
        return hr_raise(HR_ERR_NAME);
    return hr_trace(impl_of(layer)->flush(layer, channel));
}

int hr_layer_pause(struct hr_layer *layer, struct hr_str channel, bool is_paused)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (!hr_group_name_ok(channel) || hr_str_eq(channel, HR_LIT(HR_INBOX_CHANNEL)))
        return hr_raise(HR_ERR_NAME);
    return hr_trace(impl_of(layer)->pause(layer, channel, is_paused));
}

void hr_layer_count_drop(struct hr_layer *layer, struct hr_str channel, enum hr_reason reason)
{
    hr_assert(reason < HR_N_REASONS);
    if (has_slot(layer) && hr_group_name_ok(channel))
        layer->impl->count_drop(layer, channel, reason);
}

bool hr_layer_channel_stats(struct hr_layer *layer, uint32_t index, struct hr_channel_stats *out)
{
    *out = (struct hr_channel_stats){0};
    return impl_of(layer)->channel_stats(layer, index, out);
}

bool hr_layer_channel_find(struct hr_layer *layer, struct hr_str name, struct hr_channel_stats *out)
{
    uint32_t index = 0;
    *out = (struct hr_channel_stats){0};
    return hr_group_name_ok(name) && impl_of(layer)->channel_find(layer, name, &index) &&
           layer->impl->channel_stats(layer, index, out);
}

void hr_layer_arena_stats(struct hr_layer *layer, struct hr_arena_stats *out)
{
    *out = (struct hr_arena_stats){0};
    impl_of(layer)->arena_stats(layer, out);
}

/* ---- letters */

bool hr_layer_letter_next(struct hr_layer *layer, struct hr_str channel, uint64_t *cursor,
                          void *buffer, size_t size, struct hr_letter *out)
{
    *out = (struct hr_letter){.data = buffer, .len = size};
    return hr_group_name_ok(channel) && impl_of(layer)->letter_next(layer, channel, cursor, out);
}

int hr_layer_letters_decide(struct hr_layer *layer, struct hr_str channel, hr_letter_fn decide,
                            void *arg, struct hr_letter_fates *out)
{
    *out = (struct hr_letter_fates){0};
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (!hr_group_name_ok(channel) || hr_str_eq(channel, HR_LIT(HR_INBOX_CHANNEL)))
        return hr_raise(HR_ERR_NOT_FOUND);
    return hr_trace(impl_of(layer)->letters_decide(layer, channel, decide, arg, out));
}

/* ---- members, counters, records */

bool hr_layer_member(struct hr_layer *layer, uint32_t slot, struct hr_member *out)
{
    *out = (struct hr_member){.slot = slot};
    return impl_of(layer)->member(layer, slot, out);
}

void hr_layer_set_ready(struct hr_layer *layer, bool is_ready)
{
    if (has_slot(layer))
        layer->impl->set_ready(layer, is_ready);
}

void hr_layer_retire(struct hr_layer *layer, uint32_t slot, uint32_t slot_gen)
{
    if (has_slot(layer))
        layer->impl->retire(layer, slot, slot_gen);
}

bool hr_layer_is_retiring(const struct hr_layer *layer)
{
    return has_slot(layer) && layer->impl->is_retiring(layer);
}

uint64_t *hr_layer_counters(struct hr_layer *layer, uint32_t slot, uint32_t *n_out)
{
    *n_out = 0;
    return impl_of(layer)->counters(layer, slot, n_out);
}

static bool record_key_ok(struct hr_str key)
{
    return key.len >= 1 && key.len <= HR_RECORD_KEY_MAX && !memchr(key.ptr, '\0', key.len);
}

int hr_layer_record_put(struct hr_layer *layer, struct hr_str key, const void *data, size_t len)
{
    if (!has_slot(layer))
        return hr_raise(HR_ERR_STATE);
    if (!record_key_ok(key))
        return hr_raise(HR_ERR_NAME);
    if (len > HR_RECORD_MAX)
        return HR_LAYER_TOO_BIG;
    return hr_trace(impl_of(layer)->record_put(layer, key, data, len));
}

void hr_layer_record_remove(struct hr_layer *layer, struct hr_str key)
{
    if (has_slot(layer) && record_key_ok(key))
        layer->impl->record_remove(layer, key);
}

bool hr_layer_record_next(struct hr_layer *layer, uint32_t *cursor, struct hr_record *out)
{
    return impl_of(layer)->record_next(layer, cursor, out);
}

uint64_t hr_layer_records_version(const struct hr_layer *layer)
{
    return impl_of(layer)->records_version(layer);
}
