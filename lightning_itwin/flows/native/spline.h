// nflows' unconstrained rational-quadratic spline with linear tails: forward, inverse, and the forward's gradient.
// Arithmetic is that of rational_quadratic.py; a value's bin is found by a running selection.

#pragma once

#include "vector_math.h"

#define MAX_BINS 64

struct Bounds {
    double bound, min_width, min_height, min_derivative, edge;  // edge: the raw derivative whose slope is 1
};

// The bin that a value lies in, in units of the interval and from its middle; `along` is the axis of the value.
struct Bin {
    vec number, start, size, start_across, size_across, raw_left, raw_right;
};

struct Softmax {
    vec exponential[MAX_BINS], scale;  // size of a bin: smallest + scale * exponential
};

// Logits of all bins, `stride` vectors apart, times `factor`; with_first: the first one is among them, else it is 0.
template <bool WITH_FIRST, class Read>
static inline void softmax(Softmax& s, int64_t bins, float smallest_times_bins, const Read& read) {
    vec top = WITH_FIRST ? read(0) : vec{};
    for (int64_t k = 1; k < bins; k++) top = larger(top, read(k));
    vec total = vec{};
    for (int64_t k = 0; k < bins; k++)
        total += s.exponential[k] = exponential((WITH_FIRST || k ? read(k) : vec{}) - top);
    s.scale = (1.0f - smallest_times_bins) / total;
}

template <class ReadSlope>
static inline Bin find_bin(vec unit, int64_t bins, const Softmax& along, const Softmax& across, float min_along,
                           float min_across, float edge, const ReadSlope& slope) {
    Bin bin;
    bin.number = vec{};
    bin.start = bin.start_across = all(-0.5f);
    bin.size = min_along + along.scale * along.exponential[0];
    bin.size_across = min_across + across.scale * across.exponential[0];
    bin.raw_left = all(edge);
    bin.raw_right = slope(0);
    vec knot = bin.size - 0.5f, knot_across = bin.size_across - 0.5f;
    for (int64_t k = 1; k < bins; k++) {
        const ivec beyond = unit >= knot;
        const vec size = min_along + along.scale * along.exponential[k];
        const vec size_across = min_across + across.scale * across.exponential[k];
        const vec right = k < bins - 1 ? slope(k) : all(edge);
        bin.number = beyond ? all((float)k) : bin.number;
        bin.start = beyond ? knot : bin.start;
        bin.start_across = beyond ? knot_across : bin.start_across;
        bin.size = beyond ? size : bin.size;
        bin.size_across = beyond ? size_across : bin.size_across;
        bin.raw_left = beyond ? bin.raw_right : bin.raw_left;
        bin.raw_right = beyond ? right : bin.raw_right;
        knot += size;
        knot_across += size_across;
    }
    return bin;
}

static inline vec to_unit(vec value, float bound) {
    return smaller(larger(value, all(-bound)), all(bound)) * (0.5f / bound);
}

static inline vec square_root(vec x) {
    for (int j = 0; j < LANES; j++) x[j] = __builtin_sqrtf(x[j]);
    return x;
}

// `parameters` [bin][dimension][vector], softmax logits relative to the first bin's, which are left out.
static inline void splines(const Bounds& bounds, int64_t bins, bool inverse, int64_t dimensions, int64_t vectors,
                           vec* values, const vec* parameters, vec* logabsdet) {
    const int64_t plane = dimensions * vectors;
    const float bound = (float)bounds.bound, edge = (float)bounds.edge;
    const float min_along = (float)(inverse ? bounds.min_height : bounds.min_width);
    const float min_across = (float)(inverse ? bounds.min_width : bounds.min_height);
    Softmax along, across;
    for (int64_t i = 0; i < plane; i++) {
        const vec* widths = parameters + i - plane;  // so that bin 1 is where the first row is
        const vec* heights = widths + (bins - 1) * plane;
        const vec* slopes = parameters + i + 2 * (bins - 1) * plane;
        const vec *logits_along = inverse ? heights : widths, *logits_across = inverse ? widths : heights;
        softmax<false>(along, bins, min_along * bins, [&](int64_t k) { return logits_along[k * plane]; });
        softmax<false>(across, bins, min_across * bins, [&](int64_t k) { return logits_across[k * plane]; });
        const vec value = values[i], unit = to_unit(value, bound);
        const Bin bin = find_bin(unit, bins, along, across, min_along, min_across, edge,
                                 [&](int64_t k) { return slopes[k * plane]; });
        const vec left = (float)bounds.min_derivative + softplus(bin.raw_left);
        const vec right = (float)bounds.min_derivative + softplus(bin.raw_right);
        const vec share = (unit - bin.start) / bin.size;
        const vec slope = inverse ? bin.size / bin.size_across : bin.size_across / bin.size;
        const vec bend = left + right - 2.0f * slope;
        vec theta = share;
        if (inverse) {
            const vec b = left - share * bend, a = slope - b;
            const vec root = square_root(larger(b * b + 4.0f * a * slope * share, all(0.0f)));
            const ivec positive = b >= 0.0f;
            theta = (positive ? 2.0f * slope * share : root - b) / (positive ? b + root : 2.0f * a);
        }
        const vec other = 1.0f - theta, inner = theta * other, denominator = slope + bend * inner;
        const vec numerator =
            slope * slope * (right * theta * theta + 2.0f * slope * inner + left * other * other);
        vec log_slope = logarithm(numerator / (denominator * denominator)), unit_out;
        if (inverse) {
            unit_out = bin.start_across + theta * bin.size_across;
            log_slope = -log_slope;
        } else {
            unit_out = bin.start_across +
                       bin.size_across * (slope * theta * theta + left * inner) / denominator;
        }
        const ivec inside = (value >= -bound) & (value <= bound);
        values[i] = inside ? unit_out * (2.0f * bound) : value;
        logabsdet[i % vectors] += inside ? log_slope : vec{};
    }
}
