/* What the direct algorithm shares between direct.c and direct_weight.c: groups, padded images, and taps, of which the
 * last two are in direct_input.c. */
#ifndef MINIRES_DIRECT_H
#define MINIRES_DIRECT_H

#include "conv.h"

/* The panels of a product with groups: each group has its own, `width` columns wide, the last one padded with zeros. */
typedef struct {
    long groups, channels, outputs; /* of a group */
    long width;                     /* NR, or LANES for groups with no more outputs */
    long panels;                    /* of a group */
} Grouping;

INLINE Grouping grouping_of(long groups, long channels, long outputs) {
    long width = outputs / groups > LANES ? NR : LANES;
    return (Grouping){groups, channels / groups, outputs / groups, width, ceil_div(outputs / groups, width)};
}

typedef struct {
    const float *x;
    float *padded;
    long images, height, width, channels;
    long top, left, padded_height, padded_width; /* top and left may be negative: then the image is cropped */
} Padding;

Padding padding_of(const Conv *conv);

/* Whether there is padding; if not, the padded images are x itself. */
int is_padded(const Padding *padding);

/* Allocates memory for `images` padded images, if there is padding. Returns -1 if there is not enough memory. */
int padding_open(Padding *padding, long images);

/* Images first ... first + count - 1 of x, padded; x itself if there is no padding. `pad_images` shares the work among the
 * threads, `pad_images_alone` does it in this one. */
const float *pad_images(Padding *padding, const float *x, long first, long count);
const float *pad_images_alone(Padding *padding, const float *x, long first, long count);

typedef struct {
    long taps, run;
    long *offset; /* of each tap, in floats */
} Taps;

/* The taps of a kernel of rows x columns over an image with rows of `width` pixels of `pixel` floats, of which each tap
 * reads `channels`. Returns -1 if there is not enough memory. */
int taps_open(Taps *taps, long rows, long columns, const long dilation[2], long width, long pixel, long channels);

#endif
