#include "bandwidth.hpp"

#include <nanobind/nanobind.h>

namespace nb = nanobind;

namespace sopi {
void bind_engine(nb::module_ &);
void bind_output(nb::module_ &);
void bind_prepared(nb::module_ &);
void bind_resampler(nb::module_ &);
void bind_source(nb::module_ &);
void bind_stream(nb::module_ &);
} // namespace sopi

NB_MODULE(_native, m)
{
    m.doc() = "sopilib's native part: the engine, and the stream that plays it.";
    m.def(
        "read_bandwidth", &sopi::read_bandwidth, nb::arg("bytes"), nb::arg("threads"), nb::arg("seconds"),
        nb::call_guard<nb::gil_scoped_release>(),
        "How fast this machine reads memory, in bytes per second: `threads` threads (1 to 1024) together read\n"
        "`bytes` bytes, a share each, again and again for about `seconds` seconds. RuntimeError if the system gives fewer threads.");
    sopi::bind_engine(m);
    sopi::bind_output(m);
    sopi::bind_source(m);
    sopi::bind_prepared(m);
    sopi::bind_resampler(m);
    sopi::bind_stream(m);
}
