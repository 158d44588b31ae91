/* place.h - where in whose code an address lies: for the handlers of crashes and of `headrace
 * stack`.
 *
 * The loader's own list may be locked by whoever was interrupted, so what is
 * mapped is noted beforehand.
 *
 * Threads: hr_place_note() is the loop's; all else may be called from signal
 *          handlers, in any thread.
 */
#ifndef HR_WORKER_PLACE_H
#define HR_WORKER_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include <headrace/types.h>

/* Notes the objects that are mapped now, and that `entry` is the application's. */
void hr_place_note(uintptr_t entry);

struct hr_place {
    char function[128]; /* empty: unknown */
    char file[64];      /* its last component; empty: unknown */
    uint64_t line;
    const char *object; /* "libc.so.6"; NULL: in none that is known */
    bool is_app;
};
/* Looks an address up. A return address belongs to the line before it: give it less one. */
void hr_place_find(uintptr_t address, struct hr_place *out);

bool hr_place_is_app(uintptr_t address);

/* The calls that led to where a signal came, innermost first. */
enum { HR_PLACE_FRAMES = 48 };
struct hr_place_frames {
    void *at[HR_PLACE_FRAMES];
    int first, n; /* first: past the handler's own */
};
/* Call once before the first signal may come: loads the unwinder, which a handler must not. */
void hr_place_init(void);
/* `context` is what the handler was given. */
void hr_place_frames_take(struct hr_place_frames *frames, const void *context);
/* The address in frame `i` of which hr_place_find() knows the line. */
uintptr_t hr_place_frame(const struct hr_place_frames *frames, int i);

#endif /* HR_WORKER_PLACE_H */
