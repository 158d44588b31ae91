/* order_take.c - a block goes from its sender through an entry to its taker and, freed, back to the
 * sender, in every order that C11 allows: each finds in it what belongs there, and nobody races for
 * its bytes. For GenMC; -DMUTANT_... must fail. */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#ifdef MUTANT_RELAXES_COMMIT
#define COMMIT memory_order_relaxed
#else
#define COMMIT memory_order_seq_cst
#endif
#ifdef MUTANT_RELAXES_FREE
#define GIVE_BACK memory_order_relaxed
#else
#define GIVE_BACK memory_order_release
#endif

/* entry: message << 2 | EMPTY, READY, TAKEN. word: gen << 1 | is taken, and the label's bit. */
enum { READY = 1, TAKEN = 2, MESSAGES = 2, LABEL = 4096 };

/* GenMC's. */
void __VERIFIER_assert_fail(const char *what, const char *file, int line);
#define must(holds) ((holds) ? (void)0 : __VERIFIER_assert_fail(#holds, __FILE__, __LINE__))

static atomic_ulong entry, head, tail, word;
static unsigned long bytes;

static int swap(atomic_ulong *at, unsigned long from, unsigned long to, memory_order order)
{
    return atomic_compare_exchange_strong_explicit(at, &from, to, order, memory_order_relaxed);
}

static void *sender(void *arg)
{
    for (unsigned long m = 0; m < MESSAGES; m++) {
        unsigned long w = atomic_load_explicit(&word, memory_order_acquire); /* try_take() */
        if (w & 1 || !swap(&word, w, w + 3, memory_order_acq_rel))
            return arg;
        bytes = m;                                         /* fill_header() */
        if (!swap(&entry, m << 2, m << 2 | READY, COMMIT)) /* ipc_queue_put() */
            return arg;
        swap(&tail, m, m + 1, memory_order_release); /* ipc_cursor_help() */
    }
    return arg;
}

static void *taker(void *arg)
{
    for (unsigned long m = 0; m < MESSAGES; m++) {
        unsigned long at = atomic_load_explicit(&head, memory_order_acquire); /* ipc_queue_take() */
        unsigned long e = atomic_load_explicit(&entry, memory_order_acquire);
        if (e != (m << 2 | READY) || !swap(&entry, e, m << 2 | TAKEN, memory_order_acq_rel))
            return arg;
        swap(&head, at, at + 1, memory_order_release);                       /* ipc_cursor_help() */
        unsigned long w = atomic_load_explicit(&word, memory_order_acquire); /* ipc_queue_taken() */
        must(w & 1);
        must(bytes == m); /* take(): the header */
        atomic_store_explicit(&word, w | LABEL, memory_order_release);
        atomic_store_explicit(&entry, (m + 1) << 2, memory_order_release); /* ipc_queue_release() */
        must(bytes == m);                                                  /* ipc_block_read() */
        atomic_store_explicit(&word, w - 1, GIVE_BACK);                    /* give_back() */
    }
    return arg;
}

int main(void)
{
    pthread_t one, other;
    pthread_create(&one, NULL, sender, NULL);
    pthread_create(&other, NULL, taker, NULL);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
    return 0;
}
