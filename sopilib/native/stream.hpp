// The stream: one producer thread that turns timed commands and a source into the samples of a ring.
//
// Positions are host frames (ring.h). A command stamped t takes effect at h = t + latency: the samples before h are
// what they would have been without it. The producer keeps the ring filled up to read + latency - slack, so a command
// that arrives within the slack is exactly on time, and which samples come out doesn't depend on when the producer ran.
//
// Every discontinuity (start, stop, seed, another source) is a cut: the next few milliseconds of the present output are
// rendered into the tail, the change is made, and the tail fades out while the new sound fades in. So nothing clicks,
// and two sources run at once only where they are blended.
//
// The input ring, where the host's sound comes in, has the same positions. What a frame at position p makes of the input
// is that of p - latency: it has always arrived.
#pragma once

#include "envelope.hpp"
#include "guard.hpp"
#include "resample.hpp"
#include "ring.h"
#include "source.hpp"

#include <atomic>
#include <cmath>
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

constexpr double kFade = 0.005; // s: start, stop, seed, and after an underrun

// ---------------------------------------------------------------- what is played

// A state that the producer fills and the control side keeps.
struct Snapshot {
    State state;
    std::atomic<bool> filled{false};
};

// A source with what it takes to hear it.
struct Player {
    // host_rate may be 0 if it is not known yet: then the producer calls `fit` when it is.
    Player(std::shared_ptr<Source> source, int channels, uint64_t id, int host_rate);
    void fit(int host_rate);
    // The filter for a rate, in times the model's own.
    const std::shared_ptr<const Filter> &between(double rate) const noexcept;
    // Host position of the next frame that the resampler gives.
    uint64_t next() const noexcept { return origin + resampler->frames(); }

    std::shared_ptr<Source> source;
    std::unique_ptr<Resampler> resampler;
    std::shared_ptr<const Filter> between_[3]; // up to the model's own rate, twice, four times
    int voices, channels, most = 0;  // most: model samples generated in one call
    uint64_t origin = 0;             // host position of the resampler's frame 0
    uint64_t rise_samples = 0;       // model samples from there on that fade in
    std::vector<int32_t> codes;      // [voices][most]
    std::vector<float> temperatures; // [voices][most]
    std::vector<Sampling> sampling;  // [voices]
    std::vector<float> features;     // [voices][source->features()]
    std::vector<float> audio;        // [channels][most]
    std::vector<float> blends, raw;  // [most]; raw: one voice as it was made
    std::vector<double> rates;       // [frames of a chunk]
    uint64_t id;
    bool failed = false;
    bool idle = false; // blended out: it begins again where it was
};

// A source that follows the input: what comes in goes through its tiers. `player` takes over when the listening ends.
struct Listener {
    // edges: of each code but the first the least float that the model encodes so, ascending. host_rate as for Player.
    Listener(std::shared_ptr<Player> player, std::vector<float> edges, int host_rate);
    void fit(int host_rate);

    std::shared_ptr<Player> player;
    std::vector<float> edges;
    std::unique_ptr<Resampler> resampler; // from the host's rate to the model's
    uint64_t begin = 0; // host position of the first frame that it hears
    uint64_t taken = 0; // frames of input taken
    int64_t made = 0;   // samples made of them, the first `skip` of which are the filter's delay
    int64_t skip = 0;
    std::vector<float> in, out;
    std::vector<int32_t> codes; // [voices][n]
};

// What sounds while a listener listens.
enum class Listening { off, silence, input, old };

// What is set for one voice.
struct VoiceControls {
    Envelope temperature{1}, gain{1}, pan{0};
    bool panned = false; // else its place among the voices says where it is
    Sampling sampling;
    std::vector<Envelope> features;
    // A new seed fades the music out, and begins where the next top frame does.
    bool reseeds = false, reprimes = false; // reprimes: it goes on from where the guard last found it well
    uint64_t seed = 0, reseeds_from = 0, rise = 0; // rise: samples left of the fade in
    uint64_t nudged_until = 0; // its temperature is raised so long
};

// What is done when a voice is caught in a trap.
enum class Guarding { warn, nudge, reprime };

struct Guard {
    Guard(Guarding how, int sample_rate, int voices);

    Guarding how;
    std::vector<TrapDetector> detectors; // [voices]
    std::vector<bool> told;              // [voices]
    State newer, older;                  // each voice when it was well, a second or more apart
    int well = 0;                        // how many of the two there are
    uint64_t saved = 0;                  // host position
};

enum class Kind {
    play, temperature, temperature_follows, gain, pan, mix, top_k, top_p, min_p, feature, rate, fade, seed, kick, freeze,
    swap, second, blend, store, recall, morph, listen, guard, latency,
};

struct Command {
    Command(uint64_t t_ = 0, Kind kind_ = Kind::play, double value_ = 0, double ramp_ = 0, int voice_ = -1)
        : t(t_), kind(kind_), voice(voice_), value(value_), ramp(ramp_)
    {
    }
    uint64_t t;
    Kind kind;
    int voice;          // -1: all
    double value, ramp; // ramp, and the fade of a swap, in seconds
    uint64_t seed = 0; // or the number of a feature
    std::shared_ptr<Player> player;
    std::shared_ptr<Listener> listener;
    std::shared_ptr<Snapshot> snapshot;
    std::shared_ptr<Guard> guard;
    Envelope envelope{0};
    uint64_t at = 0; // h, once known
};

struct Event {
    enum Kind { swapped, late, underrun, trap, error, refused } kind = swapped;
    uint64_t position = 0;
    double value = 0; // swapped: the player's id; late, underrun: frames; trap: the voice
    std::string text; // trap: which; error: the source failed; refused: a command could not be done
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
    // Destroys what the producer is done with.
    void collect();
    bool next_event(Event &event) { return events_.pop(event); }
    double host_rate() const noexcept; // Hz; 0 before it is known
    sopi_ring *ring() const noexcept { return &shared_->ring; }
    // Channel 0: the sound to listen to. Channel 1: temperature, where it is above 0.
    sopi_ring *input() const noexcept { return &input_->ring; }
    void set_freewheel(bool on) { shared_->set_freewheel(on); }
    bool stopping() const noexcept { return stop_; }
    // In freewheel the ring keeps the frames from here on.
    void keep_from(uint64_t position) noexcept { keep_from_ = position; }
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

    void begin(Player &p, uint64_t position, double fade);
    void begin_players(double fade);
    void cut(double seconds);
    double cut_length() const noexcept;
    void stop() noexcept;
    void freeze(double seconds);
    void swap(Command &command);
    void listen(Command &command);
    void end_listening();
    void fit_players();
    void play_or_stop(bool on);
    void seed(uint64_t number);
    void new_music() noexcept;
    template <class F> void set_voices(int voice, F &&set);

    // These render the frames from `position` on; `heard`: they sound, and are not a tail.
    void produce(int n);
    void complete(float *const *out, uint64_t position, int n, bool heard); // source and tail
    void fresh(float *const *out, uint64_t position, int n, bool heard);    // what plays
    void loop(float *const *out, int n);
    bool play(Player &p, float *const *out, int n, bool heard, bool ticks);
    void generate(Player &p, int n, bool heard, bool ticks);
    float temperature(int voice, uint64_t position, bool heard) const noexcept;
    void set_features(Player &p, uint64_t position) noexcept;
    bool waits_for_top_frame() const noexcept;
    void watch(int voice, const float *samples, int n, uint64_t position);
    void keep_well(const Source &source, uint64_t position);
    void at_top_frame(Player &p, uint64_t position);
    void mix(Player &p, int from, int n);
    void hear(uint64_t upto, bool last);
    float input_at(int channel, int64_t position) const noexcept;
    uint64_t frames(double seconds) const noexcept { return uint64_t(std::llround(seconds * host_rate_)); }
    void fail(Player &p, const char *what);
    void report(Event event) noexcept;
    void retire(std::shared_ptr<void> done);

    const int channels_;
    SharedRing *const shared_, *const input_;
    std::thread thread_;
    std::atomic<bool> stop_{false}, done_{true};
    std::atomic<uint64_t> keep_from_{UINT64_MAX};
    int policy_ = 0, priority_ = 0; // of the thread that started it
    uint64_t ids_ = 0;
    Stats stats_;
    Queue<Command, 4096> commands_;
    Queue<std::shared_ptr<void>, 1024> retired_; // what takes a while to free
    Queue<Event, 1024> events_;

    // the producer's state
    int host_rate_ = 0;
    uint64_t at_ = 0;            // the next frame to make
    double latency_;             // seconds
    uint64_t not_before_ = 0;    // after a shorter latency: commands go no earlier than those already promised
    std::deque<Command> pending_; // ascending `at`
    std::deque<std::shared_ptr<void>> unretired_;
    std::shared_ptr<Player> player_, second_;
    bool playing_ = false;
    uint64_t stop_at_ = 0;       // a long fade out ends here; 0: none is on
    Envelope level_{1}, gain_{1}, rate_{1}, blend_{0};
    double fade_ = 0.005;        // s: start, stop, seed
    bool mixed_ = false;         // voices are mixed, though each has its channel
    VoiceControls common_;       // of voices that come later
    std::vector<VoiceControls> voices_;
    std::shared_ptr<Guard> guard_;
    std::shared_ptr<Snapshot> morph_;
    uint64_t morph_until_ = 0;
    std::shared_ptr<Listener> listener_;
    Listening listening_ = Listening::off;
    Envelope through_{0};        // of the input that sounds while it is listened to
    std::vector<float> past_;    // [channels][past_room_]: what sounded, for freezing
    uint32_t past_room_ = 0;     // frames, a power of two
    bool frozen_ = false;
    uint64_t loop_end_ = 0, loop_done_ = 0, loop_rise_ = 0; // loop_done_: frames of it played; faded in from loop_rise_ on
    uint32_t loop_length_ = 0;
    int chunk_ = 0, longest_tail_ = 0;
    std::vector<float> tail_, tail_spare_; // [channels][longest_tail_]
    int tail_length_ = 0, tail_done_ = 0;
    int rise_ = 0, rise_length_ = 1;       // frames left of the fade in after an underrun
    std::vector<float> out_;               // [channels][chunk_]
    std::vector<float> other_;             // [channels][chunk_]: of the second player
    std::vector<float> last_;              // [channels]: the last complete output, to fade from when a source fails
    std::vector<float *> lines_, other_lines_; // [channels], into out_ or the tail; into other_
    uint64_t seen_read_ = 0;               // and since when, to sleep longer while DSP is off
    int64_t read_moved_ns_ = 0;
    uint64_t bursts_[3] = {}, burst_until_ = 0; // the host's bursts of the last windows, and the present one's end
};

// Closes all streams, together within `timeout` seconds.
void close_all_streams(double timeout);

} // namespace sopi
