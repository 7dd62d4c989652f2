// The stream: one producer thread that turns timed commands and a source into the samples of a ring.
//
// Positions are host frames (ring.h). A command stamped t takes effect at h = t + latency: the samples before h are what
// they would have been without it. The producer keeps the ring filled up to read + latency - slack, so a command that
// arrives within the slack is exactly on time, and which samples come out doesn't depend on when the producer ran, nor on
// how it split its work: where something begins or ends, the work is split there.
//
// Every discontinuity (start, stop, seed, another source) is a cut: the next few milliseconds of the present output are
// rendered into the tail, the change is made, and the tail fades out while the new sound fades in. So nothing clicks, and
// two sources run at once only where they are blended.
//
// The input ring, where the host's sound comes in, has the same positions. What a frame at position p makes of the input is
// that of p - latency: it has always arrived.
//
// No exception leaves the producer. A command that can't be done is refused and told, a source that fails is told and falls
// silent, and the stream stays usable.
#pragma once

#include "stream/clock.hpp"
#include "stream/command.hpp"
#include "stream/event.hpp"
#include "stream/grid.hpp"
#include "stream/listener.hpp"
#include "stream/looper.hpp"
#include "stream/own_thread.hpp"
#include "stream/pending.hpp"
#include "stream/player.hpp"
#include "stream/prepared.hpp"
#include "stream/queue.hpp"
#include "stream/shared_ring.hpp"
#include "stream/snapshot.hpp"
#include "stream/tail.hpp"
#include "stream/voices.hpp"
#include "stream/watchdog.hpp"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace sopi {

// The host's rate that the sound is made for, in Hz, and the first host frame of it. rate 0: none yet.
struct MadeRate {
    int rate;
    uint64_t from;
};

class Stream {
public:
    // capacity in frames, a power of two; latency in seconds.
    Stream(int channels, double latency, bool freewheel, uint32_t capacity);
    ~Stream(); // on the control side, after close()
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;

    // ---- control side: any one thread at a time, unless it says otherwise
    static void start(const std::shared_ptr<Stream> &stream);
    // Tells the producer to stop and waits for it at most `timeout` s. True if it has ended. Several threads may close at
    // once. In a child made by fork() there is no producer, and nothing is done.
    bool close(double timeout);
    void tell_to_stop() noexcept;
    // False if too many wait. Takes over what is prepared, unless it throws or says false: std::invalid_argument for what the
    // table of commands, or what is prepared, doesn't allow.
    bool post(const Command &command);
    // From when it returns there are ticks at the lines of the grid, or at the frames of the model, and none of the other kind
    // any more; unless the producer was held up for `timeout` s.
    void tick_at_lines(bool on, double timeout) noexcept;
    // Frees what the producer is done with.
    void collect() noexcept { retired_.free(); }
    Teller &teller() noexcept { return teller_; }
    double host_rate() const noexcept { return shared_->host_rate(); } // Hz; 0 before it is known
    sopi_ring *ring() const noexcept { return &shared_->ring; }
    // Channel 0: the sound to listen to. Channel 1: temperature, where it is above 0.
    sopi_ring *input() const noexcept { return &input_->ring; }
    void set_freewheel(bool on) { shared_->set_freewheel(on); }
    bool stopping() const noexcept { return stop_; }
    // In freewheel the ring keeps the frames from here on.
    void keep_from(uint64_t position) noexcept { keep_from_ = position; }
    MadeRate made_rate() const noexcept
    {
        const int rate = made_rate_;
        return {rate, made_from_};
    }
    const Stats &stats() const noexcept { return stats_; }
    int channels() const noexcept { return channels_; }

private:
    // A knob is one entry of the table of commands, and the line that reads it. A gesture is one entry and one function.
    struct Gesture {
        Id id;
        void (Stream::*run)(Command &command);
        const void *takes = nullptr; // the type of what must be prepared
        bool or_none = false; // or may be left out
        bool knob = false; // it sets a number, and whatever that was before is no matter then
    };
    static const Gesture kGestures[];
    static const Gesture *gesture_of(Id id) noexcept;
    static bool turns_knob(const Command &command) noexcept;
    void check(const Command &command) const;
    void check_prepared(const Command &command, const Gesture *gesture) const;

    // ---- the producer's: stream.cpp
    void run() noexcept;
    void step();
    void follow_host();
    void configure(int host_rate);
    void stretch(double factor) noexcept;
    void receive() noexcept;
    void receive_early() noexcept;
    void schedule(Command command) noexcept;
    bool at_once(const Command &c) noexcept;
    void change_ticks() noexcept;
    void apply_due() noexcept;
    void fall_silent(const char *why) noexcept;
    void publish(uint64_t write);
    void jump(uint64_t read) noexcept;
    void refuse(const char *why) noexcept { teller_.tell(Event::refused, at_, why); }
    void tell_ended(const char *command) noexcept { teller_.tell(Event::ended, at_, command); }

    // ---- commands: commands.cpp
    void apply(Command &command);
    void turn(Command &command);
    template <class T> Held<T> take(Command &command) noexcept;
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
    void try_to_keep(Player &next) noexcept;
    void set_second(Command &command);
    void store(Command &command);
    void recall(Command &command);
    void morph(Command &command);
    void listen(Command &command);
    void listened(Command &command);
    void set_guard(Command &command);
    void set_latency(Command &command);
    void stop() noexcept;
    void new_music() noexcept;
    void end_listening() noexcept;
    void fit(Player *p);
    void fit_voices();
    void begin(Player &p, uint64_t position, double fade) noexcept;
    void begin_players(double fade) noexcept;
    void cut(double seconds);
    double cut_length() const noexcept;

    // ---- sound: sound.cpp. These make the frames from `position` on; `heard`: they sound, and are not a tail.
    void produce(int n);
    void complete(float *const *out, uint64_t position, int n, bool heard);
    void fresh(float *const *out, uint64_t position, int n, bool heard);
    void blended(float *const *out, uint64_t position, int n, bool heard);
    bool play(Player &p, float *const *out, int n, bool heard, bool ticks);
    void generate(Player &p, int n, bool heard, bool ticks);
    int generate_some(Player &p, int from, int n, bool heard);
    void put_tick(uint64_t position) noexcept;
    void put_ticks(const Player &p, int phase, int from, int n) noexcept;
    void watch(Player &p, int from, int n);
    void at_top_frame(Player &p, uint64_t position);
    void begin_voice(Player &p, int voice) noexcept;
    void morph_on(Player &p, uint64_t position);
    void hear(int n) noexcept;
    float temperature(int voice, uint64_t position, bool heard) const noexcept;
    void set_features(Player &p, uint64_t position) noexcept;
    bool waits_for_top_frame() const noexcept;
    bool guarded(const Player &p) const noexcept;
    void measure_speed(int64_t busy_ns, int n) noexcept;
    void fail(Player &p, const char *what) noexcept;

    uint64_t frames(double seconds) const noexcept { return uint64_t(std::llround(seconds * host_rate_)); }
    double ramp_frames(const Command &command) const noexcept { return command.ramp / 1000 * host_rate_; }
    double fade() const noexcept { return knobs_[Id::fade].last() / 1000; } // s

    const int channels_;
    SharedRing *const shared_, *const input_;
    OwnThread thread_;
    std::mutex ending_; // held while the thread is joined
    std::atomic<bool> stop_{false}, done_{true};
    std::atomic<uint64_t> keep_from_{UINT64_MAX};
    std::atomic<int> made_rate_{0};
    std::atomic<uint64_t> made_from_{0};
    platform::Priority host_; // of the thread that started it
    Stats stats_;
    Teller teller_;
    Retired retired_; // before all that holds something prepared
    static constexpr size_t kMostWaiting = 4096;
    Queue<Command, kMostWaiting> commands_;

    // the producer's state
    Pending early_{kMostWaiting, turns_knob}; // before the host's rate is known, in the order in which they were posted
    Pending pending_{kMostWaiting, turns_knob};
    Clock clock_;
    int host_rate_ = 0;
    int freewheeling_ = -1; // -1: not known yet
    uint64_t at_ = 0; // the next frame to make
    double promised_latency_; // s, for the commands that come in
    double latency_; // s, of what sounds
    uint64_t not_before_ = 0; // after a shorter latency: commands go no earlier than those already promised
    Grid grid_;
    std::atomic<bool> lines_wanted_{false}, ticks_at_lines_{false}; // instead of at the frames of a model
    Held<Player> player_, second_;
    bool playing_ = false;
    uint64_t stop_at_ = 0; // a long fade out ends here; 0: none is on
    Knobs knobs_; // of all voices together
    Moving level_{1}; // of the fades of start and stop
    Voices voices_;
    Held<Guard> guard_;
    Held<Snapshot> morph_;
    uint64_t morph_until_ = 0;
    Held<Listener> listener_;
    Listening listening_ = Listening::off;
    Moving through_{0}; // of the input that sounds while it is listened to
    Looper looper_;
    Tail tail_;
    int chunk_ = 0;
    int rise_ = 0, rise_length_ = 1; // frames left of the fade in after an underrun
    std::vector<float> out_, other_; // [channels][chunk_]; other_: of the second player
    std::vector<float> last_; // [channels]: the last complete output, to fade from when a source fails
    std::vector<float *> lines_, other_lines_; // [channels], into out_ or the tail; into other_
    std::vector<float *> rest_; // [channels], where the rest of a piece goes
};

// Closes all streams of this process, together within `timeout` seconds.
void close_all_streams(double timeout);

} // namespace sopi
