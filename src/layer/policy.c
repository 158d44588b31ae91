/* policy.c - see policy.h for the defaults and their reasons.
 *
 * A record is {"rows": [[pattern, max_messages, max_bytes, expiry, delivery,
 * lease, attempts, backoff, dead_letter], ...]}: a row is a list and not a map because
 * a record is small (HR_RECORD_MAX), and then holds some 60 rows of the usual length.
 */
#include "layer/policy.h"

#include <string.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "layer/layer_impl.h"

enum { N_COLUMNS = 9 };

static struct hr_str text_of(const char text[HR_NAME_MAX + 1])
{
    return (struct hr_str){text, strnlen(text, HR_NAME_MAX + 1)};
}

bool hr_policy_ok(const struct hr_channel_policy *row)
{
    struct hr_str dead_letter = text_of(row->dead_letter);

    return hr_pattern_ok(text_of(row->pattern)) && row->max_messages <= HR_POLICY_MAX_MESSAGES &&
           row->max_bytes <= INT64_MAX && row->expiry >= 0 && row->lease >= 0 &&
           row->backoff >= 0 &&
           (row->delivery == HR_AT_MOST_ONCE || row->delivery == HR_AT_LEAST_ONCE) &&
           row->attempts <= HR_POLICY_MAX_ATTEMPTS &&
           (dead_letter.len == 0 || hr_group_name_ok(dead_letter));
}

/* ---- resolving */

static bool is_dead_letter(const struct hr_channel_policy *rows, size_t n_rows,
                           struct hr_str channel)
{
    if (hr_str_starts(channel, HR_LIT("dead.")))
        return true;
    for (size_t i = 0; i < n_rows; i++)
        if (hr_str_eq(text_of(rows[i].dead_letter), channel))
            return true;
    return false;
}

/* The table of policy.h, but for what only at-least-once channels have. */
static void set_defaults(struct hr_policy *out, bool is_kept, struct hr_str channel)
{
    if (hr_str_starts(channel, HR_LIT("http.")) || hr_str_starts(channel, HR_LIT("websocket."))) {
        out->max_messages = 8192;
        out->expiry = HR_NEVER;
    } else if (is_kept) {
        out->max_messages = 10000;
        out->expiry = HR_NEVER;
    } else {
        out->max_messages = 100;
        out->expiry = 60 * HR_SECOND;
    }
}

/* "dead.<channel>", cut to what a name may have. */
static void set_dead_letter(struct hr_policy *out, struct hr_str channel)
{
    static const char prefix[] = "dead.";
    const size_t n = sizeof prefix - 1;

    memcpy(out->dead_letter, prefix, n);
    if (channel.len > HR_NAME_MAX - n)
        channel.len = HR_NAME_MAX - n;
    hr_str_copy(out->dead_letter + n, sizeof out->dead_letter - n, channel);
}

void hr_policy_resolve(const struct hr_channel_policy *rows, size_t n_rows, struct hr_str channel,
                       uint64_t arena_bytes, struct hr_policy *out)
{
    static const struct hr_channel_policy open_row = {0};
    const struct hr_channel_policy *row = &open_row;
    for (size_t i = 0; i < n_rows && row == &open_row; i++)
        if (hr_str_glob(text_of(rows[i].pattern), channel))
            row = &rows[i];

    bool is_at_least_once = row->delivery == HR_AT_LEAST_ONCE;
    *out = (struct hr_policy){
        .max_bytes = row->max_bytes ? row->max_bytes : arena_bytes / 4,
        .delivery = row->delivery,
        .lease = HR_NEVER,
    };
    out->is_dead_letter = is_dead_letter(rows, n_rows, channel);
    set_defaults(out, is_at_least_once || out->is_dead_letter, channel);
    if (row->max_messages)
        out->max_messages = row->max_messages;
    if (row->expiry)
        out->expiry = row->expiry;
    if (!is_at_least_once)
        return;

    out->lease = row->lease ? row->lease : 60 * HR_SECOND;
    out->attempts = row->attempts ? row->attempts : 5;
    out->backoff = hr_policy_backoff(row->backoff, 1); /* bounded */
    if (row->dead_letter[0])
        hr_str_copy(out->dead_letter, sizeof out->dead_letter, text_of(row->dead_letter));
    else
        set_dead_letter(out, channel);
}

hr_time hr_policy_backoff(hr_time backoff, uint32_t attempt)
{
    const hr_time most = 3600 * HR_SECOND;
    for (uint32_t i = 1; i < attempt && backoff < most; i++)
        backoff *= 2;
    return backoff < most ? backoff : most;
}

/* ---- the record */

int hr_policy_encode(const struct hr_channel_policy *rows, size_t n_rows,
                     uint8_t out[HR_RECORD_MAX], size_t *len_out)
{
    struct hr_pack pack;
    *len_out = 0;
    if (n_rows > HR_POLICY_MAX_ROWS)
        return HR_POLICY_TOO_BIG;

    hr_pack_init(&pack, out, HR_RECORD_MAX);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "rows");
    hr_pack_list(&pack, (uint32_t)n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        hr_assert(hr_policy_ok(&rows[i]));
        hr_pack_list(&pack, N_COLUMNS);
        hr_pack_cstr(&pack, rows[i].pattern);
        hr_pack_int(&pack, rows[i].max_messages);
        hr_pack_int(&pack, (int64_t)rows[i].max_bytes);
        hr_pack_int(&pack, rows[i].expiry);
        hr_pack_int(&pack, (int64_t)rows[i].delivery);
        hr_pack_int(&pack, rows[i].lease);
        hr_pack_int(&pack, rows[i].attempts);
        hr_pack_int(&pack, rows[i].backoff);
        hr_pack_cstr(&pack, rows[i].dead_letter);
    }
    if (hr_pack_done(&pack) != 0)
        return HR_POLICY_TOO_BIG;
    *len_out = hr_pack_len(&pack);
    return 0;
}

static bool read_name(struct hr_walk *walk, char out[HR_NAME_MAX + 1])
{
    struct hr_value value;
    return hr_list_next(walk, &value) && value.type == HR_TYPE_STRING &&
           hr_str_copy(out, HR_NAME_MAX + 1, value.as.str);
}

static bool read_number(struct hr_walk *walk, int64_t max, int64_t *out)
{
    struct hr_value value;
    if (!hr_list_next(walk, &value) || value.type != HR_TYPE_INT)
        return false;
    *out = value.as.integer;
    return *out >= 0 && *out <= max;
}

static bool read_row(const struct hr_value *list, struct hr_channel_policy *row)
{
    int64_t max_messages = 0, max_bytes = 0, delivery = 0, attempts = 0;
    if (list->type != HR_TYPE_LIST || list->n != N_COLUMNS)
        return false;

    struct hr_walk walk = hr_walk(list);
    *row = (struct hr_channel_policy){0};
    if (!read_name(&walk, row->pattern) || !read_number(&walk, UINT32_MAX, &max_messages) ||
        !read_number(&walk, INT64_MAX, &max_bytes) ||
        !read_number(&walk, INT64_MAX, &row->expiry) ||
        !read_number(&walk, HR_AT_LEAST_ONCE, &delivery) ||
        !read_number(&walk, INT64_MAX, &row->lease) || !read_number(&walk, UINT32_MAX, &attempts) ||
        !read_number(&walk, INT64_MAX, &row->backoff) || !read_name(&walk, row->dead_letter))
        return false;

    row->max_messages = (uint32_t)max_messages;
    row->max_bytes = (uint64_t)max_bytes;
    row->delivery = (enum hr_delivery_mode)delivery;
    row->attempts = (uint32_t)attempts;
    return hr_policy_ok(row);
}

int hr_policy_decode(const void *data, size_t len,
                     struct hr_channel_policy rows[HR_POLICY_MAX_ROWS], size_t *n_out)
{
    struct hr_msg msg;
    struct hr_value list, item;
    *n_out = 0;
    if (hr_msg_check(data, len, &msg) != 0 || !hr_msg_get(&msg, "rows", &list) ||
        list.type != HR_TYPE_LIST || list.n > HR_POLICY_MAX_ROWS)
        return HR_POLICY_MALFORMED;

    size_t n = 0;
    struct hr_walk walk = hr_walk(&list);
    while (hr_list_next(&walk, &item))
        if (!read_row(&item, &rows[n++]))
            return HR_POLICY_MALFORMED;
    *n_out = n;
    return 0;
}
