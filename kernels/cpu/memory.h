/* Large pieces of memory, recycled.
 *
 * A training step allocates and frees hundreds of megabytes. Handed back to the system, they return as fresh pages that
 * it must clear, one fault for each 4 KiB: a visible part of the step. So what is given back is kept for the next taker
 * of about that size, under a limit; `memory_release` hands it all back to the system.
 */
#ifndef MINIRES_MEMORY_H
#define MINIRES_MEMORY_H

#include <stddef.h>

enum { ALIGNMENT = 64 }; /* a cache line, and the widest vector */

void *memory_take(size_t bytes);  /* aligned, not cleared; NULL when there is none */
void memory_give(void *block);    /* NULL does nothing */
size_t memory_size(const void *block);
float *zero_pixel(long channels); /* so many zeros, or NULL; to be given back */

typedef struct {
    size_t in_use;  /* bytes taken and not given back */
    size_t kept;    /* bytes kept for the next taker */
    size_t limit;   /* the most that is kept */
} MemoryState;

MemoryState memory_state(void);
void memory_limit(size_t bytes);
void memory_release(void);

void memory_lock(void);    /* around fork (threads.c) */
void memory_unlock(void);

#endif
