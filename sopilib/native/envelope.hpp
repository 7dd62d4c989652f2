// A value that moves over time: a constant, a straight line, or the segments of a SuperCollider-style Env.
#pragma once

#include <string>
#include <vector>

namespace sopi {

// How a segment goes from its first level to its last; `curved` has a number, 0 being a line.
enum class Shape { curved, step, hold, exponential, sine, welch, squared, cubed };

struct Segment {
    double to;     // level at its end
    double length; // in the unit of time that the envelope is used with
    Shape shape = Shape::curved;
    double curve = 0; // > 0: late and fast, < 0: early; |curve| < 0.001 is a line

    // k: 0 .. 1, how much of it has passed
    double at(double from, double k) const noexcept;
};

// The shape of a name that SuperCollider gives it (lin, exp, sin, wel, sqr, cub, step, hold and the long forms).
// False if there is none.
bool shape_of(const std::string &name, Shape *shape);

class Envelope {
public:
    explicit Envelope(double value) : first_(value) {}
    // Time 0 is at the first level; after the last segment its level stays.
    Envelope(double first, std::vector<Segment> segments) : first_(first), segments_(std::move(segments)) {}

    double at(double time) const noexcept;
    bool moves_after(double time) const noexcept;
    // The highest level that it still comes to.
    double most_after(double time) const noexcept;
    // From `time` on, from where it is then, in a line of that length to `value`.
    void go(double value, double time, double length);
    // Moved to begin at `time`, its lengths times `unit`.
    Envelope placed(double time, double unit) const;

private:
    double first_, start_ = 0;
    std::vector<Segment> segments_;
};

} // namespace sopi
