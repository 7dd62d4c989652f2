#include "stream/trap.hpp"

#include <algorithm>
#include <cmath>

namespace sopi {

namespace {

constexpr double kSilence = 1e-3;   // rms, -60 dB, of what moves
constexpr double kRepeats = 0.97;   // of its energy comes again
constexpr int kEnough = 16000;      // Hz at which it looks, at most
constexpr double kShortest = 0.05;  // s: a loop is at least as long; what repeats sooner is a tone

} // namespace

const char *name_of(Trap trap) noexcept
{
    static const char *const names[] = {"", "silence", "tone", "loop", "drone"};
    return names[int(trap)];
}

TrapDetector::TrapDetector(int sample_rate, double phase, Stillness recordings)
    : thinned_((sample_rate + kEnough - 1) / kEnough), rate_(sample_rate / thinned_), since_(int(-0.5 * phase * rate_)),
      window_(rate_), fourier_(2 * window_.size()), spectrum_(fourier_.size())
{
    if (recordings.below > 0) still_.emplace(rate_, recordings);
}

Trap TrapDetector::trap() const noexcept
{
    if (count_ >= kLooks) return seen_;
    return still_ && still_->drone() ? Trap::drone : Trap::none;
}

Trap TrapDetector::seen() const noexcept
{
    if (seen_ != Trap::none) return seen_;
    return still_ && still_->still() ? Trap::drone : Trap::none;
}

void TrapDetector::forget() noexcept
{
    filled_ = since_ = count_ = 0;
    seen_ = Trap::none;
    if (still_) still_->forget();
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
        if (still_) still_->feed(window_[at_]);
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
    fourier_.transform(spectrum_);
    for (auto &x : spectrum_) x = std::norm(x);
    fourier_.transform(spectrum_); // of a power spectrum, which is even, it is its own inverse but for the size
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

} // namespace sopi
