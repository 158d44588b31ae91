/* test_hostile.c - workers that send nonsense: seeded random messages to every kind of address.
 *
 * Nothing is asserted about the answers, but that the server lives, still serves, and has given
 * everything back at the end.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "harness.h"
#include "suites.h"

static struct event event;
enum { SEEDS = 40 };

static uint64_t seed;

static uint32_t any(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % n;
}

static void put_any(struct hr_pack *pack, int depth)
{
    static const int64_t numbers[] = {0,   1,    2,     -1,        99,        200,
                                      304, 1000, 65536, INT64_MIN, INT64_MAX, 4000};
    static const char *const texts[] = {
        "", "x", "room", "\r\nX: y", "content-length", "5", "reply.x.1g1!1g1"};
    uint32_t n = any(4);
    switch (any(depth > 0 ? 8 : 6)) {
    case 0:
        hr_pack_null(pack);
        break;
    case 1:
        hr_pack_bool(pack, any(2));
        break;
    case 2:
    case 3:
        hr_pack_int(pack, numbers[any(sizeof numbers / sizeof *numbers)]);
        break;
    case 4:
        hr_pack_cstr(pack, texts[any(sizeof texts / sizeof *texts)]);
        break;
    case 5: {
        const char *text = texts[any(sizeof texts / sizeof *texts)];
        hr_pack_bytes(pack, text, strlen(text));
        break;
    }
    case 6:
        hr_pack_list(pack, n);
        for (uint32_t i = 0; i < n; i++)
            put_any(pack, depth - 1);
        break;
    default:
        hr_pack_map(pack, n);
        for (uint32_t i = 0; i < n; i++) {
            hr_pack_cstr(pack, texts[any(sizeof texts / sizeof *texts)]);
            put_any(pack, depth - 1);
        }
        break;
    }
}

static void put_headers(struct hr_pack *pack)
{
    static const char *const texts[] = {"x-a", "content-length", "connection", "5", "close", "a b",
                                        ""};
    uint32_t n = any(4);
    hr_pack_list(pack, n);
    for (uint32_t i = 0; i < n; i++)
        hr_pack_header(pack, hr_str_of(texts[any(7)]), hr_str_of(texts[any(7)]));
}

static size_t make_message(uint8_t *data, size_t size)
{
    static const char *const keys[] = {"status", "headers", "body",   "more_body",   "to",
                                       "text",   "bytes",   "code",   "reason",      "seq",
                                       "state",  "group",   "total",  "handed_on",   "timeout",
                                       "window", "slot",    "offset", "subprotocol", "taken_at"};
    struct hr_pack pack;
    uint32_t n = 1 + any(6);
    hr_pack_init(&pack, data, size);
    hr_pack_map(&pack, n + 1);
    hr_pack_type(&pack, (enum hr_msg_type)(HR_MSG_TYPE_OTHER + 1 +
                                           any(HR_N_MSG_TYPES - HR_MSG_TYPE_OTHER - 1)));
    for (uint32_t i = 0; i < n; i++) {
        const char *key = keys[any(sizeof keys / sizeof *keys)];
        hr_pack_cstr(&pack, key);
        if (strcmp(key, "headers") == 0 && any(2))
            put_headers(&pack);
        else if (strcmp(key, "seq") == 0 || (strcmp(key, "status") == 0 && any(2)))
            hr_pack_int(&pack, key[1] == 'e' ? any(4) : 200 + any(400));
        else
            put_any(&pack, 3);
    }
    assert_int_equal(hr_pack_done(&pack), 0);
    size_t len = hr_pack_len(&pack);
    if (any(20) == 0) /* and some that are none */
        data[any((uint32_t)len)] ^= (uint8_t)(1u << any(8));
    return len;
}

/* A client whose event the worker holds: a request, an upload, a handshake or an open socket. */
static void open_one(struct world *w, struct client *c)
{
    switch (any(4)) {
    case 0:
        client_say(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        break;
    case 1:
        client_say(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
        break;
    case 2:
        ws_handshake(c, "/", "");
        break;
    default:
        ws_open(w, c, &event);
        ws_say(c, "hello");
        break;
    }
    UNTIL(w, worker_poll(w->worker, &event));
}

static void nonsense_never_crashes_the_server(void **state)
{
    static uint8_t data[8192];
    struct answer *answer = hr_alloc(sizeof *answer);
    int64_t before = hr_alloc_live();
    (void)state;
    hr_log_init(2, HR_LOG_TEXT, HR_LOG_ERROR + 1);
    for (seed = 1; seed <= SEEDS; seed++) {
        uint64_t number = seed;
        struct world *w = world_new(NULL);
        for (int i = 0; i < 4; i++) {
            open_one(w, client_new(w));
            (void)!hr_layer_group_add_addr(w->worker, HR_LIT("room"), &event.d.reply);
            for (uint32_t k = 1 + any(6); k > 0; k--) {
                size_t len = make_message(data, sizeof data);
                if (any(4) == 0)
                    (void)!hr_layer_group_send(w->worker, HR_LIT("room"), data, len, NULL);
                else
                    (void)!reply_raw(w->worker, &event, data, len);
                if (any(2))
                    world_turn(w);
            }
        }
        world_turn(w);
        struct client *c = client_new(w);
        client_say(c, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n");
        client_answer(w, c, "GET", answer);
        assert_int_equal(answer->status, 400);
        world_free(w);
        assert_int_equal(hr_alloc_live(), before);
        seed = number;
    }
    hr_log_init(2, HR_LOG_AUTO, HR_LOG_INFO);
    hr_free(answer);
}

int test_hostile(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nonsense_never_crashes_the_server),
    };
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
