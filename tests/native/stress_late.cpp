// Members of a team that are stopped at any point of their work, as where something else wants their cores: the engine
// goes on without them and tries them again, and its codes are those of one thread.
#include "check.hpp"
#include "made_up_weights.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <dirent.h>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace sopi;

namespace {

constexpr int kVoices = 2, kSamples = 2000;
using Codes = std::vector<int32_t>;

// In whatever thread gets the signal: it is not run for two milliseconds.
void be_away(int)
{
    const timespec away{0, 2000000};
    nanosleep(&away, nullptr);
}

int this_thread() { return static_cast<int>(syscall(SYS_gettid)); }

// Stops each thread of this process but this one and `spared`, at moments of its own.
void torment(const std::atomic<bool> &done, int spared)
{
    const int process = static_cast<int>(getpid());
    for (unsigned round = 1; !done; round = round * 1103515245u + 12345u) {
        DIR *tasks = opendir("/proc/self/task");
        while (const dirent *task = tasks ? readdir(tasks) : nullptr) {
            const int thread = std::atoi(task->d_name);
            if (thread > 0 && thread != this_thread() && thread != spared)
                syscall(SYS_tgkill, process, thread, SIGUSR1);
        }
        if (tasks) closedir(tasks);
        const timespec pause{0, static_cast<long>(100000 + (round >> 16) % 1000 * 3000)};
        nanosleep(&pause, nullptr);
    }
}

Codes generate(NativeEngine &engine)
{
    engine.reset(5);
    Codes codes(static_cast<size_t>(kVoices) * kSamples);
    const std::vector<Sampling> sampling(kVoices);
    const std::vector<float> temperature(static_cast<size_t>(kVoices) * kSamples, 0.9f);
    engine.generate(codes.data(), nullptr, kSamples, {temperature.data(), sampling.data()});
    return codes;
}

} // namespace

int main()
{
    struct sigaction action{};
    action.sa_handler = be_away;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    for (const Shape &shape : shapes) {
        const auto weights = make_weights(shape, Form::i4, Form::i8);
        NativeEngine alone(weights, kVoices, 1, find_kernels("auto"));
        const Codes expected = generate(alone);
        for (int threads : {2, 3}) {
            NativeEngine many(weights, kVoices, threads, find_kernels("auto"));
            for (const int spared : {0, this_thread()}) { // all of them, or all but the caller
                std::atomic<bool> done{false};
                std::thread tormentor([&] { torment(done, spared); });
                for (int again = 0; again < 5; again++) CHECK(generate(many) == expected);
                done = true;
                tormentor.join();
            }
        }
    }
}
