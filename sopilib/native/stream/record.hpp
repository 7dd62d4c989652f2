// A recording: what a stream hands out, from one host frame to another, in a WAV file that can be read at any moment.
//
// It is tapped from the stream's ring, which keeps what was played for seconds: the callback does nothing for it, and a slow
// disk loses nothing. In freewheel the producer waits for it.
#pragma once

#include "stream/stream.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace sopi {

// A file that is closed, while the recording goes on in another.
struct Take {
    std::string path;
    int rate;
    uint64_t frames;
};

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
    // Of the file that is being written, or was last.
    std::string path() const;
    int rate() const noexcept { return rate_; }
    uint64_t frames() const noexcept { return frames_; }
    // Those that were closed since last asked: what was made for another rate of the host's has a file of its own.
    std::vector<Take> closed();
    uint64_t lost() const noexcept { return lost_; }
    // Why it ended before it was told to; empty: it did not. After ended().
    const std::string &failure() const noexcept { return failure_; }

private:
    void run() noexcept;
    bool write_until(uint64_t upto);
    bool write(uint64_t upto);
    bool write_header();
    bool close_file();
    bool go_on_at(int rate);
    bool failed(int number);

    std::shared_ptr<Stream> stream_;
    const std::string first_; // path of the first file
    mutable std::mutex mutex_; // of path_ and closed_
    std::string path_;
    std::vector<Take> closed_;
    int file_ = -1, files_ = 1;
    std::atomic<int> rate_;
    int channels_;
    uint64_t at_; // next frame to record
    std::vector<float> block_; // [frames][channels]
    std::atomic<uint64_t> to_{UINT64_MAX}, frames_{0}, lost_{0};
    std::atomic<bool> ended_{false};
    std::string failure_;
    OwnThread thread_;
};

} // namespace sopi
