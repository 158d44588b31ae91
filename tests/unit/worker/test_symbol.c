/* test_symbol.c - names and lines from an ELF file, and from what only looks like one. */
#include "fixture.h"

#include <dlfcn.h>
#include <elf.h>
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

/* An ELF file of `n_sections` sections that all are `data`, named by `name`: bytes of the last. */
static uint8_t *make_elf(uint16_t n_sections, struct hr_str name, struct hr_str data, size_t *size)
{
    const size_t headers = sizeof(Elf64_Ehdr) + n_sections * sizeof(Elf64_Shdr);
    *size = headers + data.len + name.len;
    uint8_t *file = calloc(1, *size);
    assert_non_null(file);
    const Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_shoff = sizeof(header),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = n_sections,
        .e_shstrndx = (uint16_t)(n_sections - 1),
    };
    memcpy(file, &header, sizeof(header));
    for (uint16_t i = 0; i < n_sections; i++) {
        bool is_last = i == n_sections - 1;
        const Elf64_Shdr section = {.sh_type = SHT_PROGBITS,
                                    .sh_offset = headers + (is_last ? data.len : 0),
                                    .sh_size = is_last ? name.len : data.len};
        memcpy(file + header.e_shoff + i * sizeof(section), &section, sizeof(section));
    }
    memcpy(file + headers, data.ptr, data.len);
    memcpy(file + headers + data.len, name.ptr, name.len);
    return file;
}

static void entries_without_a_byte_come_to_an_end(void **state)
{
    static const char unit[] =
        "\x42\0\0\0\5\0\x8\0\x20\0\0\0" /* DWARF 5 */
        "\1\1\1\3\xe\1"                 /* rows of 14 lines; every opcode is a special one */
        "\0\xff\xff\xff\xff\xff\xff\xff\xff\x7f" /* 2^63 directories of no format */
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\0\x9\2\0\x10\0\0\0\0\0\0"                               /* address 0x1000 */
        "\1\x8d\x8d\x8d\x8d\x8d\x8d\x8d\x8d\x8d\x8d\x8d\x8d\x8d"; /* rows, 10 bytes each */
    size_t size;
    (void)state;
    uint8_t *file = make_elf(2, (struct hr_str){".debug_line", sizeof(".debug_line")},
                             (struct hr_str){unit, sizeof(unit) - 1}, &size);
    alarm(10);
    struct hr_symbol symbol = hr_symbol_find(file, size, 0x1005);
    alarm(0);
    assert_int_equal(symbol.file.len, 0);
    assert_int_equal(symbol.line, 4); /* opcode 1 goes up by line_base */
    free(file);
}

static void many_sections_with_one_long_name_take_no_time_each(void **state)
{
    enum { LEN = 4 << 20 };
    size_t size;
    char *name = malloc(LEN);
    (void)state;
    assert_non_null(name);
    memset(name, 'x', LEN);
    uint8_t *file =
        make_elf(UINT16_MAX, (struct hr_str){name, LEN}, (struct hr_str){"\0\0\0\0", 4}, &size);
    alarm(10);
    (void)hr_symbol_find(file, size, 0x1000);
    alarm(0);
    free(file);
    free(name);
}

int run_symbol_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_and_its_line_are_found),
        cmocka_unit_test(broken_files_give_nothing_and_do_no_harm),
        cmocka_unit_test(entries_without_a_byte_come_to_an_end),
        cmocka_unit_test(many_sections_with_one_long_name_take_no_time_each),
    };
    return cmocka_run_group_tests_name("symbols", tests, NULL, NULL);
}
