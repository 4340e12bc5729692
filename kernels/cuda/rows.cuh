// Walking over the rows of a matrix (rows, C). An image is one, with a row for each pixel, for it lies channels-last.
//
// A block of THREADS threads is `lanes` threads across, each with V channels (4 where C is a multiple of four, else 1),
// and as many rows down as fit. Neighbouring threads meet neighbouring memory. A thread keeps its channels and walks
// down the rows, so what belongs to a channel (its mean, its scale, its sum) stays in registers.
//
// Sums over rows are cut into chunks of rows, a block for each. How many depends on the shape alone: the same numbers
// give the same bits on every GPU. In a chunk a thread adds its rows, then the threads of a column are added in pairs.
// A second, small kernel adds the chunks in double (`over_chunks`).
#pragma once
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int BATCH = 8;  // rows that a thread reads at once

// V neighbouring channels.
template <int V>
struct Numbers {
    float at[V];
};

template <int V>
__device__ __forceinline__ Numbers<V> load(const float* p) {
    if constexpr (V == 4) {
        const float4 v = load4(p);
        return {{v.x, v.y, v.z, v.w}};
    } else {
        return {{*p}};
    }
}

template <int V>
__device__ __forceinline__ void store(float* p, const Numbers<V>& v) {
    if constexpr (V == 4)
        store4(p, make_float4(v.at[0], v.at[1], v.at[2], v.at[3]));
    else
        *p = v.at[0];
}

// A vector (C,) that may be missing.
template <int V>
__device__ __forceinline__ Numbers<V> load_or(const float* p, int channel, float otherwise) {
    if (p) return load<V>(p + channel);
    Numbers<V> v;
    for (int k = 0; k < V; ++k) v.at[k] = otherwise;
    return v;
}

// Where a thread stands.
struct Walk {
    int channel;  // the first of its own
    int row;      // its row in the block
    int step;     // rows of the block
    bool works;   // false for a thread that has no channels, or no place in the last row
};

template <int V>
__device__ __forceinline__ Walk walk(int channels, int lanes) {
    const int row = threadIdx.x / lanes, step = THREADS / lanes;
    const int channel = (blockIdx.y * lanes + threadIdx.x % lanes) * V;
    return {channel, row, step, row < step && channel < channels};
}

// A chunk's rows.
struct Chunk {
    int first, end;
};

__device__ __forceinline__ Chunk chunk_of(int chunk, int chunk_rows, int rows) {
    const int first = chunk * chunk_rows;
    return {first, chunk_rows < rows - first ? first + chunk_rows : rows};
}

// The parts of a column's threads as one, in the column's first thread: pairs, pairs of pairs, always the same ones.
// `shared` has a place for each thread of the block.
template <class Part>
__device__ __forceinline__ Part over_column(Part part, int row, int rows, int lanes, Part* shared) {
    shared[threadIdx.x] = part;
    for (int half; rows > 1; rows = half) {
        half = (rows + 1) / 2;
        __syncthreads();
        if (row + half < rows) {
            part.add(shared[threadIdx.x + half * lanes]);
            shared[threadIdx.x] = part;
        }
    }
    return part;
}

template <class T, int K>
struct Sums {
    T at[K];
    __device__ __forceinline__ void add(const Sums& other) {
        for (int k = 0; k < K; ++k) at[k] += other.at[k];
    }
};

// Σ of term(row) over a thread's rows of a chunk. A batch is read as a whole before it is added, for memory is slow to
// answer, and added up before it goes to the sum, for a chain of additions rounds the more the longer it is.
template <class Part, class Term>
__device__ __forceinline__ Part over_rows(Chunk chunk, const Walk& at, Term term) {
    Part sum = {}, last = {};
    int row = chunk.first + at.row;
    for (; row + (BATCH - 1) * at.step < chunk.end; row += BATCH * at.step) {
        Part batch = {};
#pragma unroll
        for (int i = 0; i < BATCH; ++i) batch.add(term(row + i * at.step));
        sum.add(batch);
    }
    for (; row < chunk.end; row += at.step) last.add(term(row));
    sum.add(last);
    return sum;
}

// The second kernel: a block has FINISHED channels, and SLICES threads for each, which share the chunks.
enum { FINISHED = 8, SLICES = THREADS / FINISHED };

// Σ over chunks of term(chunk), in each channel's first thread.
template <class Term>
__device__ __forceinline__ double over_chunks(int chunks, Sums<double, 1>* shared, Term term) {
    const int slice = threadIdx.x / FINISHED;
    Sums<double, 1> sum = {{0.}};
    for (int chunk = slice; chunk < chunks; chunk += SLICES) sum.at[0] += term(chunk);
    return over_column(sum, slice, SLICES, FINISHED, shared).at[0];
}
