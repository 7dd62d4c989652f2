#include "stream/stillness.hpp"

#include <algorithm>
#include <cmath>

namespace sopi {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kLowest = 40;    // Hz
constexpr double kFloor = 1e-7;   // -70 dB: what is softer in a band doesn't count
constexpr double kSilence = 1e-6; // -60 dB: silence is no drone
constexpr double kFrame = 0.05;   // s
constexpr double kLonger = 1.5;   // times the recordings' longest
constexpr double kShortest = 4;   // s

double mel(double hz) { return 2595 * std::log10(1 + hz / 700); }
double hz(double mel) { return 700 * (std::pow(10, mel / 2595) - 1); }

} // namespace

StillDetector::StillDetector(int rate, Stillness recordings)
    : recordings_(recordings), shape_(size_t(std::lround(kFrame * rate))), frame_(shape_.size()),
      fourier_(shape_.size()), spectrum_(fourier_.size())
{
    const double n = double(shape_.size()), size = double(fourier_.size());
    double energy = 0;
    for (size_t i = 0; i < shape_.size(); i++) {
        const double x = 0.5 - 0.5 * std::cos(2 * kPi * double(i) / n);
        shape_[i] = float(x);
        energy += x * x;
    }
    scale_ = 2 / (size * energy);
    const double low = mel(kLowest), high = mel(rate / 2.0);
    for (int b = 0; b <= kBands; b++) {
        const double edge = hz(low + (high - low) * b / kBands);
        edges_[b] = std::min(int(size) / 2, int(std::ceil(edge * size / rate - 1e-9)));
    }
}

void StillDetector::forget() noexcept
{
    filled_ = 0;
    frames_ = next_ = run_ = 0;
    movement_ = -1;
}

bool StillDetector::drone() const noexcept
{
    return (run_ - 1 + kWindow) * kFrame >= std::max(kShortest, kLonger * recordings_.longest) && still();
}

void StillDetector::feed(float sample) noexcept
{
    frame_[filled_++] = sample;
    if (filled_ == frame_.size()) end_frame();
}

void StillDetector::end_frame() noexcept
{
    filled_ = 0;
    for (size_t i = 0; i < frame_.size(); i++) spectrum_[i] = frame_[i] * shape_[i];
    std::fill(spectrum_.begin() + std::ptrdiff_t(frame_.size()), spectrum_.end(), 0.0f);
    fourier_.transform(spectrum_);
    powers_[next_] = 0;
    for (int b = 0; b < kBands; b++) {
        double power = 0;
        for (int k = edges_[b]; k < std::max(edges_[b] + 1, edges_[b + 1]); k++) power += std::norm(spectrum_[k]);
        levels_[next_][b] = 10 * std::log10(power * scale_ + kFloor);
        powers_[next_] += power * scale_;
    }
    next_ = next_ + 1 == kWindow ? 0 : next_ + 1;
    frames_ = std::min(kWindow, frames_ + 1);
    movement_ = frames_ == kWindow ? moved() : -1;
    run_ = movement_ >= 0 && movement_ < recordings_.below ? run_ + 1 : 0;
}

// The root mean square, over the bands, of how far each level deviates within the window.
double StillDetector::moved() const noexcept
{
    double power = 0, sum = 0;
    for (double p : powers_) power += p;
    if (power < kSilence * kWindow) return -1;
    for (int b = 0; b < kBands; b++) {
        double mean = 0;
        for (const auto &frame : levels_) mean += frame[b];
        mean /= kWindow;
        for (const auto &frame : levels_) sum += (frame[b] - mean) * (frame[b] - mean);
    }
    return std::sqrt(sum / (kBands * kWindow));
}

} // namespace sopi
