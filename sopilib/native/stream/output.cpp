#include "stream/output.hpp"

#include "platform/platform.hpp"

#include <algorithm>
#include <cmath>

namespace sopi {

Output::Output(std::vector<sopi_ring *> rings, int channels) : rings_(std::move(rings)), channels_(channels)
{
    uint32_t most = 1;
    for (sopi_ring *r : rings_) {
        sopi_ring_retain(r);
        most = std::max(most, r->channels);
    }
    scratch_.assign(most * kPiece, 0.0f);
    for (uint32_t c = 0; c < most; c++) lines_.push_back(&scratch_[c * kPiece]);
}

Output::~Output()
{
    stop_clock();
    for (sopi_ring *r : rings_) sopi_ring_release(r);
}

void Output::host(double sample_rate, uint32_t block, bool running)
{
    for (sopi_ring *r : rings_) sopi_ring_host(r, sample_rate, block, running);
}

void Output::render(float *out, size_t frames) noexcept
{
    const uint64_t now = uint64_t(platform::now_ns());
    std::fill(out, out + frames * size_t(channels_), 0.0f);
    for (size_t done = 0; done < frames; done += kPiece) {
        const size_t n = std::min(kPiece, frames - done);
        float *piece = out + done * size_t(channels_);
        for (sopi_ring *r : rings_) {
            sopi_ring_read(r, lines_.data(), r->channels, uint32_t(n), now);
            const int lines = int(r->channels);
            for (int k = 0; k < (lines == 1 ? channels_ : lines); k++) {
                const float *from = lines_[size_t(k % lines)];
                float *to = piece + k % channels_;
                for (size_t i = 0; i < n; i++) to[i * size_t(channels_)] += from[i];
            }
        }
    }
}

void Output::start_clock(double sample_rate, uint32_t block, size_t keep)
{
    host(sample_rate, block, true);
    kept_.assign(keep * size_t(channels_), 0.0f);
    stop_ = false;
    thread_.start([this, sample_rate, block] { run(sample_rate, block); });
}

void Output::stop_clock()
{
    stop_ = true;
    thread_.join();
}

void Output::run(double sample_rate, uint32_t block)
{
    platform::name_thread("sopi-clock");
    std::vector<float> out(size_t(block) * size_t(channels_));
    const int64_t begin = platform::now_ns();
    for (uint64_t blocks = 0; !stop_; blocks++) {
        const int64_t due = begin + int64_t(std::llround(double(blocks * block) / sample_rate * 1e9));
        platform::sleep_ns(due - platform::now_ns());
        render(out.data(), block);
        if (!kept_.empty()) keep(out.data(), block);
    }
}

void Output::keep(const float *played, size_t frames) noexcept
{
    const uint64_t capacity = kept_.size() / size_t(channels_), in = in_.load(std::memory_order_relaxed);
    if (in + frames - out_.load(std::memory_order_acquire) > capacity) {
        lost_ += frames;
        return;
    }
    for (size_t i = 0; i < frames; i++)
        std::copy_n(played + i * size_t(channels_), channels_, &kept_[size_t((in + i) % capacity) * size_t(channels_)]);
    in_.store(in + frames, std::memory_order_release);
}

size_t Output::waiting() const noexcept { return size_t(in_.load(std::memory_order_acquire) - out_); }

void Output::take(float *out, size_t frames) noexcept
{
    const uint64_t capacity = kept_.size() / size_t(channels_), at = out_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < frames; i++)
        std::copy_n(&kept_[size_t((at + i) % capacity) * size_t(channels_)], channels_, out + i * size_t(channels_));
    out_.store(at + frames, std::memory_order_release);
}

} // namespace sopi
