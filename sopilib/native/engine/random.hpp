// The random streams: numbers that depend on a seed, a voice and a count alone, so that any of them can be had at once.
#pragma once

#include <cstdint>

namespace sopi {

// SplitMix64's output function.
inline uint64_t scramble(uint64_t z) noexcept
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// Number `counter` of the stream `seed`, voice `voice`, in [0, 1): SplitMix64's output function over a counter.
inline float coin(uint64_t seed, int voice, uint64_t counter) noexcept
{
    const uint64_t key = scramble(seed + 0x9e3779b97f4a7c15ull * (static_cast<uint64_t>(voice) + 1));
    return static_cast<float>(scramble(key + 0x9e3779b97f4a7c15ull * (counter + 1)) >> 40) * (1.0f / 16777216.0f);
}

} // namespace sopi
