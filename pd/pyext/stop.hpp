// stop.hpp: `stop` and self._shouldexit. Knows neither Pd nor Python.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

// `stop`: calls that run are asked to end, and none starts until the time given with it is over. Any thread.
class Stop {
public:
    void ask(double ms)
    {
        end_ = now() + static_cast<int64_t>(ms * 1e6);
        asked_++;
    }
    // Whether a detached call may start now. It is `alone` if no other runs: then earlier stops are over for it.
    bool may_begin(bool alone)
    {
        const uint32_t asked = asked_; // first: a stop that comes between is one more than this
        if (now() < end_) return false;
        if (alone) answered_ = asked;
        return true;
    }
    bool pending() const { return asked_ != answered_; }

private:
    static int64_t now()
    {
        using namespace std::chrono;
        return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
    }
    std::atomic<int64_t> end_{0}; // ns
    std::atomic<uint32_t> asked_{0}, answered_{0};
};
