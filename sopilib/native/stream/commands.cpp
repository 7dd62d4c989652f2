// The commands: what is checked when one is posted, and what each does when its time has come.
#include "stream.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace sopi {

namespace {

constexpr double kLongestSwap = 100; // ms

std::string in_words(double x)
{
    char text[32];
    std::snprintf(text, sizeof text, "%g", x);
    return text;
}

[[noreturn]] void refuse(const char *name, const std::string &found, const std::string &expected)
{
    throw std::invalid_argument(std::string(name) + " is " + found + ", expected " + expected);
}

void check_number(const Entry &entry, const Value &value)
{
    if (entry.whole) {
        if (value.type != Value::Type::whole) refuse(entry.name, "no whole number", "0 to 2^64 - 1");
        return;
    }
    const double x = value.number;
    const bool fits = value.type == Value::Type::number && x >= entry.least && x <= entry.most && (!entry.integer || x == std::floor(x));
    if (!fits)
        refuse(entry.name, value.type == Value::Type::number ? in_words(x) : "no number",
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

Knobs usual_knobs() noexcept
{
    Knobs knobs;
    for (size_t id = 0; id < kIds; id++) knobs[id] = Moving(kCommands[id].usual);
    return knobs;
}

const Stream::Gesture Stream::kGestures[] = {
    {Id::play, &Stream::play_or_stop},
    {Id::gain, &Stream::set_gain},
    {Id::pan, &Stream::place},
    {Id::feature, &Stream::set_feature},
    {Id::rate, &Stream::set_rate},
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

// ---------------------------------------------------------------- control side

void Stream::check(const Command &command) const
{
    const Entry &entry = entry_of(command.id);
    const Gesture *gesture = gesture_of(command.id);
    const bool swaps = command.id == Id::swap || command.id == Id::swap_keeping;
    const double longest = swaps ? kLongestSwap : entry.longest_ramp;
    if (!(command.ramp >= 0 && command.ramp <= longest))
        refuse(entry.name, "to ramp in " + in_words(command.ramp) + " ms", "0 to " + in_words(longest) + " ms");
    if (command.voice < -1 || (command.voice >= 0 && !entry.voice)) refuse(entry.name, "for one voice", "for all of them");
    const uint32_t least = command.id == Id::listen ? 1 : 0, most = command.id == Id::listen ? 3 : entry.indices - 1;
    if (command.index < least || command.index > most)
        refuse(entry.name, "for number " + std::to_string(command.index), std::to_string(least) + " to " + std::to_string(most));
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
        refuse(name, "not what it takes", "a number, or what was prepared for it");
    const auto once = [&](auto *what) {
        if (what && what->posted.exchange(true)) refuse(name, "something that was posted before", "a new one");
    };
    const Prepared &prepared = *command.value.prepared;
    const auto *listener = prepared.as<Listener>();
    const Player *player = listener ? listener->player.get() : prepared.as<Player>();
    if (player && player->channels != channels_) refuse(name, "a player of another stream", "one of this stream");
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
        if (by > stats_.worst_late.load(std::memory_order_relaxed)) stats_.worst_late.store(by, std::memory_order_relaxed);
        report(Event::late, at_, double(by));
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
    const size_t id = static_cast<size_t>(command.id);
    if (const Held<Envelope> envelope = take<Envelope>(command)) {
        set_voices(command.voice, [&](VoiceControls &v) { v.knobs[id].follow(envelope, double(at_), host_rate_); });
        return;
    }
    const auto to = [&](Knobs &knobs) { knobs[id].go(command.value.number, double(at_), ramp_frames(command)); };
    if (entry_of(command.id).voice) set_voices(command.voice, [&](VoiceControls &v) { to(v.knobs); });
    else to(knobs_);
}

template <class F> void Stream::set_voices(int voice, F &&set)
{
    if (voice < 0) {
        set(common_);
        for (VoiceControls &v : voices_) set(v);
    } else if (size_t(voice) < voices_.size()) {
        set(voices_[voice]);
    }
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
        loop_rise_ = loop_done_;
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
    if (command.voice < 0) knob(Id::gain).go(command.value.number, double(at_), ramp_frames(command));
    else turn(command);
}

void Stream::place(Command &command)
{
    turn(command);
    set_voices(command.voice, [](VoiceControls &v) { v.panned = true; });
}

void Stream::set_feature(Command &command)
{
    set_voices(command.voice, [&](VoiceControls &v) {
        if (command.index >= v.features.size()) v.features.resize(command.index + 1, Moving(0));
        v.features[command.index].go(command.value.number, double(at_), ramp_frames(command));
    });
}

void Stream::set_rate(Command &command)
{
    const double fastest = std::max(command.value.number, knob(Id::rate).at(double(at_)));
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
    if (command.voice >= 0) {
        seed_voice(command.voice, number);
        return;
    }
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
    set_voices(voice, [&](VoiceControls &v) {
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
    if (seconds <= 0 && !frozen_) return;
    if (playing_) cut(cut_length());
    if (seconds > 0) {
        if (!frozen_) loop_end_ = at_; // frozen again: another length of the same past
        loop_length_ = uint32_t(std::clamp<uint64_t>(frames(seconds), 1, past_room_ / 2));
        loop_done_ = loop_rise_ = 0;
        frozen_ = true;
    } else {
        frozen_ = false;
        begin_players(kFade);
    }
}

void Stream::swap(Command &command) { exchange(command, false); }
void Stream::swap_keeping(Command &command) { exchange(command, true); }

// Crossfades to another player. keep: the voices that both have go on with their music.
void Stream::exchange(Command &command, bool keep)
{
    Held<Player> next = take<Player>(command);
    double fade = kFade;
    if (playing_ && player_) {
        fade = std::max(kFade, command.ramp / 1000);
        // The tail is made in one go: in real time it must not take longer than what the ring holds.
        const double speed = stats_.real_time_factor.load(std::memory_order_relaxed);
        if (!sopi_load(&shared_->ring.freewheel)) fade = std::min(fade, std::max(kFade, 0.5 * 0.6 * latency_ * speed));
        cut(fade);
    }
    end_listening();
    new_music();
    if (keep && next && player_ && !player_->failed) keep_voices(*player_->source, *next->source);
    player_ = std::move(next);
    fit_players();
    if (player_) begin(*player_, at_, fade);
    report(Event::swapped, at_, 0);
}

void Stream::set_second(Command &command)
{
    if (second_ && playing_) cut(cut_length());
    second_ = take<Player>(command);
    fit_players();
    if (second_) second_->idle = true;
}

void Stream::store(Command &command)
{
    const Held<Snapshot> snapshot = take<Snapshot>(command);
    if (!player_) return;
    player_->source->save(snapshot->state);
    snapshot->filled.store(true, std::memory_order_release);
}

void Stream::recall(Command &command)
{
    const Held<Snapshot> snapshot = take<Snapshot>(command);
    if (!player_) return;
    if (playing_) cut(cut_length());
    player_->source->restore(snapshot->state);
    new_music();
    begin_players(fade());
}

// The RNN states go over to those of the snapshot.
void Stream::morph(Command &command)
{
    morph_ = take<Snapshot>(command);
    morph_until_ = at_ + uint64_t(std::llround(ramp_frames(command)));
}

void Stream::listen(Command &command)
{
    const Listening how = Listening(command.index);
    if (playing_ && how != Listening::old) cut(cut_length());
    end_listening();
    listener_ = take<Listener>(command);
    if (!listener_->resampler) listener_->fit(host_rate_);
    if (!listener_->player->resampler) listener_->player->fit(host_rate_);
    listener_->begin = command.t;
    listening_ = how;
    if (how == Listening::input) through_.go(1, double(at_), kFade * host_rate_);
}

// The listener has heard the input up to t, and plays.
void Stream::listened(Command &command)
{
    if (!listener_) return;
    hear(command.t, true);
    if (playing_) cut(cut_length());
    player_ = Held<Player>(listener_->answer.release(), &retired_);
    end_listening();
    fit_players();
    playing_ = true;
    begin(*player_, at_, kFade);
}

void Stream::set_guard(Command &command) { guard_ = take<Guard>(command); }

void Stream::set_latency(Command &) {}

} // namespace sopi
