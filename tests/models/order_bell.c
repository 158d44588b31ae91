/* order_bell.c - a sleeper and a sender, in every order that C11 allows: either the one sees the
 * message or the other the bell. For GenMC; -DMUTANT_... must fail. */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#ifdef MUTANT_RELEASES_BELL
#define BELL memory_order_release
#else
#define BELL memory_order_seq_cst
#endif
#ifdef MUTANT_RELEASES_COMMIT
#define COMMIT memory_order_release
#else
#define COMMIT memory_order_seq_cst
#endif

/* GenMC's. */
void __VERIFIER_assert_fail(const char *what, const char *file, int line);
#define must(holds) ((holds) ? (void)0 : __VERIFIER_assert_fail(#holds, __FILE__, __LINE__))

static atomic_ulong entry, head;
static atomic_uint bell;
static int sleeps, rings;

static void *sleeper(void *arg)
{
    atomic_store_explicit(&bell, 1, BELL); /* ready_to_sleep() */
    (void)atomic_load(&head);              /* ipc_queue_is_empty() */
    sleeps = atomic_load(&entry) == 0;
    return arg;
}

static void *sender(void *arg)
{
    unsigned long empty = 0;
    atomic_compare_exchange_strong_explicit(&entry, &empty, 1, COMMIT,
                                            memory_order_relaxed); /* ipc_queue_put() */
#ifdef MUTANT_RELEASES_COMMIT
    rings = atomic_load_explicit(&bell, memory_order_acquire) != 0;
#else
    rings = atomic_load(&bell) != 0; /* ipc_has_sleeper() */
#endif
    return arg;
}

int main(void)
{
    pthread_t one, other;
    pthread_create(&one, NULL, sleeper, NULL);
    pthread_create(&other, NULL, sender, NULL);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
    must(!sleeps || rings);
    return 0;
}
