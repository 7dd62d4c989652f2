// The engine for a page: one model, one voice, one thread, as plain functions over numbers and addresses.
//
// A page allocates (sopi_take), writes arrays and numbers there, names each array (sopi_array), and makes the engine
// (sopi_make). Where something is wrong, the module ends with the sentence in sopi_fault.
#include "engine/engine.hpp"
#include "engine/read.hpp"
#include "resample.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace sopi {
extern const Kernels kernels_wasm;

// ---------------------------------------------------------------- what is an operating system's elsewhere
namespace platform {
int64_t now_ns() noexcept { return 0; }
void sleep_ns(int64_t) noexcept {}
Priority ordinary() noexcept { return {}; }
Priority priority() noexcept { return {}; }
Priority below(const Priority &given) noexcept { return given; }
void set_priority(const Priority &) noexcept {}
void set_priority(std::thread &, const Priority &) noexcept {}
void inherit_priority(std::mutex &) noexcept {}
int64_t process() noexcept { return 1; }
void *take_pages(size_t bytes)
{
    void *pages = std::aligned_alloc(64, bytes);
    if (!pages) throw std::bad_alloc();
    return pages;
}
void give_pages(void *pages) noexcept { std::free(pages); }
} // namespace platform

namespace {
Arrays arrays;
std::unique_ptr<NativeEngine> engine;

// From the model's rate to the page's, and room for the samples that a block of frames needs.
struct Host {
    Host(int rate, int most)
        : resampler(Filter::design(engine->sample_rate(), rate), 1, most), codes(resampler.most_samples()),
          audio(codes.size()), temperatures(codes.size())
    {
    }
    Resampler resampler;
    std::vector<int32_t> codes;
    std::vector<float> audio, temperatures;
};
std::unique_ptr<Host> host;
} // namespace
} // namespace sopi

using namespace sopi;

#define PAGE(name) extern "C" __attribute__((export_name(#name)))

PAGE(sopi_take) void *sopi_take(size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }
PAGE(sopi_give) void sopi_give(void *memory) { std::free(memory); }

// An array of floats, which stays where it is until sopi_make has been called.
PAGE(sopi_array) void sopi_array(const char *name, const float *data, const int32_t *sizes, int count)
{
    arrays.add(name, data, std::vector<int64_t>(sizes, sizes + count));
}

// numbers: dim, mlp_dim, q_levels, q_zero, sample_rate, features, num_rnn_layers, lstm, skip_conn, gru_reset_after, then how
// many frame sizes and these, how many sample_relu and these. coding: level, then `poles` of emphasis. precision: f32, int8
// or int4.
PAGE(sopi_make) void sopi_make(const int32_t *numbers, const float *coding, int poles, const char *precision)
{
    Shape shape;
    for (int *to : {&shape.dim, &shape.mlp_dim, &shape.q_levels, &shape.q_zero, &shape.sample_rate, &shape.features,
                    &shape.num_rnn_layers})
        *to = *numbers++;
    for (bool *to : {&shape.lstm, &shape.skip_conn, &shape.gru_reset_after}) *to = *numbers++ != 0;
    for (int left = *numbers++; left > 0; left--) shape.frame_sizes.push_back(*numbers++);
    for (int left = *numbers++; left > 0; left--) shape.sample_relu.push_back(*numbers++ != 0);
    shape.level = coding[0];
    shape.emphasis.assign(coding + 1, coding + 1 + poles);
    engine = std::make_unique<NativeEngine>(read_weights(shape, arrays, precision), 1, 1, &kernels_wasm);
    arrays = Arrays();
}

// The rate of what sopi_play gives, in Hz, and the most frames it is asked for at once.
PAGE(sopi_host) void sopi_host(int rate, int most)
{
    check_range("the host's rate", rate, 1000, 1 << 20);
    host = std::make_unique<Host>(rate, most);
}

// The music of a seed from its beginning.
PAGE(sopi_seed) void sopi_seed(uint64_t seed)
{
    engine->reset(seed);
    if (host) host->resampler.restart();
}

// codes [n] appended to the past
PAGE(sopi_prime) void sopi_prime(const int32_t *codes, int n)
{
    for (int i = 0; i < n; i++) check_range("a code", codes[i], 0, engine->weights().levels - 1);
    engine->prime(codes, n, nullptr);
}

// codes [n] and what they sound like, audio [n]; temperature [n]
PAGE(sopi_generate)
void sopi_generate(int32_t *codes, float *audio, int n, const float *temperature, int top_k, float top_p, float min_p)
{
    const Sampling sampling{top_k, top_p, min_p};
    engine->generate(codes, audio, n, {temperature, &sampling});
}

// frames [n] at the host's rate
PAGE(sopi_play) void sopi_play(float *frames, int n, float temperature, int top_k, float top_p, float min_p)
{
    const int samples = host->resampler.plan(n);
    std::fill_n(host->temperatures.begin(), samples, temperature);
    const Sampling sampling{top_k, top_p, min_p};
    engine->generate(host->codes.data(), host->audio.data(), samples, {host->temperatures.data(), &sampling});
    host->resampler.process(host->audio.data(), samples, &frames);
}

// [q_levels] of the code that was drawn last
PAGE(sopi_logits) const float *sopi_logits() { return engine->logits(0); }

// ---------------------------------------------------------------- exceptions, which end the module
static char fault[512];
PAGE(sopi_fault) const char *sopi_fault() { return fault; }

extern "C" void *__cxa_allocate_exception(size_t size) noexcept { return std::malloc(size); }
extern "C" void __cxa_free_exception(void *) noexcept {}
extern "C" void __cxa_throw(void *thrown, std::type_info *, void (*)(void *))
{
    // all that is thrown here is a std::exception
    std::strncpy(fault, static_cast<std::exception *>(thrown)->what(), sizeof fault - 1);
    __builtin_trap();
}
