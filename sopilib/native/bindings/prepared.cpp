// What is prepared for a stream before it is posted: players, listeners, guards, envelopes and snapshots.
#include "bindings/new_array.hpp"
#include "stream/envelope.hpp"
#include "stream/listener.hpp"
#include "stream/snapshot.hpp"
#include "stream/watchdog.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

using Line = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

using Curves = std::vector<std::variant<double, std::string>>;

Envelope make_envelope(const std::vector<double> &levels, const std::vector<double> &times, const Curves &curves)
{
    if (levels.empty() || times.size() + 1 != levels.size() || curves.size() != times.size())
        throw std::invalid_argument(std::to_string(levels.size()) + " levels, " + std::to_string(times.size()) +
                                    " times, " + std::to_string(curves.size()) +
                                    " curves: expected one time and one curve less than levels");
    std::vector<Segment> segments;
    for (size_t i = 0; i < times.size(); i++) {
        Segment s{levels[i + 1], times[i]};
        const auto *name = std::get_if<std::string>(&curves[i]);
        if (!name) s.curve = std::get<double>(curves[i]);
        else if (!shape_of(*name, &s.shape))
            throw std::invalid_argument("curve " + *name +
                                        " is not known, expected a number or lin, exp, sin, wel, sqr, cub, step, hold");
        segments.push_back(s);
    }
    return Envelope(levels[0], std::move(segments));
}

// A snapshot's rows as arrays: history int32 [voices][period], seed and drawn uint64 [voices], values float32 [voices][n],
// recent int32 [voices][512], emphasis float32 [voices][poles].
nb::dict arrays_of(const Snapshot &snapshot)
{
    if (!snapshot.filled.load(std::memory_order_acquire)) throw std::runtime_error("the snapshot is not taken yet");
    const State &state = snapshot.state;
    const size_t voices = state.voices.size(), period = state.voices.at(0).history.size(),
                 n = state.voices[0].values.size(), poles = state.voices[0].emphasis.size(),
                 window = state.voices[0].recent.size();
    int32_t *history, *recent;
    uint64_t *seed, *drawn;
    float *values, *emphasis;
    nb::dict out;
    out["position"] = state.position;
    out["history"] = new_array(&history, voices, period);
    out["seed"] = new_array(&seed, voices);
    out["drawn"] = new_array(&drawn, voices);
    out["values"] = new_array(&values, voices, n);
    out["recent"] = new_array(&recent, voices, window);
    out["emphasis"] = new_array(&emphasis, voices, poles);
    for (size_t v = 0; v < voices; v++) {
        const State::Row &row = state.voices[v];
        std::copy(row.history.begin(), row.history.end(), history + v * period);
        std::copy(row.values.begin(), row.values.end(), values + v * n);
        std::copy(row.recent.begin(), row.recent.end(), recent + v * window);
        std::copy(row.emphasis.begin(), row.emphasis.end(), emphasis + v * poles);
        seed[v] = row.seed;
        drawn[v] = row.drawn;
    }
    return out;
}

std::shared_ptr<Snapshot> snapshot_of(
    int position, const nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu> &history,
    const nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &seed,
    const nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &drawn,
    const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu> &values,
    const std::optional<nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>> &recent,
    const std::optional<nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>> &emphasis)
{
    const size_t voices = history.shape(0), poles = emphasis ? emphasis->shape(1) : 0,
                 window = recent ? recent->shape(1) : 0;
    const int32_t *all_recent = recent ? recent->data() : nullptr;
    const float *memories = emphasis ? emphasis->data() : nullptr;
    if (seed.shape(0) != voices || drawn.shape(0) != voices || values.shape(0) != voices ||
        (recent && recent->shape(0) != voices) || (emphasis && emphasis->shape(0) != voices))
        throw std::invalid_argument("the arrays of a snapshot have different numbers of voices");
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->state.position = position;
    for (size_t v = 0; v < voices; v++) {
        const int32_t *h = history.data() + v * history.shape(1);
        const float *x = values.data() + v * values.shape(1);
        const int32_t *r = window ? all_recent + v * window : nullptr;
        const float *e = poles ? memories + v * poles : nullptr;
        snapshot->state.voices.push_back({{h, h + history.shape(1)},
                                          seed.data()[v],
                                          drawn.data()[v],
                                          {x, x + values.shape(1)},
                                          {r, r + window},
                                          {e, e + poles}});
    }
    snapshot->filled = true;
    return snapshot;
}

} // namespace

void bind_prepared(nb::module_ &m)
{
    nb::class_<Player>(m, "Player", "A source with what it takes to hear it in one stream. Made by Stream.player.");
    nb::class_<Listener>(m, "Listener", "A source that is to hear the input of one stream. Made by Stream.listener.");
    nb::class_<Guard>(m, "Guard",
                      "A guard against silence, a tone, a loop and a drone, for one model. It is posted once.")
        .def(
            "__init__",
            [](Guard *self, int how, int sample_rate, int voices, double still_below, double still_longest) {
                if (how < 0 || how > 2 || sample_rate < 1000 || voices < 1)
                    throw std::invalid_argument("Guard: how is 0 to 2");
                new (self) Guard(Guarding(how), sample_rate, voices, {still_below, still_longest});
            },
            "how"_a, "sample_rate"_a, "voices"_a, "still_below"_a = 0.0, "still_longest"_a = 0.0,
            "how: 0 tells of a trap, 1 raises the temperature of its voice, 2 goes back to where the voice was well. sample_rate, in\n"
            "Hz, and voices are the model's; still_below, in dB, and still_longest, in seconds, are what its file says of how still its\n"
            "recordings ever are: without them it knows no drones.");

    nb::class_<Envelope>(
        m, "Envelope",
        "Levels that are passed in turn: levels[0] at time 0, after times[i] seconds more levels[i + 1].")
        .def(
            "__init__",
            [](Envelope *self, const std::vector<double> &levels, const std::vector<double> &times,
               const Curves &curves) { new (self) Envelope(make_envelope(levels, times, curves)); },
            "levels"_a, "times"_a, "curves"_a,
            "curves: numbers (0 a line) or names, as SuperCollider's Env has them. ValueError.")
        .def(
            "at", [](const Envelope &e, double time) { return e.at(time); }, "time"_a)
        .def(
            "levels",
            [](const Envelope &e, int64_t begin, int64_t n, double rate) {
                if (n < 0 || !(rate > 0)) throw std::invalid_argument("levels: n from 0 up, rate above 0");
                float *levels = nullptr;
                auto array = new_array(&levels, static_cast<size_t>(n));
                for (int64_t i = 0; i < n; i++)
                    levels[i] = static_cast<float>(e.at(static_cast<double>(begin + i) / rate));
                return array;
            },
            "begin"_a, "n"_a, "rate"_a, "float32 (n,): the levels at the times begin / rate, (begin + 1) / rate...");

    nb::class_<TrapDetector>(m, "TrapDetector",
                             "Finds silence, a tone, a loop or a drone in a sound, as the stream's guard does.")
        .def(
            "__init__",
            [](TrapDetector *self, int sample_rate, double still_below, double still_longest) {
                new (self) TrapDetector(sample_rate, 0, {still_below, still_longest});
            },
            "sample_rate"_a, "still_below"_a = 0.0, "still_longest"_a = 0.0)
        .def(
            "feed", [](TrapDetector &d, const Line &samples) { d.feed(samples.data(), int(samples.size())); },
            "samples"_a, "Up to half a second.")
        .def_prop_ro(
            "trap", [](const TrapDetector &d) { return std::string(name_of(d.trap())); },
            "silence, tone or loop, once it has lasted for two seconds, or drone; empty: none.")
        .def_prop_ro(
            "movement", [](const TrapDetector &d) { return d.movement(); },
            "dB, of the last two seconds that a frame of 50 ms ended; below 0: not known, or silent.");

    nb::class_<Snapshot>(m, "Snapshot", "Everything that a source remembers at one moment.")
        .def(nb::init<>(), "Empty, to be posted with `store`.")
        .def_static("of", &snapshot_of, "position"_a, "history"_a, "seed"_a, "drawn"_a, "values"_a,
                    "recent"_a.none() = nb::none(), "emphasis"_a.none() = nb::none(),
                    "As `arrays` gives them. Without recent and emphasis these are what the history makes of them.")
        .def_prop_ro("filled", [](const Snapshot &s) { return s.filled.load(); })
        .def_prop_ro("voices", [](const Snapshot &s) { return s.filled ? s.state.voices.size() : 0; })
        .def("arrays", &arrays_of, "RuntimeError if it is not filled yet.");
}

} // namespace sopi
