// The stream's control side, and the loop of its producer.
#include "stream/stream.hpp"

#include "denormals.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>

namespace sopi {

namespace {

constexpr double kLongestTail = 0.1;  // s that the tail can be made ahead
constexpr double kInput = 10;         // s at 48 kHz that the input ring holds
constexpr uint32_t kHeadStart = 128;  // frames of silence made before the host's rate is known, beside the reserve
constexpr uint32_t kReserve = 96;     // frames
constexpr int64_t kPause = 2000000;   // ns after something went wrong

// The streams of this process, for its end. Never destroyed: threads may outlive static objects.
struct Living {
    const int64_t process = platform::process();
    std::mutex mutex;
    std::vector<std::weak_ptr<Stream>> streams;
};

Living &living()
{
    static Living *all = new Living;
    return *all;
}

uint32_t power_of_two(double least)
{
    uint32_t n = 1;
    while (n < least) n *= 2;
    return n;
}

} // namespace

// ---------------------------------------------------------------- control side

Stream::Stream(int channels, double latency, bool freewheel, uint32_t capacity)
    : channels_(channels), shared_(SharedRing::make(channels, capacity, kReserve)),
      input_(SharedRing::make(2, power_of_two(kInput * 48000), 0)), clock_(*shared_, stats_),
      promised_latency_(latency), latency_(latency)
{
    shared_->ring.freewheel = freewheel;
    last_.assign(channels, 0.0f);
    lines_.assign(channels, nullptr);
    other_lines_ = rest_ = lines_;
}

Stream::~Stream()
{
    const auto drop = [](const Command &c) {
        if (c.value.type == Value::Type::prepared) delete c.value.prepared;
    };
    while (!early_.empty()) drop(early_.pop());
    while (!pending_.empty()) drop(pending_.pop());
    for (Command c; commands_.pop(c);) drop(c);
    sopi_ring_release(&shared_->ring);
    sopi_ring_release(&input_->ring);
}

void Stream::start(const std::shared_ptr<Stream> &stream)
{
    std::lock_guard<std::mutex> ending(stream->ending_);
    if (stream->thread_.started()) return;
    static const bool registered = (std::atexit([] { close_all_streams(0.5); }), true);
    (void)registered;
    {
        std::lock_guard<std::mutex> lock(living().mutex);
        auto &all = living().streams;
        all.erase(std::remove_if(all.begin(), all.end(), [](const auto &w) { return w.expired(); }), all.end());
        all.push_back(stream);
    }
    stream->host_ = platform::priority();
    stream->stop_ = stream->done_ = false;
    stream->shared_->running = true;
    try {
        // The thread holds the stream, so that one which could not be joined in time still finds its memory.
        stream->thread_.start([stream] { stream->run(); });
    } catch (...) {
        stream->shared_->running = false;
        stream->done_ = true;
        throw;
    }
}

void Stream::tell_to_stop() noexcept
{
    stop_ = true;
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->wake.notify_all();
}

bool Stream::close(double timeout)
{
    if (thread_.elsewhere()) return true; // its locks may be held by nobody
    tell_to_stop();
    const int64_t until = platform::now_ns() + int64_t(timeout * 1e9);
    while (!done_ && platform::now_ns() < until) platform::sleep_ns(200000);
    std::lock_guard<std::mutex> ending(ending_);
    if (done_) thread_.join();
    else thread_.detach();
    return done_;
}

void close_all_streams(double timeout)
{
    if (living().process != platform::process()) return;
    std::vector<std::shared_ptr<Stream>> streams;
    {
        std::lock_guard<std::mutex> lock(living().mutex);
        for (auto &w : living().streams)
            if (auto s = w.lock()) streams.push_back(std::move(s));
        living().streams.clear();
    }
    const int64_t until = platform::now_ns() + int64_t(timeout * 1e9);
    for (auto &s : streams) s->tell_to_stop();
    for (auto &s : streams) s->close(std::max(0.0, double(until - platform::now_ns()) * 1e-9));
}

void Stream::tick_at_lines(bool on, double timeout) noexcept
{
    lines_wanted_ = on;
    const int64_t until = platform::now_ns() + int64_t(timeout * 1e9);
    while (ticks_at_lines_ != on && !done_ && platform::now_ns() < until) platform::sleep_ns(200000);
}

bool Stream::post(const Command &command)
{
    check(command);
    collect();
    return commands_.push(command);
}

// ---------------------------------------------------------------- producer: the loop

void Stream::run() noexcept
{
    platform::name_thread("sopi-stream");
    {
        DenormalsFlushed flushed;
        while (!stop_) {
            try {
                step();
            } catch (const std::exception &e) {
                fall_silent(e.what());
            } catch (...) {
                fall_silent("something unknown went wrong");
            }
        }
    }
    sopi_store(&shared_->ring.generating, 0u);
    {
        std::lock_guard<std::mutex> lock(shared_->mutex);
        shared_->running = false;
        shared_->ready.notify_all();
    }
    done_ = true;
}

// One turn: what the host did, the commands that are due, and the next frames, as many as nothing comes between.
void Stream::step()
{
    const sopi_ring &r = shared_->ring;
    // Read before the commands: whatever was posted before the host came this far is then seen in time.
    const uint64_t wanted = sopi_load(&r.freewheel) ? shared_->wanted.load(std::memory_order_acquire) : 0;
    const uint64_t read = sopi_load(&r.read);
    follow_host();
    change_ticks();
    if (!host_rate_) {
        receive_early();
        // Silence needs no rate: so the host's first block is not missed.
        if (!sopi_load(&r.freewheel) && at_ == 0) publish(r.reserve + kHeadStart);
        clock_.rest(read, at_, false, stop_);
        return;
    }
    receive();
    clock_.measure(read, host_rate_);
    if (read > at_) jump(read);
    if (stop_at_ && at_ >= stop_at_) stop();
    const uint64_t limit = clock_.target(read, wanted, keep_from_.load(std::memory_order_acquire), promised_latency_,
                                         host_rate_);
    if (at_ >= limit) {
        clock_.rest(read, at_, playing_ || listener_, stop_);
        return;
    }
    apply_due();
    uint64_t n = std::min<uint64_t>(chunk_, limit - at_);
    if (!pending_.empty()) n = std::min(n, pending_.front().at - at_);
    if (stop_at_) n = std::min(n, stop_at_ - at_);
    if (n > 0) produce(int(n));
    if (stop_at_ && at_ >= stop_at_) stop();
}

void Stream::follow_host()
{
    if (const int now = int(sopi_load(&shared_->ring.freewheel)); now != freewheeling_) {
        // Nobody listens to a rendering: it must not starve the rest of the machine.
        platform::set_priority(now ? platform::ordinary() : platform::below(host_));
        freewheeling_ = now;
    }
    const double rate = host_rate();
    if (rate > 0 && std::lround(rate) != host_rate_) configure(int(std::lround(rate)));
}

// The host's rate is known, or another one. Allocates: the host has just started its DSP, so nothing is running dry.
void Stream::configure(int host_rate)
{
    const int chunk = chunk_of(host_rate), before = host_rate_;
    std::vector<float> lines(size_t(channels_) * chunk, 0.0f);
    for (Player *p : {player_.get(), second_.get()})
        if (p) p->fit(host_rate);
    tail_.fit(channels_, std::max(1, int(kLongestTail * host_rate)));
    const bool thawed = looper_.fit(channels_, host_rate), listened = bool(listener_);
    other_ = lines;
    out_ = std::move(lines);
    for (int c = 0; c < channels_; c++) other_lines_[c] = &other_[size_t(c) * chunk];
    host_rate_ = host_rate;
    made_from_ = at_;
    made_rate_ = host_rate; // after the frame: who sees the rate sees that
    chunk_ = chunk;
    rise_length_ = std::max(1, int(kFade * host_rate));
    rise_ = 0;
    end_listening();
    if (before) stretch(double(host_rate) / before);
    begin_players(kFade);
    if (thawed) {
        tell_ended("freeze");
        refuse("the host runs at another sample rate now, which ended freeze: send it again");
    }
    if (listened) {
        tell_ended("listen");
        refuse("the host runs at another sample rate now, which ended listen: send it again");
    }
}

// At another host rate the time that is still to pass is another number of frames.
void Stream::stretch(double factor) noexcept
{
    const auto later = [&](uint64_t &position) {
        if (position > at_) position = at_ + uint64_t(std::llround(double(position - at_) * factor));
    };
    for (Moving *m : {&level_, &through_}) m->stretch(double(at_), factor);
    knobs_.stretch(double(at_), factor);
    voices_.stretch(at_, factor);
    later(stop_at_);
    later(morph_until_);
    later(not_before_);
    pending_.each([&](Command &c) { later(c.at); });
}

void Stream::receive() noexcept
{
    while (!early_.empty() && !pending_.full()) schedule(early_.pop());
    for (Command c; !pending_.full() && commands_.pop(c);) schedule(c);
}

void Stream::receive_early() noexcept
{
    for (Command c; !early_.full() && commands_.pop(c);) early_.insert(c);
}

void Stream::schedule(Command c) noexcept
{
    if (at_once(c)) return;
    c.at = std::max(c.t + frames(promised_latency_), not_before_);
    if (c.on_line && grid_.on()) c.at = grid_.line(c.at, host_rate_);
    if (c.id == Id::latency) { // of the commands after it at once, of what sounds when its time has come
        not_before_ = c.at;
        promised_latency_ = c.value.number / 1000;
    }
    pending_.insert(c);
}

// Ticks of the other kind that were put in ahead are none: positions before the host's are passed over.
void Stream::change_ticks() noexcept
{
    const bool wanted = lines_wanted_;
    if (wanted == ticks_at_lines_) return;
    for (uint64_t &tick : shared_->ring.ticks) sopi_store(&tick, uint64_t(0));
    ticks_at_lines_ = wanted;
}

// What is no sound: it holds for the commands after it.
bool Stream::at_once(const Command &c) noexcept
{
    const double x = c.value.number;
    if (c.id == Id::grid) grid_.set(x);
    else if (c.id == Id::tempo) grid_.tempo(x, c.t, host_rate_);
    else if (c.id == Id::beat) grid_.beat_at(x, c.t, c.index == 1, host_rate_);
    else return false;
    return true;
}

void Stream::apply_due() noexcept
{
    while (!pending_.empty() && pending_.front().at <= at_) {
        Command command = pending_.pop();
        try {
            apply(command);
        } catch (const std::exception &e) {
            refuse(e.what());
        } catch (...) {
            refuse("something unknown went wrong");
        }
        if (command.value.type == Value::Type::prepared) retired_.give(command.value.prepared); // nobody took it
    }
}

// Something failed that nobody expected to. The sound ends, time goes on, and the next seed or model sounds again.
void Stream::fall_silent(const char *why) noexcept
{
    teller_.tell(Event::error, at_, why);
    for (Player *p : {player_.get(), second_.get()})
        if (p) p->failed = true;
    if (listener_) tell_ended("listen");
    if (looper_.frozen()) tell_ended("freeze");
    if (guard_) tell_ended("guard");
    end_listening();
    guard_.reset();
    new_music();
    looper_.thaw();
    tail_.clear();
    sopi_ring &r = shared_->ring;
    sopi_store(&r.generating, 0u);
    const uint64_t read = sopi_load(&r.read), to = std::max(read, at_) + 64;
    if (to < read + r.capacity / 2) {
        for (int c = 0; c < channels_; c++)
            for (uint64_t p = at_; p < to; p++) shared_->put(c, p, 0.0f);
        publish(to);
    }
    platform::sleep_ns(kPause);
}

// The host has read past what was made. The model goes on where it was, at a later position; all that is counted in the
// host's time (ramps, fades, what is pending) goes on as if the sound had not been missing.
void Stream::jump(uint64_t read) noexcept
{
    const sopi_ring &r = shared_->ring;
    const uint64_t burst = std::min<uint64_t>(stats_.burst.load(std::memory_order_relaxed), r.capacity / 2);
    const uint64_t to = read + burst + r.reserve, shift = to - at_;
    for (int c = 0; c < channels_; c++)
        for (uint64_t p = read; p < to; p++) shared_->put(c, p, 0.0f);
    looper_.forget(at_, to);
    for (Player *p : {player_.get(), second_.get()})
        if (p) p->origin += shift;
    if (playing_ && player_) stats_.slips.fetch_add(1, std::memory_order_relaxed);
    rise_ = rise_length_;
    publish(to);
}

void Stream::publish(uint64_t write)
{
    at_ = write;
    sopi_store(&shared_->ring.write, write);
    sopi_store(&input_->ring.tick_write, write); // the input so far is not read any more
    if (sopi_load(&shared_->ring.freewheel)) {
        std::lock_guard<std::mutex> lock(shared_->mutex); // so that the notice can't fall between test and wait
        shared_->ready.notify_all();
    }
}

} // namespace sopi
