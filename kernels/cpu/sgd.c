/* Stochastic gradient descent with momentum, over all parameters of a network in one call (torch.optim.SGD):
 *
 *     d = g + decay theta      v <- momentum v + (1 - dampening) d      theta <- theta - lr v, or lr (d + momentum v)
 */
#include "kernels.h"
#include "memory.h"
#include "simd.h"
#include "threads.h"

enum { TASK_SIZE = 1 << 15 }; /* floats */

typedef struct {
    const Parameter *parameters;
    const long *owner, *offset; /* of each task: its parameter, and its first element */
    Sgd settings;
} Job;

/* Without decay d does not depend on theta: 0 times an infinite theta would be NaN. */
INLINE void update(const Parameter *p, Sgd s, int decays, long at, long n) {
    vf theta = load_upto(p->theta + at, n), d = load_upto(p->gradient + at, n);
    if (decays) d += s.weight_decay * theta;
    if (p->velocity) {
        vf v = s.momentum * load_upto(p->velocity + at, n) + (1 - s.dampening) * d;
        store_upto(p->velocity + at, v, n);
        d = s.nesterov ? d + s.momentum * v : v;
    }
    store_upto(p->theta + at, theta - s.lr * d, n);
}

static void update_tasks(void *context, Loop *loop) {
    const Job *job = context;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const Parameter *p = job->parameters + job->owner[task];
        long at = job->offset[task], end = min_of(at + TASK_SIZE, p->count);
        if (job->settings.weight_decay)
            for (; at < end; at += LANES) update(p, job->settings, 1, at, end - at);
        else
            for (; at < end; at += LANES) update(p, job->settings, 0, at, end - at);
    }
}

int sgd(const Parameter *parameters, long count, Sgd settings) {
    long tasks = 0;
    for (long k = 0; k < count; k++) tasks += ceil_div(parameters[k].count, TASK_SIZE);
    long *table = memory_alloc((size_t)(2 * tasks) * sizeof(long)), task = 0;
    if (!table) return -1;
    for (long k = 0; k < count; k++)
        for (long at = 0; at < parameters[k].count; at += TASK_SIZE, task++) table[task] = k, table[tasks + task] = at;
    Job job = {parameters, table, table + tasks, settings};
    parallel(tasks, update_tasks, &job);
    memory_free(table);
    return 0;
}
