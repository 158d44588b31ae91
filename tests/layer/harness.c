/* harness.c - see harness.h. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <headrace/message.h>

#include "base/alloc.h"
#include "layer/memory/memory.h"

const char *suite_scheme = "memory:";

static bool is_memory(void)
{
    return strcmp(suite_scheme, "memory:") == 0;
}

static void sleep_for(hr_time span)
{
    struct timespec left = {.tv_sec = span / HR_SECOND, .tv_nsec = span % HR_SECOND};
    while (nanosleep(&left, &left) != 0)
        continue;
}

int case_setup(void **state)
{
    static unsigned n_cases;
    struct layer_case *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->geometry = &hr_geometry_default;
    c->n_blocks_before = hr_alloc_live();
    if (is_memory()) {
        snprintf(c->url, sizeof c->url, "memory:case-%u", n_cases++);
    } else {
        snprintf(c->directory, sizeof c->directory, "/dev/shm/headrace-test-XXXXXX");
        assert_non_null(mkdtemp(c->directory));
        snprintf(c->url, sizeof c->url, "%s%s/layer", suite_scheme, c->directory);
    }
    *state = c;
    return 0;
}

/* The tree below is ours and two levels deep. */
static void remove_directory(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char inner[512];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0) {
            DIR *sub = opendir(inner);
            struct dirent *file;
            while (sub && (file = readdir(sub)) != NULL)
                unlinkat(dirfd(sub), file->d_name, 0);
            if (sub)
                closedir(sub);
            rmdir(inner);
        }
    }
    closedir(dir);
    rmdir(path);
}

int case_teardown(void **state)
{
    struct layer_case *c = *state;
    while (c->n_members > 0)
        case_close(c, c->members[c->n_members - 1]);
    int64_t n_leaked = hr_alloc_live() - c->n_blocks_before;
    if (c->directory[0])
        remove_directory(c->directory);
    free(c);
    assert_int_equal(n_leaked, 0);
    return 0;
}

static hr_time our_clock(void *arg)
{
    const struct layer_case *c = arg;
    return c->now;
}

int case_try_open(struct layer_case *c, const struct hr_layer_options *options,
                  struct hr_layer **out)
{
    int r = hr_layer_open(c->url, options, out);
    if (r < 0)
        return r;
    assert_true(c->n_members < CASE_MAX_MEMBERS);
    c->members[c->n_members++] = *out;
    if (c->has_our_clock)
        hr_memory_set_clock(*out, our_clock, c);
    return 0;
}

struct hr_layer *case_open(struct layer_case *c, enum hr_role role)
{
    static const char *const labels[] = {"server", "worker", "client", "observer"};
    struct hr_layer_options options = {
        .role = role, .create = true, .geometry = c->geometry, .label = labels[role]};
    struct hr_layer *layer = NULL;
    if (case_try_open(c, &options, &layer) != 0)
        fail_msg("%s", hr_layer_open_error());
    return layer;
}

void case_close(struct layer_case *c, struct hr_layer *layer)
{
    unsigned at = 0;
    while (at < c->n_members && c->members[at] != layer)
        at++;
    assert_true(at < c->n_members);
    c->members[at] = c->members[--c->n_members];
    hr_layer_close(layer);
}

void case_policies(struct layer_case *c, const struct hr_channel_policy *rows, size_t n_rows)
{
    assert_true(c->n_members > 0);
    assert_int_equal(hr_layer_set_policies(c->members[0], rows, n_rows), 0);
}

void case_freeze(struct layer_case *c)
{
    assert_true(c->n_members > 0);
    c->has_our_clock = is_memory();
    c->now = hr_time_now();
    if (c->has_our_clock)
        hr_memory_set_clock(c->members[0], our_clock, c);
}

static void dispatch_all(struct layer_case *c)
{
    for (unsigned i = 0; i < c->n_members; i++)
        hr_layer_dispatch(c->members[i]);
}

void case_advance(struct layer_case *c, hr_time span)
{
    if (c->has_our_clock)
        c->now += span;
    else
        sleep_for(span);
    dispatch_all(c);
}

/* ---- messages */

static size_t pack_number(uint8_t buffer[16], int64_t number)
{
    struct hr_pack pack;
    hr_pack_init(&pack, buffer, 16);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "n");
    hr_pack_int(&pack, number);
    assert_int_equal(hr_pack_done(&pack), 0);
    return hr_pack_len(&pack);
}

int send_number(struct hr_layer *layer, const char *channel, int64_t number,
                const struct hr_send_options *options)
{
    uint8_t buffer[16];
    size_t len = pack_number(buffer, number);
    return hr_layer_send(layer, hr_str_of(channel), buffer, len, options);
}

int send_number_to(struct hr_layer *layer, const struct hr_addr *to, int64_t number,
                   const struct hr_send_options *options)
{
    uint8_t buffer[16];
    size_t len = pack_number(buffer, number);
    return hr_layer_send_to(layer, to, buffer, len, options);
}

int64_t number_of(const struct hr_delivery *delivery)
{
    struct hr_msg msg;
    assert_int_equal(hr_msg_check(delivery->data, delivery->len, &msg), 0);
    return hr_msg_int(&msg, "n", -1);
}

static uint8_t byte_at(size_t i, unsigned seed)
{
    return (uint8_t)((i * 2654435761u >> 7) + i + seed);
}

uint8_t *make_bytes(size_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size ? size : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(i, seed);
    return bytes;
}

void assert_bytes(const struct hr_delivery *delivery, size_t size, unsigned seed)
{
    assert_int_equal(delivery->len, size);
    for (size_t i = 0; i < size; i++)
        if (delivery->data[i] != byte_at(i, seed))
            fail_msg("byte %zu of %zu is %u", i, size, delivery->data[i]);
}

/* ---- receiving */

struct hr_delivery case_receive(struct layer_case *c, struct hr_layer *layer)
{
    struct hr_delivery delivery;
    const int n_tries = is_memory() ? 1 : 200;
    for (int i = 0; i < n_tries; i++) {
        int r = hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery);
        if (r == 0)
            return delivery;
        assert_int_equal(r, HR_LAYER_EMPTY);
        dispatch_all(c);
        if (n_tries > 1)
            sleep_for(10 * HR_MS);
    }
    fail_msg("no message came");
    return delivery;
}

void expect_number(struct layer_case *c, struct hr_layer *layer, int64_t number)
{
    struct hr_delivery delivery = case_receive(c, layer);
    assert_int_equal(number_of(&delivery), number);
    if (hr_lease_is_set(&delivery.lease))
        assert_int_equal(hr_layer_ack(layer, &delivery.lease), 0);
}

void expect_empty(struct hr_layer *layer)
{
    struct hr_delivery delivery;
    assert_int_equal(hr_layer_receive(layer, HR_RECEIVE_ALL, &delivery), HR_LAYER_EMPTY);
}

struct hr_addr open_address(struct hr_layer *layer)
{
    struct hr_addr addr;
    assert_int_equal(hr_layer_address_open(layer, &addr), 0);
    assert_true(hr_addr_is_set(&addr));
    return addr;
}

struct hr_str text_of(const struct hr_addr *addr, char buffer[HR_ADDR_TEXT_MAX])
{
    size_t len = hr_addr_format(addr, buffer);
    return (struct hr_str){buffer, len};
}

struct hr_channel_stats stats_of(struct hr_layer *layer, const char *channel)
{
    struct hr_channel_stats stats;
    if (!hr_layer_channel_find(layer, hr_str_of(channel), &stats))
        fail_msg("no channel %s", channel);
    return stats;
}

void assert_adds_up(const struct hr_channel_stats *stats)
{
    uint64_t n_dropped = 0;
    for (int i = 0; i < HR_N_REASONS; i++)
        n_dropped += stats->n_dropped[i];
    assert_int_equal(stats->n_sent, stats->n_received + stats->depth + n_dropped);
}

void expect_dropped(struct layer_case *c, struct hr_layer *layer, const char *channel,
                    enum hr_reason reason, uint64_t n)
{
    struct hr_channel_stats stats = stats_of(layer, channel);
    for (int i = 0; i < 200 && stats.n_dropped[reason] != n && !is_memory(); i++) {
        sleep_for(10 * HR_MS);
        dispatch_all(c);
        stats = stats_of(layer, channel);
    }
    assert_int_equal(stats.n_dropped[reason], n);
}
