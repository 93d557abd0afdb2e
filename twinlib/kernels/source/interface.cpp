// C interface of the kernels: memory, threads and the choice of an instruction set. See ../library.py for its use.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "network.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

#if defined(__x86_64__)
extern const twin::Engine engine_avx512, engine_avx2;
#endif
extern const twin::Engine engine_baseline;

namespace {

using namespace twin;

constexpr Index alignment = 64;

// Memory of floats, zero at first, aligned to cache lines; taken in parts from large pages, as the rows of a layer would
// otherwise take more pages than the CPU can translate at once.
class Arena {
public:
    float *take(Index count) {
        const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) / alignment + 1) * alignment;
        if (blocks_.empty() || used_ + bytes > size_) {
            size_ = bytes > least ? (bytes / page + 1) * page : least;
            blocks_.emplace_back(static_cast<char *>(::operator new(size_, std::align_val_t(page))));
#if defined(__linux__)
            madvise(blocks_.back().get(), size_, MADV_HUGEPAGE);
#endif
            std::memset(blocks_.back().get(), 0, size_);
            used_ = 0;
        }
        float *const found = reinterpret_cast<float *>(blocks_.back().get() + used_);
        used_ += bytes;
        return found;
    }

private:
    static constexpr std::size_t page = 1 << 21, least = page;
    struct Delete {
        void operator()(char *p) const { ::operator delete(p, std::align_val_t(page)); }
    };
    std::vector<std::unique_ptr<char, Delete>> blocks_;
    std::size_t size_ = 0, used_ = 0;
};

// Distance of rows in floats: an odd number of cache lines, so that rows do not compete for the same cache sets.
Index row_stride(Index samples) {
    const Index line = alignment / sizeof(float);
    return ((samples + 2 * padding + line - 1) / line | 1) * line;
}

#if defined(__x86_64__)
// Which instruction sets the CPU and the operating system support, read from the CPU itself: the compilers' builtin
// finds none when `zig c++` links it.
struct Cpu {
    bool avx2 = false, avx512 = false;

    Cpu() {
        unsigned a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d)) return;
        const bool fma = c >> 12 & 1, saves = c >> 27 & 1;
        if (!fma || !saves || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        unsigned enabled, high;
        asm volatile("xgetbv" : "=a"(enabled), "=d"(high) : "c"(0));
        avx2 = (b >> 5 & 1) && (enabled & 0x06) == 0x06;
        avx512 = avx2 && (b >> 16 & 1) && (b >> 17 & 1) && (enabled & 0xe6) == 0xe6;
    }
};
#endif

const Engine *best_engine() {
#if defined(__x86_64__)
    const Cpu cpu;
    if (cpu.avx512) return &engine_avx512;
    if (cpu.avx2) return &engine_avx2;
#endif
    return &engine_baseline;
}

struct Model {
    const Engine *engine;
    Network net{};
    std::vector<Stack> stacks;
    std::vector<std::vector<Layer>> layers;
    Arena memory;
    float *packed = nullptr;

    explicit Model(const Engine *e) : engine(e) {}

    Matrix matrix(Index outs, Index terms, bool bias, Index gradient_terms) {
        Matrix m;
        m.outs = outs, m.terms = terms;
        const Index blocks = (outs + engine->rows - 1) / engine->rows;
        m.block = (outs + blocks - 1) / blocks;
        m.weights = take(outs * terms);
        if (bias) m.bias = take(outs);
        if (gradient_terms) m.gradient = net.gradient_size, net.gradient_size += gradient_terms * outs;
        most(net.most_terms, terms);
        return m;
    }

    Index take(Index count) {
        const Index at = net.packed_size;
        net.packed_size += count;
        return at;
    }

    static void most(Index &value, Index other) {
        if (other > value) value = other;
    }

    // `d` holds: stacks, input mix, skip, dry path, dry delay; then for each stack: inputs, channels, activation,
    // head taps, heads, layers; then for each of its layers: taps, dilation.
    void describe(const std::int64_t *d, float head_scale) {
        net.stack_count = *d++;
        net.input_mix = *d++, net.skip = static_cast<Skip>(*d++), net.dry_path = *d++, net.dry_delay = *d++;
        net.head_scale = head_scale;
        stacks.resize(net.stack_count), layers.resize(net.stack_count);
        Index count = 0, time = 0;
        for (Index i = 0; i < net.stack_count; ++i) {
            Stack &s = stacks[i];
            s.inputs = d[0], s.channels = d[1], s.activation = static_cast<Activation>(d[2]);
            s.head_taps = d[3], s.heads = d[4], s.layer_count = d[5];
            d += 6;
            const bool gated = s.activation == Activation::gated || s.activation == Activation::adaptive;
            s.preactivations = gated ? 2 * s.channels : s.channels;
            s.last = i + 1 == net.stack_count;
            s.has_head = net.skip != Skip::mixed;
            s.first_layer = count, count += s.layer_count;
            s.first_parameter = net.parameter_count;
            net.parameter_count += stack_parameters + s.layer_count * layer_parameters;
            if (i) {
                s.rechannel = matrix(s.channels, s.inputs, false, s.inputs);
                s.rechannel_transposed = matrix(s.inputs, s.channels, false, 0);
            }
            if (s.has_head) {
                s.head = matrix(s.heads, s.channels * s.head_taps, s.last, s.channels * s.head_taps + 1);
                s.head_transposed = matrix(s.channels, s.heads * s.head_taps, false, 0);
            } else {
                s.head = matrix(s.heads, 0, true, 1);
            }
            layers[i].resize(s.layer_count);
            for (Index n = 0; n < s.layer_count; ++n, d += 2) {
                Layer &l = layers[i][n];
                l.taps = d[0], l.dilation = d[1];
                l.merged = !i && !n, l.last = s.last && n + 1 == s.layer_count;
                l.input_start = time, time += l.context(), l.output_start = time;
                describe_layer(s, l);
            }
            s.layers = layers[i].data();
            most(net.most_channels, s.channels), most(net.most_channels, s.inputs), most(net.most_channels, s.heads);
            most(net.most_preactivations, s.preactivations);
        }
        net.stacks = stacks.data();
        net.receptive_field = time + stacks.back().head_taps;
        packed = memory.take(net.packed_size);
    }

    void describe_layer(const Stack &s, Layer &l) {
        const Index c = s.channels, width = s.preactivations;
        const Index terms = l.merged ? l.taps : c * l.taps + net.input_mix;
        l.conv = matrix(width, terms, true, terms + 1);
        net.gradient_size += 2;
        if (s.activation == Activation::adaptive) take(2);  // the slopes follow the bias
        if (!l.merged) l.conv_transposed = matrix(c, l.taps * width, false, 0);
        if (!l.last || net.skip == Skip::residual) {
            l.residual = matrix(c, c + l.merged, true, c + 1 + l.merged);
            l.residual_transposed = matrix(c, c, false, 0);
        }
        if (net.skip == Skip::mixed) {
            l.skip = matrix(s.heads, c, false, c);
            l.skip_transposed = matrix(c, s.heads, false, 0);
        }
    }

    Index layer_count() const { return stacks.back().first_layer + stacks.back().layer_count; }
};

// Memory of one thread. A `samples` of zero leaves out what only the backward pass needs.
struct Workspace {
    Scratch scratch{};
    std::vector<const float *> terms;
    Arena memory;
    std::vector<Rows> preactivations, totals;

    Rows rows(Index count, Index samples, Index first = 0) {
        const Index stride = row_stride(samples);
        return {memory.take(count * stride + padding) + padding - first, stride};
    }

    Workspace(const Model &model, Index samples) {
        const Network &net = model.net;
        terms.resize(2 * net.most_terms + net.most_channels + 16);
        scratch.terms = terms.data();
        const Index group = model.engine->group, channels = net.most_channels, width = net.most_preactivations;
        scratch.active = rows(channels + width, group).data;
        scratch.signal = rows(channels, group).data;
        scratch.outputs[0] = rows(channels, tile);
        if (!samples) return;
        scratch.outputs[1] = rows(channels, tile);
        scratch.sums = rows(channels, tile), scratch.skips = rows(channels, tile);
        scratch.ones = rows(1, samples);
        for (Index t = -padding; t < samples + padding; ++t) scratch.ones.data[t] = 1.0f;
        const Index taps = model.stacks.back().head_taps, first = net.receptive_field - taps;
        scratch.head = rows(1, samples - first + taps, first);
        for (const Stack &s : model.stacks) {
            totals.push_back(s.has_head ? rows(s.channels, samples - first, first) : scratch.head);
            for (Index n = 0; n < s.layer_count; ++n)
                preactivations.push_back(
                    rows(s.preactivations, samples - s.layers[n].output_start, s.layers[n].output_start));
        }
        scratch.totals = totals.data(), scratch.preactivations = preactivations.data();
        scratch.sums_of_lanes = memory.take(net.gradient_size * model.engine->sum_bytes / sizeof(float));
    }
};

// Signals of one crop that the backward pass needs, its gradients, and pointers to them.
struct CropMemory {
    Arena memory;
    std::vector<Rows> inputs, actives, totals, outputs;
    Crop crop{};
    float *gradients;

    Rows rows(Index count, Index samples, Index first) {
        const Index stride = row_stride(samples - first);
        return {memory.take(count * stride + padding) + padding - first, stride};
    }

    CropMemory(const Model &model, Index samples, Index parameters) {
        const Network &net = model.net;
        const Index heads = net.receptive_field - model.stacks.back().head_taps;
        crop.dry = rows(1, samples, 0);
        for (const Stack &s : model.stacks) {
            totals.push_back(rows(net.skip == Skip::mixed ? s.heads : s.channels, samples, heads));
            for (Index n = 0; n < s.layer_count; ++n) {
                const Layer &l = s.layers[n];
                inputs.push_back(l.merged ? Rows{} : rows(s.channels, samples, l.input_start));
                const Index kept = s.activation == Activation::adaptive ? 5 : s.activation == Activation::gated ? 3 : 1;
                actives.push_back(rows(kept * s.channels, samples, l.output_start));
            }
            outputs.push_back(s.last ? Rows{} : rows(s.channels, samples, s.layers[s.layer_count - 1].output_start));
        }
        crop.inputs = inputs.data(), crop.actives = actives.data(), crop.totals = totals.data();
        crop.outputs = outputs.data();
        gradients = memory.take(parameters);
    }
};

template <class Work>
void parallel(Index count, Index threads, Work work) {
    threads = threads < count ? threads : count;
    if (threads <= 1) {
        for (Index i = 0; i < count; ++i) work(i, Index(0));
        return;
    }
    std::atomic<Index> next{0};
    std::vector<std::thread> pool;
    const auto run = [&](Index thread) {
        for (Index i; (i = next++) < count;) work(i, thread);
    };
    try {
        for (Index thread = 1; thread < threads; ++thread) pool.emplace_back(run, thread);
    } catch (const std::system_error &) {
        // The system has no more threads: those that started do all the work.
    }
    run(0);
    for (std::thread &thread : pool) thread.join();
}

struct Training {
    const Model &model;
    Index batch, samples;
    std::vector<std::int64_t> sizes;  // of the parameters
    Index parameters = 0;
    std::vector<CropMemory> crops;
    std::vector<std::unique_ptr<Workspace>> workspaces;

    Training(const Model &m, Index b, Index n, const std::int64_t *parameter_sizes)
        : model(m), batch(b), samples(n), sizes(parameter_sizes, parameter_sizes + m.net.parameter_count) {
        for (const std::int64_t size : sizes) parameters += size;
        for (Index i = 0; i < batch; ++i) crops.emplace_back(model, samples, parameters);
    }

    void provide(Index threads) {
        while (static_cast<Index>(workspaces.size()) < threads)
            workspaces.push_back(std::make_unique<Workspace>(model, samples));
    }
};

Row stream_row(Arena &memory, Index rows, Index context) {
    Row row;
    const Index slack = context / 2 > tile ? context / 2 : tile;
    row.rows = rows, row.context = context, row.stride = row_stride(context + slack);
    row.capacity = padding + context + slack, row.position = padding + context;
    row.data = memory.take(rows * row.stride + padding);
    return row;
}

struct Channel {
    Arena memory;
    std::vector<Row> inputs, totals;
    StreamState state{};
    std::unique_ptr<Workspace> workspace;

    Channel(const Model &model, const float *filter, Index filter_taps)
        : workspace(std::make_unique<Workspace>(model, 0)) {
        const Network &net = model.net;
        Index dry = model.stacks[0].layers[0].context();
        if (net.dry_path) Model::most(dry, net.dry_delay);
        if (filter) Model::most(dry, filter_taps - 1);
        state.filter = filter, state.filter_taps = filter_taps;
        state.dry = stream_row(memory, 1, dry);
        for (const Stack &s : model.stacks) {
            const Index rows = net.skip == Skip::mixed ? s.heads : s.channels;
            totals.push_back(stream_row(memory, rows, s.head_taps - 1));
            for (Index n = 0; n < s.layer_count; ++n)
                inputs.push_back(s.layers[n].merged ? Row{}
                                                    : stream_row(memory, s.channels, s.layers[n].context()));
        }
        state.inputs = inputs.data(), state.totals = totals.data();
    }
};

struct Stream {
    const Model &model;
    std::vector<float> filter;
    std::vector<Channel> channels;

    // `impulse_response` of `taps` samples: the filter in parallel to the network; without taps, there is none.
    Stream(const Model &m, Index count, const float *impulse_response, Index taps)
        : model(m), filter((taps + filter_multiple - 1) / filter_multiple * filter_multiple) {
        for (Index k = 0; k < taps; ++k) filter[filter.size() - 1 - k] = impulse_response[k];
        for (Index i = 0; i < count; ++i)
            channels.emplace_back(model, taps ? filter.data() : nullptr, filter.size());
    }
};

const Engine *find_engine(const char *name) {
#if defined(__x86_64__)
    const Cpu cpu;
    if (!std::strcmp(name, "avx512")) return cpu.avx512 ? &engine_avx512 : nullptr;
    if (!std::strcmp(name, "avx2")) return cpu.avx2 ? &engine_avx2 : nullptr;
#endif
    return std::strcmp(name, engine_baseline.name) ? nullptr : &engine_baseline;
}

template <class Make>
auto guarded(Make make) -> decltype(make()) {
    try {
        return make();
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

}  // namespace

EXPORT const char *twin_best_instructions() { return best_engine()->name; }

// Null if memory runs out or if this CPU lacks the instruction set.
EXPORT void *twin_model_create(const char *instructions, const std::int64_t *description, float head_scale) {
    const Engine *engine = find_engine(instructions);
    if (!engine) return nullptr;
    return guarded([=] {
        auto model = std::make_unique<Model>(engine);
        model->describe(description, head_scale);
        return model.release();
    });
}

EXPORT void twin_model_free(void *model) { delete static_cast<Model *>(model); }

EXPORT void twin_model_pack(void *model, const float *const *parameters) {
    Model &m = *static_cast<Model *>(model);
    m.engine->pack(m.net, parameters, m.packed);
}

// The impulse response of a filter applies to the dry signal after the input gain, and its output is added after the
// output gain.
EXPORT void *twin_stream_create(const void *model, std::int64_t channels, const float *impulse_response,
                                std::int64_t taps) {
    return guarded([=] { return new Stream(*static_cast<const Model *>(model), channels, impulse_response, taps); });
}

EXPORT void twin_stream_free(void *stream) { delete static_cast<Stream *>(stream); }

// Interleaved frames. Returns the first frame with a sample that is not finite, before any processing, or -1.
EXPORT std::int64_t twin_stream_process(void *stream, const float *dry, float *wet, std::int64_t frames,
                                        float input_gain, float output_gain, std::int64_t threads) {
    Stream &s = *static_cast<Stream *>(stream);
    const Index channels = s.channels.size();
    for (Index i = 0; i < frames * channels; ++i)
        if (!std::isfinite(dry[i])) return i / channels;
    parallel(channels, threads, [&](Index c, Index) {
        Channel &channel = s.channels[c];
        s.model.engine->stream(s.model.net, s.model.packed, channel.state, channel.workspace->scratch, dry + c,
                               channels, wet + c, channels, frames, input_gain, output_gain);
    });
    return -1;
}

EXPORT void *twin_training_create(const void *model, std::int64_t batch, std::int64_t samples,
                                  const std::int64_t *parameter_sizes) {
    return guarded([=] { return new Training(*static_cast<const Model *>(model), batch, samples, parameter_sizes); });
}

EXPORT void twin_training_free(void *training) { delete static_cast<Training *>(training); }

// `dry` is (batch, samples), `wet` (batch, samples - receptive field + 1). Returns 0, or 1 if memory runs out.
EXPORT int twin_training_forward(void *training, const float *dry, float *wet, std::int64_t threads) {
    Training &t = *static_cast<Training *>(training);
    try {
        t.provide(threads);
        const Index outputs = t.samples - t.model.net.receptive_field + 1;
        parallel(t.batch, threads, [&](Index i, Index thread) {
            const Crop &crop = t.crops[i].crop;
            std::memcpy(crop.dry.data, dry + i * t.samples, sizeof(float) * t.samples);
            t.model.engine->forward(t.model.net, t.model.packed, crop, t.workspaces[thread]->scratch, t.samples,
                                    wet + i * outputs);
        });
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}

// Gradients of the parameters, summed over the crops of the last forward pass in their order. Null pointers of
// `gradients` are left out.
EXPORT int twin_training_backward(void *training, const float *const *parameters, const float *wet_gradient,
                                  float *const *gradients, std::int64_t threads) {
    Training &t = *static_cast<Training *>(training);
    try {
        t.provide(threads);
        const Index outputs = t.samples - t.model.net.receptive_field + 1;
        parallel(t.batch, threads, [&](Index i, Index thread) {
            CropMemory &memory = t.crops[i];
            std::memset(memory.gradients, 0, sizeof(float) * t.parameters);
            std::vector<float *> targets;
            float *next = memory.gradients;
            for (const std::int64_t size : t.sizes) targets.push_back(size ? next : nullptr), next += size;
            t.model.engine->backward(t.model.net, t.model.packed, parameters, memory.crop,
                                     t.workspaces[thread]->scratch, t.samples, wet_gradient + i * outputs,
                                     targets.data());
        });
        Index at = 0;
        for (std::size_t p = 0; p < t.sizes.size(); at += t.sizes[p++]) {
            if (!gradients[p]) continue;
            for (Index i = 0; i < t.sizes[p]; ++i) {
                double sum = 0;
                for (const CropMemory &memory : t.crops) sum += memory.gradients[at + i];
                gradients[p][i] = static_cast<float>(sum);
            }
        }
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}
