/* scratch.c - see test_cli.h. */
#include "test_cli.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/settings_load.h"

static char directory[64];

static void clear_environment(void)
{
    static const char *const others[] = {"PORT", "WEB_CONCURRENCY", "LISTEN_FDS", "LISTEN_PID",
                                         "RUNTIME_DIRECTORY"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]);
    for (char **entry = environ; *entry;) {
        char name[128] = "";
        sscanf(*entry, "%127[^=]", name);
        if (strncmp(name, "HEADRACE_", 9) == 0)
            unsetenv(name); /* moves the rest up */
        else
            entry++;
    }
}

int scratch_enter(void **state)
{
    (void)state;
    clear_environment();
    snprintf(directory, sizeof directory, "/tmp/headrace-unit-XXXXXX");
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int scratch_leave(void **state)
{
    (void)state;
    clear_environment();
    return chdir("/") == 0 ? nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

void scratch_write(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

int scratch_args(const char *line, struct hr_args *out, struct hr_diag *diag)
{
    /* hr_args borrows its words: they live until the next call. */
    static char words[1024];
    static char *argv[64];
    int argc = 0;
    argv[argc++] = words;
    snprintf(words, sizeof words, "headrace %s", line);
    for (char *at = strchr(words, ' '); at; at = strchr(at, ' ')) {
        *at++ = '\0';
        argv[argc++] = at;
    }
    argv[argc] = NULL;
    *diag = (struct hr_diag){0};
    return hr_args_read(argc, argv, out, diag);
}

int scratch_load(const char *line, struct hr_settings **out, struct hr_diag *diag)
{
    struct hr_args args;
    *out = NULL;
    int r = scratch_args(line, &args, diag);
    assert_int_equal(r, 0);
    r = hr_settings_load(&args, out, diag);
    hr_args_fini(&args);
    return r;
}

struct hr_settings *scratch_settings(const char *line)
{
    struct hr_settings *settings;
    struct hr_diag diag;
    int r = scratch_load(line, &settings, &diag);
    if (r != 0)
        print_error("%s: %s\n", diag.file, diag.message);
    assert_int_equal(r, 0);
    return settings;
}

void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        print_error("'%s' is not in '%s'\n", part, text);
        fail();
    }
}
