/* timer.c - see timer.h for the contract.
 *
 * Four levels of 64 slots, each slot a list of timers. A slot of level L spans
 * 64^L ticks of 8 ms:
 *
 *     level 0    8 ms a slot    512 ms in all
 *     level 1    512 ms         33 s
 *     level 2    33 s           35 min
 *     level 3    35 min         37 h
 *
 * A timer goes into the lowest level that reaches as far as its tick, which is
 * its due time rounded up: it is never early. When the wheel's tick enters a
 * slot of a higher level, that slot's timers are placed anew, now further down
 * (they cascade); when it enters a slot of level 0, the timers there fire. What is further
 * away than 37 h waits in the furthest slot and is placed again from there.
 *
 * Level L's slot for a tick is bits 6L to 6L+5 of the tick. Those of a level
 * lie 1 to 64 slots ahead of the wheel's: the slot of the current tick itself
 * has been emptied, and what stands there belongs to the next round.
 *
 * A bit per slot says whether it holds timers, so that a run jumps from one
 * occupied slot to the next and an idle wheel costs nothing, and so that the
 * next tick worth a run is found with one bit scan per level.
 */
#include "base/timer.h"

enum { SLOT_BITS = 6, SLOT_MASK = HR_WHEEL_SLOTS - 1 };
_Static_assert(HR_WHEEL_SLOTS == 1 << SLOT_BITS, "a slot number is SLOT_BITS wide");
_Static_assert(HR_WHEEL_SLOTS == 64, "the occupied slots of a level are one 64-bit word");

/* As far ahead as the last level reaches. */
#define TICKS_MAX (((int64_t)1 << SLOT_BITS * HR_WHEEL_LEVELS) - 1)

static unsigned wheel_slot(int64_t tick, unsigned level)
{
    return (unsigned)(tick >> SLOT_BITS * level) & SLOT_MASK;
}

static int64_t wheel_tick_after(hr_time due)
{
    return due / HR_WHEEL_TICK + (due % HR_WHEEL_TICK > 0);
}

/* Puts a timer that is in no list where it belongs for firing at `tick`. */
static void wheel_place(struct hr_wheel *wheel, struct hr_timer *timer, int64_t tick)
{
    int64_t ahead = tick - wheel->tick;
    hr_dassert(ahead >= 0);
    if (ahead > TICKS_MAX) {
        ahead = TICKS_MAX;
        tick = wheel->tick + TICKS_MAX;
    }
    unsigned high_bit = 63 - (unsigned)__builtin_clzll((uint64_t)ahead | 1);
    unsigned level = high_bit / SLOT_BITS;
    unsigned slot = wheel_slot(tick, level);
    hr_list_push_back(&wheel->slots[level][slot], &timer->node);
    wheel->occupied[level] |= (uint64_t)1 << slot;
}

/* Takes a timer out of its slot. */
static void wheel_unlink(struct hr_wheel *wheel, struct hr_timer *timer)
{
    struct hr_list *head = timer->node.next;
    hr_list_remove(&timer->node);
    if (!hr_list_is_empty(head))
        return; /* a neighbour, or the head of a slot that holds more */

    size_t index = (size_t)(head - &wheel->slots[0][0]);
    hr_dassert(index < (size_t)HR_WHEEL_LEVELS * HR_WHEEL_SLOTS);
    wheel->occupied[index / HR_WHEEL_SLOTS] &= ~((uint64_t)1 << index % HR_WHEEL_SLOTS);
}

void hr_wheel_init(struct hr_wheel *wheel, hr_time now)
{
    *wheel = (struct hr_wheel){.tick = now / HR_WHEEL_TICK};
    for (unsigned level = 0; level < HR_WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < HR_WHEEL_SLOTS; slot++)
            hr_list_init(&wheel->slots[level][slot]);
}

void hr_wheel_start(struct hr_wheel *wheel, struct hr_timer *timer, hr_time due, hr_timer_fn fn)
{
    hr_assert(fn);
    hr_wheel_stop(wheel, timer);
    if (due == HR_NEVER)
        return;
    timer->due = due;
    timer->fn = fn;
    int64_t tick = wheel_tick_after(due);
    if (tick <= wheel->tick) /* the slots up to here have had their turn */
        tick = wheel->tick + 1;
    wheel_place(wheel, timer, tick);
    wheel->n_timers++;
}

void hr_wheel_stop(struct hr_wheel *wheel, struct hr_timer *timer)
{
    if (!hr_timer_is_active(timer))
        return;
    wheel_unlink(wheel, timer);
    wheel->n_timers--;
}

/* The next tick at which a slot is to be emptied; INT64_MAX when all are empty. */
static int64_t wheel_next_tick(const struct hr_wheel *wheel)
{
    int64_t next = INT64_MAX;
    for (unsigned level = 0; level < HR_WHEEL_LEVELS; level++) {
        uint64_t bits = wheel->occupied[level];
        if (bits == 0)
            continue;
        /* Turned so that bit 0 is the slot after the current one. */
        int64_t first = (wheel->tick >> SLOT_BITS * level) + 1;
        unsigned turn = (unsigned)first & SLOT_MASK;
        bits = bits >> turn | bits << ((64 - turn) & 63);
        int64_t tick = (first + __builtin_ctzll(bits)) << SLOT_BITS * level;
        if (tick < next)
            next = tick;
    }
    return next;
}

static void wheel_cascade(struct hr_wheel *wheel, unsigned level)
{
    struct hr_list *slot = &wheel->slots[level][wheel_slot(wheel->tick, level)];
    while (!hr_list_is_empty(slot)) {
        struct hr_timer *timer = hr_list_first(slot, struct hr_timer, node);
        wheel_unlink(wheel, timer);
        /* Never into this slot again: on its own first tick all its timers are at
         * least one slot further or belong to a lower level. */
        wheel_place(wheel, timer, wheel_tick_after(timer->due));
    }
}

static void wheel_fire(struct hr_wheel *wheel)
{
    /* What a callback starts is at least a tick ahead, and so never in this slot. */
    struct hr_list *slot = &wheel->slots[0][wheel_slot(wheel->tick, 0)];
    while (!hr_list_is_empty(slot)) {
        struct hr_timer *timer = hr_list_first(slot, struct hr_timer, node);
        hr_assert(timer->due <= wheel->tick * HR_WHEEL_TICK);
        hr_wheel_stop(wheel, timer);
        timer->fn(timer);
    }
}

void hr_wheel_run(struct hr_wheel *wheel, hr_time now)
{
    int64_t target = now / HR_WHEEL_TICK;
    while (wheel->tick < target) {
        int64_t next = wheel_next_tick(wheel);
        if (next > target) {
            wheel->tick = target;
            return;
        }
        wheel->tick = next;
        for (unsigned level = HR_WHEEL_LEVELS - 1; level > 0; level--) {
            int64_t span = (int64_t)1 << SLOT_BITS * level;
            if (next % span == 0)
                wheel_cascade(wheel, level);
        }
        wheel_fire(wheel);
    }
}

hr_time hr_wheel_next(const struct hr_wheel *wheel)
{
    return wheel->n_timers > 0 ? wheel_next_tick(wheel) * HR_WHEEL_TICK : HR_NEVER;
}
