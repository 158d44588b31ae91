/* orphans.c - see orphans.h for the contract.
 *
 * Who is whose? A supervisor calls its children CREW.N, with N below 512. Who
 * was started by hand is CREW.PID. A seat's number is below the pids of all
 * that ever held it, since processes are numbered in the order they start.
 *
 * Adopted processes are no children of ours: their exit shows at the pidfd and
 * its status is nobody's to know. Workers are exchanged soon after for ones
 * that are; interface servers stay, for their connections' sake.
 */
#include "cli/orphans.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/handover.h"
#include "cli/supervisor.h"

enum { MAX_SEATS = 511 }; /* of a crew: settings.def */

#define DISMISSED_DRAIN (30 * HR_SECOND)

/* ---- finding ----------------------------------------------------------------------------------
 */

/* "web.3" into "web" and 3; false for who was started by hand. */
static bool read_label(struct hr_orphan *orphan)
{
    const char *dot = strrchr(orphan->label, '.');
    uint64_t number;
    if (!dot || !hr_str_u64(hr_str_of(dot + 1), &number) || number == 0 || number > MAX_SEATS ||
        number == (uint64_t)orphan->pid)
        return false;
    orphan->number = (uint32_t)number;
    return hr_str_copy(orphan->crew, sizeof orphan->crew,
                       (struct hr_str){orphan->label, (size_t)(dot - orphan->label)});
}

/* Its title is set before it enters the layer; a pid of another namespace has another. */
static bool has_title(const struct hr_orphan *orphan)
{
    char path[64], title[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)orphan->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, title, sizeof title - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    struct hr_str text = hr_str_of(title);
    struct hr_str kind =
        orphan->is_server ? HR_LIT("headrace: server ") : HR_LIT("headrace: worker ");
    const char *tail = orphan->is_server ? strrchr(orphan->label, '.') : orphan->label;
    return hr_str_starts(text, kind) && hr_str_ends(text, hr_str_of(tail));
}

/* Gives whether it is one of ours; sets orphan->pidfd, or `strange`. */
static bool identify(struct hr_layer *layer, const struct hr_member *member,
                     struct hr_orphan *orphan, char *strange, size_t size)
{
    struct hr_member again;
    *orphan = (struct hr_orphan){
        .pid = member->pid, .flags = member->flags, .is_server = member->role == HR_ROLE_SERVER};
    hr_str_copy(orphan->label, sizeof orphan->label, hr_str_of(member->label));
    if (!read_label(orphan))
        return false;
    orphan->pidfd = hr_process_pidfd(orphan->pid);
    if (orphan->pidfd < 0 && errno == ESRCH)
        return false;
    /* Still the same after the pidfd was there: then it is that process's. */
    bool is_same = hr_layer_member(layer, member->slot, &again) && again.is_live &&
                   again.slot_gen == member->slot_gen;
    if (orphan->pidfd >= 0 && is_same && has_title(orphan))
        return true;
    if (is_same)
        snprintf(strange, size, "%s (pid %ld)", orphan->label, (long)orphan->pid);
    if (orphan->pidfd >= 0)
        close(orphan->pidfd);
    return false;
}

static bool may_be_ours(const struct hr_member *member)
{
    return member->is_live && (member->role == HR_ROLE_SERVER || member->role == HR_ROLE_WORKER);
}

int hr_orphans_find(struct hr_layer *layer, struct hr_orphans *out)
{
    struct hr_member member;
    uint32_t n_slots = 0;
    while (hr_layer_member(layer, n_slots, &member))
        n_slots++;
    *out = (struct hr_orphans){.items = hr_calloc(n_slots + 1, sizeof *out->items)};
    if (!out->items)
        return hr_raise(HR_ERR_NOMEM);
    for (uint32_t slot = 0; slot < n_slots && hr_layer_member(layer, slot, &member); slot++) {
        if (may_be_ours(&member) &&
            identify(layer, &member, &out->items[out->n], out->strange, sizeof out->strange))
            out->n++;
    }
    return 0;
}

void hr_orphans_fini(struct hr_orphans *orphans)
{
    for (uint32_t i = 0; i < orphans->n; i++)
        if (orphans->items[i].pidfd >= 0)
            close(orphans->items[i].pidfd);
    orphans->items = hr_free(orphans->items);
    orphans->n = 0;
}

/* ---- taking over --------------------------------------------------------------------------------
 */

int hr_orphans_take_sockets(const struct hr_orphans *orphans, const char *directory,
                            struct hr_sockets *out)
{
    bool has_server = false;
    *out = (struct hr_sockets){0};
    for (uint32_t i = 0; i < orphans->n; i++) {
        if (!orphans->items[i].is_server)
            continue;
        has_server = true;
        if (hr_handover_take(directory, orphans->items[i].label, out) == 0)
            return 0;
        hr_sockets_close(out);
    }
    return has_server ? hr_raise(HR_ERR_UNAVAILABLE) : 0;
}

static struct hr_crew *crew_of(struct hr_supervisor *supervisor, const struct hr_orphan *orphan)
{
    return orphan->is_server ? hr_list_first(&supervisor->crews, struct hr_crew, node)
                             : hr_crew_find(supervisor, hr_str_of(orphan->crew));
}

/* Beyond the crew's seats there is one for as long as it takes to be asked to leave. */
static int adopt_into(struct hr_crew *crew, struct hr_orphan *orphan)
{
    struct hr_supervisor *supervisor = crew->supervisor;
    uint32_t n_seats = crew->n_seats;
    struct hr_proc *proc;
    int r = hr_crew_grow(crew, orphan->number);
    if (r == 0)
        r = hr_proc_adopt(supervisor->loop, orphan->pid, orphan->pidfd, hr_supervisor_on_end,
                          &proc);
    if (r != 0)
        return hr_trace(r);
    orphan->pidfd = -1;
    hr_str_copy(proc->label, sizeof proc->label, hr_str_of(orphan->label));
    if (!orphan->is_server)
        hr_str_copy(proc->pool, sizeof proc->pool, hr_str_of(orphan->crew));
    hr_seat_adopt(crew->seats[orphan->number - 1], proc, orphan->flags & HR_MEMBER_READY);
    hr_crew_shrink(crew, n_seats);
    return 0;
}

/* Of a pool that the settings do not have any more. */
static int dismiss(struct hr_supervisor *supervisor, struct hr_orphan *orphan)
{
    struct hr_crew *crew;
    int r = hr_crew_new(supervisor, orphan->crew, false, &crew);
    if (r < 0)
        return hr_trace(r);
    crew->drain = DISMISSED_DRAIN;
    r = adopt_into(crew, orphan);
    hr_crew_free(crew);
    return hr_trace(r);
}

static int adopt_one(struct hr_supervisor *supervisor, struct hr_orphan *orphan)
{
    struct hr_crew *crew = crew_of(supervisor, orphan);
    return hr_trace(crew ? adopt_into(crew, orphan) : dismiss(supervisor, orphan));
}

static bool takes_work(const struct hr_orphan *orphan)
{
    return (orphan->flags & HR_MEMBER_READY) && !(orphan->flags & HR_MEMBER_RETIRE);
}

int hr_orphans_adopt(struct hr_orphans *orphans, struct hr_supervisor *supervisor)
{
    int r = 0;
    /* Where a roll was under way there are two for one seat: the one that takes work sits down
       first. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < orphans->n && r == 0; i++) {
            if (takes_work(&orphans->items[i]) == (pass == 0))
                r = adopt_one(supervisor, &orphans->items[i]);
        }
    }
    return hr_trace(r);
}

void hr_orphans_adopt_late(struct hr_supervisor *supervisor, const struct hr_member *member)
{
    struct hr_orphan orphan;
    char strange[256];
    if (!may_be_ours(member) ||
        !identify(supervisor->layer, member, &orphan, strange, sizeof strange))
        return;
    if (adopt_one(supervisor, &orphan) < 0)
        hr_log(HR_EV_ERROR, "worker=%s pid=%d text=\"cannot be taken over\"", orphan.label,
               (int)orphan.pid);
    if (orphan.pidfd >= 0)
        close(orphan.pidfd);
}
