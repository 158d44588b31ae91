/* portowner.c - see portowner.h for the contract.
 *
 * /proc/net/tcp names the socket's inode, and the process that has it among
 * its descriptors is the owner. A slow way, taken only on the way out.
 */
#include "cli/portowner.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

/* The nth word of a line, from 0; empty past the last. */
static struct hr_str nth_word(const char *line, int n)
{
    struct hr_str rest = hr_str_of(line), word;
    while (hr_str_next(&rest, ' ', &word))
        if (word.len > 0 && n-- == 0)
            return word;
    return (struct hr_str){0};
}

/* sl local:port remote:port state tx:rx tr:when retransmits uid timeout inode ... */
static bool is_listening_on(const char *line, uint16_t port)
{
    enum { LOCAL = 1, STATE = 3 };
    char ending[8];
    snprintf(ending, sizeof ending, ":%04X", (unsigned)port);
    return hr_str_ends(nth_word(line, LOCAL), hr_str_of(ending)) &&
           hr_str_eq(nth_word(line, STATE), HR_LIT("0A")); /* TCP_LISTEN */
}

/* The inode of a socket that listens on `port`; 0 when there is none. */
static uint64_t listening_inode(const char *table, uint16_t port)
{
    enum { INODE = 9 };
    char line[512];
    uint64_t found = 0;
    FILE *file = fopen(table, "re");
    if (!file)
        return 0;
    while (!found && fgets(line, sizeof line, file))
        if (is_listening_on(line, port) && !hr_str_u64(nth_word(line, INODE), &found))
            found = 0;
    fclose(file);
    return found;
}

static bool has_descriptor(const char *pid, const char *target)
{
    char path[300], link[64];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *entries = opendir(path);
    if (!entries)
        return false;
    for (struct dirent *entry = readdir(entries); entry && !found; entry = readdir(entries)) {
        ssize_t n = readlinkat(dirfd(entries), entry->d_name, link, sizeof link - 1);
        if (n < 0)
            continue;
        link[n] = '\0';
        found = strcmp(link, target) == 0;
    }
    closedir(entries);
    return found;
}

/* The first word of its command line: the program, or the title it gave itself. */
static void format_process(const char *pid, char *out, size_t size)
{
    char path[300], line[128] = "";
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (file) {
        line[fread(line, 1, sizeof line - 1, file)] = '\0'; /* words end in a NUL */
        fclose(file);
    }
    const char *slash = line[0] == '/' ? strrchr(line, '/') : NULL;
    snprintf(out, size, "%s (pid %s)", line[0] ? (slash ? slash + 1 : line) : "a process", pid);
}

bool hr_port_owner(uint16_t port, char *out, size_t size)
{
    char target[64];
    bool found = false;
    uint64_t inode = listening_inode("/proc/net/tcp", port);
    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port);
    DIR *entries = inode ? opendir("/proc") : NULL;
    if (!entries)
        return false;
    snprintf(target, sizeof target, "socket:[%" PRIu64 "]", inode);
    for (struct dirent *entry = readdir(entries); entry && !found; entry = readdir(entries)) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        found = has_descriptor(entry->d_name, target);
        if (found)
            format_process(entry->d_name, out, size);
    }
    closedir(entries);
    return found;
}
