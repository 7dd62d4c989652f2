// The weights of one model, as the kernels read them. Engines share them, and they never change.
//
// Shapes: D = dim, W = mlp_dim, n = frame size, G = gates, r = parts a tier hands down per frame, V = width of a part,
// q = levels, f = frame size of tier 0 (the smallest), F = features. docs/model.md has the equations, kernel.hpp the
// order of gates in memory: [unit block][gate][16]. Every vector is padded with zeros to blocks of 16.
#pragma once

#include "coding.hpp"
#include "kernel.hpp"
#include "pack.hpp"

#include <cstddef>
#include <vector>

namespace sopi {

// Gates = bias + frame * u + condition * c + below * (h of the layer below) and recurrent * h.
struct Layer {
    Vec<float> frame;    // [n, tier 0 n + F][G*D] from the frame, one column after the other, or empty
    Matrix condition;    // [G*D][D] from what the tier above hands down, or empty
    Matrix below;        // [G*D][D] from the layer below, or empty
    Matrix recurrent;    // [G*D][D], or [2*D][D] (r z) with the reset before the matmul
    Matrix reset;        // [D][D] the candidate's, then; else empty
    Matrix output;       // [D][D] to the tier's output, or empty
    Vec<float> bias, candidate, initial; // [G*D], [D] or empty, [state]
};

struct Tier {
    int frame = 0;              // n, samples
    std::vector<Layer> layers;
    Vec<float> output_bias;     // [D], with skip connections
    std::vector<Matrix> up;     // [r] of [V][D]
    std::vector<Vec<float>> up_bias; // [r] of [V]
};

struct SampleLayer {
    Matrix weight;
    Vec<float> bias;
    bool relu = false;
};

struct Weights {
    int dim = 0, width = 0, levels = 0, silence = 0, gates = 0, sample_rate = 0, features = 0;
    bool lstm = false, skip = false, reset_after = true, sum_relu = false, quantised = false;
    std::vector<Tier> tiers; // smallest frames first
    Tables tables{};         // [f][q][W]
    std::vector<SampleLayer> sample; // may be empty: then W = q
    Vec<float> seen;         // [q]: by the frame tiers, of each code
    Coding coding;
    Arena arena;             // of matrices and tables

    // What a sample costs, whatever the number of voices that share it.
    struct Work {
        size_t memory = 0, again = 0; // bytes: all, and of the matrices, which are all read again in each largest frame
        double moved = 0; // bytes read per sample, on average
        double products[3] = {}; // multiply-adds per sample and voice, on average, by Form
    };
    Work work() const noexcept;

    // Once complete: tells the matrices whether they fit the caches together.
    void note_size() noexcept;
    int lookback() const noexcept { return tiers.back().frame; }
    int units() const noexcept { return padded(dim, kRows); } // D in memory
    int state_size() const noexcept { return lstm ? 2 * dim : dim; } // h, or h then c
};

} // namespace sopi
