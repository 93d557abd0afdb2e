// Vectors of float in the instruction set of the including file, by compiler extensions (GCC and Clang).
#pragma once
#include <cstddef>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16, block_rows = 8;
#elif defined(__AVX2__)
constexpr int lanes = 8, block_rows = 4;
#elif defined(__aarch64__)
constexpr int lanes = 4, block_rows = 8;
#else
constexpr int lanes = 4, block_rows = 4;
#endif

// Vectors of time that a block holds in registers: block_rows * group_vectors sums, their inputs and one weight.
constexpr int group_vectors = 3;
constexpr int group = group_vectors * lanes;

typedef float Vector __attribute__((vector_size(4 * lanes)));
typedef float Unaligned __attribute__((vector_size(4 * lanes), aligned(4), may_alias));

inline Vector load(const float *p) { return *reinterpret_cast<const Unaligned *>(p); }
inline void store(float *p, Vector v) { *reinterpret_cast<Unaligned *>(p) = v; }
inline Vector splat(float x) { return x - Vector{}; }

inline Vector clamp(Vector x, float bound) {
#if defined(__AVX512F__)
    return (Vector)_mm512_max_ps(_mm512_min_ps((__m512)x, _mm512_set1_ps(bound)), _mm512_set1_ps(-bound));
#elif defined(__AVX2__)
    return (Vector)_mm256_max_ps(_mm256_min_ps((__m256)x, _mm256_set1_ps(bound)), _mm256_set1_ps(-bound));
#else
    x = x < splat(bound) ? x : splat(bound);
    return x > splat(-bound) ? x : splat(-bound);
#endif
}

// tanh as x P(x^2) / Q(x^2), a minimax fit of relative error 1.5e-7 on [-8, 8]; in float the error is below 5e-7.
inline Vector tanh_of(Vector x) {
    x = clamp(x, 8.0f);
    const Vector s = x * x;
    const Vector p = ((1.1428409660348133e-05f * s + 0.0029510223737250945f) * s + 0.12925661581870876f) * s
                     + 0.9999998542765527f;
    const Vector q = (((2.4592066946150364e-07f * s + 0.00023866897877448517f) * s + 0.023815548182755313f) * s
                      + 0.4625887715139607f) * s + 1.0f;
    return x * p / q;
}

inline Vector sigmoid_of(Vector x) { return 0.5f * tanh_of(0.5f * x) + 0.5f; }

inline Vector positive_or(Vector test, Vector x, Vector otherwise) { return test > Vector{} ? x : otherwise; }

inline float sum_of(Vector v) {
    float sums[lanes];
    store(sums, v);
    for (int width = lanes / 2; width; width /= 2)
        for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
    return sums[0];
}

// Flushes denormal numbers to zero: they take a hundred times as long, and decaying signals are full of them.
class FlushDenormals {
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();
public:
    FlushDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
    std::uint64_t before;
public:
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before)); }
#endif
};

}  // namespace
