// The commands whose time has not come yet, in the order in which they take effect.
#pragma once

#include "stream/command.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sopi {

// RT, but for the constructor.
class Pending {
public:
    // turns_knob: whether a command sets a number, and whatever that was before is no matter then
    Pending(size_t most, bool (*turns_knob)(const Command &)) : most_(most), turns_knob_(turns_knob)
    {
        commands_.reserve(2 * most);
    }

    bool empty() const noexcept { return first_ == commands_.size(); }
    bool full() const noexcept { return commands_.size() - first_ == most_; }
    const Command &front() const noexcept { return commands_[first_]; }
    Command pop() noexcept { return commands_[first_++]; }
    // Must not be full. Commands of one position stay in the order in which they were posted. A knob that is turned twice at one
    // host frame keeps the newer value only, where nothing else is done between them: while the host's audio is off, its time
    // stands still, and whoever turns knobs all the time would fill this.
    void insert(const Command &command) noexcept
    {
        if (commands_.size() == commands_.capacity()) forget_the_done();
        const auto later = [](uint64_t at, const Command &c) { return at < c.at; };
        auto place = std::upper_bound(commands_.begin() + std::ptrdiff_t(first_), commands_.end(), command.at, later);
        if (turns_knob_(command))
            for (auto c = place; c != commands_.begin() + std::ptrdiff_t(first_);) {
                --c;
                if (c->at != command.at || c->t != command.t || !turns_knob_(*c)) break;
                if (c->id != command.id || c->voice != command.voice || c->index != command.index) continue;
                // a ramp begins at the older value, and what waits for the grid comes at another time
                if ((command.ramp > 0 && c->ramp == 0) || command.on_line != c->on_line) break;
                commands_.erase(c);
                --place;
                break;
            }
        commands_.insert(place, command);
    }
    // All of them, which must stay in their order.
    template <class F> void each(F &&change)
    {
        for (size_t i = first_; i < commands_.size(); i++) change(commands_[i]);
    }

private:
    void forget_the_done() noexcept
    {
        commands_.erase(commands_.begin(), commands_.begin() + std::ptrdiff_t(first_));
        first_ = 0;
    }

    const size_t most_;
    bool (*const turns_knob_)(const Command &);
    size_t first_ = 0;
    std::vector<Command> commands_;
};

} // namespace sopi
