// The callback keeps its promise: what a host calls to play takes no lock, allocates nothing and touches no file, whether
// the ring is full, runs dry or comes back, for any number of channels. And the checker that says so finds what breaks it.
#include "check.hpp"
#include "ring.h"
#include "stream/output.hpp"

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern "C" void sopi_callback_begin();
extern "C" void sopi_callback_end();

using namespace sopi;

namespace {

struct InCallback {
    InCallback() { sopi_callback_begin(); }
    ~InCallback() { sopi_callback_end(); }
};

struct Ring {
    std::vector<float> data;
    sopi_ring ring;

    explicit Ring(uint32_t channels, uint32_t capacity = 1024) : data(size_t(channels) * capacity, 0.5f)
    {
        std::memset(&ring, 0, sizeof ring);
        ring.magic = SOPI_RING_MAGIC;
        ring.version = SOPI_RING_VERSION;
        ring.bytes = sizeof ring;
        ring.refs = 1;
        ring.channels = channels;
        ring.capacity = capacity;
        ring.reserve = 96;
        ring.data = data.data();
        ring.gain = 1.0f;
        ring.generating = 1;
        ring.destroy = [](sopi_ring *) {};
    }
};

// ---------------------------------------------------------------- the callback

void ring_is_read_and_written()
{
    Ring out(2), in(2);
    std::vector<float> block(2 * 256);
    float *const lines[] = {block.data(), block.data() + 256};
    const float *const given[] = {block.data(), block.data() + 256};
    for (int round = 0; round < 200; round++) {
        // sometimes full, sometimes nearly dry, sometimes dry
        sopi_store(&out.ring.write, sopi_load(&out.ring.read) + uint64_t(round % 7 * 90));
        const InCallback here;
        sopi_ring_host(&out.ring, 48000, 64, 1);
        for (uint32_t n : {64u, 13u, 256u}) {
            uint64_t tick;
            sopi_ring_tick(&out.ring, sopi_ring_now(&out.ring), sopi_ring_now(&out.ring) + n, &tick);
            sopi_ring_read(&out.ring, lines, 2, n, uint64_t(round) * 1000000);
            sopi_ring_write(&in.ring, given, uint32_t(round % 3), n);
        }
        CHECK(sopi_ring_valid(&out.ring));
    }
    CHECK(sopi_load(&out.ring.underruns) > 0);
}

void output_is_rendered()
{
    Ring one(1), many(3);
    Output output({&one.ring, &many.ring}, 2);
    output.host(48000, 64, true);
    std::vector<float> block(2 * 512);
    std::atomic<bool> over{false};
    std::thread producer([&] { // does what the callback may not
        while (!over) {
            auto other = std::make_unique<std::vector<float>>(100);
            for (Ring *r : {&one, &many}) sopi_store(&r->ring.write, sopi_load(&r->ring.read) + other->size() * 5);
            std::this_thread::yield();
        }
    });
    for (int round = 0; round < 500; round++) {
        const InCallback here;
        output.render(block.data(), round % 2 ? 64 : 512);
    }
    over = true;
    producer.join();
}

// ---------------------------------------------------------------- the checker

// What a child that does `planted` in the callback says as it dies.
template <typename Planted> std::string said_of(Planted &&planted)
{
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        sopi_callback_begin();
        planted();
        _exit(0);
    }
    close(pipes[1]);
    std::string said;
    char piece[512];
    for (ssize_t n; (n = read(pipes[0], piece, sizeof piece)) > 0;) said.append(piece, size_t(n));
    close(pipes[0]);
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(!said.empty() == (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
    return said.substr(0, said.find('\n'));
}

void checker_finds_what_breaks_the_promise()
{
    static std::mutex mutex;
    const auto broken = [](const char *name) {
        return "real-time promise broken: " + std::string(name) + " in the callback";
    };
    static char *volatile kept = new char[10];
    CHECK(said_of([] { kept = new char[10]; }) == broken("malloc"));
    CHECK(said_of([] { delete[] kept; }) == broken("free"));
    CHECK(said_of([] { const std::lock_guard<std::mutex> lock(mutex); }) == broken("pthread_mutex_lock"));
    CHECK(said_of([] {
              const timespec t{0, 1000};
              nanosleep(&t, nullptr);
          }) == broken("nanosleep"));
    CHECK(said_of([] { std::fopen("nothing", "r"); }) == broken("fopen"));
    CHECK(said_of([] { std::printf("%d\n", 1); }) == broken("vfprintf"));
    CHECK(said_of([] { static_cast<void>(!write(1, "", 0)); }) == broken("write"));
    CHECK(said_of([] {
              sopi_callback_end();
              kept = new char[10];
              const std::lock_guard<std::mutex> lock(mutex);
          }).empty());
}

} // namespace

int main()
{
    checker_finds_what_breaks_the_promise();
    ring_is_read_and_written();
    output_is_rendered();
}
