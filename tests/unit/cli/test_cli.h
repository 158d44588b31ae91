/* test_cli.h - the groups of unit-cli, and what they share. */
#ifndef HR_TESTS_UNIT_CLI_TEST_CLI_H
#define HR_TESTS_UNIT_CLI_TEST_CLI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/args.h"
#include "cli/settings.h"

/* Each runs its group and returns the number of failed tests. */
int test_app(void);
int test_args(void);
int test_argv(void);
int test_backoff(void);
int test_bind(void);
int test_children(void);
int test_exit(void);
int test_file(void);
int test_handover(void);
int test_history(void);
int test_json(void);
int test_layerpath(void);
int test_nearest(void);
int test_precedence(void);
int test_settings(void);
int test_sockets(void);
int test_status(void);
int test_units(void);

/* ---- scratch.c: a directory of the test's own, which is also the current one */

/* cmocka set-up and tear-down: an empty directory, no HEADRACE_* in the environment. */
int scratch_enter(void **state);
int scratch_leave(void **state);
void scratch_write(const char *name, const char *text);

/* Reads a command line ("run ./app.so -w 2", words by single spaces). */
int scratch_args(const char *line, struct hr_args *out, struct hr_diag *diag);
/* And loads the settings it gives. *out is to be unref'd. */
int scratch_load(const char *line, struct hr_settings **out, struct hr_diag *diag);
/* The same, of settings that must be right. */
struct hr_settings *scratch_settings(const char *line);

/* Fails unless `text` holds `part`; shows both. */
void assert_holds(const char *text, const char *part);

#endif /* HR_TESTS_UNIT_CLI_TEST_CLI_H */
