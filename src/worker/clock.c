/* clock.c - the application's timers, on the loop's wheel. */
#include "base/alloc.h"
#include "base/assert.h"
#include "worker/worker_impl.h"

struct hr_worker_timer {
    struct hr_list node; /* in worker->timers */
    struct hr_timer timer;
    struct hr_worker *worker;
    hr_time repeat;
    void (*fn)(void *arg);
    void *arg;
    bool is_running; /* its function is: who cancels it then must leave it its memory */
    bool is_over;
};

static void timer_free(struct hr_worker_timer *timer)
{
    hr_loop_stop_timer(timer->worker->loop, &timer->timer);
    hr_list_remove(&timer->node);
    hr_free(timer);
}

static void timer_on_due(struct hr_timer *due)
{
    struct hr_worker_timer *timer = hr_container_of(due, struct hr_worker_timer, timer);
    struct hr_worker *worker = timer->worker;
    if (timer->repeat > 0)
        hr_loop_start_timer(worker->loop, &timer->timer, timer->repeat, timer_on_due);
    else
        timer->is_over = true;

    timer->is_running = true;
    struct hr_hand hand = hr_hand_take(worker, NULL);
    timer->fn(timer->arg);
    hr_hand_back(&hand);
    timer->is_running = false;
    if (timer->is_over)
        timer_free(timer);
}

struct hr_worker_timer *hr_worker_timer(struct hr_worker *worker, hr_time delay, hr_time repeat,
                                        void (*fn)(void *arg), void *arg)
{
    struct hr_worker_timer *timer = hr_calloc(1, sizeof(*timer));
    if (!timer)
        return NULL;
    timer->worker = worker;
    timer->repeat = repeat;
    timer->fn = fn;
    timer->arg = arg;
    hr_list_push_back(&worker->timers, &timer->node);
    hr_loop_start_timer(worker->loop, &timer->timer, delay, timer_on_due);
    return timer;
}

void hr_worker_timer_cancel(struct hr_worker_timer *timer)
{
    if (!timer)
        return;
    if (!timer->is_running) {
        timer_free(timer);
        return;
    }
    timer->is_over = true;
    hr_loop_stop_timer(timer->worker->loop, &timer->timer);
}

void hr_timers_close(struct hr_worker *worker)
{
    while (!hr_list_is_empty(&worker->timers))
        timer_free(hr_list_first(&worker->timers, struct hr_worker_timer, node));
}
