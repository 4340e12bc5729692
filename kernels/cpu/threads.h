/* A parallel loop: the threads of a pool share its tasks.
 *
 *     static void body(void *context, Loop *loop) {
 *         float *scratch = memory_alloc(...);             once for each thread
 *         for (long i; (i = loop_next(loop)) >= 0;) ...   the tasks that this thread gets
 *         memory_free(scratch);
 *     }
 *     parallel(tasks, body, &context);                    returns when all tasks are done
 *
 * Which thread gets which task is not determined. So a task writes only data of its own, and its result must not depend
 * on the number of tasks of a thread. Then results have the same bits for any number of threads.
 */
#ifndef MINIRES_THREADS_H
#define MINIRES_THREADS_H

typedef struct Loop Loop;
typedef void (*Body)(void *context, Loop *loop);

void parallel(long tasks, Body body, void *context);
long loop_next(Loop *loop); /* the number of the next task, or -1 if there is none */

void threads_set(int count);
int threads_get(void);
void threads_start(void); /* call it once, at import */

#endif
