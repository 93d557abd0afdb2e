// Description of a WaveNet and the layout of its packed weights. Plain data, shared by all instruction sets.
#pragma once
#include <cstddef>
#include <cstdint>

namespace twin {

using Index = std::ptrdiff_t;

enum class Activation { tanh, relu, leaky_relu, gated, adaptive };
enum class Skip { activation, residual, mixed };

// Samples of padding on both sides of each row: vectors may read and write past the ends of a range.
constexpr Index padding = 64;

// Samples that run through one layer after the other.
constexpr Index tile = 768;

// Taps of a filter are padded with zeros to a multiple of this.
constexpr Index filter_multiple = 64;

// A matrix of `outs` rows and `terms` columns. The weights are stored as blocks of up to `block` rows: for each block,
// for each term, one weight per row.
struct Matrix {
    Index outs = 0, terms = 0, block = 1;
    Index weights = -1, bias = -1;  // offsets into the packed weights; a bias of -1 is zero
    Index gradient = -1;            // offset of `terms + 1` x `outs` sums; the last term is the bias
};

struct Layer {
    Index taps, dilation;
    bool merged;   // first layer of a mono network: one convolution of the dry signal
    bool last;     // last layer of the network: no residual signal
    Matrix conv, conv_transposed, residual, residual_transposed, skip, skip_transposed;
    Index context() const { return (taps - 1) * dilation; }
    // Filled in for a crop: first samples of input and output.
    Index input_start, output_start;
};

struct Stack {
    Index inputs, channels, preactivations, heads, head_taps;
    Activation activation;
    bool has_head, last;
    Matrix rechannel, rechannel_transposed, head, head_transposed;
    Layer *layers;
    Index layer_count, first_layer;
    Index first_parameter;  // index of its first pointer in the list of parameters
};

// Parameters of a stack: rechannel, head, head_bias; then for each layer the seven below. Absent ones are null.
enum StackParameter { p_rechannel, p_head, p_head_bias, stack_parameters };
enum LayerParameter { p_kernel, p_bias, p_mix, p_slopes, p_residual, p_residual_bias, p_skip, layer_parameters };

struct Network {
    Stack *stacks;
    Index stack_count;
    bool input_mix, dry_path;
    Skip skip;
    Index dry_delay;
    float head_scale;
    Index receptive_field;
    Index parameter_count;
    Index packed_size, gradient_size;  // floats; sums of one vector each
    Index most_terms, most_channels, most_preactivations;
};

// One channel of a stream: left context of every convolution.
struct Row {
    float *data = nullptr;
    Index rows = 0, stride = 0, context = 0, capacity = 0;
    Index position = 0;  // samples in use: the next sample goes here
};

struct StreamState {
    Row dry;
    Row *inputs;  // one per layer; unused for a merged layer
    Row *totals;  // one per stack
    const float *filter;  // of the dry signal, in parallel to the network: oldest tap first; null without
    Index filter_taps;    // a multiple of `filter_multiple`
};

// Rows of one crop, at their time in the crop: `data[row * stride + time]`.
struct Rows {
    float *data = nullptr;
    Index stride = 0;
    float *at(Index row, Index time) const { return data + row * stride + time; }
};

struct Crop {
    Rows dry;
    Rows *inputs;   // per layer
    Rows *actives;  // per layer: activation; if gated also tanh, sigmoid, and the preactivation if adaptive
    Rows *totals;   // per stack
    Rows *outputs;  // per stack but the last: the residual signal after it
};

// Memory of one thread.
struct Scratch {
    const float **terms;   // pointers to rows
    float *active;         // (channels + preactivations) x group
    float *signal;         // channels x group
    // Backward pass only.
    Rows *preactivations;  // gradients, per layer
    Rows *totals;          // gradients, per stack
    Rows head, ones;
    Rows outputs[2], sums, skips;
    void *sums_of_lanes;   // gradient_size vectors
};

struct Engine {
    const char *name;
    Index lanes, rows, group;  // of a vector; of a block; samples of a group
    Index sum_bytes;
    void (*pack)(const Network &, const float *const *parameters, float *packed);
    void (*stream)(const Network &, const float *packed, StreamState &, Scratch &, const float *dry, Index dry_stride,
                   float *wet, Index wet_stride, Index frames, float input_gain, float output_gain);
    void (*forward)(const Network &, const float *packed, const Crop &, Scratch &, Index samples, float *wet);
    void (*backward)(const Network &, const float *packed, const float *const *parameters, const Crop &, Scratch &,
                     Index samples, const float *wet_gradient, float *const *gradients);
};

}  // namespace twin
