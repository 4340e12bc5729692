/* Stochastic gradient descent with momentum, over all parameters of a network in one call (torch.optim.SGD):
 *
 *     d = g + decay theta      v <- momentum v + (1 - dampening) d      theta <- theta - lr v, or lr (d + momentum v)
 */
#include "kernels.h"
#include "memory.h"
#include "simd.h"
#include "threads.h"

enum { TURN = 1 << 15 }; /* floats */

typedef struct {
    const Parameter *parameters;
    const long *owner, *offset; /* of each turn: which parameter, and where in it */
    Sgd settings;
} Job;

/* Without decay theta is left out of d, for 0 times an infinite theta would be NaN. */
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

static void update_turns(void *context, Loop *loop) {
    const Job *job = context;
    for (long turn; (turn = loop_next(loop)) >= 0;) {
        const Parameter *p = job->parameters + job->owner[turn];
        long at = job->offset[turn], end = smaller(at + TURN, p->count);
        if (job->settings.weight_decay)
            for (; at < end; at += LANES) update(p, job->settings, 1, at, end - at);
        else
            for (; at < end; at += LANES) update(p, job->settings, 0, at, end - at);
    }
}

int sgd(const Parameter *parameters, long count, Sgd settings) {
    long turns = 0;
    for (long k = 0; k < count; k++) turns += pieces(parameters[k].count, TURN);
    long *table = memory_take((size_t)(2 * turns) * sizeof(long)), turn = 0;
    if (!table) return -1;
    for (long k = 0; k < count; k++)
        for (long at = 0; at < parameters[k].count; at += TURN, turn++) table[turn] = k, table[turns + turn] = at;
    Job job = {parameters, table, table + turns, settings};
    parallel(turns, update_turns, &job);
    memory_give(table);
    return 0;
}
