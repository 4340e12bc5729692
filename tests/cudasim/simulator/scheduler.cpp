// Runs a grid of CUDA threads on one thread of the CPU.
//
//     for each block: poison shared memory
//         until every thread has finished:
//             run each thread that can continue, in the chosen order, until it waits or finishes
//             release the groups of lanes that have all reached a warp intrinsic
//             if there are none: release the barrier, if all unfinished threads wait at the same one
//             otherwise: an error, which says which thread waits for what
//
// Compiled once, and linked into each library of kernels.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "fiber.h"
#include "launch.h"
#include "threads.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The memory in which the linker has placed all __shared__ variables (shared.ld).
extern "C" __attribute__((visibility("hidden"))) char cudasim_shared_begin[], cudasim_shared_end[];

namespace sim {
namespace {

constexpr unsigned WARP = 32, MOST_THREADS = 1024, KEPT = 256;

enum class State { fresh,
                   ready,
                   at_barrier,
                   in_warp,
                   finished };

struct Thread {
    State state;
    Fiber* fiber;
    int line;  // where it waits
    // At a warp intrinsic: the value that the thread passes, and the values that it gets.
    const char* intrinsic;
    unsigned mask, present;
    const void* value;
    std::size_t size;
    const char* found;
};

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

Thread threads[MOST_THREADS];
char snapshots[MOST_THREADS][WARP * LARGEST];  // the values of a group, at the index of its first thread
unsigned count, running, alive;
std::vector<std::unique_ptr<Fiber>> fibers;  // all fibers
std::vector<Fiber*> idle;                    // the fibers without a thread
std::vector<unsigned> order;                 // the order in which threads run
void (*kernel)(void**);
void** kernel_arguments;

std::string where(const Thread& thread, const char* what) {
    return std::string(what) + " at line " + std::to_string(thread.line);
}

// -- one thread -------------------------------------------------------------------------------------------------------

[[noreturn]] void thread_main() {
    Fiber* fiber = threads[running].fiber;
    fiber->arrived();
    kernel(kernel_arguments);
    threads[running].state = State::finished;
    fiber->leave(true);
    std::abort();  // a finished thread is not entered again
}

void wait(State state, int line) {
    Thread& self = threads[running];
    self.state = state;
    self.line = line;
    self.fiber->leave();
}

// Run thread t until it waits or finishes.
void go_on(unsigned t) {
    Thread& thread = threads[t];
    running = t;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    if (thread.state == State::fresh) {
        if (idle.empty()) {
            fibers.push_back(std::make_unique<Fiber>());
            idle.push_back(fibers.back().get());
        }
        thread.fiber = idle.back();
        idle.pop_back();
        thread.fiber->begin(thread_main);
    }
    thread.state = State::ready;
    thread.fiber->enter();
    if (thread.state == State::finished) {
        idle.push_back(thread.fiber);
        --alive;
    }
}

// -- warps ------------------------------------------------------------------------------------------------------------

unsigned lowest(unsigned lanes) { return static_cast<unsigned>(__builtin_ctz(lanes)); }

// All lanes of `group` have reached the intrinsic: give each the values of all.
void release_group(Thread* warp, unsigned group) {
    const unsigned first = lowest(group);
    const std::size_t size = warp[first].size;
    char* snapshot = snapshots[warp + first - threads];
    std::memset(snapshot, 0xff, WARP * size);
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if (!(group >> lane & 1)) continue;
        Thread& thread = warp[lane];
        if (std::strcmp(thread.intrinsic, warp[first].intrinsic) != 0 || thread.size != size)
            throw Error("lanes of one warp meet in different intrinsics: " + where(thread, thread.intrinsic) + " and " +
                        where(warp[first], warp[first].intrinsic));
        std::memcpy(snapshot + lane * size, thread.value, size);
        thread.found = snapshot;
        thread.present = group;
        thread.state = State::ready;
    }
}

// Release the complete groups of a warp: all unfinished lanes of a mask wait with the same mask.
bool release_warp(Thread* warp, unsigned lanes) {
    unsigned living = 0, waiting = 0;
    for (unsigned lane = 0; lane < lanes; ++lane) {
        living |= static_cast<unsigned>(warp[lane].state != State::finished) << lane;
        waiting |= static_cast<unsigned>(warp[lane].state == State::in_warp) << lane;
    }
    bool released = false;
    while (waiting != 0) {
        const unsigned first = lowest(waiting), mask = warp[first].mask;
        unsigned group = 0;
        for (unsigned lane = first; lane < lanes; ++lane)
            group |= static_cast<unsigned>((waiting >> lane & 1) != 0 && warp[lane].mask == mask) << lane;
        if ((group & ~mask) != 0)
            throw Error("the mask of " + where(warp[first], warp[first].intrinsic) + " leaves out a lane that calls");
        waiting &= ~group;
        if (group == (mask & living)) {
            release_group(warp, group);
            released = true;
        }
    }
    return released;
}

bool release_warps() {
    bool released = false;
    for (unsigned first = 0; first < count; first += WARP)
        released |= release_warp(threads + first, std::min(WARP, count - first));
    return released;
}

// -- the block --------------------------------------------------------------------------------------------------------

void release_barrier() {
    const Thread *here = nullptr, *in_warp = nullptr;
    unsigned arrived = 0;
    for (unsigned t = 0; t < count; ++t) {
        const Thread& thread = threads[t];
        if (thread.state == State::in_warp) in_warp = &thread;
        if (thread.state != State::at_barrier) continue;
        ++arrived;
        if (here != nullptr && here->line != thread.line)
            throw Error("divergent barrier: " + where(*here, "some threads wait in the __syncthreads()") + ", " +
                        where(thread, "others in that"));
        here = &thread;
    }
    if (in_warp != nullptr)
        throw Error("deadlock: " + std::to_string(arrived) + " of " + std::to_string(alive) + " living threads wait" +
                    (here ? where(*here, " in __syncthreads()") : "") + ", others in " +
                    where(*in_warp, in_warp->intrinsic) + " for lanes that its mask names and that do not come");
    for (unsigned t = 0; t < count; ++t)
        if (threads[t].state == State::at_barrier) threads[t].state = State::ready;
}

// Includes the bytes that a sanitizer has put between the arrays.
__attribute__((no_sanitize("address"))) void poison_shared_memory() {
    for (volatile char* byte = cudasim_shared_begin; byte < cudasim_shared_end; ++byte) *byte = '\xff';
}

void run_block(unsigned seed, std::mt19937& random) {
    poison_shared_memory();
    for (unsigned t = 0; t < count; ++t) threads[t].state = State::fresh;
    alive = count;
    while (true) {
        if (seed > 1) std::shuffle(order.begin(), order.end(), random);
        for (const unsigned t : order)
            if (threads[t].state == State::fresh || threads[t].state == State::ready) go_on(t);
        if (alive == 0) return;
        if (!release_warps()) release_barrier();
    }
}

// -- the grid ---------------------------------------------------------------------------------------------------------

void check_limits(const unsigned (&d)[6]) {
    const auto shape = [&](int k) {
        return "(" + std::to_string(d[k]) + ", " + std::to_string(d[k + 1]) + ", " + std::to_string(d[k + 2]) + ")";
    };
    if (d[0] < 1 || d[1] < 1 || d[2] < 1 || d[0] > 0x7fffffff || d[1] > 65535 || d[2] > 65535)
        throw Error("a grid of " + shape(0) + " blocks: CUDA allows (1…2³¹−1, 1…65535, 1…65535)");
    if (d[3] < 1 || d[4] < 1 || d[5] < 1 || d[3] > 1024 || d[4] > 1024 || d[5] > 64 ||
        static_cast<unsigned long long>(d[3]) * d[4] * d[5] > MOST_THREADS)
        throw Error("a block of " + shape(3) + " threads: CUDA allows (1…1024, 1…1024, 1…64), 1024 in all");
}

// CUDASIM_ORDER: 0 ascending, 1 descending, else the seed of a shuffle. It applies to blocks too.
unsigned chosen_order() {
    const char* chosen = std::getenv("CUDASIM_ORDER");
    return chosen ? static_cast<unsigned>(std::strtoul(chosen, nullptr, 10)) : 0;
}

// The block that runs k-th of n: ascending, descending, or in steps that are coprime to n.
unsigned long long block_at(unsigned long long k, unsigned long long n, unsigned seed) {
    if (seed < 2) return seed == 0 ? k : n - 1 - k;
    unsigned long long step = 2 * static_cast<unsigned long long>(seed) + 1;
    while (std::gcd(step, n) != 1) step += 2;
    return (k % n * (step % n) + seed) % n;
}

void run_grid(const unsigned (&d)[6]) {
    check_limits(d);
    gridDim = {d[0], d[1], d[2]};
    blockDim = {d[3], d[4], d[5]};
    count = d[3] * d[4] * d[5];
    const unsigned seed = chosen_order();
    std::mt19937 random(seed);
    order.resize(count);
    std::iota(order.begin(), order.end(), 0u);
    if (seed == 1) std::reverse(order.begin(), order.end());
    const unsigned long long blocks = static_cast<unsigned long long>(d[0]) * d[1] * d[2];
    for (unsigned long long k = 0; k < blocks; ++k) {
        const unsigned long long block = block_at(k, blocks, seed);
        blockIdx = {static_cast<unsigned>(block % d[0]), static_cast<unsigned>(block / d[0] % d[1]),
                    static_cast<unsigned>(block / d[0] / d[1])};
        run_block(seed, random);
    }
}

}  // namespace

// -- what launch.h, threads.h and warp.h declare ----------------------------------------------------------------------

void barrier(int line) { wait(State::at_barrier, line); }

const void* meet(const char* intrinsic, int line, unsigned mask, const void* value, std::size_t size,
                 unsigned* present) {
    Thread& self = threads[running];
    self.intrinsic = intrinsic;
    self.mask = mask;
    self.value = value;
    self.size = size;
    wait(State::in_warp, line);
    if (present != nullptr) *present = self.present;
    return self.found;
}

unsigned lane() { return running % WARP; }

const char* run(const unsigned (&dimensions)[6], void (*body)(void**), void** arguments) {
    static std::string error;
    error.clear();
    kernel = body;
    kernel_arguments = arguments;
    try {
        run_grid(dimensions);
    } catch (const std::exception& thrown) {
        error = thrown.what();
    }
    // The stacks of threads that never finish are reused. Few are kept, because each library of kernels has its own.
    if (fibers.size() > KEPT) fibers.resize(KEPT);
    idle.clear();
    for (const auto& fiber : fibers) idle.push_back(fiber.get());
    return error.c_str();
}

}  // namespace sim
