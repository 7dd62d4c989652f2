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

#include "guard.hpp"
#include "resample.hpp"
#include "ring.h"
#include "source.hpp"
#include "stream/command.hpp"
#include "stream/moving.hpp"
#include "stream/pending.hpp"
#include "stream/queue.hpp"

#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sopi {

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
    std::atomic<bool> posted{false}; // to be stored in: that happens once
};

// A source with what it takes to hear it.
struct Player {
    // host_rate may be 0 if it is not known yet: then the producer calls `fit` when it is.
    Player(std::shared_ptr<Source> source, int channels, int host_rate);
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
    bool failed = false;
    bool idle = false; // blended out: it begins again where it was
    std::atomic<bool> posted{false}; // a player is posted once
};

// A source that follows the input: what comes in goes through its tiers. `player` takes over when the listening ends.
struct Listener {
    // edges: of each code but the first the least float that the model encodes so, ascending. host_rate as for Player.
    Listener(std::shared_ptr<Player> player, std::vector<float> edges, int host_rate);
    void fit(int host_rate);

    const std::shared_ptr<Player> player;
    std::unique_ptr<Prepared> answer; // the player, for when the listening has ended
    std::vector<float> edges;
    std::unique_ptr<Resampler> resampler; // from the host's rate to the model's
    uint64_t begin = 0; // host position of the first frame that it hears
    uint64_t taken = 0; // frames of input taken
    int64_t made = 0;   // samples made of them, the first `skip` of which are the filter's delay
    int64_t skip = 0;
    std::vector<float> in, out;
    std::vector<int32_t> codes; // [voices][n]
    std::atomic<bool> posted{false}; // a listener is posted once
};

// What sounds while a listener listens.
enum class Listening { off, silence, input, old };

// A value for each command that is a knob, by its id.
using Knobs = std::array<Moving, kIds>;
Knobs usual_knobs() noexcept;

// What is set for one voice.
struct VoiceControls {
    const Moving &operator[](Id id) const noexcept { return knobs[static_cast<size_t>(id)]; }
    Moving &operator[](Id id) noexcept { return knobs[static_cast<size_t>(id)]; }

    Knobs knobs = usual_knobs();
    bool panned = false; // else its place among the voices says where it is
    std::vector<Moving> features;
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
    std::atomic<bool> posted{false};     // a guard is posted once
};

struct Event {
    enum Kind { swapped, late, underrun, trap, error, refused } kind = swapped;
    uint64_t position = 0;
    double value = 0; // late, underrun: frames; trap: the voice
    char text[240] = ""; // trap: which; error: the source failed; refused: a command could not be done
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
    // False if too many wait. Takes what is prepared over, unless it throws: std::invalid_argument for what the table of
    // commands, or what is prepared, doesn't allow.
    bool post(const Command &command);
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

private:
    // ---- the producer's
    void run();
    void configure(int host_rate);
    void receive();
    // A knob is one entry of the table of commands, and the line that reads it. A gesture is one entry and one function.
    struct Gesture {
        Id id;
        void (Stream::*run)(Command &command);
        const void *takes = nullptr; // the type of what must be prepared
        bool or_none = false;        // or may be left out
    };
    static const Gesture kGestures[];
    static const Gesture *gesture_of(Id id) noexcept;
    void check(const Command &command) const;
    void check_prepared(const Command &command, const Gesture *gesture) const;
    void apply(Command &command);
    void turn(Command &command);
    template <class T> Held<T> take(Command &command) noexcept;
    Moving &knob(Id id) noexcept { return knobs_[static_cast<size_t>(id)]; }
    const Moving &knob(Id id) const noexcept { return knobs_[static_cast<size_t>(id)]; }
    double ramp_frames(const Command &command) const noexcept { return command.ramp / 1000 * host_rate_; }
    double fade() const noexcept { return knob(Id::fade).last() / 1000; }
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
    void play_or_stop(Command &command);
    void set_gain(Command &command);
    void place(Command &command);
    void set_feature(Command &command);
    void set_rate(Command &command);
    void seed(Command &command);
    void seed_voice(int voice, uint64_t number);
    void kick(Command &command);
    void freeze(Command &command);
    void swap(Command &command);
    void swap_keeping(Command &command);
    void exchange(Command &command, bool keep);
    void set_second(Command &command);
    void store(Command &command);
    void recall(Command &command);
    void morph(Command &command);
    void listen(Command &command);
    void listened(Command &command);
    void set_guard(Command &command);
    void set_latency(Command &command);
    void end_listening();
    void fit_players();
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
    void report(Event::Kind kind, uint64_t position, double value, const char *text = "") noexcept;

    const int channels_;
    SharedRing *const shared_, *const input_;
    std::thread thread_;
    std::atomic<bool> stop_{false}, done_{true};
    std::atomic<uint64_t> keep_from_{UINT64_MAX};
    int policy_ = 0, priority_ = 0; // of the thread that started it
    Stats stats_;
    Retired retired_; // before all that holds something prepared
    static constexpr size_t kMostWaiting = 4096;
    Queue<Command, kMostWaiting> commands_;
    Pending pending_{kMostWaiting};
    Queue<Event, 1024> events_;

    // the producer's state
    int host_rate_ = 0;
    uint64_t at_ = 0;            // the next frame to make
    double latency_;             // seconds
    uint64_t not_before_ = 0;    // after a shorter latency: commands go no earlier than those already promised
    Held<Player> player_, second_;
    bool playing_ = false;
    uint64_t stop_at_ = 0;       // a long fade out ends here; 0: none is on
    Knobs knobs_ = usual_knobs(); // of all voices together
    Moving level_{1};            // of the fades of start and stop
    VoiceControls common_;       // of voices that come later
    std::vector<VoiceControls> voices_;
    Held<Guard> guard_;
    Held<Snapshot> morph_;
    uint64_t morph_until_ = 0;
    Held<Listener> listener_;
    Listening listening_ = Listening::off;
    Moving through_{0};        // of the input that sounds while it is listened to
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
