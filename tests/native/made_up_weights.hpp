// Weights of small models that nobody trained, the same on every machine.
#pragma once

#include "engine/engine.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace sopi {

struct Shape {
    const char *name;
    std::vector<int> frames;
    int dim, width, layers, levels;
    bool lstm, skip, reset_after;
};
inline const Shape shapes[] = {
    {"gru", {4, 16}, 40, 24, 2, 256, false, false, true},
    {"gru-skips-reset-before", {2, 8}, 36, 50, 2, 100, false, true, false},
    {"lstm", {8}, 48, 32, 2, 256, true, true, true},
};

// Numbers in [-size, size), the same everywhere.
class Numbers {
public:
    std::vector<float> take(size_t n, float size)
    {
        std::vector<float> out(n);
        for (float &x : out) {
            state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
            x = size * (static_cast<float>(state_ >> 40) * (1.0f / 8388608.0f) - 1.0f);
        }
        return out;
    }

private:
    uint64_t state_ = 1;
};

inline std::shared_ptr<Weights> make_weights(const Shape &s, Form frames, Form samples)
{
    auto out = std::make_shared<Weights>();
    Weights &w = *out;
    w.dim = s.dim, w.width = s.width, w.levels = s.levels, w.silence = s.levels / 2, w.sample_rate = 16000;
    w.lstm = s.lstm, w.skip = s.skip, w.reset_after = s.reset_after, w.gates = s.lstm ? 4 : 3;
    w.sum_relu = true, w.quantised = samples != Form::f32;
    for (int i = 0; i < s.levels; i++)
        w.seen.push_back(4.0f / static_cast<float>(s.levels) * static_cast<float>(i) - 2);
    Numbers numbers;
    const auto matrix = [&](int gates, int units, int columns, Form form) {
        const auto values = numbers.take(static_cast<size_t>(gates) * units * columns, 0.2f);
        return pack(w.arena, values.data(), gates, units, columns, form);
    };
    const auto vector = [&](int gates, int units) {
        return pack_units(numbers.take(static_cast<size_t>(gates) * units, 0.5f).data(), gates, units);
    };
    const bool reset_before = !s.lstm && !s.reset_after;
    for (size_t i = 0; i < s.frames.size(); i++) {
        Tier t;
        t.frame = s.frames[i];
        for (int l = 0; l < s.layers; l++) {
            Layer layer;
            if (l == 0) {
                layer.frame = pack_columns(numbers.take(static_cast<size_t>(w.gates) * s.dim * t.frame, 0.3f).data(),
                                           w.gates, s.dim, t.frame);
                if (i + 1 < s.frames.size()) layer.condition = matrix(w.gates, s.dim, s.dim, frames);
            } else {
                layer.below = matrix(w.gates, s.dim, s.dim, frames);
            }
            layer.recurrent = matrix(reset_before ? 2 : w.gates, s.dim, s.dim, frames);
            if (reset_before) layer.reset = matrix(1, s.dim, s.dim, frames);
            if (s.skip) layer.output = matrix(1, s.dim, s.dim, frames);
            layer.bias = vector(w.gates, s.dim);
            if (!s.lstm && s.reset_after) layer.candidate = vector(1, s.dim);
            layer.initial = Vec<float>(static_cast<size_t>(w.state_size()), 0.1f);
            t.layers.push_back(std::move(layer));
        }
        if (s.skip) t.output_bias = vector(1, s.dim);
        const int width = i ? s.dim : s.width, parts = i ? t.frame / s.frames[i - 1] : t.frame;
        for (int k = 0; k < parts; k++) {
            t.up.push_back(matrix(1, width, s.dim, frames));
            t.up_bias.push_back(vector(1, width));
        }
        w.tiers.push_back(std::move(t));
    }
    const auto tables = numbers.take(static_cast<size_t>(s.frames[0]) * s.levels * s.width, 0.5f);
    w.tables = pack_tables(w.arena, tables.data(), s.frames[0], s.levels, s.width, w.quantised);
    w.sample.push_back({matrix(1, s.width, s.width, samples), vector(1, s.width), true});
    w.sample.push_back({matrix(1, s.levels, s.width, samples), vector(1, s.levels), false});
    w.coding.values.assign(static_cast<size_t>(s.levels), 0.0f);
    return out;
}

} // namespace sopi
