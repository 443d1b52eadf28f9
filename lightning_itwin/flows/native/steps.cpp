// The steps of a folded flow for rows of one event, on one core: products, activations and splines stay in the
// caches of the core. Rows are worked on in blocks of ROWS, feature by feature: an array is [feature][ROWS].
//
// Built at run time for the processor at hand with a plain C interface; see direction.py for who owns what.

#include "spline.h"

#if defined(__AVX512F__)
#define TILE 8  // outputs of a product that are summed in registers, for VECTORS vectors of rows
#elif defined(__AVX__)
#define TILE 4
#else
#define TILE 8
#endif
#define VECTORS 2
#define ROWS (LANES * VECTORS)

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

enum Activation { RELU, ELU, LEAKY_RELU, SILU, TANH };

template <int KIND>
static inline vec activate(vec x) {
    if (KIND == RELU) return x < 0.0f ? all(0.0f) : x;
    if (KIND == LEAKY_RELU) return x < 0.0f ? x * 0.01f : x;
    if (KIND == ELU) {
        vec below = exponential(smaller(x, all(0.0f))) - 1.0f;
        return x < 0.0f ? below : x;
    }
    if (KIND == SILU) return x / (1.0f + exponential(-x));
    vec e = exponential((x > 0.0f ? -x : x) * 2.0f);
    vec y = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y : y;
}

// Hidden activations as products read them: float, or pairs of bfloat16 (feature 2 i low, 2 i + 1 high).
struct Float32 {
    typedef vec stored;
    typedef float weight;
    static const int GROUP = 1;
    static inline vec multiply_add(vec sum, weight w, stored a) { return sum + w * a; }
    static inline void store(void* at, int feature, int v, vec even, vec odd) {
        vec* rows = (vec*)at;
        rows[feature * VECTORS + v] = even;
        rows[(feature + 1) * VECTORS + v] = odd;
    }
};

#if defined(__AVX512BF16__)
struct BFloat16 {
    typedef ivec stored;
    typedef int32_t weight;
    static const int GROUP = 2;
    static inline vec multiply_add(vec sum, weight w, stored a) {
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(w), (__m512bh)a);
    }
    static inline ivec rounded(vec x) {
        return (ivec)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
    }
    static inline void store(void* at, int feature, int v, vec even, vec odd) {
        ((ivec*)at)[feature / 2 * VECTORS + v] = rounded(even) | (rounded(odd) << 16);
    }
};
#endif

// One tile: TILE outputs of a product with the ROWS activations of `depth` groups of inputs.
template <class Kind>
static inline void product(vec (&sum)[TILE][VECTORS], const void* weights, const void* inputs, int64_t depth) {
    const typename Kind::weight* w = (const typename Kind::weight*)weights;
    const typename Kind::stored* a = (const typename Kind::stored*)inputs;
    for (int m = 0; m < TILE; m++)
        for (int v = 0; v < VECTORS; v++) sum[m][v] = vec{};
    for (int64_t k = 0; k < depth; k++, w += TILE, a += VECTORS) {
#pragma GCC unroll 16
        for (int m = 0; m < TILE; m++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sum[m][v] = Kind::multiply_add(sum[m][v], w[m], a[v]);
        }
    }
}

template <class Kind>
static inline const char* tile_of(const void* weights, int64_t tile, int64_t depth) {
    return (const char*)weights + tile * depth * TILE * sizeof(typename Kind::weight);
}

extern "C" {

// Everything 64 bits wide, so that the layout is the same for everybody. Hidden sizes are padded to TILE.
struct Step {
    int64_t features, identity, hidden, blocks, bins, outputs, activation, inverse, normed;
    Bounds bounds;
    const float* entry_values;   // product tiles, `features` padded to TILE by `features`
    const float* entry_bias;     // `features` padded
    const float* entry_hidden;   // product tiles, hidden by `features`
    const float* vectors;        // per block: scale, offset, first bias, second bias, `hidden` each
    const void* products;        // per block: first, second (hidden by hidden); final (outputs by hidden)
};

int64_t tile_size() { return TILE; }
int64_t block_rows() { return ROWS; }
int64_t has_bfloat16() {
#if defined(__AVX512BF16__)
    return 1;
#else
    return 0;
#endif
}
}

// Arrays of one step, `blocks` times each: [block][feature][ROWS]; `active` is followed by `between`, block by
// block, so that a product can read both as one.
struct Scratch {
    vec *values, *hidden, *parameters;
    char* active;
};

// Takes `count` blocks of rows through a step, tile by tile, so that a tile's weights are read once for all.
// event: initial bias and gates, `hidden` each, and the final bias. final_weights: those of the step, or, where
// the last block's second product is folded in, for the event: `outputs` by 2 `hidden`.
template <class Kind, int ACT>
static void step(const Step& s, const float* event, const void* final_weights, vec* states, vec* logabsdet,
                 Scratch& scratch, int64_t count) {
    const int64_t hidden = s.hidden, depth = hidden / Kind::GROUP, tiles = hidden / TILE;
    const int64_t features = (s.features + TILE - 1) / TILE * TILE, stored = depth * VECTORS * sizeof(vec);
    const bool folded = final_weights != nullptr;
    vec sum[TILE][VECTORS];
    const float* block = s.vectors;
#define EACH_PAIR                           \
    for (int m = 0; m < TILE; m += 2)       \
        for (int v = 0; v < VECTORS; v++)
#define ACTIVE(x, feature) activate<ACT>(s.normed ? (x) * block[feature] + block[hidden + (feature)] : (x))
    for (int64_t t = 0; t < features / TILE; t++)
        for (int64_t b = 0; b < count; b++) {
            vec* values = scratch.values + b * features * VECTORS;
            product<Float32>(sum, tile_of<Float32>(s.entry_values, t, s.features),
                             states + b * s.features * VECTORS, s.features);
            for (int m = 0; m < TILE; m++)
                for (int v = 0; v < VECTORS; v++)
                    values[(t * TILE + m) * VECTORS + v] = sum[m][v] + s.entry_bias[t * TILE + m];
        }
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t b = 0; b < count; b++) {
            vec* h = scratch.hidden + (b * hidden + t * TILE) * VECTORS;
            char* active = scratch.active + 2 * b * stored;
            product<Float32>(sum, tile_of<Float32>(s.entry_hidden, t, s.features),
                             states + b * s.features * VECTORS, s.features);
            EACH_PAIR {
                const int64_t f = t * TILE + m;
                const vec even = sum[m][v] + event[f], odd = sum[m + 1][v] + event[f + 1];
                h[m * VECTORS + v] = even;
                h[(m + 1) * VECTORS + v] = odd;
                Kind::store(active, f, v, ACTIVE(even, f), ACTIVE(odd, f + 1));
            }
        }
    const char* weights = (const char*)s.products;
    const int64_t matrix = hidden * depth * sizeof(typename Kind::weight);
    for (int64_t layer = 0; layer < s.blocks; layer++, weights += 2 * matrix) {
        const float *first_bias = block + 2 * hidden, *second_bias = block + 3 * hidden;
        const float* gate = event + (layer + 1) * hidden;
        const bool last = layer + 1 == s.blocks;
        for (int64_t t = 0; t < tiles; t++)
            for (int64_t b = 0; b < count; b++) {
                char* active = scratch.active + 2 * b * stored;
                product<Kind>(sum, tile_of<Kind>(weights, t, depth), active, depth);
                EACH_PAIR {
                    const int64_t f = t * TILE + m;
                    Kind::store(active + stored, f, v, activate<ACT>(sum[m][v] + first_bias[f]),
                                activate<ACT>(sum[m + 1][v] + first_bias[f + 1]));
                }
            }
        block += 4 * hidden;
        for (int64_t t = 0; t < tiles; t++)
            for (int64_t b = 0; b < count; b++) {
                vec* h = scratch.hidden + (b * hidden + t * TILE) * VECTORS;
                char* active = scratch.active + 2 * b * stored;
                if (last && folded) {
                    EACH_PAIR Kind::store(active, t * TILE + m, v, h[m * VECTORS + v], h[(m + 1) * VECTORS + v]);
                    continue;
                }
                product<Kind>(sum, tile_of<Kind>(weights + matrix, t, depth), active + stored, depth);
                EACH_PAIR {
                    const int64_t f = t * TILE + m;
                    const vec even = h[m * VECTORS + v] + gate[f] * (sum[m][v] + second_bias[f]);
                    const vec odd = h[(m + 1) * VECTORS + v] + gate[f + 1] * (sum[m + 1][v] + second_bias[f + 1]);
                    h[m * VECTORS + v] = even;
                    h[(m + 1) * VECTORS + v] = odd;
                    if (last)
                        Kind::store(active, f, v, even, odd);
                    else
                        Kind::store(active, f, v, ACTIVE(even, f), ACTIVE(odd, f + 1));
                }
            }
    }
#undef ACTIVE
#undef EACH_PAIR
    const float* final_bias = event + (1 + s.blocks) * hidden;
    const int64_t final_depth = folded ? 2 * depth : depth;
    if (folded) weights = (const char*)final_weights;
    for (int64_t t = 0; t * TILE < s.outputs; t++)
        for (int64_t b = 0; b < count; b++) {
            vec* parameters = scratch.parameters + b * s.outputs * VECTORS;
            product<Kind>(sum, tile_of<Kind>(weights, t, final_depth), scratch.active + 2 * b * stored, final_depth);
            for (int m = 0; m < TILE; m++)
                for (int v = 0; v < VECTORS; v++)
                    parameters[(t * TILE + m) * VECTORS + v] = sum[m][v] + final_bias[t * TILE + m];
        }
    for (int64_t b = 0; b < count; b++) {
        vec* values = scratch.values + b * features * VECTORS;
        splines(s.bounds, s.bins, s.inverse, s.features - s.identity, VECTORS, values + s.identity * VECTORS,
                scratch.parameters + b * s.outputs * VECTORS, logabsdet + b * VECTORS);
        memcpy(states + b * s.features * VECTORS, values, s.features * VECTORS * sizeof(vec));
    }
}

template <class Kind>
static void any_step(const Step& s, const float* event, const void* final_weights, vec* states, vec* logabsdet,
                     Scratch& scratch, int64_t count) {
    switch (s.activation) {
        case RELU: return step<Kind, RELU>(s, event, final_weights, states, logabsdet, scratch, count);
        case ELU: return step<Kind, ELU>(s, event, final_weights, states, logabsdet, scratch, count);
        case LEAKY_RELU: return step<Kind, LEAKY_RELU>(s, event, final_weights, states, logabsdet, scratch, count);
        case SILU: return step<Kind, SILU>(s, event, final_weights, states, logabsdet, scratch, count);
        default: return step<Kind, TANH>(s, event, final_weights, states, logabsdet, scratch, count);
    }
}

extern "C" {

// The splines of a step alone: per block values (dimensions, ROWS), in place, and parameters as `splines` reads them.
void block_splines(const Bounds* bounds, int64_t bins, int64_t inverse, int64_t dimensions, int64_t blocks,
                   float* values, const float* parameters, float* logabsdet) {
    const int64_t plane = dimensions * ROWS, rows = 3 * (bins - 1) * plane;
    vec sums[VECTORS], x[MAX_BINS * VECTORS], p[3 * MAX_BINS * VECTORS];
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t d = 0; d < dimensions; d++) {
            float* value = values + b * plane + d * ROWS;
            memcpy(x, value, ROWS * sizeof(float));
            for (int64_t k = 0; k < 3 * (bins - 1); k++)
                memcpy(p + k * VECTORS, parameters + b * rows + k * plane + d * ROWS, ROWS * sizeof(float));
            for (int v = 0; v < VECTORS; v++) sums[v] = vec{};
            splines(*bounds, bins, inverse, 1, VECTORS, x, p, sums);
            memcpy(value, x, ROWS * sizeof(float));
            for (int64_t r = 0; r < ROWS; r++) logabsdet[b * ROWS + r] += ((float*)sums)[r];
        }
}

// Floats that `run` needs as scratch for groups of `group` blocks, `together` of them tile by tile.
int64_t scratch_floats(int64_t features, int64_t hidden, int64_t outputs, int64_t group, int64_t together) {
    return ROWS * (group * (features + 1) + together * (features + TILE + 3 * hidden + outputs)) + 2 * LANES;
}

// Takes `rows` rows (rows, features) through all steps in place and adds to logabsdet (rows).
// exit: product tiles (features padded, features) and bias; events, finals: see `step`; finals may be null.
void run(const Step* steps, int64_t num_steps, const float* const* events, const void* const* finals,
         const float* exit_matrix, const float* exit_bias, float* data, float* logabsdet, int64_t rows,
         int64_t group, int64_t together, int64_t bfloat16, float* scratch_at) {
    const int64_t features = steps[0].features, hidden = steps[0].hidden;
    const int64_t padded = (features + TILE - 1) / TILE * TILE;
    vec* at = (vec*)(((uintptr_t)scratch_at + 4 * LANES - 1) / (4 * LANES) * (4 * LANES));
    Scratch scratch;
    vec* states = at;
    at += group * features * VECTORS;
    vec* sums = at;
    at += group * VECTORS;
    scratch.values = at;
    at += together * padded * VECTORS;
    scratch.hidden = at;
    at += together * hidden * VECTORS;
    scratch.active = (char*)at;
    at += together * 2 * hidden * VECTORS;
    scratch.parameters = at;
    for (int64_t begin = 0; begin < rows; begin += group * ROWS) {
        const int64_t count = rows - begin < group * ROWS ? rows - begin : group * ROWS;
        const int64_t blocks = (count + ROWS - 1) / ROWS;
        memset(states, 0, blocks * features * VECTORS * sizeof(vec));
        memset(sums, 0, blocks * VECTORS * sizeof(vec));
        for (int64_t r = 0; r < count; r++)
            for (int64_t f = 0; f < features; f++)
                ((float*)states)[(r / ROWS * features + f) * ROWS + r % ROWS] = data[(begin + r) * features + f];
        for (int64_t i = 0; i < num_steps; i++)
            for (int64_t b = 0; b < blocks; b += together) {
                const int64_t now = blocks - b < together ? blocks - b : together;
                const void* final_weights = finals ? finals[i] : nullptr;
                vec *state = states + b * features * VECTORS, *sum = sums + b * VECTORS;
#if defined(__AVX512BF16__)
                if (bfloat16) {
                    any_step<BFloat16>(steps[i], events[i], final_weights, state, sum, scratch, now);
                    continue;
                }
#endif
                any_step<Float32>(steps[i], events[i], final_weights, state, sum, scratch, now);
            }
        for (int64_t b = 0; b < blocks; b++) {
            vec sum[TILE][VECTORS];
            const vec* state = states + b * features * VECTORS;
            for (int64_t t = 0; t * TILE < features; t++) {
                product<Float32>(sum, tile_of<Float32>(exit_matrix, t, features), state, features);
                for (int m = 0; m < TILE && t * TILE + m < features; m++)
                    for (int64_t r = 0; r < ROWS && b * ROWS + r < count; r++)
                        data[(begin + b * ROWS + r) * features + t * TILE + m] =
                            ((float*)sum[m])[r] + exit_bias[t * TILE + m];
            }
        }
        for (int64_t r = 0; r < count; r++) logabsdet[begin + r] += ((float*)sums)[r];
    }
}
}
