// A fiber: a stack of its own and the point where it was left, so that a function can pause and continue later.
#pragma once
#if !defined(__x86_64__) || !defined(__linux__)
#error "the CUDA simulator switches stacks in assembly for x86-64 Linux; on another platform there is none"
#endif

#include <sys/mman.h>

#include <cstdint>
#include <new>

#ifdef __SANITIZE_ADDRESS__  // it tracks stacks, so each switch must be announced
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define CUDASIM_LEAVING(fake, low, size) __sanitizer_start_switch_fiber(fake, low, size)
#define CUDASIM_ENTERED(fake, low, size) __sanitizer_finish_switch_fiber(fake, low, size)
#define CUDASIM_CLEAN(low, size) __asan_unpoison_memory_region(low, size)
#else
#define CUDASIM_LEAVING(fake, low, size) ((void)(fake))
#define CUDASIM_ENTERED(fake, low, size) ((void)(fake))
#define CUDASIM_CLEAN(low, size) ((void)(low))
#endif

// Saves the callee-saved registers (System V ABI: six) on the stack that is left, and the stack pointer in *left. Then
// continues where `entered` was left.
extern "C" void cudasim_switch(void** left, void* entered);
asm(R"(
    .pushsection .text
    .hidden cudasim_switch
    .globl cudasim_switch
    .type cudasim_switch, @function
cudasim_switch:
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    pushq %rbx
    pushq %rbp
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %rbp
    popq %rbx
    popq %r12
    popq %r13
    popq %r14
    popq %r15
    ret
    .size cudasim_switch, .-cudasim_switch
    .popsection
)");

namespace sim {

class Fiber {
public:
    Fiber() {
        void* memory = mmap(nullptr, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        low = static_cast<char*>(memory);
        mprotect(low, GUARD, PROT_NONE);  // a stack overflow ends the program instead of changing another stack
        // Stacks that all start at the same offset would compete for the same cache lines.
        top = low + SIZE - (++made % 64) * 448;
    }
    ~Fiber() {
        CUDASIM_CLEAN(low, SIZE);  // clears the marks of an abandoned run: the memory may be reused
        munmap(low, SIZE);
    }
    Fiber(const Fiber&) = delete;

    // Make the next enter() start `function`, which never returns.
    void begin(void (*function)()) {
        CUDASIM_CLEAN(low, SIZE);
        auto* words = reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15});
        *--words = 0;  // no return address
        *--words = reinterpret_cast<std::uintptr_t>(function);
        for (int saved = 0; saved < 6; ++saved) *--words = 0;
        place = words;
        fake = nullptr;
    }

    // Called on the scheduler's stack: run the fiber until it leaves.
    void enter() {
        void* own = nullptr;
        CUDASIM_LEAVING(&own, low, SIZE);
        cudasim_switch(&home, place);
        CUDASIM_ENTERED(own, nullptr, nullptr);
    }

    // Called inside the fiber: return to the scheduler, for good if `finished`.
    void leave(bool finished = false) {
        CUDASIM_LEAVING(finished ? nullptr : &fake, home_low, home_size);
        cudasim_switch(&place, home);
        CUDASIM_ENTERED(fake, &home_low, &home_size);
    }

    // The function passed to begin() must call this first.
    void arrived() { CUDASIM_ENTERED(nullptr, &home_low, &home_size); }

private:
    static constexpr std::size_t SIZE = 256 << 10, GUARD = 4096;
    static inline unsigned made = 0;
    char *low, *top;
    void *place = nullptr, *home = nullptr, *fake = nullptr;
    const void* home_low = nullptr;
    std::size_t home_size = 0;
};

}  // namespace sim
