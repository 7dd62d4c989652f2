// The present value of a knob: a constant, a line to a new value, or an envelope that was prepared elsewhere.
#pragma once

#include "stream/envelope.hpp"
#include "stream/prepared.hpp"

#include <algorithm>
#include <utility>

namespace sopi {

// RT. Times are host frames.
class Moving {
public:
    explicit Moving(double value = 0) noexcept : from_(value), to_(value) {}

    double at(double time) const noexcept
    {
        if (shape_) return shape_->at(time, start_, unit_);
        if (time < start_) return from_;
        if (time >= start_ + length_) return to_;
        const double k = (time - start_) / length_;
        return (1 - k) * from_ + k * to_;
    }
    // Where it stays in the end.
    double last() const noexcept { return shape_ ? shape_->last() : to_; }
    // The time from which on it stays there.
    double end() const noexcept { return shape_ ? shape_->end(start_, unit_) : start_ + length_; }
    bool moves_after(double time) const noexcept { return time < end(); }
    // The highest value that it still comes to.
    double most_after(double time) const noexcept
    {
        const double now = at(time);
        if (shape_) return shape_->most_after(time, now, start_, unit_);
        return end() > time ? std::max(now, to_) : now;
    }

    // From `time` on, from where it is then, in a line of that length to `value`.
    void go(double value, double time, double length) noexcept
    {
        from_ = at(time);
        shape_.reset();
        start_ = time;
        to_ = value;
        length_ = length;
    }
    // From `time` on as the envelope says, whose lengths are in `unit`s of frames.
    void follow(Held<Envelope> shape, double time, double unit) noexcept
    {
        shape_ = std::move(shape);
        start_ = time;
        unit_ = unit;
    }
    // What is still to come takes `factor` times as many frames from `time` on.
    void stretch(double time, double factor) noexcept
    {
        start_ = time + (start_ - time) * factor;
        length_ *= factor;
        unit_ *= factor;
    }

private:
    double from_, to_, start_ = 0, length_ = 0;
    double unit_ = 1;
    Held<Envelope> shape_;
};

} // namespace sopi
