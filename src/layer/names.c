/* names.c - which names the layer accepts.
 *
 * The rules are Channels' (group names and channel names are ASCII letters,
 * digits, '.', '_' and '-', fewer than 100 of them), with the one difference
 * that '!' must separate two parts. They are checked byte by byte, not by
 * isalnum(), which would ask the locale.
 */
#include "layer/layer_impl.h"

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool is_length_ok(struct hr_str name)
{
    return name.ptr && name.len >= 1 && name.len <= HR_NAME_MAX;
}

bool hr_channel_name_ok(struct hr_str name)
{
    if (!is_length_ok(name) || name.ptr[0] == '!' || name.ptr[name.len - 1] == '!')
        return false;
    unsigned n_bangs = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '!')
            n_bangs++;
        else if (!is_name_byte(name.ptr[i]))
            return false;
    }
    return n_bangs <= 1;
}

bool hr_group_name_ok(struct hr_str name)
{
    if (!is_length_ok(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_byte(name.ptr[i]))
            return false;
    return true;
}

bool hr_pattern_ok(struct hr_str pattern)
{
    if (!is_length_ok(pattern))
        return false;
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.ptr[i];
        if (!is_name_byte(c) && c != '*' && c != '?')
            return false;
    }
    return true;
}

bool hr_pattern_is_glob(struct hr_str pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.ptr[i] == '*' || pattern.ptr[i] == '?')
            return true;
    return false;
}
