// The stream as Python sees it. Nothing here waits for the producer but `read` in freewheel and `close`, which
// release the GIL.
#include "new_array.hpp"
#include "stream.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <stdexcept>
#include <time.h>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

uint64_t monotonic_ns()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

// An engine written in Python as a source: the producer takes the GIL for each call.
class PySource final : public Source {
public:
    explicit PySource(nb::object engine) : engine_(std::move(engine))
    {
        const nb::object model = engine_.attr("model"), config = model.attr("config");
        voices_ = nb::cast<int>(engine_.attr("voices"));
        sample_rate_ = nb::cast<int>(config.attr("sample_rate"));
        frame_ = nb::cast<int>(nb::list(config.attr("frame_sizes"))[0]);
        const auto table = nb::cast<nb::ndarray<const float, nb::ndim<1>, nb::c_contig>>(model.attr("decode_table"));
        decode_.assign(table.data(), table.data() + table.size());
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
    int phase() const noexcept override { return phase_; }
    const float *decode_table() const noexcept override { return decode_.data(); }

    void reset(uint64_t seed) override
    {
        guarded([&] { engine_.attr("reset")("seed"_a = seed); });
        phase_ = 0;
    }

    void generate(int32_t *codes, int64_t n, const Controls &controls) override
    {
        guarded([&] {
            const size_t shape[] = {size_t(voices_), size_t(n)};
            const nb::ndarray<nb::numpy, const float> temperature(controls.temperature, 2, shape, nb::handle());
            nb::list top_k, top_p, min_p;
            for (int v = 0; v < voices_; v++) {
                top_k.append(controls.sampling[v].top_k);
                top_p.append(controls.sampling[v].top_p);
                min_p.append(controls.sampling[v].min_p);
            }
            const nb::object made = engine_.attr("generate")(n, "temperature"_a = nb::cast(temperature, nb::rv_policy::copy),
                                                             "top_k"_a = top_k, "top_p"_a = top_p, "min_p"_a = min_p);
            const nb::object plain = nb::module_::import_("numpy").attr("ascontiguousarray")(made, "int32");
            const auto array = nb::cast<nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(plain);
            if (array.shape(0) != shape[0] || array.shape(1) != shape[1]) throw std::runtime_error("the engine gave codes of another shape");
            for (size_t i = 0; i < array.size(); i++) {
                if (array.data()[i] < 0 || size_t(array.data()[i]) >= decode_.size())
                    throw std::runtime_error("the engine gave a code outside its levels");
                codes[i] = array.data()[i];
            }
        });
        phase_ = int((phase_ + n) % frame_);
    }

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

    nb::object engine_;
    int voices_ = 1, sample_rate_ = 0, frame_ = 1, phase_ = 0;
    std::vector<float> decode_;
};

// What Python holds: closes the stream when it goes.
class StreamHandle {
public:
    StreamHandle(int channels, double latency, bool freewheel, double capacity_seconds)
    {
        if (channels < 1 || channels > 256) throw std::invalid_argument("channels must be 1 to 256");
        check(latency, 0.001, 2.0, "latency");
        check(capacity_seconds, 0.1, 60.0, "capacity_seconds");
        uint32_t capacity = 1024;
        while (capacity < std::max(capacity_seconds, 2 * latency) * 48000) capacity *= 2;
        stream_ = std::make_shared<Stream>(channels, latency, freewheel, capacity);
    }
    ~StreamHandle() { close(1.0); }

    void start() { Stream::start(stream_); }
    bool close(double timeout)
    {
        bool ended;
        {
            nb::gil_scoped_release released;
            ended = stream_->close(timeout);
        }
        stream_->collect();
        return ended;
    }

    nb::capsule ring() const
    {
        sopi_ring *r = stream_->ring();
        sopi_ring_retain(r);
        PyObject *capsule = PyCapsule_New(r, SOPI_RING_CAPSULE, [](PyObject *c) {
            sopi_ring_release(static_cast<sopi_ring *>(PyCapsule_GetPointer(c, SOPI_RING_CAPSULE)));
        });
        if (!capsule) {
            sopi_ring_release(r);
            throw nb::python_error();
        }
        return nb::steal<nb::capsule>(capsule);
    }

    uint64_t now() const { return sopi_ring_now(stream_->ring()); }

    // Both of one callback; while one runs it may be the time of that with the position before it, which is a block less.
    nb::tuple clock() const
    {
        const sopi_ring *r = stream_->ring();
        uint64_t position, ns;
        do {
            position = sopi_load(&r->read);
            ns = sopi_load(&r->burst_ns);
        } while (position != sopi_load(&r->read));
        return nb::make_tuple(position, ns);
    }
    void host(double sample_rate, uint32_t block)
    {
        check(sample_rate, 1000, 1e6, "sample_rate");
        if (block < 1 || block > stream_->ring()->capacity / 4) throw std::invalid_argument("block is out of range");
        sopi_ring_host(stream_->ring(), sample_rate, block, 1);
    }

    nb::ndarray<nb::numpy, float> read(size_t n)
    {
        sopi_ring *r = stream_->ring();
        if (!(sample_rate() > 0)) throw std::runtime_error("read before host(sample_rate, block)");
        const size_t channels = r->channels;
        float *data;
        const auto made = new_array(&data, channels, n);
        {
            nb::gil_scoped_release released;
            std::vector<float *> out(channels);
            // one call's worth must fit into the ring
            for (size_t done = 0, most = r->capacity / 4; done < n; done += most) {
                for (size_t c = 0; c < channels; c++) out[c] = data + c * n + done;
                sopi_ring_read(r, out.data(), r->channels, uint32_t(std::min(most, n - done)), monotonic_ns());
            }
        }
        return made;
    }

    nb::list ticks(uint64_t end)
    {
        nb::list found;
        for (uint64_t p; sopi_ring_tick(stream_->ring(), 0, end, &p);) found.append(p);
        return found;
    }

    void play(uint64_t t, bool on) { post({t, Kind::play, on ? 1.0 : 0.0, 0, 0, nullptr, 0}); }
    void temperature(uint64_t t, double value, double ramp) { post_value(t, Kind::temperature, value, ramp, 1e-3, 1e3, "temperature"); }
    void gain(uint64_t t, double value, double ramp) { post_value(t, Kind::gain, value, ramp, 0, 1e3, "gain"); }
    void seed(uint64_t t, uint64_t number) { post({t, Kind::seed, 0, 0, number, nullptr, 0}); }
    void latency(uint64_t t, double seconds)
    {
        check(seconds, 0.001, double(stream_->ring()->capacity) / 4 / 48000, "latency");
        post({t, Kind::latency, seconds, 0, 0, nullptr, 0});
    }

    uint64_t swap(uint64_t t, std::shared_ptr<Source> source, double fade)
    {
        check(fade, 0, 0.1, "fade");
        if (!source) {
            post({t, Kind::swap, 0, fade, 0, nullptr, 0});
            return 0;
        }
        if (source->voices() != stream_->channels())
            throw std::invalid_argument("the source has " + std::to_string(source->voices()) + " voices, the stream " +
                                        std::to_string(stream_->channels()) + " channels");
        const uint64_t id = stream_->next_id();
        std::unique_ptr<Player> player;
        {
            nb::gil_scoped_release released; // the filter may take a while for odd rates
            std::shared_ptr<const Filter> filter = stream_->filter_for(source->sample_rate());
            player = std::make_unique<Player>(std::move(source), std::move(filter), stream_->channels(), id);
        }
        post({t, Kind::swap, 0, fade, 0, player.get(), 0});
        player.release();
        return id;
    }

    bool freewheel() const { return sopi_load(&stream_->ring()->freewheel) != 0; }
    void set_freewheel(bool on) { stream_->set_freewheel(on); }

    nb::dict stats()
    {
        stream_->collect();
        sopi_ring *r = stream_->ring();
        const Stats &s = stream_->stats();
        nb::dict d;
        d["position"] = sopi_load(&r->read);
        d["written"] = sopi_load(&r->write);
        d["generating"] = sopi_load(&r->generating) != 0;
        d["underruns"] = sopi_load(&r->underruns);
        d["missing"] = sopi_load(&r->missing);
        d["late"] = s.late.load();
        d["worst_late"] = s.worst_late.load();
        d["rtf"] = s.real_time_factor.load();
        d["burst"] = s.usual_burst.load();
        d["reserve"] = r->reserve;
        d["sample_rate"] = sample_rate();
        d["block"] = sopi_load(&r->block);
        return d;
    }

    double sample_rate() const
    {
        double rate;
        __atomic_load(&stream_->ring()->sample_rate, &rate, __ATOMIC_ACQUIRE);
        return rate;
    }

    float peak()
    {
        float value = 0;
        __atomic_exchange(&stream_->ring()->peak, &value, &value, __ATOMIC_RELAXED);
        return value;
    }

    nb::list events()
    {
        static const char *const names[] = {"swapped", "late", "underrun", "error"};
        nb::list all;
        for (Event e; stream_->next_event(e);) {
            const nb::object value = e.kind == Event::error ? nb::object(nb::str(e.text.c_str())) : nb::object(nb::int_(uint64_t(e.value)));
            all.append(nb::make_tuple(e.position, names[e.kind], value));
        }
        return all;
    }

private:
    static void check(double x, double least, double most, const char *name)
    {
        if (!(x >= least && x <= most))
            throw std::invalid_argument(std::string(name) + " is " + std::to_string(x) + ", expected " + std::to_string(least) +
                                        " to " + std::to_string(most));
    }
    void post_value(uint64_t t, Kind kind, double value, double ramp, double least, double most, const char *name)
    {
        check(value, least, most, name);
        check(ramp, 0, 1e6, "ramp");
        post({t, kind, value, ramp, 0, nullptr, 0});
    }
    void post(Command command)
    {
        if (!stream_->post(command)) throw std::runtime_error("too many commands are waiting: is the host's audio off?");
    }

    std::shared_ptr<Stream> stream_;
};

// The resampler alone, for tests and for whoever wants to see it.
class PyResampler {
public:
    PyResampler(int model_rate, int host_rate)
        : filter_(Filter::design(model_rate, host_rate)), resampler_(filter_, 1, kMost)
    {
    }
    double delay() const { return filter_->delay / filter_->model_rate; }
    int needed(int n) const { return resampler_.needed(n); }
    nb::ndarray<nb::numpy, float> process(const nb::ndarray<const float, nb::ndim<1>, nb::c_contig> &samples, int n)
    {
        if (n < 0 || n > kMost) throw std::invalid_argument("at most 4096 frames at once");
        if (int64_t(samples.size()) != resampler_.needed(n))
            throw std::invalid_argument("expected " + std::to_string(resampler_.needed(n)) + " samples for these frames");
        float *data;
        const auto made = new_array(&data, n);
        resampler_.process(samples.data(), int(samples.size()), &data, n);
        return made;
    }

private:
    static constexpr int kMost = 4096;
    std::shared_ptr<const Filter> filter_;
    Resampler resampler_;
};

} // namespace

void bind_stream(nb::module_ &m)
{
    nb::class_<PySource, Source>(m, "PySource", "A Python engine as a source for a Stream; the producer takes the GIL for each call.")
        .def("__init__", [](PySource *self, nb::object engine) { new (self) PySource(std::move(engine)); }, "engine"_a);

    nb::class_<StreamHandle>(m, "Stream",
        "One producer thread that fills a ring with a source's sound. Times t are host frames; a command stamped t is heard\n"
        "from t + latency on. Methods that post a command raise ValueError for a value out of range and RuntimeError if\n"
        "too many commands wait.")
        .def(nb::init<int, double, bool, double>(), "channels"_a = 1, "latency"_a = 0.020, "freewheel"_a = false,
             "capacity_seconds"_a = 4.0, "latency and capacity in seconds (at 48 kHz).")
        .def("start", &StreamHandle::start, "Starts the producer; once.")
        .def("close", &StreamHandle::close, "timeout"_a = 1.0,
             "Stops the producer and waits for it at most `timeout` s. True if it has ended. May be called again.")
        .def_prop_ro("ring", &StreamHandle::ring, "A capsule of the ring (ring.h), which keeps it alive.")
        .def_prop_ro("now", &StreamHandle::now, "Host position of the next frame to be handed out.")
        .def("clock", &StreamHandle::clock,
             "(position, monotonic ns): how far the host had come at the end of a callback, and when that began; 0 ns\n"
             "before the first. A callback that is running may be seen with the position before it. Not kept in freewheel.")
        .def_prop_rw("freewheel", &StreamHandle::freewheel, &StreamHandle::set_freewheel, "Reading waits for the producer.")
        .def("host", &StreamHandle::host, "sample_rate"_a, "block"_a, "Hz and frames; before the first read.")
        .def("read", &StreamHandle::read, "n"_a, "The host's callback: the next n frames, float32 (channels, n).")
        .def("ticks", &StreamHandle::ticks, "end"_a, "Host positions before `end` at which a bottom frame began, since last asked.")
        .def("play", &StreamHandle::play, "t"_a, "on"_a)
        .def("temperature", &StreamHandle::temperature, "t"_a, "value"_a, "ramp"_a = 0.0, "ramp in seconds.")
        .def("gain", &StreamHandle::gain, "t"_a, "value"_a, "ramp"_a = 0.0, "Linear; ramp in seconds.")
        .def("seed", &StreamHandle::seed, "t"_a, "number"_a, "The music from the source's reset(number) on.")
        .def("swap", &StreamHandle::swap, "t"_a, "source"_a.none(), "fade"_a = 0.020,
             "Crossfades to another source, `fade` in seconds. Returns the id that its `swapped` event will have.")
        .def("latency", &StreamHandle::latency, "t"_a, "seconds"_a, "For the commands after this one.")
        .def("stats", &StreamHandle::stats, "Frames, counts, rtf (seconds of sound per busy second).")
        .def("peak", &StreamHandle::peak, "Largest |sample| handed out since last asked.")
        .def_prop_ro("sample_rate", &StreamHandle::sample_rate, "The host's, Hz; 0 before it is known.")
        .def("events", &StreamHandle::events, "[(position, kind, value)] since last asked: swapped id, late frames, underrun frames, error text.");

    nb::class_<PyResampler>(m, "Resampler", "The stream's resampler, one channel.")
        .def(nb::init<int, int>(), "model_rate"_a, "host_rate"_a)
        .def_prop_ro("delay", &PyResampler::delay, "Group delay in seconds.")
        .def("needed", &PyResampler::needed, "n"_a, "Samples that `process` takes for the next n frames.")
        .def("process", &PyResampler::process, "samples"_a, "n"_a);

    m.def("close_all_streams", [](double timeout) {
        nb::gil_scoped_release released;
        close_all_streams(timeout);
    }, "timeout"_a = 1.0, "Stops all producers, as the end of the process does.");
    // A stream that still sounds when Python ends holds its source on purpose.
    nb::set_leak_warnings(false);
    // A producer must not ask for the GIL of a Python that has ended.
    nb::module_::import_("atexit").attr("register")(m.attr("close_all_streams"));
}

} // namespace sopi
