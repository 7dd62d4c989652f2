#include "stream.hpp"

#include "denormals.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>

#include <pthread.h>
#include <sched.h>
#include <time.h>

namespace sopi {

namespace {

constexpr double kFade = 0.005;          // s: start, stop, seed, and after an underrun
constexpr double kLongestFade = 0.1;     // s
constexpr double kMostSlack = 0.005;     // s that Python may take over a message; the rest guards against stalls
constexpr double kLeastSlack = 0.001;    // s
constexpr double kPi = 3.14159265358979323846;
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

// Raised cosine, 0 before `length` steps and 1 after them.
float fade_in(uint64_t step, uint64_t length) { return float(0.5 - 0.5 * std::cos(kPi * (double(step) + 0.5) / double(length))); }

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

Player::Player(std::shared_ptr<Source> source_, std::shared_ptr<const Filter> filter, int channels_, uint64_t id_)
    : source(std::move(source_)), channels(channels_), id(id_)
{
    if (filter) fit(std::move(filter));
}

void Player::fit(std::shared_ptr<const Filter> filter)
{
    const int chunk = std::max(1, filter->host_rate / 500);
    most = int(int64_t(chunk) * filter->down / filter->up) + 2;
    resampler = std::make_unique<Resampler>(std::move(filter), channels, chunk);
    codes.assign(size_t(channels) * most, 0);
    temperatures.assign(size_t(channels) * most, 1.0f);
    sampling.resize(channels);
    audio.assign(size_t(channels) * most, 0.0f);
}

// ---------------------------------------------------------------- control side

Stream::Stream(int channels, double latency, bool freewheel, uint32_t capacity)
    : channels_(channels), shared_(SharedRing::make(channels, capacity, 96)), latency_(latency)
{
    shared_->ring.freewheel = freewheel;
    last_.assign(channels, 0.0f);
    lines_.assign(channels, nullptr);
}

Stream::~Stream()
{
    collect();
    for (Command c; commands_.pop(c);) delete c.player;
    for (Command &c : pending_) delete c.player;
    for (Player *p : unretired_) delete p;
    delete player_;
    sopi_ring_release(&shared_->ring);
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

bool Stream::post(Command command)
{
    collect();
    return commands_.push(std::move(command));
}

void Stream::collect()
{
    for (Player *p; retired_.pop(p);) delete p;
}

std::shared_ptr<const Filter> Stream::filter_for(int model_rate) const
{
    double rate;
    __atomic_load(&shared_->ring.sample_rate, &rate, __ATOMIC_ACQUIRE);
    return rate > 0 ? Filter::design(model_rate, int(std::lround(rate))) : nullptr;
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
        double rate;
        __atomic_load(&r.sample_rate, &rate, __ATOMIC_ACQUIRE);
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
            Command command = pending_.front();
            pending_.pop_front();
            apply(command);
        }
        uint64_t n = std::min<uint64_t>(chunk_, limit - at_);
        if (!pending_.empty()) n = std::min(n, pending_.front().at - at_);
        produce(int(n));
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
    chunk_ = std::max(1, host_rate / 500);
    longest_tail_ = std::max(1, int(kLongestFade * host_rate));
    out_.assign(size_t(channels_) * chunk_, 0.0f);
    tail_.assign(size_t(channels_) * longest_tail_, 0.0f);
    tail_spare_ = tail_;
    tail_length_ = tail_done_ = 0;
    rise_length_ = std::max(1, int(kFade * host_rate));
    if (player_) {
        player_->fit(Filter::design(player_->source->sample_rate(), host_rate));
        begin(kFade);
    }
}

void Stream::receive()
{
    for (Command c; commands_.pop(c);) {
        const auto frames = [this](double s) { return uint64_t(std::llround(s * host_rate_)); };
        c.at = std::max(c.t + frames(latency_), not_before_);
        if (c.kind == Kind::latency) {
            not_before_ = c.at;
            latency_ = c.value;
            continue;
        }
        auto place = pending_.end();
        while (place != pending_.begin() && std::prev(place)->at > c.at) --place;
        pending_.insert(place, c);
    }
}

// How far to produce.
uint64_t Stream::target(uint64_t read, uint64_t wanted)
{
    const sopi_ring &r = shared_->ring;
    const uint64_t block = uint64_t(sopi_load(&r.block)) + r.reserve;
    const double burst = double(stats_.burst.load(std::memory_order_relaxed) + r.reserve) / host_rate_;
    const double slack = std::max(kLeastSlack, std::min({kMostSlack, 0.25 * latency_, latency_ - burst}));
    const double ahead = std::max(0.0, (latency_ - slack) * host_rate_);
    const uint64_t limit = read + (sopi_load(&r.freewheel) ? uint64_t(ahead) : std::max(uint64_t(ahead), block));
    return std::min(std::max(limit, wanted), read + r.capacity - r.reserve);
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
        sleep_ns(playing_ ? 500000 : 1000000);
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
    if (sopi_load(&r.generating)) report({Event::underrun, at_, double(shift), {}});
    origin_ += shift;
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

// ---------------------------------------------------------------- producer: commands

void Stream::apply(Command &command)
{
    if (command.at < at_) {
        const uint64_t by = at_ - command.at;
        stats_.late.fetch_add(1, std::memory_order_relaxed);
        if (by > stats_.worst_late.load(std::memory_order_relaxed)) stats_.worst_late.store(by, std::memory_order_relaxed);
        report({Event::late, at_, double(by), {}});
    }
    switch (command.kind) {
    case Kind::play: {
        const bool on = command.value != 0;
        if (on == playing_) break;
        cut(kFade);
        playing_ = on;
        if (on && player_) begin(kFade);
        break;
    }
    case Kind::temperature: temperature_.go(command.value, at_, command.ramp * host_rate_); break;
    case Kind::gain: gain_.go(command.value, at_, command.ramp * host_rate_); break;
    case Kind::seed:
        if (!player_) break;
        if (playing_) cut(kFade);
        try {
            player_->source->reset(command.seed);
            player_->failed = false;
        } catch (const std::exception &e) {
            fail(e.what());
        }
        begin(kFade);
        break;
    case Kind::swap: {
        double fade = kFade;
        if (playing_ && player_) {
            fade = command.ramp;
            // The tail is made in one go: in real time it must not take longer than what the ring holds.
            const double speed = stats_.real_time_factor.load(std::memory_order_relaxed);
            if (!sopi_load(&shared_->ring.freewheel)) fade = std::min(fade, std::max(kFade, 0.5 * 0.6 * latency_ * speed));
            cut(fade);
        }
        if (player_) retire(player_);
        player_ = command.player;
        if (player_) {
            if (!player_->resampler || player_->resampler->filter().host_rate != host_rate_)
                player_->fit(Filter::design(player_->source->sample_rate(), host_rate_));
            begin(fade);
        }
        report({Event::swapped, at_, double(player_ ? player_->id : 0), {}});
        break;
    }
    case Kind::latency: break; // at once, in receive()
    }
}

// The player's next sample is the first that sounds, from here on.
void Stream::begin(double fade)
{
    player_->resampler->restart();
    origin_ = at_;
    rise_samples_ = uint64_t(std::lround(fade * player_->source->sample_rate()));
}

// Makes the next `seconds` of the present output the tail. Several cuts at one position are one.
void Stream::cut(double seconds)
{
    if (tail_length_ > 0 && tail_done_ == 0) return;
    const int frames = std::clamp(int(std::lround(seconds * host_rate_)), 1, longest_tail_);
    for (int done = 0; done < frames; done += chunk_) {
        for (int c = 0; c < channels_; c++) lines_[c] = &tail_spare_[size_t(c) * longest_tail_ + done];
        complete(lines_.data(), std::min(chunk_, frames - done), false);
    }
    std::swap(tail_, tail_spare_);
    tail_length_ = frames;
    tail_done_ = 0;
}

// A Python thread destroys it: freeing a model takes a while.
void Stream::retire(Player *player)
{
    unretired_.push_back(player);
    while (!unretired_.empty()) {
        Player *p = unretired_.front();
        if (!retired_.push(std::move(p))) break;
        unretired_.pop_front();
    }
}

void Stream::report(Event event) noexcept { events_.push(std::move(event)); }

// ---------------------------------------------------------------- producer: sound

void Stream::produce(int n)
{
    sopi_ring &r = shared_->ring;
    for (int c = 0; c < channels_; c++) lines_[c] = &out_[size_t(c) * chunk_];
    complete(lines_.data(), n, true);
    const uint32_t mask = r.capacity - 1;
    for (int i = 0; i < n; i++) {
        float g = float(gain_.at(double(at_ + i)));
        if (rise_ > 0) g *= float(rise_length_ - rise_--) / float(rise_length_);
        for (int c = 0; c < channels_; c++)
            r.data[size_t(c) * r.capacity + ((at_ + i) & mask)] = out_[size_t(c) * chunk_ + i] * g;
    }
    const bool sounds = (playing_ && player_ && !player_->failed) || tail_done_ < tail_length_;
    if (sounds != bool(sopi_load(&r.generating))) sopi_store(&r.generating, sounds ? 1u : 0u);
    publish(at_ + n);
}

void Stream::complete(float *const *out, int n, bool heard)
{
    fresh(out, n, heard);
    const int fading = std::min(n, tail_length_ - tail_done_);
    for (int i = 0; i < fading; i++) {
        const float weight = 1.0f - fade_in(tail_done_ + i, tail_length_);
        for (int c = 0; c < channels_; c++) out[c][i] += weight * tail_[size_t(c) * longest_tail_ + tail_done_ + i];
    }
    if (fading > 0) tail_done_ += fading;
    if (tail_done_ >= tail_length_) tail_length_ = tail_done_ = 0;
    for (int c = 0; c < channels_; c++) last_[c] = out[c][n - 1];
}

void Stream::fresh(float *const *out, int n, bool heard)
{
    if (playing_ && player_ && !player_->failed) {
        Player &p = *player_;
        try {
            const int samples = p.resampler->needed(n);
            if (samples > 0) generate(p, samples, heard);
            p.resampler->process(p.audio.data(), p.most, out, n);
            return;
        } catch (const std::exception &e) {
            fail(e.what());
        }
    }
    for (int c = 0; c < channels_; c++) std::fill(out[c], out[c] + n, 0.0f);
}

// n model samples of every voice into p.audio.
void Stream::generate(Player &p, int n, bool heard)
{
    const uint64_t first = p.resampler->samples();
    // codes and temperatures are [channels][n] without gaps, as the source takes them
    for (int i = 0; i < n; i++)
        p.temperatures[i] = float(temperature_.at(double(origin_ + p.resampler->first_frame(first + i))));
    for (int c = 1; c < channels_; c++) std::copy_n(p.temperatures.begin(), n, p.temperatures.begin() + size_t(c) * n);
    std::fill(p.sampling.begin(), p.sampling.end(), sampling_);
    const int frame = p.source->frame(), phase = p.source->phase();
    const int64_t before = now_ns();
    p.source->generate(p.codes.data(), n, {p.temperatures.data(), p.sampling.data()});
    const double busy = double(std::max<int64_t>(1, now_ns() - before)) * 1e-9, sound = double(n) / p.source->sample_rate();
    // Mean busy time per second of sound, over the last quarter of a second of sound.
    const double old = stats_.real_time_factor.load(std::memory_order_relaxed);
    const double load = old > 0 ? 1 / old + (busy / sound - 1 / old) * std::min(1.0, sound / 0.25) : busy / sound;
    stats_.real_time_factor.store(1 / load, std::memory_order_relaxed);

    const float *decode = p.source->decode_table();
    for (int c = 0; c < channels_; c++)
        for (int i = 0; i < n; i++) {
            // Faded in before the resampler: after it, the step at the beginning would come out of its delay unfaded.
            const float weight = first + i < rise_samples_ ? fade_in(first + i, rise_samples_) : 1.0f;
            p.audio[size_t(c) * p.most + i] = weight * decode[p.codes[size_t(c) * n + i]];
        }
    if (!heard) return;
    sopi_ring &r = shared_->ring;
    for (int i = (frame - phase) % frame; i < n; i += frame) {
        const uint64_t w = r.tick_write;
        sopi_store(&r.ticks[w & (SOPI_RING_TICKS - 1)], origin_ + p.resampler->first_frame(first + i));
        sopi_store(&r.tick_write, w + 1);
    }
}

// The source can't go on: its last value fades out, and the stream stays usable.
void Stream::fail(const char *what)
{
    player_->failed = true;
    report({Event::error, at_, 0, what});
    tail_length_ = std::max(1, int(kFade * host_rate_));
    tail_done_ = 0;
    for (int c = 0; c < channels_; c++) std::fill_n(&tail_[size_t(c) * longest_tail_], tail_length_, last_[c]);
}

} // namespace sopi
