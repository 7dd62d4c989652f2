#include "engine/read.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sopi {

std::string shape_of(const std::vector<int64_t> &shape)
{
    std::string out = "(";
    for (size_t i = 0; i < shape.size(); i++) out += (i ? ", " : "") + (shape[i] < 0 ? "n" : std::to_string(shape[i]));
    return out + (shape.size() == 1 ? ",)" : ")");
}

void check_shape(const std::string &name, const std::vector<int64_t> &given, const std::vector<int64_t> &expected)
{
    bool fits = given.size() == expected.size();
    for (size_t i = 0; fits && i < given.size(); i++) fits = expected[i] < 0 || given[i] == expected[i];
    if (!fits) throw std::invalid_argument(name + " has shape " + shape_of(given) + ", expected " + shape_of(expected));
}

void check_range(const std::string &name, int64_t given, int64_t least, int64_t most)
{
    if (given < least || given > most)
        throw std::invalid_argument(name + " is " + std::to_string(given) + ", expected " + std::to_string(least) +
                                    " to " + std::to_string(most));
}

namespace {

Layer read_layer(Weights &w, const Arrays &read, const std::string &name, int inputs, Form form)
{
    const int d = w.dim;
    const bool reset_before = !w.lstm && !w.reset_after;
    Layer layer;
    layer.frame = read.columns(name + ".frame", w.gates, d, inputs);
    layer.condition = read.matrix(w.arena, name + ".condition", w.gates, d, d, form);
    layer.below = read.matrix(w.arena, name + ".below", w.gates, d, d, form);
    const float *u = read.data(name + ".recurrent", {static_cast<int64_t>(w.gates) * d, d});
    layer.recurrent = pack(w.arena, u, reset_before ? 2 : w.gates, d, d, form);
    if (reset_before) layer.reset = pack(w.arena, u + static_cast<size_t>(2) * d * d, 1, d, d, form);
    layer.output = read.matrix(w.arena, name + ".output", 1, d, d, form);
    layer.bias = read.vector(name + ".bias", w.gates, d);
    layer.candidate = read.vector(name + ".candidate", 1, d);
    const float *initial = read.data(name + ".initial", {w.state_size()});
    layer.initial = Vec<float>(initial, initial + w.state_size());
    return layer;
}

// Tier i hands down `parts` parts of a frame, each `width` wide.
Tier read_tier(Weights &w, const Arrays &read, int i, const std::vector<int> &frames, int layers, Form form)
{
    const std::string name = "tier" + std::to_string(i);
    const int parts = i ? frames[i] / frames[i - 1] : frames[0], width = i ? w.dim : w.width;
    Tier t;
    t.frame = frames[i];
    for (int l = 0; l < layers; l++)
        t.layers.push_back(
            read_layer(w, read, name + ".rnn" + std::to_string(l), t.frame + (i ? 0 : w.features), form));
    t.output_bias = read.vector(name + ".output_bias", 1, w.dim);
    const float *up = read.data(name + ".up.weight", {parts, width, w.dim}),
                *bias = read.data(name + ".up.bias", {parts, width});
    for (int k = 0; k < parts; k++) {
        t.up.push_back(pack(w.arena, up + static_cast<size_t>(k) * width * w.dim, 1, width, w.dim, form));
        t.up_bias.push_back(pack_units(bias + static_cast<size_t>(k) * width, 1, width));
    }
    return t;
}

void read_shape(const Shape &shape, Weights &w)
{
    const auto number = [](const char *name, int value, int least, int most) {
        check_range(name, value, least, most);
        return value;
    };
    w.dim = number("dim", shape.dim, 1, 1 << 14);
    w.width = number("mlp_dim", shape.mlp_dim, 1, 1 << 14);
    w.levels = number("q_levels", shape.q_levels, 2, kLevels);
    w.silence = number("q_zero", shape.q_zero, 0, w.levels - 1);
    w.sample_rate = number("sample_rate", shape.sample_rate, 1, 1 << 20);
    w.features = number("features", shape.features, 0, 1 << 12);
    check_range("num_rnn_layers", shape.num_rnn_layers, 1, 64);
    w.lstm = shape.lstm;
    w.gates = w.lstm ? 4 : 3;
    w.skip = shape.skip_conn;
    w.reset_after = shape.gru_reset_after;
    if (shape.frame_sizes.empty())
        throw std::invalid_argument("frame_sizes is empty, expected at least one frame tier");
    if (shape.sample_relu.empty()) throw std::invalid_argument("sample_relu is empty, expected at least one layer");
    int below = 1;
    for (int size : shape.frame_sizes) {
        check_range("a frame size", size, below, 1 << 16);
        if (size % below) throw std::invalid_argument("frame_sizes must each be a multiple of the one before");
        below = size;
    }
    w.coding.level = shape.level;
    w.coding.poles = shape.emphasis;
    check_range("the number of emphasis poles", static_cast<int64_t>(w.coding.poles.size()), 0, kMostPoles);
}

} // namespace

std::shared_ptr<Weights> read_weights(const Shape &shape, const Arrays &read, const std::string &precision)
{
    if (precision != "f32" && precision != "int8" && precision != "int4")
        throw std::invalid_argument("precision is '" + precision + "', expected f32, int8 or int4");
    auto out = std::make_shared<Weights>();
    Weights &w = *out;
    read_shape(shape, w);
    w.quantised = precision != "f32";
    const Form samples = w.quantised ? Form::i8 : Form::f32, frames = precision == "int4" ? Form::i4 : samples;
    for (size_t i = 0; i < shape.frame_sizes.size(); i++)
        w.tiers.push_back(read_tier(w, read, static_cast<int>(i), shape.frame_sizes, shape.num_rnn_layers, frames));
    const float *tables = read.data("sample.tables", {shape.frame_sizes[0], w.levels, w.width});
    w.tables = pack_tables(w.arena, tables, shape.frame_sizes[0], w.levels, w.width, w.quantised);
    w.sum_relu = shape.sample_relu[0];
    int width = w.width;
    for (size_t k = 0; k + 1 < shape.sample_relu.size(); k++) {
        const std::string name = "sample.layer" + std::to_string(k);
        const int out_width = read.size(name + ".weight", 0);
        check_range(name + ".weight's rows", out_width, 1, std::max(w.width, w.levels));
        SampleLayer layer;
        layer.weight = pack(w.arena, read.data(name + ".weight", {out_width, width}), 1, out_width, width, samples);
        layer.bias = pack_units(read.data(name + ".bias", {out_width}), 1, out_width);
        layer.relu = shape.sample_relu[k + 1];
        w.sample.push_back(std::move(layer));
        width = out_width;
    }
    if (width != w.levels)
        throw std::invalid_argument("the sample level gives " + std::to_string(width) + " logits, expected " +
                                    std::to_string(w.levels));
    const float *seen = read.data("seen", {w.levels}), *decode = read.data("decode", {w.levels});
    w.seen = pack_units(seen, 1, w.levels);
    w.coding.values.assign(decode, decode + w.levels);
    w.note_size();
    return out;
}

} // namespace sopi
