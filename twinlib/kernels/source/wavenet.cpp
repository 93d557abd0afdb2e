// Forward and backward pass of a WaveNet for one instruction set; compiled once for each (see build.py).
//
// Time is contiguous in memory. A tile of time runs through one layer after the other, so that it stays in the cache;
// within a layer, a group of a few vectors runs through convolution, nonlinearity and residual, so that activations
// stay in the nearest cache. The backward pass visits tiles in reverse order of time: the gradient of a layer's input
// depends on gradients of the same time and later.
//
// No standard library here: inline functions compiled for this instruction set could be linked into code for others.
#include "network.h"
#include "products.h"
#include "vectors.h"

namespace {

static_assert(tile % group == 0, "a full tile has only full groups");

Index least(Index a, Index b) { return a < b ? a : b; }
Index most(Index a, Index b) { return a > b ? a : b; }

// ---------------------------------------------------------------------------------------------------------- packing

template <class Weight>
void pack_matrix(const Matrix &m, float *packed, Weight weight) {
    float *to = packed + m.weights;
    for (Index row = 0; row < m.outs; row += m.block)
        for (Index term = 0; term < m.terms; ++term)
            for (Index r = row; r < least(m.outs, row + m.block); ++r) *to++ = weight(r, term);
}

void pack_vector(Index offset, Index count, float *packed, const float *values) {
    for (Index i = 0; i < count; ++i) packed[offset + i] = values[i];
}

void pack_layer(const Network &net, const Stack &s, const Layer &l, const float *const *stack_p,
                const float *const *p, float *packed) {
    const float *kernel = p[p_kernel], *mix = p[p_mix], *residual = p[p_residual], *rechannel = stack_p[p_rechannel];
    const Index c = s.channels, taps = l.taps;
    if (l.merged)
        pack_matrix(l.conv, packed, [=](Index out, Index tap) {
            float sum = mix && tap == taps - 1 ? mix[out] : 0.0f;
            for (Index i = 0; i < c; ++i) sum += kernel[(out * c + i) * taps + tap] * rechannel[i];
            return sum;
        });
    else {
        pack_matrix(l.conv, packed, [=](Index out, Index term) {
            return term == c * taps ? mix[out] : kernel[(out * c + term % c) * taps + term / c];
        });
        const Index width = s.preactivations;
        pack_matrix(l.conv_transposed, packed, [=](Index in, Index term) {
            return kernel[(term % width * c + in) * taps + term / width];
        });
    }
    pack_vector(l.conv.bias, s.preactivations, packed, p[p_bias]);
    if (p[p_slopes]) pack_vector(l.conv.bias + s.preactivations, 2, packed, p[p_slopes]);
    if (l.residual.outs) {
        pack_matrix(l.residual, packed, [=](Index out, Index in) {
            return in == c ? rechannel[out] : residual[out * c + in];
        });
        pack_vector(l.residual.bias, c, packed, p[p_residual_bias]);
        pack_matrix(l.residual_transposed, packed, [=](Index in, Index out) { return residual[out * c + in]; });
    }
    if (net.skip == Skip::mixed) {
        const float *skip = p[p_skip];
        pack_matrix(l.skip, packed, [=](Index out, Index in) { return skip[out * c + in]; });
        pack_matrix(l.skip_transposed, packed, [=](Index in, Index out) { return skip[out * c + in]; });
    }
}

void pack(const Network &net, const float *const *parameters, float *packed) {
    for (Index i = 0; i < net.stack_count; ++i) {
        const Stack &s = net.stacks[i];
        const float *const *p = parameters + s.first_parameter;
        const Index c = s.channels, inputs = s.inputs, taps = s.head_taps, heads = s.heads;
        const float *rechannel = p[p_rechannel], *head = p[p_head];
        if (s.rechannel.outs) {
            pack_matrix(s.rechannel, packed, [=](Index out, Index in) { return rechannel[out * inputs + in]; });
            pack_matrix(s.rechannel_transposed, packed, [=](Index in, Index out) {
                return rechannel[out * inputs + in];
            });
        }
        if (s.has_head) {
            pack_matrix(s.head, packed, [=](Index out, Index term) {
                return head[(out * c + term % c) * taps + term / c];
            });
            pack_matrix(s.head_transposed, packed, [=](Index in, Index term) {
                return head[(term % heads * c + in) * taps + term / heads];
            });
        }
        if (s.last) pack_vector(s.head.bias, heads, packed, p[p_head_bias]);
        for (Index l = 0; l < s.layer_count; ++l)
            pack_layer(net, s, s.layers[l], p, p + stack_parameters + l * layer_parameters, packed);
    }
}

// ---------------------------------------------------------------------------------------------------------- forward

// Set pointers to the rows that a convolution sums: oldest tap first, all channels of a tap together.
const float **set_taps(const float **terms, const float *x, Index stride, Index channels, Index taps, Index dilation) {
    for (Index tap = 0; tap < taps; ++tap)
        for (Index c = 0; c < channels; ++c) *terms++ = x + c * stride - (taps - 1 - tap) * dilation;
    return terms;
}

const float **set_rows(const float **terms, const float *x, Index stride, Index rows) {
    for (Index r = 0; r < rows; ++r) *terms++ = x + r * stride;
    return terms;
}

// Where a layer adds its skip: row 0 at the first sample, or null.
struct Total {
    float *data;
    Index stride;
    bool begins;  // the first skip: overwrite

    Total at(Index t) const { return {data ? data + t : nullptr, stride, begins}; }
    void add(Index row, Index i, Vector v) const {
        float *to = data + row * stride + i;
        store(to, begins ? v : load(to) + v);
    }
};

// Apply the nonlinearity to `z` of (preactivations, vectors); write the activation, and add it to `total` if that is
// not null. `stored` rows for the backward pass (tanh, sigmoid, and z if adaptive) follow the activation if it is gated.
void activate(Activation kind, Index channels, const float *slopes, Index vectors, float *z, Index z_stride,
              float *active, Index stride, bool stored, const Total &total) {
    for (Index c = 0; c < channels; ++c)
        for (Index i = 0; i < vectors * lanes; i += lanes) {
            const Vector x = load(z + c * z_stride + i);
            float *to = active + c * stride + i;
            Vector result;
            switch (kind) {
            case Activation::tanh: result = tanh_of(x); break;
            case Activation::relu: result = positive_or(x, x, Vector{}); break;
            case Activation::leaky_relu: result = positive_or(x, x, 0.01f * x); break;
            default: {
                const Vector y = load(z + (c + channels) * z_stride + i);
                const Vector a = tanh_of(slopes ? 10.0f * slopes[0] * x : x);
                const Vector b = sigmoid_of(slopes ? 10.0f * slopes[1] * y : y);
                result = a * b;
                if (stored) {
                    store(to + channels * stride, a);
                    store(to + 2 * channels * stride, b);
                    if (slopes) store(to + 3 * channels * stride, x), store(to + 4 * channels * stride, y);
                }
            }
            }
            store(to, result);
            if (total.data) total.add(c, i, result);
        }
}

void add_rows(Index rows, Index vectors, const float *x, Index x_stride, const Total &to) {
    for (Index r = 0; r < rows; ++r)
        for (Index i = 0; i < vectors * lanes; i += lanes) to.add(r, i, load(x + r * x_stride + i));
}

// Signals of a layer over one tile; all pointers are to row 0 at the first sample of the tile.
struct LayerSignals {
    const float *input;
    Index input_stride;
    const float *dry;
    float *active;  // null: not kept
    Index active_stride;
    float *output;  // null in the last layer
    Index output_stride;
    Total total;  // null if the head does not use this tile
};

void forward_layer(const Network &net, const Stack &s, const Layer &l, const float *packed, const float *slopes,
                   const LayerSignals &io, Index samples, Scratch &scratch) {
    const Index channels = s.channels;
    const bool gated = s.preactivations > channels;
    const float **terms = scratch.terms;
    if (l.merged) set_taps(terms, io.dry, 0, 1, l.taps, l.dilation);
    else *set_taps(terms, io.input, io.input_stride, channels, l.taps, l.dilation) = io.dry;
    const float **actives = terms + l.conv.terms;
    for (Index t = 0; t < samples;) {
        const Index vectors = vectors_of(samples - t);
        const Index stride = io.active ? io.active_stride : group;
        float *active = io.active ? io.active + t : scratch.active;
        float *z = gated ? scratch.active + channels * group : active;
        const Index z_stride = gated ? group : stride;
        product(l.conv, packed, terms, 0, l.conv.terms, t, vectors, nullptr, 0, z, z_stride);
        const Total total = io.total.at(t), none{};
        activate(s.activation, channels, slopes, vectors, z, z_stride, active, stride, io.active,
                 net.skip == Skip::activation ? total : none);
        *set_rows(actives, active, stride, channels) = io.dry + t;
        const float *input = io.input ? io.input + t : nullptr;
        float *output = io.output ? io.output + t : nullptr;
        if (net.skip == Skip::mixed && total.data)
            product(l.skip, packed, actives, 0, channels, 0, vectors, total.begins ? nullptr : total.data,
                    total.stride, total.data, total.stride);
        if (net.skip == Skip::residual) {
            product(l.residual, packed, actives, 0, channels, 0, vectors, nullptr, 0, scratch.signal, group);
            if (total.data) add_rows(channels, vectors, scratch.signal, group, total);
        }
        if (!output) {
        } else if (net.skip == Skip::residual && input) {
            add_rows(channels, vectors, input, io.input_stride, {output, io.output_stride, true});
            add_rows(channels, vectors, scratch.signal, group, {output, io.output_stride, false});
        } else
            product(l.residual, packed, actives, 0, l.residual.terms, 0, vectors, input, io.input_stride, output,
                    io.output_stride);
        t += vectors * lanes;
    }
}

// Product of a matrix over `samples` samples; `x` and `out` point to row 0 at the first.
void product_over(const Matrix &m, const float *packed, const float *const *terms, Index samples, float *out,
                  Index stride) {
    for (Index t = 0; t < samples;) {
        const Index vectors = vectors_of(samples - t);
        product(m, packed, terms, 0, m.terms, t, vectors, nullptr, 0, out + t, stride);
        t += vectors * lanes;
    }
}

const float *slopes_of(const float *packed, const Stack &s, const Layer &l) {
    return s.activation == Activation::adaptive ? packed + l.conv.bias + s.preactivations : nullptr;
}

// Make room for `samples` samples; return row 0 at the first.
float *advance(Row &row, Index samples) {
    if (row.position + samples > row.capacity) {
        const Index from = row.position - row.context;
        for (Index r = 0; r < row.rows; ++r) {
            float *data = row.data + r * row.stride;
            __builtin_memmove(data + padding, data + from, sizeof(float) * row.context);
        }
        row.position = padding + row.context;
    }
    float *at = row.data + row.position;
    row.position += samples;
    return at;
}

// Filter `vectors` vectors of the dry signal; `x` is the first sample that the oldest tap meets. An input vector serves
// several taps, a vector of taps apart, which have a sum each. The order of summation does not depend on `vectors`, so
// that blocks of all sizes give equal samples.
template <int vectors>
void filter_block(const float *taps, Index count, const float *x, float *out) {
    constexpr int parts = 4;
    static_assert(filter_multiple % (parts * lanes) == 0, "no rest of taps");
    Vector sums[vectors][parts];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 16
        for (int p = 0; p < parts; ++p) sums[v][p] = Vector{};
    for (Index k = 0; k < count; k += parts * lanes)
        for (Index i = k; i < k + lanes; ++i) {
            Vector inputs[vectors + parts - 1];
#pragma GCC unroll 16
            for (int n = 0; n < vectors + parts - 1; ++n) inputs[n] = load(x + i + n * lanes);
#pragma GCC unroll 16
            for (int p = 0; p < parts; ++p) {
                const Vector tap = splat(taps[i + p * lanes]);
#pragma GCC unroll 16
                for (int v = 0; v < vectors; ++v) sums[v][p] += tap * inputs[v + p];
            }
        }
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
        store(out + v * lanes, (sums[v][0] + sums[v][1]) + (sums[v][2] + sums[v][3]));
}

// Vectors at once: their sums and inputs fill the registers.
constexpr int filter_vectors = lanes == 16 ? 6 : 3;

using FilterBlock = void (*)(const float *, Index, const float *, float *);
constexpr FilterBlock filter_blocks[6] = {filter_block<1>, filter_block<2>, filter_block<3>,
                                          filter_block<4>, filter_block<5>, filter_block<6>};

// Filter `samples` samples of the dry signal; writes whole vectors.
void filter_tile(const StreamState &state, const float *dry, Index samples, float *out) {
    for (Index t = 0; t < samples;) {
        const Index vectors = least((samples - t + lanes - 1) / lanes, filter_vectors);
        filter_blocks[vectors - 1](state.filter, state.filter_taps, dry + t - (state.filter_taps - 1), out + t);
        t += vectors * lanes;
    }
}

void stream_tile(const Network &net, const float *packed, StreamState &state, Scratch &scratch, const float *from,
                 Index from_stride, float *wet, Index wet_stride, Index samples, float input_gain, float output_gain) {
    float *dry = advance(state.dry, samples);
    for (Index i = 0; i < samples; ++i) dry[i] = input_gain * from[i * from_stride];
    Row *inputs = state.inputs;
    const float *total = nullptr;
    Index total_stride = 0;
    float *signal = dry;
    Index signal_stride = 0;
    for (Index i = 0; i < net.stack_count; ++i) {
        const Stack &s = net.stacks[i];
        float *stack_total = advance(state.totals[i], samples);
        if (i) {
            set_rows(scratch.terms, total, total_stride, net.stacks[i - 1].channels);
            product_over(net.stacks[i - 1].head, packed, scratch.terms, samples, stack_total, state.totals[i].stride);
            float *first = advance(*inputs, samples);
            set_rows(scratch.terms, signal, signal_stride, s.inputs);
            product_over(s.rechannel, packed, scratch.terms, samples, first, inputs->stride);
            signal = first, signal_stride = inputs->stride;
        }
        total = stack_total, total_stride = state.totals[i].stride;
        for (Index n = 0; n < s.layer_count; ++n) {
            const Layer &l = s.layers[n];
            LayerSignals io = {l.merged ? nullptr : signal, signal_stride, dry, nullptr, 0, nullptr, 0,
                               {stack_total, total_stride, !i && !n}};
            if (!l.last) {
                const bool ends = n + 1 == s.layer_count;
                io.output = ends ? scratch.outputs[0].data : advance(inputs[1], samples);
                io.output_stride = ends ? scratch.outputs[0].stride : inputs[1].stride;
            }
            forward_layer(net, s, l, packed, slopes_of(packed, s, l), io, samples, scratch);
            signal = io.output, signal_stride = io.output_stride;
            ++inputs;
        }
    }
    const Stack &s = net.stacks[net.stack_count - 1];
    if (s.has_head) set_taps(scratch.terms, total, total_stride, s.channels, s.head_taps, 1);
    float filtered[tile + lanes];
    if (state.filter) filter_tile(state, dry, samples, filtered);
    for (Index t = 0; t < samples;) {
        float head[group];
        const Index vectors = vectors_of(samples - t), count = least(samples - t, vectors * lanes);
        if (s.has_head) product(s.head, packed, scratch.terms, 0, s.head.terms, t, vectors, nullptr, 0, head, group);
        else
            for (Index j = 0; j < count; ++j) head[j] = total[t + j] + packed[s.head.bias];
        for (Index j = 0; j < count; ++j) {
            float value = net.head_scale * head[j];
            if (net.dry_path) value += dry[t + j - net.dry_delay];
            value *= output_gain;
            wet[(t + j) * wet_stride] = state.filter ? value + filtered[t + j] : value;
        }
        t += count;
    }
}

void stream(const Network &net, const float *packed, StreamState &state, Scratch &scratch, const float *dry,
            Index dry_stride, float *wet, Index wet_stride, Index frames, float input_gain, float output_gain) {
    const FlushDenormals flush;
    for (Index t = 0; t < frames; t += tile)
        stream_tile(net, packed, state, scratch, dry + t * dry_stride, dry_stride, wet + t * wet_stride, wet_stride,
                    least(tile, frames - t), input_gain, output_gain);
}

void forward_tile(const Network &net, const float *packed, const Crop &crop, Scratch &scratch, Index start,
                  Index stop, bool heads) {
    Index layer = 0;
    for (Index i = 0; i < net.stack_count; ++i) {
        const Stack &s = net.stacks[i];
        const Rows total = crop.totals[i];
        if (i) {
            const Stack &before = net.stacks[i - 1];
            if (heads) {
                const Rows from = crop.totals[i - 1];
                set_rows(scratch.terms, from.at(0, start), from.stride, before.channels);
                product_over(before.head, packed, scratch.terms, stop - start, total.at(0, start), total.stride);
            }
            const Index first = most(start, s.layers[0].input_start);
            if (first < stop) {
                const Rows from = crop.outputs[i - 1], to = crop.inputs[layer];
                set_rows(scratch.terms, from.at(0, first), from.stride, s.inputs);
                product_over(s.rechannel, packed, scratch.terms, stop - first, to.at(0, first), to.stride);
            }
        }
        for (Index n = 0; n < s.layer_count; ++n, ++layer) {
            const Layer &l = s.layers[n];
            const Index first = most(start, l.output_start);
            if (first >= stop) continue;
            const Rows input = crop.inputs[layer], active = crop.actives[layer];
            const Rows output = n + 1 == s.layer_count ? crop.outputs[i] : crop.inputs[layer + 1];
            const LayerSignals io = {l.merged ? nullptr : input.at(0, first), input.stride, crop.dry.at(0, first),
                                     active.at(0, first), active.stride,
                                     l.last ? nullptr : output.at(0, first), output.stride,
                                     {heads ? total.at(0, first) : nullptr, total.stride, !i && !n}};
            forward_layer(net, s, l, packed, slopes_of(packed, s, l), io, stop - first, scratch);
        }
    }
}

Index first_total(const Network &net) {
    return net.receptive_field - 1 - (net.stacks[net.stack_count - 1].head_taps - 1);
}

void forward(const Network &net, const float *packed, const Crop &crop, Scratch &scratch, Index samples, float *wet) {
    const FlushDenormals flush;
    const Index heads = first_total(net);
    for (Index t = 0; t < heads; t += tile)
        forward_tile(net, packed, crop, scratch, t, least(heads, t + tile), false);
    for (Index t = heads; t < samples; t += tile)
        forward_tile(net, packed, crop, scratch, t, least(samples, t + tile), true);
    const Stack &s = net.stacks[net.stack_count - 1];
    const Rows total = crop.totals[net.stack_count - 1];
    const Index first = net.receptive_field - 1;
    set_taps(scratch.terms, total.data, total.stride, s.channels, s.head_taps, 1);
    for (Index t = first; t < samples;) {
        float head[group];
        const Index vectors = vectors_of(samples - t), count = least(samples - t, vectors * lanes);
        if (s.has_head) product(s.head, packed, scratch.terms, 0, s.head.terms, t, vectors, nullptr, 0, head, group);
        else
            for (Index j = 0; j < count; ++j) head[j] = *total.at(0, t + j) + packed[s.head.bias];
        for (Index j = 0; j < count; ++j) {
            float value = net.head_scale * head[j];
            if (net.dry_path) value += *crop.dry.at(0, t + j - net.dry_delay);
            wet[t + j - first] = value;
        }
        t += count;
    }
}

// --------------------------------------------------------------------------------------------------------- backward

// Product over [start, stop) in vectors that end at `stop`, then zero the vector below `start`.
void product_down(const Matrix &m, const float *packed, const float *const *terms, Index first, Index count,
                  Index start, Index stop, const Rows *add, const Rows &out) {
    for (Index end = stop; end > start;) {
        const Index vectors = vectors_of(end - start), t = end - vectors * lanes;
        product(m, packed, terms, first, count, t, vectors, add ? add->at(0, t) : nullptr, add ? add->stride : 0,
                out.at(0, t), out.stride);
        end = t;
    }
}

void zero_below(const Rows &rows, Index count, Index start) {
    for (Index r = 0; r < count; ++r) store(rows.at(r, start - lanes), Vector{});
}

// Gradient of the nonlinearity, from the gradient `g` of the activation, on vectors that end at `stop`.
void activate_backward(Activation kind, Index channels, const float *slopes, const Rows &active, const Rows &g,
                       const Rows &z, Index start, Index stop, Vector *slope_sums) {
    const Index vectors = (stop - start + lanes - 1) / lanes;
    Vector first{}, second{};
    for (Index c = 0; c < channels; ++c)
        for (Index t = stop - vectors * lanes; t < stop; t += lanes) {
            const Vector up = load(g.at(c, t));
            if (kind == Activation::gated || kind == Activation::adaptive) {
                const Vector a = load(active.at(channels + c, t)), b = load(active.at(2 * channels + c, t));
                Vector u = up * b * (1.0f - a * a), w = up * a * b * (1.0f - b);
                if (slopes) {
                    u *= 10.0f, w *= 10.0f;
                    first += u * load(active.at(3 * channels + c, t));
                    second += w * load(active.at(4 * channels + c, t));
                    u *= slopes[0], w *= slopes[1];
                }
                store(z.at(c, t), u);
                store(z.at(channels + c, t), w);
                continue;
            }
            const Vector a = load(active.at(c, t));
            switch (kind) {
            case Activation::tanh: store(z.at(c, t), up * (1.0f - a * a)); break;
            case Activation::relu: store(z.at(c, t), positive_or(a, up, Vector{})); break;
            default: store(z.at(c, t), positive_or(a, up, 0.01f * up)); break;
            }
        }
    if (slopes) slope_sums[0] += first, slope_sums[1] += second;
}

// Gradient of the input of an unmerged layer on [start, stop). The taps that reach gradients `z` of [first, last)
// change with time, so that the range falls into segments; `output` is the gradient of the residual path, or null.
void input_gradient(const Layer &l, Index width, const float *packed, const Rows &z, Index first, Index last,
                    const Rows *output, Index start, Index stop, const float **terms, const Rows &out) {
    for (Index tap = 0; tap < l.taps; ++tap)
        set_rows(terms + tap * width, z.at(0, (l.taps - 1 - tap) * l.dilation), z.stride, width);
    for (Index end = stop; end > start;) {
        Index begin = start, low = l.taps, high = -1;
        for (Index tap = 0; tap < l.taps; ++tap) {
            const Index shift = (l.taps - 1 - tap) * l.dilation;
            if (last - shift < end) begin = most(begin, last - shift);
            if (first - shift < end) begin = most(begin, first - shift);
            if (end - 1 + shift < last && end - 1 + shift >= first) low = least(low, tap), high = tap;
        }
        const Index count = high < low ? 0 : high - low + 1;
        product_down(l.conv_transposed, packed, terms + (count ? low : 0) * width, (count ? low : 0) * width,
                     count * width, begin, end, output && end - 1 >= first ? output : nullptr, out);
        end = begin;
    }
    zero_below(out, l.conv_transposed.outs, start);
}

// Rows of a tile of memory, addressed by the time in the crop.
Rows at_time(const Rows &rows, Index stop) { return {rows.data + tile - stop, rows.stride}; }

void backward_layer(const Network &net, const Stack &s, const Layer &l, const float *packed, const Crop &crop,
                    Index layer, const Rows &total, const Rows *output, Scratch &scratch, Index start, Index stop,
                    bool heads, Vector *sums) {
    const Index channels = s.channels;
    const bool gated = s.preactivations > channels;
    const Rows z = scratch.preactivations[layer], active = crop.actives[layer], input = crop.inputs[layer];
    const Rows g = gated ? at_time(scratch.skips, stop) : z;
    const float **terms = scratch.terms;
    const Rows *residual = output;
    Rows summed = at_time(scratch.sums, stop);
    if (net.skip == Skip::residual && heads) {
        for (Index c = 0; c < channels; ++c)
            for (Index t = stop - (stop - start + lanes - 1) / lanes * lanes; t < stop; t += lanes)
                store(summed.at(c, t), load(total.at(c, t)) + (output ? load(output->at(c, t)) : Vector{}));
        zero_below(summed, channels, start);
        residual = &summed;
    }
    const Rows *add = net.skip == Skip::activation && heads ? &total : nullptr;
    if (residual) {
        set_rows(terms, residual->data, residual->stride, channels);
        product_down(l.residual_transposed, packed, terms, 0, channels, start, stop, add, g);
        add = &g;
    }
    if (net.skip == Skip::mixed && heads) {
        set_rows(terms, total.data, total.stride, s.heads);
        product_down(l.skip_transposed, packed, terms, 0, s.heads, start, stop, residual ? add : nullptr, g);
        set_rows(terms, active.data, active.stride, channels);
        correlate(total.data, total.stride, s.heads, terms, channels, start, stop, sums + l.skip.gradient);
    } else if (!residual && add) {
        for (Index c = 0; c < channels; ++c)
            for (Index t = stop - (stop - start + lanes - 1) / lanes * lanes; t < stop; t += lanes)
                store(g.at(c, t), load(total.at(c, t)));
    }
    zero_below(g, channels, start);
    activate_backward(s.activation, channels, slopes_of(packed, s, l), active, g, z, start, stop,
                      sums + l.conv.gradient + (l.conv.terms + 1) * s.preactivations);
    if (gated) zero_below(z, s.preactivations, start);
    const float **end = l.merged ? set_taps(terms, crop.dry.data, 0, 1, l.taps, l.dilation)
                                 : set_taps(terms, input.data, input.stride, channels, l.taps, l.dilation);
    if (!l.merged && net.input_mix) *end++ = crop.dry.data;
    *end++ = scratch.ones.data;
    correlate(z.data, z.stride, s.preactivations, terms, end - terms, start, stop, sums + l.conv.gradient);
    if (residual) {
        end = set_rows(terms, active.data, active.stride, channels);
        *end++ = scratch.ones.data;
        correlate(residual->data, residual->stride, channels, terms, end - terms, start, stop,
                  sums + l.residual.gradient);
    }
    if (l.merged && output) {
        // The input of the residual path is the dry signal times `rechannel`.
        terms[0] = crop.dry.data;
        correlate(output->data, output->stride, channels, terms, 1, start, stop,
                  sums + l.residual.gradient + (channels + 1) * channels);
    }
}

void backward_tile(const Network &net, const float *packed, const Crop &crop, Scratch &scratch, Index start, Index stop,
                   Index samples, bool heads, Vector *sums) {
    Rows outputs[2] = {at_time(scratch.outputs[0], stop), at_time(scratch.outputs[1], stop)};
    int current = 0;
    for (Index i = net.stack_count; i--;) {
        const Stack &s = net.stacks[i];
        for (Index n = s.layer_count; n--;) {
            const Layer &l = s.layers[n];
            const Index layer = s.first_layer + n;
            const Rows *output = l.last ? nullptr : &outputs[current];
            const Index first = most(start, l.output_start);
            if (first < stop)
                backward_layer(net, s, l, packed, crop, layer, scratch.totals[i], output, scratch, first, stop, heads,
                               sums);
            if (l.merged) continue;
            if (most(start, l.input_start) < stop)
                input_gradient(l, s.preactivations, packed, scratch.preactivations[layer], l.output_start, samples,
                               output, most(start, l.input_start), stop, scratch.terms, outputs[1 - current]);
            current = 1 - current;
        }
        const Index first = most(start, s.layers[0].input_start);
        if (!i || first >= stop) continue;
        const Rows &g = outputs[current], &signal = crop.outputs[i - 1];
        set_rows(scratch.terms, signal.data, signal.stride, s.inputs);
        correlate(g.data, g.stride, s.channels, scratch.terms, s.inputs, first, stop, sums + s.rechannel.gradient);
        set_rows(scratch.terms, g.data, g.stride, s.channels);
        product_down(s.rechannel_transposed, packed, scratch.terms, 0, s.channels, first, stop, nullptr,
                     outputs[1 - current]);
        zero_below(outputs[1 - current], s.inputs, first);
        current = 1 - current;
    }
}

// Gradients of the sums of skips of all stacks, and of the heads' weights.
void backward_heads(const Network &net, const float *packed, const Crop &crop, Scratch &scratch, Index samples,
                    Vector *sums) {
    const Index last = net.stack_count - 1, first = first_total(net);
    const Stack &s = net.stacks[last];
    const Rows head = scratch.head, total = crop.totals[last];
    const float **end = scratch.terms;
    if (s.has_head) {
        for (Index tap = 0; tap < s.head_taps; ++tap) *end++ = head.at(0, s.head_taps - 1 - tap);
        product_down(s.head_transposed, packed, scratch.terms, 0, s.head_taps, first, samples, nullptr,
                     scratch.totals[last]);
        zero_below(scratch.totals[last], s.channels, first);
        end = set_taps(scratch.terms, total.data, total.stride, s.channels, s.head_taps, 1);
    }
    *end++ = scratch.ones.data;
    correlate(head.data, head.stride, 1, scratch.terms, end - scratch.terms, net.receptive_field - 1, samples,
              sums + s.head.gradient);
    for (Index i = last; i--;) {
        const Stack &before = net.stacks[i];
        const Rows &g = scratch.totals[i + 1], &from = crop.totals[i];
        set_rows(scratch.terms, g.data, g.stride, before.heads);
        product_down(before.head_transposed, packed, scratch.terms, 0, before.heads, first, samples, nullptr,
                     scratch.totals[i]);
        zero_below(scratch.totals[i], before.channels, first);
        set_rows(scratch.terms, from.data, from.stride, before.channels);
        correlate(g.data, g.stride, before.heads, scratch.terms, before.channels, first, samples,
                  sums + before.head.gradient);
    }
}

// Write sums of (terms, rows) to `to(row, term)`.
template <class Target>
void collect(const Vector *sums, Index terms, Index rows, Target to) {
    for (Index term = 0; term < terms; ++term)
        for (Index row = 0; row < rows; ++row) to(row, term) += sum_of(sums[term * rows + row]);
}

void collect_layer(const Network &net, const Stack &s, const Layer &l, const Vector *sums,
                   const float *const *stack_p, const float *const *p, float *const *stack_g, float *const *g) {
    const Index c = s.channels, taps = l.taps, width = s.preactivations;
    const Vector *conv = sums + l.conv.gradient;
    float *kernel = g[p_kernel], *bias = g[p_bias], *mix = g[p_mix], *rechannel = stack_g[p_rechannel];
    if (l.merged) {
        for (Index tap = 0; tap < taps; ++tap)
            for (Index out = 0; out < width; ++out) {
                const float sum = sum_of(conv[tap * width + out]);
                for (Index i = 0; i < c; ++i) {
                    kernel[(out * c + i) * taps + tap] += sum * stack_p[p_rechannel][i];
                    rechannel[i] += sum * p[p_kernel][(out * c + i) * taps + tap];
                }
                if (mix && tap == taps - 1) mix[out] += sum;
            }
    } else {
        collect(conv, c * taps, width, [=](Index out, Index term) -> float & {
            return kernel[(out * c + term % c) * taps + term / c];
        });
        if (mix) collect(conv + c * taps * width, 1, width, [=](Index out, Index) -> float & { return mix[out]; });
    }
    collect(conv + l.conv.terms * width, 1, width, [=](Index out, Index) -> float & { return bias[out]; });
    if (float *slopes = g[p_slopes])
        for (Index i = 0; i < 2; ++i) slopes[i] += sum_of(conv[(l.conv.terms + 1) * width + i]);
    if (l.residual.outs) {
        const Vector *residual = sums + l.residual.gradient;
        float *weights = g[p_residual], *offsets = g[p_residual_bias];
        collect(residual, c, c, [=](Index out, Index in) -> float & { return weights[out * c + in]; });
        collect(residual + c * c, 1, c, [=](Index out, Index) -> float & { return offsets[out]; });
        if (l.merged && !l.last)
            collect(residual + (c + 1) * c, 1, c, [=](Index out, Index) -> float & { return rechannel[out]; });
    }
    if (net.skip == Skip::mixed) {
        float *skip = g[p_skip];
        collect(sums + l.skip.gradient, c, s.heads, [=](Index out, Index in) -> float & { return skip[out * c + in]; });
    }
}

void collect_all(const Network &net, const Vector *sums, const float *const *parameters, float *const *gradients) {
    for (Index i = 0; i < net.stack_count; ++i) {
        const Stack &s = net.stacks[i];
        const Index c = s.channels, taps = s.head_taps, inputs = s.inputs;
        float *const *g = gradients + s.first_parameter;
        const float *const *p = parameters + s.first_parameter;
        float *rechannel = g[p_rechannel], *head = g[p_head], *bias = g[p_head_bias];
        if (s.rechannel.outs)
            collect(sums + s.rechannel.gradient, inputs, c, [=](Index out, Index in) -> float & {
                return rechannel[out * inputs + in];
            });
        if (s.has_head)
            collect(sums + s.head.gradient, c * taps, s.heads, [=](Index out, Index term) -> float & {
                return head[(out * c + term % c) * taps + term / c];
            });
        if (s.last) bias[0] += sum_of(sums[s.head.gradient + s.head.terms]);
        for (Index l = 0; l < s.layer_count; ++l)
            collect_layer(net, s, s.layers[l], sums, p, p + stack_parameters + l * layer_parameters, g,
                          g + stack_parameters + l * layer_parameters);
    }
}

void backward(const Network &net, const float *packed, const float *const *parameters, const Crop &crop,
              Scratch &scratch, Index samples, const float *wet_gradient, float *const *gradients) {
    const FlushDenormals flush;
    Vector *sums = static_cast<Vector *>(scratch.sums_of_lanes);
    for (Index i = 0; i < net.gradient_size; ++i) sums[i] = Vector{};
    const Index first = net.receptive_field - 1, heads = first_total(net);
    for (Index t = first; t < samples; ++t) *scratch.head.at(0, t) = net.head_scale * wet_gradient[t - first];
    backward_heads(net, packed, crop, scratch, samples, sums);
    for (Index stop = samples; stop > heads; stop -= tile)
        backward_tile(net, packed, crop, scratch, most(heads, stop - tile), stop, samples, true, sums);
    for (Index stop = heads; stop > 0; stop -= tile)
        backward_tile(net, packed, crop, scratch, most(0, stop - tile), stop, samples, false, sums);
    collect_all(net, sums, parameters, gradients);
}

}  // namespace

// The name of the table is set by build.py, one for each instruction set.
extern const twin::Engine ENGINE;
const twin::Engine ENGINE = {ENGINE_NAME, lanes, block_rows, group, sizeof(Vector), pack, stream, forward, backward};
