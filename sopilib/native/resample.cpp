#include "resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace sopi {

namespace {

constexpr int kLanes = 8;
constexpr double kAttenuation = 75.0; // dB of images and aliases, which begin at the lower Nyquist frequency
constexpr double kLongest = 0.002;    // s of group delay
constexpr double kHalfWidth = 31.5;   // samples of the lower rate: the passband then reaches 0.85 of its Nyquist
constexpr double kPi = 3.14159265358979323846;

// Modified Bessel function of the first kind, order 0.
double bessel(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-18 * sum; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

} // namespace

// Kaiser's formulas: attenuation A and length T give the transition's width and the window's beta
// (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.6).
std::shared_ptr<const Filter> Filter::design(int model_rate, int host_rate)
{
    auto f = std::make_shared<Filter>();
    f->model_rate = model_rate;
    f->host_rate = host_rate;
    const int divisor = std::gcd(model_rate, host_rate);
    f->up = host_rate / divisor;
    f->down = model_rate / divisor;
    if (f->up == f->down) return f;

    const double lower = std::min(1.0, double(host_rate) / model_rate); // the lower rate, in model samples^-1
    f->delay = std::min(kHalfWidth / lower, kLongest * model_rate);
    const double length = 2 * f->delay;
    const double transition = (kAttenuation - 7.95) / (14.36 * length);
    const double cutoff = std::max(0.25 * lower, 0.5 * lower - transition / 2);
    const double beta = 0.1102 * (kAttenuation - 8.7), edge = 1 / bessel(beta);
    const int used = int(std::floor(length)) + 1;
    f->taps = (used + kLanes - 1) / kLanes * kLanes;
    f->phases.assign(size_t(f->up) * f->taps, 0.0f);

    std::vector<double> h(used);
    for (int p = 0; p < f->up; p++) {
        double sum = 0;
        for (int j = 0; j < used; j++) {
            const double t = double(p) / f->up + j - f->delay, x = t / f->delay;
            const double window = x * x >= 1 ? (x * x > 1 ? 0 : edge) : bessel(beta * std::sqrt(1 - x * x)) * edge;
            const double s = 2 * cutoff * t;
            h[j] = window * (std::fabs(s) < 1e-12 ? 1.0 : std::sin(kPi * s) / (kPi * s));
            sum += h[j];
        }
        float *row = &f->phases[size_t(p) * f->taps];
        for (int j = 0; j < used; j++) row[f->taps - 1 - j] = float(h[j] / sum);
    }
    return f;
}

Resampler::Resampler(std::shared_ptr<const Filter> filter, int channels, int most)
    : filter_(std::move(filter)), channels_(channels), up_(filter_->up), down_(filter_->down),
      room_(filter_->taps + int(uint64_t(most) * down_ / up_) + 2), past_(size_t(channels) * room_, 0.0f)
{
}

void Resampler::restart() noexcept
{
    std::fill(past_.begin(), past_.end(), 0.0f);
    samples_ = frames_ = 0;
}

int Resampler::needed(int n) const noexcept
{
    if (n <= 0) return 0;
    const uint64_t upto = (frames_ + n - 1) * down_ / up_ + 1; // samples 0 .. floor(k * down / up)
    return upto > samples_ ? int(upto - samples_) : 0;
}

void Resampler::process(const float *in, int stride, float *const *out, int n) noexcept
{
    if (n <= 0) return;
    const int take = needed(n), taps = filter_->taps;
    for (int c = 0; c < channels_; c++) {
        if (filter_->phases.empty()) {
            std::memcpy(out[c], in + size_t(c) * stride, sizeof(float) * n);
            continue;
        }
        float *past = &past_[size_t(c) * room_];
        std::memcpy(past + taps, in + size_t(c) * stride, sizeof(float) * take);
        for (int i = 0; i < n; i++) {
            const uint64_t at = (frames_ + i) * down_;
            // past[taps + j] is sample samples_ + j; the frame's newest one is floor(at / up).
            const float *x = past + 1 + int64_t(at / up_ - samples_);
            const float *h = &filter_->phases[size_t(at % up_) * taps];
            // Eight partial sums, always in this order: quick, and the same on every machine.
            float lane[kLanes] = {};
            for (int j = 0; j < taps; j += kLanes)
                for (int l = 0; l < kLanes; l++) lane[l] += x[j + l] * h[j + l];
            out[c][i] = ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        }
        std::memmove(past, past + take, sizeof(float) * taps);
    }
    samples_ += take;
    frames_ += n;
}

} // namespace sopi
