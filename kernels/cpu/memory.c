/* The allocator behind `memory_alloc`: a list of free blocks, searched for the best fit.
 *
 *     [ header, 64 bytes | the caller's memory ... ]
 *
 * A free block satisfies a request if it is at most an eighth too large, so little is wasted. The smallest such block
 * is used, and among equal ones the block that was freed last, which may still be in a cache. The list is short (a
 * network uses some dozens of sizes), so it is searched from end to end.
 *
 * Two bounds limit the memory that is kept: the limit, and a bound on the sum of used and kept memory, which is at most
 * an eighth (or 128 MiB) above the peak of the used memory. Without the second bound a backward pass, which allocates
 * larger and larger blocks while it frees small ones, would end with nearly twice the memory that it needs. The block
 * that was freed first is returned to the system first.
 */
#include "memory.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct Block {
    struct Block *next;
    size_t bytes; /* without the header */
    char padding[ALIGNMENT - sizeof(struct Block *) - sizeof(size_t)];
} Block;

static const size_t SLACK = 128 << 20, PAGE = 4096, LARGEST_PAGE = 1 << 16 /* of any system */, HUGE_PAGE = 2 << 20;

/* AddressSanitizer detects accesses beyond a block's ends and after it was freed. So under it (`make sanitize`) blocks
 * have exactly the requested size and are freed at once. */
#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
enum { RECYCLES = 0 };
#else
enum { RECYCLES = 1 };
#endif

static struct {
    pthread_mutex_t lock;
    Block *free; /* the block that was freed last comes first */
    size_t in_use, kept, limit;
    size_t peak;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER, .limit = (size_t)1 << 30};

/* Pages from the system, aligned to huge pages: 512 times fewer page faults, and fewer misses of the TLB. */
static void *map(size_t bytes) {
    char *memory = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    size_t before = -(uintptr_t)memory % HUGE_PAGE;
    if (before) munmap(memory, before);
    if (HUGE_PAGE - before) munmap(memory + before + bytes, HUGE_PAGE - before);
#if defined(MADV_HUGEPAGE)
    madvise(memory + before, bytes, MADV_HUGEPAGE);
#endif
    return memory + before;
}

/* Large blocks are mapped, not allocated with malloc: the heap would keep memory that is freed in the middle of it. */
static int is_mapped(size_t bytes) { return RECYCLES && bytes + sizeof(Block) >= HUGE_PAGE; }

static size_t whole_pages(size_t bytes) { return (bytes + sizeof(Block) + LARGEST_PAGE - 1) / LARGEST_PAGE * LARGEST_PAGE; }

static Block *fresh(size_t bytes) {
    void *memory = NULL;
    if (is_mapped(bytes))
        memory = map(whole_pages(bytes));
    else if (posix_memalign(&memory, ALIGNMENT, bytes + sizeof(Block)))
        memory = NULL;
    Block *block = memory;
    if (block) block->bytes = bytes;
    return block;
}

static void discard(Block *block) {
    if (is_mapped(block->bytes))
        munmap(block, whole_pages(block->bytes));
    else
        free(block);
}

/* The link of the list that points to the best free block, or NULL. */
static Block **best_fit(size_t bytes) {
    Block **best = NULL;
    for (Block **at = &store.free; *at; at = &(*at)->next) {
        size_t has = (*at)->bytes;
        if (has >= bytes && has - bytes <= bytes / 8 && (!best || has < (*best)->bytes)) best = at;
    }
    return best;
}

/* Returns the blocks that were freed first to the system, until at most `most` bytes are kept. */
static void trim(size_t most) {
    while (store.kept > most) {
        Block **last = &store.free;
        while ((*last)->next) last = &(*last)->next;
        store.kept -= (*last)->bytes;
        discard(*last);
        *last = NULL;
    }
}

/* Enforces the second bound before `bytes` more are taken from the system. */
static void limit_slack(size_t bytes) {
    size_t needed = store.in_use + bytes, most = store.peak > needed ? store.peak : needed;
    size_t slack = most / 8 > SLACK ? most / 8 : SLACK;
    trim(most + slack - needed);
}

void *memory_alloc(size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    if (RECYCLES) bytes = (bytes + PAGE) / PAGE * PAGE; /* never 0 */
    pthread_mutex_lock(&store.lock);
    Block **place = best_fit(bytes), *block = place ? *place : NULL;
    if (block) {
        *place = block->next;
        store.kept -= block->bytes;
    } else {
        limit_slack(bytes);
        if (!(block = fresh(bytes))) {
            trim(0); /* the memory that is kept may be what the system lacks */
            block = fresh(bytes);
        }
    }
    if (block) store.in_use += block->bytes;
    if (store.in_use > store.peak) store.peak = store.in_use;
    pthread_mutex_unlock(&store.lock);
    return block ? block + 1 : NULL;
}

void memory_free(void *memory) {
    if (!memory) return;
    Block *block = (Block *)memory - 1;
    pthread_mutex_lock(&store.lock);
    store.in_use -= block->bytes;
    store.kept += block->bytes;
    block->next = store.free;
    store.free = block;
    trim(RECYCLES ? store.limit : 0);
    pthread_mutex_unlock(&store.lock);
}

size_t memory_size(const void *memory) { return ((const Block *)memory - 1)->bytes; }

float *zero_pixel(long channels) {
    float *zeros = memory_alloc((size_t)channels * sizeof(float));
    return zeros ? memset(zeros, 0, (size_t)channels * sizeof(float)) : NULL;
}

MemoryState memory_state(void) {
    pthread_mutex_lock(&store.lock);
    MemoryState state = {store.in_use, store.kept, store.limit};
    pthread_mutex_unlock(&store.lock);
    return state;
}

void memory_limit(size_t bytes) {
    pthread_mutex_lock(&store.lock);
    store.limit = bytes;
    trim(bytes);
    pthread_mutex_unlock(&store.lock);
}

void memory_trim(void) {
    pthread_mutex_lock(&store.lock);
    trim(0);
    store.peak = store.in_use;
    pthread_mutex_unlock(&store.lock);
}

void memory_lock(void) { pthread_mutex_lock(&store.lock); }
void memory_unlock(void) { pthread_mutex_unlock(&store.lock); }
