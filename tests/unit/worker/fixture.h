/* fixture.h - a worker on a memory layer, and a test that plays its interface server.
 *
 * rig_open() gives a worker of pool "web" whose consumers are the test's, on a
 * loop of its own. The test sends events as a server does (leased, with a
 * reply address and a number) and reads what comes back to that address, in
 * order. A turn of the loop does not wait unless it is told to. With RIG_ON_IPC
 * in the environment the layer is an ipc one, between the two of one process.
 */
#ifndef HR_TESTS_WORKER_FIXTURE_H
#define HR_TESTS_WORKER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <headrace/worker.h>

#include "base/loop.h"
#include "base/str.h"
#include "worker/runtime.h"

enum { RIG_MAX_ANSWERS = 512 };

/* What came to the server: an answer, or one of its events that was handed back. */
struct answer {
    enum hr_delivery_kind kind;
    struct hr_msg msg; /* of a copy */
    struct hr_str type;
    struct hr_addr to;
    enum hr_reason reason;
    uint8_t *data;
};

struct rig {
    char url[64], dir[48];
    struct hr_loop *loop;
    struct hr_layer *server;
    struct hr_worker *worker;
    struct hr_worker_config config;
    struct hr_addr client; /* a connection of the server's */
    uint32_t seq;
    bool has_ended;
    int outcome;
    struct answer answers[RIG_MAX_ANSWERS]; /* everything that came, in order */
    size_t n_answers, n_read;
};

/* One event to send. What is not set is left out of the message. */
struct event {
    const char *channel; /* "http.request.web" */
    const char *method, *path, *query, *text, *bytes;
    struct hr_str body;
    bool more_body;
    const char *const *headers; /* name, value, name, value, ..., NULL */
    const char *const *subprotocols;
    const uint8_t *state; /* encoded */
    size_t state_len;
    bool is_alone; /* no reply address */
    bool has_no_seq;
};

/* Before rig_open() returns the worker is ready. `tweak` may change the config; may be NULL. */
void rig_open(struct rig *rig, const struct hr_consumer *consumers,
              void (*tweak)(struct hr_worker_config *config));
void rig_close(struct rig *rig);

void rig_send(struct rig *rig, const struct event *event);
void rig_get(struct rig *rig, const char *path);                       /* GET, to web */
void rig_receive(struct rig *rig, const char *path, const char *text); /* a WebSocket message */
void rig_to_holder(struct rig *rig, struct hr_str to, const struct hr_pack *pack);

/* Turns until nothing happens any more: `n` turns that do not wait. */
void rig_turn(struct rig *rig, int n);
/* Turns, waiting, until *flag or 5 s of them. */
void rig_wait(struct rig *rig, const bool *flag);

/* The next thing that came; fails the test when there is none. */
const struct answer *rig_next(struct rig *rig);
bool rig_has_next(struct rig *rig);
/* The next one is of this type. */
const struct answer *rig_expect(struct rig *rig, const char *type);

/* Has the last event's lease ended, and how many are held? */
bool rig_is_acked(struct rig *rig);

/* A directory and all in it. */
void remove_tree(const char *path);

/* The path of something that was built, by the variable that meson.build gives it. */
const char *built(const char *variable);

#define assert_str(actual, expected)                                                               \
    do {                                                                                           \
        struct hr_str actual_ = (actual);                                                          \
        const char *expected_ = (expected);                                                        \
        assert_int_equal(actual_.len, strlen(expected_));                                          \
        assert_memory_equal(actual_.ptr ? actual_.ptr : "", expected_, actual_.len);               \
    } while (0)

int run_answer_tests(void);
int run_body_tests(void);
int run_channel_tests(void);
int run_crash_tests(void);
int run_later_tests(void);
int run_life_tests(void);
int run_outbox_tests(void);
int run_request_tests(void);
int run_route_tests(void);
int run_stack_tests(void);
int run_state_tests(void);
int run_symbol_tests(void);

#endif /* HR_TESTS_WORKER_FIXTURE_H */
