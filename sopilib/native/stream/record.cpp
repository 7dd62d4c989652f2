#include "stream/record.hpp"

#include "platform/platform.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace sopi {

namespace {

constexpr size_t kBlock = 4096;     // frames written at once
constexpr uint32_t kHeader = 58;    // bytes before the sound
constexpr uint64_t kLongest = 0xffffffffu - kHeader; // bytes of sound that a WAV header can say

void put(uint8_t *&at, const char *tag)
{
    std::memcpy(at, tag, 4);
    at += 4;
}

void put(uint8_t *&at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) *at++ = uint8_t(value >> (8 * i));
}

// take.wav -> take-2.wav
std::string numbered(const std::string &path, int number)
{
    const size_t end = path.size() - 4; // .wav
    return path.substr(0, end) + "-" + std::to_string(number) + path.substr(end);
}

} // namespace

Recorder::Recorder(std::shared_ptr<Stream> stream, const std::string &path, uint64_t from)
    : stream_(std::move(stream)), first_(path), path_(path), rate_(int(std::lround(stream_->host_rate()))),
      channels_(stream_->channels()), at_(from), block_(kBlock * size_t(channels_))
{
    file_ = platform::make_file(path);
    if (file_ < 0) throw std::runtime_error(std::strerror(errno));
    try {
        if (!write_header()) throw std::runtime_error(std::strerror(errno));
        stream_->keep_from(at_);
        thread_.start([this] { run(); });
    } catch (...) {
        stream_->keep_from(UINT64_MAX);
        platform::close_file(file_);
        platform::delete_file(path); // it was not there before
        throw;
    }
}

Recorder::~Recorder()
{
    if (thread_.elsewhere()) return;
    if (to_ > sopi_load(&stream_->ring()->read)) to_ = sopi_load(&stream_->ring()->read);
    thread_.join();
}

void Recorder::run() noexcept
{
    platform::name_thread("sopi-record");
    platform::set_priority(platform::ordinary());
    const sopi_ring *r = stream_->ring();
    for (;;) {
        const bool last = stream_->stopping();
        const uint64_t to = to_, read = sopi_load(&r->read);
        if (!write_until(std::min(to, read))) break;
        stream_->keep_from(at_);
        if (at_ >= to || last) break;
        platform::sleep_ns(sopi_load(&r->freewheel) ? 1000000 : 20000000);
    }
    stream_->keep_from(UINT64_MAX);
    close_file();
    ended_ = true;
}

std::string Recorder::path() const
{
    std::lock_guard<std::mutex> lock(mutex_);
    return path_;
}

std::vector<Take> Recorder::closed()
{
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(closed_, {});
}

bool Recorder::failed(int number)
{
    if (failure_.empty()) failure_ = std::strerror(number);
    return false;
}

// A file that is closed already, because there is no next one, is not closed again.
bool Recorder::close_file() { return file_ < 0 || platform::close_file(std::exchange(file_, -1)) || failed(errno); }

// What the ring has handed out before host frame `upto`, in a file for each rate that it was made for. The producer has said at
// which frame another rate begins before anything of it could be handed out.
bool Recorder::write_until(uint64_t upto)
{
    const MadeRate made = stream_->made_rate();
    if (made.rate && made.rate != rate_) {
        if (at_ < made.from && !write(std::min(upto, made.from))) return false;
        if (at_ < made.from) return true;
        if (!go_on_at(made.rate)) return false;
    }
    return write(upto);
}

bool Recorder::go_on_at(int rate)
{
    if (frames_ > 0) {
        if (!close_file()) return false;
        std::string path;
        do path = numbered(first_, ++files_);
        while ((file_ = platform::make_file(path)) < 0 && errno == EEXIST);
        if (file_ < 0) return failed(errno);
        std::lock_guard<std::mutex> lock(mutex_);
        closed_.push_back({std::exchange(path_, path), rate_, frames_});
        frames_ = 0;
    }
    rate_ = rate;
    return write_header() || failed(errno);
}

// What the ring has handed out before host frame `upto`.
bool Recorder::write(uint64_t upto)
{
    const sopi_ring *r = stream_->ring();
    bool any = false;
    while (at_ < upto) {
        // what is about to be written over is lost already
        const uint64_t written = sopi_load(&r->write),
                       oldest = written + kBlock > r->capacity ? written + kBlock - r->capacity : 0;
        if (at_ < oldest) {
            lost_ += oldest - at_;
            at_ = oldest;
        }
        const size_t n = size_t(std::min<uint64_t>(kBlock, upto > at_ ? upto - at_ : 0));
        for (size_t i = 0; i < n; i++)
            for (int c = 0; c < channels_; c++) block_[i * channels_ + c] = SharedRing::get(*r, c, at_ + i);
        if (sopi_load(&r->write) > at_ + r->capacity) continue; // it was written over meanwhile
        const size_t bytes = n * size_t(channels_) * sizeof(float);
        if (frames_ * channels_ * sizeof(float) + bytes > kLongest) {
            failure_ = "the file is as long as a WAV file can be";
            return false;
        }
        if (!platform::write_file(file_, block_.data(), bytes)) return failed(errno);
        frames_ += n;
        at_ += n;
        any = true;
    }
    return !any || write_header() || failed(errno);
}

// WAVE_FORMAT_IEEE_FLOAT of 32 bits, with the sizes of what is there.
bool Recorder::write_header()
{
    const uint32_t frame = uint32_t(channels_) * sizeof(float), bytes = uint32_t(frames_) * frame;
    uint8_t header[kHeader], *at = header;
    put(at, "RIFF");
    put(at, kHeader - 8 + bytes, 4);
    put(at, "WAVE");
    put(at, "fmt ");
    put(at, 18, 4);
    put(at, 3, 2);
    put(at, uint32_t(channels_), 2);
    put(at, uint32_t(rate_.load()), 4);
    put(at, uint32_t(rate_.load()) * frame, 4);
    put(at, frame, 2);
    put(at, 32, 2);
    put(at, 0, 2);
    put(at, "fact");
    put(at, 4, 4);
    put(at, uint32_t(frames_), 4);
    put(at, "data");
    put(at, bytes, 4);
    return platform::move_in_file(file_, 0) && platform::write_file(file_, header, kHeader) &&
           platform::move_in_file(file_, kHeader + bytes);
}

} // namespace sopi
