/* settings_file.c - reading headrace.ini; see settings_load.h for the contract.
 *
 * inih splits lines into keys and values, knows comments and continues values
 * over indented lines. It is built without line numbers, cuts section names at
 * 50 bytes and lines at INI_MAX_LINE, and does not report sections without
 * keys, so the lines reach it through our own reader, which counts them,
 * refuses those that would be cut and takes the section headers itself.
 */
#include "cli/settings_load.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>

#include "base/assert.h"

struct file_reader {
    struct hr_settings *settings;
    struct hr_diag *diag;
    const char *path;
    FILE *file;
    uint32_t line;
    bool is_indented; /* the line continues the value before it */
    struct hr_section *section;
    int error; /* the first; reading ends there */
};

/* "[pool web]": word and name between the brackets. */
static int read_header(struct file_reader *reader, struct hr_str line)
{
    const char *bracket = memchr(line.ptr, ']', line.len);
    if (!bracket)
        return hr_diag_say(reader->diag, "'%.*s' has no ]", HR_STR(line));
    struct hr_str name =
                      hr_str_trim((struct hr_str){line.ptr + 1, (size_t)(bracket - line.ptr) - 1}),
                  word;
    if (!hr_str_next(&name, ' ', &word))
        return hr_diag_say(reader->diag, "[] names no section");
    name = hr_str_trim(name);

    for (int kind = 0; kind < HR_N_SECTIONS; kind++)
        if (hr_str_eq(word, hr_str_of(hr_section_word((enum hr_section_kind)kind))))
            return hr_trace(hr_settings_section(reader->settings, (enum hr_section_kind)kind, name,
                                                &reader->section, reader->diag));
    return hr_diag_say(reader->diag,
                       "there is no section [%.*s]; there are [headrace], [server], [layer], [pool "
                       "NAME] and [channel PATTERN]",
                       HR_STR(word));
}

static struct hr_str without_mark_and_end(const struct file_reader *reader, const char *text)
{
    struct hr_str line = hr_str_of(text), mark = HR_LIT("\xEF\xBB\xBF");
    if (reader->line == 1 && hr_str_starts(line, mark))
        line = (struct hr_str){line.ptr + mark.len, line.len - mark.len};
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    return line;
}

/* An ini_reader: fgets, and the three things above. NULL ends the parse. */
static char *read_line(char *buf, int size, void *stream)
{
    struct file_reader *reader = stream;
    if (reader->error || !fgets(buf, size, reader->file))
        return NULL;
    reader->line++;
    reader->is_indented = buf[0] == ' ' || buf[0] == '\t';
    if (!strchr(buf, '\n') && !feof(reader->file)) {
        reader->error =
            hr_diag_say(reader->diag,
                        "a line can have %d bytes; write long lists over several lines, "
                        "the further ones indented",
                        size - 2);
        return NULL;
    }
    struct hr_str line = without_mark_and_end(reader, buf);
    if (!reader->is_indented && hr_str_starts(line, HR_LIT("[")))
        reader->error = read_header(reader, line);
    return reader->error ? NULL : buf;
}

static int set_key(struct file_reader *reader, struct hr_str key, struct hr_str value)
{
    struct hr_section *section = reader->section;
    if (!section)
        return hr_diag_say(reader->diag, "'%.*s' stands in no section; begin with [headrace]",
                           HR_STR(key));
    const struct hr_setting *row = hr_setting_find(section->kind, key);
    if (!row)
        return hr_trace(hr_settings_unknown_key(section->kind, key, reader->diag));

    const struct hr_origin *old = &section->origin[row - hr_settings_table];
    if (old->kind == HR_FROM_FILE && !reader->is_indented)
        return hr_diag_say(reader->diag, "%.*s is set already, in line %u", HR_STR(key),
                           (unsigned)old->line);
    if (reader->is_indented && row->type != HR_SETTING_TYPE_LIST)
        return hr_diag_say(reader->diag, "%.*s takes one line; only lists go over several",
                           HR_STR(key));
    struct hr_origin origin = {.kind = HR_FROM_FILE, .line = reader->line, .where = reader->path};
    return hr_trace(hr_settings_set(reader->settings, section, row, value, &origin, reader->diag));
}

/* inih takes comments off the first line of a value, but not off those that continue it. */
static struct hr_str without_comment(struct hr_str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == ';' && (i == 0 || value.ptr[i - 1] == ' ' || value.ptr[i - 1] == '\t'))
            value.len = i;
    return value;
}

/* An ini_handler: 1 goes on. */
static int on_key(void *user, const char *section, const char *key, const char *value)
{
    struct file_reader *reader = user;
    (void)section; /* reader->section has it uncut */
    if (!reader->error)
        reader->error = set_key(reader, hr_str_of(key), without_comment(hr_str_of(value)));
    return reader->error == 0;
}

int hr_settings_read_file(struct hr_settings *settings, const char *path, struct hr_diag *diag)
{
    struct file_reader reader = {
        .settings = settings, .diag = diag, .path = path, .file = fopen(path, "re")};
    if (!reader.file)
        return hr_diag_say(diag, "cannot read %s: %s", path, strerror(errno));

    int bad_line = ini_parse_stream(read_line, &reader, on_key, &reader);
    bool is_broken = ferror(reader.file) != 0;
    int saved_errno = errno;
    fclose(reader.file);
    if (is_broken)
        return hr_diag_say(diag, "cannot read %s: %s", path, strerror(saved_errno));
    if (reader.error == 0 && bad_line > 0) {
        reader.line = (uint32_t)bad_line;
        reader.error = hr_diag_say(diag, "neither a [section] nor KEY = VALUE");
    }
    if (reader.error == HR_ERR_CONFIG) {
        hr_str_copy(diag->file, sizeof diag->file, hr_str_of(path));
        diag->line = reader.line;
    }
    return hr_trace(reader.error);
}
