#include "stream/trap.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sopi {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kSilence = 1e-3;   // rms, -60 dB, of what moves
constexpr double kRepeats = 0.97;   // of its energy comes again
constexpr int kEnough = 16000;      // Hz at which it looks, at most
constexpr double kShortest = 0.05;  // s: a loop is at least as long; what repeats sooner is a tone

} // namespace

const char *name_of(Trap trap) noexcept
{
    static const char *const names[] = {"", "silence", "tone", "loop"};
    return names[int(trap)];
}

TrapDetector::TrapDetector(int sample_rate, double phase)
    : thinned_((sample_rate + kEnough - 1) / kEnough), rate_(sample_rate / thinned_), since_(int(-0.5 * phase * rate_)),
      window_(rate_)
{
    size_t size = 1;
    while (size < 2 * window_.size()) size *= 2;
    spectrum_.resize(size);
    for (size_t k = 0; k < size / 2; k++)
        roots_.push_back(std::polar(1.0f, float(-2 * kPi * double(k) / double(size))));
}

void TrapDetector::forget() noexcept
{
    filled_ = since_ = count_ = 0;
    seen_ = Trap::none;
}

int TrapDetector::until_look() const noexcept
{
    return std::max(length() / 2 - since_, length() - filled_) * thinned_ - summed_;
}

bool TrapDetector::feed(const float *samples, int n) noexcept
{
    bool looked = false;
    while (n > 0) {
        const int left = until_look(), m = std::min(n, left);
        take(samples, m);
        samples += m;
        n -= m;
        if (m < left) break;
        since_ = 0;
        const Trap now = look();
        count_ = now != Trap::none && now == seen_ ? count_ + 1 : now != Trap::none ? 1 : 0;
        seen_ = now;
        looked = true;
    }
    return looked;
}

void TrapDetector::take(const float *samples, int n) noexcept
{
    for (int i = 0; i < n; i++) {
        sum_ += samples[i];
        if (++summed_ < thinned_) continue;
        window_[at_] = sum_ / float(thinned_);
        at_ = at_ + 1 == length() ? 0 : at_ + 1;
        filled_ = std::min(length(), filled_ + 1);
        since_++;
        summed_ = 0;
        sum_ = 0;
    }
}

// Autocorrelation by the spectrum: of a sound that repeats itself, what is left after a lag is like what was before it.
Trap TrapDetector::look() noexcept
{
    const int length = this->length(), size = int(spectrum_.size());
    double mean = 0;
    for (float x : window_) mean += x;
    mean /= length;
    double energy = 0;
    for (int i = 0; i < length; i++) {
        const double x = window_[(at_ + i) % length] - mean;
        spectrum_[i] = float(x);
        energy += x * x;
    }
    if (energy < kSilence * kSilence * length) return Trap::silence;
    std::fill(spectrum_.begin() + length, spectrum_.end(), 0.0f);
    transform();
    for (auto &x : spectrum_) x = std::norm(x);
    transform(); // of a power spectrum, which is even, it is its own inverse but for the size
    // Over the part that both share, the lag's energy is about its share of the window's.
    const auto likeness = [&](int lag) { return spectrum_[lag].real() / size / (energy * (length - lag) / length); };
    const int shortest = int(kShortest * rate_);
    double most = 0;
    for (int lag = shortest; lag < length / 2; lag++) most = std::max(most, likeness(lag));
    if (most < kRepeats) return Trap::none;
    // after the first dip: does it come again at once?
    int lag = 1;
    while (lag < shortest && likeness(lag) > 0.5) lag++;
    for (; lag < shortest; lag++)
        if (likeness(lag) >= kRepeats) return Trap::tone;
    return Trap::loop;
}

// Radix 2, decimation in time.
void TrapDetector::transform() noexcept
{
    const size_t size = spectrum_.size();
    for (size_t i = 1, j = 0; i < size; i++) {
        size_t bit = size >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) std::swap(spectrum_[i], spectrum_[j]);
    }
    for (size_t half = 1; half < size; half *= 2)
        for (size_t start = 0; start < size; start += 2 * half)
            for (size_t k = 0; k < half; k++) {
                const std::complex<float> a = spectrum_[start + k], w = roots_[k * (size / (2 * half))],
                                          b = spectrum_[start + k + half];
                const std::complex<float> c(w.real() * b.real() - w.imag() * b.imag(),
                                            w.real() * b.imag() + w.imag() * b.real());
                spectrum_[start + k] = a + c;
                spectrum_[start + k + half] = a - c;
            }
}

} // namespace sopi
