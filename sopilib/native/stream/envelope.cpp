#include "stream/envelope.hpp"

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
    case Curve::step: return to;
    case Curve::hold: return from;
    case Curve::exponential: return from * std::pow(to / from, k);
    case Curve::sine: k = 0.5 - 0.5 * std::cos(2 * half_pi * k); break;
    case Curve::welch: k = from < to ? std::sin(half_pi * k) : 1 - std::cos(half_pi * k); break;
    case Curve::squared: {
        const double root = (1 - k) * std::sqrt(from) + k * std::sqrt(to);
        return root * root;
    }
    case Curve::cubed: {
        const double root = (1 - k) * std::cbrt(from) + k * std::cbrt(to);
        return root * root * root;
    }
    case Curve::curved:
        if (std::fabs(curve) >= 0.001) {
            const double grow = std::exp(curve), a = 1 / (1 - grow);
            k = a - a * std::pow(grow, k);
        }
    }
    return (1 - k) * from + k * to;
}

bool shape_of(const std::string &name, Curve *shape)
{
    static const std::pair<const char *, Curve> names[] = {
        {"lin", Curve::curved},  {"linear", Curve::curved},   {"step", Curve::step},
        {"hold", Curve::hold},   {"exp", Curve::exponential}, {"exponential", Curve::exponential},
        {"sin", Curve::sine},    {"sine", Curve::sine},       {"wel", Curve::welch},
        {"welch", Curve::welch}, {"sqr", Curve::squared},     {"squared", Curve::squared},
        {"cub", Curve::cubed},   {"cubed", Curve::cubed},
    };
    for (const auto &[known, value] : names)
        if (name == known) {
            *shape = value;
            return true;
        }
    return false;
}

double Envelope::at(double time, double start, double unit) const noexcept
{
    double level = first_, begin = start;
    if (time < begin) return level;
    for (const Segment &s : segments_) {
        const double length = s.length * unit;
        if (time < begin + length) return s.at(level, (time - begin) / length);
        begin += length;
        level = s.to;
    }
    return level;
}

double Envelope::end(double start, double unit) const noexcept
{
    double end = start;
    for (const Segment &s : segments_) end += s.length * unit;
    return end;
}

double Envelope::most_after(double time, double now, double start, double unit) const noexcept
{
    double most = now, end = start;
    for (const Segment &s : segments_) {
        end += s.length * unit;
        if (end > time) most = std::max(most, s.to);
    }
    return most;
}

} // namespace sopi
