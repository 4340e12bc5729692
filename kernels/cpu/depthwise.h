/* How results and pixels meet along one axis of a depthwise convolution, forward and backward. */
#ifndef MINIRES_DEPTHWISE_H
#define MINIRES_DEPTHWISE_H

#include "conv.h"

/* Result u = 0 ... count - 1 of a line is stored at place + spread * u. Tap t = 0 ... taps - 1 is position
 * first + every * t of the kernel; for result u it reads pixel u * step + offset + apart * t, if that is in [0, size). */
typedef struct {
    long count, step, size;
    long taps, first, every;
    long offset, apart;
    long place, spread;
} Line;

/* Taps from ... end - 1 of a line. */
typedef struct {
    long from, end;
} Range;

/* The line of y along an axis: y[u] = sum over t of x[u * stride - padding + t * dilation] * w[t]. */
INLINE Line forward_line(const Conv *conv, int axis) {
    return (Line){.count = axis ? conv->columns : conv->rows,
                  .step = conv->stride[axis],
                  .size = axis ? conv->width : conv->height,
                  .taps = conv->kernel[axis],
                  .every = 1,
                  .offset = -conv->padding[axis],
                  .apart = conv->dilation[axis],
                  .spread = 1};
}

/* The pixel that tap t reads for result u; it may be outside the image. */
INLINE long pixel_of(const Line *line, long u, long t) { return u * line->step + line->offset + line->apart * t; }

/* The taps that read pixels inside the image for result u. */
INLINE Range inside(const Line *line, long u) {
    const long apart = line->apart < 0 ? -line->apart : line->apart;
    const long low = line->apart < 0 ? pixel_of(line, u, line->taps - 1) : pixel_of(line, u, 0); /* of all taps */
    long before = low < 0 ? ceil_div(-low, apart) : 0;
    long most = low < line->size ? (line->size - 1 - low) / apart + 1 : 0; /* taps before the end of the image */
    most = min_of(most, line->taps), before = min_of(before, most);
    return line->apart < 0 ? (Range){line->taps - most, line->taps - before} : (Range){before, most};
}

/* The results all of whose taps are inside the image. */
INLINE Range interior(const Line *line) {
    if (!line->taps) return (Range){0, line->count};
    const long ends[2] = {pixel_of(line, 0, 0), pixel_of(line, 0, line->taps - 1)};
    const long low = min_of(ends[0], ends[1]), high = max_of(ends[0], ends[1]);
    long from = low < 0 ? ceil_div(-low, line->step) : 0;
    long end = high < line->size ? (line->size - 1 - high) / line->step + 1 : 0;
    from = min_of(from, line->count);
    return (Range){from, max_of(from, min_of(end, line->count))};
}

enum {
    FAR = 1 << 21, /* floats of x and y together, beyond which they come from main memory */
    FEW = 64       /* channels up to which the pixels of a block are so close that the processor foresees them */
};

/* Whether the loops ask for the pixels of the next block: neighbouring pixels are far apart in memory. */
INLINE int is_far(long channels, long floats) { return channels > FEW && floats > FAR; }

#endif
