#include "stream.hpp"

#include "denormals.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include <pthread.h>
#include <sched.h>
#include <time.h>

namespace sopi {

namespace {

constexpr double kLongestFade = 0.1;     // s that the tail can be made ahead
constexpr double kMostSlack = 0.005;     // s that Python may take over a message; the rest guards against stalls
constexpr double kLeastSlack = 0.001;    // s
constexpr double kPast = 4;              // s of the output that can be frozen
constexpr double kInput = 10;            // s at 48 kHz that the input ring holds
constexpr uint32_t kBurstWindow = 2;     // s
constexpr uint32_t kHeadStart = 128;     // frames of silence made before the host's rate is known, beside the reserve

int64_t now_ns()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
}

void sleep_ns(int64_t ns)
{
    const timespec t{0, long(ns)};
    nanosleep(&t, nullptr);
}

// The streams of this process, for its end. Never destroyed: threads may outlive static objects.
struct Living {
    std::mutex mutex;
    std::vector<std::weak_ptr<Stream>> streams;
};

Living &living()
{
    static Living *all = new Living;
    return *all;
}

// Frames made at once: 2 ms.
int chunk_of(int host_rate) { return std::max(1, host_rate / 500); }

uint32_t power_of_two(double least)
{
    uint32_t n = 1;
    while (n < least) n *= 2;
    return n;
}

// A real-time host gets a producer just below it; any other, an ordinary one. (Children inherit the priority.)
void take_priority(int policy, int priority)
{
    sched_param p{};
    policy &= ~SCHED_RESET_ON_FORK;
    const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
    p.sched_priority = real_time ? std::max(sched_get_priority_min(SCHED_FIFO), priority - 1) : 0;
    pthread_setschedparam(pthread_self(), real_time ? SCHED_FIFO : SCHED_OTHER, &p);
}

} // namespace

// ---------------------------------------------------------------- ring

SharedRing *SharedRing::make(int channels, uint32_t capacity, uint32_t reserve)
{
    auto *s = new SharedRing;
    s->data.assign(size_t(channels) * capacity, 0.0f);
    sopi_ring &r = s->ring;
    std::memset(&r, 0, sizeof r);
    r.magic = SOPI_RING_MAGIC;
    r.version = SOPI_RING_VERSION;
    r.bytes = sizeof r;
    r.refs = 1;
    r.owner = s;
    r.channels = uint32_t(channels);
    r.capacity = capacity;
    r.reserve = reserve;
    r.data = s->data.data();
    r.gain = 1.0f;
    r.destroy = [](sopi_ring *ring) { delete static_cast<SharedRing *>(ring->owner); };
    r.wait = [](sopi_ring *ring, uint64_t position) -> int {
        auto *self = static_cast<SharedRing *>(ring->owner);
        const auto there = [&] { return sopi_load(&ring->write) >= position; };
        if (there()) return 1;
        std::unique_lock<std::mutex> lock(self->mutex);
        self->wanted.store(position, std::memory_order_release);
        self->wake.notify_all();
        self->ready.wait(lock, [&] { return there() || !self->running || !sopi_load(&ring->freewheel); });
        return there();
    };
    return s;
}

void SharedRing::set_freewheel(bool on)
{
    sopi_store(&ring.freewheel, on ? 1u : 0u);
    std::lock_guard<std::mutex> lock(mutex);
    ready.notify_all();
    wake.notify_all();
}

// ---------------------------------------------------------------- player

Player::Player(std::shared_ptr<Source> source_, int channels_, int host_rate)
    : source(std::move(source_)), voices(source->voices()), channels(channels_)
{
    if (host_rate) fit(host_rate);
}

void Player::fit(int host_rate)
{
    const int chunk = chunk_of(host_rate), rate = source->sample_rate();
    resampler = std::make_unique<Resampler>(Filter::design(rate, host_rate), channels, chunk);
    between_[0] = Filter::design_between(rate, host_rate, 1);
    for (int octave : {1, 2}) {
        const int fastest = 1 << octave;
        // below the host's band nothing has to be kept out
        const bool same = rate * fastest <= host_rate;
        between_[octave] = same ? between_[0] : Filter::design_between(rate, host_rate, fastest);
    }
    most = resampler->most_samples();
    codes.assign(size_t(voices) * most, 0);
    temperatures.assign(size_t(voices) * most, 1.0f);
    sampling.resize(voices);
    features.assign(size_t(voices) * source->features(), 0.0f);
    audio.assign(size_t(channels) * most, 0.0f);
    blends.assign(most, 0.0f);
    raw.assign(most, 0.0f);
    rates.assign(chunk, 1.0);
}

const std::shared_ptr<const Filter> &Player::between(double rate) const noexcept
{
    return between_[rate <= 1 ? 0 : rate <= 2 ? 1 : 2];
}

Listener::Listener(std::shared_ptr<Player> player_, std::vector<float> edges_, int host_rate)
    : player(std::move(player_)), answer(std::make_unique<Prepared>(player)), edges(std::move(edges_))
{
    if (host_rate) fit(host_rate);
}

void Listener::fit(int host_rate)
{
    const int chunk = chunk_of(host_rate);
    const auto filter = Filter::design(host_rate, player->source->sample_rate());
    skip = std::llround(filter->delay * filter->up / filter->down);
    resampler = std::make_unique<Resampler>(filter, 1, chunk);
    in.assign(resampler->most_samples(), 0.0f);
    out.assign(chunk, 0.0f);
    codes.assign(size_t(player->voices) * chunk, 0);
}

Guard::Guard(Guarding how_, int sample_rate, int voices) : how(how_), told(voices, false)
{
    for (int v = 0; v < voices; v++) detectors.emplace_back(sample_rate, double(v) / voices);
}

// ---------------------------------------------------------------- control side

Stream::Stream(int channels, double latency, bool freewheel, uint32_t capacity)
    : channels_(channels), shared_(SharedRing::make(channels, capacity, 96)),
      input_(SharedRing::make(2, power_of_two(kInput * 48000), 0)), latency_(latency)
{
    shared_->ring.freewheel = freewheel;
    last_.assign(channels, 0.0f);
    lines_.assign(channels, nullptr);
    other_lines_.assign(channels, nullptr);
}

Stream::~Stream()
{
    const auto drop = [](const Command &c) {
        if (c.value.type == Value::Type::prepared) delete c.value.prepared;
    };
    while (!pending_.empty()) drop(pending_.pop());
    for (Command c; commands_.pop(c);) drop(c);
    collect();
    sopi_ring_release(&shared_->ring);
    sopi_ring_release(&input_->ring);
}

void Stream::start(const std::shared_ptr<Stream> &stream)
{
    if (stream->thread_.joinable()) return;
    static const bool registered = (std::atexit([] { close_all_streams(0.5); }), true);
    (void)registered;
    {
        std::lock_guard<std::mutex> lock(living().mutex);
        auto &all = living().streams;
        all.erase(std::remove_if(all.begin(), all.end(), [](const auto &w) { return w.expired(); }), all.end());
        all.push_back(stream);
    }
    int policy = SCHED_OTHER;
    sched_param p{};
    pthread_getschedparam(pthread_self(), &policy, &p);
    stream->policy_ = policy;
    stream->priority_ = p.sched_priority;
    stream->stop_ = stream->done_ = false;
    stream->shared_->running = true;
    // The thread holds the stream, so that one which could not be joined in time still finds its memory.
    stream->thread_ = std::thread([stream] { stream->run(); });
}

void Stream::tell_to_stop() noexcept
{
    stop_ = true;
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->wake.notify_all();
}

bool Stream::close(double timeout)
{
    if (!thread_.joinable()) return done_;
    tell_to_stop();
    const int64_t until = now_ns() + int64_t(timeout * 1e9);
    while (!done_ && now_ns() < until) sleep_ns(200000);
    if (done_) thread_.join();
    else thread_.detach();
    return done_;
}

void close_all_streams(double timeout)
{
    std::vector<std::shared_ptr<Stream>> streams;
    {
        std::lock_guard<std::mutex> lock(living().mutex);
        for (auto &w : living().streams)
            if (auto s = w.lock()) streams.push_back(std::move(s));
        living().streams.clear();
    }
    const int64_t until = now_ns() + int64_t(timeout * 1e9);
    for (auto &s : streams) s->tell_to_stop();
    for (auto &s : streams) s->close(std::max(0.0, double(until - now_ns()) * 1e-9));
}

bool Stream::post(const Command &command)
{
    check(command);
    collect();
    return commands_.push(command);
}

void Stream::collect() { retired_.free(); }

double Stream::host_rate() const noexcept
{
    double rate;
    __atomic_load(&shared_->ring.sample_rate, &rate, __ATOMIC_ACQUIRE);
    return rate;
}

// ---------------------------------------------------------------- producer: the loop

void Stream::run()
{
    pthread_setname_np(pthread_self(), "sopi-stream");
    DenormalsFlushed flushed;
    sopi_ring &r = shared_->ring;
    int freewheeling = -1;
    while (!stop_) {
        if (const int now = int(sopi_load(&r.freewheel)); now != freewheeling) {
            // Nobody listens to a rendering: it must not starve the rest of the machine.
            take_priority(now ? SCHED_OTHER : policy_, priority_);
            freewheeling = now;
        }
        // Read before the commands: whatever was posted before the host came this far is then seen in time.
        const uint64_t wanted = sopi_load(&r.freewheel) ? shared_->wanted.load(std::memory_order_acquire) : 0;
        const uint64_t read = sopi_load(&r.read);
        const double rate = host_rate();
        if (rate > 0 && std::lround(rate) != host_rate_) configure(int(std::lround(rate)));
        if (!host_rate_) {
            // Silence needs no rate: so the host's first block is not missed.
            if (!sopi_load(&r.freewheel) && at_ == 0) publish(r.reserve + kHeadStart);
            rest(read);
            continue;
        }
        receive();
        measure_burst(read);
        if (read > at_) jump(read);
        const uint64_t limit = target(read, wanted);
        if (at_ >= limit) {
            rest(read);
            continue;
        }
        while (!pending_.empty() && pending_.front().at <= at_) {
            Command command = pending_.pop();
            try {
                apply(command);
            } catch (const std::exception &e) {
                report(Event::refused, at_, 0, e.what());
            }
            if (command.value.type == Value::Type::prepared) retired_.give(command.value.prepared); // nobody took it
        }
        uint64_t n = std::min<uint64_t>(chunk_, limit - at_);
        if (!pending_.empty()) n = std::min(n, pending_.front().at - at_);
        if (stop_at_) n = std::min(n, stop_at_ - at_);
        produce(int(n));
        if (stop_at_ && at_ == stop_at_) stop();
    }
    sopi_store(&r.generating, 0u);
    {
        std::lock_guard<std::mutex> lock(shared_->mutex);
        shared_->running = false;
        shared_->ready.notify_all();
    }
    done_ = true;
}

// The host's rate is known, or another one. Allocates: the host has just started its DSP, so nothing is running dry.
void Stream::configure(int host_rate)
{
    host_rate_ = host_rate;
    chunk_ = chunk_of(host_rate);
    longest_tail_ = std::max(1, int(kLongestFade * host_rate));
    out_.assign(size_t(channels_) * chunk_, 0.0f);
    other_ = out_;
    for (int c = 0; c < channels_; c++) other_lines_[c] = &other_[size_t(c) * chunk_];
    tail_.assign(size_t(channels_) * longest_tail_, 0.0f);
    tail_spare_ = tail_;
    tail_length_ = tail_done_ = 0;
    rise_length_ = std::max(1, int(kFade * host_rate));
    past_room_ = power_of_two(kPast * host_rate);
    past_.assign(size_t(channels_) * past_room_, 0.0f);
    frozen_ = false;
    end_listening();
    for (Player *p : {player_.get(), second_.get()})
        if (p) p->fit(host_rate);
    begin_players(kFade);
}

void Stream::receive()
{
    for (Command c; !pending_.full() && commands_.pop(c);) {
        c.at = std::max(c.t + frames(latency_), not_before_);
        if (c.id == Id::latency) {
            not_before_ = c.at;
            latency_ = c.value.number / 1000;
            continue;
        }
        pending_.insert(c);
    }
}

// How far to produce.
uint64_t Stream::target(uint64_t read, uint64_t wanted)
{
    const sopi_ring &r = shared_->ring;
    const uint64_t block = uint64_t(sopi_load(&r.block)) + r.reserve;
    const double burst = double(stats_.burst.load(std::memory_order_relaxed) + r.reserve) / host_rate_;
    // a message in a burst is stamped within it and handled after it
    const double slack = std::max(kLeastSlack, std::min({kMostSlack + burst, 0.25 * latency_, latency_ - burst}));
    const double ahead = std::max(0.0, (latency_ - slack) * host_rate_);
    const bool freewheel = sopi_load(&r.freewheel);
    const uint64_t limit = read + (freewheel ? uint64_t(ahead) : std::max(uint64_t(ahead), block));
    const uint64_t oldest = freewheel ? std::min(read, keep_from_.load(std::memory_order_acquire)) : read;
    return std::min(std::max(limit, wanted), oldest + r.capacity - r.reserve);
}

void Stream::rest(uint64_t read)
{
    const int64_t now = now_ns();
    if (read != seen_read_) read_moved_ns_ = now;
    seen_read_ = read;
    if (sopi_load(&shared_->ring.freewheel)) {
        std::unique_lock<std::mutex> lock(shared_->mutex);
        shared_->wake.wait_for(lock, std::chrono::milliseconds(2), [this] { return shared_->wanted > at_ || stop_; });
    } else if (now - read_moved_ns_ > 300000000) {
        sleep_ns(4000000); // DSP is off; the ring is full enough for its return
    } else {
        sleep_ns(playing_ || listener_ ? 500000 : 1000000);
    }
}

// A host that stumbled once is not held to it for ever, nor called too slow for its latency.
void Stream::measure_burst(uint64_t read)
{
    sopi_ring &r = shared_->ring;
    const uint64_t present = sopi_load(&r.burst), block = sopi_load(&r.block);
    if (read >= burst_until_) {
        std::copy_backward(bursts_, bursts_ + 2, bursts_ + 3);
        bursts_[0] = present;
        sopi_store(&r.burst, uint64_t(0));
        burst_until_ = read + uint64_t(host_rate_) * kBurstWindow;
    }
    const auto [least, most] = std::minmax_element(bursts_, bursts_ + 3);
    stats_.burst.store(std::max({*most, present, block}), std::memory_order_relaxed);
    stats_.usual_burst.store(std::max(*least, block), std::memory_order_relaxed);
}

// The host has read past what was made. The model goes on where it was, at a later position.
void Stream::jump(uint64_t read)
{
    const sopi_ring &r = shared_->ring;
    const uint64_t to = read + stats_.burst.load(std::memory_order_relaxed) + r.reserve;
    const uint64_t shift = to - at_;
    for (int c = 0; c < channels_; c++)
        for (uint64_t p = read; p < to; p++) r.data[size_t(c) * r.capacity + (p & (r.capacity - 1))] = 0.0f;
    if (sopi_load(&r.generating)) report(Event::underrun, at_, double(shift));
    for (Player *p : {player_.get(), second_.get()})
        if (p) p->origin += shift;
    rise_ = rise_length_;
    publish(to);
}

void Stream::publish(uint64_t write)
{
    at_ = write;
    sopi_store(&shared_->ring.write, write);
    if (sopi_load(&shared_->ring.freewheel)) {
        std::lock_guard<std::mutex> lock(shared_->mutex); // so that the notice can't fall between test and wait
        shared_->ready.notify_all();
    }
}

void Stream::stop() noexcept
{
    playing_ = false;
    stop_at_ = 0;
    level_ = Moving(1);
}

// What was to come of the music before.
void Stream::new_music() noexcept
{
    for (VoiceControls &v : voices_) v.reseeds = v.reprimes = false;
    morph_.reset();
    if (guard_)
        for (TrapDetector &d : guard_->detectors) d.forget();
}

// To the host's rate, and controls for each of their voices.
void Stream::fit_players()
{
    size_t most = 0;
    for (Player *p : {player_.get(), second_.get()}) {
        if (!p) continue;
        if (!p->resampler || p->resampler->filter().host_rate != host_rate_) p->fit(host_rate_);
        most = std::max(most, size_t(p->voices));
    }
    voices_.resize(most, common_);
}

void Stream::end_listening()
{
    listener_.reset();
    listening_ = Listening::off;
    through_.go(0, double(at_), kFade * host_rate_);
}

// The player's next sample is the first that sounds, from `position` on.
void Stream::begin(Player &p, uint64_t position, double fade)
{
    p.resampler->restart();
    p.origin = position;
    p.rise_samples = uint64_t(std::lround(fade * p.source->sample_rate()));
    p.idle = false;
    const double fastest = knob(Id::rate).most_after(double(position));
    if (knob(Id::rate).moves_after(double(position)) || fastest != 1) p.resampler->vary(p.between(fastest));
}

void Stream::begin_players(double fade)
{
    for (Player *p : {player_.get(), second_.get()})
        if (p) begin(*p, at_, fade);
}

// As long as `fade` says, as far as the tail can be made ahead.
double Stream::cut_length() const noexcept { return std::min({fade(), kLongestFade, std::max(kFade, 0.5 * latency_)}); }

// Makes the next `seconds` of the present output the tail. Several cuts at one position are one.
void Stream::cut(double seconds)
{
    if (tail_length_ > 0 && tail_done_ == 0) return;
    const int length = std::clamp(int(std::lround(seconds * host_rate_)), 1, longest_tail_);
    for (int done = 0; done < length; done += chunk_) {
        for (int c = 0; c < channels_; c++) lines_[c] = &tail_spare_[size_t(c) * longest_tail_ + done];
        complete(lines_.data(), at_ + done, std::min(chunk_, length - done), false);
    }
    std::swap(tail_, tail_spare_);
    tail_length_ = length;
    tail_done_ = 0;
}

void Stream::report(Event::Kind kind, uint64_t position, double value, const char *text) noexcept
{
    Event event;
    event.kind = kind;
    event.position = position;
    event.value = value;
    std::snprintf(event.text, sizeof event.text, "%s", text);
    events_.push(event);
}

} // namespace sopi
