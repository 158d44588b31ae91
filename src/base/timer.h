/* timer.h - the timer wheel: very many timers, most of which never fire.
 *
 * Starting and stopping are O(1) and allocate nothing. A timer fires with the
 * first run at or after the tick that follows its due time: never early, at
 * most one tick (8 ms) late. Time is an argument and does not go back.
 *
 * Threads: none. Memory: a timer is the caller's and must be stopped before
 * its memory goes.
 */
#ifndef HR_BASE_TIMER_H
#define HR_BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/time.h"

struct hr_timer;
typedef void (*hr_timer_fn)(struct hr_timer *timer);

/* Zeroed is a stopped timer. Embed it and use hr_container_of() in `fn`. */
struct hr_timer {
    struct hr_list node;
    hr_time due;
    hr_timer_fn fn;
};

enum { HR_WHEEL_LEVELS = 4, HR_WHEEL_SLOTS = 64 };
#define HR_WHEEL_TICK (8 * HR_MS)

struct hr_wheel {
    struct hr_list slots[HR_WHEEL_LEVELS][HR_WHEEL_SLOTS];
    uint64_t occupied[HR_WHEEL_LEVELS]; /* a bit a slot that may hold timers */
    int64_t tick;                       /* the last tick that was run */
    uint32_t n_timers;
};

void hr_wheel_init(struct hr_wheel *wheel, hr_time now);
/* (Re)starts. What is due already fires at the next tick; HR_NEVER only stops. */
void hr_wheel_start(struct hr_wheel *wheel, struct hr_timer *timer, hr_time due, hr_timer_fn fn);
void hr_wheel_stop(struct hr_wheel *wheel, struct hr_timer *timer); /* safe when stopped */
static inline bool hr_timer_is_active(const struct hr_timer *timer)
{
    return hr_list_is_linked(&timer->node);
}
/* Fires what is due, tick by tick; callbacks may start and stop any timer and
 * free their own, but not run the wheel. */
void hr_wheel_run(struct hr_wheel *wheel, hr_time now);
/* When the next run is worth while: no later than the tick at which the
 * earliest timer fires; HR_NEVER when there is none. A run at that time
 * may fire nothing and only bring distant timers closer, at most three times
 * for a timer that is due within 36 hours. */
hr_time hr_wheel_next(const struct hr_wheel *wheel);

#endif /* HR_BASE_TIMER_H */
