// The engine as Python sees it: arrays in, arrays out, the GIL released for the whole of every call that computes.
#include "engine/engine.hpp"
#include "engine/blend.hpp"
#include "new_array.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// The weights as sopilib.engine.pack gives them: row-major, checked by sopilib.Model, which documents names and shapes.
class Reader {
public:
    explicit Reader(const nb::dict &weights)
    {
        for (auto [key, value] : weights) {
            const Floats a = nb::cast<Floats>(value);
            Array array{a.data(), {}, a.size()};
            for (size_t i = 0; i < a.ndim(); i++) array.shape.push_back(static_cast<int>(a.shape(i)));
            arrays_.emplace(nb::cast<std::string>(key), std::move(array));
        }
    }
    const float *data(const std::string &name) const { return arrays_.at(name).data; }
    int size(const std::string &name, int axis) const { return arrays_.at(name).shape[axis]; }
    // These are empty if there is none of that name. Vectors padded, a row of `gates` one after the other.
    Vec<float> vector(const std::string &name, int gates = 1) const
    {
        const auto found = arrays_.find(name);
        return found == arrays_.end()
                   ? Vec<float>{}
                   : pack_units(found->second.data, gates, static_cast<int>(found->second.size) / gates);
    }
    Vec<float> columns(const std::string &name, int gates) const
    {
        const auto found = arrays_.find(name);
        if (found == arrays_.end()) return {};
        return pack_columns(found->second.data, gates, found->second.shape[0] / gates, found->second.shape[1]);
    }
    Matrix matrix(Arena &arena, const std::string &name, int gates, Form form) const
    {
        const auto found = arrays_.find(name);
        if (found == arrays_.end()) return {};
        return pack(arena, found->second.data, gates, found->second.shape[0] / gates, found->second.shape[1], form);
    }

private:
    struct Array {
        const float *data;
        std::vector<int> shape;
        size_t size;
    };
    std::unordered_map<std::string, Array> arrays_;
};

Tier read_tier(Weights &w, const Reader &read, const std::string &name, int layers, Form form)
{
    Tier t;
    for (int l = 0; l < layers; l++) {
        const std::string rnn = name + ".rnn" + std::to_string(l);
        Layer layer;
        layer.frame = read.columns(rnn + ".frame", w.gates);
        layer.condition = read.matrix(w.arena, rnn + ".condition", w.gates, form);
        layer.below = read.matrix(w.arena, rnn + ".below", w.gates, form);
        const float *u = read.data(rnn + ".recurrent");
        const bool reset_before = !w.lstm && !w.reset_after;
        layer.recurrent = pack(w.arena, u, reset_before ? 2 : w.gates, w.dim, w.dim, form);
        if (reset_before)
            layer.reset = pack(w.arena, u + static_cast<size_t>(2) * w.dim * w.dim, 1, w.dim, w.dim, form);
        layer.output = read.matrix(w.arena, rnn + ".output", 1, form);
        layer.bias = read.vector(rnn + ".bias", w.gates);
        layer.candidate = read.vector(rnn + ".candidate");
        const float *initial = read.data(rnn + ".initial");
        layer.initial = Vec<float>(initial, initial + w.state_size());
        t.layers.push_back(std::move(layer));
    }
    t.output_bias = read.vector(name + ".output_bias");
    const std::string up = name + ".up.weight"; // [r][V][D]
    const int width = read.size(up, 1);
    for (int k = 0; k < read.size(up, 0); k++) {
        t.up.push_back(pack(w.arena, read.data(up) + static_cast<size_t>(k) * width * w.dim, 1, width, w.dim, form));
        t.up_bias.push_back(pack_units(read.data(name + ".up.bias") + static_cast<size_t>(k) * width, 1, width));
    }
    return t;
}

// precision: "f32", "int8", or "int4": the frame tiers in 4 bits, the sample level in 8.
std::shared_ptr<Weights> make_weights(const nb::dict &config, const nb::dict &weights, const std::string &precision)
{
    const auto get = [&config](const char *name) { return config[name]; };
    auto out = std::make_shared<Weights>();
    Weights &w = *out;
    w.dim = nb::cast<int>(get("dim"));
    w.width = nb::cast<int>(get("mlp_dim"));
    w.levels = nb::cast<int>(get("q_levels"));
    w.silence = nb::cast<int>(get("q_zero"));
    w.sample_rate = nb::cast<int>(get("sample_rate"));
    w.features = nb::cast<int>(get("features"));
    w.lstm = nb::cast<std::string>(get("rnn_type")) == "lstm";
    w.gates = w.lstm ? 4 : 3;
    w.skip = nb::cast<bool>(get("skip_conn"));
    w.reset_after = nb::cast<bool>(get("gru_reset_after"));
    w.quantised = precision != "f32";
    const Form samples = w.quantised ? Form::i8 : Form::f32, frames = precision == "int4" ? Form::i4 : samples;
    const auto sizes = nb::cast<std::vector<int>>(get("frame_sizes"));
    const auto relu = nb::cast<std::vector<bool>>(get("sample_relu"));
    const int layers = nb::cast<int>(get("num_rnn_layers"));
    const Reader read(weights);

    nb::gil_scoped_release released; // a second, for the largest models
    for (size_t i = 0; i < sizes.size(); i++) {
        w.tiers.push_back(read_tier(w, read, "tier" + std::to_string(i), layers, frames));
        w.tiers.back().frame = sizes[i];
    }
    w.tables = pack_tables(w.arena, read.data("sample.tables"), sizes[0], w.levels, w.width, w.quantised);
    w.sum_relu = relu[0];
    for (size_t k = 0; k + 1 < relu.size(); k++) {
        const std::string name = "sample.layer" + std::to_string(k);
        w.sample.push_back(
            {read.matrix(w.arena, name + ".weight", 1, samples), read.vector(name + ".bias"), relu[k + 1]});
    }
    w.seen = read.vector("seen");
    w.decode = read.vector("decode");
    w.note_size();
    return out;
}

auto teacher_force(NativeEngine &e, const Codes &codes, const Floats &features)
{
    const int lookback = e.weights().lookback(), q = e.weights().levels;
    const int64_t stride = codes.shape(1), n = stride - lookback;
    float *logits;
    auto out = new_array<float>(&logits, e.voices(), n, q);
    {
        nb::gil_scoped_release released;
        e.replace_history(codes.data(), stride);
        e.teacher_force(codes.data() + lookback, stride, n, features.data(), logits);
    }
    return out;
}

template <typename T> using Line = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

auto generate(NativeEngine &e, const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu> &temperature,
              const Line<int32_t> &top_k, const Line<float> &top_p, const Line<float> &min_p, const Floats &features)
{
    const int64_t n = temperature.shape(1);
    std::vector<Sampling> sampling;
    for (int v = 0; v < e.voices(); v++) sampling.push_back({top_k.data()[v], top_p.data()[v], min_p.data()[v]});
    int32_t *codes;
    auto out = new_array<int32_t>(&codes, e.voices(), n);
    {
        nb::gil_scoped_release released;
        e.generate(codes, n, {temperature.data(), sampling.data(), features.data()});
    }
    return out;
}

// Seconds that each of `blocks` calls for `n` samples takes, as the stream makes them.
auto time_blocks(NativeEngine &e, int blocks, int n, float temperature)
{
    using Clock = std::chrono::steady_clock;
    const std::vector<float> temperatures(static_cast<size_t>(e.voices()) * n, temperature);
    const std::vector<Sampling> sampling(e.voices());
    std::vector<int32_t> codes(static_cast<size_t>(e.voices()) * n);
    double *seconds;
    auto out = new_array<double>(&seconds, blocks);
    {
        nb::gil_scoped_release released;
        for (int b = 0; b < blocks; b++) {
            const auto begin = Clock::now();
            e.generate(codes.data(), n, {temperatures.data(), sampling.data()});
            seconds[b] = std::chrono::duration<double>(Clock::now() - begin).count();
        }
    }
    return out;
}

nb::dict work(const NativeEngine &e)
{
    const Weights::Work work = e.weights().work();
    nb::dict out;
    out["memory"] = work.memory;
    out["again"] = work.again;
    out["moved"] = work.moved;
    out["products"] = work.products;
    return out;
}

// The state as plain arrays: sopilib.engine documents them.
nb::dict state(NativeEngine &e)
{
    const Weights &w = e.weights();
    nb::dict out;
    const int voices = e.voices();
    int32_t *history;
    float *values;
    uint64_t *numbers;
    out["position"] = e.position();
    out["history"] = new_array<int32_t>(&history, voices, w.lookback());
    for (int v = 0; v < voices; v++)
        std::copy_n(e.history(v), w.lookback(), history + static_cast<size_t>(v) * w.lookback());
    out["seed"] = new_array<uint64_t>(&numbers, voices);
    for (int v = 0; v < voices; v++) numbers[v] = e.voice_states()[v].seed;
    out["drawn"] = new_array<uint64_t>(&numbers, voices);
    for (int v = 0; v < voices; v++) numbers[v] = e.voice_states()[v].drawn;
    for (size_t t = 0; t < w.tiers.size(); t++) {
        const std::string tier = "tier" + std::to_string(t);
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++) {
            out[(tier + ".rnn" + std::to_string(l)).c_str()] = new_array<float>(&values, voices, w.state_size());
            for (int v = 0; v < voices; v++)
                e.each_of(t, l, v, [&](const float *x) { values = std::copy_n(x, w.dim, values); });
        }
        out[(tier + ".output").c_str()] = new_array<float>(&values, voices, w.dim);
        for (int v = 0; v < voices; v++) std::copy_n(e.output(t, v), w.dim, values + static_cast<size_t>(v) * w.dim);
    }
    return out;
}

void set_state(NativeEngine &e, const nb::dict &in)
{
    const Weights &w = e.weights();
    const int voices = e.voices();
    // Python has checked names, types, shapes and ranges
    const auto history = nb::cast<Codes>(in["history"]);
    e.set_position(nb::cast<int>(in["position"]));
    const auto seed = nb::cast<nb::ndarray<const uint64_t, nb::c_contig>>(in["seed"]);
    const auto drawn = nb::cast<nb::ndarray<const uint64_t, nb::c_contig>>(in["drawn"]);
    for (int v = 0; v < voices; v++) {
        e.set_history(v, history.data() + static_cast<size_t>(v) * w.lookback());
        e.voice_states()[v].seed = seed.data()[v];
        e.voice_states()[v].drawn = drawn.data()[v];
    }
    for (size_t t = 0; t < w.tiers.size(); t++) {
        const std::string tier = "tier" + std::to_string(t);
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++) {
            const auto values = nb::cast<Floats>(in[(tier + ".rnn" + std::to_string(l)).c_str()]);
            const float *from = values.data();
            for (int v = 0; v < voices; v++)
                e.each_of(t, l, v, [&](float *x) {
                    std::copy_n(from, w.dim, x);
                    from += w.dim;
                });
        }
        const auto values = nb::cast<Floats>(in[(tier + ".output").c_str()]);
        for (int v = 0; v < voices; v++)
            std::copy_n(values.data() + static_cast<size_t>(v) * w.dim, w.dim, e.output(t, v));
    }
    e.state_changed();
}

} // namespace

void bind_engine(nb::module_ &m)
{
    nb::class_<Source>(m, "Source");
    nb::class_<Weights>(m, "Weights");
    m.def("make_weights", &make_weights, "config"_a, "weights"_a, "precision"_a);
    m.def(
        "instruction_set",
        [](const std::string &name) -> nb::object {
            const Kernels *k = find_kernels(name.c_str());
            return k ? nb::object(nb::str(k->name)) : nb::none();
        },
        "name"_a = "auto", "The set of that name if this processor has it, else None; \"auto\": the best one.");
    nb::class_<NativeEngine, Source>(m, "NativeEngine")
        .def(
            "__init__",
            [](NativeEngine *self, std::shared_ptr<Weights> weights, int voices, int threads, const std::string &set) {
                new (self) NativeEngine(std::move(weights), voices, threads, find_kernels(set.c_str()));
            },
            "weights"_a, "voices"_a, "threads"_a, "instruction_set"_a)
        .def("clone", &NativeEngine::clone, "voices"_a, nb::call_guard<nb::gil_scoped_release>())
        .def("reset", &NativeEngine::reset, "seed"_a)
        .def("teacher_force", &teacher_force, "codes"_a, "features"_a)
        .def(
            "prime",
            [](NativeEngine &e, const Codes &codes, const Floats &features) {
                nb::gil_scoped_release released;
                e.prime(codes.data(), codes.shape(1), features.data());
            },
            "codes"_a, "features"_a)
        .def("generate", &generate, "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a, "features"_a)
        .def("time_blocks", &time_blocks, "blocks"_a, "n"_a, "temperature"_a = 1.0f)
        .def_prop_ro("threads", &NativeEngine::threads)
        .def("work", &work,
             "Bytes of memory, of matrices (\"again\"), moved per sample; multiply-adds (\"products\") per sample and "
             "voice.")
        .def("state", &state)
        .def("set_state", &set_state, "state"_a)
        .def_prop_ro("instruction_set", [](const NativeEngine &e) { return std::string(e.kernels().name); });
    nb::class_<Blend, Source>(m, "Blend", "Two engines as one source: codes are drawn from their blended logits.")
        .def(nb::init<std::shared_ptr<NativeEngine>, std::shared_ptr<NativeEngine>>(), "first"_a, "second"_a,
             "ValueError if voices, sample rates or quantisers differ.");
}

} // namespace sopi
