/* exit.c - see exit.h for the contract. */
#include "cli/exit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/str.h"

void hr_exit_format(int wait_status, bool is_oom, char *out, size_t size)
{
    if (wait_status == HR_WAIT_UNKNOWN) {
        snprintf(out, size, "unknown");
        return;
    }
    if (WIFEXITED(wait_status)) {
        snprintf(out, size, "exit %d", WEXITSTATUS(wait_status));
        return;
    }
    int number = WTERMSIG(wait_status);
    const char *abbreviation = sigabbrev_np(number);
    if (abbreviation)
        snprintf(out, size, "SIG%s%s", abbreviation, number == SIGKILL && is_oom ? " (oom)" : "");
    else
        snprintf(out, size, "signal %d", number);
}

/* The value of `key` in a line of key=value pairs without spaces in them. */
static struct hr_str pair_value(struct hr_str line, struct hr_str key)
{
    struct hr_str rest = line, pair;
    while (hr_str_next(&rest, ' ', &pair)) {
        struct hr_str name;
        if (memchr(pair.ptr, '=', pair.len) && hr_str_next(&pair, '=', &name) &&
            hr_str_eq(name, key))
            return pair;
    }
    return (struct hr_str){0};
}

bool hr_exit_read_crash(struct hr_str text, struct hr_crash *out)
{
    if (!hr_str_starts(text, HR_LIT("crash signal=")))
        return false;
    struct hr_str signal = pair_value(text, HR_LIT("signal")),
                  function = pair_value(text, HR_LIT("function")),
                  at = pair_value(text, HR_LIT("at")),
                  channel = pair_value(text, HR_LIT("channel")),
                  path = pair_value(text, HR_LIT("path")),
                  connection = pair_value(text, HR_LIT("connection"));
    snprintf(out->text, sizeof out->text, "%.*s%s%.*s%s%.*s%s%s%.*s%s%.*s%s%.*s", HR_STR(signal),
             function.len ? " in " : "", HR_STR(function), at.len ? " (" : "", HR_STR(at),
             at.len ? ")" : "", channel.len ? " on " : "", HR_STR(channel), path.len ? " " : "",
             HR_STR(path), connection.len ? ", connection " : "", HR_STR(connection));
    out->had_event = hr_str_starts(channel, HR_LIT("websocket."));
    out->was_retried = pair_value(text, HR_LIT("attempts")).len > 0;
    return true;
}

unsigned long long hr_exit_count_oom(void)
{
    char line[128];
    unsigned long long n = 0;
    FILE *file = fopen("/proc/vmstat", "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        struct hr_str rest = hr_str_of(line), key;
        uint64_t value;
        if (!hr_str_next(&rest, ' ', &key) || !hr_str_eq(key, HR_LIT("oom_kill")))
            continue;
        if (rest.len > 0 && hr_str_u64((struct hr_str){rest.ptr, rest.len - 1}, &value))
            n = value;
        break;
    }
    fclose(file);
    return n;
}
