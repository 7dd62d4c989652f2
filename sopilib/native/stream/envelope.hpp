// The segments of a SuperCollider-style Env.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sopi {

// How a segment goes from its first level to its last; `curved` has a number, 0 being a line.
enum class Curve { curved, step, hold, exponential, sine, welch, squared, cubed };

struct Segment {
    double to;     // level at its end
    double length; // in the unit of time that the envelope is used with
    Curve shape = Curve::curved;
    double curve = 0; // > 0: late and fast, < 0: early; |curve| < 0.001 is a line

    // k: 0 .. 1, how much of it has passed
    double at(double from, double k) const noexcept;
};

// The shape of a name that SuperCollider gives it (lin, exp, sin, wel, sqr, cub, step, hold and the long forms).
// False if there is none.
bool shape_of(const std::string &name, Curve *shape);

// Levels that are passed in turn. Never changed once it is made: the producer only reads it.
class Envelope {
public:
    // Time 0 is at the first level; after the last segment its level stays.
    Envelope(double first, std::vector<Segment> segments) : first_(first), segments_(std::move(segments)) {}

    // The level at `time`, for an envelope that begins at `start` and whose lengths are in `unit`s of time.
    double at(double time, double start = 0, double unit = 1) const noexcept;
    // When it has come to its last level.
    double end(double start, double unit) const noexcept;
    // The highest level that it comes to after `time`, `now` being the level then.
    double most_after(double time, double now, double start, double unit) const noexcept;
    double last() const noexcept { return segments_.empty() ? first_ : segments_.back().to; }

private:
    double first_;
    std::vector<Segment> segments_;
};

} // namespace sopi
