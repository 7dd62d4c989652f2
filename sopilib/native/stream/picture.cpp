#include "stream/picture.hpp"

#include <algorithm>
#include <cmath>

namespace sopi {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr size_t kFrames = 2048;
constexpr double kLowest = 50, kHighest = 12000; // Hz
constexpr double kLongest = 0.1;                 // s of which the peak is taken

uint8_t byte(double db, double least, double most)
{
    return uint8_t(std::lround(255 * std::clamp((db - least) / (most - least), 0.0, 1.0)));
}

} // namespace

Picture::Picture() : fourier_(kFrames), shape_(kFrames), heard_(kFrames), spectrum_(kFrames)
{
    for (size_t i = 0; i < kFrames; i++) shape_[i] = float(0.5 - 0.5 * std::cos(2 * kPi * double(i) / kFrames));
}

// The sum of the channels from `first` to `end`, the last kFrames of it into heard_ -> its peak.
float Picture::collect(const sopi_ring *ring, uint64_t first, uint64_t end)
{
    float peak = 0;
    std::fill(heard_.begin(), heard_.end(), 0.0f);
    for (uint64_t p = first; p < end; p++) {
        float sum = 0;
        for (uint32_t c = 0; c < ring->channels; c++) {
            const float x = ring->data[size_t(c) * ring->capacity + (p & (ring->capacity - 1))];
            if (p >= looked_) peak = std::max(peak, std::fabs(x));
            sum += x;
        }
        if (end - p <= kFrames) heard_[kFrames - size_t(end - p)] = sum;
    }
    return peak;
}

bool Picture::look(const sopi_ring *ring, double rate, uint8_t (&column)[1 + kBands])
{
    const uint64_t end = sopi_load(&ring->read), written = sopi_load(&ring->write);
    if (end == looked_ || !(rate > 0)) return false;
    looked_ = std::max(looked_, end - std::min(end, uint64_t(kLongest * rate)));
    // what is about to be written over is left out
    const uint64_t kept = ring->capacity - ring->capacity / 8, oldest = written > kept ? written - kept : 0;
    const uint64_t wanted = std::min(looked_, end - std::min<uint64_t>(end, kFrames));
    const float peak = collect(ring, std::max(oldest, wanted), std::min(end, written));
    looked_ = end;
    column[0] = byte(20 * std::log10(double(peak) + 1e-9), -60, 0);

    for (size_t i = 0; i < kFrames; i++) spectrum_[i] = heard_[i] * shape_[i];
    fourier_.transform(spectrum_);
    const double width = rate / kFrames, ratio = kHighest / kLowest;
    for (int b = 0; b < kBands; b++) {
        const auto edge = [&](int k) { return kLowest * std::pow(ratio, double(k) / kBands) / width; };
        const size_t low = size_t(edge(b)), high = std::max(low + 1, size_t(edge(b + 1)));
        float most = 0;
        for (size_t k = low; k < high && k < kFrames / 2; k++) most = std::max(most, std::norm(spectrum_[k]));
        column[1 + b] = byte(10 * std::log10(double(most) * 16 / (kFrames * kFrames) + 1e-12), -90, -12);
    }
    return true;
}

} // namespace sopi
