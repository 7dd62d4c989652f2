// The stream as Python sees it. Nothing here waits for the producer but `read` in freewheel and `close`, which
// release the GIL.
#include "stream/stream.hpp"
#include "bindings/new_array.hpp"
#include "platform/platform.hpp"
#include "stream/envelope.hpp"
#include "stream/record.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <variant>

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
    int period() const noexcept override { return period_; }
    int position() const noexcept override { return position_; }
    const float *decode_table() const noexcept override { return decode_.data(); }

    void reset(uint64_t seed) override
    {
        guarded([&] { engine_.attr("reset")("seed"_a = seed); });
        position_ = 0;
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
            const nb::object made = engine_.attr("generate")(
                n, "temperature"_a = nb::cast(temperature, nb::rv_policy::copy), "top_k"_a = top_k, "top_p"_a = top_p,
                "min_p"_a = min_p);
            const nb::object plain = nb::module_::import_("numpy").attr("ascontiguousarray")(made, "int32");
            const auto array = nb::cast<nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(plain);
            if (array.shape(0) != shape[0] || array.shape(1) != shape[1])
                throw std::runtime_error("the engine gave codes of another shape");
            for (size_t i = 0; i < array.size(); i++) {
                if (array.data()[i] < 0 || size_t(array.data()[i]) >= decode_.size())
                    throw std::runtime_error("the engine gave a code outside its levels");
                codes[i] = array.data()[i];
            }
        });
        position_ = int((position_ + n) % period_);
    }

    int features() const noexcept override { return 0; }
    void prime(const int32_t *codes, int64_t n, const float *) override
    {
        guarded([&] {
            const size_t shape[] = {size_t(voices_), size_t(n)};
            const nb::ndarray<nb::numpy, const int32_t> values(codes, 2, shape, nb::handle());
            engine_.attr("prime")(nb::cast(values, nb::rv_policy::copy));
        });
        position_ = int((position_ + n) % period_);
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

    [[noreturn]] static void unable(const char *what)
    {
        throw std::runtime_error(std::string("this backend knows no ") + what + ": use the native one");
    }

    nb::object engine_;
    int voices_ = 1, sample_rate_ = 0, frame_ = 1, period_ = 1, position_ = 0;
    std::vector<float> decode_;
};

// Length of a text that may have been cut off in the middle of a character.
size_t ended_well(const char *text)
{
    size_t n = std::strlen(text), begin = n;
    while (begin > 0 && (text[begin - 1] & 0xc0) == 0x80) begin--; // bytes that go on with a character
    if (begin == 0) return n;
    const unsigned char first = static_cast<unsigned char>(text[begin - 1]);
    const size_t needs = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    return n - begin + 1 < needs ? begin - 1 : n;
}

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

// A snapshot's rows as arrays: history int32 [voices][period], seed and drawn uint64 [voices], values float32 [voices][n].
nb::dict arrays_of(const Snapshot &snapshot)
{
    if (!snapshot.filled.load(std::memory_order_acquire)) throw std::runtime_error("the snapshot is not taken yet");
    const State &state = snapshot.state;
    const size_t voices = state.voices.size(), period = state.voices.at(0).history.size(),
                 n = state.voices[0].values.size();
    int32_t *history;
    uint64_t *seed, *drawn;
    float *values;
    nb::dict out;
    out["position"] = state.position;
    out["history"] = new_array(&history, voices, period);
    out["seed"] = new_array(&seed, voices);
    out["drawn"] = new_array(&drawn, voices);
    out["values"] = new_array(&values, voices, n);
    for (size_t v = 0; v < voices; v++) {
        const State::Row &row = state.voices[v];
        std::copy(row.history.begin(), row.history.end(), history + v * period);
        std::copy(row.values.begin(), row.values.end(), values + v * n);
        seed[v] = row.seed;
        drawn[v] = row.drawn;
    }
    return out;
}

std::shared_ptr<Snapshot> snapshot_of(
    int position, const nb::ndarray<const int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu> &history,
    const nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &seed,
    const nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &drawn,
    const nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu> &values)
{
    const size_t voices = history.shape(0);
    if (seed.shape(0) != voices || drawn.shape(0) != voices || values.shape(0) != voices)
        throw std::invalid_argument("the arrays of a snapshot have different numbers of voices");
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->state.position = position;
    for (size_t v = 0; v < voices; v++) {
        const int32_t *h = history.data() + v * history.shape(1);
        const float *x = values.data() + v * values.shape(1);
        snapshot->state.voices.push_back(
            {{h, h + history.shape(1)}, seed.data()[v], drawn.data()[v], {x, x + values.shape(1)}});
    }
    snapshot->filled = true;
    return snapshot;
}

// What Python holds of a recorder: nobody waits for the disk with the GIL in their hands.
class Recording {
public:
    explicit Recording(std::unique_ptr<Recorder> recorder) : recorder_(std::move(recorder)) {}
    ~Recording()
    {
        nb::gil_scoped_release released;
        recorder_.reset();
    }
    Recorder *operator->() const noexcept { return recorder_.get(); }

private:
    std::unique_ptr<Recorder> recorder_;
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

    nb::capsule ring() const { return capsule(stream_->ring()); }
    nb::capsule input() const { return capsule(stream_->input()); }

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

    using Input = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
    nb::ndarray<nb::numpy, float> read(size_t n, std::optional<Input> input)
    {
        sopi_ring *r = stream_->ring(), *in = stream_->input();
        if (!(sample_rate() > 0)) throw std::runtime_error("read before host(sample_rate, block)");
        if (input && input->shape(1) != n)
            throw std::invalid_argument("the input must have as many frames as are read");
        const size_t channels = r->channels, inputs = input ? input->shape(0) : 0;
        float *data;
        const auto made = new_array(&data, channels, n);
        {
            nb::gil_scoped_release released;
            std::vector<float *> out(channels);
            std::vector<const float *> from(inputs);
            // one call's worth must fit into the ring
            for (size_t done = 0, most = r->capacity / 4; done < n; done += most) {
                const uint32_t frames = uint32_t(std::min(most, n - done));
                for (size_t c = 0; c < channels; c++) out[c] = data + c * n + done;
                for (size_t c = 0; c < inputs; c++) from[c] = input->data() + c * n + done;
                sopi_ring_write(in, from.data(), uint32_t(inputs), frames);
                sopi_ring_read(r, out.data(), r->channels, frames, uint64_t(platform::now_ns()));
            }
        }
        return made;
    }

    // The last n frames of the first input before host position `end`, fewer if they have not come in or are gone.
    nb::ndarray<nb::numpy, float> heard(uint64_t end, uint64_t n) const
    {
        const sopi_ring *r = stream_->input();
        // what is about to be written over is left out
        const uint64_t written = sopi_load(&r->write), kept = r->capacity - r->capacity / 8;
        const uint64_t last = std::min(end, written), oldest = written > kept ? written - kept : 0;
        const uint64_t first = std::max(oldest, last > n ? last - n : 0), frames = last > first ? last - first : 0;
        float *data;
        const auto made = new_array(&data, frames);
        for (uint64_t i = 0; i < frames; i++) data[i] = r->data[(first + i) & (r->capacity - 1)];
        return made;
    }

    nb::list ticks(uint64_t end)
    {
        nb::list found;
        for (uint64_t p; sopi_ring_tick(stream_->ring(), 0, end, &p);) found.append(p);
        return found;
    }

    std::shared_ptr<Player> player(std::shared_ptr<Source> source) const
    {
        nb::gil_scoped_release released; // the filter may take a while for odd rates
        return std::make_shared<Player>(std::move(source), stream_->channels(), host_rate());
    }
    std::shared_ptr<Listener> listener(std::shared_ptr<Source> source, const Line &edges) const
    {
        std::vector<float> copy(edges.data(), edges.data() + edges.size());
        nb::gil_scoped_release released;
        auto player = std::make_shared<Player>(std::move(source), stream_->channels(), host_rate());
        return std::make_shared<Listener>(std::move(player), std::move(copy), host_rate());
    }

    void post(const std::string &name, uint64_t t, nb::object value, double ramp, int voice, uint32_t index)
    {
        Command command;
        command.t = t;
        command.id = id_of(name);
        command.voice = voice;
        command.index = index;
        command.ramp = ramp;
        std::unique_ptr<Prepared> prepared = prepared_of(value);
        command.value = prepared          ? Value(prepared.get())
                        : value.is_none() ? Value()
                                          : number_of(entry_of(command.id), value);
        if (!stream_->post(command))
            throw std::runtime_error("too many commands are waiting: is the host's audio off?");
        (void)prepared.release(); // the stream's now
    }

    std::unique_ptr<Recording> record(const std::string &path, uint64_t from)
    {
        if (!(sample_rate() > 0)) throw std::runtime_error("the host's audio is off");
        nb::gil_scoped_release released;
        return std::make_unique<Recording>(std::make_unique<Recorder>(stream_, path, from));
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

    double sample_rate() const { return stream_->host_rate(); }

    float peak()
    {
        float value = 0;
        __atomic_exchange(&stream_->ring()->peak, &value, &value, __ATOMIC_RELAXED);
        return value;
    }

    nb::list events()
    {
        static const char *const names[] = {"trap", "error", "refused"};
        nb::list all;
        Teller &teller = stream_->teller();
        for (Event e; teller.next(e);) {
            const nb::object text = nb::str(e.text, ended_well(e.text));
            all.append(nb::make_tuple(e.position, names[e.kind],
                                      e.kind == Event::trap ? nb::object(nb::make_tuple(e.voice, text)) : text));
        }
        if (const uint64_t lost = teller.take_lost()) all.append(nb::make_tuple(now(), "lost", lost));
        return all;
    }

private:
    static void check(double x, double least, double most, const char *name)
    {
        if (!(x >= least && x <= most))
            throw std::invalid_argument(std::string(name) + " is " + std::to_string(x) + ", expected " +
                                        std::to_string(least) + " to " + std::to_string(most));
    }
    static nb::capsule capsule(sopi_ring *r)
    {
        sopi_ring_retain(r);
        PyObject *made = PyCapsule_New(r, SOPI_RING_CAPSULE, [](PyObject *c) {
            sopi_ring_release(static_cast<sopi_ring *>(PyCapsule_GetPointer(c, SOPI_RING_CAPSULE)));
        });
        if (!made) {
            sopi_ring_release(r);
            throw nb::python_error();
        }
        return nb::steal<nb::capsule>(made);
    }
    int host_rate() const { return int(std::lround(stream_->host_rate())); }
    static Id id_of(const std::string &name)
    {
        for (size_t id = 0; id < kIds; id++)
            if (name == kCommands[id].name) return Id(id);
        std::string known;
        for (const Entry &entry : kCommands) known += std::string(known.empty() ? "" : ", ") + entry.name;
        throw std::invalid_argument("no command " + name + ", expected one of " + known);
    }
    // Empty for what is no object that was prepared.
    static std::unique_ptr<Prepared> prepared_of(const nb::object &value)
    {
        std::unique_ptr<Prepared> made;
        const auto is = [&](auto *type) {
            using T = std::remove_pointer_t<decltype(type)>;
            if (nb::isinstance<T>(value)) made = std::make_unique<Prepared>(nb::cast<std::shared_ptr<T>>(value));
        };
        is(static_cast<Player *>(nullptr));
        is(static_cast<Listener *>(nullptr));
        is(static_cast<Snapshot *>(nullptr));
        is(static_cast<Guard *>(nullptr));
        is(static_cast<Envelope *>(nullptr));
        return made;
    }
    static Value number_of(const Entry &entry, const nb::object &value)
    {
        if (entry.whole) {
            uint64_t whole;
            if (!nb::try_cast(value, whole))
                throw std::invalid_argument(std::string(entry.name) + " takes a whole number, 0 to 2^64 - 1");
            return whole;
        }
        double number;
        if (!nb::try_cast(value, number))
            throw std::invalid_argument(std::string(entry.name) + " takes no " + nb::type_name(value.type()).c_str());
        return number;
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

void bind_stream(nb::module_ &m)
{
    nb::class_<PySource, Source>(m, "PySource",
                                 "A Python engine as a source for a Stream; the producer takes the GIL for each call.")
        .def("__init__", [](PySource *self, nb::object engine) { new (self) PySource(std::move(engine)); }, "engine"_a);

    nb::class_<StreamHandle>(
        m, "Stream",
        "One producer thread that fills a ring with a source's sound. Times t are host frames; a command stamped t is heard\n"
        "from t + latency on.")
        .def(nb::init<int, double, bool, double>(), "channels"_a = 1, "latency"_a = 0.020, "freewheel"_a = false,
             "capacity_seconds"_a = 4.0, "latency and capacity in seconds (at 48 kHz).")
        .def("start", &StreamHandle::start, "Starts the producer; once.")
        .def("close", &StreamHandle::close, "timeout"_a = 1.0,
             "Stops the producer and waits for it at most `timeout` s. True if it has ended. May be called again.")
        .def_prop_ro("ring", &StreamHandle::ring, "A capsule of the ring (ring.h), which keeps it alive.")
        .def_prop_ro("now", &StreamHandle::now, "Host position of the next frame to be handed out.")
        .def(
            "clock", &StreamHandle::clock,
            "(position, monotonic ns): how far the host had come at the end of a callback, and when that began; 0 ns\n"
            "before the first. A callback that is running may be seen with the position before it. Not kept in freewheel.")
        .def_prop_rw("freewheel", &StreamHandle::freewheel, &StreamHandle::set_freewheel,
                     "Reading waits for the producer.")
        .def("host", &StreamHandle::host, "sample_rate"_a, "block"_a, "Hz and frames; before the first read.")
        .def_prop_ro("input", &StreamHandle::input,
                     "A capsule of the ring for the host's sound (channel 0) and a temperature signal (1).")
        .def(
            "read", &StreamHandle::read, "n"_a, "input"_a.none() = nb::none(),
            "The host's callback: the next n frames, float32 (channels, n); `input` float32 (1 or 2, n) came in meanwhile.")
        .def("heard", &StreamHandle::heard, "end"_a, "n"_a,
             "float32: what came in last before host position `end`, n frames at most.")
        .def("ticks", &StreamHandle::ticks, "end"_a,
             "Host positions before `end` at which a bottom frame began, since last asked.")
        .def(
            "post", &StreamHandle::post, "name"_a, "t"_a, "value"_a.none() = nb::none(), "ramp"_a = 0.0, "voice"_a = -1,
            "index"_a = 0,
            "Posts the command `name`, which takes effect at host frame t + latency. Names, ranges and units are those of the\n"
            "table of messages (sopilib/live/commands.py). `value`: a number or a bool; an int up to 2**64 - 1 for seed; an object\n"
            "that was prepared (a Player for swap, swap-keeping and second, or None for no sound; an Envelope, in seconds, for\n"
            "temperature; a Listener for listen, with `index` 1 for silence meanwhile, 2 for the input, 3 for the old sound; a\n"
            "Snapshot for store, recall and morph; a Guard for guard, or None). `ramp` is in ms; of a swap it is the crossfade, 5\n"
            "to 100 ms. `voice` counts from 0, -1 is all of them. `index`: which conditioning value, from 0. Raises ValueError for\n"
            "what the command doesn't take, RuntimeError if too many commands wait.")
        .def("player", &StreamHandle::player, "source"_a,
             "-> Player: what it takes to hear a source in this stream, made before it is posted. It is posted once.")
        .def(
            "listener", &StreamHandle::listener, "source"_a, "edges"_a,
            "-> Listener: a source that is to hear the input. edges: of each code but the first the least float32 that encodes to it,\n"
            "ascending. It is posted once; with `listened` it has heard the input up to that t, and plays.")
        .def(
            "record", &StreamHandle::record, "path"_a, "from_"_a,
            "-> Recorder of what is handed out from host frame from_ on, into a new WAV file of 32-bit floats. RuntimeError.")
        .def("stats", &StreamHandle::stats, "Frames, counts, rtf (seconds of sound per busy second).")
        .def("peak", &StreamHandle::peak, "Largest |sample| handed out since last asked.")
        .def_prop_ro("sample_rate", &StreamHandle::sample_rate, "The host's, Hz; 0 before it is known.")
        .def(
            "events", &StreamHandle::events,
            "[(position, kind, value)] since last asked. trap: (voice, which). error: why the sound stopped. refused: why a command\n"
            "was not done. lost: so many more events found no room.");

    nb::class_<Player>(m, "Player", "A source with what it takes to hear it in one stream. Made by Stream.player.");
    nb::class_<Listener>(m, "Listener", "A source that is to hear the input of one stream. Made by Stream.listener.");
    nb::class_<Guard>(m, "Guard", "A guard against silence, a tone and a loop, for one model. It is posted once.")
        .def(
            "__init__",
            [](Guard *self, int how, int sample_rate, int voices) {
                if (how < 0 || how > 2 || sample_rate < 1000 || voices < 1)
                    throw std::invalid_argument("Guard: how is 0 to 2");
                new (self) Guard(Guarding(how), sample_rate, voices);
            },
            "how"_a, "sample_rate"_a, "voices"_a,
            "how: 0 tells of a trap, 1 raises the temperature of its voice, 2 goes back to where the voice was well. sample_rate, in\n"
            "Hz, and voices are the model's.");

    nb::class_<Recording>(m, "Recorder",
                          "A recording that goes on, by a thread of its own. When it goes, the file is closed.")
        .def(
            "end", [](const Recording &r, uint64_t to) { r->end(to); }, "to"_a,
            "Host frame `to` is the first that is not recorded.")
        .def_prop_ro(
            "ended", [](const Recording &r) { return r->ended(); }, "True once the file is closed.")
        .def_prop_ro(
            "frames", [](const Recording &r) { return r->frames(); }, "Frames recorded so far.")
        .def_prop_ro(
            "lost", [](const Recording &r) { return r->lost(); }, "Frames that the disk was too slow for.")
        .def_prop_ro(
            "failure", [](const Recording &r) { return r->ended() ? r->failure() : std::string(); },
            "Why it ended before it was told to, or why the file may not be whole; empty if neither is so.");

    nb::class_<PyResampler>(m, "Resampler", "The stream's resampler, one channel.")
        .def(nb::init<int, int>(), "model_rate"_a, "host_rate"_a)
        .def_prop_ro("delay", &PyResampler::delay, "Group delay in seconds.")
        .def("needed", &PyResampler::needed, "n"_a, "Samples that `process` takes for the next n frames.")
        .def("process", &PyResampler::process, "samples"_a, "n"_a)
        .def("vary", &PyResampler::vary, "samples"_a, "rates"_a,
             "A frame for each rate; of `samples` it takes as many as it needs.")
        .def_prop_ro("samples", &PyResampler::samples, "Taken so far.");

    nb::class_<Envelope>(
        m, "Envelope",
        "Levels that are passed in turn: levels[0] at time 0, after times[i] seconds more levels[i + 1].")
        .def(
            "__init__",
            [](Envelope *self, const std::vector<double> &levels, const std::vector<double> &times,
               const Curves &curves) { new (self) Envelope(make_envelope(levels, times, curves)); },
            "levels"_a, "times"_a, "curves"_a,
            "curves: numbers (0 a line) or names, as SuperCollider's Env has them. ValueError.")
        .def("at", [](const Envelope &e, double time) { return e.at(time); }, "time"_a);

    nb::class_<TrapDetector>(m, "TrapDetector",
                             "Finds silence, a tone or a loop in a sound, as the stream's guard does.")
        .def(
            "__init__", [](TrapDetector *self, int sample_rate) { new (self) TrapDetector(sample_rate, 0); },
            "sample_rate"_a)
        .def(
            "feed", [](TrapDetector &d, const Line &samples) { d.feed(samples.data(), int(samples.size())); },
            "samples"_a, "Up to half a second.")
        .def_prop_ro(
            "trap", [](const TrapDetector &d) { return std::string(name_of(d.trap())); },
            "silence, tone or loop, once it has lasted for two seconds; empty: none.");

    nb::class_<Snapshot>(m, "Snapshot", "Everything that a source remembers at one moment.")
        .def(nb::init<>(), "Empty, to be posted with `store`.")
        .def_static("of", &snapshot_of, "position"_a, "history"_a, "seed"_a, "drawn"_a, "values"_a,
                    "As `arrays` gives them.")
        .def_prop_ro("filled", [](const Snapshot &s) { return s.filled.load(); })
        .def_prop_ro("voices", [](const Snapshot &s) { return s.filled ? s.state.voices.size() : 0; })
        .def("arrays", &arrays_of, "RuntimeError if it is not filled yet.");

    m.def(
        "close_all_streams",
        [](double timeout) {
            nb::gil_scoped_release released;
            close_all_streams(timeout);
        },
        "timeout"_a = 1.0, "Stops all producers, as the end of the process does.");
    // A stream that still sounds when Python ends holds its source on purpose.
    nb::set_leak_warnings(false);
    // A producer must not ask for the GIL of a Python that has ended.
    nb::module_::import_("atexit").attr("register")(m.attr("close_all_streams"));
}

} // namespace sopi
