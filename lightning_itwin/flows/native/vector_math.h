// Vectors of floats for the processor at hand, and elementary functions of them to about one unit in the last place.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4 * LANES)));

static inline vec load(const float* at, int64_t count) {
    vec x = vec{};
    memcpy(&x, at, count < LANES ? count * sizeof(float) : sizeof(vec));
    return x;
}

static inline void store(float* at, int64_t count, vec x) {
    memcpy(at, &x, count < LANES ? count * sizeof(float) : sizeof(vec));
}

static inline vec all(float value) { return value - vec{}; }
static inline vec larger(vec a, vec b) { return a > b ? a : b; }
static inline vec smaller(vec a, vec b) { return a < b ? a : b; }

// exp to about 1 ulp, saturating at the ends of the normal numbers (Cody and Waite reduction)
static inline vec exponential(vec x) {
    x = smaller(larger(x, all(-87.0f)), all(88.0f));
    const vec shifter = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    vec n = (x * 1.44269504f + shifter) - shifter;
    vec r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (vec)((__builtin_convertvector(n, ivec) + 127) << 23);
}

// 2 artanh(s) for |s| <= 1/3, to the last bits relative to the result
static inline vec twice_artanh(vec s) {
    vec z = s * s;
    vec p = all(1.0f / 15);
    p = p * z + 1.0f / 13;
    p = p * z + 1.0f / 11;
    p = p * z + 1.0f / 9;
    p = p * z + 1.0f / 7;
    p = p * z + 1.0f / 5;
    p = p * z + 1.0f / 3;
    return 2.0f * (s + s * z * p);
}

static inline vec softplus(vec x) {
    vec t = exponential(x > 0.0f ? -x : x);
    return larger(x, all(0.0f)) + twice_artanh(t / (t + 2.0f));
}

// log of positive normal numbers
static inline vec logarithm(vec x) {
    ivec bits = (ivec)x - 0x3f3504f3;  // mantissa into [sqrt(1/2), sqrt(2))
    vec n = __builtin_convertvector(bits >> 23, vec);
    vec m = (vec)((bits & 0x007fffff) + 0x3f3504f3);
    vec s = (m - 1.0f) / (m + 1.0f);
    vec z = s * s;
    vec p = all(1.0f / 9);
    p = p * z + 1.0f / 7;
    p = p * z + 1.0f / 5;
    p = p * z + 1.0f / 3;
    return n * 0.693147181f + 2.0f * (s + s * z * p);
}
