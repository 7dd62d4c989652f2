#include "bandwidth.hpp"
#include "crc32c.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace nb = nanobind;

namespace sopi {
void bind_engine(nb::module_ &);
void bind_output(nb::module_ &);
void bind_stream(nb::module_ &);

namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void bind_crc32c(nb::module_ &m)
{
    m.def(
        "crc32c",
        [](const Bytes &data, bool plain) {
            nb::gil_scoped_release released;
            return (plain ? crc32c_plain : crc32c)(data.data(), data.size());
        },
        nb::arg("data"), nb::arg("plain") = false,
        "The CRC-32C of bytes, uint8 (n,). With `plain` it is made by tables, whatever the processor has.");
}

} // namespace
} // namespace sopi

NB_MODULE(_native, m)
{
    m.doc() = "sopilib's native part: the engine, the stream that plays it, and checksums.";
    sopi::bind_crc32c(m);
    m.def(
        "read_bandwidth", &sopi::read_bandwidth, nb::arg("bytes"), nb::arg("threads"), nb::arg("seconds"),
        nb::call_guard<nb::gil_scoped_release>(),
        "How fast this machine reads memory, in bytes per second: `threads` threads (1 to 1024) together read\n"
        "`bytes` bytes, a share each, again and again for about `seconds` seconds. RuntimeError if the system gives fewer threads.");
    sopi::bind_engine(m);
    sopi::bind_output(m);
    sopi::bind_stream(m);
}
