// The forward spline of training and its gradient. Arrays are row by row of the batch: values (dimensions, batch),
// parameters (dimensions * (3 bins - 1), batch) in nflows' own order, log-determinants (batch).

#include "spline.h"

static inline vec sigmoid(vec x) { return 1.0f / (1.0f + exponential(-x)); }

// What forward and gradient both need of one vector of values.
struct Point {
    Softmax widths, heights;
    Bin bin;
    vec value, left, right, slope, xi, inner, bend, denominator, share_numerator, quotient;
    ivec inside;
};

static inline void evaluate(Point& p, const Bounds& bounds, int64_t bins, float factor, const float* value,
                            const float* parameters, int64_t batch, int64_t count) {
    const float bound = (float)bounds.bound;
    const auto row = [&](int64_t k) { return load(parameters + k * batch, count); };
    const float min_width = (float)bounds.min_width, min_height = (float)bounds.min_height;
    softmax<true>(p.widths, bins, min_width * bins, [&](int64_t k) { return row(k) * factor; });
    softmax<true>(p.heights, bins, min_height * bins, [&](int64_t k) { return row(bins + k) * factor; });
    p.value = load(value, count);
    p.inside = (p.value >= -bound) & (p.value <= bound);
    const vec unit = to_unit(p.value, bound);
    p.bin = find_bin(unit, bins, p.widths, p.heights, min_width, min_height, (float)bounds.edge,
                     [&](int64_t k) { return row(2 * bins + k); });
    p.left = (float)bounds.min_derivative + softplus(p.bin.raw_left);
    p.right = (float)bounds.min_derivative + softplus(p.bin.raw_right);
    p.slope = p.bin.size_across / p.bin.size;
    p.xi = (unit - p.bin.start) / p.bin.size;
    p.inner = p.xi * (1.0f - p.xi);
    p.bend = p.left + p.right - 2.0f * p.slope;
    p.denominator = p.slope + p.bend * p.inner;
    p.share_numerator = p.slope * p.xi * p.xi + p.left * p.inner;
    p.quotient = p.right * p.xi * p.xi + 2.0f * p.slope * p.inner + p.left * (1.0f - p.xi) * (1.0f - p.xi);
}

extern "C" {

void spline_forward(const Bounds* bounds, int64_t bins, double factor, int64_t dimensions, int64_t batch,
                    const float* values, const float* parameters, float* outputs, float* logabsdet) {
    Point p;
    const float bound = (float)bounds->bound;
    for (int64_t begin = 0; begin < batch; begin += LANES) {
        const int64_t count = batch - begin < LANES ? batch - begin : LANES;
        vec sum = vec{};
        for (int64_t d = 0; d < dimensions; d++) {
            const int64_t at = d * batch + begin;
            evaluate(p, *bounds, bins, (float)factor, values + at,
                     parameters + d * (3 * bins - 1) * batch + begin, batch, count);
            const vec unit = p.bin.start_across + p.bin.size_across * p.share_numerator / p.denominator;
            store(outputs + at, count, p.inside ? unit * (2.0f * bound) : p.value);
            const vec log_slope =
                logarithm(p.slope * p.slope * p.quotient / (p.denominator * p.denominator));
            sum += p.inside ? log_slope : vec{};
        }
        store(logabsdet + begin, count, sum);
    }
}

// From the gradients of outputs and log-determinants to those of values and parameters.
void spline_gradient(const Bounds* bounds, int64_t bins, double factor_, int64_t dimensions, int64_t batch,
                     const float* values, const float* parameters, const float* of_outputs,
                     const float* of_logabsdet, float* of_values, float* of_parameters) {
    Point p;
    const float bound = (float)bounds->bound, factor = (float)factor_;
    for (int64_t begin = 0; begin < batch; begin += LANES) {
        const int64_t count = batch - begin < LANES ? batch - begin : LANES;
        const vec of_sum = load(of_logabsdet + begin, count);
        for (int64_t d = 0; d < dimensions; d++) {
            const int64_t at = d * batch + begin, first = d * (3 * bins - 1) * batch + begin;
            evaluate(p, *bounds, bins, factor, values + at, parameters + first, batch, count);
            const vec of_output = load(of_outputs + at, count);
            const vec of_unit = p.inside ? of_output * (2.0f * bound) : vec{};
            const vec of_log = p.inside ? of_sum : vec{};
            const vec xi = p.xi, other = 1.0f - xi, h = p.bin.size_across, D = p.denominator;
            const vec of_N = of_unit * h / D;
            const vec of_D = -(of_N * p.share_numerator + 2.0f * of_log) / D;
            const vec of_q = of_log / p.quotient;
            const vec of_inner = 2.0f * p.slope * of_q + p.bend * of_D + p.left * of_N;
            const vec of_xi = of_q * 2.0f * (p.right * xi - p.left * other) + of_N * 2.0f * p.slope * xi +
                              of_inner * (1.0f - 2.0f * xi);
            const vec of_slope = 2.0f * of_log / p.slope + 2.0f * of_q * p.inner +
                                 of_D * (1.0f - 2.0f * p.inner) + of_N * xi * xi;
            const vec of_left = (of_q * other * other + (of_D + of_N) * p.inner) * sigmoid(p.bin.raw_left);
            const vec of_right = (of_q * xi * xi + of_D * p.inner) * sigmoid(p.bin.raw_right);
            const vec of_start = -of_xi / p.bin.size;
            const vec of_size = (-of_xi * xi - of_slope * p.slope) / p.bin.size;
            const vec of_height = of_unit * p.share_numerator / D + of_slope / p.bin.size;
            store(of_values + at, count, p.inside ? -of_start * (0.5f / bound) : of_output);
            // sizes of the bins before the value's move its start, its own one scales it
            const auto of_softmax = [&](const Softmax& s, vec start, vec size, float* out) {
                vec mean = vec{}, total = vec{};
                for (int64_t k = 0; k < bins; k++) {
                    const vec here = p.bin.number > (float)k ? start : p.bin.number == (float)k ? size : vec{};
                    mean += here * s.exponential[k];
                    total += s.exponential[k];
                }
                mean /= total;
                for (int64_t k = 0; k < bins; k++) {
                    const vec here = p.bin.number > (float)k ? start : p.bin.number == (float)k ? size : vec{};
                    store(out + k * batch, count, factor * s.scale * s.exponential[k] * (here - mean));
                }
            };
            of_softmax(p.widths, of_start, of_size, of_parameters + first);
            of_softmax(p.heights, of_unit, of_height, of_parameters + first + bins * batch);
            for (int64_t k = 0; k < bins - 1; k++) {
                const vec as_left = p.bin.number == (float)(k + 1) ? of_left : vec{};
                const vec as_right = p.bin.number == (float)k ? of_right : vec{};
                store(of_parameters + first + (2 * bins + k) * batch, count, as_left + as_right);
            }
        }
    }
}
}
