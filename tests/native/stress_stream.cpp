// A stream in rough hands: a callback that stumbles, two clients that post whatever there is to post, models that come and
// go, recordings, another host rate, and in the end several threads that close it at once. It must end, every sample must
// be a number of a size that can be, and the sanitizers must find nothing.
#include "check.hpp"
#include "made_up_weights.hpp"
#include "platform/platform.hpp"
#include "stream/envelope.hpp"
#include "stream/record.hpp"
#include "stream/stream.hpp"

#include <atomic>
#include <cmath>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace sopi;

namespace {

constexpr int kChannels = 2;
constexpr size_t kMessages = 400; // of each client

// Fails now and then, and can do nothing that is only there for native engines.
class Moody final : public Source {
public:
    int voices() const noexcept override { return 2; }
    int sample_rate() const noexcept override { return 16000; }
    int frame() const noexcept override { return 4; }
    int period() const noexcept override { return 16; }
    int position() const noexcept override { return position_; }
    int features() const noexcept override { return 0; }
    const Coding &coding() const noexcept override { return coding_; }
    void reset(uint64_t) override { position_ = 0; }
    void generate(int32_t *codes, float *audio, int64_t n, const Controls &) override
    {
        if (++calls_ % 97 == 0) throw std::runtime_error("out of tune");
        for (int64_t i = 0; i < 2 * n; i++) {
            codes[i] = static_cast<int32_t>(i % 4);
            audio[i] = coding_.values[static_cast<size_t>(i % 4)];
        }
        position_ = static_cast<int>((position_ + n) % 16);
    }
    void prime(const int32_t *, int64_t, const float *) override { throw 1; } // no std::exception either
    void reset_voice(int, uint64_t) override { throw std::runtime_error("no single voices"); }
    bool remembers() const noexcept override { return false; }
    void save(State &) const override { throw std::runtime_error("no snapshots"); }
    void check(const State &) const override { throw std::runtime_error("no snapshots"); }
    void restore(const State &) override { throw std::runtime_error("no snapshots"); }
    void restore_voice(int, const State &) override { throw std::runtime_error("no snapshots"); }
    void approach(const State &, float) override { throw std::runtime_error("no snapshots"); }
    void kick(float) override { throw std::runtime_error("no kicks"); }

private:
    int position_ = 0, calls_ = 0;
    const Coding coding_{{-0.5f, -0.1f, 0.1f, 0.5f}, {}};
};

using Chance = std::minstd_rand;

// Posts what a performer may, in any order. One client at a time is on the stream's control side.
class Client {
public:
    Client(std::shared_ptr<Stream> stream, std::mutex &control, const NativeEngine &engine, unsigned seed)
        : stream_(std::move(stream)), control_(control), engine_(engine), chance_(seed)
    {
        snapshots_.push_back(std::make_shared<Snapshot>()); // never taken
    }
    void run()
    {
        for (size_t i = 0; i < kMessages; i++) {
            {
                std::lock_guard<std::mutex> lock(control_);
                post_something();
                for (Event e; stream_->teller().next(e);) CHECK(e.text[0] != 0);
            }
            platform::sleep_ns(int64_t(chance_() % 2000000));
        }
    }

private:
    uint32_t pick(uint32_t n) { return static_cast<uint32_t>(chance_()) % n; }
    std::shared_ptr<Source> source()
    {
        if (pick(4) == 0) return std::make_shared<Moody>();
        auto made = engine_.clone(1 + static_cast<int>(pick(3)));
        made->reset(pick(1000));
        return made;
    }
    int host_rate() const { return static_cast<int>(stream_->host_rate()); }
    std::shared_ptr<Player> player() { return std::make_shared<Player>(source(), kChannels, host_rate()); }

    // What the command takes, for those that take something prepared; nothing for the others.
    std::unique_ptr<Prepared> prepared(Id id)
    {
        if (id == Id::swap || id == Id::swap_keeping || id == Id::second)
            return pick(5) ? std::make_unique<Prepared>(player()) : nullptr;
        if (id == Id::store) {
            snapshots_.push_back(std::make_shared<Snapshot>());
            return std::make_unique<Prepared>(snapshots_.back());
        }
        if (id == Id::recall || id == Id::morph)
            return std::make_unique<Prepared>(snapshots_[pick(static_cast<uint32_t>(snapshots_.size()))]);
        if (id == Id::listen)
            return std::make_unique<Prepared>(
                std::make_shared<Listener>(player(), std::vector<float>{-0.5f, 0.0f, 0.5f}, host_rate()));
        if (id == Id::guard && pick(3))
            return std::make_unique<Prepared>(
                std::make_shared<Guard>(static_cast<Guarding>(pick(3)), 16000, 1 + static_cast<int>(pick(3))));
        if (id == Id::temperature && pick(2))
            return std::make_unique<Prepared>(
                std::make_shared<Envelope>(1.0, std::vector<Segment>{{2.0, 0.05}, {0.5, 0.02, Curve::exponential}}));
        return nullptr;
    }
    void post_something()
    {
        Command c;
        c.id = static_cast<Id>(pick(kIds));
        const Entry &entry = entry_of(c.id);
        c.t = sopi_ring_now(stream_->ring()) - std::min<uint64_t>(sopi_ring_now(stream_->ring()), pick(200));
        if (entry.voice && pick(3) == 0) c.voice = static_cast<int32_t>(pick(3));
        if (entry.longest_ramp > 0 && pick(2)) c.ramp = pick(100);
        if (c.id == Id::listen) c.index = 1 + pick(3);
        if (c.id == Id::feature) c.index = pick(4);
        std::unique_ptr<Prepared> made = prepared(c.id);
        const double share = pick(1000) / 1000.0;
        if (made) c.value = Value(made.get());
        else if (entry.whole) c.value = Value(uint64_t(chance_()));
        else if (entry.integer) c.value = Value(std::floor(entry.least + share * (entry.most - entry.least)));
        else if (entry.number)
            c.value = Value(c.id == Id::latency ? 2 + 60 * share : entry.least + share * (entry.most - entry.least));
        if (c.id == Id::play) c.value = Value(pick(4) ? 1.0 : 0.0);
        if (!made && (c.id == Id::guard || c.id == Id::listened || entry.name == std::string("swap-keeping")))
            c.value = Value();
        if (stream_->post(c)) (void)made.release();
    }

    const std::shared_ptr<Stream> stream_;
    std::mutex &control_;
    const NativeEngine &engine_;
    Chance chance_;
    std::vector<std::shared_ptr<Snapshot>> snapshots_;
};

// The host: blocks of all sizes, now and then too late or far too large, and once at another rate.
void play(Stream &stream, const std::atomic<bool> &stop, bool real_time)
{
    Chance chance(7);
    std::vector<float> left(1 << 17), right(1 << 17), in(1 << 17, 0.2f);
    float *const out[] = {left.data(), right.data()};
    const float *const ins[] = {in.data(), in.data()};
    sopi_ring_host(stream.ring(), 48000, 64, 1);
    for (int block = 0; !stop; block++) {
        if (block % 1500 == 1499) sopi_ring_host(stream.ring(), block % 3000 == 1499 ? 44100 : 48000, 64, 1);
        const uint32_t n = block % 700 == 699 ? 1 << 17 : 1 + static_cast<uint32_t>(chance()) % 300;
        sopi_ring_write(stream.input(), ins, 1, n);
        sopi_ring_read(stream.ring(), out, kChannels, n, static_cast<uint64_t>(platform::now_ns()));
        for (uint32_t i = 0; i < n; i++) CHECK(std::fabs(left[i]) < 100 && std::fabs(right[i]) < 100);
        if (real_time) platform::sleep_ns(int64_t(n) * 20000);
    }
}

void record(const std::shared_ptr<Stream> &stream, const std::filesystem::path &folder, const std::atomic<bool> &stop)
{
    while (!stream->host_rate() && !stop) platform::sleep_ns(1000000);
    for (int i = 0; !stop; i++) {
        const std::string path = (folder / (std::to_string(i) + ".wav")).string();
        Recorder recorder(stream, path, sopi_ring_now(stream->ring()));
        bool twice = true;
        try {
            Recorder again(stream, path, 0);
        } catch (const std::runtime_error &) {
            twice = false;
        }
        CHECK(!twice);
        platform::sleep_ns(20000000);
        recorder.end(sopi_ring_now(stream->ring()));
    }
}

void rough_hands(bool freewheel)
{
    const NativeEngine engine(make_weights(shapes[0], Form::i8, Form::i8), 1, 1, find_kernels("auto"));
    const auto folder = std::filesystem::temp_directory_path() /
                        ("stress-stream-" + std::to_string(platform::process()) + (freewheel ? "f" : "r"));
    std::filesystem::create_directories(folder);
    const auto stream = std::make_shared<Stream>(kChannels, 0.02, freewheel, 1 << 15);
    Stream::start(stream);
    std::mutex control;
    std::atomic<bool> stop{false};
    std::thread host([&] { play(*stream, stop, !freewheel); });
    std::thread recorder([&] { record(stream, folder, stop); });
    Client one(stream, control, engine, 1), two(stream, control, engine, 2);
    std::thread first([&] { one.run(); }), second([&] { two.run(); });
    first.join();
    second.join();
    std::atomic<int> closed{0};
    std::vector<std::thread> ends;
    for (int i = 0; i < 3; i++) ends.emplace_back([&] { closed += stream->close(20); });
    for (std::thread &t : ends) t.join();
    CHECK(closed == 3);
    stop = true;
    host.join();
    recorder.join();
    std::filesystem::remove_all(folder);
}

} // namespace

int main()
{
    rough_hands(false);
    rough_hands(true);
    close_all_streams(1);
}
