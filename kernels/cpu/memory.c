/* The store behind `memory_take`: a list of free blocks, searched for the best fit.
 *
 *     [ header, 64 bytes | what the taker gets ... ]
 *
 * A free block serves a request if it is not more than an eighth too large, so little is wasted; the smallest such wins,
 * and among equals the one given back last, which a cache may still hold. The list is short (a network has some dozens of
 * sizes in flight), so it is searched from end to end.
 *
 * What is kept is bounded twice: by the limit, and so that used and kept together are never more than an eighth (or
 * 128 MiB) above the most that was ever in use. Without the second bound a backward pass, which asks for ever larger blocks
 * while it gives back small ones, would end with nearly twice the memory that it needs. The block that has waited longest
 * goes first.
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

static const size_t SLACK = 128 << 20, PAGE = 4096, LARGEST_PAGE = 1 << 16 /* of any system's ordinary ones */, HUGE_PAGE = 2 << 20;

/* AddressSanitizer watches a block's ends, and what is used after it was freed. So for it (`make sanitize`) blocks are
 * exactly as large as asked, and freed at once. */
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
    Block *free; /* the one given back last comes first */
    size_t in_use, kept, limit;
    size_t most_in_use;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER, .limit = (size_t)1 << 30};

/* Pages from the system, aligned to huge ones: 512 times fewer faults, and address translations that fit their cache. */
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

/* Large blocks are mapped, not allocated: the heap would keep what is freed in the middle of it. */
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

/* Where the best free block hangs in the list, or NULL. */
static Block **best_fit(size_t bytes) {
    Block **best = NULL;
    for (Block **at = &store.free; *at; at = &(*at)->next) {
        size_t has = (*at)->bytes;
        if (has >= bytes && has - bytes <= bytes / 8 && (!best || has < (*best)->bytes)) best = at;
    }
    return best;
}

/* Free what has waited longest until at most `most` bytes are kept. */
static void trim(size_t most) {
    while (store.kept > most) {
        Block **last = &store.free;
        while ((*last)->next) last = &(*last)->next;
        store.kept -= (*last)->bytes;
        discard(*last);
        *last = NULL;
    }
}

/* Before `bytes` more are taken from the system: keep the second bound. */
static void make_room(size_t bytes) {
    size_t needed = store.in_use + bytes, most = store.most_in_use > needed ? store.most_in_use : needed;
    size_t slack = most / 8 > SLACK ? most / 8 : SLACK;
    trim(most + slack - needed);
}

void *memory_take(size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    if (RECYCLES) bytes = (bytes + PAGE) / PAGE * PAGE; /* never 0 */
    pthread_mutex_lock(&store.lock);
    Block **place = best_fit(bytes), *block = place ? *place : NULL;
    if (block) {
        *place = block->next;
        store.kept -= block->bytes;
    } else {
        make_room(bytes);
        if (!(block = fresh(bytes))) {
            trim(0); /* what is kept may be what is missing */
            block = fresh(bytes);
        }
    }
    if (block) store.in_use += block->bytes;
    if (store.in_use > store.most_in_use) store.most_in_use = store.in_use;
    pthread_mutex_unlock(&store.lock);
    return block ? block + 1 : NULL;
}

void memory_give(void *memory) {
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
    float *zeros = memory_take((size_t)channels * sizeof(float));
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

void memory_release(void) {
    pthread_mutex_lock(&store.lock);
    trim(0);
    store.most_in_use = store.in_use;
    pthread_mutex_unlock(&store.lock);
}

void memory_lock(void) { pthread_mutex_lock(&store.lock); }
void memory_unlock(void) { pthread_mutex_unlock(&store.lock); }
