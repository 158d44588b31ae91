/* test_symbol.c - names and lines from an ELF file, and from what only looks like one. */
#include "fixture.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/symbol.h"

struct file {
    uint8_t *data;
    size_t size;
};

static struct file read_file(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    struct file file = {.size = (size_t)status.st_size};
    file.data = malloc(file.size);
    assert_int_equal(read(fd, file.data, file.size), file.size);
    close(fd);
    return file;
}

/* An address inside hr_app() of the object, relative to where it was loaded. */
static uint64_t address_in(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    struct link_map *map;
    assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
    uint64_t address = (uint64_t)(uintptr_t)dlsym(handle, "hr_app") - map->l_addr;
    dlclose(handle);
    return address;
}

static void a_function_and_its_line_are_found(void **state)
{
    struct file file = read_file(built("APP_BAD"));
    (void)state;
    struct hr_symbol symbol = hr_symbol_find(file.data, file.size, address_in(built("APP_BAD")));
    assert_str(symbol.function, "hr_app");
    assert_str(symbol.file, "app_bad.c");
    assert_in_range(symbol.line, 5, 6);
    symbol = hr_symbol_find(file.data, file.size, 0);
    assert_int_equal(symbol.function.len, 0);
    assert_int_equal(symbol.file.len, 0);
    free(file.data);
}

static void broken_files_give_nothing_and_do_no_harm(void **state)
{
    struct file file = read_file(built("APP_BAD"));
    uint64_t address = address_in(built("APP_BAD"));
    (void)state;
    for (size_t size = 0; size < file.size; size += 61) {
        uint8_t *cut = malloc(size + 1); /* its own block: a byte too far is seen */
        memcpy(cut, file.data, size);
        (void)hr_symbol_find(cut, size, address);
        free(cut);
    }
    uint32_t random = 1; /* the same every time */
    for (int i = 0; i < 3000; i++) {
        random = random * 1664525 + 1013904223;
        size_t at = random % file.size;
        uint8_t old = file.data[at];
        file.data[at] = (uint8_t)(random >> 24);
        (void)hr_symbol_find(file.data, file.size, address);
        if (i % 10 != 0) /* some stay broken */
            file.data[at] = old;
    }
    free(file.data);
}

int run_symbol_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_and_its_line_are_found),
        cmocka_unit_test(broken_files_give_nothing_and_do_no_harm),
    };
    return cmocka_run_group_tests_name("symbols", tests, NULL, NULL);
}
