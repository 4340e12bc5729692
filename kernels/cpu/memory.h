/* Large blocks of memory, recycled.
 *
 * A training step allocates and frees hundreds of megabytes. If these were returned to the system, it would hand out
 * new pages, and clear each of 4 KiB at a page fault, which takes a visible part of the step. So freed blocks are kept,
 * up to a limit, for the next allocation of about that size. `memory_trim` returns them all to the system.
 */
#ifndef MINIRES_MEMORY_H
#define MINIRES_MEMORY_H

#include <stddef.h>

enum { ALIGNMENT = 64 }; /* a cache line, and the widest vector */

void *memory_alloc(size_t bytes);  /* aligned, not cleared; NULL if there is no memory */
void memory_free(void *block);    /* does nothing for NULL */
size_t memory_size(const void *block);
float *zero_pixel(long channels); /* zeros, or NULL; free it with memory_free */

typedef struct {
    size_t in_use;  /* bytes allocated and not freed */
    size_t kept;    /* bytes kept for reuse */
    size_t limit;   /* of the bytes that are kept */
} MemoryState;

MemoryState memory_state(void);
void memory_limit(size_t bytes);
void memory_trim(void);

void memory_lock(void);    /* around fork (threads.c) */
void memory_unlock(void);

#endif
