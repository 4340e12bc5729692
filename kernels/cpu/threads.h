/* A loop whose turns are shared by the threads of a pool.
 *
 *     static void body(void *context, Loop *loop) {
 *         float *scratch = memory_take(...);              once for each thread
 *         for (long i; (i = loop_next(loop)) >= 0;) ...   as many turns as this thread gets
 *         memory_give(scratch);
 *     }
 *     parallel(turns, body, &context);                    returns when all turns are done
 *
 * Which thread gets which turn is left to chance. So a turn must write only what is its own, and what it computes must
 * not depend on how many turns there are for each thread: then results have the same bits for any number of threads.
 */
#ifndef MINIRES_THREADS_H
#define MINIRES_THREADS_H

typedef struct Loop Loop;
typedef void (*Body)(void *context, Loop *loop);

void parallel(long turns, Body body, void *context);
long loop_next(Loop *loop); /* the number of the next turn, or -1 when there are no more */

void threads_set(int count);
int threads_get(void);
void threads_start(void); /* once, at import */

#endif
