// The two products that take nearly all of the time, on blocks held in registers.
#pragma once
#include "network.h"
#include "vectors.h"

namespace {

using namespace twin;

// out[r][t] = bias[r] + add[r][t] + sum over k of weights[k][r] * terms[k][t], for `rows` rows and `vectors` vectors of
// time from `t`.
template <int rows, int vectors>
void product_block(const float *const *terms, Index count, Index t, const float *weights, const float *bias,
                   const float *add, Index add_stride, float *out, Index out_stride) {
    Vector sums[rows][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            sums[r][v] = bias ? splat(bias[r]) : Vector{};
            if (add) sums[r][v] += load(add + r * add_stride + v * lanes);
        }
    for (Index k = 0; k < count; ++k, weights += rows) {
        const float *x = terms[k] + t;
        Vector inputs[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            inputs[v] = load(x + v * lanes);
            __builtin_prefetch(x + (v + vectors) * lanes);  // the next group: too many rows for the CPU to foresee
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const Vector weight = splat(weights[r]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sums[r][v] += weight * inputs[v];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) store(out + r * out_stride + v * lanes, sums[r][v]);
}

using ProductBlock = void (*)(const float *const *, Index, Index, const float *, const float *, const float *, Index,
                              float *, Index);

#define ROWS(v) {product_block<1, v>, product_block<2, v>, product_block<3, v>, product_block<4, v>, \
                 product_block<5, v>, product_block<6, v>, product_block<7, v>, product_block<8, v>}
constexpr ProductBlock product_blocks[group_vectors][8] = {ROWS(1), ROWS(2), ROWS(3)};
#undef ROWS

// Vectors of the next group of `samples` samples: groups of equal size, none larger than `group_vectors`.
inline Index vectors_of(Index samples) {
    const Index vectors = (samples + lanes - 1) / lanes;
    const Index groups = (vectors + group_vectors - 1) / group_vectors;
    return (vectors + groups - 1) / groups;
}

// All rows of a matrix, for `vectors` vectors from time `t`. `count` terms from `first` are used; `add` and `out` point
// to row 0 at time `t`.
inline void product(const Matrix &m, const float *packed, const float *const *terms, Index first, Index count, Index t,
                    Index vectors, const float *add, Index add_stride, float *out, Index out_stride) {
    for (Index row = 0; row < m.outs; row += m.block) {
        const Index rows = m.outs - row < m.block ? m.outs - row : m.block;
        product_blocks[vectors - 1][rows - 1](
            terms, count, t, packed + m.weights + row * m.terms + first * rows,
            m.bias < 0 ? nullptr : packed + m.bias + row, add ? add + row * add_stride : nullptr, add_stride,
            out + row * out_stride, out_stride);
    }
}

// sums[term][row] += left[row][t] * terms[term][t], lane by lane, over `vectors` vectors from time `t`.
template <int rows, int columns>
void correlation_block(const float *left, Index left_stride, const float *const *terms, Index t, Index vectors,
                       Vector *sums, Index sums_stride) {
    Vector local[columns][rows];
    const float *x[columns];
#pragma GCC unroll 8
    for (int c = 0; c < columns; ++c) {
        x[c] = terms[c] + t;
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) local[c][r] = sums[c * sums_stride + r];
    }
    for (Index i = 0; i < vectors * lanes; i += lanes) {
        Vector factors[rows];
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) factors[r] = load(left + r * left_stride + i);
#pragma GCC unroll 8
        for (int c = 0; c < columns; ++c) {
            const Vector input = load(x[c] + i);
#pragma GCC unroll 4
            for (int r = 0; r < rows; ++r) local[c][r] += factors[r] * input;
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < columns; ++c)
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) sums[c * sums_stride + r] = local[c][r];
}

using CorrelationBlock = void (*)(const float *, Index, const float *const *, Index, Index, Vector *, Index);

constexpr Index correlation_rows = 4, correlation_columns = block_rows == 8 ? 6 : 2;
#define COLUMNS(r) {correlation_block<r, 1>, correlation_block<r, 2>, correlation_block<r, 3>, \
                    correlation_block<r, 4>, correlation_block<r, 5>, correlation_block<r, 6>}
constexpr CorrelationBlock correlation_blocks[4][6] = {COLUMNS(1), COLUMNS(2), COLUMNS(3), COLUMNS(4)};
#undef COLUMNS

inline Index even_share(Index count, Index most) {
    const Index parts = (count + most - 1) / most;
    return (count + parts - 1) / parts;
}

// sums[term][row] += left[row][t] * terms[term][t] over [start, stop), in whole vectors that end at `stop`: `left` must
// be zero in the vector below `start`. `left` points to row 0 at time 0.
inline void correlate(const float *left, Index left_stride, Index rows, const float *const *terms, Index count,
                      Index start, Index stop, Vector *sums) {
    const Index vectors = (stop - start + lanes - 1) / lanes, t = stop - vectors * lanes;
    const Index height = even_share(rows, correlation_rows), width = even_share(count, correlation_columns);
    for (Index row = 0; row < rows; row += height)
        for (Index term = 0; term < count; term += width) {
            const Index r = rows - row < height ? rows - row : height;
            const Index c = count - term < width ? count - term : width;
            correlation_blocks[r - 1][c - 1](left + row * left_stride + t, left_stride, terms + term, t, vectors,
                                             sums + term * rows + row, rows);
        }
}

}  // namespace
