/* fuzz_settings.c - headrace.ini as nobody would write it.
 *
 * What is refused has a place and a reason. What is accepted holds two
 * promises:
 *
 * 1. Handed on as `--set` flags, as the supervisor does to its children, it is
 *    the same settings.
 * 2. The check of the whole accepts it or says why not.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/argv.h"
#include "cli/settings_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hr_settings *new_settings(void)
{
    struct hr_settings *settings;
    hr_assert(hr_settings_new(&settings) == 0);
    return settings;
}

static int read_as_file(struct hr_settings *settings, const uint8_t *data, size_t size,
                        struct hr_diag *diag)
{
    char path[64];
    int fd = memfd_create("headrace.ini", MFD_CLOEXEC);
    hr_assert(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)lseek(fd, 0, SEEK_SET);
    int r = hr_settings_read_file(settings, path, diag);
    hr_assert(r == 0 || r == HR_ERR_CONFIG);
    hr_assert(r == 0 || (strcmp(diag->file, path) == 0 && diag->line > 0));
    (void)close(fd);
    return r;
}

/* Another supervisor's child: settings made of nothing but flags. */
static void check_handed_on(const struct hr_settings *settings)
{
    const struct hr_origin origin = {.kind = HR_FROM_FLAG, .where = "--set"};
    struct hr_settings *copy = new_settings();
    struct hr_argv flags = {0}, again = {0};
    struct hr_diag diag = {0};

    hr_argv_add_settings(&flags, settings);
    for (uint32_t i = 1; i < flags.n; i += 2)
        hr_assert(hr_settings_assign(copy, hr_str_of(flags.items[i]), &origin, &diag) == 0);
    hr_argv_add_settings(&again, copy);
    hr_assert(flags.error == 0 && again.error == 0 && again.n == flags.n);
    for (uint32_t i = 0; i < flags.n; i++)
        hr_assert(strcmp(again.items[i], flags.items[i]) == 0);
    hr_argv_fini(&flags);
    hr_argv_fini(&again);
    hr_settings_unref(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t live = hr_alloc_live();
    struct hr_settings *settings = new_settings();
    struct hr_diag diag = {0};
    int r = read_as_file(settings, data, size, &diag);

    if (r == 0) {
        check_handed_on(settings);
        diag = (struct hr_diag){0};
        r = hr_settings_finish(settings, &diag);
    }
    hr_assert(r == 0 || (r == HR_ERR_CONFIG && diag.message[0]));
    hr_settings_unref(settings);
    hr_assert(hr_alloc_live() == live);
    return 0;
}
