#include "envelope.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace sopi {

// SuperCollider's definitions (Env's help page). `curved`: the share is (1 - e^(c k)) / (1 - e^c), as PRiSM's Env has it.
double Segment::at(double from, double k) const noexcept
{
    constexpr double half_pi = 1.57079632679489661923;
    switch (shape) {
    case Shape::step: return to;
    case Shape::hold: return from;
    case Shape::exponential: return from * std::pow(to / from, k);
    case Shape::sine: k = 0.5 - 0.5 * std::cos(2 * half_pi * k); break;
    case Shape::welch: k = from < to ? std::sin(half_pi * k) : 1 - std::cos(half_pi * k); break;
    case Shape::squared: {
        const double root = (1 - k) * std::sqrt(from) + k * std::sqrt(to);
        return root * root;
    }
    case Shape::cubed: {
        const double root = (1 - k) * std::cbrt(from) + k * std::cbrt(to);
        return root * root * root;
    }
    case Shape::curved:
        if (std::fabs(curve) >= 0.001) {
            const double grow = std::exp(curve), a = 1 / (1 - grow);
            k = a - a * std::pow(grow, k);
        }
    }
    return (1 - k) * from + k * to;
}

bool shape_of(const std::string &name, Shape *shape)
{
    static const std::pair<const char *, Shape> names[] = {
        {"lin", Shape::curved},  {"linear", Shape::curved},         {"step", Shape::step},  {"hold", Shape::hold},
        {"exp", Shape::exponential}, {"exponential", Shape::exponential}, {"sin", Shape::sine}, {"sine", Shape::sine},
        {"wel", Shape::welch},   {"welch", Shape::welch},           {"sqr", Shape::squared}, {"squared", Shape::squared},
        {"cub", Shape::cubed},   {"cubed", Shape::cubed},
    };
    for (const auto &[known, value] : names)
        if (name == known) {
            *shape = value;
            return true;
        }
    return false;
}

double Envelope::at(double time) const noexcept
{
    double level = first_, begin = start_;
    if (time < begin) return level;
    for (const Segment &s : segments_) {
        if (time < begin + s.length) return s.at(level, (time - begin) / s.length);
        begin += s.length;
        level = s.to;
    }
    return level;
}

bool Envelope::moves_after(double time) const noexcept
{
    double end = start_;
    for (const Segment &s : segments_) end += s.length;
    return time < end;
}

double Envelope::most_after(double time) const noexcept
{
    double most = at(time), end = start_;
    for (const Segment &s : segments_) {
        end += s.length;
        if (end > time) most = std::max(most, s.to);
    }
    return most;
}

void Envelope::go(double value, double time, double length)
{
    first_ = at(time);
    start_ = time;
    segments_.assign(1, Segment{value, length});
}

Envelope Envelope::placed(double time, double unit) const
{
    Envelope moved = *this;
    moved.start_ = time;
    for (Segment &s : moved.segments_) s.length *= unit;
    return moved;
}

} // namespace sopi
