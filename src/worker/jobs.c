/* jobs.c - blocking work on the thread pool: "some computation is finished".
 *
 * A job keeps its context, so the event stays open until `done` has returned.
 * A worker that closes before leaves its jobs running to their end, without a
 * context and without a `done`; the last of them frees the worker's memory.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "worker/worker_impl.h"

struct job {
    struct hr_list node; /* in worker->jobs */
    struct hr_work work;
    struct hr_worker *worker;
    struct hr_ctx *ctx; /* kept; or NULL */
    void (*run)(void *arg);
    void (*done)(struct hr_ctx *ctx, void *arg);
    void *arg;
};

/* On a thread of the pool. The context is only for a crash to name. */
static void job_on_run(struct hr_work *work)
{
    struct job *job = hr_container_of(work, struct job, work);
    hr_in_hand = job->ctx;
    job->run(job->arg);
    hr_in_hand = NULL;
}

static void job_on_done(struct hr_work *work)
{
    struct job *job = hr_container_of(work, struct job, work);
    struct hr_worker *worker = job->worker;
    hr_list_remove(&job->node);
    worker->n_jobs--;
    if (!worker->is_closed && job->done) {
        struct hr_hand hand = hr_hand_take(worker, job->ctx);
        job->done(job->ctx, job->arg);
        hr_hand_back(&hand);
    }
    if (job->ctx)
        hr_ctx_leave_job(job->ctx);
    hr_free(job);
    hr_worker_let_go(worker);
}

static int job_start(struct hr_worker *worker, const struct job *wanted)
{
    if (worker->n_jobs == HR_WORKER_JOBS_MAX)
        return hr_raise(HR_ERR_FULL);
    struct job *job = hr_alloc(sizeof(*job));
    if (!job)
        return hr_raise(HR_ERR_NOMEM);
    *job = *wanted;
    int r = hr_loop_queue(worker->loop, &job->work, job_on_run, job_on_done);
    if (r < 0) {
        hr_free(job);
        return hr_trace(r);
    }
    hr_list_push_back(&worker->jobs, &job->node);
    worker->n_jobs++;
    worker->n_handles++;
    if (job->ctx) {
        hr_ctx_keep(job->ctx);
        job->ctx->n_jobs++;
    }
    return 0;
}

int hr_worker_queue(struct hr_worker *worker, struct hr_ctx *ctx, void (*work)(void *arg),
                    void (*done)(struct hr_ctx *ctx, void *arg), void *arg)
{
    if (ctx && ctx->error)
        return ctx->error;
    struct job job = {.worker = worker, .ctx = ctx, .run = work, .done = done, .arg = arg};
    int r = job_start(worker, &job);
    return ctx ? hr_ctx_note(ctx, r) : r;
}

void hr_jobs_close(struct hr_worker *worker)
{
    hr_list_foreach (node, &worker->jobs) {
        struct job *job = hr_container_of(node, struct job, node);
        hr_work_cancel(&job->work); /* `done` comes all the same */
    }
}
