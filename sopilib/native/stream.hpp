// The stream: one producer thread that turns timed commands and a source into the samples of a ring.
//
// Positions are host frames (ring.h). A command stamped t takes effect at h = t + latency: the samples before h are
// what they would have been without it. The producer keeps the ring filled up to read + latency - slack, so a command
// that arrives within the slack is exactly on time, and which samples come out doesn't depend on when the producer ran.
//
// Every discontinuity (start, stop, seed, another source) is a cut: the next few milliseconds of the present output are
// rendered into the tail, the change is made, and the tail fades out while the new sound fades in. So nothing clicks,
// and two sources never run at once.
#pragma once

#include "resample.hpp"
#include "ring.h"
#include "source.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sopi {

// ---------------------------------------------------------------- between two threads, without locks

// One thread pushes, one pops. N: a power of two.
template <class T, size_t N> class Queue {
public:
    bool push(T &&item) noexcept
    {
        const size_t at = in_.load(std::memory_order_relaxed);
        if (at - out_.load(std::memory_order_acquire) == N) return false;
        items_[at & (N - 1)] = std::move(item);
        in_.store(at + 1, std::memory_order_release);
        return true;
    }
    bool pop(T &item) noexcept
    {
        const size_t at = out_.load(std::memory_order_relaxed);
        if (at == in_.load(std::memory_order_acquire)) return false;
        item = std::move(items_[at & (N - 1)]);
        out_.store(at + 1, std::memory_order_release);
        return true;
    }

private:
    std::vector<T> items_ = std::vector<T>(N);
    std::atomic<size_t> in_{0}, out_{0};
};

// A ring and what its freewheeling callback and the producer wait on. Lives until the last holder of the ring is gone.
struct SharedRing {
    sopi_ring ring;
    std::vector<float> data;
    std::mutex mutex;
    std::condition_variable wake;    // the producer: more is wanted, or stop
    std::condition_variable ready;   // the callback: more is there
    std::atomic<uint64_t> wanted{0}; // the callback waits for frames up to here
    std::atomic<bool> running{false};

    static SharedRing *make(int channels, uint32_t capacity, uint32_t reserve);
    void set_freewheel(bool on);
};

// ---------------------------------------------------------------- what is played

// A source with what it takes to hear it. Made and destroyed on the control side, moved by pointer.
struct Player {
    // `filter` may be null: the producer then makes one when it knows the host's rate.
    Player(std::shared_ptr<Source> source, std::shared_ptr<const Filter> filter, int channels, uint64_t id);
    void fit(std::shared_ptr<const Filter> filter);

    std::shared_ptr<Source> source;
    std::unique_ptr<Resampler> resampler;
    int channels, most = 0;          // most: model samples generated in one call
    std::vector<int32_t> codes;      // [channels][most]
    std::vector<float> temperatures; // [channels][most]
    std::vector<Sampling> sampling;  // [channels]
    std::vector<float> audio;        // [channels][most]
    uint64_t id;
    bool failed = false;
};

// A value that moves in straight lines over host time.
struct Ramp {
    double from, to;
    uint64_t start = 0;
    double length = 0; // frames
    double at(double position) const noexcept
    {
        const double x = position - double(start);
        return x >= length ? to : x <= 0 ? from : from + (to - from) * (x / length);
    }
    void go(double value, uint64_t position, double frames) noexcept { *this = {at(double(position)), value, position, frames}; }
};

enum class Kind { play, temperature, gain, seed, swap, latency };

struct Command {
    uint64_t t = 0;
    Kind kind = Kind::play;
    double value = 0, ramp = 0; // ramp, and the fade of a swap, in seconds
    uint64_t seed = 0;
    Player *player = nullptr;
    uint64_t at = 0; // h, once known
};

struct Event {
    enum Kind { swapped, late, underrun, error } kind = swapped;
    uint64_t position = 0;
    double value = 0; // swapped: the player's id; late, underrun: frames
    std::string text;
};

struct Stats {
    std::atomic<uint64_t> late{0}, worst_late{0}; // messages; frames
    std::atomic<uint64_t> burst{0}, usual_burst{0};   // frames: the largest of late, and what the host reaches again and again
    std::atomic<double> real_time_factor{0}; // seconds of sound per busy second; 0: not known yet
};

// ---------------------------------------------------------------- the stream

class Stream {
public:
    // capacity in frames, a power of two; latency in seconds.
    Stream(int channels, double latency, bool freewheel, uint32_t capacity);
    ~Stream(); // on the control side, after close()
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;

    // ---- control side: any one thread at a time
    static void start(const std::shared_ptr<Stream> &stream);
    // Tells the producer to stop and waits for it at most `timeout` s. True if it has ended.
    bool close(double timeout);
    void tell_to_stop() noexcept;
    // False if the queue is full.
    bool post(Command command);
    // Destroys the players that the producer is done with.
    void collect();
    bool next_event(Event &event) { return events_.pop(event); }
    std::shared_ptr<const Filter> filter_for(int model_rate) const;
    sopi_ring *ring() const noexcept { return &shared_->ring; }
    void set_freewheel(bool on) { shared_->set_freewheel(on); }
    const Stats &stats() const noexcept { return stats_; }
    int channels() const noexcept { return channels_; }
    uint64_t next_id() noexcept { return ++ids_; }

private:
    // ---- the producer's
    void run();
    void configure(int host_rate);
    void receive();
    void apply(Command &command);
    uint64_t target(uint64_t read, uint64_t wanted);
    void rest(uint64_t read);
    void measure_burst(uint64_t read);
    void publish(uint64_t write);
    void jump(uint64_t read);

    void begin(double fade);
    void cut(double seconds);
    void produce(int n);
    void complete(float *const *out, int n, bool heard);  // source and tail
    void fresh(float *const *out, int n, bool heard);     // the source alone
    void generate(Player &p, int n, bool heard);
    void fail(const char *what);
    void report(Event event) noexcept;
    void retire(Player *player);

    const int channels_;
    SharedRing *const shared_;
    std::thread thread_;
    std::atomic<bool> stop_{false}, done_{true};
    int policy_ = 0, priority_ = 0; // of the thread that started it
    uint64_t ids_ = 0;
    Stats stats_;
    Queue<Command, 4096> commands_;
    Queue<Player *, 1024> retired_;
    Queue<Event, 1024> events_;

    // the producer's state
    int host_rate_ = 0;
    uint64_t at_ = 0;            // the next frame to make
    double latency_;             // seconds
    uint64_t not_before_ = 0;    // after a shorter latency: commands go no earlier than those already promised
    std::deque<Command> pending_; // ascending `at`
    std::deque<Player *> unretired_;
    Player *player_ = nullptr;
    bool playing_ = false;
    uint64_t origin_ = 0;        // host position of the resampler's frame 0
    uint64_t rise_samples_ = 0;  // model samples from there on that fade in
    Ramp temperature_{1, 1}, gain_{1, 1};
    Sampling sampling_;          // of every voice
    int chunk_ = 0, longest_tail_ = 0;
    std::vector<float> tail_, tail_spare_; // [channels][longest_tail_]
    int tail_length_ = 0, tail_done_ = 0;
    int rise_ = 0, rise_length_ = 1;       // frames left of the fade in after an underrun
    std::vector<float> out_;               // [channels][chunk_]
    std::vector<float> last_;              // [channels]: the last complete output, to fade from when a source fails
    std::vector<float *> lines_;           // [channels], into out_ or the tail
    uint64_t seen_read_ = 0;               // and since when, to sleep longer while DSP is off
    int64_t read_moved_ns_ = 0;
    uint64_t bursts_[3] = {}, burst_until_ = 0; // the host's bursts of the last windows, and the present one's end
};

// Closes all streams, together within `timeout` seconds.
void close_all_streams(double timeout);

} // namespace sopi
