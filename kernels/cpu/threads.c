/* The thread pool behind `parallel`.
 *
 * OpenMP is no alternative: its GNU runtime hangs in a child after fork, macOS does not ship it, and its threads spin
 * while NumPy's BLAS needs the cores. The pool is small:
 *
 *   - A call publishes a job and wakes the workers; the caller works too. A job has tickets, one for each worker that may
 *     join. When no tasks are left, the caller withdraws the tickets. So it waits only for workers that have joined, never
 *     for one that still sleeps: on a busy machine a call takes no longer than a serial one.
 *   - Workers wait for a job by spinning for some microseconds, because the next kernel usually follows at once, and then
 *     on a condition variable.
 *   - One call at a time owns the pool. A second Python thread does its tasks alone if the pool has an owner.
 *   - In a child after fork there are no workers. The first call starts them again.
 */
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#include "memory.h"

struct Loop {
    atomic_long next;
    long tasks;
};

enum { MAX_WORKERS = 255, SPINS = 4000 };

static struct {
    pthread_mutex_t owner;          /* locked by the call that owns the pool */
    pthread_mutex_t lock;           /* for the condition variable */
    pthread_cond_t wake;
    atomic_int wanted;              /* threads, the caller included */
    int started;                    /* number of workers */
    atomic_int sleeping;
    atomic_ulong job;               /* counts jobs; workers watch it change */
    atomic_int tickets;             /* workers that may still join this job */
    atomic_int active;              /* workers that have joined and not finished */
    Body body;
    void *context;
    Loop *loop;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .wanted = 1};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

long loop_next(Loop *loop) {
    long task = atomic_fetch_add_explicit(&loop->next, 1, memory_order_relaxed);
    return task < loop->tasks ? task : -1;
}

/* Takes a ticket of the current job. `active` is incremented first, so that the caller waits for whoever joins. */
static int join(void) {
    atomic_fetch_add(&pool.active, 1);
    int tickets = atomic_load(&pool.tickets);
    while (tickets > 0)
        if (atomic_compare_exchange_weak(&pool.tickets, &tickets, tickets - 1)) return 1;
    atomic_fetch_sub(&pool.active, 1);
    return 0;
}

static void wait_for_job(unsigned long seen) {
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&pool.job, memory_order_acquire) != seen) return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (atomic_load(&pool.job) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *work(void *first) {
    unsigned long seen = (unsigned long)(size_t)first;
    for (;;) {
        wait_for_job(seen);
        seen = atomic_load(&pool.job);
        if (join()) {
            pool.body(pool.context, pool.loop);
            atomic_fetch_sub(&pool.active, 1);
        }
    }
    return NULL;
}

static void start_workers(int count) {
    while (pool.started < count) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(size_t)atomic_load(&pool.job))) return; /* fewer workers are enough */
        pthread_detach(thread);
        pool.started++;
    }
}

void parallel(long tasks, Body body, void *context) {
    Loop loop = {.tasks = tasks};
    if (tasks <= 0) return;
    if (tasks == 1 || pool.wanted < 2 || pthread_mutex_trylock(&pool.owner)) {
        body(context, &loop);
        return;
    }
    long helpers = pool.wanted - 1 < tasks - 1 ? pool.wanted - 1 : tasks - 1;
    start_workers((int)helpers);
    pool.body = body, pool.context = context, pool.loop = &loop;
    atomic_store(&pool.tickets, (int)helpers);
    atomic_fetch_add(&pool.job, 1);
    if (atomic_load(&pool.sleeping)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    body(context, &loop);
    atomic_store(&pool.tickets, 0);
    for (int spin = 0; atomic_load(&pool.active); spin++) spin < SPINS ? relax() : (void)sched_yield();
    pthread_mutex_unlock(&pool.owner);
}

void threads_set(int count) {
    pthread_mutex_lock(&pool.owner);
    pool.wanted = count < 1 ? 1 : count > MAX_WORKERS + 1 ? MAX_WORKERS + 1 : count;
    pthread_mutex_unlock(&pool.owner);
}

int threads_get(void) { return pool.wanted; }

/* No call may be in progress during fork: the child has only this thread, and a copy of the memory. */
static void before_fork(void) {
    pthread_mutex_lock(&pool.owner);
    memory_lock();
}

static void after_fork(void) {
    memory_unlock();
    pthread_mutex_unlock(&pool.owner);
}

static void after_fork_in_child(void) {
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pool.started = 0;
    atomic_store(&pool.sleeping, 0);
    atomic_store(&pool.active, 0);
    after_fork();
}

void threads_start(void) { pthread_atfork(before_fork, after_fork, after_fork_in_child); }
