// The stream's sound: what is played, mixed, looped, heard. All of it runs in the producer.
#include "stream.hpp"

#include <algorithm>
#include <cmath>
#include <exception>

#include <time.h>

namespace sopi {

namespace {

constexpr Entry kTemperature = entry_of(Id::temperature);
constexpr double kPi = 3.14159265358979323846;
constexpr double kNudge = 1.5, kNudged = 1;   // times the temperature, for so many seconds
constexpr double kWell = 1;        // s between two states of voices that are well
constexpr double kLoopFade = 0.01; // s in which the end of a loop becomes its beginning

int64_t now_ns()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
}

// Raised cosine, 0 before `length` steps and 1 after them.
float fade_in(uint64_t step, uint64_t length) { return float(0.5 - 0.5 * std::cos(kPi * (double(step) + 0.5) / double(length))); }

} // namespace

// ---------------------------------------------------------------- out

void Stream::produce(int n)
{
    sopi_ring &r = shared_->ring;
    const int64_t due = int64_t(at_) - int64_t(frames(latency_)); // the input that at_ may know of
    if (listener_ && due + n > 0) hear(uint64_t(due + n), false);
    for (int c = 0; c < channels_; c++) lines_[c] = &out_[size_t(c) * chunk_];
    complete(lines_.data(), at_, n, true);
    const uint32_t mask = r.capacity - 1;
    for (int i = 0; i < n; i++) {
        const double position = double(at_ + i);
        const float through = float(through_.at(position));
        float g = float(knob(Id::gain).at(position) * level_.at(position));
        if (rise_ > 0) g *= float(rise_length_ - rise_--) / float(rise_length_);
        for (int c = 0; c < channels_; c++) {
            float x = out_[size_t(c) * chunk_ + i];
            if (through > 0) x += through * input_at(0, due + i);
            if (!frozen_) past_[size_t(c) * past_room_ + ((at_ + i) & (past_room_ - 1))] = x;
            r.data[size_t(c) * r.capacity + ((at_ + i) & mask)] = x * g;
        }
    }
    const bool sounds = (playing_ && player_ && !player_->failed) || tail_done_ < tail_length_;
    if (sounds != bool(sopi_load(&r.generating))) sopi_store(&r.generating, sounds ? 1u : 0u);
    publish(at_ + n);
}

void Stream::complete(float *const *out, uint64_t position, int n, bool heard)
{
    fresh(out, position, n, heard);
    const int fading = std::min(n, tail_length_ - tail_done_);
    for (int i = 0; i < fading; i++) {
        const float weight = 1.0f - fade_in(tail_done_ + i, tail_length_);
        for (int c = 0; c < channels_; c++) out[c][i] += weight * tail_[size_t(c) * longest_tail_ + tail_done_ + i];
    }
    if (fading > 0) tail_done_ += fading;
    if (tail_done_ >= tail_length_) tail_length_ = tail_done_ = 0;
    for (int c = 0; c < channels_; c++) last_[c] = out[c][n - 1];
}

void Stream::fresh(float *const *out, uint64_t position, int n, bool heard)
{
    const auto silence = [&] {
        for (int c = 0; c < channels_; c++) std::fill(out[c], out[c] + n, 0.0f);
    };
    if (playing_ && frozen_) return loop(out, n);
    if (!playing_ || listening_ == Listening::silence || listening_ == Listening::input) return silence();

    const int64_t before = now_ns();
    // Where the blend stands still at one side, only that one runs.
    Player *a = player_.get(), *b = second_.get();
    if (b && !knob(Id::blend).moves_after(double(position))) {
        const double share = knob(Id::blend).at(double(position));
        if (share <= 0) b = nullptr;
        else if (share >= 1) a = nullptr;
    }
    for (Player *p : {player_.get(), second_.get()}) {
        if (!p) continue;
        if (p != a && p != b) p->idle = true;
        else if (p->idle) begin(*p, position, kFade);
    }
    const bool one = a && !a->failed && play(*a, out, n, heard, true);
    if (!one) silence();
    const bool other = b && !b->failed && play(*b, other_lines_.data(), n, heard, !one);
    if (b)
        for (int i = 0; i < n; i++) {
            const double angle = 0.5 * kPi * knob(Id::blend).at(double(position + i)); // equal power
            const float from = float(std::cos(angle)), to = other ? float(std::sin(angle)) : 0.0f;
            for (int c = 0; c < channels_; c++) out[c][i] = from * out[c][i] + to * other_lines_[c][i];
        }
    if (!one && !other) return;
    const double busy = double(std::max<int64_t>(1, now_ns() - before)) * 1e-9, sound = double(n) / host_rate_;
    // Mean busy time per second of sound, over the last quarter of a second of sound.
    const double old = stats_.real_time_factor.load(std::memory_order_relaxed);
    const double load = old > 0 ? 1 / old + (busy / sound - 1 / old) * std::min(1.0, sound / 0.25) : busy / sound;
    stats_.real_time_factor.store(1 / load, std::memory_order_relaxed);
}

// The frozen past, its end crossfaded into its beginning.
void Stream::loop(float *const *out, int n)
{
    const uint64_t length = loop_length_, mask = past_room_ - 1, rise = frames(kFade);
    const uint64_t fade = std::max<uint64_t>(1, std::min<uint64_t>(frames(kLoopFade), length / 4));
    for (int i = 0; i < n; i++, loop_done_++) {
        const uint64_t j = loop_done_ % length, at = loop_end_ - length + j, risen = loop_done_ - loop_rise_;
        const float into = j + fade >= length ? fade_in(j + fade - length, fade) : 0.0f;
        const float weight = risen < rise ? fade_in(risen, rise) : 1.0f;
        for (int c = 0; c < channels_; c++) {
            const float *past = &past_[size_t(c) * past_room_];
            const float x = past[at & mask], beginning = past[(at - length) & mask];
            out[c][i] = weight * (x + into * (beginning - x));
        }
    }
}

// The player's next n frames; silence and false if it fails.
bool Stream::play(Player &p, float *const *out, int n, bool heard, bool ticks)
{
    try {
        const uint64_t next = p.next();
        if (p.resampler->varies())
            for (int k = 0; k < n; k++) p.rates[k] = knob(Id::rate).at(double(next + k));
        const int samples = p.resampler->plan(n, p.rates.data());
        if (samples > 0) generate(p, samples, heard, ticks && heard);
        p.resampler->process(p.audio.data(), p.most, out);
        return true;
    } catch (const std::exception &e) {
        fail(p, e.what());
        for (int c = 0; c < channels_; c++) std::fill(out[c], out[c] + n, 0.0f);
        return false;
    }
}

// The n model samples that were planned, into p.audio.
void Stream::generate(Player &p, int n, bool heard, bool ticks)
{
    Source &source = *p.source;
    sopi_ring &r = shared_->ring;
    const uint64_t next = p.next();
    for (int from = 0, m; from < n; from += m) {
        // Conditioning values move where a bottom frame begins; what waits for a top frame happens there.
        const int frame = source.frame(), phase = source.position() % frame;
        const bool waits = &p == player_.get() && waits_for_top_frame();
        if (source.features() && phase == 0) set_features(p, next + p.resampler->heard(from));
        if (waits && source.position() == 0) at_top_frame(p, next + p.resampler->heard(from));
        m = n - from;
        if (source.features()) m = std::min(m, frame - phase);
        else if (waits) m = std::min(m, source.period() - source.position());
        for (int v = 0; v < p.voices; v++) {
            const VoiceControls &voice = voices_[v];
            p.sampling[v] = {int(voice[Id::top_k].last()), float(voice[Id::top_p].last()), float(voice[Id::min_p].last())};
            // as the source takes them, [voices][m] without gaps
            for (int i = 0; i < m; i++)
                p.temperatures[size_t(v) * m + i] = temperature(v, next + p.resampler->heard(from + i), heard);
        }
        for (int i = 0; i < m; i++) p.blends[i] = float(knob(Id::blend).at(double(next + p.resampler->heard(from + i))));
        source.generate(p.codes.data(), m, {p.temperatures.data(), p.sampling.data(), p.features.data(), p.blends.data()});
        mix(p, from, m);
        if (!ticks) continue;
        for (int i = (frame - phase) % frame; i < m; i += frame) {
            const uint64_t w = r.tick_write;
            sopi_store(&r.ticks[w & (SOPI_RING_TICKS - 1)], next + p.resampler->heard(from + i));
            sopi_store(&r.tick_write, w + 1);
        }
    }
}

// The signal inlet rules where it is above 0.
float Stream::temperature(int voice, uint64_t position, bool heard) const noexcept
{
    // A tail knows no more of the signal than what is due by now.
    const float signal = input_at(1, int64_t(heard ? position : at_) - int64_t(frames(latency_)));
    const VoiceControls &v = voices_[voice];
    const float value = signal > 0 ? std::clamp(signal, float(kTemperature.least), float(kTemperature.most)) : float(v[Id::temperature].at(double(position)));
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

bool Stream::waits_for_top_frame() const noexcept
{
    return morph_ || (guard_ && guard_->how == Guarding::reprime) || std::any_of(voices_.begin(), voices_.end(), [](const VoiceControls &v) { return v.reseeds; });
}

// What can happen only where a top frame begins.
void Stream::at_top_frame(Player &p, uint64_t position)
{
    for (int v = 0; v < p.voices; v++) {
        VoiceControls &voice = voices_[v];
        if (!voice.reseeds || position < voice.reseeds_from + frames(kFade)) continue;
        if (!voice.reprimes) p.source->reset_voice(v, voice.seed);
        else p.source->restore_voice(v, guard_->older);
        voice.reseeds = voice.reprimes = false;
        voice.rise = uint64_t(std::lround(kFade * p.source->sample_rate()));
    }
    if (guard_ && guard_->how == Guarding::reprime && size_t(p.voices) == guard_->detectors.size()) keep_well(*p.source, position);
    if (!morph_) return;
    const double length = double(p.source->period()) * host_rate_ / p.source->sample_rate();
    const double left = double(morph_until_) - double(position);
    p.source->approach(morph_->state, float(left <= 0 ? 1 : length / (left + length)));
    if (left <= 0) morph_.reset();
}

// A voice's sound as it was made, before host position `position`.
void Stream::watch(int voice, const float *samples, int n, uint64_t position)
{
    Guard &g = *guard_;
    TrapDetector &detector = g.detectors[voice];
    if (!detector.feed(samples, n)) return;
    const Trap trap = detector.trap();
    if (trap == Trap::none) {
        g.told[voice] = false;
        return;
    }
    if (!g.told[voice]) report(Event::trap, position, double(voice), name_of(trap));
    g.told[voice] = true;
    VoiceControls &v = voices_[voice];
    if (g.how == Guarding::nudge) v.nudged_until = position + frames(kNudged);
    if (g.how == Guarding::reprime && !v.reseeds) {
        v.reseeds = true;
        v.reprimes = g.well == 2;
        v.reseeds_from = position;
        v.seed++; // where it was never well: other music
        detector.forget();
        g.told[voice] = false;
    }
}

// Of voices that are well: what the guard goes back to, from before a trap that is not noticed yet.
void Stream::keep_well(const Source &source, uint64_t position)
{
    Guard &g = *guard_;
    if (g.well > 0 && position < g.saved + frames(kWell)) return;
    g.saved = position;
    State now;
    source.save(now);
    if (g.well < 2) {
        (g.well ? g.newer : g.older) = now;
        g.well++;
        return;
    }
    for (size_t v = 0; v < now.voices.size(); v++) {
        if (g.detectors[v].seen() != Trap::none) continue;
        std::swap(g.older.voices[v], g.newer.voices[v]);
        g.newer.voices[v] = std::move(now.voices[v]);
    }
}

// The voices' codes [voices][n] into the channels of p.audio, from sample `from` of the plan on.
void Stream::mix(Player &p, int from, int n)
{
    const bool mixed = knob(Id::mix).last() != 0 || p.voices > channels_;
    const uint64_t next = p.next(), first = p.resampler->samples() + from;
    const uint64_t rise = uint64_t(std::lround(kFade * p.source->sample_rate())), fall = frames(kFade);
    const float *decode = p.source->decode_table();
    const float scale = mixed ? float(1 / std::sqrt(double(p.voices))) : 1.0f;
    for (int c = 0; c < channels_; c++) std::fill_n(&p.audio[size_t(c) * p.most + from], n, 0.0f);
    for (int v = 0; v < p.voices; v++) {
        VoiceControls &voice = voices_[v];
        for (int i = 0; i < n; i++) p.raw[i] = decode[p.codes[size_t(v) * n + i]];
        for (int i = 0; i < n; i++) {
            const uint64_t position = next + p.resampler->heard(from + i);
            float x = p.raw[i] * float(voice[Id::gain].at(double(position)));
            // Faded in before the resampler: after it, the step at the beginning would come out of its delay unfaded.
            if (first + i < p.rise_samples) x *= fade_in(first + i, p.rise_samples);
            if (voice.reseeds) {
                const uint64_t since = position > voice.reseeds_from ? position - voice.reseeds_from : 0;
                x *= since < fall ? 1.0f - fade_in(since, fall) : 0.0f;
            } else if (voice.rise > 0) {
                x *= fade_in(rise - voice.rise--, rise);
            }
            float *to = &p.audio[from + i];
            if (!mixed) {
                to[size_t(v) * p.most] = x;
            } else if (channels_ == 1) {
                *to += scale * x;
            } else { // between two neighbours, with equal power
                const double spread = p.voices > 1 ? 2.0 * v / (p.voices - 1) - 1 : 0;
                const double pan = voice.panned ? voice[Id::pan].at(double(position)) : spread;
                const double place = 0.5 * (pan + 1) * (channels_ - 1);
                const int left = std::min(channels_ - 2, int(place));
                const double angle = 0.5 * kPi * (place - left);
                to[size_t(left) * p.most] += scale * x * float(std::cos(angle));
                to[size_t(left + 1) * p.most] += scale * x * float(std::sin(angle));
            }
        }
        if (guard_ && &p == player_.get() && size_t(v) < guard_->detectors.size())
            watch(v, p.raw.data(), n, next + p.resampler->heard(from + n - 1));
    }
}

// ---------------------------------------------------------------- in

// 0 where nothing came in, or so long ago that it is gone.
float Stream::input_at(int channel, int64_t position) const noexcept
{
    const sopi_ring &r = input_->ring;
    const int64_t written = int64_t(sopi_load(&r.write));
    if (position < 0 || position >= written || position < written - int64_t(r.capacity)) return 0;
    return r.data[size_t(channel) * r.capacity + (uint64_t(position) & (r.capacity - 1))];
}

// The listener takes the input before host position `upto`. Of the resampler's delay it hears nothing: as long as it goes
// on it lags by that much, and at the `last` it hears the end as if silence followed.
void Stream::hear(uint64_t upto, bool last)
{
    Listener &l = *listener_;
    Resampler &r = *l.resampler;
    const Filter &f = r.filter();
    if (upto <= l.begin) return;
    const int64_t wanted = int64_t(((upto - l.begin) * f.up + f.down - 1) / f.down) + l.skip;
    const uint64_t there = std::min(upto, sopi_load(&input_->ring.write));
    const auto end = [&](int n) { return l.begin + l.taken + uint64_t(r.plan(n)); };
    while (l.made < wanted) {
        int n = int(std::min<int64_t>(int64_t(l.out.size()), wanted - l.made));
        while (n > 0 && end(n) > there && !last) n--;
        if (n == 0) break;
        const int takes = r.plan(n);
        for (int i = 0; i < takes; i++) {
            const uint64_t position = l.begin + l.taken + i;
            l.in[i] = position < there ? input_at(0, int64_t(position)) : 0.0f;
        }
        float *out = l.out.data();
        r.process(l.in.data(), takes, &out);
        l.taken += takes;
        const int skipped = int(std::clamp<int64_t>(l.skip - l.made, 0, n)), heard = n - skipped;
        l.made += n;
        for (int i = 0; i < heard; i++) {
            const float x = std::isnan(out[skipped + i]) ? 0.0f : out[skipped + i];
            l.codes[i] = int32_t(std::upper_bound(l.edges.begin(), l.edges.end(), x) - l.edges.begin());
        }
        for (int v = 1; v < l.player->voices; v++) std::copy_n(l.codes.begin(), heard, l.codes.begin() + size_t(v) * heard);
        if (heard > 0) l.player->source->prime(l.codes.data(), heard, l.player->features.data());
    }
}

// ---------------------------------------------------------------- when it fails

// The source can't go on: its last value fades out, and the stream stays usable.
void Stream::fail(Player &p, const char *what)
{
    p.failed = true;
    report(Event::error, at_, 0, what);
    tail_length_ = std::max(1, int(kFade * host_rate_));
    tail_done_ = 0;
    for (int c = 0; c < channels_; c++) std::fill_n(&tail_[size_t(c) * longest_tail_], tail_length_, last_[c]);
}

} // namespace sopi
