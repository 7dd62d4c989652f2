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
    explicit Pending(size_t most) : most_(most) { commands_.reserve(2 * most); }

    bool empty() const noexcept { return first_ == commands_.size(); }
    bool full() const noexcept { return commands_.size() - first_ == most_; }
    const Command &front() const noexcept { return commands_[first_]; }
    Command pop() noexcept { return commands_[first_++]; }
    // Must not be full. Commands of one position stay in the order in which they were posted.
    void insert(const Command &command) noexcept
    {
        if (commands_.size() == commands_.capacity()) forget_the_done();
        const auto later = [](uint64_t at, const Command &c) { return at < c.at; };
        commands_.insert(
            std::upper_bound(commands_.begin() + std::ptrdiff_t(first_), commands_.end(), command.at, later), command);
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
    size_t first_ = 0;
    std::vector<Command> commands_;
};

} // namespace sopi
