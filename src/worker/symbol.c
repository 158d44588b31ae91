/* symbol.c - see symbol.h for the contract.
 *
 * Function names come from .symtab (static functions stand only there), else
 * .dynsym. Lines come from .debug_line: a sequence of units, each a header
 * with file names and a small program that, run, makes rows of (address,
 * file, line) in rising order; the row before the first higher address is the
 * one. Numbers in comments are sections of the DWARF 5 standard.
 *
 * The file may be anything: who wrote it is whose code has just crashed, and
 * it may have been built anew since. The bytes are walked by a reader that
 * gives zeros past its end, and every loop uses some of them up or is bounded,
 * so that the time it takes grows with the size of the file and no faster.
 */
#include "worker/symbol.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

/* ---- reading */

struct reader {
    const uint8_t *at, *end;
};

static size_t reader_left(const struct reader *in)
{
    return (size_t)(in->end - in->at);
}

static const uint8_t *reader_skip(struct reader *in, uint64_t n)
{
    const uint8_t *from = in->at;
    in->at = n <= reader_left(in) ? in->at + n : in->end;
    return from;
}

static uint64_t reader_fixed(struct reader *in, unsigned n)
{
    uint64_t value = 0;
    if (n > sizeof(value) || n > reader_left(in)) {
        in->at = in->end;
        return 0;
    }
    memcpy(&value, reader_skip(in, n), n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value >>= 8 * (sizeof(value) - n);
#endif
    return value;
}

static uint64_t reader_uleb(struct reader *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

static int64_t reader_sleb(struct reader *in)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte = 0;
    while (in->at < in->end) {
        byte = *in->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80))
            break;
    }
    if (shift < 64 && (byte & 0x40))
        value |= ~(uint64_t)0 << shift;
    return (int64_t)value;
}

/* Text up to its NUL; empty when there is none. */
static struct hr_str reader_text(struct reader *in)
{
    const uint8_t *end = reader_left(in) > 0 ? memchr(in->at, 0, reader_left(in)) : NULL;
    if (!end) {
        in->at = in->end;
        return (struct hr_str){0};
    }
    struct hr_str text = {(const char *)in->at, (size_t)(end - in->at)};
    in->at = end + 1;
    return text;
}

static struct hr_str text_at(struct reader section, uint64_t offset)
{
    reader_skip(&section, offset);
    return reader_text(&section);
}

/* ---- ELF */

struct image {
    const uint8_t *data;
    size_t size;
    const Elf64_Ehdr *header;
};

static bool image_init(struct image *image, const void *data, size_t size)
{
    *image = (struct image){data, size, data};
    const Elf64_Ehdr *header = image->header;
    return size >= sizeof(*header) && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
           header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_shentsize == sizeof(Elf64_Shdr) &&
           header->e_shoff % sizeof(uint64_t) == 0 && header->e_shoff <= size &&
           header->e_shnum <= (size - header->e_shoff) / sizeof(Elf64_Shdr) &&
           header->e_shstrndx < header->e_shnum;
}

static const Elf64_Shdr *image_section_header(const struct image *image, uint32_t index)
{
    const void *at = image->data + image->header->e_shoff;
    return (const Elf64_Shdr *)at + index;
}

static struct reader image_section(const struct image *image, uint32_t index)
{
    struct reader none = {image->data, image->data};
    if (index >= image->header->e_shnum)
        return none;
    const Elf64_Shdr *section = image_section_header(image, index);
    bool is_here = section->sh_type != SHT_NOBITS && !(section->sh_flags & SHF_COMPRESSED) &&
                   section->sh_offset <= image->size &&
                   section->sh_size <= image->size - section->sh_offset;
    if (!is_here)
        return none;
    const uint8_t *at = image->data + section->sh_offset;
    return (struct reader){at, at + section->sh_size};
}

static struct reader image_named(const struct image *image, const char *name)
{
    const size_t len = strlen(name) + 1;
    for (uint32_t i = 0; i < image->header->e_shnum; i++) {
        struct reader names = image_section(image, image->header->e_shstrndx);
        reader_skip(&names, image_section_header(image, i)->sh_name);
        if (reader_left(&names) >= len && memcmp(names.at, name, len) == 0)
            return image_section(image, i);
    }
    return (struct reader){image->data, image->data};
}

/* A file has one table of a type; what more there are are not looked at. */
static struct hr_str image_function(const struct image *image, uint32_t type, uint64_t address)
{
    uint32_t i = 0;
    while (i < image->header->e_shnum && image_section_header(image, i)->sh_type != type)
        i++;
    struct reader symbols = image_section(image, i);
    while (reader_left(&symbols) >= sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, reader_skip(&symbols, sizeof(symbol)), sizeof(symbol));
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF &&
            address >= symbol.st_value && address - symbol.st_value < symbol.st_size)
            return text_at(image_section(image, image_section_header(image, i)->sh_link),
                           symbol.st_name);
    }
    return (struct hr_str){0};
}

/* ---- DWARF's line table (6.2) */

enum {
    FORM_DATA2 = 0x05,
    FORM_STRING = 0x08,
    FORM_BLOCK = 0x09,
    FORM_DATA1 = 0x0b,
    FORM_STRP = 0x0e,
    FORM_UDATA = 0x0f,
    FORM_DATA16 = 0x1e,
    FORM_LINE_STRP = 0x1f,
    CONTENT_PATH = 1,
    MAX_FORMATS = 16, /* of one entry; compilers write five at most */
};

struct line_unit {
    const struct image *image;
    struct reader files, program; /* files: from the directories on */
    unsigned version, offset_size, line_range, opcode_base;
    uint64_t min_length;
    int line_base;
    const uint8_t *opcode_lengths;
};

struct line_row {
    uint64_t address, file;
    uint64_t line; /* goes up and down, modulo 2^64 */
};

/* 6.2.4: the header. False when it is of no version we know. */
static bool unit_read(struct line_unit *unit, struct reader *section)
{
    unit->offset_size = 4;
    uint64_t length = reader_fixed(section, 4);
    if (length == 0xffffffff) {
        unit->offset_size = 8;
        length = reader_fixed(section, 8);
    }
    struct reader in = {section->at, NULL};
    reader_skip(section, length);
    in.end = section->at;

    unit->version = (unsigned)reader_fixed(&in, 2);
    if (unit->version < 2 || unit->version > 5)
        return false;
    if (unit->version == 5)
        reader_skip(&in, 2); /* sizes of addresses and segments */
    uint64_t header_length = reader_fixed(&in, unit->offset_size);
    unit->program = in;
    reader_skip(&unit->program, header_length);
    in.end = unit->program.at;
    unit->min_length = reader_fixed(&in, 1);
    if (unit->version >= 4)
        reader_skip(&in, 1); /* operations per instruction: 1 but on VLIW */
    reader_skip(&in, 1);     /* is_stmt */
    int line_base = (int)reader_fixed(&in, 1);
    unit->line_base = line_base < 128 ? line_base : line_base - 256; /* a signed byte */
    unit->line_range = (unsigned)reader_fixed(&in, 1);
    unit->opcode_base = (unsigned)reader_fixed(&in, 1);
    if (unit->line_range == 0 || unit->opcode_base == 0 || reader_left(&in) < unit->opcode_base - 1)
        return false;
    unit->opcode_lengths = reader_skip(&in, unit->opcode_base - 1);
    unit->files = in;
    return true;
}

/* Steps over a value. */
static void unit_skip_form(const struct line_unit *unit, struct reader *in, uint64_t form)
{
    switch (form) {
    case FORM_STRING:
        reader_text(in);
        break;
    case FORM_LINE_STRP:
    case FORM_STRP:
        reader_skip(in, unit->offset_size);
        break;
    case FORM_DATA1:
        reader_skip(in, 1);
        break;
    case FORM_DATA2:
        reader_skip(in, 2);
        break;
    case FORM_DATA16:
        reader_skip(in, 16);
        break;
    case FORM_UDATA:
        reader_uleb(in);
        break;
    case FORM_BLOCK:
        reader_skip(in, reader_uleb(in));
        break;
    default: /* its length is not known */
        in->at = in->end;
    }
}

static struct hr_str unit_text(const struct line_unit *unit, struct reader in, uint64_t form)
{
    if (form == FORM_STRING)
        return reader_text(&in);
    if (form != FORM_LINE_STRP && form != FORM_STRP)
        return (struct hr_str){0};
    struct reader strings =
        image_named(unit->image, form == FORM_STRP ? ".debug_str" : ".debug_line_str");
    return text_at(strings, reader_fixed(&in, unit->offset_size));
}

/* A table of directories or files, DWARF 5: formats, then entries of these. Gives entry `wanted`.
 */
static struct hr_str unit_entry(const struct line_unit *unit, struct reader *in, uint64_t wanted)
{
    uint64_t content[MAX_FORMATS], form[MAX_FORMATS];
    struct hr_str found = {0};
    unsigned n_formats = (unsigned)reader_fixed(in, 1);
    if (n_formats > MAX_FORMATS) {
        in->at = in->end;
        return found;
    }
    for (unsigned i = 0; i < n_formats; i++) {
        content[i] = reader_uleb(in);
        form[i] = reader_uleb(in);
    }
    uint64_t n_entries = reader_uleb(in);
    if (n_formats == 0)
        return found; /* 2^64 entries of nothing would use up no byte */
    for (uint64_t entry = 0; entry < n_entries && in->at < in->end; entry++) {
        for (unsigned i = 0; i < n_formats; i++) {
            if (entry == wanted && content[i] == CONTENT_PATH)
                found = unit_text(unit, *in, form[i]);
            unit_skip_form(unit, in, form[i]);
        }
    }
    return found;
}

static struct hr_str unit_file(const struct line_unit *unit, uint64_t index)
{
    struct reader in = unit->files;
    if (unit->version == 5) {
        unit_entry(unit, &in, UINT64_MAX); /* the directories */
        return unit_entry(unit, &in, index);
    }
    while (reader_text(&in).len > 0)
        ;
    for (uint64_t i = 1;; i++) { /* numbered from 1 there */
        struct hr_str name = reader_text(&in);
        if (name.len == 0 || i == index)
            return name;
        reader_uleb(&in);
        reader_uleb(&in);
        reader_uleb(&in);
    }
}

/* 6.2.5.3. True when a sequence has ended. */
static bool row_extended(struct line_row *row, struct reader *program)
{
    uint64_t length = reader_uleb(program);
    struct reader in = {program->at, NULL};
    reader_skip(program, length);
    in.end = program->at;
    uint64_t opcode = reader_fixed(&in, 1);
    if (opcode == 2) /* DW_LNE_set_address */
        row->address = reader_fixed(&in, (unsigned)reader_left(&in));
    return opcode == 1; /* DW_LNE_end_sequence */
}

/* 6.2.5.2. True when a row is to be appended. */
static bool row_standard(const struct line_unit *unit, struct line_row *row, struct reader *program,
                         unsigned opcode)
{
    switch (opcode) {
    case 1: /* DW_LNS_copy */
        return true;
    case 2: /* DW_LNS_advance_pc */
        row->address += reader_uleb(program) * unit->min_length;
        break;
    case 3: /* DW_LNS_advance_line */
        row->line += (uint64_t)reader_sleb(program);
        break;
    case 4: /* DW_LNS_set_file */
        row->file = reader_uleb(program);
        break;
    case 8: /* DW_LNS_const_add_pc */
        row->address += (255 - unit->opcode_base) / unit->line_range * unit->min_length;
        break;
    case 9: /* DW_LNS_fixed_advance_pc */
        row->address += reader_fixed(program, 2);
        break;
    default:
        for (unsigned i = 0; i < unit->opcode_lengths[opcode - 1]; i++)
            reader_uleb(program);
    }
    return false;
}

/* Runs the program. True when `address` lies between two rows; *out is the first of them. */
static bool unit_find(const struct line_unit *unit, uint64_t address, struct line_row *out)
{
    const struct line_row first = {.file = 1, .line = 1};
    struct reader program = unit->program;
    struct line_row row = first, before = first;
    bool has_before = false;

    while (program.at < program.end) {
        unsigned opcode = (unsigned)reader_fixed(&program, 1);
        bool is_end = false, is_row = true;
        if (opcode >= unit->opcode_base) { /* 6.2.5.1: special */
            unsigned adjusted = opcode - unit->opcode_base;
            row.address += adjusted / unit->line_range * unit->min_length;
            row.line += (uint64_t)(unit->line_base + (int)(adjusted % unit->line_range));
        } else if (opcode == 0) {
            is_row = is_end = row_extended(&row, &program);
        } else {
            is_row = row_standard(unit, &row, &program, opcode);
        }
        if (!is_row)
            continue;
        if (has_before && before.address <= address && address < row.address) {
            *out = before;
            return true;
        }
        has_before = !is_end;
        before = row;
        if (is_end)
            row = first;
    }
    return false;
}

static struct hr_str file_name(struct hr_str path)
{
    size_t start = path.len;
    while (start > 0 && path.ptr[start - 1] != '/')
        start--;
    return (struct hr_str){path.ptr + start, path.len - start};
}

struct hr_symbol hr_symbol_find(const void *data, size_t size, uint64_t address)
{
    struct hr_symbol symbol = {0};
    struct image image;
    struct line_row row;
    if (!image_init(&image, data, size))
        return symbol;
    symbol.function = image_function(&image, SHT_SYMTAB, address);
    if (symbol.function.len == 0)
        symbol.function = image_function(&image, SHT_DYNSYM, address);

    struct reader section = image_named(&image, ".debug_line");
    while (section.at < section.end) {
        struct line_unit unit = {.image = &image};
        if (!unit_read(&unit, &section) || !unit_find(&unit, address, &row))
            continue;
        symbol.file = file_name(unit_file(&unit, row.file));
        symbol.line = row.line <= INT32_MAX ? row.line : 0;
        break;
    }
    return symbol;
}
