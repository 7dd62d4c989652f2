// Outputs as Python sees them.
#include "stream/output.hpp"
#include "bindings/new_array.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

// A PaStreamCallback; the times and flags are not needed.
int portaudio_callback(const void *, void *out, unsigned long frames, const void *, unsigned long,
                       void *output) noexcept
{
    static_cast<Output *>(output)->render(static_cast<float *>(out), frames);
    return 0; // paContinue
}

void make(Output *self, const std::vector<nb::object> &rings, int channels)
{
    if (channels < 1 || channels > 64) throw std::invalid_argument("channels must be 1 to 64");
    std::vector<sopi_ring *> all;
    for (const nb::object &c : rings) {
        auto *r = static_cast<sopi_ring *>(PyCapsule_GetPointer(c.ptr(), SOPI_RING_CAPSULE));
        if (!r) throw nb::python_error();
        all.push_back(r);
    }
    new (self) Output(std::move(all), channels);
}

} // namespace

void bind_output(nb::module_ &m)
{
    nb::class_<Output>(m, "Output",
                       "The sum of rings (capsules), played by PortAudio or at the pace of the system's clock.")
        .def("__init__", &make, "rings"_a, "channels"_a)
        .def_prop_ro(
            "callback", [](const Output &) { return reinterpret_cast<uintptr_t>(&portaudio_callback); },
            "Address of a PaStreamCallback for interleaved float32; its userdata is `address`.")
        .def_prop_ro("address", [](Output &o) { return reinterpret_cast<uintptr_t>(&o); })
        .def("host", &Output::host, "sample_rate"_a, "block"_a, "running"_a = true,
             "Hz and frames; before PortAudio starts.")
        .def("start_clock", &Output::start_clock, "sample_rate"_a, "block"_a, "keep"_a = 0,
             "Plays at the system's clock; up to `keep` frames wait for `take`.")
        .def("stop_clock", &Output::stop_clock, nb::call_guard<nb::gil_scoped_release>())
        .def(
            "take",
            [](Output &o) {
                float *data;
                const size_t frames = o.waiting();
                const auto made = new_array(&data, frames, o.channels());
                o.take(data, frames);
                return made;
            },
            "What was played since last asked, float32 (frames, channels).")
        .def_prop_ro("lost", &Output::lost, "Frames that nobody took in time.");
}

} // namespace sopi
