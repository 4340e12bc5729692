/* The input of the direct convolutions (direct.h): padded images, and the taps of a kernel over them. */
#include "direct.h"

#include "memory.h"
#include "threads.h"

static void pad_row(const Padding *f, long number) {
    const size_t pixel = (size_t)f->channels * sizeof(float);
    char *to = (char *)f->padded + number * f->padded_width * pixel;
    long image = number / f->padded_height, row = number % f->padded_height - f->top;
    long from = max_of(0, -f->left), end = min_of(f->width, f->padded_width - f->left); /* columns of x */
    if (row < 0 || row >= f->height || from >= end) {
        memset(to, 0, f->padded_width * pixel);
        return;
    }
    const char *x = (const char *)f->x + (image * f->height + row) * f->width * pixel;
    memset(to, 0, (f->left + from) * pixel);
    memcpy(to + (f->left + from) * pixel, x + from * pixel, (end - from) * pixel);
    memset(to + (f->left + end) * pixel, 0, (f->padded_width - f->left - end) * pixel);
}

static void pad_rows(void *context, Loop *loop) {
    for (long row; (row = loop_next(loop)) >= 0;) pad_row(context, row);
}

const float *pad_images(Padding *padding, const float *x, long first, long count) {
    padding->x = x + first * padding->height * padding->width * padding->channels;
    if (!is_padded(padding)) return padding->x;
    parallel(count * padding->padded_height, pad_rows, padding);
    return padding->padded;
}

const float *pad_images_alone(Padding *padding, const float *x, long first, long count) {
    padding->x = x + first * padding->height * padding->width * padding->channels;
    if (!is_padded(padding)) return padding->x;
    for (long row = 0; row < count * padding->padded_height; row++) pad_row(padding, row);
    return padding->padded;
}

int is_padded(const Padding *padding) {
    return padding->top || padding->left || padding->padded_height != padding->height ||
           padding->padded_width != padding->width;
}

int padding_open(Padding *padding, long images) {
    if (!is_padded(padding)) return 0;
    size_t floats = (size_t)(images * padding->padded_height * padding->padded_width * padding->channels);
    padding->padded = memory_alloc(floats * sizeof(float));
    return padding->padded ? 0 : -1;
}

Padding padding_of(const Conv *conv) {
    return (Padding){.height = conv->height,
                     .width = conv->width,
                     .channels = conv->channels,
                     .top = conv->padding[0],
                     .left = conv->padding[1],
                     .padded_height = conv->height + 2 * conv->padding[0],
                     .padded_width = conv->width + 2 * conv->padding[1]};
}

int taps_open(Taps *taps, long rows, long columns, const long dilation[2], long width, long pixel, long channels) {
    int joined = columns == 1 || (dilation[1] == 1 && pixel == channels); /* a row of the kernel is one run */
    taps->taps = joined ? rows : rows * columns;
    taps->run = joined ? columns * channels : channels;
    if (!(taps->offset = memory_alloc((size_t)taps->taps * sizeof(long)))) return -1;
    long per_row = taps->taps / rows;
    for (long tap = 0; tap < taps->taps; tap++)
        taps->offset[tap] = (tap / per_row * dilation[0] * width + tap % per_row * dilation[1]) * pixel;
    return 0;
}
