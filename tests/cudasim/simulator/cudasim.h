// What a kernel is compiled against to run on the CPU, in the place of the compiler's built-in CUDA: g++ -std=c++20 with
// this file in front of the kernel's text. The parts, in the order to read them:
//
//     vectors.h      float4, make_float4 and the like
//     threads.h      threadIdx and the other built-in variables; __syncthreads; how the threads of a warp meet
//     warp.h         shuffles and votes; sim::exchange, of which a header can make its own warp-wide instruction
//     atomics.h      atomicAdd and the like
//     arithmetic.h   functions and conversions that CUDA has and C++ has not
//     launch.h       from a function pointer to a launch with arguments given at run time
//     fiber.h        a thread's stack, and the switch to it       } compiled once, in scheduler.cpp
//     scheduler.cpp  runs a grid: blocks, barriers, warps         }
//
// What differs from a GPU, by intention:
//   - A block's threads run one at a time, each from one barrier or warp intrinsic to the next, in the order that
//     CUDASIM_ORDER says: a missing barrier shows in one order or another, and always in the same way.
//   - Blocks run one after another. A kernel that waits for another block never ends.
//   - __shared__ memory starts each block as bytes of ones: NaN, or -1.
//   - Arithmetic is the CPU's: no flush of denormals, no fused multiply-add but where it is written (fmaf).
//   - Inline PTX has no meaning here. Put a branch under #ifdef CUDASIM beside it.
// Not there: dynamic shared memory, textures, cooperative groups, float16, __activemask.
#pragma once

#define CUDASIM 1

// To C++ shared memory is static variables; shared.ld gathers them, so that all can be overwritten before each block.
#define __shared__ static __attribute__((used))  // `used`: its content changes behind the compiler's back
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#include "vectors.h"
#include "threads.h"
#include "warp.h"
#include "atomics.h"
#include "arithmetic.h"
#include "launch.h"
