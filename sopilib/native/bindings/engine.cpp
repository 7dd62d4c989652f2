// The engine as Python sees it: arrays in, arrays out, the GIL released for the whole of every call that computes.
#include "engine/engine.hpp"
#include "bandwidth.hpp"
#include "bindings/new_array.hpp"
#include "engine/blend.hpp"
#include "engine/read.hpp"
#include "platform/platform.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <typename Array> void check_array(const std::string &name, const Array &array,
                                           const std::vector<int64_t> &expected)
{
    std::vector<int64_t> shape;
    for (size_t i = 0; i < array.ndim(); i++) shape.push_back(static_cast<int64_t>(array.shape(i)));
    check_shape(name, shape, expected);
}

void check_codes(const NativeEngine &e, const int32_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++) check_range("a code", codes[i], 0, e.weights().levels - 1);
}

std::shared_ptr<Weights> make_weights(const nb::dict &config, const nb::dict &weights, const std::string &precision)
{
    const auto number = [&config](const char *name) { return nb::cast<int>(config[name]); };
    Shape shape;
    shape.dim = number("dim");
    shape.mlp_dim = number("mlp_dim");
    shape.q_levels = number("q_levels");
    shape.q_zero = number("q_zero");
    shape.sample_rate = number("sample_rate");
    shape.features = number("features");
    shape.num_rnn_layers = number("num_rnn_layers");
    shape.lstm = nb::cast<std::string>(config["rnn_type"]) == "lstm";
    shape.skip_conn = nb::cast<bool>(config["skip_conn"]);
    shape.gru_reset_after = nb::cast<bool>(config["gru_reset_after"]);
    shape.frame_sizes = nb::cast<std::vector<int>>(config["frame_sizes"]);
    shape.sample_relu = nb::cast<std::vector<bool>>(config["sample_relu"]);
    shape.level = nb::cast<float>(config["level"]);
    shape.emphasis = nb::cast<std::vector<float>>(config["emphasis"]);
    Arrays arrays;
    for (auto [key, value] : weights) {
        const Floats a = nb::cast<Floats>(value);
        std::vector<int64_t> sizes;
        for (size_t i = 0; i < a.ndim(); i++) sizes.push_back(static_cast<int64_t>(a.shape(i)));
        arrays.add(nb::cast<std::string>(key), a.data(), std::move(sizes));
    }
    nb::gil_scoped_release released; // a second, for the largest models
    return read_weights(shape, arrays, precision);
}

// ---------------------------------------------------------------- what it does

auto teacher_force(NativeEngine &e, const Codes &codes, const Floats &features)
{
    const Weights &w = e.weights();
    const int lookback = w.lookback(), q = w.levels, frame = w.tiers[0].frame;
    check_array("codes", codes, {e.voices(), -1});
    check_range("the number of codes", static_cast<int64_t>(codes.shape(1)), lookback, static_cast<int64_t>(1) << 40);
    check_codes(e, codes.data(), codes.size());
    const int64_t stride = static_cast<int64_t>(codes.shape(1)), n = stride - lookback;
    check_array("features", features, {e.voices(), (n + frame - 1) / frame, w.features});
    float *logits;
    auto out = new_array<float>(&logits, e.voices(), n, q);
    {
        nb::gil_scoped_release released;
        e.replace_history(codes.data(), stride);
        e.teacher_force(codes.data() + lookback, stride, n, features.data(), logits);
    }
    return out;
}

void prime(NativeEngine &e, const Codes &codes, const Floats &features)
{
    check_array("codes", codes, {e.voices(), -1});
    check_array("features", features, {e.voices(), e.features()});
    check_codes(e, codes.data(), codes.size());
    nb::gil_scoped_release released;
    e.prime(codes.data(), static_cast<int64_t>(codes.shape(1)), features.data());
}

template <typename T> using Line = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

auto generate(NativeEngine &e, const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu> &temperature,
              const Line<int32_t> &top_k, const Line<float> &top_p, const Line<float> &min_p, const Line<float> &rest,
              const Line<float> &rest_level, const Floats &features)
{
    check_array("temperature", temperature, {e.voices(), -1});
    check_array("top_k", top_k, {e.voices()});
    check_array("top_p", top_p, {e.voices()});
    check_array("min_p", min_p, {e.voices()});
    check_array("rest", rest, {e.voices()});
    check_array("rest_level", rest_level, {e.voices()});
    check_array("features", features, {e.voices(), e.features()});
    const auto n = static_cast<int64_t>(temperature.shape(1));
    std::vector<Sampling> sampling;
    for (int v = 0; v < e.voices(); v++)
        sampling.push_back({top_k.data()[v], top_p.data()[v], min_p.data()[v], rest.data()[v], rest_level.data()[v]});
    int32_t *codes;
    auto out = new_array<int32_t>(&codes, e.voices(), n);
    {
        nb::gil_scoped_release released;
        e.generate(codes, nullptr, n, {temperature.data(), sampling.data(), features.data()});
    }
    return out;
}

// Calls each(seconds) for each of `blocks` calls for `n` samples, as the stream makes them.
template <typename Each> void run_blocks(NativeEngine &e, int blocks, int n, float temperature, Each &&each)
{
    const std::vector<float> temperatures(static_cast<size_t>(e.voices()) * n, temperature);
    const std::vector<Sampling> sampling(e.voices());
    std::vector<int32_t> codes(static_cast<size_t>(e.voices()) * n);
    std::vector<float> audio(codes.size());
    nb::gil_scoped_release released;
    for (int b = 0; b < blocks; b++) {
        const int64_t begin = platform::now_ns();
        e.generate(codes.data(), audio.data(), n, {temperatures.data(), sampling.data()});
        each(static_cast<double>(platform::now_ns() - begin) * 1e-9);
    }
}

void check_blocks(int blocks, int n)
{
    check_range("blocks", blocks, 1, 1 << 24);
    check_range("n", n, 1, 1 << 24);
}

auto time_blocks(NativeEngine &e, int blocks, int n, float temperature)
{
    check_blocks(blocks, n);
    double *seconds;
    auto out = new_array<double>(&seconds, blocks);
    run_blocks(e, blocks, n, temperature, [&](double took) { *seconds++ = took; });
    return out;
}

// Reading the clock takes time too: a piece holds about one reading, and the whole two for each piece.
double share_of_products(NativeEngine &e, int blocks, int n, float temperature)
{
    check_blocks(blocks, n);
    constexpr int readings = 1000;
    const int64_t began = platform::now_ns();
    for (int i = 1; i < readings; i++) platform::now_ns();
    const double reading = static_cast<double>(platform::now_ns() - began) * 1e-9 / readings;
    ProductTime products;
    struct Counting {
        NativeEngine &engine;
        ~Counting() { engine.count_products(nullptr); }
    } counting{e};
    e.count_products(&products);
    double all = 0;
    run_blocks(e, blocks, n, temperature, [&](double took) { all += took; });
    const double read = static_cast<double>(products.calls) * reading;
    return std::clamp((static_cast<double>(products.ns) * 1e-9 - read) / (all - 2 * read), 0.0, 1.0);
}

constexpr std::pair<const char *, Form> kForms[] = {{"f32", Form::f32}, {"int8", Form::i8}, {"int4", Form::i4}};

nb::dict work(const NativeEngine &e)
{
    const Weights::Work work = e.weights().work();
    nb::dict out;
    out["memory"] = work.memory;
    out["again"] = work.again;
    out["moved"] = work.moved;
    nb::dict products;
    for (const auto &[name, form] : kForms) products[name] = work.products[static_cast<int>(form)];
    out["products"] = products;
    return out;
}

// ---------------------------------------------------------------- the state as plain arrays

// Calls each(name, width, at) for every array of floats of the state; at(voice) calls its argument for each part of a
// voice's row, [D] each.
template <typename Each> void each_array(NativeEngine &e, Each &&each)
{
    const Weights &w = e.weights();
    for (size_t t = 0; t < w.tiers.size(); t++) {
        const std::string tier = "tier" + std::to_string(t);
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++)
            each(tier + ".rnn" + std::to_string(l), w.state_size(),
                 [&, t, l](int voice, auto &&part) { e.each_of(t, l, voice, part); });
        each(tier + ".output", w.dim, [&, t](int voice, auto &&part) { part(e.output(t, voice)); });
    }
}

nb::dict state(NativeEngine &e)
{
    const NativeEngine::Use use(e);
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
    out["recent"] = new_array<int32_t>(&history, voices, Loudness::kWindow);
    for (int v = 0; v < voices; v++)
        for (int i = 0; i < Loudness::kWindow; i++) *history++ = e.voice_states()[v].loudness[i];
    if (const size_t poles = w.coding.poles.size()) {
        out["emphasis"] = new_array<float>(&values, voices, poles);
        for (int v = 0; v < voices; v++) values = std::copy_n(e.voice_states()[v].memory.of, poles, values);
    }
    each_array(e, [&](const std::string &name, int width, auto &&row) {
        out[name.c_str()] = new_array<float>(&values, voices, width);
        for (int v = 0; v < voices; v++) row(v, [&](const float *x) { values = std::copy_n(x, w.dim, values); });
    });
    return out;
}

void set_state(NativeEngine &e, const nb::dict &in)
{
    using Numbers = nb::ndarray<const uint64_t, nb::c_contig, nb::device::cpu>;
    const Weights &w = e.weights();
    const int voices = e.voices();
    const auto history = nb::cast<Codes>(in["history"]);
    const auto seed = nb::cast<Numbers>(in["seed"]), drawn = nb::cast<Numbers>(in["drawn"]);
    const int position = nb::cast<int>(in["position"]);
    check_range("position", position, 0, w.lookback() - 1);
    check_array("history", history, {voices, w.lookback()});
    check_codes(e, history.data(), history.size());
    check_array("seed", seed, {voices});
    check_array("drawn", drawn, {voices});
    const size_t poles = w.coding.poles.size();
    std::optional<Floats> emphasis;
    if (poles && in.contains("emphasis")) {
        emphasis = nb::cast<Floats>(in["emphasis"]);
        check_array("emphasis", *emphasis, {voices, static_cast<int64_t>(poles)});
    }
    std::optional<Codes> recent;
    if (in.contains("recent")) {
        recent = nb::cast<Codes>(in["recent"]);
        check_array("recent", *recent, {voices, Loudness::kWindow});
    }
    // all of them before the first is put in place
    std::unordered_map<std::string, Floats> arrays;
    each_array(e, [&](const std::string &name, int width, auto &&) {
        const auto found = arrays.emplace(name, nb::cast<Floats>(in[name.c_str()])).first;
        check_array(name, found->second, {voices, width});
    });
    const NativeEngine::Use use(e);
    e.set_position(position);
    for (int v = 0; v < voices; v++) {
        e.set_history(v, history.data() + static_cast<size_t>(v) * w.lookback());
        if (recent) e.voice_states()[v].loudness.set(recent->data() + static_cast<size_t>(v) * Loudness::kWindow);
        if (emphasis) std::copy_n(emphasis->data() + v * poles, poles, e.voice_states()[v].memory.of);
        e.voice_states()[v].seed = seed.data()[v];
        e.voice_states()[v].drawn = drawn.data()[v];
    }
    each_array(e, [&](const std::string &name, int, auto &&row) {
        const float *from = arrays.at(name).data();
        for (int v = 0; v < voices; v++)
            row(v, [&](float *x) {
                std::copy_n(from, w.dim, x);
                from += w.dim;
            });
    });
    e.state_changed();
}

const Kernels *kernels_of(const std::string &name)
{
    const Kernels *k = find_kernels(name.c_str());
    if (!k) throw std::invalid_argument("instruction_set is '" + name + "': not known or not in this processor");
    return k;
}

// codes [lines][n] as sound; memory [lines][poles] is where each line begins, and then where it has come to.
auto decode(const Codes &codes, const Line<float> &values, const Line<float> &poles, float level,
            const nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> &memory)
{
    const Coding coding{
        {values.data(), values.data() + values.size()}, {poles.data(), poles.data() + poles.size()}, level};
    const size_t lines = codes.shape(0), n = codes.shape(1), count = poles.size();
    check_range("the number of emphasis poles", static_cast<int64_t>(count), 1, kMostPoles);
    check_array("memory", memory, {static_cast<int64_t>(lines), static_cast<int64_t>(count)});
    for (size_t i = 0; i < codes.size(); i++)
        check_range("a code", codes.data()[i], 0, static_cast<int64_t>(values.size()) - 1);
    float *audio;
    auto out = new_array<float>(&audio, lines, n);
    const nb::gil_scoped_release released;
    uint64_t limited = 0;
    for (size_t l = 0; l < lines; l++) {
        Memory own;
        std::copy_n(memory.data() + l * count, count, own.of);
        for (size_t i = 0; i < n; i++) audio[l * n + i] = coding.undo(codes.data()[l * n + i], own, limited);
        std::copy_n(own.of, count, memory.data() + l * count);
    }
    return out;
}

} // namespace

void bind_engine(nb::module_ &m)
{
    m.def(
        "decode", &decode, "codes"_a, "values"_a, "poles"_a, "level"_a, "memory"_a,
        "The sound, float32 (lines, n), of codes, int32 (lines, n), of a model with emphasis. values are float32 "
        "(q_levels,),\n"
        "poles float32 (poles,). memory, float32 (lines, poles), is what was remembered before, and is changed to what is "
        "now.");
    nb::class_<Source>(m, "Source", "What a stream can play: something that makes codes, for one voice or several.");
    nb::class_<Weights>(m, "Weights",
                        "The weights of one model as the engine multiplies with them. Engines share them.");
    m.def("make_weights", &make_weights, "config"_a, "weights"_a, "precision"_a,
          "Packs the weights of a model.\n\n"
          "config is what Config.to_dict() gives, with q_zero, the code of silence. weights maps the names of "
          "docs/model.md,\n"
          "folded by sopilib.engine.pack, to float32 arrays; two more are seen and decode, float32 (q_levels,): what "
          "the\n"
          "frame tiers see of each code, and its audio value. precision is 'f32'; 'int8'; or 'int4', which has the "
          "frame\n"
          "tiers in 4 bits and the sample level in 8. ValueError names what is missing or has another shape.");
    m.def(
        "instruction_set",
        [](const std::string &name) -> std::optional<std::string> {
            const Kernels *k = find_kernels(name.c_str());
            return k ? std::optional<std::string>(k->name) : std::nullopt;
        },
        "name"_a = "auto",
        "The instruction set of that name ('avx512', 'avx_vnni', 'avx2', 'neon_i8mm', 'neon', 'plain') if this processor has it, "
        "else\n"
        "None. 'auto' stands for the best one that it has.");
    m.def(
        "peak_products",
        [](const std::string &instruction_set, const std::string &form, int threads, double seconds) {
            const Kernels *k = kernels_of(instruction_set);
            for (const auto &[name, which] : kForms)
                if (form == name) return peak_products(*k, which, threads, seconds);
            throw std::invalid_argument("form is '" + form + "', expected f32, int8 or int4");
        },
        "instruction_set"_a, "form"_a, "threads"_a, "seconds"_a, nb::call_guard<nb::gil_scoped_release>(),
        "The most that this machine multiplies, in products per second: `threads` threads (1 to 1024) together "
        "multiply, for about\n"
        "`seconds` seconds, what is in registers all the time, in the fastest way that an instruction set has for "
        "weights of a\n"
        "form ('f32', 'int8', 'int4'). RuntimeError if the system gives fewer threads.");
    nb::class_<NativeEngine, Source>(m, "NativeEngine",
                                     "A model that runs: shared weights and a state of its own for each voice. "
                                     "sopilib.Engine is its public face and\n"
                                     "documents its arguments. The GIL is released while it computes. It is used by "
                                     "one thread at a time: RuntimeError\n"
                                     "if another thread is in one of its functions, and then nothing has changed. "
                                     "ValueError for arrays of other shapes\n"
                                     "than those said here, and for codes outside 0 to q_levels - 1.")
        .def(
            "__init__",
            [](NativeEngine *self, std::shared_ptr<Weights> weights, int voices, int threads, const std::string &set) {
                new (self) NativeEngine(std::move(weights), voices, threads, kernels_of(set));
            },
            "weights"_a, "voices"_a, "threads"_a, "instruction_set"_a,
            "voices is 1 to 1024. threads is 1 to 64: that many cores are used by one call, or fewer where the system "
            "gives\n"
            "fewer threads; their number changes no bit of the result. instruction_set is 'auto' or a name.")
        .def(
            "clone", &NativeEngine::clone, "voices"_a, "threads"_a = 0, nb::call_guard<nb::gil_scoped_release>(),
            "An engine with the same weights, shared, and a fresh state for that many voices (1 to 1024), on that many "
            "threads (1 to 64; 0: as many as this one).")
        .def("reset", &NativeEngine::reset, "seed"_a,
             "Starts anew: the history is silence, RNN states are the initial ones, and each voice has its own random "
             "stream of\n"
             "that seed (0 to 2**64 - 1).")
        .def("teacher_force", &teacher_force, "codes"_a, "features"_a,
             "Replaces the history by the first `lookback` of codes, int32 (voices, lookback + n), and consumes the "
             "others;\n"
             "returns their logits, float32 (voices, n, q_levels). features are float32 (voices, frames, F), one row "
             "for each\n"
             "lowest frame of the n codes.")
        .def("prime", &prime, "codes"_a, "features"_a,
             "Appends codes, int32 (voices, n), to the past. features are float32 (voices, F), held for all of them.")
        .def(
            "generate", &generate, "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a, "rest"_a, "rest_level"_a,
            "features"_a,
            "Draws n codes for each voice, int32 (voices, n). temperature is float32 (voices, n), each above 0. top_k "
            "int32,\n"
            "top_p and min_p float32 are (voices,): 0, 1 and 0 leave all codes. rest float32 (voices,) is the temperature "
            "where the\n"
            "last 512 samples of a voice are quieter than rest_level float32 (voices,), in dB; 0: its own. features are "
            "float32\n"
            "(voices, F).")
        .def("time_blocks", &time_blocks, "blocks"_a, "n"_a, "temperature"_a = 1.0f,
             "Makes `blocks` blocks of n samples as a stream does, and returns the seconds that each took, float64 "
             "(blocks,).")
        .def("share_of_products", &share_of_products, "blocks"_a, "n"_a, "temperature"_a = 1.0f,
             "Makes `blocks` blocks of n samples as a stream does, and returns which share of the time the thread that "
             "calls spends\n"
             "in the products of the model's matrices, 0 to 1. The time that reading the clock takes is left out.")
        .def_prop_ro("threads", &NativeEngine::threads,
                     "How many threads one call uses: what was asked for, or what the system gave.")
        .def("work", &work,
             "What a sample costs, as a dict: 'memory', bytes of all weights; 'again', bytes of the matrices that "
             "every largest\n"
             "frame reads again; 'moved', bytes read per sample on average; 'products', multiply-adds per sample and "
             "voice, by the form\n"
             "of the matrices: 'f32', 'int8' and 'int4'.")
        .def(
            "state", &state,
            "Everything that a bit-exact continuation needs, as a dict of arrays: position (samples since frames "
            "began, modulo\n"
            "lookback), history int32 (voices, lookback), seed and drawn uint64 (voices,), tier{i}.rnn{l} float32 "
            "(voices, D or\n"
            "2D), tier{i}.output float32 (voices, D), recent int32 (voices, 512), how loud the voice was; of a model with "
            "emphasis\n"
            "also emphasis float32 (voices, poles). set_state does without the last two: then they are what the history "
            "makes of\n"
            "them.")
        .def("set_state", &set_state, "state"_a,
             "Goes on from what `state` gave, of an engine of the same model and number of voices. Nothing changes if "
             "it does\n"
             "not fit (ValueError, or KeyError for a name that it lacks).")
        .def_prop_ro(
            "instruction_set", [](const NativeEngine &e) { return std::string(e.kernels().name); },
            "The name of the instruction set that it computes with.");
    nb::class_<Blend, Source>(m, "Blend",
                              "Two engines that write one music: each code is drawn from their blended logits, and "
                              "both hear it. They must not be\n"
                              "used for anything else meanwhile.")
        .def(nb::init<std::shared_ptr<NativeEngine>, std::shared_ptr<NativeEngine>>(), "first"_a, "second"_a,
             "ValueError if their voices, sample rates or codings differ.");
}

} // namespace sopi
