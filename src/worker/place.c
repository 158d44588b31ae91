/* place.c - see place.h for the contract.
 *
 * An object's file is mapped for the length of a look: its symbols and lines
 * are not in the process otherwise.
 */
#include "worker/place.h"

#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/str.h"
#include "worker/symbol.h"

enum { MAX_OBJECTS = 64 };

/* A mapped piece of an object. */
struct object {
    uintptr_t base, start, end; /* addresses in it are base + those of its tables */
    bool is_app;
    char path[256];
};

static struct object objects[MAX_OBJECTS];
static _Atomic int n_objects; /* release: those below are complete */

/* ---- what is mapped */

static int note_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    uintptr_t entry = *(const uintptr_t *)arg;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        int n = atomic_load_explicit(&n_objects, memory_order_relaxed);
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t end = start + info->dlpi_phdr[i].p_memsz;
        bool is_code = info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X;
        if (!is_code || n == MAX_OBJECTS)
            continue;
        bool is_program = !info->dlpi_name || info->dlpi_name[0] == '\0';
        objects[n] = (struct object){.base = info->dlpi_addr,
                                     .start = start,
                                     .end = end,
                                     .is_app = entry >= start && entry < end};
        (void)hr_str_copy(objects[n].path, sizeof(objects[n].path),
                          hr_str_of(is_program ? "/proc/self/exe" : info->dlpi_name));
        atomic_store_explicit(&n_objects, n + 1, memory_order_release);
    }
    return 0;
}

void hr_place_note(uintptr_t entry)
{
    atomic_store_explicit(&n_objects, 0, memory_order_release);
    (void)dl_iterate_phdr(note_object, &entry);
}

static const struct object *object_of(uintptr_t address)
{
    int n = atomic_load_explicit(&n_objects, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (address >= objects[i].start && address < objects[i].end)
            return &objects[i];
    return NULL;
}

bool hr_place_is_app(uintptr_t address)
{
    const struct object *object = object_of(address);
    return object && object->is_app;
}

/* ---- looking */

static void look_up(const struct object *object, uintptr_t address, struct hr_place *out)
{
    struct stat status;
    int fd = open(object->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    bool is_there = fstat(fd, &status) == 0 && status.st_size > 0;
    size_t size = is_there ? (size_t)status.st_size : 0;
    void *image = is_there ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (image == MAP_FAILED)
        return;
    struct hr_symbol symbol = hr_symbol_find(image, size, address - object->base);
    (void)hr_str_copy(out->function, sizeof(out->function), symbol.function);
    (void)hr_str_copy(out->file, sizeof(out->file), symbol.file);
    out->line = symbol.line;
    munmap(image, size);
}

void hr_place_find(uintptr_t address, struct hr_place *out)
{
    const struct object *object = object_of(address);
    *out = (struct hr_place){0};
    if (!object)
        return;
    const char *slash = strrchr(object->path, '/');
    bool is_program = strcmp(object->path, "/proc/self/exe") == 0;
    out->object = is_program ? "the program" : slash ? slash + 1 : object->path;
    out->is_app = object->is_app;
    look_up(object, address, out);
}

/* ---- frames */

static uintptr_t context_pc(const void *context)
{
    const ucontext_t *uc = context;
#if defined(__x86_64__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)uc->uc_mcontext.pc;
#else
    (void)uc;
    return 0;
#endif
}

void hr_place_init(void)
{
    void *frame;
    (void)backtrace(&frame, 1);
}

void hr_place_frames_take(struct hr_place_frames *frames, const void *context)
{
    uintptr_t pc = context_pc(context);
    frames->n = backtrace(frames->at, HR_PLACE_FRAMES);
    frames->first = 0;
    while (frames->first < frames->n && (uintptr_t)frames->at[frames->first] != pc)
        frames->first++;
    if (frames->first < frames->n)
        return;
    /* The way there could not be followed: the place itself is known all the same. */
    frames->n -= frames->n == HR_PLACE_FRAMES;
    memmove(frames->at + 1, frames->at, (size_t)frames->n * sizeof(frames->at[0]));
    memcpy(&frames->at[0], &pc, sizeof(pc));
    frames->first = 0;
    frames->n++;
}

/* All but the innermost are return addresses. */
uintptr_t hr_place_frame(const struct hr_place_frames *frames, int i)
{
    uintptr_t at = (uintptr_t)frames->at[i];
    return i == frames->first ? at : at - 1;
}
