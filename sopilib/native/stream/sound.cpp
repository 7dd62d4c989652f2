// The stream's sound: what plays, what is blended, what the models are told. All of it runs in the producer.
#include "stream/stream.hpp"

#include <algorithm>
#include <cmath>
#include <exception>

namespace sopi {

namespace {

constexpr Entry kTemperature = entry_of(Id::temperature);
constexpr double kNudge = 1.5; // times the temperature, while a voice is nudged

void silence(float *const *out, int channels, int n) noexcept
{
    for (int c = 0; c < channels; c++) std::fill_n(out[c], n, 0.0f);
}

} // namespace

// ---------------------------------------------------------------- out

void Stream::produce(int n)
{
    sopi_ring &r = shared_->ring;
    hear(n);
    for (int c = 0; c < channels_; c++) lines_[c] = &out_[size_t(c) * chunk_];
    complete(lines_.data(), at_, n, true);
    if (ticks_at_lines_ && grid_.on())
        for (uint64_t p = grid_.line(at_, host_rate_); p < at_ + uint64_t(n); p = grid_.line(p + 1, host_rate_))
            put_tick(p);
    const int64_t due = int64_t(at_) - int64_t(frames(latency_)); // the input that at_ may know of
    for (int i = 0; i < n; i++) {
        const double position = double(at_ + i);
        const float through = float(through_.at(position));
        float g = float(knobs_[Id::gain].at(position) * level_.at(position));
        if (rise_ > 0) g *= float(rise_length_ - rise_--) / float(rise_length_);
        for (int c = 0; c < channels_; c++) {
            float x = out_[size_t(c) * chunk_ + i];
            if (through > 0) x += through * input_->at(0, due + i);
            looper_.remember(c, at_ + i, x);
            shared_->put(c, at_ + i, x * g);
        }
    }
    const bool sounds = (playing_ && player_ && !player_->failed) || tail_.sounds();
    if (sounds != bool(sopi_load(&r.generating))) sopi_store(&r.generating, sounds ? 1u : 0u);
    publish(at_ + n);
}

void Stream::complete(float *const *out, uint64_t position, int n, bool heard)
{
    fresh(out, position, n, heard);
    tail_.add(out, n);
    for (int c = 0; c < channels_; c++) last_[c] = out[c][n - 1];
}

void Stream::fresh(float *const *out, uint64_t position, int n, bool heard)
{
    if (playing_ && looper_.frozen()) return looper_.play(out, n);
    if (!playing_ || listening_ == Listening::silence || listening_ == Listening::input)
        return silence(out, channels_, n);
    // A blend that comes to its end lets one of the two rest from that very frame on.
    const double end = std::ceil(knobs_[Id::blend].end()) - double(position);
    const int moving = end > 0 && end < n ? int(end) : n;
    blended(out, position, moving, heard);
    if (moving == n) return;
    for (int c = 0; c < channels_; c++) rest_[c] = out[c] + moving;
    blended(rest_.data(), position + moving, n - moving, heard);
}

// The two players, or the one of them that is to be heard.
void Stream::blended(float *const *out, uint64_t position, int n, bool heard)
{
    const int64_t before = platform::now_ns();
    const Moving &blend = knobs_[Id::blend];
    // Where the blend stands still at one side, only that one runs.
    Player *a = player_.get(), *b = second_.get();
    if (b && !blend.moves_after(double(position))) {
        const double share = blend.at(double(position));
        if (share <= 0) b = nullptr;
        else if (share >= 1) a = nullptr;
    }
    for (Player *p : {player_.get(), second_.get()}) {
        if (!p) continue;
        if (p != a && p != b) p->idle = true;
        else if (p->idle) begin(*p, position, kFade);
    }
    const bool one = a && !a->failed && play(*a, out, n, heard, true);
    if (!one) silence(out, channels_, n);
    const bool other = b && !b->failed && play(*b, other_lines_.data(), n, heard, !one);
    if (b)
        for (int i = 0; i < n; i++) {
            const double angle = 0.5 * kPi * blend.at(double(position + i)); // equal power
            const float from = float(std::cos(angle)), to = other ? float(std::sin(angle)) : 0.0f;
            for (int c = 0; c < channels_; c++) out[c][i] = from * out[c][i] + to * other_lines_[c][i];
        }
    if (one || other) measure_speed(platform::now_ns() - before, n);
}

// Mean busy time per second of sound, over the last quarter of a second of sound.
void Stream::measure_speed(int64_t busy_ns, int n) noexcept
{
    const double busy = double(std::max<int64_t>(1, busy_ns)) * 1e-9, sound = double(n) / host_rate_;
    const double old = stats_.real_time_factor.load(std::memory_order_relaxed);
    const double load = old > 0 ? 1 / old + (busy / sound - 1 / old) * std::min(1.0, sound / 0.25) : busy / sound;
    stats_.real_time_factor.store(1 / load, std::memory_order_relaxed);
}

// The player's next n frames; silence and false if it fails.
bool Stream::play(Player &p, float *const *out, int n, bool heard, bool ticks)
{
    try {
        const uint64_t next = p.next();
        if (p.resampler->varies())
            for (int k = 0; k < n; k++) p.rates[k] = knobs_[Id::rate].at(double(next + k));
        const int samples = p.resampler->plan(n, p.rates.data());
        if (samples > 0) generate(p, samples, heard, ticks && heard);
        p.resampler->process(p.audio.data(), p.most, out);
        return true;
    } catch (const std::exception &e) {
        fail(p, e.what());
        silence(out, channels_, n);
        return false;
    }
}

// The n model samples that were planned, into p.audio.
void Stream::generate(Player &p, int n, bool heard, bool ticks)
{
    for (int from = 0, m; from < n; from += m) {
        const int phase = p.source->position() % p.source->frame();
        m = generate_some(p, from, n - from, heard);
        const uint64_t limited = p.source->limited();
        p.source->generate(p.codes.data(), p.raw.data(), m,
                           {p.temperatures.data(), p.sampling.data(), p.features.data(), p.blends.data()});
        stats_.limited.fetch_add(p.source->limited() - limited, std::memory_order_relaxed);
        voices_.mix(p, from, m, knobs_[Id::mix].last() != 0 || p.voices > channels_, host_rate_);
        if (guarded(p)) watch(p, from, m);
        if (ticks && !ticks_at_lines_) put_ticks(p, phase, from, m);
    }
}

// Sets what the source hears of the knobs for the samples from `from` on -> how many of the n may be made at once. Conditioning
// values move where a bottom frame begins, what waits for a top frame happens there, and where the guard looks is an end too.
int Stream::generate_some(Player &p, int from, int n, bool heard)
{
    const Source &source = *p.source;
    const bool waits = &p == player_.get() && waits_for_top_frame();
    const int frame = source.frame(), phase = source.position() % frame;
    if (source.features() && phase == 0) set_features(p, p.heard(from));
    if (waits && source.position() == 0) at_top_frame(p, p.heard(from));
    int m = n;
    if (source.features()) m = std::min(m, frame - phase);
    else if (waits) m = std::min(m, source.period() - source.position());
    if (guarded(p)) m = std::min(m, guard_->until_look());
    for (int v = 0; v < p.voices; v++) {
        const Knobs &knobs = voices_[v].knobs;
        p.sampling[v] = {int(knobs[Id::top_k].last()), float(knobs[Id::top_p].last()), float(knobs[Id::min_p].last()),
                         float(knobs[Id::rest].last()), float(knobs[Id::rest_level].last())};
        // as the source takes them, [voices][m] without gaps
        for (int i = 0; i < m; i++) p.temperatures[size_t(v) * m + i] = temperature(v, p.heard(from + i), heard);
    }
    for (int i = 0; i < m; i++) p.blends[i] = float(knobs_[Id::blend].at(double(p.heard(from + i))));
    return m;
}

void Stream::put_tick(uint64_t position) noexcept
{
    sopi_ring &r = shared_->ring;
    const uint64_t w = r.tick_write;
    sopi_store(&r.ticks[w & (SOPI_RING_TICKS - 1)], position);
    sopi_store(&r.tick_write, w + 1);
}

// Of the bottom frames that begin among n samples, the first of which is at `phase` of its own.
void Stream::put_ticks(const Player &p, int phase, int from, int n) noexcept
{
    const int frame = p.source->frame();
    for (int i = (frame - phase) % frame; i < n; i += frame) put_tick(p.heard(from + i));
}

// The signal inlet rules where it is above 0.
float Stream::temperature(int voice, uint64_t position, bool heard) const noexcept
{
    // A tail knows no more of the signal than what is due by now.
    const float signal = input_->at(1, int64_t(heard ? position : at_) - int64_t(frames(latency_)));
    const VoiceControls &v = voices_[voice];
    const float value = signal > 0 ? std::clamp(signal, float(kTemperature.least), float(kTemperature.most))
                                   : float(v.knobs[Id::temperature].at(double(position)));
    return position < v.nudged_until ? float(kNudge) * value : value;
}

// What the next frame of the source hears of the conditioning values.
void Stream::set_features(Player &p, uint64_t position) noexcept
{
    const size_t count = size_t(p.source->features());
    for (int v = 0; v < p.voices; v++)
        for (size_t k = 0; k < std::min(count, voices_[v].features.size()); k++)
            p.features[v * count + k] = float(voices_[v].features[k].at(double(position)));
}

// ---------------------------------------------------------------- where a top frame begins

bool Stream::waits_for_top_frame() const noexcept
{
    return morph_ || (guard_ && guard_->reprimes()) || voices_.any_reseeds();
}

// What can happen only there. What the source can't do is told, and the sound goes on without it.
void Stream::at_top_frame(Player &p, uint64_t position)
{
    for (int v = 0; v < p.voices; v++)
        if (voices_[v].reseeds && position >= voices_[v].reseeds_from + frames(kFade)) begin_voice(p, v);
    if (guarded(p) && guard_->reprimes() && p.source->remembers()) guard_->keep_well(*p.source, position, host_rate_);
    if (morph_) morph_on(p, position);
}

// A voice that has faded out begins anew, or where the guard found it well.
void Stream::begin_voice(Player &p, int v) noexcept
{
    VoiceControls &voice = voices_[v];
    try {
        if (voice.reprimes && guard_) p.source->restore_voice(v, guard_->well(v));
        else p.source->reset_voice(v, voice.seed);
    } catch (const std::exception &e) {
        refuse(e.what());
    }
    voice.reseeds = voice.reprimes = false;
    voice.rise = uint64_t(std::lround(kFade * p.source->sample_rate()));
}

void Stream::morph_on(Player &p, uint64_t position)
{
    const double length = double(p.source->period()) * host_rate_ / p.source->sample_rate();
    const double left = double(morph_until_) - double(position);
    try {
        p.source->approach(morph_->state, float(left <= 0 ? 1 : length / (left + length)));
        if (left <= 0) morph_.reset();
    } catch (const std::exception &e) {
        refuse(e.what());
        morph_.reset();
    }
}

// The guard is made for this player.
bool Stream::guarded(const Player &p) const noexcept
{
    return guard_ && &p == player_.get() && p.voices == guard_->voices();
}

// Shows the guard what the voices made, n samples from `from` on.
void Stream::watch(Player &p, int from, int n)
{
    const uint64_t position = p.heard(from + n - 1);
    const bool can_reprime = p.source->remembers();
    for (int v = 0; v < p.voices; v++)
        guard_->watch(v, &p.raw[size_t(v) * n], n, position, host_rate_, can_reprime, voices_[v], teller_);
}

// ---------------------------------------------------------------- in

// The listener hears the input that the next n frames may know of.
void Stream::hear(int n) noexcept
{
    const int64_t upto = int64_t(at_) - int64_t(frames(latency_)) + n;
    if (!listener_ || upto <= 0) return;
    try {
        listener_->hear(*input_, uint64_t(upto), false);
    } catch (const std::exception &e) {
        refuse(e.what());
        tell_ended("listen");
        end_listening();
    } catch (...) {
        refuse("the model can't listen");
        tell_ended("listen");
        end_listening();
    }
}

// ---------------------------------------------------------------- when it fails

// The source can't go on: its last value fades out, and the stream stays usable.
void Stream::fail(Player &p, const char *what) noexcept
{
    p.failed = true;
    teller_.tell(Event::error, at_, what);
    tail_.hold(last_.data(), int(kFade * host_rate_));
}

} // namespace sopi
