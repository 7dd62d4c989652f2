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
constexpr int kPhases = 256;          // of a filter between whose phases is interpolated
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

// Eight partial sums, always in this order: quick, and the same on every machine.
float dot(const float *x, const float *h, int taps) noexcept
{
    float lane[kLanes] = {};
    for (int j = 0; j < taps; j += kLanes)
        for (int l = 0; l < kLanes; l++) lane[l] += x[j + l] * h[j + l];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

} // namespace

// Kaiser's formulas: attenuation A and length T give the transition's width and the window's beta
// (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.6). `lower`: the lower rate, in model samples^-1.
void Filter::fill(double lower)
{
    const double length = 2 * delay;
    const double transition = (kAttenuation - 7.95) / (14.36 * length);
    const double cutoff = std::max(0.25 * lower, 0.5 * lower - transition / 2);
    const double beta = 0.1102 * (kAttenuation - 8.7), edge = 1 / bessel(beta);
    const int used = static_cast<int>(std::floor(length)) + 1, rows = up + (between ? 1 : 0);
    taps = (used + kLanes - 1) / kLanes * kLanes;
    phases.assign(static_cast<size_t>(rows) * taps, 0.0f);

    std::vector<double> h(used);
    for (int p = 0; p < rows; p++) {
        double sum = 0;
        for (int j = 0; j < used; j++) {
            const double t = static_cast<double>(p) / up + j - delay, x = t / delay;
            const double window = x * x >= 1 ? (x * x > 1 ? 0 : edge) : bessel(beta * std::sqrt(1 - x * x)) * edge;
            const double s = 2 * cutoff * t;
            h[j] = window * (std::fabs(s) < 1e-12 ? 1.0 : std::sin(kPi * s) / (kPi * s));
            sum += h[j];
        }
        float *row = &phases[static_cast<size_t>(p) * taps];
        for (int j = 0; j < used; j++) row[taps - 1 - j] = static_cast<float>(h[j] / sum);
    }
}

std::shared_ptr<const Filter> Filter::design(int model_rate, int host_rate)
{
    auto f = std::make_shared<Filter>();
    f->model_rate = model_rate;
    f->host_rate = host_rate;
    const int divisor = std::gcd(model_rate, host_rate);
    f->up = host_rate / divisor;
    f->down = model_rate / divisor;
    if (f->up == f->down) return f;
    const double lower = std::min(1.0, static_cast<double>(host_rate) / model_rate);
    f->delay = std::min(kHalfWidth / lower, kLongest * model_rate);
    f->fill(lower);
    return f;
}

// The same delay as of `design`, so that changing over moves no sound.
std::shared_ptr<const Filter> Filter::design_between(int model_rate, int host_rate, double fastest)
{
    const auto plain = design(model_rate, host_rate);
    auto f = std::make_shared<Filter>();
    f->model_rate = model_rate;
    f->host_rate = host_rate;
    f->up = kPhases;
    f->down = plain->down;
    f->between = true;
    f->delay = plain->delay > 0 ? plain->delay : std::min(kHalfWidth, kLongest * model_rate);
    f->fill(std::min(1.0, static_cast<double>(host_rate) / (model_rate * std::max(1.0, fastest))));
    return f;
}

Resampler::Resampler(std::shared_ptr<const Filter> filter, int channels, int most)
    : filter_(std::move(filter)), channels_(channels), up_(filter_->up), down_(filter_->down)
{
    const int samples = static_cast<int>(kFastest * static_cast<double>(most) * static_cast<double>(down_) /
                                         static_cast<double>(up_)) +
                        2;
    // of the filter for varying rates too
    taps_ = (static_cast<int>(2 * std::max(filter_->delay, std::min(kHalfWidth, kLongest * filter_->model_rate))) + 2 +
             kLanes - 1) /
            kLanes * kLanes;
    room_ = taps_ + samples;
    past_.assign(static_cast<size_t>(channels_) * room_, 0.0f);
    newest_.resize(most);
    phase_.resize(most);
    heard_.resize(samples);
}

void Resampler::restart() noexcept
{
    std::fill(past_.begin(), past_.end(), 0.0f);
    samples_ = frames_ = 0;
    between_ = nullptr;
}

void Resampler::vary(std::shared_ptr<const Filter> filter) noexcept
{
    if (!between_) {
        const uint64_t at = frames_ * down_;
        whole_ = static_cast<int>(static_cast<int64_t>(at / up_) - static_cast<int64_t>(samples_));
        part_ = static_cast<double>(at % up_) / static_cast<double>(up_);
    }
    between_ = std::move(filter);
}

int Resampler::plan(int n, const double *rate) noexcept
{
    planned_ = n;
    takes_ = 0;
    int whole = whole_;
    double part = part_;
    for (int k = 0; k < n; k++) {
        if (between_) {
            newest_[k] = whole;
            phase_[k] = part * between_->up;
            part += (rate ? rate[k] : 1.0) * static_cast<double>(down_) / static_cast<double>(up_);
            const double samples = std::floor(part);
            whole += static_cast<int>(samples);
            part -= samples;
        } else {
            const uint64_t at = (frames_ + k) * down_; // the frame's newest sample is floor(at / up)
            newest_[k] = static_cast<int>(static_cast<int64_t>(at / up_) - static_cast<int64_t>(samples_));
            phase_[k] = static_cast<double>(at % up_);
        }
        while (takes_ <= newest_[k]) heard_[takes_++] = k;
    }
    planned_whole_ = whole;
    planned_part_ = part;
    return takes_;
}

void Resampler::process(const float *in, int stride, float *const *out) noexcept
{
    const Filter &f = between_ ? *between_ : *filter_;
    for (int c = 0; c < channels_; c++) {
        float *past = &past_[static_cast<size_t>(c) * room_];
        std::memcpy(past + taps_, in + static_cast<size_t>(c) * stride, sizeof(float) * takes_);
        for (int i = 0; i < planned_; i++) {
            // past[taps + j] is the j-th new sample
            const float *newest = past + taps_ + newest_[i];
            if (f.phases.empty()) {
                out[c][i] = *newest;
                continue;
            }
            const int row = static_cast<int>(phase_[i]);
            const float *x = newest + 1 - f.taps, *h = &f.phases[static_cast<size_t>(row) * f.taps];
            const float value = dot(x, h, f.taps);
            const float share = static_cast<float>(phase_[i] - row);
            out[c][i] = between_ ? value + share * (dot(x, h + f.taps, f.taps) - value) : value;
        }
        std::memmove(past, past + takes_, sizeof(float) * taps_);
    }
    samples_ += takes_;
    frames_ += planned_;
    whole_ = planned_whole_ - takes_;
    part_ = planned_part_;
}

} // namespace sopi
