/* The thread pool behind `parallel`.
 *
 * OpenMP is no alternative: its GNU runtime hangs in a child after fork, macOS does not ship it, and its threads spin
 * while NumPy's BLAS needs the cores. The pool is small:
 *
 *   - A call publishes a job and wakes the workers; the caller works too. A job has tickets, one for each worker that may
 *     join. When no tasks are left, the caller withdraws the tickets. So it waits only for workers that have joined, never
 *     for one that still sleeps: on a busy machine a call takes no longer than a serial one.
 *   - Each thread begins with a part of the tasks of its own, the same part in every job, so that it finds in its cache
 *     what it wrote in the job before; then it helps with the other parts.
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

enum { MAX_WORKERS = 255, SPINS = 4000 };

/* Some consecutive tasks; on a cache line of their own, since each thread counts through its part. */
typedef struct {
    _Alignas(64) atomic_long next;
    long end;
} Part;

struct Loop {
    Part *parts;
    int count, own; /* number of parts; the thread's own */
};

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
    Part *parts;
    int count;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .wanted = 1};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

long loop_next(Loop *loop) {
    for (int k = 0; k < loop->count; k++) {
        Part *part = loop->parts + (loop->own + k) % loop->count;
        if (atomic_load_explicit(&part->next, memory_order_relaxed) >= part->end) continue;
        long task = atomic_fetch_add_explicit(&part->next, 1, memory_order_relaxed);
        if (task < part->end) return task;
    }
    return -1;
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

/* What a worker is given at its start: its number, from 1, and the job that it need not do. */
typedef struct {
    int number;
    unsigned long seen;
} Start;

static void *work(void *start) {
    const int number = ((Start *)start)->number;
    unsigned long seen = ((Start *)start)->seen;
    for (;;) {
        wait_for_job(seen);
        seen = atomic_load(&pool.job);
        if (join()) {
            Loop loop = {pool.parts, pool.count, number % pool.count};
            pool.body(pool.context, &loop);
            atomic_fetch_sub(&pool.active, 1);
        }
    }
    return NULL;
}

static void start_workers(int count) {
    static Start starts[MAX_WORKERS];
    while (pool.started < count) {
        pthread_t thread;
        Start *start = starts + pool.started;
        *start = (Start){pool.started + 1, atomic_load(&pool.job)};
        if (pthread_create(&thread, NULL, work, start)) return; /* fewer workers are enough */
        pthread_detach(thread);
        pool.started++;
    }
}

void parallel(long tasks, Body body, void *context) {
    if (tasks <= 0) return;
    if (tasks == 1 || pool.wanted < 2 || pthread_mutex_trylock(&pool.owner)) {
        Part all = {0, tasks};
        body(context, &(Loop){&all, 1, 0});
        return;
    }
    const int threads = (int)(pool.wanted < tasks ? pool.wanted : tasks);
    Part parts[threads];
    for (int k = 0; k < threads; k++) {
        atomic_init(&parts[k].next, tasks * k / threads);
        parts[k].end = tasks * (k + 1) / threads;
    }
    start_workers(threads - 1);
    pool.body = body, pool.context = context, pool.parts = parts, pool.count = threads;
    atomic_store(&pool.tickets, threads - 1);
    atomic_fetch_add(&pool.job, 1);
    if (atomic_load(&pool.sleeping)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    body(context, &(Loop){parts, threads, 0});
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
