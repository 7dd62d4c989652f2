// Outputs: what plays rings where no Pd does. A callback for PortAudio, or a thread that keeps the pace of one.
#pragma once

#include "ring.h"
#include "stream/own_thread.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sopi {

// The sum of some rings. One channel goes to all channels of the output, several to those in turn.
class Output {
public:
    Output(std::vector<sopi_ring *> rings, int channels); // holds the rings
    ~Output();
    Output(const Output &) = delete;
    Output &operator=(const Output &) = delete;

    // Says how the host runs, to all rings; before the first `render`.
    void host(double sample_rate, uint32_t block, bool running);
    // RT. out: [frames][channels]
    void render(float *out, size_t frames) noexcept;
    int channels() const noexcept { return channels_; }

    // A sound card that nobody hears: blocks at the times at which one would ask for them. With `keep`, what it played
    // waits for `take`, that many frames at most.
    void start_clock(double sample_rate, uint32_t block, size_t keep);
    void stop_clock();
    size_t waiting() const noexcept;
    void take(float *out, size_t frames) noexcept; // out: [frames][channels], of those that wait
    uint64_t lost() const noexcept { return lost_; }

private:
    void run(double sample_rate, uint32_t block);
    void keep(const float *played, size_t frames) noexcept;

    static constexpr size_t kPiece = 64; // frames
    const std::vector<sopi_ring *> rings_;
    const int channels_;
    std::vector<float> scratch_; // [most channels of a ring][kPiece]
    std::vector<float *> lines_; // into it
    OwnThread thread_;
    std::atomic<bool> stop_{false};
    std::vector<float> kept_; // [frames][channels]
    std::atomic<uint64_t> in_{0}, out_{0}, lost_{0}; // frames
};

} // namespace sopi
