// From codes to sound and back, as far as that has a memory: emphasis, the level, and the limiter.
//
// A model with emphasis writes not the sound as codes but what is left of each sample x after a share a of the one before:
// x[n] - a x[n-1], for each pole a in turn. That is undone where it is heard, y[n] = value of the code + a y[n-1], and with it
// the noise of the codes falls as the music does. Everything in float32, each product rounded before it is added, so that it
// is the same on every machine and in sopilib.model.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace sopi {

constexpr int kMostPoles = 2;

// What one voice remembers, of each pole.
struct Memory {
    float of[kMostPoles] = {};
};

struct Coding {
    std::vector<float> values; // [q_levels] of each code
    std::vector<float> poles; // at most kMostPoles; none: no emphasis
    float level = 1; // of what sounds, in times what was coded

    // RT. What a code sounds like after those before it. `limited` counts the samples that the limiter held: it keeps full
    // scale and leaves the memory alone. Without emphasis a code is its value, as in the older systems.
    float undo(int32_t code, Memory &memory, uint64_t &limited) const noexcept
    {
        float y = values[static_cast<size_t>(code)];
        if (poles.empty()) return level * y;
        for (size_t k = 0; k < poles.size(); k++) {
            const float kept = poles[k] * memory.of[k];
            y = y + kept;
            if (std::fabs(y) < 1e-15f) y = 0; // silence ends, and nothing is ever denormal
            memory.of[k] = y;
        }
        y = level * y;
        const float held = std::clamp(y, -1.0f, 1.0f);
        if (held != y) limited++;
        return held;
    }
    // RT. What of a sample of sound is to be written as a code.
    float emphasise(float x, Memory &before) const noexcept
    {
        x = x / level;
        for (size_t k = 0; k < poles.size(); k++) {
            const float expected = poles[k] * before.of[k];
            before.of[k] = x;
            x = x - expected;
        }
        return x;
    }
};

} // namespace sopi
