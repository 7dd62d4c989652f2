// A recording: what a stream hands out, from one host frame to another, in a WAV file that can be read at any moment.
//
// It is tapped from the stream's ring, which keeps what was played for seconds: the callback does nothing for it, and a slow
// disk loses nothing. In freewheel the producer waits for it.
#pragma once

#include "stream/stream.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sopi {

class Recorder {
public:
    // Makes the file, which must not be there; std::runtime_error if it can't be.
    Recorder(std::shared_ptr<Stream> stream, const std::string &path, uint64_t from);
    ~Recorder(); // ends it, and waits until the file is closed
    Recorder(const Recorder &) = delete;
    Recorder &operator=(const Recorder &) = delete;

    // Frame `to` is the first that is not recorded.
    void end(uint64_t to) noexcept { to_ = to; }
    bool ended() const noexcept { return ended_; }
    uint64_t frames() const noexcept { return frames_; }
    uint64_t lost() const noexcept { return lost_; }
    // Why it ended before it was told to; empty: it did not. After ended().
    const std::string &failure() const noexcept { return failure_; }

private:
    void run() noexcept;
    bool write(uint64_t upto);
    bool write_header();

    std::shared_ptr<Stream> stream_;
    int file_ = -1, rate_, channels_;
    uint64_t at_; // next frame to record
    std::vector<float> block_; // [frames][channels]
    std::atomic<uint64_t> to_{UINT64_MAX}, frames_{0}, lost_{0};
    std::atomic<bool> ended_{false};
    std::string failure_;
    OwnThread thread_;
};

} // namespace sopi
