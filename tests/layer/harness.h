/* harness.h - what every test of the semantic suite starts from.
 *
 * The suite knows one thing about the layer under test, its URL. Each test
 * gets a fresh layer of its own, with the default geometry unless it asks for
 * another, and opens as many members as it needs; they are closed after it.
 *
 * Time. A test that needs time to pass calls case_freeze() first and then
 * case_advance(). On `memory:` the clock is ours and nothing sleeps; elsewhere
 * the advance is a real, short sleep. Write spans of 20 to 50 ms and advance
 * by clearly more (what shares a machine rounds and sweeps), and use
 * case_receive(), which gives such a layer 2 s to come round to it.
 *
 * Tests that need a second process have no place in this suite: they belong
 * beside it, with a harness of their own on the same case_url().
 */
#ifndef TESTS_LAYER_HARNESS_H
#define TESTS_LAYER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <headrace/layer.h>

#include "base/str.h"
#include "base/time.h"

enum { CASE_MAX_MEMBERS = 80 };

struct layer_case {
    char url[160];
    char directory[128]; /* made for the case and removed with it; empty for memory: */
    bool has_our_clock;  /* time is what case_advance() says */
    hr_time now;         /* then */
    struct hr_layer *members[CASE_MAX_MEMBERS];
    unsigned n_members;
    int64_t n_blocks_before;            /* of the heap: a test that ends has given all back */
    const struct hr_geometry *geometry; /* of the layer, once its first member is opened */
};

/* One row of a suite: the test with its own fresh case. */
#define LAYER_TEST(test) cmocka_unit_test_setup_teardown(test, case_setup, case_teardown)

/* "memory:" or "ipc:", set once by main(). */
extern const char *suite_scheme;

int case_setup(void **state);
int case_teardown(void **state);

/* Opens a member, creating the layer with the first; never fails. */
struct hr_layer *case_open(struct layer_case *c, enum hr_role role);
/* The same, for tests of opening itself. */
int case_try_open(struct layer_case *c, const struct hr_layer_options *options,
                  struct hr_layer **out);
void case_close(struct layer_case *c, struct hr_layer *layer);

/* Sets policy rows through any member; must succeed. */
void case_policies(struct layer_case *c, const struct hr_channel_policy *rows, size_t n_rows);

void case_freeze(struct layer_case *c);
void case_advance(struct layer_case *c, hr_time span);

/* ---- messages: {"n": number}, or bytes that can be checked */

/* Sends {"n": number} to a name or address in text form. */
int send_number(struct hr_layer *layer, const char *channel, int64_t number,
                const struct hr_send_options *options);
int send_number_to(struct hr_layer *layer, const struct hr_addr *to, int64_t number,
                   const struct hr_send_options *options);
int64_t number_of(const struct hr_delivery *delivery);

/* `size` bytes that depend on their place and `seed`; the caller frees them. */
uint8_t *make_bytes(size_t size, unsigned seed);
void assert_bytes(const struct hr_delivery *delivery, size_t size, unsigned seed);

/* ---- receiving */

/* Takes the next message, which must come. */
struct hr_delivery case_receive(struct layer_case *c, struct hr_layer *layer);
/* Takes it, checks its number and acknowledges it where that is needed. */
void expect_number(struct layer_case *c, struct hr_layer *layer, int64_t number);
void expect_empty(struct hr_layer *layer);

struct hr_addr open_address(struct hr_layer *layer);
struct hr_str text_of(const struct hr_addr *addr, char buffer[HR_ADDR_TEXT_MAX]);

/* The statistics of a channel, which must exist. */
struct hr_channel_stats stats_of(struct hr_layer *layer, const char *channel);
/* At rest: what was sent was received, dropped, or is still there. */
void assert_adds_up(const struct hr_channel_stats *stats);
/* Waits until a counter, read by `read`, has this value: layers that share a
 * machine may count a moment later. */
void expect_dropped(struct layer_case *c, struct hr_layer *layer, const char *channel,
                    enum hr_reason reason, uint64_t n);

/* ---- the suites; each returns the number of failed tests */
int suite_send(void);
int suite_receive(void);
int suite_address(void);
int suite_lease(void);
int suite_group(void);
int suite_state(void);
int suite_loop(void);
int suite_operator(void);
int suite_nomem(void);

#endif /* TESTS_LAYER_HARNESS_H */
