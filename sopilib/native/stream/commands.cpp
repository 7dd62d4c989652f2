// The commands: what is checked when one is posted, and what each does when its time has come.
#include "stream/stream.hpp"

#include "stream/envelope.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace sopi {

namespace {

constexpr double kLongestSwap = 100; // ms
constexpr double kLongestTail = 0.1; // s
constexpr int kMostVoices = int(entry_of(Id::swap_keeping).most); // as the message `voices` has it

std::string in_words(double x)
{
    char text[32];
    std::snprintf(text, sizeof text, "%g", x);
    return text;
}

[[noreturn]] void wrong(const char *name, const std::string &found, const std::string &expected)
{
    throw std::invalid_argument(std::string(name) + " is " + found + ", expected " + expected);
}

void check_number(const Entry &entry, const Value &value)
{
    if (entry.whole) {
        if (value.type != Value::Type::whole) wrong(entry.name, "no whole number", "0 to 2^64 - 1");
        return;
    }
    const double x = value.number;
    const bool fits = value.type == Value::Type::number && x >= entry.least && x <= entry.most &&
                      (!entry.integer || x == std::floor(x));
    if (!fits)
        wrong(entry.name, value.type == Value::Type::number ? in_words(x) : "no number",
              (entry.integer ? "a whole number from " : "") + in_words(entry.least) + " to " + in_words(entry.most));
}

// The voices that both have go on in the new one.
void keep_voices(const Source &from, Source &to)
{
    State old, mine;
    from.save(old);
    to.save(mine);
    mine.position = old.position;
    std::copy_n(old.voices.begin(), std::min(old.voices.size(), mine.voices.size()), mine.voices.begin());
    to.restore(mine);
}

} // namespace

const Stream::Gesture Stream::kGestures[] = {
    {Id::play, &Stream::play_or_stop},
    {Id::gain, &Stream::set_gain, nullptr, false, true},
    {Id::pan, &Stream::place, nullptr, false, true},
    {Id::feature, &Stream::set_feature, nullptr, false, true},
    {Id::rate, &Stream::set_rate, nullptr, false, true},
    {Id::seed, &Stream::seed},
    {Id::kick, &Stream::kick},
    {Id::freeze, &Stream::freeze},
    {Id::swap, &Stream::swap, &type_of<Player>, true},
    {Id::swap_keeping, &Stream::swap_keeping, &type_of<Player>, true},
    {Id::second, &Stream::set_second, &type_of<Player>, true},
    {Id::store, &Stream::store, &type_of<Snapshot>},
    {Id::recall, &Stream::recall, &type_of<Snapshot>},
    {Id::morph, &Stream::morph, &type_of<Snapshot>},
    {Id::listen, &Stream::listen, &type_of<Listener>},
    {Id::listened, &Stream::listened, nullptr, true},
    {Id::guard, &Stream::set_guard, &type_of<Guard>, true},
    {Id::latency, &Stream::set_latency},
};

const Stream::Gesture *Stream::gesture_of(Id id) noexcept
{
    for (const Gesture &g : kGestures)
        if (g.id == id) return &g;
    return nullptr;
}

bool Stream::turns_knob(const Command &command) noexcept
{
    if (command.id == Id::tempo || command.id == Id::grid || command.id == Id::beat) return false; // for those after it
    const Gesture *gesture = gesture_of(command.id);
    return command.value.type == Value::Type::number && (!gesture || gesture->knob);
}

// ---------------------------------------------------------------- control side

void Stream::check(const Command &command) const
{
    const Entry &entry = entry_of(command.id);
    const Gesture *gesture = gesture_of(command.id);
    const bool swaps = command.id == Id::swap || command.id == Id::swap_keeping;
    const double longest = swaps ? kLongestSwap : entry.longest_ramp;
    if (!(command.ramp >= 0 && command.ramp <= longest))
        wrong(entry.name, "to ramp in " + in_words(command.ramp) + " ms", "0 to " + in_words(longest) + " ms");
    if (command.voice < -1 || (command.voice >= 0 && !entry.voice))
        wrong(entry.name, "for one voice", "for all of them");
    if (command.voice >= kMostVoices)
        wrong(entry.name, "for voice " + std::to_string(command.voice), "0 to " + std::to_string(kMostVoices - 1));
    const uint32_t least = command.id == Id::listen ? 1 : 0;
    const uint32_t most = command.id == Id::listen ? 3 : command.id == Id::beat ? 1 : entry.indices - 1;
    if (command.index < least || command.index > most)
        wrong(entry.name, "for number " + std::to_string(command.index),
              std::to_string(least) + " to " + std::to_string(most));
    const bool takes_prepared = gesture && (gesture->takes || gesture->or_none);
    if (takes_prepared || command.value.type == Value::Type::prepared) check_prepared(command, gesture);
    else check_number(entry, command.value);
}

void Stream::check_prepared(const Command &command, const Gesture *gesture) const
{
    const char *name = entry_of(command.id).name;
    if (command.value.type == Value::Type::none && gesture->or_none) return;
    const void *takes = command.id == Id::temperature ? &type_of<Envelope> : gesture ? gesture->takes : nullptr;
    if (command.value.type != Value::Type::prepared || command.value.prepared->type() != takes)
        wrong(name, "not what it takes", "a number, or what was prepared for it");
    const auto once = [&](auto *what) {
        if (what && what->posted.exchange(true)) wrong(name, "something that was posted before", "a new one");
    };
    const Prepared &prepared = *command.value.prepared;
    const auto *listener = prepared.as<Listener>();
    const Player *player = listener ? listener->player.get() : prepared.as<Player>();
    if (player && player->channels != channels_) wrong(name, "a player of another stream", "one of this stream");
    once(prepared.as<Player>());
    once(prepared.as<Listener>());
    once(prepared.as<Guard>());
    if (command.id == Id::store) once(prepared.as<Snapshot>());
}

// ---------------------------------------------------------------- producer

void Stream::apply(Command &command)
{
    if (command.at < at_) {
        const uint64_t by = at_ - command.at;
        stats_.late.fetch_add(1, std::memory_order_relaxed);
        if (by > stats_.worst_late.load(std::memory_order_relaxed))
            stats_.worst_late.store(by, std::memory_order_relaxed);
        teller_.tell_late(at_, by);
    }
    if (const Gesture *gesture = gesture_of(command.id)) (this->*gesture->run)(command);
    else turn(command);
}

// Takes what was prepared out of the command, which then has nothing any more.
template <class T> Held<T> Stream::take(Command &command) noexcept
{
    if (command.value.type != Value::Type::prepared) return {};
    command.value.type = Value::Type::none;
    return Held<T>(command.value.prepared, &retired_);
}

// Turns a knob: the line that reads it knows what it means.
void Stream::turn(Command &command)
{
    if (const Held<Envelope> envelope = take<Envelope>(command)) {
        voices_.set(command.voice,
                    [&](VoiceControls &v) { v.knobs[command.id].follow(envelope, double(at_), host_rate_); });
        return;
    }
    const auto to = [&](Knobs &knobs) {
        knobs[command.id].go(command.value.number, double(at_), ramp_frames(command));
    };
    if (entry_of(command.id).voice) voices_.set(command.voice, [&](VoiceControls &v) { to(v.knobs); });
    else to(knobs_);
}

void Stream::play_or_stop(Command &command)
{
    const bool on = command.value.number != 0;
    if (on == (playing_ && !stop_at_)) return;
    if (on && playing_) { // a long fade out turns back
        stop_at_ = 0;
        level_.go(1, double(at_), double(frames(fade())));
    } else if (on) {
        cut(cut_length());
        playing_ = true;
        looper_.rise();
        begin_players(fade());
    } else if (fade() <= cut_length()) {
        cut(fade());
        stop();
    } else {
        stop_at_ = at_ + frames(fade());
        level_.go(0, double(at_), double(frames(fade())));
    }
}

// The whole has a gain of its own, beside those of its voices.
void Stream::set_gain(Command &command)
{
    if (command.voice < 0) knobs_[Id::gain].go(command.value.number, double(at_), ramp_frames(command));
    else turn(command);
}

void Stream::place(Command &command)
{
    turn(command);
    voices_.set(command.voice, [](VoiceControls &v) { v.panned = true; });
}

void Stream::set_feature(Command &command)
{
    voices_.set(command.voice, [&](VoiceControls &v) {
        if (command.index >= v.features.size()) v.features.resize(command.index + 1, Moving(0));
        v.features[command.index].go(command.value.number, double(at_), ramp_frames(command));
    });
}

void Stream::set_rate(Command &command)
{
    const double fastest = std::max(command.value.number, knobs_[Id::rate].at(double(at_)));
    turn(command);
    for (Player *p : {player_.get(), second_.get()}) {
        if (!p) continue;
        if (p->resampler->varies() || p->resampler->filter().delay > 0) {
            p->resampler->vary(p->between(fastest));
        } else { // equal rates: from here on it has a delay
            if (playing_) cut(cut_length());
            begin(*p, at_, kFade);
        }
    }
}

void Stream::seed(Command &command)
{
    const uint64_t number = command.value.whole;
    if (command.voice >= 0) return seed_voice(command.voice, number);
    if (playing_ && player_) cut(cut_length());
    new_music();
    for (Player *p : {player_.get(), second_.get()}) {
        if (!p) continue;
        try {
            p->source->reset(number);
            p->failed = false;
        } catch (const std::exception &e) {
            fail(*p, e.what());
        }
    }
    begin_players(fade());
}

void Stream::seed_voice(int voice, uint64_t number)
{
    if (player_ && !player_->source->remembers())
        throw std::runtime_error("this backend knows no seeds of single voices: use the native one");
    voices_.set(voice, [&](VoiceControls &v) {
        if (!v.reseeds) v.reseeds_from = at_;
        v.reseeds = true;
        v.reprimes = false;
        v.seed = number;
    });
}

void Stream::kick(Command &command)
{
    if (player_) player_->source->kick(float(command.value.number));
}

// Loops the last of the output; 0: what plays goes on where it was.
void Stream::freeze(Command &command)
{
    const double seconds = command.value.number / 1000;
    if (seconds <= 0 && !looper_.frozen()) return;
    if (playing_) cut(cut_length());
    if (seconds > 0) {
        looper_.freeze(at_, frames(seconds));
    } else {
        looper_.thaw();
        begin_players(kFade);
    }
}

void Stream::swap(Command &command) { exchange(command, false); }
void Stream::swap_keeping(Command &command) { exchange(command, true); }

// Crossfades to another player. keep: the voices that both have go on with their music.
void Stream::exchange(Command &command, bool keep)
{
    Held<Player> next = take<Player>(command);
    fit(next.get());
    double fade = kFade;
    if (playing_ && player_) {
        fade = std::max(kFade, command.ramp / 1000);
        // The tail is made in one go: in real time it must not take longer than what the ring holds.
        const double speed = stats_.real_time_factor.load(std::memory_order_relaxed);
        const double most = std::max(kFade, 0.5 * 0.6 * latency_ * speed);
        if (!sopi_load(&shared_->ring.freewheel) && fade > most) {
            fade = most;
            stats_.slips.fetch_add(1, std::memory_order_relaxed);
        }
        cut(fade);
    }
    end_listening();
    new_music();
    if (guard_) guard_->forget_well();
    if (keep && next && player_ && !player_->failed && next->source->remembers()) try_to_keep(*next);
    player_ = std::move(next);
    fit_voices();
    if (player_) begin(*player_, at_, fade);
}

// The voices that both have go on with their music in the next player.
void Stream::try_to_keep(Player &next) noexcept
{
    try {
        keep_voices(*player_->source, *next.source);
    } catch (const std::exception &e) {
        refuse(e.what());
    }
}

void Stream::set_second(Command &command)
{
    Held<Player> next = take<Player>(command);
    fit(next.get());
    if (second_ && playing_) cut(cut_length());
    second_ = std::move(next);
    fit_voices();
    if (second_) second_->idle = true;
}

void Stream::store(Command &command)
{
    const Held<Snapshot> snapshot = take<Snapshot>(command);
    if (!player_) return;
    player_->source->save(snapshot->state);
    snapshot->filled.store(true, std::memory_order_release);
}

// Throws if the snapshot can't be that of the source, before anything is changed.
static void check_snapshot(const Snapshot &snapshot, const Source &source)
{
    if (!source.remembers()) throw std::runtime_error("this backend knows no snapshots: use the native one");
    if (!snapshot.filled.load(std::memory_order_acquire)) throw std::runtime_error("the snapshot is not taken yet");
    source.check(snapshot.state);
}

void Stream::recall(Command &command)
{
    const Held<Snapshot> snapshot = take<Snapshot>(command);
    if (!player_) return;
    if (listener_) { // it ends, even if the snapshot is refused
        if (playing_) cut(cut_length());
        end_listening();
        begin_players(kFade);
    }
    check_snapshot(*snapshot, *player_->source);
    if (playing_) cut(cut_length());
    player_->source->restore(snapshot->state);
    new_music();
    begin_players(fade());
}

// The RNN states go over to those of the snapshot.
void Stream::morph(Command &command)
{
    const Held<Snapshot> snapshot = take<Snapshot>(command);
    if (!player_) return;
    check_snapshot(*snapshot, *player_->source);
    morph_ = snapshot;
    morph_until_ = at_ + uint64_t(std::llround(ramp_frames(command)));
}

void Stream::listen(Command &command)
{
    const Listening how = Listening(command.index);
    Held<Listener> listener = take<Listener>(command);
    if (!listener->fits(host_rate_)) listener->fit(host_rate_);
    if (playing_ && how != Listening::old) cut(cut_length());
    end_listening();
    listener_ = std::move(listener);
    listener_->begin = command.t;
    listening_ = how;
    if (how == Listening::input) through_.go(1, double(at_), kFade * host_rate_);
}

// The listener has heard the input up to t, and plays.
void Stream::listened(Command &command)
{
    if (!listener_) return;
    fit(listener_->player.get());
    try {
        listener_->hear(*input_, command.t, true);
    } catch (...) {
        end_listening();
        throw;
    }
    if (playing_) cut(cut_length());
    player_ = Held<Player>(listener_->answer.release(), &retired_);
    end_listening();
    new_music();
    if (guard_) guard_->forget_well();
    fit_voices();
    playing_ = true;
    begin(*player_, at_, kFade);
}

// Voices that were to go back to where the old guard found them well begin other music: what it knew goes with it.
void Stream::set_guard(Command &command)
{
    Held<Guard> guard = take<Guard>(command);
    if (guard && guard->reprimes() && player_ && !player_->source->remembers()) {
        guard_.reset();
        tell_ended("guard");
        throw std::runtime_error(
            "this backend can't go back to where a voice was well: use the native one, or guard nudge");
    }
    guard_ = std::move(guard);
    for (size_t v = 0; v < voices_.size(); v++) voices_[v].reprimes = false;
}

void Stream::set_latency(Command &command) { latency_ = command.value.number / 1000; }

// ---------------------------------------------------------------- what they have in common

void Stream::stop() noexcept
{
    playing_ = false;
    stop_at_ = 0;
    level_ = Moving(1);
}

// What was to come of the music before.
void Stream::new_music() noexcept
{
    for (size_t v = 0; v < voices_.size(); v++) voices_[v].reseeds = voices_[v].reprimes = false;
    morph_.reset();
    if (guard_) guard_->forget();
}

void Stream::end_listening() noexcept
{
    listener_.reset();
    listening_ = Listening::off;
    through_.go(0, double(at_), kFade * host_rate_);
}

// To the host's rate. Allocates if it was not known when the player was made.
void Stream::fit(Player *p)
{
    if (p && (!p->resampler || p->resampler->filter().host_rate != host_rate_)) p->fit(host_rate_);
}

// Controls for each voice of the players. Without any, what was set for voices stays for those that come.
void Stream::fit_voices()
{
    size_t most = 0;
    for (const Player *p : {player_.get(), second_.get()})
        if (p) most = std::max(most, size_t(p->voices));
    if (most > 0) voices_.resize(most);
}

// The player's next sample is the first that sounds, from `position` on.
void Stream::begin(Player &p, uint64_t position, double fade) noexcept
{
    p.resampler->restart();
    p.origin = position;
    p.rise_samples = uint64_t(std::lround(fade * p.source->sample_rate()));
    p.idle = false;
    const double fastest = knobs_[Id::rate].most_after(double(position));
    if (knobs_[Id::rate].moves_after(double(position)) || fastest != 1) p.resampler->vary(p.between(fastest));
}

void Stream::begin_players(double fade) noexcept
{
    for (Player *p : {player_.get(), second_.get()})
        if (p) begin(*p, at_, fade);
}

// As long as `fade` says, as far as the tail can be made ahead.
double Stream::cut_length() const noexcept { return std::min({fade(), kLongestTail, std::max(kFade, 0.5 * latency_)}); }

// Makes the next `seconds` of the present output the tail. Several cuts at one position are one.
void Stream::cut(double seconds)
{
    if (tail_.fresh()) return;
    const int length = std::clamp(int(std::lround(seconds * host_rate_)), 1, tail_.most());
    for (int done = 0; done < length; done += chunk_) {
        for (int c = 0; c < channels_; c++) lines_[c] = tail_.next(c, done);
        complete(lines_.data(), at_ + done, std::min(chunk_, length - done), false);
    }
    tail_.take(length);
}

} // namespace sopi
