// Engines that are written in Python, as sources of a stream.
#include "source.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

// An engine written in Python as a source: the producer takes the GIL for each call.
class PySource final : public Source {
public:
    explicit PySource(nb::object engine) : engine_(std::move(engine))
    {
        const nb::object model = engine_.attr("model"), config = model.attr("config");
        voices_ = nb::cast<int>(engine_.attr("voices"));
        sample_rate_ = nb::cast<int>(config.attr("sample_rate"));
        const auto frames = nb::cast<std::vector<int>>(config.attr("frame_sizes"));
        frame_ = frames.front();
        period_ = frames.back();
        const auto table = nb::cast<nb::ndarray<const float, nb::ndim<1>, nb::c_contig>>(model.attr("decode_table"));
        coding_.values.assign(table.data(), table.data() + table.size());
        coding_.poles = nb::cast<std::vector<float>>(config.attr("emphasis"));
        coding_.level = nb::cast<float>(config.attr("level"));
        if (coding_.poles.size() > kMostPoles) throw std::invalid_argument("too many poles of emphasis");
        memories_.resize(size_t(voices_));
        if (coding_.poles.empty() || !nb::hasattr(engine_, "state")) return;
        // what it has heard before is heard on
        const nb::object state = engine_.attr("state")();
        const auto memory = nb::cast<nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(
            state["emphasis"]);
        for (size_t v = 0; v < std::min(memories_.size(), memory.shape(0)); v++)
            std::copy_n(memory.data() + v * coding_.poles.size(), coding_.poles.size(), memories_[v].of);
    }
    ~PySource() override
    {
        if (!nb::is_alive()) {
            engine_.release();
            return;
        }
        nb::gil_scoped_acquire gil;
        engine_.reset();
    }

    int voices() const noexcept override { return voices_; }
    int sample_rate() const noexcept override { return sample_rate_; }
    int frame() const noexcept override { return frame_; }
    int period() const noexcept override { return period_; }
    int position() const noexcept override { return position_; }
    const Coding &coding() const noexcept override { return coding_; }
    uint64_t limited() const noexcept override { return limited_; }

    void reset(uint64_t seed) override
    {
        guarded([&] { engine_.attr("reset")("seed"_a = seed); });
        position_ = 0;
        memories_.assign(memories_.size(), Memory());
    }

    void generate(int32_t *codes, float *audio, int64_t n, const Controls &controls) override
    {
        guarded([&] {
            const size_t shape[] = {size_t(voices_), size_t(n)};
            const nb::ndarray<nb::numpy, const float> temperature(controls.temperature, 2, shape, nb::handle());
            nb::list top_k, top_p, min_p, rest, rest_level;
            bool rests = false;
            for (int v = 0; v < voices_; v++) {
                top_k.append(controls.sampling[v].top_k);
                top_p.append(controls.sampling[v].top_p);
                min_p.append(controls.sampling[v].min_p);
                rest.append(controls.sampling[v].rest);
                rest_level.append(controls.sampling[v].rest_level);
                rests = rests || controls.sampling[v].rest > 0;
            }
            nb::dict more; // only what is asked for: an engine need not know of it
            if (rests) {
                more["rest"] = rest;
                more["rest_level"] = rest_level;
            }
            const nb::object made = engine_.attr("generate")(
                n, "temperature"_a = nb::cast(temperature, nb::rv_policy::copy), "top_k"_a = top_k, "top_p"_a = top_p,
                "min_p"_a = min_p, **more);
            const nb::object plain = nb::module_::import_("numpy").attr("ascontiguousarray")(made, "int32");
            const auto array = nb::cast<nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(plain);
            if (array.shape(0) != shape[0] || array.shape(1) != shape[1])
                throw std::runtime_error("the engine gave codes of another shape");
            for (size_t i = 0; i < array.size(); i++) {
                if (array.data()[i] < 0 || size_t(array.data()[i]) >= coding_.values.size())
                    throw std::runtime_error("the engine gave a code outside its levels");
                codes[i] = array.data()[i];
            }
        });
        hear(codes, audio, n);
    }

    int features() const noexcept override { return 0; }
    void prime(const int32_t *codes, int64_t n, const float *) override
    {
        guarded([&] {
            const size_t shape[] = {size_t(voices_), size_t(n)};
            const nb::ndarray<nb::numpy, const int32_t> values(codes, 2, shape, nb::handle());
            engine_.attr("prime")(nb::cast(values, nb::rv_policy::copy));
        });
        hear(codes, nullptr, n);
    }

    void reset_voice(int, uint64_t) override { unable("seeds of single voices"); }
    bool remembers() const noexcept override { return false; }
    void save(State &) const override { unable("snapshots"); }
    void check(const State &) const override { unable("snapshots"); }
    void restore(const State &) override { unable("snapshots"); }
    void restore_voice(int, const State &) override { unable("snapshots"); }
    void approach(const State &, float) override { unable("morphing"); }
    void kick(float) override { unable("kicks"); }

private:
    // Python's exceptions end as text while the GIL is still held.
    template <class F> void guarded(F &&f)
    {
        if (!nb::is_alive()) throw std::runtime_error("Python has ended");
        nb::gil_scoped_acquire gil;
        try {
            f();
        } catch (const nb::python_error &e) {
            const nb::object text = nb::str(e.value());
            throw std::runtime_error(nb::type_name(e.type()).c_str() + std::string(": ") + nb::cast<std::string>(text));
        }
    }

    // The codes [voices][n] have become the past; audio: what they sound like, or null.
    void hear(const int32_t *codes, float *audio, int64_t n) noexcept
    {
        for (int v = 0; v < voices_; v++)
            for (int64_t i = 0; i < n; i++) {
                const float x = coding_.undo(codes[v * n + i], memories_[size_t(v)], limited_);
                if (audio) audio[v * n + i] = x;
            }
        position_ = int((position_ + n) % period_);
    }

    [[noreturn]] static void unable(const char *what)
    {
        throw std::runtime_error(std::string("this backend knows no ") + what + ": use the native one");
    }

    nb::object engine_;
    int voices_ = 1, sample_rate_ = 0, frame_ = 1, period_ = 1, position_ = 0;
    Coding coding_;
    std::vector<Memory> memories_; // [voices]
    uint64_t limited_ = 0;
};

} // namespace

void bind_source(nb::module_ &m)
{
    nb::class_<PySource, Source>(m, "PySource",
                                 "A Python engine as a source for a Stream; the producer takes the GIL for each call.")
        .def("__init__", [](PySource *self, nb::object engine) { new (self) PySource(std::move(engine)); }, "engine"_a);
}

} // namespace sopi
