// What the engine promises, for models of several shapes in each precision: the same seed gives the same codes for any
// split into calls, any number of threads, whatever the other voices do; a state put back goes on as it did.
#include "check.hpp"
#include "engine/blend.hpp"
#include "made_up_weights.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace sopi;

namespace {

constexpr int kVoices = 3, kSamples = 60;
using Codes = std::vector<int32_t>;

struct Precision {
    Form frames, samples;
};
const Precision precisions[] = {{Form::f32, Form::f32}, {Form::i8, Form::i8}, {Form::i4, Form::i8}};

// Codes [voices][n], asked for in pieces of `piece`.
Codes generate(Source &source, int n, int piece)
{
    const int voices = source.voices();
    Codes codes(static_cast<size_t>(voices) * n);
    std::vector<Sampling> sampling(voices);
    sampling[0].top_k = 20;
    for (int at = 0; at < n; at += piece) {
        const int now = std::min(piece, n - at);
        std::vector<float> temperature(static_cast<size_t>(voices) * now, 0.9f);
        Codes part(static_cast<size_t>(voices) * now);
        source.generate(part.data(), nullptr, now, {temperature.data(), sampling.data()});
        for (int v = 0; v < voices; v++)
            std::copy_n(&part[static_cast<size_t>(v) * now], now, &codes[static_cast<size_t>(v) * n + at]);
    }
    return codes;
}

Codes voice(const Codes &codes, int v) { return {codes.begin() + v * kSamples, codes.begin() + (v + 1) * kSamples}; }

void same_codes_however_asked_for(const std::shared_ptr<const Weights> &weights, const Kernels *kernels)
{
    NativeEngine engine(weights, kVoices, 1, kernels);
    engine.reset(5);
    const Codes expected = generate(engine, kSamples, kSamples);
    for (int piece : {1, 7, 16}) {
        engine.reset(5);
        CHECK(generate(engine, kSamples, piece) == expected);
    }
    for (int threads : {2, 3, 5}) {
        NativeEngine many(weights, kVoices, threads, kernels);
        CHECK(many.threads() == threads);
        many.reset(5);
        CHECK(generate(many, kSamples, 11) == expected);
    }
    NativeEngine alone(weights, 1, 1, kernels);
    alone.reset(5);
    CHECK(generate(alone, kSamples, 13) == voice(expected, 0));
}

void a_state_put_back_goes_on_as_it_did(const std::shared_ptr<const Weights> &weights, const Kernels *kernels)
{
    NativeEngine engine(weights, kVoices, 2, kernels);
    engine.reset(9);
    generate(engine, 21, 21);
    State state;
    engine.save(state);
    const Codes expected = generate(engine, kSamples, 9);
    const auto twin = engine.clone(kVoices);
    twin->restore(state);
    CHECK(generate(*twin, kSamples, 17) == expected);
    twin->kick(0.5f);
    twin->approach(state, 0.5f);
    CHECK(generate(*twin, kSamples, 17) != expected);
    engine.restore(state);
    CHECK(generate(engine, kSamples, kSamples) == expected);
}

// teacher_force gives the logits that look_ahead gives, and prime leaves the state that generate would.
void all_ways_through_the_tiers_agree(const std::shared_ptr<const Weights> &weights, const Kernels *kernels)
{
    NativeEngine engine(weights, kVoices, 1, kernels), other(weights, kVoices, 2, kernels);
    engine.reset(3);
    const Codes codes = generate(engine, kSamples, kSamples);
    const int q = weights->levels;
    std::vector<float> logits(codes.size() * q);
    other.reset(3);
    other.teacher_force(codes.data(), kSamples, kSamples, nullptr, logits.data());
    other.reset(3);
    for (int i = 0; i < kSamples; i++) {
        other.look_ahead(nullptr);
        int32_t column[kVoices];
        for (int v = 0; v < kVoices; v++) {
            CHECK(std::memcmp(other.logits(v), &logits[(static_cast<size_t>(v) * kSamples + i) * q],
                              q * sizeof(float)) == 0);
            column[v] = codes[static_cast<size_t>(v) * kSamples + i];
        }
        other.consume(column);
    }
    const Codes next = generate(engine, kSamples, 1);
    other.reset(3);
    other.prime(codes.data(), kSamples, nullptr);
    for (int v = 0; v < kVoices; v++) other.voice_states()[v].drawn = kSamples;
    CHECK(generate(other, kSamples, kSamples) == next);
}

void two_models_write_one_music(const std::shared_ptr<const Weights> &weights, const Kernels *kernels)
{
    const auto engine = [&] { return std::make_shared<NativeEngine>(weights, kVoices, 2, kernels); };
    Blend blend(engine(), engine());
    blend.reset(2);
    const Codes expected = generate(blend, kSamples, 5);
    const auto one = engine();
    one->reset(2);
    CHECK(generate(*one, kSamples, kSamples) == expected); // with itself it is itself
    State state;
    blend.save(state);
    const Codes next = generate(blend, kSamples, 30);
    blend.restore(state);
    CHECK(generate(blend, kSamples, kSamples) == next);
}

// One thread's call is done, the other's is refused, and neither changes what the first one gives.
void two_threads_at_once(const std::shared_ptr<const Weights> &weights)
{
    NativeEngine engine(weights, kVoices, 2, &kernels_plain), expected(weights, kVoices, 1, &kernels_plain);
    std::atomic<bool> over{false};
    std::atomic<int> refused{0};
    std::thread other([&] {
        State state;
        while (!over) try {
                engine.save(state);
            } catch (const std::runtime_error &) {
                refused++;
            }
    });
    for (int call = 0; call < 1000 && refused < 10; call++) {
        Codes codes;
        while (codes.empty()) try {
                codes = generate(engine, kSamples, kSamples);
            } catch (const std::runtime_error &) {
            }
        CHECK(codes == generate(expected, kSamples, kSamples));
    }
    over = true;
    other.join();
    CHECK(refused > 0);
}

} // namespace

int main()
{
    two_threads_at_once(make_weights(shapes[0], Form::i8, Form::i8));
    for (const Shape &shape : shapes)
        for (const Precision &precision : precisions) {
            const std::shared_ptr<const Weights> weights = make_weights(shape, precision.frames, precision.samples);
            Codes first;
            for (const char *set : {"plain", "avx2", "avx_vnni", "avx512", "neon"}) {
                const Kernels *kernels = find_kernels(set);
                if (!kernels) continue;
                same_codes_however_asked_for(weights, kernels);
                a_state_put_back_goes_on_as_it_did(weights, kernels);
                all_ways_through_the_tiers_agree(weights, kernels);
                two_models_write_one_music(weights, kernels);
                NativeEngine engine(weights, kVoices, 1, kernels);
                const Codes codes = generate(engine, kSamples, kSamples);
                if (first.empty()) first = codes;
                if (weights->quantised) CHECK(codes == first);
            }
        }
}
