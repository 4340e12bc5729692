/* Winograd's minimal filtering for 3x3 kernels (Winograd 1980; Lavin & Gray 2015, arXiv 1509.09308).
 *
 * One m x m tile of the output needs an (m+2) x (m+2) tile d of the input. With g the 3x3 kernel,
 *
 *     y = A^T [ (G g G^T) . (B^T d B) ] A            . elementwise
 *
 * computes it with (m+2)^2 products instead of 9 m^2: 36 instead of 144 for m = 4, 16 instead of 36 for m = 2. Summed
 * over input channels the elementwise product becomes (m+2)^2 matrix products, one for each position in the tile:
 *
 *     M[position][tile][o] = sum over c of V[position][tile][c] * U[position][c][o],    V = B^T d B,  U = G g G^T
 *
 *     m = 4:        | 4  0 -5  0  1  0 |        | 1/4    0    0   |        | 1  1  1  1  1  0 |
 *                   | 0 -4 -4  1  1  0 |        |-1/6  -1/6 -1/6  |  A^T = | 0  1 -1  2 -2  0 |
 *             B^T = | 0  4 -4 -1  1  0 |    G = |-1/6   1/6 -1/6  |        | 0  1  1  4  4  0 |
 *                   | 0 -2 -1  2  1  0 |        | 1/24  1/12 1/6  |        | 0  1 -1  8 -8  1 |
 *                   | 0  2 -1 -2  1  0 |        | 1/24 -1/12 1/6  |
 *                   | 0  4  0 -5  0  1 |        |  0     0    1   |
 *
 *     m = 2:        | 1  0 -1  0 |              |  1    0    0  |
 *             B^T = | 0  1  1  0 |          G = | 1/2  1/2  1/2 |    A^T = | 1  1  1  0 |
 *                   | 0 -1  1  0 |              | 1/2 -1/2  1/2 |          | 0  1 -1 -1 |
 *                   | 0  1  0 -1 |              |  0    0    1  |
 *
 * The functions below apply a matrix along one axis of a tile of vectors (LANES channels at once), so each is called
 * twice. `m` is a constant in every call, and `stride` is the distance of two elements along the axis.
 */
#ifndef MINIRES_WINOGRAD_H
#define MINIRES_WINOGRAD_H

#include <stddef.h>

#include "gemm.h"

enum { MAX_TILE = 6,
       MAX_POSITIONS = 36 };

/* out = B^T d: m + 2 numbers to m + 2. */
INLINE void input_transform(int m, const vf *d, long stride, vf *out, long out_stride) {
    vf d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride];
    if (m == 2) {
        out[0] = d0 - d2;
        out[out_stride] = d1 + d2;
        out[2 * out_stride] = d2 - d1;
        out[3 * out_stride] = d1 - d3;
        return;
    }
    vf d4 = d[4 * stride], d5 = d[5 * stride];
    vf even = d4 - 4 * d2, odd = d3 - 4 * d1, even2 = d4 - d2, odd2 = 2 * (d3 - d1);
    out[0] = 4 * d0 - 5 * d2 + d4;
    out[out_stride] = even + odd;
    out[2 * out_stride] = even - odd;
    out[3 * out_stride] = even2 + odd2;
    out[4 * out_stride] = even2 - odd2;
    out[5 * out_stride] = 4 * d1 - 5 * d3 + d5;
}

/* out = G g: 3 numbers to m + 2. */
INLINE void kernel_transform(int m, const vf *g, long stride, vf *out, long out_stride) {
    vf g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
    if (m == 2) {
        vf ends = 0.5f * (g0 + g2), middle = 0.5f * g1;
        out[0] = g0;
        out[out_stride] = ends + middle;
        out[2 * out_stride] = ends - middle;
        out[3 * out_stride] = g2;
        return;
    }
    vf ends = (-1 / 6.0f) * (g0 + g2), middle = (1 / 6.0f) * g1;
    vf ends2 = (1 / 24.0f) * g0 + (1 / 6.0f) * g2, middle2 = (1 / 12.0f) * g1;
    out[0] = 0.25f * g0;
    out[out_stride] = ends - middle;
    out[2 * out_stride] = ends + middle;
    out[3 * out_stride] = ends2 + middle2;
    out[4 * out_stride] = ends2 - middle2;
    out[5 * out_stride] = g2;
}

/* out = A^T t: m + 2 numbers to m. */
INLINE void output_transform(int m, const vf *t, long stride, vf *out, long out_stride) {
    vf sum = t[stride] + t[2 * stride], difference = t[stride] - t[2 * stride];
    if (m == 2) {
        out[0] = t[0] + sum;
        out[out_stride] = difference - t[3 * stride];
        return;
    }
    vf sum2 = t[3 * stride] + t[4 * stride], difference2 = t[3 * stride] - t[4 * stride];
    out[0] = t[0] + sum + sum2;
    out[out_stride] = difference + 2 * difference2;
    out[2 * out_stride] = sum + 4 * sum2;
    out[3 * out_stride] = difference + 8 * difference2 + t[5 * stride];
}

/* The transpose of A^T for m = 4: out = A g, 4 numbers to 6. */
INLINE void output_transform_transposed(const vf *g, long stride, vf *out, long out_stride) {
    vf g0 = g[0], g1 = g[stride], g2 = g[2 * stride], g3 = g[3 * stride];
    vf even = g0 + g2, odd = g1 + g3, even2 = g0 + 4 * g2, odd2 = 2 * g1 + 8 * g3;
    out[0] = g0;
    out[out_stride] = even + odd;
    out[2 * out_stride] = even - odd;
    out[3 * out_stride] = even2 + odd2;
    out[4 * out_stride] = even2 - odd2;
    out[5 * out_stride] = g3;
}

/* The transpose of G for m = 4: out = G^T t, 6 numbers to 3. */
INLINE void kernel_transform_transposed(const vf *t, long stride, vf *out, long out_stride) {
    vf sum = t[stride] + t[2 * stride], difference = t[2 * stride] - t[stride];
    vf sum2 = t[3 * stride] + t[4 * stride], difference2 = t[3 * stride] - t[4 * stride];
    out[0] = 0.25f * t[0] - (1 / 6.0f) * sum + (1 / 24.0f) * sum2;
    out[out_stride] = (1 / 6.0f) * difference + (1 / 12.0f) * difference2;
    out[2 * out_stride] = (1 / 6.0f) * (sum2 - sum) + t[5 * stride];
}

/* The columns of a panel of U, M, Q or Z: one vector is enough for so few output channels. */
INLINE long panel_width(long outputs) { return outputs <= LANES ? LANES : NR; }

/* -- positions of the tiles ---------------------------------------------------------------------------------------- */

typedef struct {
    long down, across; /* tiles in an image */
    long count;        /* tiles in all images */
} Tiles;

INLINE Tiles tiles_of(int m, long images, long rows, long columns) {
    Tiles tiles = {ceil_div(rows, m), ceil_div(columns, m), 0};
    tiles.count = images * tiles.down * tiles.across;
    return tiles;
}

/* The image of tile t, and its first output row and column. */
typedef struct {
    long image, row, column;
} TilePosition;

INLINE TilePosition tile_position(int m, Tiles tiles, long t) {
    long in_image = t % (tiles.down * tiles.across);
    return (TilePosition){t / (tiles.down * tiles.across), in_image / tiles.across * m, in_image % tiles.across * m};
}

/* The tile after `place`. To count is faster than tile_position's divisions. */
INLINE TilePosition next_tile(int m, Tiles tiles, TilePosition place) {
    place.column += m;
    if (place.column == tiles.across * m) place.column = 0, place.row += m;
    if (place.row == tiles.down * m) place.row = 0, place.image++;
    return place;
}

/* The smallest odd number of cache lines with at least so many floats. Data at multiples of this distance is in
 * different sets of a cache. At a distance of a power of two, the 36 positions of a tile would evict each other from
 * one set. */
INLINE long odd_lines(long floats) { return (ceil_div(floats, 16) | 1) * 16; }

/* -- memory that is needed soon --------------------------------------------------------------------------------------
 *
 * A tile's rows are far apart, so the processor does not foresee them, and products need no memory. So while a block of
 * tiles is multiplied, the next block's pixels are fetched into the L2 cache: a line for each number k of the products'
 * sums (Fetch in gemm.h).
 */
enum { MOST_AHEAD = 256 << 10 }; /* bytes; more would drive V and M out of the cache */

/* The rows of pixels of tiles first ... end - 1, of images with `height` rows of `line` floats. They are contiguous. None
 * if there are too many. */
INLINE Ahead rows_of_tiles(int m, Tiles tiles, long first, long end, const float *images, long height, long line) {
    end = min_of(end, tiles.count);
    if (first >= end) return (Ahead){NULL, NULL};
    TilePosition from = tile_position(m, tiles, first), last = tile_position(m, tiles, end - 1);
    const long begin = (from.image * height + from.row) * line;
    const long until = (last.image * height + min_of(last.row + m, height)) * line;
    if ((until - begin) * (long)sizeof(float) > MOST_AHEAD) return (Ahead){NULL, NULL};
    return (Ahead){(const char *)(images + begin), (const char *)(images + until)};
}

/* -- the transform of x --------------------------------------------------------------------------------------------- */

/* V[position][t][c] = B^T d B for LANES channels of a tile, or the last n. `row` points to the first pixel of each row,
 * and columns first ... last - 1 are inside the image. Each column is loaded when it is transformed, and not stored in
 * between, because stores limit the speed here. */
INLINE void transform_pixels(int m, const float *const row[MAX_TILE], long pixel, long first, long last, long c, long n,
                             float *v, long step) {
    const int tile = m + 2;
    vf half[MAX_POSITIONS];
    for (int j = 0; j < tile; j++) {
        vf d[MAX_TILE] = {{0}};
        if (j >= first && j < last)
            for (int i = 0; i < tile; i++) d[i] = load_upto(row[i] + j * pixel + c, n);
        input_transform(m, d, 1, half + j, tile);
    }
    for (int i = 0; i < tile; i++) {
        vf out[MAX_TILE];
        input_transform(m, half + i * tile, 1, out, 1);
        for (int j = 0; j < tile; j++) store(v + (i * tile + j) * step + c, out[j]);
    }
}

/* The same for all channels, of the tile whose first pixel is (row, column). `step` is the distance of two positions in V.
 * A row outside the image is `zeros`, m + 2 pixels of zeros. */
INLINE void transform_input_tile(int m, const float *x, long height, long width, long channels, long row, long column,
                                 const float *zeros, float *v, long step) {
    const int tile = m + 2;
    const float *rows[MAX_TILE];
    for (int i = 0; i < tile; i++)
        rows[i] = row + i >= 0 && row + i < height ? x + ((row + i) * width + column) * channels : zeros;
    const long first = max_of(0, -column), last = min_of(tile, width - column);
    long c = 0;
    if (first == 0 && last == tile) /* the usual case, with constants */
        for (; c + LANES <= channels; c += LANES) transform_pixels(m, rows, channels, 0, tile, c, LANES, v, step);
    for (; c + LANES <= channels; c += LANES) transform_pixels(m, rows, channels, first, last, c, LANES, v, step);
    if (c < channels) transform_pixels(m, rows, channels, first, last, c, channels - c, v, step);
}

#endif
