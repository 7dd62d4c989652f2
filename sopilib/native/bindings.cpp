#include <nanobind/nanobind.h>

namespace sopi {
void bind_engine(nanobind::module_ &);
void bind_stream(nanobind::module_ &);
} // namespace sopi

NB_MODULE(_native, m)
{
    m.doc() = "sopilib's native part: the engine, and the stream that plays it.";
    sopi::bind_engine(m);
    sopi::bind_stream(m);
}
