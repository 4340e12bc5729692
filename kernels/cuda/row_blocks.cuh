// Loops over the rows of a matrix (rows, C). A channels-last image is such a matrix, with one row for each pixel.
//
// A block of THREADS threads has `lanes` threads along the channels, each with V channels (4 if C is a multiple of 4,
// else 1), and covers as many rows as it has threads for. Neighbouring threads access neighbouring memory. A thread
// keeps its channels and loops over rows, so the values of a channel (its mean, its scale, its sum) stay in registers.
//
// A sum over rows is split into chunks of rows, one block for each. The number of chunks depends on the shape alone, so
// the same input gives the same bits on every GPU. In a chunk each thread adds its rows, then the sums of the threads
// in a column are added in pairs. A second, small kernel adds the chunks in double (`reduce_chunks`).
#pragma once
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int BATCH = 8;  // rows that a thread reads before it adds them

// V consecutive channels.
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

// The channels of a vector (C,), or `otherwise` if the vector is absent.
template <int V>
__device__ __forceinline__ Numbers<V> load_or(const float* p, int channel, float otherwise) {
    if (p) return load<V>(p + channel);
    Numbers<V> v;
    for (int k = 0; k < V; ++k) v.at[k] = otherwise;
    return v;
}

// The position of a thread.
struct Position {
    int channel;     // its first channel
    int row;         // its row within the block
    int rows;        // the rows that the block covers at once
    bool is_active;  // false for a thread without a channel or a row
};

template <int V>
__device__ __forceinline__ Position position(int channels, int lanes) {
    const int row = threadIdx.x / lanes, rows = THREADS / lanes;
    const int channel = (blockIdx.y * lanes + threadIdx.x % lanes) * V;
    return {channel, row, rows, row < rows && channel < channels};
}

// Calls function<4>(...) if the rows consist of whole float4, else function<1>(...).
#define DISPATCH_WIDTH(channels, function, ...) \
    ((channels) % 4 == 0 ? function<4>(__VA_ARGS__) : function<1>(__VA_ARGS__))

// The rows of a chunk: first ... end - 1.
struct Chunk {
    int first, end;
};

__device__ __forceinline__ Chunk chunk_of(int chunk, int chunk_rows, int rows) {
    const int first = chunk * chunk_rows;
    return {first, chunk_rows < rows - first ? first + chunk_rows : rows};
}

// Combines the parts of the threads in a column, in a fixed tree of pairs. The first thread of the column has the
// result. `shared` has one element for each thread of the block.
template <class Part>
__device__ __forceinline__ Part reduce_column(Part part, int row, int rows, int lanes, Part* shared) {
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

// Σ term(row) over a thread's rows of a chunk. A batch is read as a whole before it is added, to hide the latency of
// memory, and added up before it goes to the sum, because a longer chain of additions has a larger rounding error.
template <class Part, class Term>
__device__ __forceinline__ Part reduce_rows(Chunk chunk, const Position& at, Term term) {
    Part sum = {}, last = {};
    int row = chunk.first + at.row;
    for (; row + (BATCH - 1) * at.rows < chunk.end; row += BATCH * at.rows) {
        Part batch = {};
#pragma unroll
        for (int i = 0; i < BATCH; ++i) batch.add(term(row + i * at.rows));
        sum.add(batch);
    }
    for (; row < chunk.end; row += at.rows) last.add(term(row));
    sum.add(last);
    return sum;
}

// The second kernel: a block has FINAL_CHANNELS channels, and SLICES threads for each channel, which share the chunks.
constexpr int FINAL_CHANNELS = 8, SLICES = THREADS / FINAL_CHANNELS;

// Σ term(chunk) over all chunks. The first thread of each channel has the result.
template <class Term>
__device__ __forceinline__ double reduce_chunks(int chunks, Sums<double, 1>* shared, Term term) {
    const int slice = threadIdx.x / FINAL_CHANNELS;
    Sums<double, 1> sum = {{0.}};
    for (int chunk = slice; chunk < chunks; chunk += SLICES) sum.at[0] += term(chunk);
    return reduce_column(sum, slice, SLICES, FINAL_CHANNELS, shared).at[0];
}
