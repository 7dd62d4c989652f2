// The stream's resampler alone, for tests and for whoever wants to see it.
#include "bindings/new_array.hpp"
#include "resample.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

using Line = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

class PyResampler {
public:
    PyResampler(int model_rate, int host_rate)
        : filter_(Filter::design(model_rate, host_rate)), resampler_(filter_, 1, kMost)
    {
    }
    double delay() const { return filter_->delay / filter_->model_rate; }
    int needed(int n) { return n > 0 && n <= kMost ? resampler_.plan(n) : 0; }
    // Rates from here on: each frame's is given to `process`.
    nb::ndarray<nb::numpy, float> vary(const Line &samples,
                                       const nb::ndarray<const double, nb::ndim<1>, nb::c_contig> &rates)
    {
        if (rates.size() > kMost) throw std::invalid_argument("at most 4096 frames at once");
        if (!resampler_.varies())
            resampler_.vary(Filter::design_between(filter_->model_rate, filter_->host_rate, kFastest));
        const int n = int(rates.size()), takes = resampler_.plan(n, rates.data());
        if (int(samples.size()) < takes)
            throw std::invalid_argument("expected " + std::to_string(takes) + " samples for these frames");
        float *data;
        const auto made = new_array(&data, n);
        resampler_.process(samples.data(), takes, &data);
        return made;
    }
    uint64_t samples() const { return resampler_.samples(); }
    nb::ndarray<nb::numpy, float> process(const Line &samples, int n)
    {
        if (n < 0 || n > kMost) throw std::invalid_argument("at most 4096 frames at once");
        if (int(samples.size()) != resampler_.plan(n))
            throw std::invalid_argument("expected " + std::to_string(resampler_.plan(n)) + " samples for these frames");
        float *data;
        const auto made = new_array(&data, n);
        resampler_.process(samples.data(), int(samples.size()), &data);
        return made;
    }

private:
    static constexpr int kMost = 4096;
    std::shared_ptr<const Filter> filter_;
    Resampler resampler_;
};

} // namespace

void bind_resampler(nb::module_ &m)
{
    nb::class_<PyResampler>(m, "Resampler", "The stream's resampler, one channel.")
        .def(nb::init<int, int>(), "model_rate"_a, "host_rate"_a)
        .def_prop_ro("delay", &PyResampler::delay, "Group delay in seconds.")
        .def("needed", &PyResampler::needed, "n"_a, "Samples that `process` takes for the next n frames.")
        .def("process", &PyResampler::process, "samples"_a, "n"_a)
        .def("vary", &PyResampler::vary, "samples"_a, "rates"_a,
             "A frame for each rate; of `samples` it takes as many as it needs.")
        .def_prop_ro("samples", &PyResampler::samples, "Taken so far.");
}

} // namespace sopi
