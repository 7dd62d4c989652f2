// A stream in rough hands: a callback that stumbles, two clients that post whatever there is to post, models that come and
// go, recordings, another host rate, and in the end several threads that close it at once. It must end, every sample must
// be a number of a size that can be, and the sanitizers must find nothing.
#include "check.hpp"
#include "platform/platform.hpp"
#include "rough_client.hpp"
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

constexpr size_t kMessages = 400; // of each client

using Chance = std::minstd_rand;

// One client at a time is on the stream's control side.
void run_client(const std::shared_ptr<Stream> &stream, std::mutex &control, const NativeEngine &engine, unsigned seed)
{
    Chance chance(seed);
    RoughClient client(stream, engine, [&](uint32_t n) { return static_cast<uint32_t>(chance()) % n; });
    for (size_t i = 0; i < kMessages; i++) {
        {
            std::lock_guard<std::mutex> lock(control);
            client.act();
        }
        platform::sleep_ns(int64_t(chance() % 2000000));
    }
}

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
        sopi_ring_read(stream.ring(), out, kRoughChannels, n, static_cast<uint64_t>(platform::now_ns()));
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
    const auto stream = std::make_shared<Stream>(kRoughChannels, 0.02, freewheel, 1 << 15);
    Stream::start(stream);
    std::mutex control;
    std::atomic<bool> stop{false};
    std::thread host([&] { play(*stream, stop, !freewheel); });
    std::thread recorder([&] { record(stream, folder, stop); });
    std::thread first([&] { run_client(stream, control, engine, 1); });
    std::thread second([&] { run_client(stream, control, engine, 2); });
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
