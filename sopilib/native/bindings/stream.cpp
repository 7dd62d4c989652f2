// The stream as Python sees it. Nothing here waits for the producer but `read` in freewheel and `close`, which
// release the GIL.
#include "stream/stream.hpp"
#include "bindings/new_array.hpp"
#include "platform/platform.hpp"
#include "stream/envelope.hpp"
#include "stream/picture.hpp"
#include "stream/record.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace nb = nanobind;
using namespace nb::literals;

namespace sopi {
namespace {

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
        const float *incoming = input ? input->data() : nullptr;
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
                for (size_t c = 0; c < inputs; c++) from[c] = incoming + c * n + done;
                sopi_ring_write(in, from.data(), uint32_t(inputs), frames);
                sopi_ring_read(r, out.data(), r->channels, frames, uint64_t(platform::now_ns()));
            }
        }
        return made;
    }

    // The last n frames of an input before host position `end`, fewer if they have not come in or are gone.
    nb::ndarray<nb::numpy, float> heard(uint64_t end, uint64_t n, uint32_t channel) const
    {
        const sopi_ring *r = stream_->input();
        if (channel >= r->channels) throw std::invalid_argument("channel must be 0 or 1");
        const float *from = r->data + size_t(channel) * r->capacity;
        // what is about to be written over is left out
        const uint64_t written = sopi_load(&r->write), kept = r->capacity - r->capacity / 8;
        const uint64_t last = std::min(end, written), oldest = written > kept ? written - kept : 0;
        const uint64_t first = std::max(oldest, last > n ? last - n : 0), frames = last > first ? last - first : 0;
        float *data;
        const auto made = new_array(&data, frames);
        for (uint64_t i = 0; i < frames; i++) data[i] = from[(first + i) & (r->capacity - 1)];
        return made;
    }

    nb::bytes picture()
    {
        uint8_t column[1 + Picture::kBands];
        if (!picture_.look(stream_->ring(), sample_rate(), column)) return nb::bytes("", 0);
        return nb::bytes(column, sizeof column);
    }

    nb::list ticks(uint64_t end)
    {
        nb::list found;
        for (uint64_t p; sopi_ring_tick(stream_->ring(), 0, end, &p);) found.append(p);
        return found;
    }

    void tick_at_lines(bool on)
    {
        nb::gil_scoped_release released;
        stream_->tick_at_lines(on, 0.1);
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

    void post(const std::string &name, uint64_t t, const nb::object &value, double ramp, int voice, uint32_t index,
              bool on_line)
    {
        Command command;
        command.t = t;
        command.id = id_of(name);
        command.voice = voice;
        command.index = index;
        command.ramp = ramp;
        command.on_line = on_line;
        std::unique_ptr<Prepared> prepared = prepared_of(value);
        command.value = prepared          ? Value(prepared.get())
                        : value.is_none() ? Value()
                                          : number_of(entry_of(command.id), value);
        if (!stream_->post(command))
            throw std::runtime_error("too many commands are waiting: is the host's audio off?");
        (void)prepared.release(); // the stream's now
    }

    // path: a str, in which bytes that are no text are surrogates, or the bytes themselves
    std::unique_ptr<Recording> record(const nb::object &path, uint64_t from)
    {
        if (!(sample_rate() > 0)) throw std::runtime_error("the host's audio is off");
        PyObject *bytes = nullptr;
        if (!PyUnicode_FSConverter(path.ptr(), static_cast<void *>(&bytes))) throw nb::python_error();
        const std::string name = nb::steal<nb::bytes>(bytes).c_str();
        nb::gil_scoped_release released;
        return std::make_unique<Recording>(std::make_unique<Recorder>(stream_, name, from));
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
        d["slips"] = s.slips.load() + s.late.load() + sopi_load(&r->underruns);
        d["rtf"] = s.real_time_factor.load();
        d["limited"] = s.limited.load();
        d["burst"] = s.usual_burst.load();
        d["largest_burst"] = s.burst.load();
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
        static const char *const names[] = {"trap", "error", "refused", "ended"};
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

    nb::list late_commands()
    {
        nb::list all;
        for (Late late; stream_->teller().next_late(late);) all.append(nb::make_tuple(late.position, late.by));
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
    Picture picture_;
};

void bind_recorder(nb::module_ &m)
{
    nb::class_<Recording>(m, "Recorder",
                          "A recording that goes on, by a thread of its own. When it goes, the file is closed.")
        .def(
            "end", [](const Recording &r, uint64_t to) { r->end(to); }, "to"_a,
            "Host frame `to` is the first that is not recorded.")
        .def_prop_ro(
            "ended", [](const Recording &r) { return r->ended(); }, "True once the file is closed.")
        .def_prop_ro(
            "frames", [](const Recording &r) { return r->frames(); }, "Frames in that file so far.")
        .def_prop_ro(
            "path", [](const Recording &r) { return nb::bytes(r->path().c_str(), r->path().size()); },
            "The file that is being written, or was last.")
        .def_prop_ro(
            "rate", [](const Recording &r) { return r->rate(); }, "Its sample rate, Hz.")
        .def(
            "closed",
            [](const Recording &r) {
                nb::list all;
                for (const Take &take : r->closed())
                    all.append(nb::make_tuple(nb::bytes(take.path.c_str(), take.path.size()), take.rate, take.frames));
                return all;
            },
            "[(path, rate, frames)] of the files that were closed since last asked, while the recording went on in another: the\n"
            "host runs at another rate since.")
        .def_prop_ro(
            "lost", [](const Recording &r) { return r->lost(); }, "Frames that the disk was too slow for.")
        .def_prop_ro(
            "failure", [](const Recording &r) { return r->ended() ? r->failure() : std::string(); },
            "Why it ended before it was told to, or why the file may not be whole; empty if neither is so.");
}

// What happens to the streams when Python ends.
void bind_end(nb::module_ &m)
{
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

} // namespace

void bind_stream(nb::module_ &m)
{
    bind_recorder(m);
    bind_end(m);
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
        .def("heard", &StreamHandle::heard, "end"_a, "n"_a, "channel"_a = 0,
             "float32: what came in last before host position `end`, n frames at most; channel 1: the temperature.")
        .def("ticks", &StreamHandle::ticks, "end"_a,
             "Host positions before `end` at which a bottom frame, or a line of the grid, began, since last asked.")
        .def("tick_at_lines", &StreamHandle::tick_at_lines, "on"_a,
             "Whether ticks are at the lines of the grid, from now on, or at the bottom frames of a model.")
        .def(
            "post", &StreamHandle::post, "name"_a, "t"_a, "value"_a.none() = nb::none(), "ramp"_a = 0.0, "voice"_a = -1,
            "index"_a = 0, "on_line"_a = false,
            "Posts the command `name`, which takes effect at host frame t + latency. Names, ranges and units are those of the\n"
            "table of messages (sopilib/live/commands.py). `value`: a number or a bool; an int up to 2**64 - 1 for seed; an object\n"
            "that was prepared (a Player for swap, swap-keeping and second, or None for no sound; an Envelope, in seconds, for\n"
            "temperature; a Listener for listen, with `index` 1 for silence meanwhile, 2 for the input, 3 for the old sound; a\n"
            "Snapshot for store, recall and morph; a Guard for guard, or None). `ramp` is in ms; of a swap it is the crossfade, 5\n"
            "to 100 ms. `voice` counts from 0, -1 is all of them. `index`: which conditioning value, from 0; 1: a beat that is the\n"
            "first of a bar. `on_line`: it waits for the next line of the grid, if there is one. grid, tempo and beat hold for\n"
            "the commands after them, a beat from its own t on. Raises ValueError for\n"
            "what the command doesn't take, RuntimeError if too many commands wait.")
        .def("player", &StreamHandle::player, "source"_a,
             "-> Player: what it takes to hear a source in this stream, made before it is posted. It is posted once.")
        .def(
            "listener", &StreamHandle::listener, "source"_a, "edges"_a,
            "-> Listener: a source that is to hear the input. edges: of each code but the first the least float32 that encodes to it,\n"
            "ascending. It is posted once; with `listened` it has heard the input up to that t, and plays.")
        .def(
            "record", &StreamHandle::record, "path"_a, "from_"_a,
            nb::sig("def record(self, path: str | bytes, from_: int) -> Recorder"),
            "-> Recorder of what is handed out from host frame from_ on, into a new WAV file of 32-bit floats, whose name ends in\n.wav. RuntimeError.")
        .def(
            "stats", &StreamHandle::stats,
            "Frames, counts, rtf (seconds of sound per busy second); slips: what the same messages would not do again.")
        .def("peak", &StreamHandle::peak, "Largest |sample| handed out since last asked.")
        .def(
            "picture", &StreamHandle::picture,
            "A column of what was handed out last: its peak since the last look, 0 to 255 for -60 to 0 dB, and 64 bands from\n"
            "50 to 12000 Hz, equally wide in pitch, 0 to 255 for -90 to -12 dB; empty if nothing was handed out since.")
        .def_prop_ro("sample_rate", &StreamHandle::sample_rate, "The host's, Hz; 0 before it is known.")
        .def(
            "events", &StreamHandle::events,
            "[(position, kind, value)] since last asked. trap: (voice, which). error: why the sound stopped. refused: why a command\n"
            "was not done. ended: the command (listen, freeze, guard) whose effect is over though nobody has asked for that. lost: so many more events found no room.")
        .def(
            "late_commands", &StreamHandle::late_commands,
            "[(position, by)] since last asked: the host frame at which each command that came too late took effect, and by how\n"
            "many frames it was late. At most 1024 are kept between two calls; `stats` counts all.");
}

} // namespace sopi
